"""CartPole drawn to scale: a cart that moves, and episodes side by side as an animated picture."""

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from offac_lite.course.plots.base import ACTIONS, EXACT, MUTED, RESAMPLED, STORED, figure
from offac_lite.course.plots.style import course_style

__all__ = ["AGENT_COLORS", "CartPole", "moving_poles"]

AGENT_COLORS = {"untrained": MUTED, "naive replay": STORED, "both fixes": RESAMPLED}
"""The colour of each agent's pole in `moving_poles`."""
Moment = Sequence[float]  # position in metres, angle in radians, falls so far


class CartPole:
    """A cart on its rail with a pole of 1 m. An episode ends in the shaded edges (|position| > 2.4 m).

    `move` changes `cart` and `pole` in place. `color` and `width` are the pole's. The edges are `top` metres high.
    """

    @course_style()
    def __init__(self, ax: Axes, color: str = ACTIONS, width: float = 4.0, top: float = 1.5):
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


@course_style()
def moving_poles(played: Mapping[str, Sequence[Moment]]) -> bytes:
    """Draw episodes side by side as an animated PNG, from {agent: its moments}; agents as in `AGENT_COLORS`.

    The first frame is the last moment, which a still shows. Each other frame lasts 40 milliseconds.

    >>> moving_poles({"untrained": [(0.0, 0.0, 0), (0.1, 0.2, 1)]})[1:4]
    b'PNG'
    """
    from PIL import Image

    fig, axes = figure(9.0, 1.35, ncols=len(played))
    carts, pictures = {}, []
    for ax, name in zip(axes, played, strict=True):
        carts[name] = CartPole(ax, color=AGENT_COLORS[name])
        ax.set(ylim=(-0.15, 1.6), xticks=[])
        ax.set_title("falls: 0", loc="center")
        ax.spines[:].set_visible(False)
    for moment in zip(*played.values(), strict=True):
        for (name, cart), (position, angle, falls) in zip(carts.items(), moment, strict=True):
            cart.move(position, angle)
            cart.cart.axes.set_title(f"{name}, falls: {falls}", loc="center")
        fig.canvas.draw()
        fig.set_layout_engine("none")  # from here on only the carts move
        pictures.append(Image.fromarray(np.asarray(fig.canvas.buffer_rgba())[..., :3]))
    look = {"palette": pictures[-1].quantize(32), "dither": Image.Dither.NONE}
    first, *others = [picture.quantize(**look) for picture in pictures[-1:] + pictures]
    times, file = [1500] + [40] * len(others), io.BytesIO()
    first.save(file, format="PNG", save_all=True, append_images=others, duration=times, loop=0)
    return file.getvalue()
