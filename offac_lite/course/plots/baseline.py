"""The view of the baseline lab."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from offac_lite.course.plots.base import EXACT, MUTED, RESAMPLED, figure, rounded, zero_lines
from offac_lite.course.plots.cloud import GHOST, arrange_axes
from offac_lite.course.plots.style import course_style

__all__ = ["BaselineView"]

ALONG, ACROSS = (-3.6, 5.6), 3.4
"""The frame of the clouds, in lengths of ∇J. It never follows them."""
TOP = 2.2
"""The highest variance that is drawn, where that of Q with 64 transitions is 1."""


class BaselineView:
    """Two clouds of gradient estimates in one frame, and the variance against the share of V that is subtracted.

    It shows a `labs.baseline.BaselineResult`. The left cloud is that of Q itself with 64 transitions, and stays. Both
    have the same exact mean, ∇J. An estimate outside the frame is a triangle at its edge.
    """

    def __init__(self, shares: Sequence[float]):
        self.shares = np.asarray(shares)
        self.figure, axes = figure(9.3, 3.2, ncols=3)
        self.fixed, self.free, self.curve = axes
        with course_style():
            self.reference = self._cloud(self.fixed, GHOST)
            self.points = self._cloud(self.free, RESAMPLED)
            self.fixed.set_title("Q, N = 64", color=MUTED)
            self.title = self.free.set_title("")
            self._build_curve()
        self.artists = [*self.reference, *self.points, self.title, self.variance, self.here, self.number]
        self.arrange(narrow=False)

    def _cloud(self, ax: Axes, color: str) -> list[Line2D]:
        """Make the dots inside the frame, those outside, and the circle of the exact mean."""
        zero_lines(ax)
        dots = dict(ls="", mew=0, ms=4, alpha=0.55, color=color, zorder=2)
        (inside,) = ax.plot([], [], marker="o", **dots)
        (outside,) = ax.plot([], [], marker="^", clip_on=False, **dots)
        ax.plot([1], [0], color=EXACT, marker="*", ms=13, mec="white", mew=0.8, zorder=4)
        (mean,) = ax.plot([], [], "o", color=EXACT, mfc="none", ms=17, mew=2, zorder=3)
        mean.set_path_effects([withStroke(linewidth=4.4, foreground="white")])
        name = ax.annotate("∇J", (1, 0), (10, 8), textcoords="offset points", color=EXACT, fontsize=11, zorder=5)
        name.set_path_effects([withStroke(linewidth=3, foreground="white")])
        ax.set(xlim=ALONG, ylim=(-ACROSS, ACROSS), xticks=range(-2, 6, 2), yticks=range(-2, 4, 2), aspect="equal")
        ax.set_xlabel("along ∇J")
        return [inside, outside, mean]

    def _build_curve(self) -> None:
        ax = self.curve
        ax.axhline(1, color=MUTED, ls=(0, (1, 1.2)), lw=1.4)
        ax.annotate("Q, N = 64", (1.98, 1), (0, 3), textcoords="offset points", color=MUTED, fontsize=9, ha="right")
        (self.variance,) = ax.plot([], [], color=RESAMPLED, lw=2.4)
        (self.here,) = ax.plot([], [], "o", color=RESAMPLED, ms=9, mec="black", clip_on=False)
        ax.set(xlim=(0, 2), ylim=(0, TOP), xticks=[0, 1, 2], yticks=[0, 1, 2])
        ax.set_xlabel("c, share of V subtracted")
        self.number = ax.set_title("")

    def arrange(self, narrow: bool) -> None:
        """Put the clouds and the curve side by side, or the curve below the clouds."""
        if narrow:
            places = {self.fixed: (38, 26, 166, 123), self.free: (216, 26, 166, 123), self.curve: (38, 222, 338, 190)}
            arrange_axes(self.figure, (390, 462), places)
        else:
            places = {self.fixed: (36, 26, 300, 222), self.free: (366, 26, 300, 222), self.curve: (706, 26, 212, 222)}
            arrange_axes(self.figure, (930, 296), places)
        self.free.set_yticklabels([])

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        for (inside, outside, mean), points in ((self.reference, result.reference), (self.points, result.points)):
            edge = np.clip(np.asarray(points), (ALONG[0], -ACROSS), (ALONG[1], ACROSS))
            beyond = (edge != np.asarray(points)).any(-1)
            inside.set_data(*rounded(edge[~beyond]).T)
            outside.set_data(*rounded(edge[beyond]).T)
            mean.set_data(*rounded(result.mean)[:, None])
        self.title.set_text(f"Q − {result.share:.2f} V, N = {result.batch_size}")
        self.variance.set_data(self.shares, rounded(result.variances))
        self.here.set_data([result.share], [min(result.variance, TOP)])
        self.number.set_text(f"variance: {result.variance:.2f}")
