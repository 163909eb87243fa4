"""The view of the training dashboard."""

import numpy as np

from offac_lite.course.plots.base import ACTIONS, EXACT, MUTED, RESAMPLED, STATES, figure
from offac_lite.course.plots.style import course_style

__all__ = ["DashboardView"]


class DashboardView:
    """Four panels over environment steps: return, value, entropy, and the noise of the actor's gradient.

    It shows a `labs.dashboard.History`.
    """

    def __init__(self, seeds: int, total_steps: int, goal: float | None = None, most_entropy: float | None = None):
        self.figure, (self.returns, self.value, entropy, self.noise) = figure(10.4, 5.2, nrows=2, ncols=2)
        with course_style():
            thin = {"color": RESAMPLED, "lw": 0.6, "alpha": 0.35}
            self.thin = {ax: [ax.plot([], [], **thin)[0] for _ in range(seeds)] for ax in (self.returns, entropy)}
            self.band = self.returns.fill_between([], [], color=RESAMPLED, alpha=0.25, lw=0)
            thick = {"color": RESAMPLED, "lw": 2.2}
            (self.middle,) = self.returns.plot([], [], **thick, label="interquartile mean, 95% interval")
            (self.entropy,) = entropy.plot([], [], **thick, label="median of the agents")
            (self.promised,) = self.value.plot([], [], **thick, label="V of the critic, median")
            (self.delivered,) = self.value.plot([], [], color=EXACT, lw=1.6, ls=":", label="delivered")
            (self.states,) = self.noise.plot([], [], color=STATES, lw=2, label="across states: N lowers it")
            (self.actions,) = self.noise.plot([], [], color=ACTIONS, lw=2, ls="--", label="across actions: K too")
            if goal is not None:
                self.returns.axhline(goal, color=MUTED, ls=":", lw=1)
            titles = (
                "return of an episode, exploring",
                "discounted, scaled rewards to come",
                "entropy of π, nats",
                "variance of the actor's gradient",
            )
            for ax, title in zip(self.figure.axes, titles, strict=True):
                ax.set(title=title, xlim=(0, total_steps))
                ax.legend(frameon=False, fontsize=8.5, loc="best")
            self.returns.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(0.0, 0.88))
        self.returns.set_ylim(0, 1.12 * (goal or 1.0))
        entropy.set_ylim(0, 1.12 * (most_entropy or 1.0))
        self.value.set_ylim(0, 12)
        self.noise.set(yscale="log", ylim=(1e-9, 1e1))
        for ax in (entropy, self.noise):
            ax.set_xlabel("environment steps per agent")
        self.artists = [
            *self.thin[self.returns],
            *self.thin[entropy],
            self.band,
            self.middle,
            self.entropy,
            self.promised,
            self.delivered,
            self.states,
            self.actions,
        ]

    def update(self, history) -> None:
        """Draw the history so far."""
        steps = history.steps
        for ax, name in zip(self.thin, ("exploring_return", "entropy"), strict=True):
            for line, curve in zip(self.thin[ax], history.curves(name), strict=True):
                line.set_data(steps, curve)
        self.middle.set_data(steps, history.middle)
        outline = np.column_stack([[*steps, *steps[::-1]], [*history.low, *history.high[::-1]]])
        self.band.set_verts([outline] if steps else [])
        self.entropy.set_data(steps, history.median("entropy"))
        self.promised.set_data(steps, history.median("value"))
        self.delivered.set_data(steps, history.median("delivered"))
        self.states.set_data(steps, history.median("states"))
        self.actions.set_data(steps, history.median("actions"))
        promised = history.median("value")
        if len(promised) and np.nanmax(promised, initial=0) > self.value.get_ylim()[1]:
            self.value.set_ylim(0, 2 * np.nanmax(promised))  # values that are impossibly large must be seen too
