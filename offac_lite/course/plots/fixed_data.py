"""Figures of learning from a buffer that never grows, and the view of its lab."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from offac_lite import stats
from offac_lite.course.plots.base import EXACT, MUTED, RESAMPLED, STATES, STORED, figure, rounded
from offac_lite.course.plots.cloud import GHOST, arrange_axes
from offac_lite.course.plots.style import course_style

__all__ = ["FixedDataView", "along_the_track", "belief_and_truth", "belief_on_the_track"]

EDGE = 2.4
"""Where CartPole's track ends."""
HIGHEST = 10.0
"""The value of a pole that never falls: 0.1 in every step, with γ = 0.99."""
_OVER = dict(textcoords="offset points", ha="center", va="bottom", fontsize=8.5)


def along_the_track(edges: Sequence[float], shares: Sequence[float]) -> Figure:
    """Draw the share of stored states in each bin of the distance from the middle of the track."""
    fig, (ax,) = figure(8.4, 2.7)
    ax.stairs(np.maximum(shares, 1e-9), edges, fill=True, color=STORED, alpha=0.8, baseline=1e-9)
    for share, left, right in zip(shares, edges, edges[1:], strict=False):
        ax.annotate(f"{100 * share:.2g}%", ((left + right) / 2, max(share, 1e-5)), (0, 3), **_OVER)
    ax.axvline(EDGE, color=EXACT, lw=2)
    ax.annotate("the track ends", (EDGE, 1.2), (5, 0), textcoords="offset points", fontsize=9, va="top")
    ax.set(yscale="log", ylim=(5e-6, 6), xlim=(0, 2.8), ylabel="share of stored states", xticks=edges)
    ax.set_xlabel("distance of the cart from the middle")
    return fig


def belief_and_truth(runs: Mapping[str, Mapping]) -> Figure:
    """Draw for each of {title: run}, over the updates, what the critic believes of stored states and what comes.

    Interquartile means over seeds, with their intervals.
    """
    fig, axes = figure(2.9 * len(runs) + 0.9, 3.1, ncols=len(runs), sharey=True)
    for ax, (title, run) in zip(axes, runs.items(), strict=True):
        for name, color, style in (("believed", STATES, "--"), ("earned", EXACT, "-")):
            values = np.asarray(run[name])
            ax.fill_between(run["updates"], *stats.interval(values), color=color, alpha=0.2, lw=0)
            ax.plot(run["updates"], stats.iqm(values), color=color, ls=style, lw=2.2, label=name)
        ax.axhline(HIGHEST, color=MUTED, ls=":", lw=1)
        ax.set(title=title, xlabel="updates", ylim=(0, 11.5), xticks=(0, 2500, 5000))
    axes[0].set_ylabel("value of stored states")
    axes[0].annotate("highest possible ", (5000, HIGHEST), ha="right", va="bottom", fontsize=9, color=MUTED)
    axes[-1].legend(frameon=False, loc="upper right", bbox_to_anchor=(1.0, 0.9))
    return fig


def belief_on_the_track(edges: Sequence[float], runs: Mapping[str, Mapping], shares: Sequence[float]) -> Figure:
    """Draw for each of {title: run} belief and truth at the states that the policy visits, by distance from the middle.

    Means over the seeds that were there, where at least half of them were. Behind them, as bars on a logarithmic scale
    of their own, the `shares` of the stored states.
    """
    fig, axes = figure(2.9 * len(runs) + 0.9, 3.1, ncols=len(runs), sharey=True)
    middles, top = (np.asarray(edges[1:]) + np.asarray(edges[:-1])) / 2, 11.5
    bars = top * np.clip(1 + np.log10(np.maximum(shares, 1e-9)) / 5, 0, None)
    for ax, (title, run) in zip(axes, runs.items(), strict=True):
        ax.stairs(bars, edges, fill=True, color=STORED, alpha=0.25, label="stored states\n(log scale)")
        for name, color, style, marker in (("believed", STATES, "--", "o"), ("earned", EXACT, "-", "s")):
            values = np.array(run[f"{name} there"], float)
            often = np.isfinite(values).mean(0) >= 0.5
            means = np.nanmean(values[:, often], 0)
            ax.plot(middles[often], means, color=color, ls=style, marker=marker, lw=2, ms=5, label=name)
        ax.axhline(HIGHEST, color=MUTED, ls=":", lw=1)
        ax.set(
            title=title,
            xlabel="distance from the middle",
            ylim=(0, top),
            xlim=(0, EDGE),
            xticks=(0, 0.6, 1.2, 1.8, 2.4),
        )
    axes[0].set_ylabel("mean value of visited states")
    axes[-1].legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


class FixedDataView:
    """Learning curves on fixed data, and every agent's mean return in the second half; grey: both fixes.

    It shows a `labs.fixed_data.FixedDataResult`. No axis depends on the controls.
    """

    def __init__(self, n_updates: int, goal: float) -> None:
        self.figure, (self.curves, self.strip) = figure(8.6, 3.4, ncols=2)
        with course_style():
            self._build_curves(self.curves, n_updates)
            self._build_strip(self.strip, goal)
        self.artists = [self.ghosts, self.ghost, self.lines, self.middle, self.before, self.agents, *self.counts]
        self.arrange(narrow=False)

    def _build_curves(self, ax, n_updates: int) -> None:
        self.ghosts = ax.add_collection(LineCollection([], colors=GHOST, lw=0.7, alpha=0.6, zorder=2))
        (self.ghost,) = ax.plot([], [], color="#8A8A8A", lw=2.2, zorder=2.1)
        self.lines = ax.add_collection(LineCollection([], colors=RESAMPLED, lw=0.8, alpha=0.45, zorder=3))
        (self.middle,) = ax.plot([], [], color=RESAMPLED, lw=2.8, zorder=4)
        ax.set(xlim=(0, n_updates), ylim=(0, 520), xlabel="updates", ylabel="return", title="16 agents, median thick")
        ax.set_xticks(np.linspace(0, n_updates, 6))

    def _build_strip(self, ax, goal: float) -> None:
        ax.vlines([goal, goal], [-0.27, 0.73], [0.3, 1.3], color=MUTED, ls=":", lw=1)  # the words above stay free
        (self.before,) = ax.plot([], [], "|", color="#8A8A8A", ms=26, mew=1.2)
        (self.agents,) = ax.plot([], [], "|", color=RESAMPLED, ms=26, mew=1.4)
        look = dict(fontsize=9.5, va="bottom")
        self.counts = [ax.text(0, row - 0.3, "", **look) for row in (0, 1)]
        ax.set(xlim=(0, 520), ylim=(1.5, -0.7), xlabel="mean return in the second half", title="each agent")
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)

    def arrange(self, narrow: bool) -> None:
        """Put the panels side by side, or one below the other."""
        if narrow:
            arrange_axes(self.figure, (390, 540), {self.curves: (68, 26, 296, 220), self.strip: (30, 330, 334, 150)})
        else:
            arrange_axes(self.figure, (930, 372), {self.curves: (68, 26, 430, 290), self.strip: (550, 26, 350, 200)})

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        kinds = ((self.ghosts, self.ghost, result.both), (self.lines, self.middle, result.returns))
        for lines, middle, returns in kinds:
            returns = rounded(returns)
            lines.set_segments([np.column_stack([result.updates, one]) for one in returns])
            middle.set_data(result.updates, np.quantile(returns, 0.5, axis=0))
        color = STORED if np.isinf(result.temperature) else RESAMPLED
        for artist in (self.lines, self.middle, self.agents):
            artist.set_color(color)
        rows = (
            (self.agents, self.counts[0], result.returns, result.name),
            (self.before, self.counts[1], result.both, "both fixes"),
        )
        for row, (marks, words, returns, name) in enumerate(rows):
            late = result.late(returns)
            marks.set_data(rounded(late), np.full(len(late), float(row)))
            words.set_text(f"{name}: {result.above(returns)} of {len(late)} agents above {result.goal:g}")
