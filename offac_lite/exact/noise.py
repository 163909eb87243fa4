"""Noise in the policy gradient of a *network*: exact over the actions, in the network's own parameters.

One state s and one action a give the gradient g = ∇_θ log π(a|s) w(s, a), with w = Q or w = Q − V. In every function of
this module, the states `obs` (seeds, B, obs_size), or (B, obs_size) without seeds, stand for all states there are. All
actions of each state are summed with weight π(a|s): nothing is sampled. The critic's Q is taken as it is.
"""

from typing import NamedTuple

import torch
from torch.func import functional_call, jacrev, vmap

from offac_lite import _check
from offac_lite.exact._types import ValueBaseline
from offac_lite.exact.mdp import advantages
from offac_lite.networks import Categorical, CategoricalPolicy, DiscreteQCritic, TwinQCritic

PerSeed = torch.Tensor  # (seeds,), or () without seeds
Critic = DiscreteQCritic | TwinQCritic


class GradientNoise(NamedTuple):
    """Squared length of the mean gradient, and the parts of the variance (a trace) of its estimate."""

    signal: PerSeed
    """‖E_s E_a g‖²: the squared length of the mean gradient."""
    states: PerSeed
    """Var_s(E_a g) of one state: N lowers this part, K does not."""
    actions: PerSeed
    """E_s(Var_a g) of one state and one action, with the weight Q."""
    actions_value: PerSeed
    """E_s(Var_a g) of one state and one action, with the weight Q − V."""

    def variance(self, batch_size: int, action_samples: int, baseline: ValueBaseline = None) -> PerSeed:
        """Compute 1/N [Var_s(E_a g) + E_s(Var_a g)/K]: a batch of N states with K resampled actions each."""
        _check.one_of("baseline", baseline, (None, "value"))
        n, k = _check.count("batch_size", batch_size), _check.count("action_samples", action_samples)
        return (self.states + (self.actions if baseline is None else self.actions_value) / k) / n

    def batches(self, batch_size: int, action_samples: int, baseline: ValueBaseline = None) -> PerSeed:
        """Compute how many batches make noise and signal of their mean equal: variance / signal, Equation (6.2).

        The mean gradient of so many batches is typically within 45 degrees of the exact direction.
        """
        return self.variance(batch_size, action_samples, baseline) / self.signal


@torch.no_grad()
def gradient_noise(policy: CategoricalPolicy, critic: Critic, obs: torch.Tensor) -> GradientNoise:
    """Split the variance of g into a part across states and a part across actions.

    *Data*: states such as those of a large batch; every action of each state, with weight π. The mean of g in one state
    is ∇_θ Σ_a π(a|s) Q(s, a), with or without a baseline. Raises `ValueError` for a policy of continuous actions, and
    where Q is NaN or infinite.

    >>> gen = torch.Generator().manual_seed(0)
    >>> policy, critic = (net(4, 3, (8,), n_seeds=2, generator=gen) for net in (CategoricalPolicy, DiscreteQCritic))
    >>> noise = gradient_noise(policy, critic, torch.randn(2, 16, 4, generator=gen))
    >>> bool((noise.batches(16, 1) > noise.batches(16, 1, "value")).all())
    True
    """
    (probs, q), jacobian = _probs_and_q(policy, critic, obs), _jacobian(policy, obs)
    advantage = advantages(probs, q)
    each = ((probs * advantage).unsqueeze(-2) @ jacobian).squeeze(-2)  # (seeds, B, P): the mean gradient of each state
    signal = each.mean(-2).square().sum(-1)
    states = each.square().sum(-1).mean(-1) - signal
    gram = _gram(probs, jacobian)
    return GradientNoise(signal, states, _action_variance(probs, q, gram), _action_variance(probs, advantage, gram))


def _probs_and_q(policy: CategoricalPolicy, critic: Critic, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return π(a|s) and Q(s, a) of every action, both (..., B, A)."""
    pi = policy(obs)
    if not isinstance(pi, Categorical):
        raise ValueError("policy has continuous actions: this sums over all actions, which only discrete actions allow")
    q = critic.all_actions(obs)
    _check.same_shape(probs=pi.probs, q=q)
    if not (q.numel() and torch.isfinite(q).all()):
        raise ValueError(f"obs of shape {tuple(obs.shape)} gives a Q that is empty, NaN or infinite")
    return pi.probs, q


def _jacobian(policy: CategoricalPolicy, obs: torch.Tensor) -> torch.Tensor:
    """Return the derivatives of the logits of each state with respect to θ, (..., B, A, P)."""
    one = policy.net if policy.net.n_seeds is None else policy.of_seed(0).net

    def logits(theta: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return functional_call(one, {"theta": theta}, (state,))

    of_states = vmap(jacrev(logits), (None, 0))
    return (of_states if policy.net.n_seeds is None else vmap(of_states))(policy.net.theta.detach(), obs)


def _gram(probs: torch.Tensor, jacobian: torch.Tensor) -> torch.Tensor:
    """Return the products of the scores of each pair of actions with respect to θ, M J Jᵀ Mᵀ, (..., B, A, A).

    J is the Jacobian of a state's logits. Row a of M = I − 1πᵀ is the score of action a with respect to the logits.
    """
    score = torch.eye(probs.shape[-1], dtype=probs.dtype, device=probs.device) - probs.unsqueeze(-2)  # M
    return score @ (jacobian @ jacobian.mT) @ score.mT


def _action_variance(probs: torch.Tensor, weight: torch.Tensor, gram: torch.Tensor) -> torch.Tensor:
    """Return E_s[Var_a g], (...), of g = weight times the score."""
    mean = probs * weight
    second = (probs * weight.square() * gram.diagonal(dim1=-2, dim2=-1)).sum(-1)
    return (second - (mean.unsqueeze(-2) @ gram @ mean.unsqueeze(-1)).squeeze((-2, -1))).mean(-1)
