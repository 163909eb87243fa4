"""FrozenLake as a world: ice, holes, start and goal; a policy's arrows, or a number in each square."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, FancyBboxPatch
from matplotlib.patheffects import withStroke

from offac_lite.course.plots.base import EXACT, RESAMPLED, figure, rounded
from offac_lite.course.plots.style import course_style

__all__ = ["LakePanel", "LakeValues", "lake_policy", "lake_values"]

LAKE_4X4 = "SFFFFHFHFFFHHFFG"  # start, frozen, hole, goal
ICE, WATER, GOAL = "#E6F0F7", "#A9BECF", "#BFE3D0"  # pale: black words are readable on them, on dark pages as well
TINTS = LinearSegmentedColormap.from_list("tints", ["#F3CEB1", ICE, "#8FBFDF"])  # from −1 to 1
MOVES = np.array([(-1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, -1.0)])  # left, down, right, up; y points down


class LakePanel:
    """The lake, and in each of its squares an arrow for each action, as long as its probability."""

    def __init__(self, ax: Axes):
        self.walkable, x, y, _ = _draw_map(ax)
        at = np.stack([x, y], -1)[self.walkable].repeat(4, 0)
        look = dict(
            angles="xy", scale_units="xy", scale=1, width=0.016, headwidth=3.6, headlength=4, headaxislength=3.6
        )
        self.arrows = ax.quiver(*at.T, *np.zeros((2, len(at))), color=RESAMPLED, zorder=3, minlength=0.4, **look)
        self.artists = [self.arrows]

    def update(self, probs) -> None:
        """Draw a policy (S, A)."""
        steps = np.asarray(probs)[self.walkable, :, None] * 0.46 * MOVES
        self.arrows.set_UVC(*rounded(steps.reshape(-1, 2)).T)


class LakeValues:
    """The lake, and in each square on which one can walk a number: as text, and as a tint.

    The tint runs from ice to blue at `top`, and to orange at −`top`. `digits` are those after the decimal point. With
    `shown`, (S,) bool, the squares where it is False stay empty.
    """

    def __init__(self, ax: Axes, top: float, digits: int = 2, shown: Any = None, size: float = 10):
        self.top, self.digits = top, digits
        walkable, x, y, tiles = _draw_map(ax)
        self.shown = np.flatnonzero(walkable if shown is None else walkable & np.asarray(shown))
        self.tiles = [tiles[state] for state in self.shown]
        look = dict(ha="center", va="center", fontsize=size, zorder=3)
        self.words = [ax.text(x[state], y[state], "", **look) for state in self.shown]
        self.artists = [*self.tiles, *self.words]

    def update(self, values) -> None:
        """Write and tint the numbers (S,)."""
        for tile, word, value in zip(self.tiles, self.words, rounded(values)[self.shown], strict=True):
            share = float(np.clip(value / self.top, -1, 1))
            tile.set_facecolor(TINTS(0.5 + share / 2))
            text = f"{value:.{self.digits}f}".replace("-", "−")
            word.set_text(text if float(text.replace("−", "-")) else text.removeprefix("−"))


@course_style()
def lake_values(panels: Mapping[str, Any], digits: int = 2) -> Figure:
    """Draw {title: numbers (S,)} on lakes side by side, with one scale for all: see `LakeValues`.

    The scale ends at the number that is largest in size. Holes and goal are no squares to walk on; their numbers are
    not drawn.

    >>> fig = lake_values({"V": range(16), "error": [0.5] * 16})
    >>> [ax.get_title("left") for ax in fig.axes]
    ['V', 'error']
    """
    top = max(np.abs(np.asarray(values)).max() for values in panels.values())
    side = min(2.75, 9.8 / len(panels))
    fig, axes = figure(0.2 + side * len(panels), 0.45 + side, ncols=len(panels))
    for ax, (title, values) in zip(axes, panels.items(), strict=True):
        LakeValues(ax, top, digits, size=3.6 * side).update(values)
        ax.set_title(title, loc="left", fontsize=10.5)
    return fig


def draw_map(ax: Axes) -> np.ndarray:
    """Draw the lake; return the place (x, y) of each state, (S, 2)."""
    return np.stack(_draw_map(ax)[1:3], -1)


def _draw_map(ax: Axes) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[FancyBboxPatch]]:
    """Draw the squares; return where one can walk, the columns and rows of the squares, and their tiles."""
    y, x = np.divmod(np.arange(16), 4)
    tiles = [_tile(ax, column, row, letter) for column, row, letter in zip(x, y, LAKE_4X4, strict=True)]
    ax.set(xlim=(-0.52, 3.52), ylim=(3.52, -0.52), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return np.array([letter in "SF" for letter in LAKE_4X4]), x, y, tiles


def _tile(ax: Axes, x: int, y: int, letter: str) -> FancyBboxPatch:
    """Draw one square; return its ground."""
    color = GOAL if letter == "G" else ICE
    shape = dict(boxstyle="round,pad=0,rounding_size=0.08", mutation_aspect=1)
    ground = FancyBboxPatch((x - 0.47, y - 0.47), 0.94, 0.94, facecolor=color, edgecolor="none", zorder=1, **shape)
    ax.add_patch(ground)
    if letter == "H":
        ax.add_patch(Ellipse((x, y), 0.74, 0.62, facecolor=WATER, edgecolor="#7F9BB1", lw=2, zorder=2))
        ax.text(x, y, "hole", color=EXACT, fontsize=8, ha="center", va="center", zorder=3)
    if letter == "G":
        ax.plot([x + 0.02, x + 0.02], [y + 0.3, y - 0.32], color=EXACT, lw=1.6, zorder=2)
        ax.fill([x + 0.02, x + 0.37, x + 0.02], [y - 0.32, y - 0.2, y - 0.08], color="#D55E00", lw=0, zorder=2)
    if letter in "SG":
        word = {"S": "start", "G": "goal"}[letter]
        text = ax.text(x - 0.44, y + 0.44, word, color=EXACT, fontsize=7.5, ha="left", va="bottom", zorder=4)
        text.set_path_effects([withStroke(linewidth=1.5, foreground=color)])
    return ground


@course_style()
def lake_policy(ax: Axes, probs, title: str = "") -> None:
    """Draw a FrozenLake policy (S, A) on the lake: see `LakePanel`."""
    LakePanel(ax).update(probs)
    ax.set_title(title)
