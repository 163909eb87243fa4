"""Clouds of gradient estimates, their variance against K, and the variance lab's view."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from offac_lite.course.plots.base import (
    ACTIONS,
    EXACT,
    MUTED,
    RESAMPLED,
    STATES,
    STORED,
    SURROGATE,
    NumberTable,
    figure,
    legend_below,
    rounded,
    rounded_log,
    whole_decades,
    zero_lines,
)
from offac_lite.course.plots.style import course_style

__all__ = ["Plane", "VarianceView", "gradient_cloud", "variance_against_k"]


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


def gradient_cloud(ax, points, exact, mean, *, color: str = RESAMPLED, title: str = "") -> None:
    """Draw estimates (n, 2), their `mean` (2,), and an arrow for the exact gradient `exact` (2,)."""
    points, exact, mean = (np.asarray(x) for x in (points, exact, mean))
    ax.scatter(*points.T, s=5, color=color, alpha=0.35, linewidth=0, label="one estimate each")
    ax.annotate(
        "", exact, (0, 0), arrowprops={"arrowstyle": "-|>", "color": EXACT, "lw": 2, "shrinkA": 0, "shrinkB": 0}
    )
    ax.plot([], [], color=EXACT, lw=2, label="exact ∇J")
    ax.plot(*mean, marker="X", markersize=9, color=color, markeredgecolor="white", linestyle="", label="their mean")
    zero_lines(ax)
    ax.set(xlabel="along ∇J", ylabel="at right angles to ∇J", title=title)


class VarianceView:
    """The cloud of estimates, the variance against K with its floor, and the numbers.

    It shows a `labs.variance.VarianceResult`. The axis of the variance spans at least `variance_range`.
    """

    def __init__(self, ks: Sequence[int], variance_range: tuple[float, float] = (1e-5, 10.0)):
        self.ks, self.variance_range = np.asarray(ks), variance_range
        self.figure, (cloud, self.curve, numbers) = figure(9.8, 4.0, ncols=3, width_ratios=[1, 1.1, 0.62])
        with course_style():
            self._build_cloud(cloud)
            self._build_curve(self.curve)
            self.numbers = NumberTable(numbers)
        self.artists = [self.points, self.surrogate, self.mean, self.exact, self.scale]
        self.artists += [self.actions, self.floor, self.total, self.reference, self.here, self.numbers.artist]

    def _build_cloud(self, ax) -> None:
        zero_lines(ax)
        dot = dict(linestyle="", markeredgecolor="white")
        (self.points,) = ax.plot([], [], ".", color=RESAMPLED, alpha=0.4, ms=4, mew=0, label="estimates")
        (self.exact,) = ax.plot([], [], color=EXACT, lw=2.5, marker="o", markevery=[-1], ms=5, label="exact ∇J")
        (self.surrogate,) = ax.plot([], [], "D", color=SURROGATE, ms=8, **dot, label="exact, buffer's states")
        (self.mean,) = ax.plot([], [], "X", color=RESAMPLED, ms=9, **dot, label="their exact mean")
        self.scale = ax.set_title("")
        ax.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(-1, 1), xlabel="along ∇J →", ylabel="at right angles to ∇J")
        self.cloud_legend = legend_below(ax, "left", ncols=2)

    def _build_curve(self, ax) -> None:
        (self.total,) = ax.plot([], [], "-", color=RESAMPLED, lw=2.4, label="total")
        (self.actions,) = ax.plot([], [], "--", color=ACTIONS, lw=1.8, label="across actions")
        (self.floor,) = ax.plot([], [], "-.", color=STATES, lw=1.8, label="across states: the floor")
        (self.reference,) = ax.plot([], [], ":", color=EXACT, lw=1.4, label="total with V at K = 1")
        (self.here,) = ax.plot([], [], "o", color=RESAMPLED, ms=9, mec="black", label="you are here")
        ax.set(xscale="log", yscale="log", xlim=(0.9, 1.1 * self.ks[-1]), ylim=(1e-5, 1e3))
        ax.set_xticks(self.ks, [f"{k}" for k in self.ks])
        ax.minorticks_off()
        ax.set(xlabel="K, resampled actions per state", title="variance of one estimate (trace)")
        self.curve_legend = legend_below(ax, "right", ncols=3)

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        m, unit = result.moments, result.scale
        origin = torch.zeros(2, dtype=torch.float64)
        for artist, xy in (
            (self.points, result.points),
            (self.mean, result.mean[None]),
            (self.surrogate, result.surrogate[None]),
            (self.exact, torch.stack([origin, result.exact])),
        ):
            artist.set_data(*rounded((xy / unit).T))
        self.scale.set_text(f"gradients (edge: ±{unit:g})")
        self._color(STORED if result.estimator in ("stored", "importance") else RESAMPLED)
        lowest_drawn = 1e-12  # below the axis
        floor = rounded_log(np.full(len(self.ks), m.variance_states), lowest_drawn)
        actions = rounded_log(result.actions_by_k, lowest_drawn)
        self.floor.set_data(self.ks, floor)
        self.actions.set_data(self.ks, actions)
        self.total.set_data(self.ks, floor + actions)
        self.reference.set_data(self.ks, np.full(len(self.ks), max(result.reference_variance, lowest_drawn)))
        self.here.set_data([m.action_samples], [max(m.variance, lowest_drawn)])
        low = min(x for x in (*floor, actions[-1] + floor[-1], result.reference_variance) if x > lowest_drawn)
        whole_decades(self.curve, low / 2, 2 * np.nanmax(floor + actions), self.variance_range)
        rows = [
            ("the mean is off", None),
            (" exact ∇J by", m.bias),
            (" buffer's ◆ by", m.bias_surrogate),
            ("length of ∇J", m.target.norm().item()),
            ("cosine", m.cosine),
            ("", None),
            ("variance", m.variance),
            (" across states", m.variance_states),
            (" across actions", m.variance_actions),
            ("", None),
            ("break-even K*", result.k_star),
        ]
        self.numbers.update(rows)

    def _color(self, color: str) -> None:
        """Give the estimates the colour of the action that they use, in panels and legends."""
        if color == self.points.get_color():
            return
        self.cloud_legend.stale = self.curve_legend.stale = True  # a change of their handles is not noticed
        (cloud, _, _, mean), (total, _, _, _, here) = self.cloud_legend.legend_handles, self.curve_legend.legend_handles
        for line in (self.points, self.mean, self.total, self.here, cloud, mean, total, here):
            line.set_color(color)
            line.set_markerfacecolor(color)
