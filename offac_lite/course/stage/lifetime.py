"""How long a lab lives: as long as something refers to it, or a cell shows it."""

import gc
import re
import weakref
from collections.abc import Callable
from typing import Any

import ipywidgets
from IPython.core.getipython import get_ipython

gc.freeze()  # what was imported before this module stays, and is not searched for what to free
_shown: dict[str, tuple[int, list[Any]]] = {}  # cell → the number of its last run, and what that run has shown


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
        gc.collect()
    _shown[cell] = (number, [*owners, owner])


def _forget_outputs(shell, gone: set[int]) -> None:
    """Remove from IPython's history of outputs what has one of these ids: `Out[3]`, `_3`, `_`, `__`, `___`."""
    for names in (shell.user_ns, shell.user_ns_hidden, shell.user_ns["_oh"]):
        for name in [name for name, value in names.items() if id(value) in gone and re.fullmatch(r"_*\d*", str(name))]:
            del names[name]
    for name in ("_", "__", "___"):
        if id(getattr(shell.displayhook, name, None)) in gone:
            setattr(shell.displayhook, name, None)


def _running_cell(shell) -> str:
    """Return what identifies the running cell: the page's name for it, or its source where the page gives none."""
    metadata = (getattr(shell, "parent_header", None) or {}).get("metadata", {})
    return metadata.get("cellId") or shell.user_ns["In"][-1]


def collect() -> None:
    """Free the memory of earlier labs that nothing needs any more.

    Figures, caches and Matplotlib's parser of formulas leave objects that refer to each other, and to what was running.
    Python would find them much later.
    """
    gc.collect()


def close_with(owner: Any, widget: ipywidgets.Widget) -> None:
    """Close `widget`, with all that it is made of, when nothing refers to `owner` any more.

    An open widget is kept by its library until the kernel stops, with all that its callbacks refer to: see `weak`.
    """
    weakref.finalize(owner, _close, widget).atexit = False


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
