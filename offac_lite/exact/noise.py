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
from offac_lite.networks import MLP, Categorical, CategoricalPolicy, DiscreteQCritic, TwinQCritic

PerSeed = torch.Tensor  # (seeds,), or () without seeds
Critic = DiscreteQCritic | TwinQCritic
BASELINES = (None, "value")


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
        _check.one_of("baseline", baseline, BASELINES)
        n, k = _check.count("batch_size", batch_size), _check.count("action_samples", action_samples)
        return (self.states + (self.actions if baseline is None else self.actions_value) / k) / n

    def batches(self, batch_size: int, action_samples: int, baseline: ValueBaseline = None) -> PerSeed:
        """Compute how many batches make noise and signal of their mean equal: variance / signal, Equation (6.2).

        The mean gradient of so many batches is typically within 45 degrees of the exact direction.
        """
        return self.variance(batch_size, action_samples, baseline) / self.signal


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
    with torch.enable_grad():
        (probs, q), theta = _probs_and_q(policy, critic, obs), policy.net.theta
        value = (probs * (q - (probs.detach() * q).sum(-1, keepdim=True))).sum(-1)  # Σ_a π(a|s) Q(s, a), up to V
        rows = [torch.autograd.grad(value[..., b].sum(), theta, retain_graph=True)[0] for b in range(obs.shape[-2])]
    each = torch.stack(rows, -2)  # (seeds, B, P): the mean gradient of each state
    signal = each.mean(-2).square().sum(-1)
    states = each.square().sum(-1).mean(-1) - signal
    return GradientNoise(
        signal, states, action_variance(policy, critic, obs), action_variance(policy, critic, obs, "value")
    )


@torch.no_grad()
def action_variance(
    policy: CategoricalPolicy, critic: Critic, obs: torch.Tensor, baseline: ValueBaseline = None
) -> PerSeed:
    """Compute E_s[Var_a g], the trace, with w = Q (`baseline` None) or w = Q − V ("value").

    This is the variance across actions with one resampled action per state; with K actions it is 1/K of that. *Data*:
    as in `gradient_noise`, which also says what raises. With J the Jacobian of a state's logits and M = I − 1πᵀ, whose
    row a is the score of action a with respect to the logits, the squared length of the score of a with respect to θ is
    (M J Jᵀ Mᵀ)_aa.

    >>> gen = torch.Generator().manual_seed(0)
    >>> policy, critic = CategoricalPolicy(4, 3, (8,), generator=gen), DiscreteQCritic(4, 3, (8,), generator=gen)
    >>> obs = torch.randn(16, 4, generator=gen)
    >>> bool(action_variance(policy, critic, obs) > action_variance(policy, critic, obs, "value"))
    True
    """
    _check.one_of("baseline", baseline, BASELINES)
    probs, q = _probs_and_q(policy, critic, obs)
    weight = q - (probs * q).sum(-1, keepdim=True) if baseline == "value" else q
    if policy.net.n_seeds is None:
        return _action_variance(policy.net, obs, probs, weight)
    seeds = zip(range(policy.net.n_seeds), obs, probs, weight, strict=True)
    return torch.stack([_action_variance(policy.of_seed(seed).net, *rest) for seed, *rest in seeds])


def _probs_and_q(policy: CategoricalPolicy, critic: Critic, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return π(a|s), with its graph, and Q(s, a) of every action, without one; both (..., B, A)."""
    pi = policy(obs)
    if not isinstance(pi, Categorical):
        raise ValueError("policy has continuous actions: this sums over all actions, which only discrete actions allow")
    with torch.no_grad():
        q = critic.all_actions(obs)
    _check.same_shape(probs=pi.probs, q=q)
    if not (q.numel() and torch.isfinite(q).all()):
        raise ValueError(f"obs of shape {tuple(obs.shape)} gives a Q that is empty, NaN or infinite")
    return pi.probs, q


def _action_variance(net: MLP, obs: torch.Tensor, probs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    def logits(theta: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return functional_call(net, {"theta": theta}, (state,))

    jacobian = vmap(jacrev(logits), (None, 0))(net.theta.detach(), obs)  # (B, A, P)
    onehot = torch.eye(probs.shape[-1], dtype=probs.dtype, device=probs.device)
    score = onehot - probs.unsqueeze(-2)  # (B, A, A): row a is onehot(a) − π
    gram = score @ (jacobian @ jacobian.mT) @ score.mT
    mean = probs * weight
    second = (probs * weight.square() * gram.diagonal(dim1=-2, dim2=-1)).sum(-1)
    return (second - (mean.unsqueeze(-2) @ gram @ mean.unsqueeze(-1)).squeeze()).mean()
