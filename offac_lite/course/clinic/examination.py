"""The unit test of notebook 07: an agent's parts on two states, against exact answers."""

from typing import NamedTuple

import torch

from offac_lite import _check
from offac_lite.course.clinic.parts import Parts
from offac_lite.course.clinic.tabular import TableCritic, two_states
from offac_lite.networks import Categorical

__all__ = ["UnitTest", "unit_test"]

_GAMMA = 0.9
_LOGITS = ((0.0, 1.0), (0.5, -0.5))  # of π, which is not the uniform β


class UnitTest(NamedTuple):
    """What the two states say of an agent's parts. 0, 1, 1, 0 is health."""

    q_error: float
    """The largest error of Q^π, learned from the 16 rows until nothing changes."""
    cosine: float
    """Of the actor's gradient with the exact one, for the exact Q."""
    length: float
    """Of the actor's gradient, divided by that of the exact one."""
    leak: float
    """The norm of the gradient that the actor's loss sends into Q."""

    @property
    def passed(self) -> bool:
        """Whether all four numbers are as they should be."""
        right_gradient = self.cosine > 0.99 and 0.97 < self.length < 1.03
        return self.q_error < 0.01 and right_gradient and self.leak < 1e-9


@torch.enable_grad()
def unit_test(parts: Parts, seed: int = 0, n: int = 10_000) -> UnitTest:
    """Test an agent's parts on `two_states`: the critic's on all rows, the actor's on each state n times, with K = 4.

    >>> from offac_lite.course.clinic import HEALTHY, patient
    >>> [round(number, 2) + 0 for number in unit_test(patient("C"))], unit_test(HEALTHY).passed
    ([0.0, 1.0, 1.0, 0.3], True)
    """
    seed, n = _check.count("seed", seed, at_least=0), _check.count("n", n)
    world, logits = two_states(_GAMMA), torch.tensor(_LOGITS, dtype=torch.float64, device="cpu")
    pi = torch.softmax(logits, -1)
    exact_q = world.mdp.action_values(pi)
    exact = 0.5 * pi * (exact_q - (pi * exact_q).sum(-1, keepdim=True))  # the gradient, for a softmax
    theta, q_table = logits.clone().requires_grad_(), exact_q.clone().requires_grad_()
    obs = torch.arange(2, device="cpu").repeat(n)
    policy, q_all = Categorical(theta[obs]), q_table[obs]
    value = (policy.probs * q_all).sum(-1).detach()
    draws = parts.resample(policy, q_all, 4, torch.Generator().manual_seed(seed))
    up, into_q = torch.autograd.grad(-parts.actor_loss(*draws, value), (theta, q_table), allow_unused=True)
    return UnitTest(
        (learned_q(parts, logits) - exact_q).abs().max().item(),
        torch.cosine_similarity(up.flatten(), exact.flatten(), dim=0).item(),
        (up.norm() / exact.norm()).item(),
        0.0 if into_q is None else into_q.norm().item(),
    )


def learned_q(parts: Parts, logits: torch.Tensor) -> torch.Tensor:
    """Return the Q, (2, 2), that the critic's parts learn for π = softmax(logits) from the 16 rows."""
    world = two_states(_GAMMA)
    q = torch.zeros(2, 2, dtype=torch.float64, device="cpu", requires_grad=True)
    d = parts.ended(world.terminated, world.truncated)
    for _ in range(200):
        with torch.no_grad():
            target = TableCritic(q)
            v = parts.next_value(lambda s: Categorical(logits[s]), target, world.next_obs, world.next_action)
            y = parts.q_target(world.reward, d, v, _GAMMA)
        loss = parts.critic_loss(q[world.obs], world.action, y)
        with torch.no_grad():
            q -= 4 * torch.autograd.grad(loss, q)[0]  # a pair (s, a) has 4 of the 16 rows
    return q.detach()
