"""The view of the learning lab: the cloud of first estimates, the agents' curves, and the lake with their policy."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection

from offac_lite.course.plots.base import EXACT, MUTED, RESAMPLED, STORED, figure, rounded
from offac_lite.course.plots.cloud import GHOST, CloudPanel, Frame, arrange_axes
from offac_lite.course.plots.lake import LakePanel
from offac_lite.course.plots.style import course_style

__all__ = ["LearningView"]


@dataclass
class Memory:
    """The results that a view keeps: the one it shows, the finished one before, and the one that is pinned."""

    last: Any = None
    former: Any = None
    pinned: Any = None


class LearningView:
    """Estimates at the first step, J of each agent while it learns, and the policy of the agent in the middle.

    It shows a `labs.learning.LearningResult`. Without a `frame` the estimates are left out. Grey is what is pinned;
    else the curves of the `reference`, if the result has one; else the former setting. `best` is the J of the best
    policy.
    """

    def __init__(self, frame: Frame | None, n_steps: int, best: float):
        self.figure, axes = figure(8.6, 3.4, ncols=2 if frame is None else 3)
        self.memory = Memory()
        with course_style():
            self.cloud = None if frame is None else CloudPanel(axes[0], frame, rings=False)
            self.lake = LakePanel(axes[-1])
            self.titles = [ax.set_title("") for ax in axes[:-1]]
            self._build_curves(axes[-2], n_steps, best)
            axes[-1].set_title("the median agent's policy", color=MUTED)
        self.artists = [*self.lake.artists, *self.titles, self.note, self.ghosts, self.ghost, self.lines, self.median]
        self.artists += self.cloud.artists if self.cloud else []
        self.arrange(narrow=False)

    def _build_curves(self, ax, n_steps: int, best: float) -> None:
        self.curves = ax
        ax.axhline(best, color=EXACT, lw=1.4, ls=(0, (1, 1.2)))
        ax.annotate("best possible ", (n_steps, best), (0, 3), textcoords="offset points", ha="right", fontsize=9)
        self.ghosts = ax.add_collection(LineCollection([], colors=GHOST, lw=0.7, alpha=0.6, zorder=2))
        (self.ghost,) = ax.plot([], [], color="#8A8A8A", lw=2.2, zorder=2.1)
        self.lines = ax.add_collection(LineCollection([], colors=RESAMPLED, lw=0.8, alpha=0.45, zorder=3))
        (self.median,) = ax.plot([], [], color=RESAMPLED, lw=2.8, zorder=4)
        ax.set(xlim=(0, n_steps), ylim=(0, 1.16 * best), xlabel="gradient steps", ylabel="J, return from the start")
        self.note = ax.annotate("", (0.02, 0.985), xycoords="axes fraction", va="top", fontsize=9, color=MUTED)

    def arrange(self, narrow: bool) -> None:
        """Put the panels side by side, or one below the other."""
        lake = self.lake.arrows.axes
        if narrow:
            down = 402 if self.cloud else 0
            places = {self.curves: (58, down + 26, 312, 220), lake: (69, down + 330, 294, 294)}
            if self.cloud:
                places[self.cloud.ax] = (54, 26, 316, 316)
            arrange_axes(self.figure, (390, down + 636), places)
        elif self.cloud:
            places = {self.cloud.ax: (54, 26, 300, 300), self.curves: (426, 26, 270, 300), lake: (714, 50, 240, 240)}
            arrange_axes(self.figure, (960, 384), places)
        else:
            arrange_axes(self.figure, (930, 384), {self.curves: (58, 26, 520, 300), lake: (630, 32, 290, 290)})

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        last, self.memory.last = self.memory.last, result
        if last is not None and last.setting != result.setting and last.done:
            self.memory.former = last
        color = STORED if result.stored else RESAMPLED
        steps, returns = np.asarray(result.learning.steps), rounded(result.learning.returns)
        self.lines.set_segments([np.column_stack([steps, one]) for one in returns])
        self.median.set_data(steps, np.median(returns, 0))
        for artist in (self.lines, self.median, self.lake.arrows):
            artist.set_color(color)
        self.lake.update(result.policy)
        self.titles[-1].set_text(f"{len(returns)} agents learn: median J {result.learning.median:.2f}")
        if self.cloud:
            self.cloud.update(result.cloud, color)
            self.titles[0].set_text(f"{result.cloud.uphill:.0%} of 300 estimates point uphill")
        self._draw_ghosts(result)

    def pin(self, result) -> None:
        """Keep a result as the grey ghost, or take it away with None."""
        self.memory.pinned = result
        if self.memory.last is not None:
            self._draw_ghosts(self.memory.last)

    def _draw_ghosts(self, result) -> None:
        cloud, learning, words = None, None, ""
        if result.reference is not None and self.memory.pinned is None:
            learning, words = result.reference, f"grey: {result.reference_words}"
        elif former := self.memory.pinned or self.memory.former:
            cloud, learning, words = former.cloud, former.learning, f"grey: {former.words}"
        if self.cloud:
            self.cloud.pin(cloud)
        curves = rounded(learning.returns) if learning else np.empty((0, 0))
        steps = np.asarray(learning.steps) if learning else np.empty(0)
        self.ghosts.set_segments([np.column_stack([steps, one]) for one in curves])
        self.ghost.set_data(steps, np.median(curves, 0) if learning else [])
        self.note.set_text(words)
