"""The patients "A" to "L": agents in which one part is wrong.

SPOILERS: the code below is the answer to each diagnosis. Do notebook 07 and the chapter on more patients first.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from offac_lite import _check
from offac_lite.course.clinic.parts import HEALTHY, Parts
from offac_lite.networks import of_actions

__all__ = ["patient"]


def patient(letter: str) -> Parts:
    """Return the parts of the patient "A" to "L". All but one are the healthy agent's."""
    _check.one_of("letter", letter, tuple(_BROKEN))
    return replace(HEALTHY, **_BROKEN[letter])


def _no_mask(reward, ended, next_value, gamma):
    return reward + gamma * next_value


def _uphill(log_prob, q, value):
    return (log_prob * (q - value).detach()).mean()


def _attached(log_prob, q, value):
    return -(log_prob * (q - value)).mean()


def _broadcast(q_all, action, target):
    q = q_all.gather(-1, action.unsqueeze(-1))
    return 0.5 * (q - target).square().mean()


def _two_draws(pi, q_all, action_samples, generator):
    log_prob = pi.log_prob(pi.sample(action_samples, generator=generator))
    q = of_actions(q_all, pi.sample(action_samples, generator=generator))
    return log_prob, q


def _summed(log_prob, q, value):
    return -(log_prob * (q - value).detach()).sum()


def _stored_next_action(policy, target_critic, next_obs, stored_next_action):
    return target_critic(next_obs, stored_next_action)


def _any_end(terminated, truncated):
    return terminated | truncated


def _same_network(critic):
    return critic


def _every_row(step):
    return torch.ones_like(step.valid)


def _one_row_late(d, d_of_row_before):
    return d_of_row_before


def _scaled_twice(action):
    return 0.5 * action


_BROKEN: dict[str, dict[str, Callable]] = {
    "A": {"q_target": _no_mask},
    "B": {"actor_loss": _uphill},
    "C": {"actor_loss": _attached},
    "D": {"critic_loss": _broadcast},
    "E": {"resample": _two_draws},
    "F": {"actor_loss": _summed},
    "G": {"next_value": _stored_next_action},
    "H": {"ended": _any_end},
    "I": {"make_target": _same_network},
    "J": {"kept": _every_row},
    "K": {"flag": _one_row_late},
    "L": {"executed": _scaled_twice},
}
