"""The one thing that the dashboard breaks in a training: four mistakes, each made while the agents learn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from offac_lite import equations
from offac_lite.buffer import ReplayBuffer, Transition
from offac_lite.training import Learner

__all__ = ["BREAKS", "Break", "NextActions"]

Functions = dict[str, Callable | None]  # options of a training → functions of the user's own, None for the package's


class NextActions:
    """A replay buffer that remembers which action followed each transition. It takes the buffer's place in a training.

    `of_last_sample` (S, B): the action that was stored in s′ of each transition drawn last; -1 where there is none yet.

    >>> buffer = NextActions(ReplayBuffer(100, (1,), n_seeds=1), n_envs=2)
    >>> rows, every = torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)
    >>> for action in ([0, 0], [1, 0]):
    ...     buffer.add(rows[..., None], torch.tensor([action]), rows, rows[..., None], rows > 0, valid=every)
    >>> age, found = buffer.sample(4).age[0], buffer.of_last_sample[0]
    >>> torch.equal(found, torch.tensor([-1, -1, 0, 1])[age])
    True
    """

    def __init__(self, buffer: ReplayBuffer, n_envs: int):
        seeds = buffer.n_seeds
        self._buffer, self._next = buffer, torch.full((seeds, buffer.capacity), -1, device="cpu")
        self._added = torch.tensor(buffer.lengths, device="cpu")
        self._last = torch.full((seeds, n_envs), -1, device="cpu")  # the place of each environment's last transition
        self.of_last_sample = torch.empty(seeds, 0)

    def __getattr__(self, name: str) -> Any:
        """Pass on everything else to the buffer."""
        return getattr(self._buffer, name)

    def __len__(self) -> int:
        """Return the number of transitions stored."""
        return len(self._buffer)

    def add(self, obs: Tensor, action: Tensor, *rest: Any, valid: Tensor) -> None:
        """Store a step of all environments, and its actions as those that followed their last transitions."""
        self._buffer.add(obs, action, *rest, valid=valid)
        seed, env = (self._last >= 0).nonzero(as_tuple=True)
        self._next[seed, self._last[seed, env]] = action[seed, env]
        self._last = (self._added[:, None] + valid.cumsum(1) - 1).where(valid, -1)
        self._added += valid.sum(1)

    def sample(self, n: int, *, newest: int | None = None) -> Transition:
        """Draw `n` transitions per seed, as the buffer does."""
        batch = self._buffer.sample(n, newest=newest)
        self.of_last_sample = self._next.gather(1, self._added[:, None] - 1 - batch.age)
        return batch


@dataclass(frozen=True)
class Break:
    """A mistake: its name, what to look at, and what it makes of the functions that a training uses."""

    name: str
    look_at: str
    apply: Callable[[Learner, Functions], Functions]


def _nothing(learner: Learner, own: Functions) -> Functions:
    return own


def _drop_the_flag(learner: Learner, own: Functions) -> Functions:
    q_target = own["q_target"] or equations.q_target

    def without_flag(reward, terminated, next_q, gamma):
        return q_target(reward, torch.zeros_like(terminated), next_q, gamma)

    return own | {"q_target": without_flag}


def _store_next_action(learner: Learner, own: Functions) -> Functions:
    q_target = own["q_target"] or equations.q_target

    def of_stored_action(reward, terminated, next_q, gamma):
        batch = learner.batch
        if batch is not None and reward is batch.reward:  # not when the function is only tried on a small batch
            action = learner.buffer.of_last_sample
            stored_q = learner.agent.target_critic(batch.next_obs, action.clamp(min=0))
            next_q = stored_q.where(action >= 0, next_q)
        return q_target(reward, terminated, next_q, gamma)

    return own | {"q_target": of_stored_action}


def _scale_actor_loss(own: Functions, factor: float) -> Functions:
    """Multiply the actor's loss by a number, whichever function computes it."""
    name = "resampled_loss" if own["resampled_loss"] else "policy_gradient_loss"
    loss = own[name] or equations.policy_gradient_loss
    return own | {name: lambda *arguments: factor * loss(*arguments)}


def _reverse_sign(learner: Learner, own: Functions) -> Functions:
    return _scale_actor_loss(own, -1.0)


def _sum(learner: Learner, own: Functions) -> Functions:
    return _scale_actor_loss(own, learner.config.batch_size * learner.config.action_samples)


BREAKS = {
    "nothing": Break("nothing", "", _nothing),
    "flag": Break("no terminal flag", "Compare V with what is delivered.", _drop_the_flag),
    "stored": Break("stored a′ in the target", "Compare V with the band.", _store_next_action),
    "sign": Break("wrong sign of the actor's loss", "Compare V with what is delivered.", _reverse_sign),
    "sum": Break("sum for mean in the actor's loss", "Compare the entropy with the band.", _sum),
}
