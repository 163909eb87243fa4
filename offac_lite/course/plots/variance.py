"""Clouds of gradient estimates, their variance against K, and the views of the variance labs."""

import torch
from matplotlib.figure import Figure

from offac_lite.course.plots.base import (
    EXACT,
    MUTED,
    RESAMPLED,
    STATES,
    STORED,
    figure,
)
from offac_lite.course.plots.cloud import CloudPanel, Frame, arrange_axes
from offac_lite.course.plots.style import course_style

__all__ = ["Plane", "VarianceView", "variance_against_k"]


def variance_against_k(ks, exact, sampled, *, floor: float, reference: float, k_star: float) -> Figure:
    """Draw a variance that falls with K towards its floor: exact values as a line, sampled ones as dots.

    `reference` is the variance with one action and a baseline. The curve reaches it at `k_star`.
    """
    fig, (ax,) = figure(7.0, 3.6)
    ax.plot(ks, exact, color=RESAMPLED, lw=2.4, label="Q itself, exact")
    ax.plot(ks, sampled, "o", color=RESAMPLED, mec="white", ms=8, label="Q itself, sampled")
    ax.axhline(reference, color=EXACT, ls=":", label="one action with the baseline V")
    ax.axhline(floor, color=STATES, ls="-.", label="the floor: variance across states")
    ax.axvline(k_star, color=MUTED, lw=1)
    ax.annotate(f" K* = {k_star:.1f}", (k_star, max(exact)), color=MUTED, va="top")
    ax.set(
        xscale="log", yscale="log", xlabel="K, resampled actions per state", ylabel="variance of an estimate (trace)"
    )
    ax.set_xticks(ks, [f"{k}" for k in ks])
    ax.minorticks_off()
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


class Plane:
    """The plane of gradients that is spanned by ∇J and one other gradient.

    Axis 1 is `target` (S, A), normalised. Axis 2 is the part of `other` at right angles to it, normalised. Calling the
    plane with gradients (..., S, A) returns coordinates (..., 2).

    >>> plane = Plane(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 1.0]]))
    >>> plane(torch.tensor([[3.0, 4.0]]))
    tensor([3., 4.])
    """

    def __init__(self, target: torch.Tensor, other: torch.Tensor):
        first = target.flatten() / target.norm()
        rest = other.flatten() - (other.flatten() @ first) * first
        self.axes = torch.stack([first, rest / rest.norm()])

    def __call__(self, gradients: torch.Tensor) -> torch.Tensor:
        """Project gradients (..., S, A) to coordinates (..., 2)."""
        return gradients.flatten(-2) @ self.axes.T


class VarianceView:
    """The cloud of estimates around ∇J with the ring of the baseline, and three numbers.

    It shows a `labs.variance.VarianceResult`. The `frame` of the cloud stays: see `CloudPanel`.
    """

    def __init__(self, frame: Frame):
        self.figure, (cloud, self.side) = figure(8.6, 3.6, ncols=2)
        with course_style():
            self.cloud = CloudPanel(cloud, frame)
            self.side.set(xlim=(0, 1), ylim=(0, 1))
            self.side.set_axis_off()
            rows = [self._row(*row) for row in self._ROWS]
        self.marks, self.numbers = zip(*rows, strict=True)
        self.artists = [*self.cloud.artists, *self.marks, *self.numbers]
        self.arrange(narrow=False)

    _ROWS = (
        (1.00, RESAMPLED, "o", "of 300 estimates\npoint uphill"),
        (0.62, RESAMPLED, "-", "lengths of ∇J from ∇J\n(root mean square)"),
        (0.24, EXACT, ":", "the same for Q − V\nand one action"),
    )

    def _row(self, top: float, color: str, look: str, words: str) -> tuple:
        """Write what a number means beside the mark that it belongs to; return the artists of mark and number."""
        dot = dict(marker="o", ms=6, mew=0, ls="") if look == "o" else dict(ls="-" if look == "-" else (0, (1, 1.2)))
        (mark,) = self.side.plot([0.045] if look == "o" else [0, 0.09], [top - 0.065] * (1 + (look != "o")), **dot)
        mark.set(color=color, linewidth=2)
        self.side.text(0.14, top - 0.15, words, fontsize=9.5, color=MUTED, va="top", linespacing=1.35)
        return mark, self.side.text(0.14, top, "", fontsize=17, color=EXACT, va="top")

    def arrange(self, narrow: bool) -> None:
        """Put the numbers beside the cloud, or below it."""
        low, high, top = self.cloud.frame
        if narrow:
            height = round(322 * top / (high - low))
            places = {self.cloud.ax: (58, 12, 322, height), self.side: (58, height + 72, 330, 250)}
            arrange_axes(self.figure, (390, height + 340), places)
        else:
            width = round(340 * (high - low) / top)
            places = {self.cloud.ax: (54, 12, width, 340), self.side: (width + 84, 40, 250, 280)}
            arrange_axes(self.figure, (width + 340, 400), places)

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        color = STORED if result.estimator in ("stored", "importance") else RESAMPLED
        self.cloud.update(result.cloud, color)
        for mark in self.marks[:2]:
            mark.set_color(color)
        values = f"{result.cloud.uphill:.0%}", f"{result.cloud.distance:.1f}", f"{result.cloud.ring:.1f}"
        for number, value in zip(self.numbers, values, strict=True):
            number.set_text(value)

    def pin(self, result) -> None:
        """Keep a result's cloud as a grey ghost; None takes it away."""
        self.cloud.pin(None if result is None else result.cloud)
