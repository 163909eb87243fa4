"""How long a lab lives: as long as something refers to it, or a cell shows it."""

import gc
import re
import weakref
from collections.abc import Callable
from typing import Any

import ipywidgets
from IPython.core.getipython import get_ipython

_shown: dict[str, tuple[int, list[Any]]] = {}  # cell → the number of its last run, and what that run has shown
_ended: list[bool] = []  # one entry for each lab that has ended and may still use memory


def hold(owner: Any) -> None:
    """Keep `owner`, which the running cell shows, until this cell runs again. Free what its last run has shown."""
    shell = get_ipython()
    if shell is None:
        return
    cell, number = _running_cell(shell), shell.execution_count
    last, owners = _shown.pop(cell, (number, []))
    if last != number:
        _forget_outputs(shell, {id(one) for one in owners} - {id(owner)})
        owners = []
        collect()
    _shown[cell] = (number, [*owners, owner])


def _forget_outputs(shell, gone: set[int]) -> None:
    """Remove from IPython's history of outputs what has one of these ids: `Out[3]`, `_3`, `_`, `__`, `___`."""
    names, history = shell.user_ns, shell.user_ns.get("_oh", {})
    for name in [name for name, value in names.items() if re.fullmatch(r"_+\d*", name) and id(value) in gone]:
        del names[name]
    for number in [number for number, value in history.items() if id(value) in gone]:
        del history[number]
    for name in ("_", "__", "___"):
        if id(getattr(shell.displayhook, name, None)) in gone:
            setattr(shell.displayhook, name, None)


def _running_cell(shell) -> str:
    """Return what identifies the running cell: the page's name for it, or its source where the page gives none."""
    metadata = (getattr(shell, "parent_header", None) or {}).get("metadata", {})
    return metadata.get("cellId") or shell.user_ns.get("_i" + str(shell.execution_count), "")


def collect() -> None:
    """Free the memory of labs that have ended. Figures and caches refer to themselves, so Python would free it late."""
    if _ended:
        _ended.clear()
        gc.collect()


def close_with(owner: Any, widget: ipywidgets.Widget) -> None:
    """Close `widget`, with all that it is made of, when nothing refers to `owner` any more.

    An open widget is kept by its library for ever, with all that its callbacks refer to: see `weak`.
    """
    weakref.finalize(owner, _end, widget).atexit = False


def _end(widget: ipywidgets.Widget) -> None:
    _ended.append(True)
    _close(widget)


def _close(widget: ipywidgets.Widget) -> None:
    parts = (getattr(widget, name, None) for name in ("layout", "style", "link"))
    for part in (*parts, *getattr(widget, "children", ())):
        if isinstance(part, ipywidgets.Widget):
            _close(part)
    widget.unobserve_all()
    widget.close()


def weak(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a callback that calls a bound method as long as its object lives, and does not keep it alive."""
    reference = weakref.WeakMethod(method)

    def call(*arguments):
        alive = reference()
        return None if alive is None else alive(*arguments)

    return call
