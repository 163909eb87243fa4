"""The views of the age lab and the buffer lab."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from offac_lite.course.plots.base import DOWNHILL, EXACT, MUTED, RESAMPLED, STORED, figure, rounded
from offac_lite.course.plots.cloud import GHOST, arrange_axes
from offac_lite.course.plots.lake import MOVES, LakeValues, draw_map
from offac_lite.course.plots.style import course_style

__all__ = ["AgeView", "BufferView", "four_boxes"]

_BOXES = {  # (critic, actions): colour, name
    ("right", "π"): (RESAMPLED, "neither wrong"),
    ("naive", "π"): (RESAMPLED, "wrong value"),
    ("right", "stored"): (STORED, "wrong action"),
    ("naive", "stored"): (STORED, "both: naive replay"),
}
_FRAME = (-3.2, 3.2, 3.0)  # the lowest and highest part along ∇J, the highest across
_LARGEST_ERROR = 0.55  # of a value, for the lake's tints
_AGE = LinearSegmentedColormap.from_list("age", ["#2E1D00", "#8A5A00", STORED, "#FFD98A"])  # dark is old


class AgeView:
    """The naive V's error on the lake, and the four mean updates by their part along ∇J and the length of the rest.

    So the distance from the star is the distance from ∇J. Orange: stored actions; green: π's own. Hollow: the naive V.
    No axis depends on the controls; an update beyond the frame is a triangle at its edge. The view shows a
    `labs.replay.AgeResult`.
    """

    def __init__(self) -> None:
        self.figure, (lake, self.plane, self.names) = figure(8.6, 3.4, ncols=3)
        with course_style():
            self.errors = LakeValues(lake, _LARGEST_ERROR)
            lake.set_title("error of the naive V")
            self.lake = lake
            self._build_plane(self.plane)
            self._build_names(self.names)
        self.artists = [*self.errors.artists, *self.ghosts, *self.dots.values(), *self.numbers.values()]
        self.arrange(narrow=False)

    def _build_plane(self, ax) -> None:
        low, high, top = _FRAME
        ax.axvspan(low, 0, color=DOWNHILL, lw=0, zorder=0)
        for x, text, side in ((low / 2, "downhill", "center"), (high / 2, "uphill", "center")):
            ax.annotate(text, (x, top), (0, -3), textcoords="offset points", color=MUTED, fontsize=9, ha=side, va="top")
        angle = np.linspace(0, np.pi, 91)
        ax.plot(1 + np.cos(angle), np.sin(angle), color=EXACT, lw=1, ls=":")
        ax.annotate(
            "as far off as no step", (1, 1), (0, 3), textcoords="offset points", color=MUTED, fontsize=9, ha="center"
        )
        self.ghosts = [ax.plot([], [], ls="", ms=9, mew=2, zorder=2, **_look(box, GHOST))[0] for box in _BOXES]
        self.dots = {
            box: ax.plot([], [], ls="", ms=10, mew=2.4, clip_on=False, zorder=4, **_look(box))[0] for box in _BOXES
        }
        ax.plot([1], [0], color=EXACT, marker="*", ms=15, mec="white", mew=0.8, clip_on=False, zorder=3)
        ax.annotate("∇J", (1, 0), (9, -16), textcoords="offset points", fontsize=11, annotation_clip=False)
        ax.set(xlim=(low, high), ylim=(0, top), xticks=range(-3, 4), yticks=range(4), aspect="equal")
        ax.set(
            xlabel="part along ∇J (both axes in lengths of ∇J)",
            ylabel="length of the rest",
            title="the four mean updates",
        )

    def _build_names(self, ax) -> None:
        ax.set(xlim=(0, 1), ylim=(3.6, -1), title="distance from ∇J")
        ax.set_axis_off()
        self.numbers = {}
        for row, (box, (_, name)) in enumerate(_BOXES.items()):
            ax.plot([0.04], [row], ms=10, mew=2.4, ls="", **_look(box))
            ax.text(0.13, row, name, fontsize=9.5, va="center")
            self.numbers[box] = ax.text(1, row, "", fontsize=9.5, va="center", ha="right")

    def arrange(self, narrow: bool) -> None:
        """Put the panels side by side, or one below the other."""
        if narrow:
            places = {self.plane: (50, 26, 320, 150), self.names: (60, 256, 250, 120), self.lake: (60, 410, 250, 250)}
            arrange_axes(self.figure, (390, 672), places)
        else:
            places = {self.lake: (10, 26, 250, 250), self.plane: (316, 38, 390, 183), self.names: (730, 38, 220, 140)}
            arrange_axes(self.figure, (962, 288), places)

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        self.errors.update(result.naive - result.exact)
        for box, dot in self.dots.items():
            _place(dot, result.updates[box])
            self.numbers[box].set_text(f"{result.updates[box].distance:.2f}")

    def pin(self, result) -> None:
        """Draw a result's updates as grey ghosts; None takes them away."""
        for box, ghost in zip(_BOXES, self.ghosts, strict=True):
            if result is None:
                ghost.set_data([], [])
            else:
                _place(ghost, result.updates[box])


def _look(box: tuple[str, str], color: str | None = None) -> dict:
    """Return the look of a dot: the colour says whose action, a hollow dot is the naive V."""
    color, hollow = color or _BOXES[box][0], box[0] == "naive"
    return dict(marker="o", color=color, mfc="none" if hollow else color)


def _place(dot, update) -> None:
    """Put a dot where an update is, or a triangle at the edge of the frame if the update is beyond it."""
    low, high, top = _FRAME
    along = update.cosine * update.length
    across = math.sqrt(max(0.0, 1 - update.cosine**2)) * update.length
    x, y = min(max(along, low), high), min(across, top)
    dot.set_data([round(x, 6)], [round(y, 6)])
    dot.set_marker("<" if along < low else ">" if along > high else "^" if across > top else "o")


@course_style()
def four_boxes(updates: Mapping[tuple[str, str], object], gradient) -> Figure:
    """Draw four mean updates (S, A) of a policy on the lake, each below the exact gradient ∇J (S, A), in black.

    `updates` is {(critic, actions): update}, with the critic "exact" or "naive" and the actions "π" or "stored". A
    square's arrow is the sum, over the actions, of an action's direction times its part. All have the same scale.

    >>> from offac_lite.exact.mdp import TabularMDP
    >>> gradient = TabularMDP.from_gymnasium("FrozenLake-v1", map_name="4x4").policy_gradient([[0.0] * 4] * 16)
    >>> fig = four_boxes({(v, a): gradient for v in ("exact", "naive") for a in ("π", "stored")}, gradient)
    >>> fig.axes[3].get_title("left")
    'naive V, stored actions: off by 0.00'
    """
    wanted = np.asarray(gradient)
    scale = 1.3 / max(np.hypot(*(np.asarray(one) @ MOVES).T).max() for one in (wanted, *updates.values()))
    fig, axes = figure(7.0, 6.6, nrows=2, ncols=2)
    boxes = [(critic, actions) for critic in ("exact", "naive") for actions in ("π", "stored")]
    for ax, (critic, actions) in zip(axes, boxes, strict=True):
        update, at = np.asarray(updates[critic, actions]), draw_map(ax)
        stored = actions == "stored"
        _quiver(ax, at, scale * update @ MOVES, STORED if stored else RESAMPLED, 0.018)
        _quiver(ax, at, scale * wanted @ MOVES, EXACT, 0.008)
        off = np.linalg.norm(update - wanted) / np.linalg.norm(wanted)
        ax.set(xlim=(-1.3, 3.52), ylim=(3.52, -1.3))
        ax.set_title(f"{critic} V, {'stored' if stored else 'π’s own'} actions: off by {off:.2f}", loc="left")
    return fig


def _quiver(ax, at, arrows, color: str, width: float) -> None:
    """Draw arrows (S, 2) from the places `at` (S, 2), without those too short to be seen."""
    seen = np.hypot(*arrows.T) > 0.04
    look = dict(angles="xy", scale_units="xy", scale=1, headwidth=3.2, headlength=3.2, headaxislength=3.2, minlength=0)
    ax.quiver(*at[seen].T, *rounded(arrows[seen]).T, color=color, width=width, zorder=3, **look)


class BufferView:
    """The states of a batch by their age, and how far the writers of the buffer are from the current π.

    It shows a `labs.replay.BufferResult`.
    """

    def __init__(self, last_step: int, n_strata: int = 12):
        self.edges = np.linspace(0, last_step, n_strata + 1)
        self.figure, (self.where, self.differ) = figure(8.6, 3.4, ncols=2)
        with course_style():
            self._build_where(self.where)
            self._build_differ(self.differ, last_step)
        self.artists = [self.batch, self.now, self.count, self.bars, self.clock, self.clock_name]
        self.arrange(narrow=False)

    def _build_where(self, ax) -> None:
        self.batch = ax.scatter([], [], s=18, c=[], cmap=_AGE, vmin=0, vmax=1)
        (self.now,) = ax.plot([], [], "o", ms=5, mfc="none", mec=EXACT, mew=0.7)
        ax.set(xlim=(-2.5, 2.5), ylim=(-0.23, 0.23), xlabel="position, m", ylabel="angle of the pole, rad")
        self.count = ax.set_title("")
        keys = [("o", _AGE(0.0), _AGE(0.0), "old"), ("o", _AGE(1.0), _AGE(1.0), "new")]
        keys.append(("o", "none", EXACT, "where π goes now"))
        handles = [ax.plot([], [], m, ms=5, mfc=face, mec=edge, mew=0.7, label=name)[0] for m, face, edge, name in keys]
        tight = dict(columnspacing=1.0, handletextpad=0.1)
        ax.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(-0.03, -0.15),
            ncols=3,
            frameon=False,
            fontsize=9,
            **tight,
        )

    def _build_differ(self, ax, last_step: int) -> None:
        self.bars = ax.stairs(np.zeros(len(self.edges) - 1), self.edges, fill=True, color=STORED, alpha=0.8)
        (self.clock,) = ax.plot([], [], color=EXACT, lw=1.5, ls="--")
        self.clock_name = ax.text(0, 0.53, "now ", fontsize=9, ha="right", va="top")
        ax.set(xlim=(0, last_step), ylim=(0, 0.55), xticks=np.linspace(0, last_step, 3).round())
        ax.set(xlabel="written at environment step", title="|π(a|s) − β(a|s)|, by age of the data")

    def arrange(self, narrow: bool) -> None:
        """Put the panels side by side, or one below the other."""
        if narrow:
            arrange_axes(self.figure, (390, 640), {self.where: (70, 26, 306, 220), self.differ: (70, 360, 300, 220)})
        else:
            arrange_axes(self.figure, (960, 366), {self.where: (72, 26, 462, 262), self.differ: (600, 26, 326, 262)})

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        newest = int((result.written > result.steps - 1000).sum())
        self.count.set_text(f"{newest} of {len(result.written)} from the latest 1,000 steps")
        self.bars.set_data(np.nan_to_num(result.disagreement.numpy()))
        self.clock.set_data([result.steps] * 2, [0, 0.55])
        self.clock_name.set_x(result.steps)
        self.batch.set_offsets(result.states.numpy())
        self.batch.set_array(result.written.numpy() / result.steps)
        self.now.set_data(*result.now.T.numpy())
