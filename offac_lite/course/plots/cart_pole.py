"""CartPole drawn to scale: a cart that moves, and an episode as a strip of frames."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from offac_lite.course.plots.base import ACTIONS, EXACT, MUTED, figure
from offac_lite.course.plots.style import course_style

__all__ = ["CartPole", "cart_pole_strip"]


class CartPole:
    """A cart on its rail with a pole of 1 m. An episode ends in the shaded edges (|position| > 2.4 m).

    `move` changes `cart` and `pole` in place. `color` and `width` are the pole's. The edges are `top` metres high.
    """

    @course_style()
    def __init__(self, ax, color: str = ACTIONS, width: float = 4.0, top: float = 1.5):
        for left in (-3.0, 2.4):
            ax.add_patch(Rectangle((left, -0.5), 0.6, top + 0.5, color="#DDDDDD"))
        ax.plot([-3, 3], [0, 0], color=MUTED, linewidth=1)
        self.cart = ax.add_patch(Rectangle((-0.35, 0.0), 0.7, 0.3, color=EXACT))
        (self.pole,) = ax.plot([], [], color=color, linewidth=width, solid_capstyle="round")
        ax.set(xlim=(-3, 3), aspect="equal", yticks=[])

    def move(self, position: float, angle: float) -> None:
        """Put the cart at `position`, in metres, and its pole at `angle`, in radians to the right."""
        self.cart.set_x(position - 0.35)
        self.pole.set_data([position, position + math.sin(angle)], [0.3, 0.3 + math.cos(angle)])


def cart_pole_strip(observations, n_frames: int = 8, seconds_per_step: float = 0.02) -> Figure:
    """Draw an episode of CartPole as a strip of frames, from its observations (T, 4).

    Positions are in metres and angles in radians, as in the environment.
    """
    observations = np.asarray(observations)
    fig, axes = figure(9.6, 1.15, ncols=n_frames, sharey=True)
    for ax, t in zip(axes, np.linspace(0, len(observations) - 1, n_frames).astype(int), strict=True):
        position, _, angle, _ = observations[t]
        CartPole(ax).move(position, angle)
        ax.set(ylim=(-0.3, 1.6), xticks=[])
        ax.set_title(f"{t * seconds_per_step:.1f} s", fontsize=9, loc="center")
        ax.spines[:].set_visible(False)
    return fig
