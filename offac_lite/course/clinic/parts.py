"""The seven parts of an off-policy actor-critic and three of the loop around it, each of them correct."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch

from offac_lite import equations
from offac_lite.course.clinic.tabular import TableCritic
from offac_lite.envs import Step
from offac_lite.networks import Categorical, DiscreteQCritic, of_actions

__all__ = [
    "HEALTHY",
    "Parts",
    "actor_loss",
    "critic_loss",
    "ended",
    "executed",
    "flag",
    "kept",
    "next_value",
    "resample",
]


def ended(terminated: torch.Tensor, truncated: torch.Tensor) -> torch.Tensor:
    """Return d, the flag that is stored, (...) bool: True where s′ is terminal. A time limit does not make it so.

    >>> ended(torch.tensor([True, False]), torch.tensor([False, True]))
    tensor([ True, False])
    """
    return terminated


def next_value(
    policy: Callable[[torch.Tensor], Categorical],
    target_critic: DiscreteQCritic | TableCritic,
    next_obs: torch.Tensor,
    stored_next_action: torch.Tensor,
) -> torch.Tensor:
    """Return V^π(s′) = Σ π(a′|s′) Q̄(s′, a′) for the current π, (..., B). The stored a′ is not used."""
    return (policy(next_obs).probs * target_critic.all_actions(next_obs)).sum(-1)


def critic_loss(q_all: torch.Tensor, action: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return ½ · mean of (Q(s, a) − y)² of one agent, (): q_all (B, A) is Q of every action, `action` and y are (B,).

    >>> critic_loss(torch.tensor([[1.0, 3.0], [5.0, 7.0]]), torch.tensor([1, 0]), torch.tensor([1.0, 5.0]))
    tensor(1.)
    """
    return equations.critic_loss(q_all.gather(-1, action.unsqueeze(-1)).squeeze(-1), target)


def resample(
    pi: Categorical, q_all: torch.Tensor, action_samples: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw K actions aᵖ ~ π(·|s) and return log π(aᵖ|s) and Q(s, aᵖ), both (..., K, B)."""
    action = pi.sample(action_samples, generator=generator)
    return pi.log_prob(action), of_actions(q_all, action)


def actor_loss(log_prob: torch.Tensor, q: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return −mean of log π(aᵖ|s) (Q(s, aᵖ) − V(s)) of one agent, (): log_prob and q (K, B), value (B,)."""
    return equations.policy_gradient_loss(log_prob, q - value)


def executed(action: torch.Tensor) -> torch.Tensor:
    """Return the action that the environment executes: the one that is stored, (..., B, *action_shape)."""
    return action


def kept(step: Step) -> torch.Tensor:
    """Return which rows of a step are stored, (..., B) bool: not those in which an environment only reset itself."""
    return step.valid


def flag(d: torch.Tensor, d_of_row_before: torch.Tensor) -> torch.Tensor:
    """Return the flag d that is written into a row, (..., B) bool: its own, and not that of the row before."""
    return d


@dataclass(frozen=True)
class Parts:
    """The seven parts of an agent's update, and three of the loop that fills its buffer. The defaults are correct."""

    ended: Callable[..., torch.Tensor] = ended
    next_value: Callable[..., torch.Tensor] = next_value
    q_target: Callable[..., torch.Tensor] = equations.v_target
    critic_loss: Callable[..., torch.Tensor] = critic_loss
    resample: Callable[..., tuple[torch.Tensor, torch.Tensor]] = resample
    actor_loss: Callable[..., torch.Tensor] = actor_loss
    make_target: Callable[[DiscreteQCritic], DiscreteQCritic] = copy.deepcopy
    executed: Callable[[torch.Tensor], torch.Tensor] = executed
    kept: Callable[[Step], torch.Tensor] = kept
    flag: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = flag


HEALTHY = Parts()
