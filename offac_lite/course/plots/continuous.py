"""Figures of continuous actions: densities, a policy over Q, the variance of both gradients, and the lab's view."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from offac_lite.course.plots.base import (
    EXACT,
    MUTED,
    RESAMPLED,
    NumberTable,
    figure,
    rounded,
    rounded_log,
    whole_decades,
)
from offac_lite.course.plots.cloud import arrange_axes
from offac_lite.course.plots.learning import learning_curves
from offac_lite.course.plots.style import course_style

__all__ = [
    "PATHWISE",
    "ContinuousView",
    "policy_over_q",
    "right_value_wrong_slope",
    "sac_curves",
    "squashed_densities",
]

PATHWISE = "#882255"
"""The gradient through the action, always dashed (wine, from Paul Tol's colours)."""


def squashed_densities(actions, densities: dict, low: float, high: float) -> Figure:
    """Draw densities over the action axis, {name: values}, between the bounds of the actions."""
    fig, (ax,) = figure(7.0, 2.9)
    for (name, density), style, width in zip(densities.items(), ("-", "--", ":"), (2.4, 2.0, 2.2), strict=False):
        ax.plot(actions, density, color=RESAMPLED, ls=style, lw=width, label=name)
    for bound, label in ((low, "bounds of the actions"), (high, "")):
        ax.axvline(bound, color=MUTED, lw=1, label=label)
    ax.set(xlabel="action a", ylabel="density π(a|s)", ylim=(0, None))
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def policy_over_q(ax, actions, q, density, *, title: str = "") -> None:
    """Draw Q(a) as a line and the policy's density as an area, which is a third as high as the axis."""
    actions, q, density = (np.asarray(x) for x in (actions, q, density))
    ax.plot(actions, q, color=EXACT, lw=2, label="Q(a)")
    low, high = ax.get_ylim()
    hill = low + 0.35 * (high - low) * density / density.max()
    ax.fill_between(actions, low, hill, color=RESAMPLED, alpha=0.3, lw=0, label="π(a), its own scale")
    ax.set(ylim=(low, high), xlabel="action a", ylabel="Q(a)")
    ax.set_title(title, loc="left")


def right_value_wrong_slope(actions, q, critic, q_slope, critic_slope, density) -> Figure:
    """Draw Q, a critic that ripples around it and the policy's density; and beside them the slopes of Q and critic."""
    gap = np.abs(np.asarray(critic) - np.asarray(q)).max()
    fig, (left, right) = figure(9.0, 3.2, ncols=2)
    policy_over_q(left, actions, q, density, title=f"values: within {gap:.2g} of each other")
    left.plot(actions, critic, color=MUTED, lw=1.4, ls="--", label="critic")
    left.legend(frameon=False, fontsize=9, loc="upper left")
    right.plot(actions, critic_slope, color=MUTED, lw=1.4, ls="--", label="critic's slope")
    right.plot(actions, q_slope, color=EXACT, lw=2, label="Q′(a)")
    right.axhline(0, color=MUTED, lw=0.7)
    right.set(xlabel="action a", ylabel="slope")
    right.set_title("slopes: nothing alike", loc="left")
    right.legend(frameon=False, fontsize=9, loc="lower left")
    return fig


def sac_curves(runs: dict[str, dict], entropies: Sequence[str], target: float) -> Figure:
    """Draw kept runs of Pendulum: returns of "this course" and "SAC", and median entropies of the variants named.

    `target` is the entropy that SAC aims at. The runs are {variant: steps, returns, entropy}.
    """
    fig, (left, right) = figure(9.4, 3.5, ncols=2)
    for name, color, style in (("this course", RESAMPLED, "-"), ("SAC", PATHWISE, "--")):
        run = runs[name]
        learning_curves(left, run["steps"], run["returns"], color, name, centre="iqm", linestyle=style)
    left.set(xlabel="environment steps", ylabel="return", title="return, interquartile mean and each seed")
    left.legend(frameon=False, loc="lower right")
    styles = ["--", (0, (1, 1)), "-.", "-", (0, (3, 1, 1, 1, 1, 1))]
    for name, style in zip(entropies, styles, strict=False):
        color, run = (PATHWISE if name == "SAC" else MUTED), runs[name]
        right.plot(run["steps"], np.median(run["entropy"], 0), color=color, ls=style, lw=2, label=name)
    for ax in (left, right):
        ax.set_xticks(range(0, run["steps"][-1] + 1, 4000))
    right.axhline(target, color=EXACT, lw=1.2)
    right.annotate("target ", (run["steps"][-1], target), (0, -11), textcoords="offset points", ha="right", fontsize=9)
    right.set(xlabel="environment steps", ylabel="nats", title="median entropy of the policy")
    right.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


_LEGEND = dict(loc="upper left", bbox_to_anchor=(-0.02, -0.21), fontsize=8.5, frameon=False, borderaxespad=0)


class ContinuousView:
    """Q and the policy over the action axis, both variances against σ, and the numbers.

    It shows a `labs.continuous.ContinuousResult`.
    """

    def __init__(self, stds: Sequence[float], actions):
        self.stds, self.actions = np.asarray(stds), np.asarray(actions)
        self.figure, (axis, self.curve, numbers) = figure(9.8, 4.0, ncols=3, width_ratios=[1, 1.1, 0.62])
        with course_style():
            self._build_axis(axis)
            self._build_curve(self.curve)
            self.numbers = NumberTable(numbers)
        self.arrange(narrow=False)
        self.artists = [self.q, self.density, self.level, self.gradient, self.scale]
        self.artists += [self.score, self.pathwise, self.here, self.other, self.numbers.artist]

    def _build_axis(self, ax) -> None:
        ax.axhline(0, color=MUTED, lw=0.5)
        (self.density,) = ax.plot([], [], color=RESAMPLED, lw=2.2, label="policy π(a)")
        (self.q,) = ax.plot([], [], color=EXACT, lw=2, label="Q(a), offset included")
        (self.level,) = ax.plot([], [], color=MUTED, lw=1.4, ls=":", label="V, the mean of Q under π")
        line = dict(color=EXACT, lw=3, marker="o", markevery=[0], ms=6)
        (self.gradient,) = ax.plot([], [], **line, label="exact ∂J/∂μ, as a slope")
        self.scale = ax.set_title("")
        ax.set(xlim=(self.actions[0], self.actions[-1]), ylim=(-1.15, 1.15), yticks=[], xlabel="action a")

    def _build_curve(self, ax) -> None:
        (self.score,) = ax.plot([], [], color=RESAMPLED, lw=2.4, label="score function, K actions")
        (self.pathwise,) = ax.plot([], [], color=PATHWISE, ls="--", lw=2, label="pathwise, one action")
        (self.here,) = ax.plot([], [], "o", color=RESAMPLED, ms=9, mec="black", label="you are here")
        (self.other,) = ax.plot([], [], "D", color=PATHWISE, ms=8, mec="black", label="and here")
        ax.set(xscale="log", yscale="log", xlim=(0.9 * self.stds[0], 1.1 * self.stds[-1]), ylim=(1e-5, 1e9))
        ax.set(xlabel="σ of the policy", title="variance of one estimate of ∂J/∂μ")

    def arrange(self, narrow: bool) -> None:
        """Put the panels side by side, or one below the other."""
        axis, numbers = self.q.axes, self.numbers.artist.axes
        for ax in (axis, self.curve):
            ax.legend(ncols=1 if narrow else 2, **_LEGEND)
        if narrow:
            places = {axis: (14, 26, 362, 200), self.curve: (52, 390, 326, 220), numbers: (60, 760, 300, 230)}
            arrange_axes(self.figure, (390, 1010), places)
        else:
            places = {axis: (14, 26, 310, 262), self.curve: (450, 26, 300, 262), numbers: (790, 30, 200, 262)}
            arrange_axes(self.figure, (1000, 392), places)

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        scale = result.scale
        self.q.set_data(self.actions, rounded(result.q.numpy() / scale))
        density = result.density.numpy()
        self.density.set_data(self.actions, rounded(-1.1 + 0.9 * density / density.max()))
        self.level.set_data(self.actions[[0, -1]], [result.value / scale] * 2)
        around = np.array([result.mean, result.mean + 0.8 * math.copysign(1, result.gradient)])
        self.gradient.set_data(around, (result.q_at_mean + result.gradient * (around - result.mean)) / scale)
        self.scale.set_text(f"policy and Q (edge: ±{scale:g})")
        lowest_drawn = 1e-12
        score = rounded_log(result.score_by_std, lowest_drawn)
        pathwise = rounded_log(result.pathwise_by_std, lowest_drawn)
        self.score.set_data(self.stds, score)
        self.pathwise.set_data(self.stds, pathwise)
        self.here.set_data([result.std], [max(result.score.variance, lowest_drawn)])
        self.other.set_data([result.std], [max(result.pathwise.variance, lowest_drawn)])
        lowest, highest = min(np.nanmin(score), np.nanmin(pathwise)), max(np.nanmax(score), np.nanmax(pathwise))
        whole_decades(self.curve, lowest / 2, 2 * highest, at_least=(1e-5, 1e9), step=3)
        rows = [
            ("exact ∂J/∂μ", result.gradient),
            ("", None),
            ("variance", None),
            (" score, K", result.score.variance),
            (" pathwise, 1", result.pathwise.variance),
            (" their ratio", result.ratio),
            ("", None),
            ("signal / noise", None),
            (" score, K", result.gradient / math.sqrt(result.score.variance)),
            (" pathwise, 1", result.gradient / math.sqrt(result.pathwise.variance)),
            ("", None),
            ("break-even K*", result.k_star),
        ]
        self.numbers.update(rows)
