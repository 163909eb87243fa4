"""What a lab owes to the cells of its notebook: its messages may come on another thread (a kernel subshell)."""

import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from IPython.core.getipython import get_ipython
from matplotlib.mathtext import MathTextParser


class _Listening(threading.local):
    heard: list[str] | None = None  # what this thread has printed since it began to listen, if it does


_listening = _Listening()


def protect_cells() -> None:
    """Make what a lab does on its thread safe for a cell that runs meanwhile. To be called by a cell."""
    _keep_cell_hooks_on_the_main_thread()
    _read_one_formula_at_a_time()
    _put_ears_on()


@contextmanager
def hearing() -> Iterator[list[str]]:
    """Collect what this thread prints; a cell that runs at the same time keeps printing under itself."""
    before, heard = _listening.heard, []
    _listening.heard = heard
    try:
        yield heard
    finally:
        _listening.heard = before


class _Ear:
    """A stand-in for a stream: keeps what a listening thread writes, passes on what the others write."""

    def __init__(self, stream):
        self.stream = stream

    def write(self, text: str) -> int:
        """Keep or pass on `text`."""
        if _listening.heard is None:
            return self.stream.write(text)
        _listening.heard.append(text)
        return len(text)

    def __getattr__(self, name):
        return getattr(self.stream, name)


def _put_ears_on() -> None:
    """Stand an ear before stdout and stderr, for good.

    One for each computation will not do: Python up to 3.12.9 prints to the end to the stream that it found at the
    beginning, and where another thread has put another one in its place and dropped the first, the process dies
    (https://github.com/python/cpython/issues/130163).
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, _Ear):
            setattr(sys, name, _Ear(stream))


def _read_one_formula_at_a_time() -> None:
    """Let threads wait for one another at Matplotlib's only reader of formulas.

    Matplotlib does so while it draws, but not in a cell's `tight_layout`: the cell or the lab would then show errors of
    formulas that have none (https://github.com/matplotlib/ipympl/issues/610).
    """
    parse, alone = MathTextParser.parse, threading.RLock()
    if hasattr(parse, "__wrapped__"):
        return

    @functools.wraps(parse)
    def parse_alone(*args, **kwargs):
        with alone:
            return parse(*args, **kwargs)

    MathTextParser.parse = parse_alone


def _keep_cell_hooks_on_the_main_thread() -> None:
    """Keep IPython's after-cell hooks, such as "draw and close all pyplot figures", to the thread of the cells.

    A widget's message fires them too: they would draw and close the figure that the cell is still building.
    """
    shell = get_ipython()
    if shell is None or hasattr(shell.events, "unguarded_trigger"):
        return
    trigger = shell.events.unguarded_trigger = shell.events.trigger

    def guarded(event: str, *args, **kwargs) -> None:
        of_cell = threading.current_thread() is threading.main_thread()
        if of_cell or event not in ("pre_execute", "post_execute"):
            trigger(event, *args, **kwargs)

    shell.events.trigger = guarded
