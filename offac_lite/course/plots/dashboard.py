"""The view of the training dashboard."""

import math
import textwrap

import numpy as np
from matplotlib.lines import Line2D

from offac_lite.course.plots.base import (
    ACTIONS,
    EXACT,
    MUTED,
    RESAMPLED,
    STATES,
    figure,
    rounded,
    rounded_log,
    whole_decades,
)
from offac_lite.course.plots.cart_pole import CartPole
from offac_lite.course.plots.cloud import arrange_axes
from offac_lite.course.plots.style import course_style

__all__ = ["DashboardView"]

BAND, BAND_LINE, BROKEN = "#DCDCDC", "#9A9A9A", "#C40000"
MOST_STEPS, MOST_ENTROPY, MOST_VALUE = 500, math.log(2), 10.0  # CartPole, γ = 0.99, rewards of 0.1
NOISE = (1e-6, 1e-3)  # the least that the axis of the variance spans


class DashboardView:
    """Return, value, entropy and gradient noise over environment steps, above a grey band; and a cart at play.

    It shows a `labs.dashboard.Scene`. The band holds all agents of `band`, a `History`, or there is none.
    """

    def __init__(self, seeds: int, total_steps: int, band=None):
        self.figure, axes = figure(8.7, 4.3, nrows=2, ncols=3)
        self.returns, self.value, stage, self.entropy, self.noise, self.words = axes
        self.panels = self.returns, self.value, self.entropy, self.noise
        self._hint: tuple[str, ...] = ()
        self._top = MOST_STEPS * 1.04 if band is None else _top(np.nanmax(band.curves("exploring_return")))
        with course_style():
            if band is not None:
                self._build_band(band)
            self._build_curves(seeds)
            self._build_axes(total_steps)
            self._build_stage(stage)
            self._build_words(seeds, band)
        self.artists = [line for lines in self.thin.values() for line in lines]
        self.artists += [self.middle, self.middle_entropy, self.promised, self.delivered, self.states, self.actions]
        self.artists += [*self.marks, self.start, self.beyond, self.hint]
        self.artists += [self.cart_pole.cart, self.cart_pole.pole, self.title]
        self.arrange(narrow=False)

    def _build_band(self, band) -> None:
        for ax, name in ((self.returns, "exploring_return"), (self.value, "value"), (self.entropy, "entropy")):
            curves = band.curves(name)
            known = ~np.isnan(curves).any(0)
            low, high = (rounded(edge) for edge in (curves[:, known].min(0), curves[:, known].max(0)))
            ax.fill_between(np.array(band.steps)[known], low, high, color=BAND, lw=0, zorder=1)
        self.value.plot(band.steps, rounded(band.median("delivered")), color=BAND_LINE, lw=1.2, ls=":", zorder=1)
        for name, style in (("states", "-"), ("actions", "--")):
            curve = rounded_log(band.median(name), 1e-12)
            self.noise.plot(band.steps, curve, color=BAND_LINE, lw=1.4, ls=style, zorder=1)

    def _build_curves(self, seeds: int) -> None:
        thin, thick = {"color": RESAMPLED, "lw": 0.6, "alpha": 0.4}, {"color": RESAMPLED, "lw": 2.2}
        self.thin = {ax: [ax.plot([], [], **thin)[0] for _ in range(seeds)] for ax in (self.returns, self.entropy)}
        (self.middle,) = self.returns.plot([], [], **thick)
        (self.middle_entropy,) = self.entropy.plot([], [], **thick)
        (self.promised,) = self.value.plot([], [], **thick)
        (self.delivered,) = self.value.plot([], [], color=EXACT, lw=1.8, ls=":")
        (self.states,) = self.noise.plot([], [], color=STATES, lw=2.2)
        (self.actions,) = self.noise.plot([], [], color=ACTIONS, lw=2.2, ls="--")
        mark = {"color": BROKEN, "lw": 4, "solid_capstyle": "butt", "zorder": 3}
        self.marks = [ax.plot([], [], transform=ax.get_xaxis_transform(), **mark)[0] for ax in self.panels]

    def _build_axes(self, total_steps: int) -> None:
        titles = (
            "return of an episode, exploring",
            "V, and what was delivered",
            "entropy of π, nats",
            "variance of the actor's gradient",
        )
        for ax, title in zip(self.panels, titles, strict=True):
            ax.set(title=title, xlim=(0, total_steps))
            ax.locator_params(axis="x", nbins=5)
        self.returns.set_ylim(0, self._top)
        self.entropy.set_ylim(0, 1.08 * MOST_ENTROPY)
        self.value.set_ylim(0, 12)
        self.value.axhspan(MOST_VALUE, 12, color="#F6E3E3", lw=0, zorder=0)
        note = {"textcoords": "offset points", "va": "top", "fontsize": 8.5, "color": EXACT}
        self.value.annotate("more than is possible", (0, 12), (4, -3), **note)
        self.noise.set_xlabel("environment steps per agent")
        self.noise.set_yscale("log")
        whole_decades(self.noise, *NOISE, at_least=NOISE)
        centre = {"ha": "center", "va": "center", "fontsize": 13, "color": RESAMPLED}
        self.start = self.returns.annotate("", (0.5, 0.6), xycoords="axes fraction", **centre)
        side = {"ha": "right", "va": "top", "fontsize": 9, "color": RESAMPLED}
        self.beyond = self.value.annotate("", (0.99, 0.985), xycoords="axes fraction", **side)

    def _build_stage(self, stage) -> None:
        self.cart_pole = CartPole(stage, color=MUTED, width=4, top=1.6)
        self.title = stage.set_title("")
        stage.set(ylim=(-0.5, 1.6), xticks=(-2, 0, 2))
        stage.spines["left"].set_visible(False)

    def _build_words(self, seeds: int, band) -> None:
        self.words.set_axis_off()
        rows = [
            (Line2D([], [], color=RESAMPLED, lw=2.2), "your median agent"),
            (Line2D([], [], color=RESAMPLED, lw=0.8), f"each of your {seeds}"),
            (Line2D([], [], color=EXACT, lw=1.8, ls=":"), "delivered to them"),
            (Line2D([], [], color=STATES, lw=2.2), "across states: N lowers it"),
            (Line2D([], [], color=ACTIONS, lw=2.2, ls="--"), "across actions: K does too"),
        ]
        if band is not None:
            rows.append((Line2D([], [], color=BAND, lw=8), f"all {band.seeds} agents of the package"))
        self.words.legend(*zip(*rows, strict=True), frameon=False, fontsize=9, loc="upper left", borderaxespad=0)
        self.hint = self.words.annotate("", (0, 0), xycoords="axes fraction", fontsize=9.5, color=BROKEN, va="bottom")

    def arrange(self, narrow: bool) -> None:
        """Put the panels side by side, or one below the other."""
        stage = self.cart_pole.pole.axes
        self._characters = 48 if narrow else 30
        self._write_hint()
        self.entropy.set_xlabel("" if narrow else "environment steps per agent")
        if narrow:
            places = {stage: (14, 26, 368, 129), self.words: (14, 186, 368, 176)}
            for number, ax in enumerate(self.panels):
                places[ax] = (52, 392 + 204 * number, 312, 150)
            arrange_axes(self.figure, (390, 1212), places)
        else:
            places = {self.returns: (46, 26, 276, 178), self.value: (382, 26, 276, 178)}
            places |= {self.entropy: (46, 256, 276, 178), self.noise: (382, 256, 276, 178)}
            places |= {stage: (690, 26, 262, 92), self.words: (690, 160, 262, 274)}
            arrange_axes(self.figure, (960, 484), places)

    def _write_hint(self) -> None:
        self.hint.set_text("\n".join(line for part in self._hint for line in textwrap.wrap(part, self._characters)))

    def update(self, scene) -> None:
        """Draw the history so far, and the cart."""
        history, steps = scene.history, scene.history.steps
        for ax, name in ((self.returns, "exploring_return"), (self.entropy, "entropy")):
            for line, curve in zip(self.thin[ax], history.curves(name), strict=True):
                line.set_data(steps, rounded(curve))
        medians = {
            self.middle: "exploring_return",
            self.middle_entropy: "entropy",
            self.promised: "value",
            self.delivered: "delivered",
        }
        for line, name in medians.items():
            line.set_data(steps, rounded(history.median(name)))
        for line, name in ((self.states, "states"), (self.actions, "actions")):
            line.set_data(steps, rounded_log(history.median(name), 1e-12))
        broken = np.array([one != "nothing" for one in history.broken], bool)
        for mark in self.marks:
            mark.set_data(steps, np.where(broken, 0.012, np.nan))
        self.start.set_text("" if scene.started else "press Start")
        value = history.last("value")
        self.beyond.set_text(f"V is {value:.0f} ↑" if value > 12 else "")
        self._hint = scene.hint
        self._write_hint()
        self.cart_pole.move(*scene.cart)
        ended = "its episode ends with" if scene.cart_ended else "one agent at play:"
        self.title.set_text(f"{ended} step {scene.cart_step}" if scene.started else "one agent at play")
        self._widen(history)

    def _widen(self, history) -> None:
        """Widen the two axes in which something would be out of sight. They are as before once that is gone."""
        highest = np.nanmax(history.curves("exploring_return"), initial=0)
        top = self._top if highest <= self._top else MOST_STEPS * 1.04
        if top != self.returns.get_ylim()[1]:
            self.returns.set_ylim(0, top)
        noise = np.concatenate([history.median(name) for name in ("states", "actions")])
        whole_decades(self.noise, NOISE[0], np.nanmax(noise, initial=NOISE[1]), at_least=NOISE, step=2)


def _top(highest: float) -> float:
    """Return the end of an axis for returns: somewhat above `highest`, a multiple of 50."""
    return min(50 * math.ceil(1.2 * highest / 50), MOST_STEPS * 1.04)
