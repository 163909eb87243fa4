"""Diagrams: the data flow of each algorithm, small MDPs, and a batch of states with several actions each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from offac_lite.course.plots.base import ACTIONS, EXACT, MUTED, NEXT, RESAMPLED, STATES, STORED, figure
from offac_lite.course.plots.style import course_style

__all__ = ["data_flow", "small_mdp", "states_and_actions"]

_DARK = {STORED: "#A86F00", NEXT: "#2A86BF", RESAMPLED: "#00785A"}  # the same colours for letters
_FLOWS = {  # name: title; each adds one arrow to the one before
    "on-policy": "on-policy",
    "naive replay": "naive replay",
    "fix 1": "fix 1: a Q-critic",
    "both fixes": "fix 2 as well: a resampled action",
}


@course_style()
def data_flow(*names: str) -> Figure:
    """Draw the way of the data in each algorithm: "on-policy", "naive replay", "fix 1" or "both fixes".

    All have one layout. Each adds one arrow to the one before it. A diagram beside that one draws its new arrow thick.

    >>> len(data_flow("on-policy", "naive replay").axes)
    2
    """
    rows, columns = (1, len(names)) if len(names) < 3 else (2, 2)
    fig, axes = figure(0.3 + 5.0 * columns, 0.2 + 3.0 * rows, nrows=rows, ncols=columns)
    for index, (ax, name) in enumerate(zip(axes, names, strict=False)):
        _draw_flow(ax, name, new=3.2 if index else 1.4)
    return fig


def _draw_flow(ax: Axes, name: str, new: float) -> None:
    """Draw the way of the data, with the line width `new` for the arrow that the algorithm before does not have."""
    if name not in _FLOWS:
        raise ValueError(f"names must be of {', '.join(_FLOWS)}, got {name!r}")
    stage = list(_FLOWS).index(name)
    ax.set(xlim=(0, 10), ylim=(0, 5.8), xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)
    ax.set_title(_FLOWS[name], loc="left", fontsize=11, fontweight="bold")
    q, whole = stage >= 2, "s, a, r, s′, d" if stage == 0 else "s, stored a, r, s′, d"
    _box(ax, 1.5, 2.9, 2.6, "the newest batch,\nused once" if stage == 0 else "replay buffer R")
    _box(ax, 5.0, 2.9, 1.1, "π\nnow")
    target = "y = r + γ(1−d) Q(s′, a′)" if q else "y = r + γ(1−d) V(s′)"
    _box(ax, 8.25, 4.85, 3.3, f"critic: {'Q(s, a)' if q else 'V(s)'} → y\n{target}")
    action = "aᵖ" if stage == 3 else "a"
    advantage = f"Q(s, {action}) − V(s)" if q else "y − V(s)"
    _box(ax, 8.25, 0.95, 3.3, f"actor: ∇log π({action}|s) · Â\nÂ = {advantage}")
    _arrow(ax, (4.4, 2.9), (2.85, 2.9), MUTED, 1.4)
    ax.text(3.62, 3.02, "acts", color=MUTED, fontsize=8.5, ha="center", va="bottom")
    if stage >= 1:
        _box(ax, 1.5, 5.3, 2.6, "old policies β", height=0.7)
        _arrow(ax, (1.5, 4.9), (1.5, 3.4), STORED, new if stage == 1 else 1.4)
        ax.text(1.7, 4.3, "wrote\nmost of it", color=_DARK[STORED], fontsize=8.5, va="center")
    _arrow(ax, (2.85, 3.35), (6.5, 4.85), STORED, 1.4)
    ax.text(4.45, 4.62, whole, color=_DARK[STORED], fontsize=8.5, ha="center", va="bottom")
    color, words = (STORED, "s, stored a" if q else whole) if stage < 3 else (MUTED, "s only")
    _arrow(ax, (2.85, 2.45), (6.5, 0.95), color, 1.4)
    ax.text(4.45, 1.12, words, color=_DARK.get(color, color), fontsize=8.5, ha="center", va="top")
    if q:
        _arrow(ax, (5.6, 3.25), (7.3, 4.3), NEXT, new if stage == 2 else 1.4)
        ax.text(6.75, 3.55, "a′ ~ π(·|s′)", color=_DARK[NEXT], fontsize=9, va="center")
    if stage == 3:
        _arrow(ax, (5.6, 2.55), (7.3, 1.5), RESAMPLED, new)
        ax.text(6.75, 2.25, "aᵖ ~ π(·|s)", color=_DARK[RESAMPLED], fontsize=9, va="center")


def _box(ax: Axes, x: float, y: float, width: float, text: str, height: float = 0.95) -> None:
    place = (x - width / 2, y - height / 2)
    ax.add_patch(FancyBboxPatch(place, width, height, boxstyle="round,pad=0,rounding_size=0.15", fc="white", ec=EXACT))
    ax.text(x, y, text, ha="center", va="center", fontsize=8.5, linespacing=1.35)


def _arrow(ax: Axes, start, end, color: str, width: float, bend: float = 0.0) -> None:
    look = dict(arrowstyle="-|>", mutation_scale=10 + 2 * width, color=color, lw=width, shrinkA=0, shrinkB=0, zorder=1)
    ax.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", **look))


@course_style()
def small_mdp(
    states: Mapping[str, tuple[float, float]],
    arrows: Sequence[tuple[str, str, str]],
    inside: Mapping[str, str] | None = None,
) -> Figure:
    """Draw an MDP: a circle for each state of {name: (x, y)}, and an arrow for each (state, next state, words).

    The state "end" is a square. An arrow from a state to itself is a loop above it. Several arrows between the same
    two states bend apart. `inside` is {name: words to write into the circle}; the name then stands below it.
    Neighbours should be 2 to 3 units apart.

    >>> fig = small_mdp({"one": (0, 0), "end": (2.5, 0)}, [("one", "one", "wait"), ("one", "end", "go: +1")])
    """
    inside = inside or {}
    (left, low), (right, high) = np.min(list(states.values()), 0), np.max(list(states.values()), 0)
    top = high + (1.4 if any(start == end for start, end, _ in arrows) else 0.65)
    fig, (ax,) = figure(0.85 * (right - left + 1.6), 0.85 * (top - low + 0.85))
    ax.set(xlim=(left - 0.8, right + 0.8), ylim=(low - 0.85, top), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    for name, (x, y) in states.items():
        if name == "end":
            ax.add_patch(Rectangle((x - 0.16, y - 0.16), 0.32, 0.32, color=MUTED))
        else:
            ax.add_patch(Circle((x, y), 0.42, facecolor="#E6F0F7", edgecolor=EXACT, lw=1.4, zorder=2))
            ax.text(x, y, inside.get(name, name), fontsize=9.5, ha="center", va="center", zorder=3)
        if name == "end" or name in inside:
            ax.text(x, y - (0.25 if name == "end" else 0.5), name, color=MUTED, fontsize=9, ha="center", va="top")
    between = [frozenset(arrow[:2]) for arrow in arrows]
    for number, (start, end, words) in enumerate(arrows):
        at, to = np.array(states[start], float), np.array(states[end], float)
        if start == end:
            x, y = states[start]
            _arrow(ax, (x - 0.18, y + 0.4), (x + 0.18, y + 0.4), EXACT, 1.3, bend=-2.4)
            ax.text(x, y + 0.98, words, fontsize=9, ha="center", va="bottom")
            continue
        along = (to - at) / np.hypot(*(to - at))
        first, last = at + 0.45 * along, to - (0.24 if end == "end" else 0.47) * along
        bend = -0.16 if between.count(between[number]) > 1 else 0.0
        if arrows[:number].count((start, end, arrows[number - 1][2])):  # the second of two with one direction
            bend = -bend
        side = np.array([-along[1], along[0]]) * (-1 if bend > 0 else 1)
        middle = (first + last) / 2 + side * (0.1 + abs(bend) / 2 * np.hypot(*(last - first)))
        _arrow(ax, first, last, EXACT, 1.3, bend)
        ha = "center" if abs(side[0]) < 0.2 else ("right" if side[0] < 0 else "left")
        ax.text(*middle, words, fontsize=9, ha=ha, va="bottom" if side[1] > 0 else "top")
    return fig


@course_style()
def states_and_actions(settings: Sequence[tuple[int, int]]) -> Figure:
    """Draw batches of N states with K resampled actions each, for each (N, K), as columns of dots.

    >>> len(states_and_actions([(8, 1), (8, 4)]).axes)
    2
    """
    widths: Any = [n + 4 for n, _ in settings]
    fig, axes = figure(8.4, 2.2, ncols=len(settings), width_ratios=widths)
    most = max(k for _, k in settings)
    for ax, (n, k) in zip(axes, settings, strict=True):
        column = np.arange(n)
        ax.plot(column, np.zeros(n), "s", color=STATES, ms=7)
        ax.plot(column.repeat(k), np.tile(1 + np.arange(k), n), "o", color=ACTIONS, ms=5.5)
        ax.set(xlim=(-0.7, n + 1.5), ylim=(-0.7, most + 0.7), xticks=[], yticks=[])
        ax.set_title(f"N = {n}, K = {k}\n{n * k} actions", loc="left", fontsize=10)
        ax.spines[:].set_visible(False)
    axes[0].set_yticks([0, 1], ["states", "actions"])
    axes[0].tick_params(axis="y", length=0)
    return fig
