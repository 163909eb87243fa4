"""Nothing that Matplotlib says while it looks for fonts reaches the output of a notebook's cell."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fonts

ROOT = Path(__file__).parent.parent
IMPORT = [sys.executable, "-c", "import matplotlib.font_manager"]


def test_the_list_of_fonts_is_there_and_importing_says_nothing():
    assert os.environ["MPLCONFIGDIR"] == str(fonts.FOLDER) and list(fonts.FOLDER.glob("fontlist-*.json"))
    assert subprocess.run(IMPORT, capture_output=True, text=True, check=True).stderr == ""


@pytest.fixture
def no_folder(tmp_path):
    """A path at which no folder can be made."""
    (tmp_path / "file").touch()
    return str(tmp_path / "file" / "none")


def test_without_a_folder_it_would_say_something(no_folder):
    env = os.environ | {"MPLCONFIGDIR": no_folder}
    assert "MPLCONFIGDIR" in subprocess.run(IMPORT, capture_output=True, text=True, check=True, env=env).stderr


@pytest.mark.slow
def test_strict_nbval_passes_where_matplotlib_would_speak(no_folder):
    (notebook, *_) = sorted((ROOT / "notebooks").glob("*.ipynb"))
    command = [sys.executable, "-m", "pytest", f"{notebook}::Cell 0", "-n", "0", "-q", "-p", "no:cacheprovider"]
    env = {k: v for k, v in os.environ.items() if k != "OFFAC_GUARD_LOG"} | {"MPLCONFIGDIR": no_folder}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout
