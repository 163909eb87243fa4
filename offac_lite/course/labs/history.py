"""What the dashboard writes down of a training, at evenly spaced steps."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from offac_lite.config import Config
from offac_lite.envs import recently_delivered
from offac_lite.exact.noise import gradient_noise
from offac_lite.training import Learner, due

__all__ = ["History", "noise", "package_history"]

LOOKS = 50  # in a whole training
N_STATES = 24  # of the last batch, for the noise of the gradient


class History:
    """What was seen of a training so far: `steps`, and curves by name, a row of S agents for each look at it.

    `settings` holds the values of the dashboard's controls at each look.
    """

    def __init__(self, seeds: int):
        self.seeds = seeds
        self.steps: list[int] = []
        self.settings: list[Mapping[str, Any]] = []
        self.rows: dict[str, list[np.ndarray]] = {}

    @property
    def broken(self) -> list[str]:
        """What was broken at each look, one of `BREAKS`."""
        return [settings.get("broken", "nothing") for settings in self.settings]

    def add(self, steps: int, settings: Mapping[str, Any], **rows: torch.Tensor) -> None:
        """Append a look: every value is (S,)."""
        self.steps.append(steps)
        self.settings.append(settings)
        for name, row in rows.items():
            self.rows.setdefault(name, []).append(row.numpy())

    def curves(self, name: str) -> np.ndarray:
        """Return a curve for each agent, (S, looks)."""
        return np.array(self.rows.get(name, [])).reshape(-1, self.seeds).T

    def median(self, name: str) -> np.ndarray:
        """Return the median agent at each look; NaN where nothing was known."""
        curves = self.curves(name)
        seen = ~np.isnan(curves).all(0)
        return np.where(seen, np.nanmedian(np.where(seen, curves, 0.0), 0), np.nan)

    def at(self, steps: int, name: str) -> float:
        """Return the median agent at the last look up to so many steps; NaN where nothing was known."""
        before = sum(step <= steps for step in self.steps)
        return float(self.median(name)[before - 1]) if before else np.nan

    def last(self, name: str) -> float:
        """Return the median agent at the last look; NaN where nothing was known."""
        return self.at(self.steps[-1], name) if self.steps else np.nan

    def look(self, learner: Learner, settings: Mapping[str, Any]) -> None:
        """Append how a training stands now, unless that was done. This changes nothing in it."""
        steps, c = learner.n_done * learner.config.n_envs, learner.config
        if not learner.n_done or steps in self.steps[-1:]:
            return
        rows = learner.measure()
        rows["delivered"] = c.reward_scale * recently_delivered(learner.episodes, c.seeds, c.gamma)
        rows |= {
            name: torch.full((c.seeds,), torch.nan, dtype=torch.float32, device="cpu") for name in ("states", "actions")
        }
        if learner.batch is not None:
            rows |= noise(learner, settings.get("broken", "nothing"))
        self.add(steps, settings, **rows)


def is_due(learner: Learner) -> bool:
    """Return whether the step just done is one of the `LOOKS` steps at which a training is looked at."""
    return due(learner.n_done, learner.n_iterations, LOOKS)


def noise(learner: Learner, broken: str = "nothing") -> dict[str, torch.Tensor]:
    """Return the variance of the actor's gradient, "states" and "actions", (S,) each, at the settings of now.

    On the first states of the last batch, with the networks as they are; see `noise.gradient_noise`. Leave-one-out is
    taken as Q − V, whose variance it approaches as K grows. The weight of a loss of the user's own is taken as Q.
    With `action_samples="all"` no variance comes from the actions.
    """
    c = learner.config
    found = gradient_noise(learner.agent.policy, learner.agent.critic, learner.batch.obs[:, :N_STATES])
    actions = found.actions if c.baseline is None else found.actions_value
    k, actions = (1, torch.zeros_like(actions)) if c.action_samples == "all" else (c.action_samples, actions)
    scale = (c.batch_size * k) ** 2 if broken == "sum" else 1
    return {"states": scale * found.states / c.batch_size, "actions": scale * actions / (c.batch_size * k)}


@functools.lru_cache(4)
def package_history(config: Config) -> History:
    """Train agents with `config`, which holds no functions of the user's own, and return what was seen."""
    learner, history = Learner(config), History(config.seeds)
    for _ in learner:
        if is_due(learner):
            history.look(learner, {})
    learner.close()
    return history
