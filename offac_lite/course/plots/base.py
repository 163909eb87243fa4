"""One palette and one style for the whole course, and no pyplot, so that a figure is a value like any other."""

import io
import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# One colour per quantity (Okabe & Ito, 2008), always with a line style or a marker of its own.
EXACT = "#000000"  # exact ∇J, exact values
STORED = "#E69F00"  # the stored action
NEXT = "#56B4E9"  # a′, sampled now for the critic's target
RESAMPLED = "#009E73"  # aᵖ, sampled now for the actor
SURROGATE = "#CC79A7"  # the exact gradient under the buffer's states
STATES = "#0072B2"  # variance across states: the floor
ACTIONS = "#D55E00"  # variance across actions: what K lowers
MUTED = "#6E6E6E"

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "figure.dpi": 110,
}

STEADY = 9  # digits drawn of a computed number: the last bits of a linear solve depend on where its memory lies


def figure(width: float = 9.0, height: float = 3.4, **subplots) -> tuple[Figure, np.ndarray]:
    """Make a figure of width × height inches with its own Agg canvas, and a 1-D array of axes.

    `subplots` are keyword arguments of `Figure.subplots`, such as `ncols=2`.

    >>> fig, (left, right) = figure(ncols=2)
    """
    with matplotlib.rc_context(STYLE):
        fig = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(fig)
        axes = fig.subplots(**({"squeeze": False} | subplots))
    return fig, np.ravel(axes)


def whole_decades(ax, low: float, high: float, steady: tuple[float, float], step: int = 1) -> None:
    """Let a logarithmic y-axis reach over whole decades from `low` to `high`, the upper end in steps of `step` decades.

    It reaches at least over `steady`: so the limits seldom change, which moves what else is there and redraws the axes.
    """
    low, high = min(low, steady[0]), max(high, steady[1])
    limits = (10.0 ** math.floor(math.log10(low)), 10.0 ** (step * math.ceil(math.log10(high) / step)))
    if limits != ax.get_ylim():
        ax.set_ylim(limits)
        ax.minorticks_off()


def png(fig: Figure) -> bytes:
    """Render a figure to the bytes of a PNG: the same figure, the same bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        fig.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


class Numbers:
    """A table of names and numbers in place of a plot: `ax` gives the place, `artist` is what changes.

    `width`: characters from the left edge to the last digit. The names are drawn once, and again only where they
    change, for in a lab drawing text is what takes the time.
    """

    def __init__(self, ax, width: int = 24, size: float = 9.0):
        ax.set_axis_off()
        look = dict(va="top", fontsize=size, family="monospace", linespacing=1.5, annotation_clip=False)
        place = dict(xy=(0, 1), xycoords="axes fraction", textcoords="offset points")
        self.names = ax.annotate("", xytext=(0, 0), zorder=1, **place, **look)  # below what changes: in the background
        end = 0.602 * size * width  # a character of DejaVu Sans Mono is 0.602 em wide
        self.artist = ax.annotate("", xytext=(end, 0), ha="right", multialignment="right", **place, **look)

    def update(self, rows: Sequence[tuple[str, float | str | None]]) -> None:
        """Write a name and its number in each row: three digits, or a text as it is, or nothing for None."""
        names = "\n".join(name for name, _ in rows)
        if names != self.names.get_text():
            self.names.set_text(names)
        told = [" " if x is None else x if isinstance(x, str) else short(x) for _, x in rows]
        self.artist.set_text("\n".join(told))


def show(fig: Figure, summary: str) -> None:
    """Display a figure in a notebook, and print under it, in words and numbers, what it shows.

    `summary` is also the picture's alternative text and what stands in for it where no picture can be shown.
    """
    from IPython.display import display

    bundle = {"image/png": png(fig), "text/plain": summary}
    display(bundle, raw=True, metadata={"image/png": {"alt": summary}})
    print(summary)


def short(number: float) -> str:
    """Write a number with three digits, and what is only rounding error as 0.

    >>> short(0.00012345), short(97.21), short(3e-17)
    ('0.000123', '97.2', '0')
    """
    return "0" if abs(number) < 1e-12 else f"{number:.3g}"
