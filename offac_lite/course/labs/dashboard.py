"""The training dashboard: start a training, watch it, and change its settings while it learns."""

import threading
import time
import traceback
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ipywidgets
import numpy as np
import torch

from offac_lite import stats
from offac_lite.config import Config
from offac_lite.course import plots
from offac_lite.course.plots.style import course_style
from offac_lite.course.stage import lifetime
from offac_lite.course.stage.controls import button_row
from offac_lite.course.stage.screen import Screen
from offac_lite.envs import Episode, discounted_steps_left, latest_episodes
from offac_lite.exact.noise import gradient_noise
from offac_lite.run import Run
from offac_lite.training import Learner

N_STATES = 24  # of the last batch, for the noise of the gradient
GOAL = 475.0


class History:
    """What was seen of a training so far: `steps`, and curves by name, a row of S agents for each look at it."""

    def __init__(self, seeds: int):
        self.seeds, self.steps = seeds, []
        self.rows: dict[str, list[np.ndarray]] = {}
        self.low, self.middle, self.high = [], [], []

    def add(self, steps: int, **rows: torch.Tensor) -> None:
        """Append a look: every value is (S,)."""
        self.steps.append(steps)
        for name, row in rows.items():
            self.rows.setdefault(name, []).append(row.numpy())
        returns = rows["exploring_return"].numpy()
        known = returns[~np.isnan(returns)]
        low, high = stats.interval(known, n_resamples=500) if len(known) > 1 else (np.nan, np.nan)
        middle = stats.iqm(known) if len(known) else np.nan
        for kept, value in ((self.low, low), (self.middle, middle), (self.high, high)):
            kept.append(float(value))

    def curves(self, name: str) -> np.ndarray:
        """Give a curve for each agent, (S, looks)."""
        return np.array(self.rows.get(name, [])).reshape(-1, self.seeds).T

    def median(self, name: str) -> np.ndarray:
        """Give the median agent at each look; NaN where nothing was known."""
        curves = self.curves(name)
        seen = ~np.isnan(curves).all(0)
        return np.where(seen, np.nanmedian(np.where(seen, curves, 0.0), 0), np.nan)


class Dashboard:
    """A training of CartPole agents with buttons and sliders, running beside the notebook's cells.

    *Start* and *Pause*, *Stop* (which ends it and keeps what there is) and *Reset*; the sliders act on the training
    from its next step on. `run` is the `Run` so far, an ordinary one: `dashboard.run.save(path)`. A combination that
    cannot be says so below the picture, and the training goes on with the last one that could.

    >>> dashboard = Dashboard(seeds=2, total_steps=800)
    >>> dashboard.start(); dashboard.wait()
    >>> dashboard.run.steps[-1].item(), dashboard.history.steps[-1]
    (800, 800)
    """

    def __init__(self, seeds: int = 8, total_steps: int = 16_000, seed: int = 0, refresh: float = 0.5):
        """Prepare the first training and its controls; `refresh` is how often it is looked at, in seconds."""
        self._config = Config(seeds=seeds, total_steps=total_steps, seed=seed, evaluations=4, lr_decay=False)
        self._refresh, self._worker = refresh, None
        self._view = plots.DashboardView(seeds, total_steps, GOAL, np.log(2))
        self.screen = Screen(self._view)
        self._lock = self.screen.lock
        self._going, self._ending = threading.Event(), threading.Event()
        log, words = ipywidgets.FloatLogSlider, {"readout_format": ".1e"}
        self.controls = dict(
            action_samples=ipywidgets.IntSlider(4, 1, 64, description="K, actions per state"),
            baseline=ipywidgets.ToggleButtons(
                options=[("Q itself", None), ("Q − V", "value"), ("leave-one-out", "leave-one-out")],
                value="value",
                description="weight",
            ),
            actor_lr=log(value=10**-3.0, min=-5, max=-1, step=0.25, description="learning rate of π", **words),
            critic_lr=log(value=10**-2.5, min=-5, max=-1, step=0.25, description="learning rate of Q", **words),
            tau=log(value=0.1, min=-3, max=0, step=0.25, description="τ, target network", readout_format=".3f"),
            updates_per_step=ipywidgets.IntSlider(1, 1, 8, description="updates per 8 transitions"),
        )
        for control in self.controls.values():
            control.style.description_width, control.layout.width = "26ch", "100%"
            control.layout.max_width = "1140px"
            control.observe(lifetime.weak(self._apply), names="value")
        actions = {"Start": self.start, "Pause": self.pause, "Stop": self.stop, "Reset": self.reset}
        row = button_row({name: lifetime.weak(action) for name, action in actions.items()})
        self._buttons = dict(zip(actions, row.children, strict=True))
        self._bar = ipywidgets.IntProgress(0, 0, total_steps, layout={"width": "100%", "max_width": "1140px"})
        self.widget = self.screen.box([row, self._bar, *self.controls.values()])
        lifetime.close_with(self, self.widget)
        weakref.finalize(self, self._going.set).atexit = False  # lets a training that pauses end
        self.learner: Learner | None = None
        self.reset()

    @property
    def run(self) -> Run:
        """The run so far."""
        return self.learner.run

    @property
    def running(self) -> bool:
        """Whether a training is under way, paused or not."""
        return self._worker is not None and self._worker.is_alive()

    def start(self) -> None:
        """Start, or go on after a pause. A training that has ended begins again."""
        with self._lock:
            if self.running:
                self._going.set()
                self._show()
                return
            if self.history.steps:
                self.reset()
            self._going.set()
            self._ending.clear()
            self._looked = time.monotonic()
            arguments = (weakref.ref(self), self._going)
            self._worker = threading.Thread(target=_train, args=arguments, daemon=True)
            self._worker.start()

    def pause(self) -> None:
        """Hold the training where it is."""
        self._going.clear()
        self._show()

    def stop(self) -> None:
        """End the training and keep what there is: `run` is then marked as interrupted."""
        self._ending.set()
        self._going.set()
        self.wait()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the training ends."""
        if self._worker is not None:
            self._worker.join(timeout)

    def reset(self) -> None:
        """End the training and forget it; the controls stay as they are."""
        self.stop()
        with self._lock:
            if self.learner is not None:
                self.learner.close()
            self._apply_controls()
            self.learner = Learner(self._config)
            self._iterations, self.history = iter(self.learner), History(self._config.seeds)
            self._going.clear()
            self._show()

    def _apply(self, _change=None) -> None:
        """Change the options of the running training to the controls' values, and redraw."""
        values = self._apply_controls()
        self.learner.config = replace(self.learner.config, **values)
        self._show()

    def _apply_controls(self) -> dict[str, Any]:
        """Take over the controls' values. Where they cannot be combined, keep the last ones and tell why."""
        values, self.error = {name: control.value for name, control in self.controls.items()}, None
        try:
            self._config = replace(self._config, **values)
        except ValueError as error:
            self.error = f"{error}. The training goes on with the last settings that were possible."
        return {name: getattr(self._config, name) for name in values}

    def _step(self) -> bool:
        """Train one step, and look at the training from time to time. Return whether there is more to do."""
        try:
            if not self._ending.is_set() and next(self._iterations, None) is not None:
                if time.monotonic() - self._looked > self._refresh:
                    self._look()
                return True
            self.run.interrupted = self.learner.n_done < self.learner.n_iterations
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-1)}"
        self._look()
        return False

    def _look(self) -> None:
        """Take down how the training stands, and show it."""
        learner = self.learner
        steps = learner.n_done * learner.config.n_envs
        if learner.n_done and steps not in self.history.steps[-1:]:
            seeds = learner.config.seeds
            rows = learner.measure()
            rows["delivered"] = delivered(learner.episodes, seeds, learner.config.gamma)
            rows["delivered"] *= learner.config.reward_scale
            rows |= {
                name: torch.full((seeds,), torch.nan, dtype=torch.float32, device="cpu")
                for name in ("states", "actions")
            }
            if learner.batch is not None:
                rows |= self.noise()
            with self._lock:  # nobody draws half of it
                self.history.add(steps, **rows)
        self._show()
        self._looked = time.monotonic()

    def noise(self) -> dict[str, torch.Tensor]:
        """Give the variance of the actor's gradient, "states" and "actions", (S,) each, at the settings of now.

        On the first states of the last batch, with the networks as they are; see `noise.gradient_noise`.
        """
        learner, c = self.learner, self.learner.config
        noise = gradient_noise(learner.agent.policy, learner.agent.critic, learner.batch.obs[:, :N_STATES])
        actions = noise.actions if c.baseline is None else noise.actions_value
        return {"states": noise.states / c.batch_size, "actions": actions / (c.batch_size * c.action_samples)}

    @course_style()
    def _show(self) -> None:
        with self._lock:
            self._view.update(self.history)
            self._bar.value = self.history.steps[-1] if self.history.steps else 0
            self._buttons["Start"].disabled = self.running and self._going.is_set()
            self._buttons["Pause"].disabled = not (self.running and self._going.is_set())
            self.screen.publish(self.screen.draw(), self.in_words(), self.error)

    def in_words(self) -> str:
        """Say how the training stands, in a line."""
        history = self.history
        if not history.steps:
            return f"{history.seeds} agents, nothing learned yet: press Start."
        last = {name: history.median(name)[-1] for name in ("value", "delivered", "entropy", "states", "actions")}
        return (
            f"After {history.steps[-1]} steps the {history.seeds} agents hold the pole for {history.middle[-1]:.0f} "
            f"steps (interquartile mean); V {last['value']:.2f} promised, {last['delivered']:.2f} delivered; entropy "
            f"{last['entropy']:.2f}; gradient variance {last['states']:.1e} across states, {last['actions']:.1e} "
            "across actions."
        )

    def show(self) -> None:
        """Display the picture and its words, and below them the live dashboard, which hides both while it lives."""
        self.screen.show(self.widget, self)

    _ipython_display_ = show


def _train(dashboard: "weakref.ref[Dashboard]", going: threading.Event) -> None:
    """Train as long as there is something to do, and the dashboard lives."""
    torch.set_num_threads(1)  # of this thread: for what is measured between the steps
    while (alive := dashboard()) is not None and alive._step():
        del alive
        going.wait()


def delivered(episodes: Sequence[Episode], seeds: int, gamma: float, last: int = 10) -> torch.Tensor:
    """Average the discounted rewards to come over the states of each seed's `last` episodes, (seeds,), reward 1 a step.

    >>> delivered([Episode(0, 0, 2.0, 2)], seeds=2, gamma=0.5)  # (1 + 0.5, then 1) / 2
    tensor([1.2500,    nan])
    """
    latest = latest_episodes(episodes, seeds, last)
    means = [discounted_steps_left([e.length for e in own], gamma) if own else float("nan") for own in latest]
    return torch.tensor(means, dtype=torch.float32, device="cpu")
