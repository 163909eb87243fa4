"""Nothing leaves this folder: the guard that every other test runs under does refuse, in this process and in others."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

OUTSIDE = Path(sys.base_prefix).resolve() / "offac_lite_was_here"
BESIDE = Path(tempfile.gettempdir() + "-offac_lite_was_here")
ATTEMPTS = {
    "a file outside": f"open({str(OUTSIDE)!r}, 'w')",
    "a file outside, by descriptor": f"import os; os.open({str(OUTSIDE)!r}, os.O_CREAT | os.O_WRONLY)",
    "a file beside the temporary folder": f"open({str(BESIDE)!r}, 'w')",
    "a connection": "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)",
    "a name": "import socket; socket.getaddrinfo('example.org', 80)",
    "a page": "import urllib.request; urllib.request.urlopen('http://example.org')",
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_what_would_leave_this_folder_is_refused_and_noted(attempt, tmp_path, monkeypatch):
    log = tmp_path / "refused.txt"
    monkeypatch.setenv("OFFAC_GUARD_LOG", str(log))
    with pytest.raises((PermissionError, OSError), match="refused in the tests"):
        exec(attempt)
    told = subprocess.run([sys.executable, "-c", attempt], capture_output=True, text=True, cwd=tmp_path).stderr
    assert "refused in the tests" in told
    assert len(log.read_text().splitlines()) >= 2 and not OUTSIDE.exists() and not BESIDE.exists()


def test_what_stays_here_is_allowed(tmp_path):
    (tmp_path / "file").write_text("here")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    assert Path(os.environ["HOME"]).is_dir()
