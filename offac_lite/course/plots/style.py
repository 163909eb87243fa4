"""The look of the course's figures: Matplotlib's defaults and a few settings, whatever the reader has set.

A style such as `dark_background`, `rcParams["text.usetex"] = True` or a matplotlibrc is for the reader's own figures.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["course_style"]

SETTINGS: dict[str, Any] = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"} | {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "figure.dpi": 110,
}

_in_style: ContextVar[bool] = ContextVar("_in_style", default=False)


@contextmanager
def course_style() -> Iterator[None]:
    """Make and draw figures with the course's settings, in a `with` or as a decorator: `@course_style()`.

    Only this thread sees them. The reader's settings are never changed, so a lab that draws on another thread leaves
    the figures of a running cell alone, as `matplotlib.rc_context` would not.

    >>> with course_style():
    ...     matplotlib.rcParams["axes.titlelocation"]
    'left'
    >>> matplotlib.rcParams["axes.titlelocation"]
    'center'
    """
    before = _in_style.set(True)
    try:
        yield
    finally:
        _in_style.reset(before)


class _RcParams(matplotlib.RcParams):
    """Matplotlib's settings, read as the course's inside `course_style`."""

    def __getitem__(self, key: str) -> Any:
        # A copy holds what was set, so that rc_context restores that.
        if _in_style.get() and self is matplotlib.rcParams and key in SETTINGS:
            return SETTINGS[key]
        return super().__getitem__(key)


matplotlib.rcParams.__class__ = _RcParams


def _styled(cls: type) -> type:
    """Run every public method of a class in `course_style`, also where a notebook's cell calls it."""
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(cls, name, _in_course_style(method))
    return cls


def _in_course_style(method: Callable) -> Callable:
    @functools.wraps(method)
    def styled(*args, **kwargs):
        before = _in_style.set(True)
        try:
            return method(*args, **kwargs)
        finally:
            _in_style.reset(before)

    return styled


@_styled
class CourseAxes(Axes):
    """Axes that look the same whatever the reader's settings are."""


@_styled
class CourseFigure(Figure):
    """A figure that looks the same whatever the reader's settings are, with `CourseAxes`."""

    def add_subplot(self, *args, **kwargs):
        """Add axes as `Figure.add_subplot` does; they are `CourseAxes`."""
        return super().add_subplot(*args, **({"axes_class": CourseAxes} | kwargs))
