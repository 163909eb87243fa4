"""Let widget callbacks run beside the cells, on another thread (a kernel subshell), and not disturb them."""

import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import ipywidgets
from IPython.core.getipython import get_ipython
from matplotlib.mathtext import MathTextParser


class _Capture(threading.local):
    printed: list[str] | None = None  # what this thread has printed, while its output is captured; else None


_capture = _Capture()


def protect_cells() -> None:
    """Install all guards. Call this in a cell, before the first lab computes."""
    _keep_cell_hooks_on_the_main_thread()
    _read_one_formula_at_a_time()
    _install_tees()


def answer_beside_cells(widget: ipywidgets.Widget) -> None:
    """Answer what the page says to `widget`, and to all that is in it, on the thread that the page asks for.

    ipykernel 7.4 (`BaseComm._reply_subshell_for`) answers on the thread that last wrote to the page through the same
    widget. For a button this is the thread of the cell that made it, so a press waits until no cell runs any more.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = lambda _data, asked, *_, **__: asked
    for child in getattr(widget, "children", ()):
        answer_beside_cells(child)


@contextmanager
def captured_output() -> Iterator[list[str]]:
    """Collect what this thread prints. What other threads print meanwhile goes where it always goes."""
    before, printed = _capture.printed, []
    _capture.printed = printed
    try:
        yield printed
    finally:
        _capture.printed = before


class _Tee:
    """A stream that keeps what a thread with captured output writes, and passes on what the others write."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        """Keep or pass on `text`."""
        if _capture.printed is None:
            return self.stream.write(text)
        _capture.printed.append(text)
        return len(text)

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


def _install_tees() -> None:
    """Replace stdout and stderr once by a tee.

    Replacing them only during a computation is not safe. Until Python 3.12.9 `print` writes to the stream that it
    found when it began; if another thread replaces that stream meanwhile and drops it, the process crashes
    (https://github.com/python/cpython/issues/130163).
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, _Tee):
            setattr(sys, name, _Tee(stream))


def _read_one_formula_at_a_time() -> None:
    """Put a lock around Matplotlib's only parser of formulas.

    Matplotlib locks it while it draws, but not in a cell's `tight_layout`. Without the lock, a cell or a lab reports
    errors in formulas that are correct (https://github.com/matplotlib/ipympl/issues/610).
    """
    parse, lock = MathTextParser.parse, threading.RLock()
    if hasattr(parse, "__wrapped__"):
        return

    @functools.wraps(parse)
    def locked_parse(*args, **kwargs):
        with lock:
            return parse(*args, **kwargs)

    MathTextParser.parse = locked_parse


def _keep_cell_hooks_on_the_main_thread() -> None:
    """Run IPython's after-cell hooks, such as "draw and close all pyplot figures", on the thread of the cells only.

    A widget's message triggers them too, and they would draw and close a figure that a cell is still building.
    """
    shell = get_ipython()
    if shell is None or hasattr(shell.events, "unguarded_trigger"):
        return
    trigger = shell.events.unguarded_trigger = shell.events.trigger

    def guarded(event: str, *args, **kwargs) -> None:
        on_main_thread = threading.current_thread() is threading.main_thread()
        if on_main_thread or event not in ("pre_execute", "post_execute"):
            trigger(event, *args, **kwargs)

    shell.events.trigger = guarded
