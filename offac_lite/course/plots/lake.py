"""FrozenLake as a world: ice, holes, start and goal, and a policy's arrows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse, FancyBboxPatch

from offac_lite.course.plots.base import EXACT, MUTED, RESAMPLED, rounded

__all__ = ["LAKE_4X4", "LakePanel", "lake_policy"]

LAKE_4X4 = ("SFFF", "FHFH", "FFFH", "HFFG")
ICE, WATER, GOAL = "#E6F0F7", "#3D5A73", "#BFE3D0"
MOVES = np.array([(-1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, -1.0)])  # left, down, right, up; y points down


class LakePanel:
    """The lake, and in each of its squares an arrow for each action, as long as its probability.

    `rows` is the map, as in `LAKE_4X4`: S start, F frozen, H hole, G goal.
    """

    def __init__(self, ax: Axes, rows: Sequence[str] = LAKE_4X4, color: str = RESAMPLED):
        self.walkable = np.array([letter in "SF" for row in rows for letter in row])
        y, x = np.divmod(np.arange(len(self.walkable)), len(rows[0]))
        for column, row, letter in zip(x, y, "".join(rows), strict=True):
            _tile(ax, column, row, letter)
        at = np.stack([x, y], -1)[self.walkable].repeat(4, 0)
        look = dict(
            angles="xy", scale_units="xy", scale=1, width=0.016, headwidth=3.6, headlength=4, headaxislength=3.6
        )
        self.arrows = ax.quiver(*at.T, *np.zeros((2, len(at))), color=color, zorder=3, minlength=0.4, **look)
        ax.set(xlim=(-0.52, len(rows[0]) - 0.48), ylim=(len(rows) - 0.48, -0.52), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        self.artists = [self.arrows]

    def update(self, probs) -> None:
        """Draw a policy (S, A)."""
        steps = np.asarray(probs)[self.walkable, :, None] * 0.46 * MOVES
        self.arrows.set_UVC(*rounded(steps.reshape(-1, 2)).T)


def _tile(ax: Axes, x: int, y: int, letter: str) -> None:
    """Draw one square."""
    color = GOAL if letter == "G" else ICE
    shape = dict(boxstyle="round,pad=0,rounding_size=0.08", mutation_aspect=1)
    ax.add_patch(FancyBboxPatch((x - 0.47, y - 0.47), 0.94, 0.94, facecolor=color, edgecolor="none", zorder=1, **shape))
    if letter == "H":
        ax.add_patch(Ellipse((x, y), 0.74, 0.62, facecolor=WATER, edgecolor="#9FB6C8", lw=2.5, zorder=2))
        ax.text(x, y, "hole", color="white", fontsize=8, ha="center", va="center", zorder=3)
    if letter == "G":
        ax.plot([x + 0.02, x + 0.02], [y + 0.3, y - 0.32], color=EXACT, lw=1.6, zorder=2)
        ax.fill([x + 0.02, x + 0.37, x + 0.02], [y - 0.32, y - 0.2, y - 0.08], color="#D55E00", lw=0, zorder=2)
    if letter in "SG":
        word = {"S": "start", "G": "goal"}[letter]
        ax.text(x - 0.42, y + 0.43, word, color=MUTED, fontsize=7.5, ha="left", va="bottom", zorder=2)


def lake_policy(ax: Axes, probs, rows: Sequence[str], title: str = "") -> None:
    """Draw a FrozenLake policy (S, A) on the lake of `rows`: see `LakePanel`."""
    LakePanel(ax, rows).update(probs)
    ax.set_title(title)
