"""The palette and the style of all figures, and the pieces that several of them use. Nothing here uses pyplot."""

import html
import io
import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from offac_lite.course.plots.style import CourseFigure, course_style

__all__ = [
    "ACTIONS",
    "EXACT",
    "MUTED",
    "NEXT",
    "RESAMPLED",
    "STATES",
    "STORED",
    "SURROGATE",
    "apart",
    "figure",
    "png",
    "short",
    "show",
    "table",
]

# One colour per quantity (Okabe & Ito, 2008), always with a line style or a marker of its own.
EXACT = "#000000"  # exact ∇J, exact values
STORED = "#E69F00"  # the stored action
NEXT = "#56B4E9"  # a′, sampled now for the critic's target
RESAMPLED = "#009E73"  # aᵖ, sampled now for the actor
SURROGATE = "#CC79A7"  # the exact gradient under the buffer's states
STATES = "#0072B2"  # variance across states: the floor
ACTIONS = "#D55E00"  # variance across actions: what K lowers
MUTED = "#6E6E6E"
DOWNHILL = "#ECECEC"  # behind updates that lower J; the palette of a lab's picture turns lighter greys into white

DIGITS = 9
"""Digits that are drawn of a computed number. The last bits of a linear solve depend on where its memory lies."""


def figure(width: float = 9.0, height: float = 3.4, **subplots) -> tuple[Figure, np.ndarray]:
    """Return a figure of width × height inches with its own Agg canvas, and a 1-D array of its axes.

    `subplots` are keyword arguments of `Figure.subplots`, such as `ncols=2`.

    >>> fig, (left, right) = figure(ncols=2)
    """
    with course_style():
        fig = CourseFigure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(fig)
        axes = fig.subplots(**({"squeeze": False} | subplots))
    return fig, np.ravel(axes)


def whole_decades(ax, low: float, high: float, at_least: tuple[float, float], step: int = 1) -> None:
    """Let a logarithmic y-axis span whole decades from `low` to `high`; the upper limit moves by `step` decades.

    It spans `at_least` this range, so that the limits seldom change. A change redraws the axes and moves the curves.
    """
    low, high = min(low, at_least[0]), max(high, at_least[1])
    limits = (10.0 ** math.floor(math.log10(low)), 10.0 ** (step * math.ceil(math.log10(high) / step)))
    if limits != ax.get_ylim():
        ax.set_ylim(limits)
        ax.minorticks_off()


def rounded(values) -> np.ndarray:
    """Round computed numbers to the digits that are drawn."""
    return np.round(np.asarray(values), DIGITS)


def rounded_log(values, lowest: float) -> np.ndarray:
    """Round numbers for a logarithmic axis, on its scale. Numbers below `lowest`, such as 0, are drawn there."""
    return 10 ** rounded(np.log10(np.maximum(np.asarray(values), lowest)))


def zero_lines(ax) -> None:
    """Draw both coordinate axes, thin."""
    ax.axhline(0, color=MUTED, linewidth=0.5)
    ax.axvline(0, color=MUTED, linewidth=0.5)


def png(fig: Figure) -> bytes:
    """Render a figure as a PNG. The same figure gives the same bytes."""
    buffer = io.BytesIO()
    with course_style():
        fig.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def apart(heights: Sequence[float], gap: float) -> list[float]:
    """Raise heights as little as is needed to put neighbours at least `gap` apart, so that labels do not overlap.

    >>> apart([2.0, 0.0, 0.5], 1.0)
    [2.0, 0.0, 1.0]
    """
    raised, last = list(heights), -math.inf
    for place in np.argsort(heights, kind="stable"):
        raised[place] = last = max(raised[place], last + gap)
    return raised


class NumberTable:
    """A table of names and numbers in the place of the axes `ax`. `artist` holds the numbers, which change.

    The names are an artist of their own, redrawn only when they change, because drawing text takes most of a lab's
    time.
    """

    def __init__(self, ax):
        size, width = 9.0, 24  # points, and characters from the left edge to the last digit
        ax.set_axis_off()
        look = dict(va="top", fontsize=size, family="monospace", linespacing=1.5, annotation_clip=False)
        place = dict(xy=(0, 1), xycoords="axes fraction", textcoords="offset points")
        self.names = ax.annotate("", xytext=(0, 0), zorder=1, **place, **look)  # below the numbers, in the background
        end = 0.602 * size * width  # a character of DejaVu Sans Mono is 0.602 em wide
        self.artist = ax.annotate("", xytext=(end, 0), ha="right", multialignment="right", **place, **look)

    def update(self, rows: Sequence[tuple[str, float | str | None]]) -> None:
        """Write a name and its number in each row: three digits of a number, a text as it is, nothing for None."""
        names = "\n".join(name for name, _ in rows)
        if names != self.names.get_text():
            self.names.set_text(names)
        self.artist.set_text("\n".join(self._cell(value) for _, value in rows))

    @staticmethod
    def _cell(value: float | str | None) -> str:
        if value is None:
            return " "
        return value if isinstance(value, str) else short(value)


def show(fig: Figure | bytes, summary: str) -> None:
    """Display a figure, or a PNG, in a notebook. `summary` describes it in words and numbers.

    `summary` is the picture's alternative text, replaces it where no picture can be shown, and is folded away below
    it for screen readers that do not read alternative texts of outputs.
    """
    from IPython.display import display

    picture = fig if isinstance(fig, bytes) else png(fig)
    bundle = {"image/png": picture, "text/plain": summary}
    display(bundle, raw=True, metadata={"image/png": {"alt": summary}})
    folded = f"<details><summary><small>In words</small></summary><small>{html.escape(summary)}</small></details>"
    display({"text/html": folded, "text/plain": ""}, raw=True)


def table(header: Sequence[str], rows: Iterable[Sequence[str | float]]) -> None:
    """Display a table in a notebook. Integers are written as they are, other numbers as `short` writes them."""
    from IPython.display import display

    text = markdown_table(header, rows)
    display({"text/markdown": text, "text/plain": text}, raw=True)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str | float]]) -> str:
    """Write what `table` displays.

    >>> print(markdown_table(("estimator", "K", "‖mean − ∇J‖"), [("stored", 1, 1.23456), ("resampled", 16, 1e-17)]))
    | estimator | K | ‖mean − ∇J‖ |
    |:--|--:|--:|
    | stored | 1 | 1.23 |
    | resampled | 16 | 0 |
    """
    body = [list(row) for row in rows]
    lines = [[_cell(value) for value in line] for line in [header, *body]]
    texts = [any(isinstance(row[i], str) for row in body) for i in range(len(header))]
    rule = "|" + "|".join(":--" if text else "--:" for text in texts) + "|"
    first, *rest = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([first, rule, *rest])


def _cell(value: str | float) -> str:
    return (
        value.replace("|", r"\|") if isinstance(value, str) else str(value) if isinstance(value, int) else short(value)
    )


def short(number: float) -> str:
    """Write a number with three digits, thousands with a comma; a rounding error is written as 0.

    >>> short(0.00012345), short(97.21), short(15731.0), short(1.48e9), short(3e-17)
    ('0.000123', '97.2', '15,700', '1.48e+09', '0')
    """
    digits = "0" if abs(number) < 1e-12 else f"{number:.3g}"
    return f"{float(digits):,.0f}" if 1000 <= abs(float(digits)) < 1e6 else digits
