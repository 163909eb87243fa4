"""The views of the watch lab and the map lab: CartPole with the agent's π and Q, and π and Q as maps."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import MaxNLocator

from offac_lite.course.plots.base import ACTIONS, EXACT, MUTED, STATES, figure
from offac_lite.course.plots.cart_pole import CartPole
from offac_lite.course.plots.style import course_style

__all__ = ["MapView", "WatchView"]

_LEFT, _RIGHT = STATES, ACTIONS
"""The colours of the two actions."""


class WatchView:
    """A cart with its pole, and π(right|s) and both Q over the episode, with a mark at the current step.

    It shows a `labs.watch.WatchResult`.
    """

    def __init__(self):
        self.figure, axes = figure(9.4, 4.0, nrows=2, ncols=2, width_ratios=[1.15, 1])
        self.policy, self.q = axes[1::2]
        with course_style():
            for ax in axes[::2]:  # the cart takes the place of both
                ax.remove()
            stage = self.figure.add_subplot(self.q.get_gridspec()[:, 0])
            self.cart_pole = CartPole(stage, color=MUTED, width=5, top=1.8)
            (self.push,) = stage.plot([], [], lw=3, marker=">", markersize=11, markevery=[1])
            self.title = stage.set_title("step 0")
            stage.set(ylim=(-0.5, 1.8), xlabel="position, m")
            stage.spines["left"].set_visible(False)
            (self.right,) = self.policy.plot([], [], color=_RIGHT, lw=1.3, label="π(right|s)")
            self.policy.axhline(0.5, color=MUTED, lw=0.7, ls=":")
            self.policy.set(ylim=(-0.03, 1.03), title="π(right|s)")
            (self.q_left,) = self.q.plot([], [], color=_LEFT, lw=1.6, label="Q(s, left)")
            (self.q_right,) = self.q.plot([], [], color=_RIGHT, lw=1.3, ls="--", label="Q(s, right)")
            self.q.set(title="Q(s, ·), scaled rewards", xlabel="step of the episode")
            self.figure.legend(
                handles=[self.q_left, self.q_right], frameon=False, ncols=2, fontsize=8.5, loc="outside lower right"
            )
            self.q.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            self.policy.set(xticks=[], xlim=(0, 510))
            self.q.set(xlim=(0, 510), ylim=(0, 10))
            self.marks = [ax.axvline(0, color=EXACT, lw=1) for ax in (self.policy, self.q)]
        self.artists = [
            self.cart_pole.cart,
            self.cart_pole.pole,
            self.push,
            self.title,
            self.right,
            self.q_left,
            self.q_right,
            *self.marks,
        ]

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        played = result.played
        x, _, angle, _ = played.obs[result.step].tolist()
        self.cart_pole.move(x, angle)
        right = played.probs[result.step, 1].item() > 0.5
        self.push.set_data([x, x + (0.9 if right else -0.9)], [0.15, 0.15])
        self.push.set_color(_RIGHT if right else _LEFT)
        self.push.set_marker(">" if right else "<")
        self.title.set_text(f"step {result.step}, {0.02 * result.step:.2f} s: pushes {'right' if right else 'left'}")
        steps = np.arange(len(played.obs))
        curves = played.probs[:, 1], played.q[:, 0], played.q[:, 1]
        for line, curve in zip((self.right, self.q_left, self.q_right), curves, strict=True):
            line.set_data(steps, curve)
        for mark in self.marks:
            mark.set_xdata([result.step, result.step])
        limits = (0, 1.02 * (len(steps) - 1))
        heights = _rounded_outwards(played.q.min().item(), played.q.max().item())
        if self.q.get_xlim() != limits or self.q.get_ylim() != heights:
            self.policy.set_xlim(limits)
            self.q.set(xlim=limits, ylim=heights)


def _rounded_outwards(low: float, high: float, step: float = 0.5) -> tuple[float, float]:
    """Round limits outwards to multiples of `step`, so that they seldom change."""
    return step * math.floor(low / step), step * math.ceil(high / step)


class MapView:
    """π(right|s) and Q(s, right) − Q(s, left) over two coordinates, with the states of the agent's episode.

    `reach`: plane → half its width and height. The maps have `n` × `n` points. `scale`: the largest difference of Q
    that the colours distinguish. It shows a `labs.watch.MapResult`.
    """

    def __init__(self, reach: Mapping[str, tuple[float, float]], n: int, scale: float):
        self.reach = dict(reach)
        self.figure, self.axes = figure(9.4, 4.0, ncols=2, sharey=True)
        with course_style():
            kinds = (("π(right|s)", 0.0, 1.0), ("Q(s, right) − Q(s, left), scaled rewards", -scale, scale))
            self.maps, self.paths = [], []
            for ax, (title, low, high) in zip(self.axes, kinds, strict=True):
                look = dict(vmin=low, vmax=high, cmap="PuOr_r", interpolation="nearest", aspect="auto", zorder=1)
                self.maps.append(ax.imshow(np.zeros((n, n)), origin="lower", **look))
                self.figure.colorbar(self.maps[-1], ax=ax, shrink=0.9)
                self.paths.append(ax.plot([], [], color=EXACT, lw=0, marker=".", markersize=2.5)[0])
                ax.set(title=title, xlabel="position of the cart, m")
            self.axes[0].set_ylabel("its speed, rad/s")
        self.artists = [*self.maps, *self.paths]

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        width, height = self.reach[result.plane]
        for picture, values in zip(self.maps, (result.right, result.difference), strict=True):
            picture.set_data(values.numpy())
        for path in self.paths:
            path.set_data(*result.visited.T.numpy())
        if self.axes[0].get_xlim() != (-width, width):
            across, up = _COORDINATES[result.plane.split()[0]]
            for ax, picture in zip(self.axes, self.maps, strict=True):
                picture.set_extent((-width, width, -height, height))
                ax.set(xlim=(-width, width), ylim=(-height, height), xlabel=across)
            self.axes[0].set_ylabel(up)


_COORDINATES = {
    "angle": ("angle of the pole, rad", "its speed, rad/s"),
    "position": ("position of the cart, m", "its speed, m/s"),
}
