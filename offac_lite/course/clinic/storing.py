"""How the clinic's agents fill their buffer, and a world that shows whether the rows are what happened."""

import itertools
from typing import Any

import gymnasium
import numpy as np
import torch

from offac_lite import _check
from offac_lite.buffer import ReplayBuffer, Transition
from offac_lite.course.clinic.parts import Parts
from offac_lite.envs import Step, VectorEnv

__all__ = ["COUNTING", "CountingEnv", "Storing", "stored_rows", "wrong_flags", "wrong_rows"]

COUNTING = "offac_lite/Counting-v0"
"""The name under which Gymnasium makes a `CountingEnv`."""


class CountingEnv(gymnasium.Env):
    """A world that numbers its steps. Play it with any training loop, then read the buffer: every row can be checked.

    An observation is (episode, step, a), with a the action that was executed to get there; a is 0 at the start. Two
    environments never play an episode of the same number. The reward of a step is its number, 1, 2, … Episodes of an
    even number terminate after 3 steps, the others are truncated after 5. Actions are numbers from −2 to 2.

    So in a correct row `next_obs` is (episode, step + 1, action), and `terminated` is true where the episode is even
    and step + 1 is 3.

    >>> env = CountingEnv()
    >>> (episode, step, action), _ = env.reset()
    >>> obs, reward, terminated, truncated, _ = env.step(np.array([0.5], np.float32))
    >>> (obs - [episode, 0, 0]).tolist(), reward
    ([0.0, 1.0, 0.5], 1.0)
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
    _numbers = itertools.count()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start the next episode."""
        super().reset(seed=seed)
        self._episode, self._step = next(self._numbers), 0
        return np.array([self._episode, 0, 0], np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Count one step."""
        self._step += 1
        obs = np.array([self._episode, self._step, np.ravel(action)[0]], np.float32)
        even = self._episode % 2 == 0
        return obs, float(self._step), even and self._step == 3, not even and self._step == 5, {}


if COUNTING not in gymnasium.registry:
    gymnasium.register(COUNTING, CountingEnv)


class Storing:
    """Writes steps into a buffer as an agent made of `parts` does."""

    def __init__(self, parts: Parts, buffer: ReplayBuffer):
        self.parts, self.buffer = parts, buffer
        self.before: torch.Tensor | None = None  # d of the row stored last of each environment

    def __call__(self, step: Step, action: torch.Tensor) -> None:
        """Store a step and its action."""
        d, valid = self.parts.ended(step.terminated, step.truncated), self.parts.kept(step)
        before = torch.zeros_like(d) if self.before is None else self.before
        self.before = torch.where(valid, d, before)
        flag = self.parts.flag(d, before)
        self.buffer.add(step.obs, action, step.reward, step.next_obs, flag, valid=valid)


def stored_rows(parts: Parts, n_steps: int = 25) -> Transition:
    """Let a loop made of `parts` play `CountingEnv` with random actions, and return all that it has stored, (n, ...).

    Four environments take `n_steps` steps each. Four steps of five or six are real ones: in the others an environment
    only resets itself.

    >>> from offac_lite.course.clinic import HEALTHY
    >>> rows = stored_rows(HEALTHY)
    >>> (rows.next_obs[:, 1] == rows.obs[:, 1] + 1).all(), rows.obs.shape[1]
    (tensor(True), 3)
    """
    n_steps = _check.count("n_steps", n_steps)
    CountingEnv._numbers = itertools.count()  # the same rows in every call
    env = VectorEnv(COUNTING, 4)
    buffer = ReplayBuffer(4 * n_steps, env.obs_shape, env.action_shape, seed=0)
    store, generator = Storing(parts, buffer), torch.Generator().manual_seed(0)
    env.reset()
    for _ in range(n_steps):
        action = 4 * torch.rand(4, 1, generator=generator, dtype=torch.float32, device="cpu") - 2
        store(env.step(parts.executed(action)), action)
    env.close()
    return buffer.all()


def wrong_rows(obs: torch.Tensor, action: torch.Tensor, next_obs: torch.Tensor) -> torch.Tensor:
    """Return which rows of a `CountingEnv` are not what happened, (n,) bool: s′ is not (episode, step + 1, action).

    *Data*: what a buffer holds, obs and next_obs (n, 3), action (n, 1).

    >>> obs = torch.tensor([[4.0, 0.0, 0.0], [4.0, 2.0, 0.5]])
    >>> wrong_rows(obs, torch.tensor([[0.5], [1.0]]), torch.tensor([[4.0, 1.0, 0.5], [5.0, 0.0, 0.0]]))
    tensor([False,  True])
    """
    _check.same_shape(obs=obs, next_obs=next_obs)
    _check.shape("obs", obs, (len(obs), 3), "(n, 3)")
    _check.shape("action", action, (len(obs), 1), "(n, 1)")
    follows = torch.stack([obs[:, 0], obs[:, 1] + 1, action[:, 0]], 1)
    return (next_obs != follows).any(1)


def wrong_flags(obs: torch.Tensor, terminated: torch.Tensor) -> torch.Tensor:
    """Return which rows of a `CountingEnv` have a wrong d, (n,) bool: only the third step of even episodes ends one.

    >>> wrong_flags(torch.tensor([[4.0, 2.0, 0.5], [5.0, 4.0, 0.5]]), torch.tensor([True, True]))
    tensor([False,  True])
    """
    _check.shape("obs", obs, (len(obs), 3), "(n, 3)")
    _check.shape("terminated", terminated, (len(obs),), "(n,)")
    return terminated != ((obs[:, 0] % 2 == 0) & (obs[:, 1] == 2))
