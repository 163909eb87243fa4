"""Figures of a critic that learns from old data: its values, its error, its target's noise; and the lab's view."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from offac_lite.course.plots.base import (
    ACTIONS,
    EXACT,
    MUTED,
    NEXT,
    STATES,
    STORED,
    apart,
    figure,
    rounded,
    rounded_log,
    short,
)
from offac_lite.course.plots.cloud import GHOST, arrange_axes
from offac_lite.course.plots.lake import MOVES, LakeValues, draw_map
from offac_lite.course.plots.style import course_style

__all__ = [
    "CriticView",
    "TwoCriticsView",
    "distance_curves",
    "divergence_curves",
    "learned_against_exact",
]

LOWEST = 0.003
"""The lowest distance of Q from Q^π on the critic lab's axis."""
_SOURCES = {  # source of the target's next action: colour and marker
    "drawn from π now": (NEXT, "o"),
    "the stored one": (STORED, "s"),
    "the best one": (MUTED, "^"),
    "V from the same data": (STORED, "D"),
}


@course_style()
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


@course_style()
def distance_curves(ax, updates, distance, *, color: str, label: str, linestyle: str = "-") -> None:
    """Draw the distance of Q from Q^π over updates: (S, E), every seed thin and their median thick."""
    updates, distance = np.asarray(updates), np.asarray(distance)
    ax.plot(updates, distance.T, color=color, alpha=0.25, lw=0.7)
    ax.plot(updates, np.median(distance, 0), color=color, lw=2.2, ls=linestyle, label=label)
    ax.set(xlabel="critic updates", ylabel="distance from $Q^\\pi$, in lengths of $Q^\\pi$", ylim=(0, 1.4))
    ax.legend(frameon=False, fontsize=9)


@course_style()
def divergence_curves(curves: dict) -> Figure:
    """Draw |w| over updates for {label: (values, diverges, dashed)} on a logarithmic axis."""
    fig, (ax,) = figure(8.0, 3.6)
    n = max(len(values) for values, *_ in curves.values())
    ax.plot([0, n - 1], [1, 1], color=MUTED, lw=0.7)
    heights = apart([math.log10(abs(values[-1])) for values, *_ in curves.values()], 0.55)
    for (label, (values, diverges, dashed)), height in zip(curves.items(), heights, strict=True):
        color = ACTIONS if diverges else STATES
        ax.plot(np.abs(values), color=color, lw=2, ls="--" if dashed else "-")
        ax.annotate(f" {label}", (n, 10**height), color=color, fontsize=9, va="center", annotation_clip=False)
    ax.set(yscale="log", xlabel="updates", ylabel="|w|; the exact value is 0", xlim=(0, n - 1))
    ax.set_xticks(np.linspace(0, n - 1, 4).round())
    return fig


class CriticView:
    """The distribution of one target, the distance of Q from Q^π over updates, and the place of the target's (s, a).

    It shows a `labs.critic.CriticResult`. No axis depends on the controls.
    """

    def __init__(self, edges, n_updates: int, state: int, move: int):
        self.figure, (self.target, self.curve, self.lake) = figure(8.6, 3.4, ncols=3)
        self.updates = np.arange(n_updates + 1)
        with course_style():
            self._build_target(self.target, edges)
            self._build_curve(self.curve, n_updates)
            x, y = draw_map(self.lake)[state]
            self.lake.set_title("whose target?", color=MUTED)
            self.lake.add_patch(Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, ec=EXACT, lw=1.8, zorder=4))
            self.lake.annotate(
                "", (x, y) + 0.75 * MOVES[move], (x, y), arrowprops=dict(arrowstyle="-|>", lw=2), zorder=4
            )
        self.artists = [self.ghost_bars, self.bars, self.mean, self.exact, *self.target_words]
        self.artists += [self.ghost, self.distance, self.bias, self.fixed, *self.curve_words]
        self.arrange(narrow=False)

    def _build_target(self, ax, edges) -> None:
        zeros = np.zeros(len(edges) - 1)
        self.ghost_bars = ax.stairs(zeros, edges, color=GHOST, lw=1.2)
        self.bars = ax.stairs(zeros, edges, fill=True, color=NEXT)
        (self.mean,) = ax.plot([], [], lw=1.8, ls=(0, (3, 1.5)), zorder=3)
        (self.exact,) = ax.plot([], [], color=EXACT, lw=1.8)
        look = dict(fontsize=9, va="center")
        self.target_words = [ax.text(0, 0.95, "exact Q$^π$", **look), ax.text(0, 0.86, "mean of y", **look)]
        below = dict(
            xycoords="axes fraction", textcoords="offset points", ha="center", va="top", fontsize=9, color=MUTED
        )
        self.target_words.append(ax.annotate("", (0.5, 0), (0, -36), annotation_clip=False, **below))
        ax.set(xlim=(edges[0], edges[-1]), ylim=(0, 1), xlabel="target y of the framed square, action right")
        ax.set_title("one target y: probability of each value")

    def _build_curve(self, ax, n_updates: int) -> None:
        (self.ghost,) = ax.plot([], [], color=GHOST, lw=2.2)
        (self.distance,) = ax.plot([], [], lw=4.5)
        (self.bias,) = ax.plot([], [], lw=1.6, ls=(0, (3, 1.5)))
        (self.fixed,) = ax.plot([], [], color=EXACT, lw=1.4, ls=":")
        self.curve_words = [ax.text(1.03 * n_updates, 1, "", fontsize=9, va="center") for _ in range(3)]
        ax.set(yscale="log", xlim=(0, n_updates), ylim=(LOWEST, 1.5), xticks=np.linspace(0, n_updates, 5))
        ax.set(xlabel="updates of 200 transitions", title="distance of Q from Q$^π$")

    def arrange(self, narrow: bool) -> None:
        """Put the panels side by side, or one below the other."""
        if narrow:
            places = {self.target: (50, 26, 320, 210), self.curve: (50, 334, 162, 220), self.lake: (115, 630, 160, 160)}
            arrange_axes(self.figure, (390, 802), places)
        else:
            places = {self.target: (40, 26, 290, 270), self.curve: (386, 26, 250, 270), self.lake: (792, 70, 156, 156)}
            arrange_axes(self.figure, (960, 368), places)

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        light, dark = (STORED, "#7A5200") if result.next_action == "stored" else (NEXT, STATES)
        self.bars.set_facecolor(light)
        self.distance.set_color(light)
        for artist in (self.mean, self.bias, self.target_words[1], *self.curve_words[:2]):
            artist.set_color(dark)
        self.bars.set_data(rounded(result.target_histogram))
        self.mean.set_data([result.target_mean] * 2, [0, 1])
        self.exact.set_data([result.exact] * 2, [0, 1])
        for word, x in zip(self.target_words, (result.exact, result.target_mean), strict=False):
            word.set_x(x + (0.02 if x < 0.6 else -0.02))
            word.set_ha("left" if x < 0.6 else "right")
        self.target_words[2].set_text(
            f"variance {result.variance_world:.4f} from r and s′, {result.variance_actions:.4f} from a′"
        )
        self.distance.set_data(self.updates, rounded_log(result.distance, LOWEST / 10))
        self.bias.set_data(self.updates, rounded_log(result.bias, LOWEST / 10))
        self.fixed.set_data(self.updates[[0, -1]], rounded_log([result.fixed_distance] * 2, LOWEST / 10))
        ends = {
            "Q": result.distance[-1].item(),
            "mean of Q": result.bias[-1].item(),
            "fixed point": result.fixed_distance,
        }
        heights = apart([math.log10(max(end, LOWEST)) for end in ends.values()], 0.15)
        for word, (name, end), height in zip(self.curve_words, ends.items(), heights, strict=True):
            value = "0" if end < 1e-9 else short(end) if end >= LOWEST else f"under {LOWEST}"
            word.set(text=f"{name}: {value}{' ↓' if end < LOWEST else ''}", y=10**height)

    def pin(self, result) -> None:
        """Draw a result as a grey ghost; None takes it away."""
        curve = ([], []) if result is None else (self.updates, rounded_log(result.distance, LOWEST / 10))
        self.ghost.set_data(*curve)
        self.ghost_bars.set_data(
            0 * self.bars.get_data().values if result is None else rounded(result.target_histogram)
        )


class TwoCriticsView:
    """Two critics' values on the lake, and the value of the start over updates.

    It shows a `labs.critic.TwoCriticsResult`. No axis depends on the controls. `top` is the largest exact value,
    `start` the exact value of the start.
    """

    def __init__(self, top: float, start: float, n_updates: int):
        self.figure, (self.lake_v, self.lake_q, self.curve) = figure(8.6, 3.4, ncols=3)
        self.updates = np.arange(n_updates + 1)
        with course_style():
            self.values = [LakeValues(ax, top, digits=3, size=9.5) for ax in (self.lake_v, self.lake_q)]
            self.lake_v.set_title("V-critic: V(s)")
            self.lake_q.set_title("Q-critic: Σ$_a$ π Q")
            self._build_curve(self.curve, start, n_updates)
        self.artists = [artist for values in self.values for artist in values.artists]
        self.artists += [*self.lines, *self.dots, *self.words, self.writer]
        self.arrange(narrow=False)

    def _build_curve(self, ax, start: float, n_updates: int) -> None:
        ax.axhline(start, color=EXACT, lw=1, ls=":")
        ax.text(n_updates, start + 0.012, "exact V$^π$", fontsize=9, ha="right", va="bottom")
        looks = ((STORED, "#A86F00"), (NEXT, STATES))
        self.lines = [ax.plot([], [], color=color, lw=2.4)[0] for color, _ in looks]
        self.dots = [ax.plot([], [], "o", color=color, ms=8, mec="white", clip_on=False)[0] for color, _ in looks]
        self.words = [ax.text(1.04 * n_updates, 0, "", color=dark, fontsize=9.5, va="center") for _, dark in looks]
        self.writer = ax.text(n_updates, 0.495, "", color=MUTED, fontsize=9, ha="right", va="top")
        ax.set(xlim=(0, n_updates), ylim=(0, 0.5), xticks=np.linspace(0, n_updates, 5))
        ax.set(xlabel="updates of 200 old transitions", title="value of the start")

    def arrange(self, narrow: bool) -> None:
        """Put the panels side by side, or one below the other."""
        for word in (word for values in self.values for word in values.words):
            word.set_fontsize(7.5 if narrow else 9.5)
        if narrow:
            places = {self.lake_v: (8, 26, 182, 182), self.lake_q: (202, 26, 182, 182)}
            arrange_axes(self.figure, (390, 480), places | {self.curve: (46, 250, 262, 180)})
        else:
            places = {self.lake_v: (8, 26, 256, 256), self.lake_q: (292, 26, 256, 256)}
            arrange_axes(self.figure, (960, 324), places | {self.curve: (606, 26, 262, 246)})

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        starts = [result.v_start, result.q_start]
        self.writer.set_text(f"data {result.age} updates old" if result.age else "data of π itself")
        for values, numbers in zip(self.values, (result.v, result.q), strict=True):
            values.update(numbers)
        ends = [path[result.updates].item() for path in starts]
        heights = apart(ends, 0.035)
        for line, dot, word, path, name, end, height in zip(
            self.lines, self.dots, self.words, starts, "VQ", ends, heights, strict=True
        ):
            line.set_data(self.updates[: result.updates + 1], rounded(path[: result.updates + 1]))
            dot.set_data([result.updates], [round(end, 6)])
            word.set(text=f"{name}: {end:.3f}", y=height)
