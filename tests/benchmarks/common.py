"""What the benchmarks share: candidates that take turns, tables, and a line about the machine."""

import datetime
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

MISSING = "not installed"


def version(package: str) -> str | None:
    """Give the installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def machine(*packages: str) -> str:
    """Say when and on what this was measured: the date, the kind of machine, and the versions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    versions = [f"{package} {version(package) or MISSING}" for package in packages]
    return f"{datetime.date.today()}, one thread of {os.cpu_count()} cores, {cpu}, {platform.system()}, " + ", ".join(
        [f"Python {platform.python_version()}", *versions]
    )


def take_turns(
    candidates: dict[str, Callable | None], repeats: int, calls: int = 1, warm_up: int = 1
) -> dict[str, float | None]:
    """Return each candidate's median of `repeats` times per call, in seconds; None for a candidate that is None.

    The candidates take turns, so that what slows the machine for a while slows them all. The clock is that of the
    process: on one thread it shows what the candidate used, without the time in which other programs had the core.
    """
    times = {name: [] for name, work in candidates.items() if work is not None}
    for turn in range(warm_up + repeats):
        for name in times:
            work, start = candidates[name], time.process_time()
            for _ in range(calls):
                work()
            if turn >= warm_up:
                times[name].append((time.process_time() - start) / calls)
    return {name: statistics.median(times[name]) if name in times else None for name in candidates}


def table(header: tuple[str, ...], rows: list[tuple]) -> str:
    """Lay out a Markdown table; the first column is text, the others are numbers or short words."""
    rows = [header, *rows]
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(header))]

    def line(row):
        first, *others = (str(cell) for cell in row)
        return " | ".join([first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))])

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])])
    return "\n".join([f"| {line(header)} |", f"|{rule}|", *(f"| {line(row)} |" for row in rows[1:])])


def ratio(value: float | None, reference: float | None, digits: int = 2) -> str:
    """Write value / reference, or that one of them is not there."""
    return MISSING if value is None or reference is None else f"{value / reference:.{digits}f}"
