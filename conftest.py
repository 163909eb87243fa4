"""One thread per process, for sums must come out in the same order everywhere; and no way out of this folder.

The tests run three at a time: those with a browser leave a core idle while they wait. `tests/guard` refuses, in every
Python that they start, the network and files elsewhere.
`pytest` runs everything, `pytest -m quick` what is neither a notebook nor marked as slow.
"""

import atexit
import functools
import importlib.util
import os
import runpy
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest
import torch
from jupyter_client.manager import KernelManager

from tests.fonts import prepare_fonts

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the kernels that the tests start

GUARD = Path(__file__).parent / "tests" / "guard"
if "OFFAC_GUARD_LOG" not in os.environ:  # the first process; its workers find it set
    HOME = tempfile.mkdtemp(prefix="offac-home-")
    atexit.register(shutil.rmtree, HOME, ignore_errors=True)
    os.environ |= {"HOME": HOME, "USERPROFILE": HOME, "OFFAC_GUARD_LOG": f"{HOME}/refused.txt"}
    path = [str(GUARD), str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    prepare_fonts()
runpy.run_path(str(GUARD / "sitecustomize.py"))


def talk_through_files() -> None:
    """Let kernels have sockets in the folder of HOME and no ports.

    A port that is free when it is chosen may be taken when the kernel opens it, and the kernel dies. A system takes
    only short names of sockets.
    """
    init = KernelManager.__init__

    @functools.wraps(init)
    def with_files(self, **options):
        init(self, **{"transport": "ipc", "ip": f"{os.environ['HOME']}/{uuid.uuid4().hex[:12]}"} | options)

    KernelManager.__init__ = with_files


if os.name == "posix" and len(os.environ["HOME"]) < 80:
    talk_through_files()


def pytest_ignore_collect(collection_path, config):
    """Let `pytest -m quick` not even read the notebooks; leave out a benchmark's rival that is not installed."""
    notebook = config.option.markexpr == "quick" and collection_path.suffix == ".ipynb"
    rival = collection_path.name == "rival_jax.py" and importlib.util.find_spec("jax") is None
    return True if notebook or rival else None


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    """Mark what is not slow as quick. Begin with the files that hold something slow: none of them shall end alone."""
    slow = {item for item in items if item.path.suffix == ".ipynb" or item.get_closest_marker("slow")}
    for item in items:
        item.add_marker("slow" if item in slow else "quick")
    first = {item.path for item in slow}
    items.sort(key=lambda item: item.path not in first)


def pytest_sessionfinish(session):
    """Fail where anything was refused, even if whoever tried it took no notice."""
    log = Path(os.environ["OFFAC_GUARD_LOG"])
    if log.exists() and "PYTEST_XDIST_WORKER" not in os.environ:
        session.config.get_terminal_writer().line(f"\nrefused by tests/guard:\n{log.read_text()}", red=True)
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    """Say how long the cells of each notebook took, all together."""
    seconds = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            path, _, cell = getattr(report, "nodeid", "").partition("::")
            if path.endswith(".ipynb") and cell:
                seconds[path] = seconds.get(path, 0.0) + report.duration
    if seconds:
        terminalreporter.section("seconds of each notebook")
        for path, total in sorted(seconds.items()):
            terminalreporter.line(f"{total:5.0f}  {path}")
