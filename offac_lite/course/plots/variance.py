"""Clouds of gradient estimates, and their variance against K."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from offac_lite.course.plots.base import (
    ACTIONS,
    EXACT,
    MUTED,
    RESAMPLED,
    STATES,
    STEADY,
    STORED,
    STYLE,
    SURROGATE,
    Numbers,
    figure,
    whole_decades,
)


def variance_against_k(ks, exact, sampled, *, floor: float, reference: float, k_star: float) -> Figure:
    """Draw a variance that falls with K towards its floor: exact as a line, sampled as dots, K* where it crosses.

    `reference` is the variance with one action and a baseline, which the curve reaches at `k_star`.
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
    """The plane in which the course looks at gradients: along ∇J, and along what the buffer's states add to it.

    Axis 1 is `target` (S, A), normalised; axis 2 is the part of `other` that is at right angles to it. Calling the
    plane on gradients (..., S, A) gives coordinates (..., 2).

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
    """Draw estimates (n, 2) around their `mean` (2,) and the arrow of the exact gradient `exact` (2,)."""
    points, exact, mean = (np.asarray(x) for x in (points, exact, mean))
    ax.scatter(*points.T, s=5, color=color, alpha=0.35, linewidth=0, label="one estimate each")
    ax.annotate(
        "", exact, (0, 0), arrowprops={"arrowstyle": "-|>", "color": EXACT, "lw": 2, "shrinkA": 0, "shrinkB": 0}
    )
    ax.plot([], [], color=EXACT, lw=2, label="exact ∇J")
    ax.plot(*mean, marker="X", markersize=9, color=color, markeredgecolor="white", linestyle="", label="their mean")
    ax.axhline(0, color=MUTED, linewidth=0.5)
    ax.axvline(0, color=MUTED, linewidth=0.5)
    ax.set(xlabel="along ∇J", ylabel="at right angles to ∇J", title=title)


class VarianceView:
    """The variance lab's figure: the cloud of estimates, the variance against K with its floor, and the numbers.

    `update(result)` takes a `labs.VarianceResult` and changes the artists in place. `figure` is the Matplotlib
    figure and `artists` are all that changes in it. The axis of the variance reaches at least over `steady`.
    """

    def __init__(self, ks: Sequence[int], steady: tuple[float, float] = (1e-5, 10.0)):
        self.ks, self.steady = np.asarray(ks), steady
        self.figure, (cloud, self.curve, numbers) = figure(9.8, 4.0, ncols=3, width_ratios=[1, 1.1, 0.62])
        with matplotlib.rc_context(STYLE):
            self._build_cloud(cloud)
            self._build_curve(self.curve)
            self.numbers = Numbers(numbers)
        self.artists = [self.points, self.surrogate, self.mean, self.exact, self.scale]
        self.artists += [self.actions, self.floor, self.total, self.reference, self.here, self.numbers.artist]

    def _build_cloud(self, ax) -> None:
        ax.axhline(0, color=MUTED, linewidth=0.5)
        ax.axvline(0, color=MUTED, linewidth=0.5)
        dot = dict(linestyle="", markeredgecolor="white")
        (self.points,) = ax.plot([], [], ".", color=RESAMPLED, alpha=0.4, ms=4, mew=0, label="estimates")
        (self.exact,) = ax.plot([], [], color=EXACT, lw=2.5, marker="o", markevery=[-1], ms=5, label="exact ∇J")
        (self.surrogate,) = ax.plot([], [], "D", color=SURROGATE, ms=8, **dot, label="exact, buffer's states")
        (self.mean,) = ax.plot([], [], "X", color=RESAMPLED, ms=9, **dot, label="their exact mean")
        self.scale = ax.set_title("")
        ax.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(-1, 1), xlabel="along ∇J →", ylabel="at right angles to ∇J")
        where = dict(loc="outside lower left", ncols=2, fontsize=8.5, frameon=False)
        self.cloud_legend = self.figure.legend(*ax.get_legend_handles_labels(), **where)

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
        where = dict(loc="outside lower right", ncols=3, fontsize=8.5, frameon=False)
        self.curve_legend = self.figure.legend(*ax.get_legend_handles_labels(), **where)

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
            artist.set_data(*np.round((xy / unit).T.numpy(), STEADY))
        self.scale.set_text(f"gradients (edge: ±{unit:g})")
        self._color(STORED if result.estimator in ("stored", "importance") else RESAMPLED)
        below = 1e-12  # where the logarithmic axis no longer reaches
        floor = np.full(len(self.ks), max(m.variance_states, below))
        actions = np.maximum(result.actions_by_k, below)
        floor, actions = (10 ** np.round(np.log10(variance), STEADY) for variance in (floor, actions))
        self.floor.set_data(self.ks, floor)
        self.actions.set_data(self.ks, actions)
        self.total.set_data(self.ks, floor + actions)
        self.reference.set_data(self.ks, np.full(len(self.ks), max(result.reference_variance, below)))
        self.here.set_data([m.action_samples], [max(m.variance, below)])
        low = min(x for x in (*floor, actions[-1] + floor[-1], result.reference_variance) if x > below)
        whole_decades(self.curve, low / 2, 2 * np.nanmax(floor + actions), self.steady)
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
        """Give the estimates the colour of the action they use, in the panels and in both legends."""
        if color == self.points.get_color():
            return
        self.cloud_legend.stale = self.curve_legend.stale = True  # their handles do not say that they have changed
        (cloud, _, _, mean), (total, _, _, _, here) = self.cloud_legend.legend_handles, self.curve_legend.legend_handles
        for line in (self.points, self.mean, self.total, self.here, cloud, mean, total, here):
            line.set_color(color)
            line.set_markerfacecolor(color)
