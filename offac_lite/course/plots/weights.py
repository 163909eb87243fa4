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
    SURROGATE,
    figure,
    rounded,
    short,
)
from offac_lite.course.plots.cloud import GHOST, arrange_axes
from offac_lite.course.plots.diagrams import small_mdp
from offac_lite.course.plots.style import course_style

__all__ = [
    "ERRORS",
    "LANES",
    "WEIGHTED",
    "WeightsView",
    "clipping",
    "corridor",
    "effective_samples",
    "variance_against_sharpness",
]

WEIGHTED = "#B5700A"
"""A stored action with a weight: the orange of stored actions, darker the more ratios the weight has."""
LANES = {
    "whole": "whole product",
    "causal": "causal products",
    "single": "one ratio",
    "clipped": "clipped ratio",
    "resampled": "resampled",
}
"""The ways to weight that the weights lab compares. The last two and "one ratio" have the exact Q."""
ERRORS = (1e-2, 1e3)
"""The errors that the weights lab's axis shows, in lengths of ∇J."""
REACH = 8.0
"""The largest log₁₀ of a weight on the weights lab's axis."""


def corridor() -> Figure:
    """Draw the corridor of `exact.trajectories.corridor`, with its rewards and its start."""
    names = "arrive: +0.7", "start", "2", "3", "arrive: +1"
    squares: dict[str, tuple[float, float]] = {name: (2.0 * k, 0.0) for k, name in enumerate(names)}
    steps = [(names[i], names[j], "") for i in range(5) for j in (i - 1, i + 1) if 0 <= j < 5]
    walls = [(names[0], names[0], "left"), (names[4], names[4], "right")]
    return small_mdp(squares, steps + walls, {names[k]: str(k) for k in (0, 1, 4)})


@course_style()
def effective_samples(horizons, exact: dict, sampled: dict, n: int) -> Figure:
    """Draw the effective sample size of n trajectories against their length.

    `exact`: {name: n / E[W²] at each of `horizons`}, as lines; `sampled`: {name: (horizons, sizes)}, as dots.
    """
    fig, (ax,) = figure(7.4, 3.5)
    lowest, horizons = 1e-4, np.asarray(horizons)
    for (name, sizes), color in zip(exact.items(), (WEIGHTED, "#804A00", "#402500"), strict=True):
        sizes = np.asarray(sizes)
        ax.plot(horizons, sizes, color=color, lw=2)
        (dots,) = ax.plot(*sampled[name], "o", color=color, mec="white", ms=7.5)
        last = np.flatnonzero(sizes > 2 * lowest)[-1]  # where the line leaves the picture
        ax.annotate(name, (horizons[last], sizes[last]), (6, 0), textcoords="offset points", color=color, fontsize=9)
    ax.axhline(1, color=MUTED, ls=":", lw=1)
    ax.annotate("no sample can say less than 1", (horizons[-1], 0.8), color=MUTED, fontsize=9, ha="right", va="top")
    ax.set(yscale="log", ylim=(lowest, 2 * n), xlabel="length of a trajectory, T steps")
    ax.set_ylabel(f"effective sample size, of {n:,}")
    place = dict(loc="lower left", bbox_to_anchor=(0.5, 0.0), frameon=False, fontsize=9)
    ax.legend([ax.lines[0], dots], ["exact", "computed from the sample"], **place)
    return fig


@course_style()
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


@course_style()
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
    """The distribution of one weight, and the error of each way to weight as a lane of its own.

    It shows a `labs.weights.WeightsResult`. `lanes` names the ways to weight, from `LANES`. No axis depends on the
    controls; an error beyond the axis is a triangle at its end.
    """

    def __init__(self, lanes: Sequence[str] = tuple(LANES)) -> None:
        self.names = tuple(lanes)
        self.figure, (self.mass, self.lanes) = figure(8.6, 3.4, ncols=2)
        with course_style():
            self._build_mass(self.mass)
            self._build_lanes(self.lanes)
        self.artists = [self.data, self.wanted, *self.words, self.note, self.ghosts, self.here]
        self.artists += [*self.dots, *self.numbers]
        self.arrange(narrow=False)

    def _build_mass(self, ax) -> None:
        self.data = ax.stairs([1.0], [-1, 1], fill=True, color=WEIGHTED, alpha=0.55)
        self.wanted = ax.stairs([1.0], [-1, 1], color=EXACT, lw=1.8)
        ax.axvline(0, color=MUTED, lw=1, ls=":")
        look = dict(fontsize=9, ha="center", va="bottom")
        self.words = [ax.text(0, 0, "β's data", color="#7A4B00", **look), ax.text(0, 0, "under π", **look)]
        below = dict(
            xycoords="axes fraction", textcoords="offset points", ha="center", va="top", fontsize=9, color=MUTED
        )
        self.note = ax.annotate("", (0.5, 0), (0, -36), annotation_clip=False, **below)
        ax.set(xlim=(-REACH, REACH), ylim=(0, 1.15), xticks=np.linspace(-REACH, REACH, 5), ylabel="probability")
        ax.set(xlabel="log₁₀ of the weight", title="one weight, drawn at random")

    def _build_lanes(self, ax) -> None:
        rows = np.arange(len(self.names))
        ax.hlines(rows, *ERRORS, color="#DDDDDD", lw=1, zorder=0)
        ax.axvline(1, color=MUTED, ls=":", lw=1)
        top = dict(xycoords=ax.get_xaxis_transform(), textcoords="offset points", ha="center", va="bottom")
        ax.annotate("no step at all", (1, 1), (0, 2), color=MUTED, fontsize=9, annotation_clip=False, **top)
        (self.ghosts,) = ax.plot([], [], "o", color=GHOST, ms=9, zorder=1, clip_on=False)
        (self.here,) = ax.plot([], [], "o", mfc="none", mec=EXACT, ms=15, mew=1.4, zorder=5, clip_on=False)
        self.dots = [
            ax.plot(
                [],
                [],
                ls="",
                ms=9,
                mec="white",
                color=RESAMPLED if name == "resampled" else WEIGHTED,
                clip_on=False,
                zorder=4,
            )[0]
            for name in self.names
        ]
        beside = dict(xytext=(9, 0), textcoords="offset points", va="center", annotation_clip=False)
        self.numbers = [ax.annotate("", (ERRORS[1], row), fontsize=9.5, **beside) for row in rows]
        ax.set(xscale="log", xlim=ERRORS, ylim=(len(rows) - 0.5, -0.5))
        ax.set_yticks(rows, [LANES[name] for name in self.names])
        ax.tick_params(axis="y", length=0, pad=11)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("named: the larger part. Grey: pinned")
        self.lane_title = ax.set_title("", pad=18)

    def arrange(self, narrow: bool) -> None:
        """Put the panels side by side, or one below the other."""
        self.lane_title.set_text(
            "error, in lengths of ∇J" if narrow else "error of the mean of n estimates, in lengths of ∇J"
        )
        if narrow:
            arrange_axes(self.figure, (390, 720), {self.mass: (62, 26, 312, 230), self.lanes: (143, 400, 112, 262)})
        else:
            arrange_axes(self.figure, (960, 392), {self.mass: (62, 26, 330, 262), self.lanes: (516, 44, 296, 244)})

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        edges = rounded(result.edges)
        hills = rounded(result.data_mass), rounded(result.wanted_mass)
        self.data.set_data(hills[0], edges)
        self.wanted.set_data(hills[1], edges)
        middles = (edges[1:] + edges[:-1]) / 2
        for word, hill, name, lift in zip(self.words, hills, ("β's data", "under π"), (0.02, 0.1), strict=True):
            middle = middles @ hill / hill.sum()
            word.set_text(f"{name} →" if middle > REACH else name)  # there is no weight that small
            word.set_position((np.clip(middle, 1.8 - REACH, REACH - 2.6), min(hill.max(), 1.0) + lift))
        below = f"largest weight {short(result.largest)}"
        if result.sampled_share is not None:
            below = f"your function, from a sample: {short(100 * result.sampled_share)}%"
        self.note.set_text(f"effective sample size {100 * result.share:.3g}% of n\n{below}")
        errors = [math.hypot(*result.parts[name]) for name in self.names]
        for row, (name, dot, number, error) in enumerate(zip(self.names, self.dots, self.numbers, errors, strict=True)):
            dot.set_data([_on_axis(error)], [row])
            dot.set_marker("<" if error < ERRORS[0] else ">" if error > ERRORS[1] else "o")
            bias, noise = result.parts[name]
            number.set_text(f"{short(error)}, {'bias' if bias > noise else 'noise'}" if error > 1e-9 else "0")
        here = self.names.index(result.weighting)
        self.here.set_data([_on_axis(errors[here])], [here])

    def pin(self, result) -> None:
        """Draw a result's errors as grey ghosts; None takes them away."""
        errors = [] if result is None else [_on_axis(math.hypot(*result.parts[name])) for name in self.names]
        self.ghosts.set_data(errors, range(len(errors)))


def _on_axis(error: float) -> float:
    """Return the place of an error on the axis: the axis' end for what is beyond it."""
    return float(np.clip(round(error, 9), *ERRORS))
