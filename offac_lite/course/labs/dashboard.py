"""The training dashboard: start a training, watch it, change its settings while it learns, and break one thing."""

import threading
import time
import traceback
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ipywidgets
import torch

from offac_lite.config import Config
from offac_lite.course import plots
from offac_lite.course.labs.breaks import BREAKS, NextActions
from offac_lite.course.labs.history import History, is_due, noise, package_history
from offac_lite.course.labs.scene import QUESTIONS, Cart, Scene, in_words
from offac_lite.course.plots.style import course_style
from offac_lite.course.stage import lifetime
from offac_lite.course.stage.controls import button_row, log_slider
from offac_lite.course.stage.question import Checklist
from offac_lite.course.stage.screen import Screen
from offac_lite.run import Run
from offac_lite.training import Learner

OWN = ("q_target", "policy_gradient_loss", "leave_one_out", "resampled_loss")


class Dashboard:
    """A training of CartPole agents with buttons and controls, running beside the notebook's cells.

    It trains with functions of your own, `Dashboard(q_target=my_q_target)`: any of `q_target`, `policy_gradient_loss`,
    `leave_one_out` and `resampled_loss`. `leave_one_out` is used while "leave-one-out" is the weight, and
    `resampled_loss` while "your resampled_loss" is. The grey band holds the package's own agents, with the same seeds
    and with the settings that the dashboard starts with; they train when it is made, unless `band` is False.

    *Start* and *Pause*, *Stop* (which ends it and keeps what there is) and *Reset*; the controls act on the training
    from its next step on. `run` is the `Run` so far, an ordinary one: `dashboard.run.save(path)`. A combination that
    cannot be says so below the picture, and the training goes on with the last one that could.

    >>> dashboard = Dashboard(seeds=2, total_steps=800)
    >>> dashboard.start(); dashboard.wait()
    >>> dashboard.run.steps[-1].item(), dashboard.history.steps[-1]
    (800, 800)
    """

    def __init__(
        self,
        seeds: int = 8,
        total_steps: int = 5_000,
        seed: int = 0,
        *,
        band: bool = True,
        refresh: float = 0.15,
        **yours: Callable,
    ):
        """Train the band, and prepare the first training; `refresh` is the time between two pictures, in seconds."""
        if unknown := set(yours) - set(OWN):
            raise TypeError(f"Dashboard takes no {', '.join(sorted(unknown))}; functions of your own: {', '.join(OWN)}")
        self._own, self._refresh, self._worker = dict.fromkeys(OWN) | yours, refresh, None
        self.controls, self.error = _controls(self._own), None
        self._values = self.values
        options = self._options(None, self._values)
        self._config = Config(seeds=seeds, total_steps=total_steps, seed=seed, evaluations=4, lr_decay=False, **options)
        self.band = package_history(replace(self._config, evaluations=1, eval_episodes=1)) if band else None
        self._view = plots.DashboardView(seeds, total_steps, self.band)
        self.screen = Screen(self._view)
        self._lock = self.screen.lock
        self._going, self._ending = threading.Event(), threading.Event()
        self._checklist = Checklist(QUESTIONS)
        self._buttons, self.widget = self._build()
        lifetime.close_with(self, self.widget)
        weakref.finalize(self, self._going.set).atexit = False  # lets a training that pauses end
        self.learner: Learner | None = None
        self.reset()

    def _build(self) -> tuple[dict[str, ipywidgets.Button], ipywidgets.Widget]:
        """Make the buttons, by name, and the live dashboard."""
        for control in self.controls.values():
            control.style.description_width, control.layout.width = "26ch", "100%"
            control.layout.max_width = f"{self.screen.width}px"
            control.observe(lifetime.weak(self._apply), names="value")
        actions = {"Start": self.start, "Pause": self.pause, "Stop": self.stop, "Reset": self.reset}
        row = button_row({name: lifetime.weak(action) for name, action in actions.items()})
        first, more = list(self.controls.values())[:3], list(self.controls.values())[3:]
        more = ipywidgets.Accordion([ipywidgets.VBox(more)], selected_index=None)
        more.set_title(0, "more settings")
        more.layout.max_width = f"{self.screen.width}px"
        return dict(zip(actions, row.children, strict=True)), self.screen.box([row, *first, more])

    @property
    def values(self) -> dict[str, Any]:
        """The controls' current values, by name."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def run(self) -> Run:
        """The run so far."""
        return self.learner.run

    @property
    def running(self) -> bool:
        """Whether a training is under way, paused or not."""
        return self._worker is not None

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
            self._shown = time.monotonic()
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
        with self._lock:
            worker = self._worker
        if worker is not None:
            worker.join(timeout)

    def reset(self) -> None:
        """End the training and forget it; the controls stay as they are."""
        self.stop()
        with self._lock:
            if self.learner is not None:
                self.learner.close()
            self.learner = Learner(self._config)
            self.learner.buffer = NextActions(self.learner.buffer, self._config.n_envs)
            self.learner.config = replace(self.learner.config, **self._options(self.learner, self._values))
            self._iterations, self.history = iter(self.learner), History(self._config.seeds)
            self._cart = Cart(self._config.seed)
            self._going.clear()
            self._checklist.follow(self.values, self.scene, tick=False)
            self._apply()

    def _options(self, learner: Learner | None, values: dict[str, Any]) -> dict[str, Any]:
        """Return the options of a training for values of the controls; without a learner, those of the band."""
        options, weight = dict(values), values["baseline"]
        broken = BREAKS[options.pop("broken")]
        options["baseline"] = None if weight in ("none", "own") else weight
        if learner is None:
            return options
        own = dict(self._own)
        unused = ("policy_gradient_loss", "leave_one_out") if weight == "own" else ("resampled_loss",)
        if weight != "leave-one-out":
            unused = (*unused, "leave_one_out")
        own |= dict.fromkeys(unused)
        return options | broken.apply(learner, own)

    def _apply(self, _change=None) -> None:
        """Change the options of the running training to the controls' values, and redraw."""
        with self._lock:
            values, self.error = self.values, None
            try:
                self.learner.config = replace(self.learner.config, **self._options(self.learner, values))
                self._values = values
            except (TypeError, ValueError) as error:
                self.error = f"{error}. The training goes on with the last settings that were possible."
            self._show()

    def _step(self) -> bool:
        """Train one step, and look at the training from time to time. Return whether there is more to do."""
        try:
            if not self._ending.is_set() and next(self._iterations, None) is not None:
                if is_due(self.learner):
                    self._look()
                if time.monotonic() - self._shown > self._refresh:
                    self._cart.play(self.learner.agent.policy.of_seed(0))
                    self._show()
                return True
            self._look()
            self.run.interrupted = self.learner.n_done < self.learner.n_iterations
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-1)}"
        with self._lock:  # a press comes before the end or after it
            self._going.clear()
            self._worker = None
            self._show()
        return False

    def _look(self) -> None:
        """Write down how the training stands."""
        with self._lock:  # nobody draws half of it
            self.history.look(self.learner, self._values)

    def noise(self) -> dict[str, torch.Tensor]:
        """Return the variance of the actor's gradient, "states" and "actions", (S,) each, at the settings of now."""
        return noise(self.learner, self._values["broken"])

    @property
    def scene(self) -> Scene:
        """What is to be seen now."""
        started, broken = self.learner.n_done > 0 or self.running, BREAKS[self._values["broken"]]
        hint = (f"Broken: {broken.name}.", broken.look_at) if broken.look_at else ()
        done = self.learner.n_done == self.learner.n_iterations
        cart = self._cart
        return Scene(self.history, self.band, started, done, cart.place, cart.step, cart.ended, hint)

    @course_style()
    def _show(self) -> None:
        with self._lock:
            scene = self.scene
            self._view.update(scene)
            self._checklist.follow(self.values, scene)
            self._buttons["Start"].disabled = self.running and self._going.is_set()
            self._buttons["Pause"].disabled = not (self.running and self._going.is_set())
            self.screen.questions.value = self._checklist.to_html()
            self.screen.publish(self.screen.draw(), self.in_words(), self.error)
            self._shown = time.monotonic()

    def in_words(self) -> str:
        """Say how the training stands, in a line."""
        if not self.history.steps:
            words = f"Your {self.history.seeds} agents have not learned yet: press Start."
            return words if self.band is None else f"{words} The band: {in_words(self.band)}"
        return in_words(self.history)

    def show(self) -> None:
        """Display the picture and its words, and below them the live dashboard, which hides both while it lives."""
        self.screen.show(self.widget, self)

    _ipython_display_ = show


def _controls(own: dict[str, Callable | None]) -> dict[str, ipywidgets.ValueWidget]:
    """Make the controls; `own` are the functions of the user's own, by name."""
    words = {"readout_format": ".1e"}
    first = ("your resampled_loss", "own") if own["resampled_loss"] else ("Q itself", "none")
    last = ("your leave-one-out" if own["leave_one_out"] else "leave-one-out", "leave-one-out")
    log = ipywidgets.FloatLogSlider
    return dict(
        action_samples=log_slider(value=4, description="K, actions per state"),
        baseline=ipywidgets.ToggleButtons(
            options=[first, ("Q − V", "value"), last],
            value="leave-one-out" if own["leave_one_out"] else "own" if own["resampled_loss"] else "value",
            description="weight",
        ),
        broken=ipywidgets.Dropdown(options=[(one.name, key) for key, one in BREAKS.items()], description="break"),
        actor_lr=log(value=10**-3.0, min=-5, max=-1, step=0.25, description="learning rate of π", **words),
        critic_lr=log(value=10**-2.5, min=-5, max=-1, step=0.25, description="learning rate of Q", **words),
        tau=log(value=0.1, min=-3, max=0, step=0.25, description="τ, target network", readout_format=".3f"),
        updates_per_step=ipywidgets.IntSlider(1, 1, 8, description="updates per 8 transitions"),
    )


def _train(dashboard: "weakref.ref[Dashboard]", going: threading.Event) -> None:
    """Train as long as there is something to do, and the dashboard lives."""
    torch.set_num_threads(1)  # of this thread: for what is measured between the steps
    while (alive := dashboard()) is not None and alive._step():
        del alive
        going.wait()
