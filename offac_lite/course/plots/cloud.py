"""A cloud of gradient estimates around ∇J, in a frame that stays; and how a lab's figure is arranged."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from offac_lite.course.plots.base import DOWNHILL, EXACT, MUTED, RESAMPLED, rounded

__all__ = ["CloudPanel", "arrange_axes"]

GHOST = "#A8A8A8"
Frame = tuple[float, float, float]  # the lowest and highest value along ∇J, the highest across


class CloudPanel:
    """Estimates as dots: their component along ∇J to the right, the length of the rest upwards, in lengths of ∇J.

    It draws a `labs.cloud.Cloud`. The `frame` never follows the cloud. An estimate outside it is a triangle at the
    edge, in the direction from ∇J in which it lies. With `rings` there are two half circles around ∇J: the root mean
    square of the estimates' distances, and dotted the one that a baseline reaches.
    """

    def __init__(self, ax: Axes, frame: Frame, rings: bool = True):
        self.ax, self.frame = ax, frame
        low, high, top = frame
        ax.set(xticks=range(-15, 20, 5), yticks=range(0, 25, 5), xlim=(low, high), ylim=(0, top), aspect="equal")
        ax.set(xlabel="part along ∇J (both axes in lengths of ∇J)", ylabel="length of the rest")
        ax.axvspan(low, 0, color=DOWNHILL, lw=0, zorder=0)
        for x, text, side in ((low, " downhill", "left"), (high, "uphill ", "right")):
            ax.annotate(text, (x, top), (0, -3), textcoords="offset points", color=MUTED, fontsize=9, ha=side, va="top")
        dots, away = dict(ls="", marker="o", mew=0), dict(ls="", marker="^", mew=0, clip_on=False)
        (self.ghost,) = ax.plot([], [], color=GHOST, ms=3.2, alpha=0.6, zorder=1, **dots)
        (self.ghost_ring,) = ax.plot([], [], color=GHOST, lw=1.6, zorder=1, visible=rings)
        (self.ring,) = ax.plot([], [], color=EXACT, lw=1.8, ls=(0, (1, 1.2)), zorder=4.1, visible=rings)
        (self.points,) = ax.plot([], [], color=RESAMPLED, ms=4.2, alpha=0.55, zorder=3, **dots)
        (self.outside,) = ax.plot([], [], color=RESAMPLED, ms=4.2, alpha=0.55, zorder=3, **away)
        (self.own_ring,) = ax.plot([], [], color=RESAMPLED, lw=1.8, zorder=4, visible=rings)
        ax.plot([1], [0], color=EXACT, marker="*", ms=15, mec="white", mew=0.8, clip_on=False, zorder=5)
        name = ax.annotate("∇J", (1, 0), (9, 4), textcoords="offset points", color=EXACT, fontsize=11, zorder=5)
        name.set_path_effects([withStroke(linewidth=3, foreground="white")])
        self.artists = [self.ghost, self.ghost_ring, self.ring, self.points, self.outside, self.own_ring]

    def update(self, cloud, color: str = RESAMPLED) -> None:
        """Draw a cloud and both rings."""
        drawn, beyond = self._inside(cloud.points)
        self.points.set_data(*drawn[~beyond].T)
        self.outside.set_data(*drawn[beyond].T)
        self.ring.set_data(*_half_circle(cloud.ring))
        self.own_ring.set_data(*_half_circle(cloud.distance))
        for line in (self.points, self.outside, self.own_ring):
            line.set_color(color)

    def pin(self, cloud) -> None:
        """Draw a cloud as a grey ghost; None takes it away."""
        self.ghost.set_data(*(([], []) if cloud is None else self._inside(cloud.points)[0].T))
        self.ghost_ring.set_data(*(([], []) if cloud is None else _half_circle(cloud.distance)))

    def _inside(self, points) -> tuple[np.ndarray, np.ndarray]:
        """Move the points outside the frame towards ∇J, up to the frame's edge; say which ones those are."""
        low, high, top = self.frame
        away = np.asarray(points) - [1.0, 0.0]
        along, across = np.abs(away).T
        room = np.where(away[:, 0] < 0, 1 - low, high - 1)
        share = np.minimum(room / np.maximum(along, room), top / np.maximum(across, top))
        return rounded(share[:, None] * away + [1.0, 0.0]), share < 1


def _half_circle(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper half of a circle around ∇J."""
    angle = np.linspace(0, np.pi, 90)
    return rounded(1 + radius * np.cos(angle)), rounded(radius * np.sin(angle))


def arrange_axes(fig: Figure, size: tuple[int, int], places: Mapping[Axes, tuple[int, int, int, int]]) -> None:
    """Give a figure its width and height, and each Axes its left, top, width and height, all in pixels."""
    width, height = size
    fig.set_layout_engine("none")
    fig.set_size_inches(width / fig.dpi, height / fig.dpi)
    for ax, (left, top, w, h) in places.items():
        ax.set_position((left / width, 1 - (top + h) / height, w / width, h / height))
