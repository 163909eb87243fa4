"""Runs in every Python that the tests start: this reaches no other machine, and writes here and in temporary folders.

What is refused raises `PermissionError`, and is noted in the file that OFFAC_GUARD_LOG names, for an error may be
caught. `conftest.py` puts this folder on the path, and fails the tests where something was noted. And each Python that
the tests start ends sooner.
"""

import atexit
import gc
import os
import socket
import sys
import tempfile

_LOCAL = {"", "localhost", "0.0.0.0", "::1", "::", socket.gethostname(), None}
_FOLDERS = tuple(
    os.path.join(os.path.realpath(folder), "")
    for folder in (os.path.join(os.path.dirname(__file__), "..", ".."), tempfile.gettempdir(), "/dev", "/proc")
)


def _refuse(what: str) -> None:
    log = os.environ.get("OFFAC_GUARD_LOG")
    if log:
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{what} (in {sys.argv[:3]})\n".encode())
        os.close(file)
    raise PermissionError(f"refused in the tests: {what}")


def _guard(event: str, arguments: tuple) -> None:
    if event == "open":
        path, mode, flags = arguments
        writes = set(mode) & set("wax+") if mode else (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and not isinstance(path, int):
            where = os.path.realpath(os.fsdecode(path))
            inside = os.path.join(where, "").startswith(_FOLDERS)  # a temporary file without a name "is" its folder
            if not inside and "__pycache__" not in where:
                _refuse(f"writing {where}")
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        channel, address = arguments
        silent = event == "socket.connect" and channel.type != socket.SOCK_STREAM  # connecting sends nothing
        if not silent and isinstance(address, tuple) and not _is_local(address[0]):
            _refuse(f"reaching {address}")
    elif event == "socket.getaddrinfo" and not _is_local(arguments[0]):
        _refuse(f"looking up {arguments[0]}")


def _is_local(host) -> bool:
    host = host.decode() if isinstance(host, bytes) else host
    return host in _LOCAL or host.startswith("127.")


sys.addaudithook(_guard)
atexit.register(gc.freeze)  # else a process that ends searches all of PyTorch for garbage, for a third of a second
