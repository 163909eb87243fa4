"""Figures of weighted trajectories: effective samples, variance, bias; and the weights lab's view."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from offac_lite.course.plots.base import (
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
)
from offac_lite.course.plots.style import course_style

__all__ = [
    "WEIGHTED",
    "WeightsView",
    "clipping",
    "effective_samples",
    "variance_against_horizon",
    "variance_against_sharpness",
]

WEIGHTED = "#B5700A"
"""A stored action with a weight: the orange of stored actions, darker the more ratios the weight has."""
_WEIGHTINGS = {
    "none": ("no weight", dict(color=STORED, ls=":", marker="v")),
    "whole": ("whole product", dict(color="#402500", ls="-", marker="s")),
    "causal": ("causal products", dict(color="#804A00", ls="--", marker="^")),
    "single": ("single ratio, exact Q", dict(color=WEIGHTED, ls="-", marker="o")),
    "clipped": ("single ratio, clipped", dict(color=WEIGHTED, ls="-.", marker="D", mfc="white")),
    "resampled": ("resampled, exact Q", dict(color=RESAMPLED, ls=":", marker=None)),
}


def effective_samples(horizons, exact: dict, sampled: dict, n: int) -> Figure:
    """Draw the effective sample size of n trajectories against their length.

    `exact`: {name: n / E[W²] at each of `horizons`}, as lines; `sampled`: {name: (horizons, sizes)}, as dots.
    """
    fig, (ax,) = figure(7.4, 3.5)
    styles = zip(("-", "--", "-."), ("o", "^", "s"), (WEIGHTED, "#804A00", "#402500"), strict=True)
    for (name, sizes), (line, marker, color) in zip(exact.items(), styles, strict=True):
        ax.plot(horizons, sizes, line, color=color, lw=2, label=f"exact, {name}")
        ax.plot(*sampled[name], marker, color=color, mec="white", ms=7.5, label="computed from the sample")
    ax.axhline(1, color=MUTED, ls=":", lw=1)
    ax.annotate("no sample can say less than 1", (horizons[-1], 0.8), color=MUTED, fontsize=9, ha="right", va="top")
    ax.set(yscale="log", ylim=(1e-4, 2 * n), xlabel="length of a trajectory, T steps")
    ax.set_ylabel(f"effective sample size, of {n:,}")
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return fig


def variance_against_horizon(horizons, curves: dict, dots: dict | None = None) -> Figure:
    """Draw {weighting: variance} against the horizon as lines, and {weighting: (horizons, variances)} as dots.

    Variances are in units of ‖∇J‖².
    """
    fig, (ax,) = figure(7.4, 3.4)
    for name, variance in curves.items():
        label, style = _WEIGHTINGS[name]
        ax.plot(horizons, variance, lw=2.2, label=label, **(style | {"marker": None}))
    for name, (at, variance) in (dots or {}).items():
        label, style = _WEIGHTINGS[name]
        ax.plot(at, variance, label=f"{label}, listed", **(style | {"ls": "", "mec": "white", "ms": 8}))
    ax.set(yscale="log", xlabel="length of a trajectory, T steps", ylabel="variance of one estimate / ‖∇J‖²")
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return fig


def clipping(clips, bias, noise, best: float, n: int) -> Figure:
    """Draw the bias, the standard error of n estimates and their total against the clip, in lengths of ∇J."""
    fig, (ax,) = figure(7.4, 3.4)
    bias, noise = np.asarray(bias), np.asarray(noise)
    ax.plot(clips, bias, color=SURROGATE, ls="--", lw=2, label="bias")
    ax.plot(clips, noise, color=STATES, ls="-.", lw=2, label=f"standard error, n = {n}")
    error = np.hypot(bias, noise)
    ax.plot(clips, error, color=EXACT, lw=2.4, label="error, both together")
    ax.plot([best, best], [0, error.min()], color=MUTED, lw=1, ls=":")
    ax.annotate(f"least error at c = {best:.0f} ", (best, 0.02), color=MUTED, fontsize=9, ha="right")
    ax.axhline(1, color=MUTED, ls=":", lw=1)
    ax.annotate("as far off as no step at all", (clips[-1], 1), color=MUTED, fontsize=9, ha="right", va="bottom")
    ax.set(xscale="log", ylim=(0, None), xlabel="c, the largest weight allowed", ylabel="distance from ∇J, in ‖∇J‖")
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def variance_against_sharpness(sharpness, importance, resampled) -> Figure:
    """Draw the variance of weighted stored actions and of resampled ones against the old policy's sharpness."""
    fig, (ax,) = figure(7.4, 3.3)
    ax.plot(sharpness, importance, color=WEIGHTED, lw=2.2, marker="o", ms=4, label="stored, weighted by π/β")
    ax.plot(sharpness, resampled, color=RESAMPLED, lw=2.2, ls="--", label="resampled from π")
    ax.axvline(1, color=MUTED, lw=1, ls=":")
    top = max(*importance, *resampled)
    ax.annotate("β = π ", (1, top), color=MUTED, fontsize=9, ha="right", va="top")
    ax.annotate("β flatter ←", (0.9, 3 * min(importance)), color=MUTED, fontsize=9, ha="right")
    ax.annotate("→ β sharper", (1.1, 3 * min(importance)), color=MUTED, fontsize=9)
    ax.set(yscale="log", xlabel="sharpness κ of the old policy, β ∝ exp(κ · logits of π)")
    ax.set_ylabel("variance (trace), Q − V")
    ax.legend(frameon=False, loc="upper left")
    return fig


class WeightsView:
    """The distributions of data and weight, the error against the horizon, and the numbers.

    It shows a `labs.weights.WeightsResult`.
    """

    def __init__(self, horizons: Sequence[int]):
        self.horizons = np.asarray(horizons)
        self.figure, (self.mass, self.curve, numbers) = figure(9.8, 4.1, ncols=3, width_ratios=[1, 1.15, 0.66])
        with course_style():
            self._build_mass(self.mass)
            self._build_curve(self.curve)
            self.numbers = NumberTable(numbers, width=23)
        self.artists = [self.data, self.wanted, *self.lines.values(), self.here, self.numbers.artist]

    def _build_mass(self, ax) -> None:
        self.data = ax.stairs([1.0], [-1, 1], fill=True, color=WEIGHTED, alpha=0.55, label="where β's data is")
        self.wanted = ax.stairs([1.0], [-1, 1], color=EXACT, lw=1.8, label="where the weight is: π")
        ax.axvline(0, color=MUTED, lw=1, ls=":")
        ax.set(xlim=(-4, 4), ylim=(0, 0.32), xlabel="log₁₀ of the weight", ylabel="probability")
        ax.yaxis.set_major_formatter("{x:.2f}")  # equally wide labels at every height, so that nothing jumps
        ax.set_title("one weight, drawn at random")
        legend_below(ax, "left")

    def _build_curve(self, ax) -> None:
        self.lines = {}
        for name in ("whole", "causal", "single", "clipped", "resampled"):
            label, style = _WEIGHTINGS[name]
            style = style | {"marker": None}
            (self.lines[name],) = ax.plot([], [], lw=2, label=label, **style)
        (self.here,) = ax.plot([], [], "o", color=WEIGHTED, ms=9, mec="black", label="you are here")
        ax.axhline(1, color=MUTED, ls=":", lw=1)
        ax.set(yscale="log", xlim=(0.5, self.horizons[-1] + 0.5), ylim=(0.01, 1000), xlabel="T, steps")
        ax.set_xticks([1, *self.horizons[4::5]])
        ax.set_title("error of the mean of n estimates / ‖∇J‖")
        legend_below(ax, "right", ncols=3)

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        edges = rounded(result.edges)
        self.data.set_data(rounded(result.data_mass), edges)
        self.wanted.set_data(rounded(result.wanted_mass), edges)
        reach = 2.0 ** math.ceil(math.log2(max(1e-9 + np.abs(edges).max(), 0.5)))
        top = next(y for y in (0.32, 0.64, 1.05) if y > max(result.data_mass.max(), result.wanted_mass.max()))
        if (reach, top) != (self.mass.get_xlim()[1], self.mass.get_ylim()[1]):
            self.mass.set(xlim=(-reach, reach), ylim=(0, top), xticks=np.linspace(-reach, reach, 5))
        low, high, lowest_drawn = math.inf, 0.0, 1e-9
        for name, line in self.lines.items():
            error = rounded_log(result.errors[name], lowest_drawn)
            line.set_data(self.horizons, error)
            low, high = min(low, *error[error > 2 * lowest_drawn]), max(high, error.max())
        self.here.set_data([result.horizon], [result.error])
        whole_decades(self.curve, low / 1.2, 1.2 * high, at_least=(1e-3, 1e4), step=2)
        rows = [
            ("the weights", None),
            (" largest", result.largest),
            (" ESS, % of n", 100 * result.share),
            ("", None),
            ("in ‖∇J‖", None),
            (" bias", result.bias),
            (" std. error", result.standard_error),
            (" error", result.error),
            ("", None),
            ("cosine of", None),
            (" the mean", result.cosine),
        ]
        self.numbers.update(rows)
