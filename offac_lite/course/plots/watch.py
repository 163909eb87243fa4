"""The views of the watch lab and the map lab: CartPole with the agent's π and Q, and π and Q as maps."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from offac_lite.course.plots.base import ACTIONS, EXACT, MUTED, STATES, figure, rounded
from offac_lite.course.plots.cart_pole import CartPole
from offac_lite.course.plots.cloud import arrange_axes
from offac_lite.course.plots.style import course_style

__all__ = ["MapView", "WatchView"]

_LEFT, _RIGHT = STATES, ACTIONS
"""The colours of the two actions."""
_KINDS = [(color, filled) for filled in (True, False) for color in (_LEFT, _RIGHT)]


class WatchView:
    """A cart with its pole, Q(right) − Q(left) over the episode, and π(right|s) against it.

    Each dot is a state of the episode, in the colour of the more probable action. It is hollow where that action has
    the lower Q. A triangle lies beyond the edge. It shows a `labs.watch.WatchResult`.
    """

    def __init__(self):
        self.figure, (stage, self.course, self.pairs) = figure(8.7, 3.4, ncols=3)
        with course_style():
            self.cart_pole = CartPole(stage, color=MUTED, width=5, top=1.8)
            (self.push,) = stage.plot([], [], lw=3, marker=">", markersize=11, markevery=[1])
            self.title = stage.set_title("")
            stage.set(ylim=(-0.5, 1.8), xlabel="position, m", xticks=(-2, 0, 2))
            stage.spines["left"].set_visible(False)
            self._build_course()
            self._build_pairs()
        panels = self.course, self.pairs
        self.dots = {ax: [self._dots(ax, *kind) for kind in _KINDS] for ax in panels}
        beyond = {"ls": "", "ms": 4.5, "mew": 0, "color": MUTED, "alpha": 0.7, "clip_on": False}
        self.above = [ax.plot([], [], marker=">" if ax is self.pairs else "^", **beyond)[0] for ax in panels]
        self.below = [ax.plot([], [], marker="<" if ax is self.pairs else "v", **beyond)[0] for ax in panels]
        now = {"ls": "", "marker": "o", "ms": 10, "mec": EXACT, "mew": 1.6}
        self.now = [ax.plot([], [], **now)[0] for ax in panels]
        self.artists = [self.cart_pole.cart, self.cart_pole.pole, self.push, self.title, self.agreed, self.mark]
        self.artists += [*self.dots[self.course], *self.dots[self.pairs], *self.above, *self.below, *self.now]
        self.arrange(narrow=False)

    def _dots(self, ax, color: str, filled: bool):
        look = {"ls": "", "marker": "o", "ms": 3.6, "mec": color, "mew": 0.8, "mfc": color if filled else "none"}
        return ax.plot([], [], alpha=0.75, **look)[0]

    def _build_course(self) -> None:
        self.course.axhline(0, color=MUTED, lw=0.8)
        self.course.set(xlabel="step of the episode", title="Q(s, right) − Q(s, left)")
        self.course.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        self.mark = self.course.axvline(0, color=EXACT, lw=1)
        for y, va, text, color in ((0.99, "top", "right is better", _RIGHT), (0.01, "bottom", "left is better", _LEFT)):
            look = {"xycoords": "axes fraction", "va": va, "fontsize": 9, "color": color}
            self.course.annotate(text, (0.14, y), **look)  # right of step 0, also in a short episode

    def _build_pairs(self) -> None:
        for left, low in ((0.5, 0.5), (0.0, 0.0)):  # where the likelier action has the higher Q
            box = Rectangle((left, low), 0.5, 0.5, transform=self.pairs.transAxes, color="#E9E9E9", lw=0, zorder=0)
            self.pairs.add_patch(box)
        self.agreed = self.pairs.set_title("")
        self.pairs.set(ylim=(0, 1), xlabel="Q(s, right) − Q(s, left)", ylabel="π(right|s)")
        note = {"xycoords": "axes fraction", "ha": "center", "fontsize": 8.5, "color": MUTED}
        self.pairs.annotate("as Q prefers", (0.75, 0.985), va="top", **note)
        self.pairs.annotate("as Q prefers", (0.25, 0.015), va="bottom", **note)

    def arrange(self, narrow: bool) -> None:
        """Put the panels side by side, or one below the other."""
        stage = self.title.axes
        if narrow:
            places = {stage: (14, 26, 362, 139), self.course: (60, 238, 306, 190), self.pairs: (60, 502, 306, 226)}
            arrange_axes(self.figure, (390, 780), places)
        else:
            places = {stage: (14, 70, 300, 115), self.course: (372, 26, 258, 270), self.pairs: (702, 26, 246, 270)}
            arrange_axes(self.figure, (966, 346), places)

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        played, now = result.played, result.step
        x, _, angle, _ = played.obs[now].tolist()
        right, difference = rounded(played.probs[:, 1]), rounded(played.difference)
        goes_right, agrees = played.goes_right.numpy(), played.agrees.numpy()
        steps, edge = np.arange(len(right)), _edge(difference)
        inside = np.clip(difference, -edge, edge)
        self.cart_pole.move(x, angle)
        self.push.set_data([x, x + (0.9 if goes_right[now] else -0.9)], [0.15, 0.15])
        self.push.set_color(_RIGHT if goes_right[now] else _LEFT)
        self.push.set_marker(">" if goes_right[now] else "<")
        self.title.set_text(f"step {now}, {0.02 * now:.2f} s: pushes {'right' if goes_right[now] else 'left'}")
        for n, (ax, *place) in enumerate(((self.course, steps, inside), (self.pairs, inside, right))):
            for dots, (color, filled) in zip(self.dots[ax], _KINDS, strict=True):
                chosen = (goes_right == (color == _RIGHT)) & (agrees == filled) & (np.abs(difference) <= edge)
                dots.set_data(*(one[chosen] for one in place))
            self.above[n].set_data(*(one[difference > edge] for one in place))
            self.below[n].set_data(*(one[difference < -edge] for one in place))
            self.now[n].set_data(*([one[now]] for one in place))
            self.now[n].set_markerfacecolor(_RIGHT if goes_right[now] else _LEFT)
        self.mark.set_xdata([now, now])
        self.agreed.set_text(f"likelier is better in {100 * played.agrees.double().mean():.0f}% of steps")
        self._fit(len(steps), edge)

    def _fit(self, n_steps: int, edge: float) -> None:
        """Fit the axes to an episode. They stay while it plays."""
        if self.course.get_xlim()[1] != n_steps or self.course.get_ylim()[1] != edge:
            self.course.set(xlim=(-1, n_steps), ylim=(-edge, edge))
            self.pairs.set(xlim=(-edge, edge), xticks=(-edge, 0, edge))


def _edge(differences) -> float:
    """Return where axes for `differences` end: four times their median size or more, 1, 2 or 5 times a power of ten.

    >>> _edge([0.01, -0.02, 3.0]), _edge([0.0])
    (0.1, 0.001)
    """
    wanted = max(4 * np.median(np.abs(differences)), 1e-3)
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(float(round(factor * power, 9)) for factor in (1, 2, 5, 10) if factor * power >= wanted - 1e-12)


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
            self.maps, self.bars, self.paths = [], [], []
            for ax, (title, low, high) in zip(self.axes, kinds, strict=True):
                look = dict(vmin=low, vmax=high, cmap="PuOr_r", interpolation="nearest", aspect="auto", zorder=1)
                self.maps.append(ax.imshow(np.zeros((n, n)), origin="lower", **look))
                self.bars.append(self.figure.colorbar(self.maps[-1], cax=self.figure.add_axes((0, 0, 1, 1))).ax)
                self.paths.append(ax.plot([], [], color=EXACT, lw=0, marker=".", markersize=2.5)[0])
                ax.set_title(title)
        self.artists = [*self.maps, *self.paths]
        self.arrange(narrow=False)

    def arrange(self, narrow: bool) -> None:
        """Put the maps side by side, or one below the other."""
        (left, right), (left_bar, right_bar) = self.axes, self.bars
        right.tick_params(labelleft=narrow)
        right.yaxis.label.set_visible(narrow)
        if narrow:
            places = {left: (58, 26, 262, 220), left_bar: (330, 36, 12, 200)}
            places |= {right: (58, 318, 262, 220), right_bar: (330, 328, 12, 200)}
            arrange_axes(self.figure, (390, 590), places)
        else:
            places = {left: (62, 26, 330, 310), left_bar: (404, 40, 14, 282)}
            places |= {right: (496, 26, 330, 310), right_bar: (838, 40, 14, 282)}
            arrange_axes(self.figure, (920, 390), places)

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
                ax.set_ylabel(up)


_COORDINATES = {
    "angle": ("angle of the pole, rad", "its speed, rad/s"),
    "position": ("position of the cart, m", "its speed, m/s"),
}
