"""One thread per process: the tests run two at a time, and sums must come out in the same order everywhere."""

import os

import torch

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the kernels that the tests start


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
