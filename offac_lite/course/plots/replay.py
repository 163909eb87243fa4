"""Figures of old data: its values, and the views of the age lab and the buffer lab."""

import math

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from offac_lite.course.plots.base import (
    DIGITS,
    EXACT,
    MUTED,
    RESAMPLED,
    STORED,
    SURROGATE,
    NumberTable,
    figure,
    rounded,
)
from offac_lite.course.plots.style import course_style

__all__ = ["AgeView", "BufferView", "values_of_old_data"]

_BOXES = {  # (critic, actions): colour, line, marker, name
    ("right", "π"): (SURROGATE, "-", "D", "neither wrong: right V, π's actions"),
    ("naive", "π"): (RESAMPLED, "--", "o", "wrong value only: naive V, π's actions"),
    ("right", "stored"): (STORED, "-", "s", "wrong action only: right V, stored actions"),
    ("naive", "stored"): (STORED, "--", "X", "naive replay: naive V, stored actions"),
}
_EDGES = (1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)  # edges that the compass can have, so that they seldom change
_AGE = LinearSegmentedColormap.from_list("age", ["#5B3A00", STORED, "#FBE3B0"])  # dark is old


def values_of_old_data(exact, naive, mean, learned) -> Figure:
    """Draw, for each state, V^π, the naive fixed point, the mean of the writers' values, and the learned V; (S,)."""
    fig, (ax,) = figure(8.4, 3.2)
    states = np.arange(len(exact))
    ax.plot(states, exact, "_", color=EXACT, ms=16, mew=2.5, label="exact V of π, which is wanted")
    ax.plot(states, naive, "_", color=STORED, ms=16, mew=2.5, label="exact fixed point of the naive target")
    ax.plot(states, learned, "o", color=STORED, mec="white", ms=7, label="learned from the buffer by TD")
    ax.plot(states, mean, "x", color=MUTED, ms=6, label="mean of the writers' values")
    ax.set(xlabel="state", ylabel="V(s), reward units", xticks=states)
    ax.legend(frameon=False, loc="upper left", fontsize=9)
    return fig


class AgeView:
    """Values by state, a compass of the four mean updates, and the numbers.

    The compass shows true lengths, angles to ∇J and distances from its tip. It does not show in which of the other
    dimensions an update points. The view shows a `labs.replay.AgeResult`.
    """

    def __init__(self, n_states: int = 16):
        self.states = np.arange(n_states)
        self.figure, (values, self.compass, numbers) = figure(10.4, 4.0, ncols=3, width_ratios=[1, 1.4, 0.8])
        with course_style():
            (self.naive,) = values.plot([], [], "o", color=STORED, ms=6, label="naive V: fixed point on this buffer")
            (self.exact,) = values.plot([], [], "_", color=EXACT, ms=11, mew=2.2, label="exact V of π")
            values.set(xlim=(-0.7, n_states - 0.3), ylim=(-0.03, 1.0), xticks=self.states[::3], xlabel="state")
            values.set_title("V(s), reward units")
            self._build_compass(self.compass)
            self.numbers = NumberTable(numbers, width=30, size=8.5)
            handles = [*values.get_legend_handles_labels()[0], *self.compass.get_legend_handles_labels()[0]]
            where = dict(loc="outside lower center", ncols=3, fontsize=8.5, frameon=False)
            self.figure.legend(handles, [handle.get_label() for handle in handles], **where)
        self.artists = [self.naive, self.exact, *self.arrows.values(), self.gradient, self.unit, self.title]
        self.artists.append(self.numbers.artist)

    def _build_compass(self, ax) -> None:
        ax.axhline(0, color=MUTED, lw=0.6)
        ax.axvline(0, color=MUTED, lw=0.6)
        (self.unit,) = ax.plot([], [], color=MUTED, ls=":", lw=1)
        self.arrows = {
            box: ax.plot(
                [], [], color=color, ls=line, lw=2, marker=marker, markevery=[-1], ms=8, mec="white", label=name
            )[0]
            for box, (color, line, marker, name) in _BOXES.items()
        }
        (self.gradient,) = ax.plot([], [], color=EXACT, lw=2.5, marker="o", markevery=[-1], ms=6, label="exact ∇J")
        self.title = ax.set_title("")
        ax.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(-0.08, 0.78), aspect="equal")
        ax.set_xlabel("← downhill        uphill, along ∇J →")
        ax.spines[:].set_visible(False)

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        self.exact.set_data(self.states, rounded(result.exact))
        self.naive.set_data(self.states, rounded(result.naive))
        longest = max(1.0, *(update.length for update in result.updates.values()))
        edge = next(edge for edge in _EDGES if edge >= 1.02 * longest)
        for box, line in self.arrows.items():
            update = result.updates[box]
            along = round(update.cosine * update.length / edge, DIGITS)
            across = round(math.sqrt(max(0.0, 1 - update.cosine**2)) * update.length / edge, 6)
            line.set_data([0, along], [0, across])
        self.gradient.set_data([0, 1 / edge], [0, 0])
        angle = np.linspace(0, np.pi, 91)
        self.unit.set_data(np.cos(angle) / edge, np.sin(angle) / edge)
        self.title.set_text(f"mean updates, in lengths of ∇J (edge: ±{edge:g})")
        rows = [
            ("J of the policy now", f"{result.return_now:.3f}"),
            ("J of the buffer's", f"{result.return_buffer:.3f}"),
            ("largest error of V", f"{result.value_error:.3f}"),
            ("", None),
            (f"{'cos  length   off':>29s}", None),
        ]
        for box, name in zip(_BOXES, ("◆ neither", "● value", "■ action", "✖ both"), strict=True):
            update = result.updates[box]
            numbers = f"{update.cosine:+6.2f}{update.length:8.2f}{update.distance:6.2f}"
            rows.append((name, numbers.replace("-0.00", "+0.00")))
        self.numbers.update(rows)


class BufferView:
    """When the transitions of a batch were written, their states, and how far their writers are from the current π.

    It shows a `labs.replay.BufferResult`.
    """

    def __init__(self, last_step: int, n_strata: int = 12):
        self.edges = np.linspace(0, last_step, n_strata + 1)
        self.figure, (when, states, differ) = figure(10.4, 3.9, ncols=3, width_ratios=[1, 1.2, 1])
        with course_style():
            zeros = np.zeros(n_strata)
            self.counts = when.stairs(zeros, self.edges, fill=True, color=STORED, alpha=0.8)
            self.differ = differ.stairs(zeros, self.edges, fill=True, color=STORED, alpha=0.8)
            (self.clock,) = when.plot([], [], color=EXACT, lw=1.5, ls="--")
            (self.other_clock,) = differ.plot([], [], color=EXACT, lw=1.5, ls="--", label="now")
            when.set(xlim=(0, last_step), ylim=(0, 135), title="a batch of 256, by when it was written")
            differ.set(xlim=(0, last_step), ylim=(0, 0.55), title="|π(a|s) − β(a|s)|: writers against π now")
            for ax in (when, differ):
                ax.set(xlabel="written at environment step", xticks=np.linspace(0, last_step, 3).round())
            when.set_ylabel("transitions")
            self.batch = states.scatter([], [], s=16, c=[], cmap=_AGE, vmin=0, vmax=1)
            (self.now,) = states.plot(
                [], [], "o", ms=4, mfc="none", mec=EXACT, mew=0.7, label="the newest 256 transitions"
            )
            states.set(xlim=(-2.5, 2.5), ylim=(-0.23, 0.23), xlabel="position, m", ylabel="angle of the pole, rad")
            states.set_title("where their states are")
            (dark,) = states.plot([], [], "o", ms=4.5, color=_AGE(0.0), mew=0, label="the batch, oldest")
            (pale,) = states.plot([], [], "o", ms=4.5, color=_AGE(1.0), mew=0, label="the batch, newest")
            handles = [dark, pale, self.now, self.other_clock]
            where = dict(loc="outside lower center", ncols=4, fontsize=8.5, frameon=False)
            self.figure.legend(handles, [handle.get_label() for handle in handles], **where)
        self.artists = [self.counts, self.differ, self.clock, self.other_clock, self.batch, self.now]

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        self.counts.set_data(result.counts.numpy())
        self.differ.set_data(np.nan_to_num(result.disagreement.numpy()))
        self.clock.set_data([result.steps] * 2, [0, 135])
        self.other_clock.set_data([result.steps] * 2, [0, 0.55])
        self.batch.set_offsets(result.states.numpy())
        self.batch.set_array(result.written.numpy() / result.steps)
        self.now.set_data(*result.now.T.numpy())
