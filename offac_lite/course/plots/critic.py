"""Figures of a critic that learns from old data: its values, its error, its target's noise; and the lab's view."""

import numpy as np
from matplotlib.figure import Figure

from offac_lite.course.plots.base import (
    ACTIONS,
    EXACT,
    MUTED,
    NEXT,
    STATES,
    STORED,
    NumberTable,
    figure,
    legend_below,
    rounded,
    rounded_log,
)
from offac_lite.course.plots.style import course_style

__all__ = ["CriticView", "distance_curves", "divergence_curves", "learned_against_exact", "target_variance_against_m"]

_SOURCES = {  # source of the target's next action: colour and marker
    "drawn from π now": (NEXT, "o"),
    "the stored one": (STORED, "s"),
    "the best one": (MUTED, "^"),
    "V from the same data": (STORED, "D"),
}


def learned_against_exact(left: dict, right: dict, exact_q, exact_v) -> Figure:
    """Draw learned Q(s, a) over the exact Q^π(s, a), and learned V(s) over V^π(s). On the line they are equal.

    `left` and `right` are {source: (learned, fixed point)}, with sources as in `_SOURCES`. Learned values are dots,
    exact fixed points thin rings.
    """
    fig, axes = figure(9.0, 3.9, ncols=2, sharey=True)
    for ax, kinds, exact, what in ((axes[0], left, exact_q, "Q(s, a)"), (axes[1], right, exact_v, "V(s)")):
        exact = np.ravel(exact)
        ax.plot([0, 1], [0, 1], color=EXACT, lw=1, label="equal to π's")
        for source, (learned, fixed) in kinds.items():
            color, marker = _SOURCES[source]
            dot = dict(color=color, marker=marker, ls="")
            ax.plot(exact, np.ravel(fixed), ms=7, mfc="none", mew=0.7, alpha=0.8, **dot)
            ax.plot(exact, np.ravel(learned), ms=3.5, label=source, **dot)
        ax.set(xlabel=f"exact {what} of π", title=f"{what}, dots learned, rings exact", xlim=(-0.03, 0.95))
        ax.legend(frameon=False, loc="upper left", fontsize=9)
    axes[0].set(ylabel="learned, reward units", ylim=(-0.03, 1.0))
    return fig


def target_variance_against_m(ms, rows: dict) -> Figure:
    """Draw the variance of y against M, a panel for each {title: (variance by M, floor, sampled by M)}."""
    fig, axes = figure(9.0, 3.4, ncols=len(rows), sharey=True)
    for ax, (title, (variance, floor, sampled)) in zip(axes, rows.items(), strict=True):
        ax.plot(ms, variance, color=NEXT, lw=2.4, label="y, exact")
        ax.plot(ms, sampled, "o", color=NEXT, mec="white", ms=8, label="y, sampled")
        if floor > 0:
            ax.axhline(floor, color=STATES, ls="-.", zorder=3, label="from r and s′: the floor")
        ax.set(xscale="log", yscale="log", xlabel="M, next actions per target", title=title)
        ax.set_xticks(ms, [f"{m}" for m in ms])
        ax.minorticks_off()
        ax.legend(frameon=False, fontsize=9, loc="lower left")
    lowest, highest = min(min(v) for v, *_ in rows.values()), max(max(v) for v, *_ in rows.values())
    axes[0].set(ylabel="variance of the target y", ylim=(lowest / 4, highest * 2))
    return fig


def distance_curves(ax, updates, distance, *, color: str, label: str, linestyle: str = "-") -> None:
    """Draw the distance of Q from Q^π over updates: (S, E), every seed thin and their median thick."""
    updates, distance = np.asarray(updates), np.asarray(distance)
    ax.plot(updates, distance.T, color=color, alpha=0.25, lw=0.7)
    ax.plot(updates, np.median(distance, 0), color=color, lw=2.2, ls=linestyle, label=label)
    ax.set(xlabel="critic updates", ylabel="distance from $Q^\\pi$, in lengths of $Q^\\pi$", ylim=(0, 1.4))
    ax.legend(frameon=False, fontsize=9)


def divergence_curves(curves: dict) -> Figure:
    """Draw |w| over updates for {label: (values, diverges, dashed)} on a logarithmic axis."""
    fig, (ax,) = figure(8.0, 3.6)
    ends = sorted((abs(values[-1]), label) for label, (values, *_) in curves.items())
    heights = np.log10([end for end, _ in ends])
    for i in range(1, len(heights)):  # labels at the ends of the lines must not overlap
        heights[i] = max(heights[i], heights[i - 1] + 0.45)
    places = {label: 10**height for (_, label), height in zip(ends, heights, strict=True)}
    for label, (values, diverges, dashed) in curves.items():
        color = ACTIONS if diverges else NEXT
        ax.plot(np.abs(values), color=color, lw=2, ls="--" if dashed else "-")
        ax.text(1.01 * len(values), places[label], label, color=EXACT, fontsize=9, va="center")
    n = max(len(values) for values, *_ in curves.values())
    ax.plot([0, n - 1], [1, 1], color=MUTED, lw=0.7)
    ax.set(yscale="log", xlabel="updates", ylabel="|w|, the right answer is 0", xlim=(0, 1.4 * n))
    ax.set_xticks(np.linspace(0, n - 1, 4).round())
    return fig


class CriticView:
    """The distribution of one target, Q's distance from Q^π over updates, and the numbers.

    It shows a `labs.critic.CriticResult`.
    """

    def __init__(self, edges, n_updates: int):
        self.figure, (target, self.curve, numbers) = figure(9.8, 3.9, ncols=3, width_ratios=[1, 1.1, 0.62])
        with course_style():
            zeros = np.zeros(len(edges) - 1)
            self.bars = target.stairs(zeros, edges, fill=True, color=NEXT, label="y, exactly")
            (self.mean,) = target.plot([], [], color=NEXT, lw=2, ls="--", label="mean of y")
            (self.exact,) = target.plot([], [], color=EXACT, lw=2, label="exact $Q^\\pi(s, a)$")
            target.set(xlim=(edges[0], edges[-1]), ylim=(0, 1), xlabel="target y of state 9, action right")
            target.set(ylabel="probability", title="one target, when Q has settled")
            self.left = legend_below(target, "left", ncols=2)
            (self.distance,) = self.curve.plot([], [], color=NEXT, lw=2.4, label="with its noise")
            (self.bias,) = self.curve.plot([], [], color=NEXT, lw=1.5, ls="--", label="mean of Q")
            (self.fixed,) = self.curve.plot([], [], color=EXACT, lw=1.4, ls=":", label="fixed point")
            self.curve.set(yscale="log", xlim=(0, n_updates), ylim=(3e-3, 2))
            self.curve.set(xlabel="updates of 200 transitions", title="distance of Q from $Q^\\pi$, in its lengths")
            self.right = legend_below(self.curve, "right", ncols=3)
            self.numbers = NumberTable(numbers)
        self.artists = [self.bars, self.mean, self.exact, self.distance, self.bias, self.fixed, self.numbers.artist]

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        self._color(STORED if result.next_action == "stored" else NEXT)
        self.bars.set_data(rounded(result.target_histogram))
        for line, place in ((self.mean, result.target_mean), (self.exact, result.exact)):
            line.set_data([rounded(place)] * 2, [0, 1])
        updates = np.arange(len(result.distance))
        low = self.curve.get_ylim()[0] / 10
        for line, values in ((self.distance, result.distance), (self.bias, result.bias)):
            line.set_data(updates, rounded_log(values, low))
        self.fixed.set_data(updates[[0, -1]], [max(result.fixed_distance, low)] * 2)
        rows = [
            ("mean of y", result.target_mean),
            ("Q^π(s, a)", result.exact),
            ("variance of y", result.variance_world + result.variance_actions),
            (" from r, s′", result.variance_world),
            (" from a′", result.variance_actions),
            ("", None),
            ("distance from Q^π", None),
            (" fixed point", result.fixed_distance),
            (" Q at the end", result.distance[-1].item()),
            (" its mean", result.bias[-1].item()),
            ("", None),
            ("V, same data", result.value_distance),
        ]
        self.numbers.update(rows)

    def _color(self, color: str) -> None:
        """Give all that is estimated the colour of the next action that it uses, in panels and legends."""
        if color == self.distance.get_color():
            return
        bars, mean, _ = self.left.legend_handles
        self.left.stale = self.right.stale = True  # a change of their handles is not noticed
        for patch in (self.bars, bars):
            patch.set_facecolor(color)
            patch.set_edgecolor(color)
        for line in (self.mean, self.distance, self.bias, mean, *self.right.legend_handles[:2]):
            line.set_color(color)
