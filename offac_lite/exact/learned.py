"""How noisy is the gradient of a *network*? Exact over the actions, in the network's own parameters."""

import torch
from torch.func import functional_call, jacrev, vmap

from offac_lite import _check
from offac_lite.networks import Categorical, CategoricalPolicy, Policy


@torch.no_grad()
def action_variance(policy: CategoricalPolicy, critic, obs: torch.Tensor, baseline: str | None = None) -> torch.Tensor:
    """E_s[Var_a ∇_θ log π(a|s) w(s, a)], the trace, with w = Q or ("value") Q − V: (S,), or () without seeds.

    It is what one resampled action per state leaves to chance; K of them leave 1/K of it. *Data*: states obs
    (S, B, obs_size), such as a batch's, over which E_s averages; all actions of each, weighted by π: nothing is
    sampled. With J the Jacobian of a state's logits and M = I − 1πᵀ the scores with respect to them, the squared
    length of action a's score is (M J Jᵀ Mᵀ)_aa.

    >>> from offac_lite.networks import DiscreteQCritic
    >>> gen = torch.Generator().manual_seed(0)
    >>> policy, critic = CategoricalPolicy(4, 3, (8,), generator=gen), DiscreteQCritic(4, 3, (8,), generator=gen)
    >>> obs = torch.randn(16, 4, generator=gen)
    >>> bool(action_variance(policy, critic, obs) > action_variance(policy, critic, obs, "value"))
    True
    """
    _check.choice("baseline", baseline, (None, "value"))
    probs, q = probs_and_q(policy, critic, obs)
    n_seeds = policy.net.n_seeds
    weight = q - (probs * q).sum(-1, keepdim=True) if baseline == "value" else q
    if n_seeds is None:
        return _variance(policy.net, obs, probs, weight)
    seeds = zip(range(n_seeds), obs, probs, weight, strict=True)
    return torch.stack([_variance(policy.of_seed(index).net, *rest) for index, *rest in seeds])


def probs_and_q(policy: CategoricalPolicy, critic, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Give π(a|s), with its graph, and the critic's Q(s, a) of every action, without; both (..., B, A) and finite."""
    _check.instance("policy", policy, Policy)
    pi = policy(obs)
    if not isinstance(pi, Categorical):
        raise ValueError("policy has continuous actions: this sums over all actions, which only discrete actions allow")
    if not hasattr(critic, "all_actions"):
        raise TypeError(f"critic must be a critic of discrete actions, got {type(critic).__name__}")
    with torch.no_grad():
        q = critic.all_actions(obs)
    _check.same_shape(probs=pi.probs, q=q)
    if not (q.numel() and torch.isfinite(q).all()):
        raise ValueError(f"obs of shape {tuple(obs.shape)} gave no Q, or one that is NaN or infinite")
    return pi.probs, q


def _variance(net, obs: torch.Tensor, probs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    def logits(theta, state):
        return functional_call(net, {"theta": theta}, (state,))

    jacobian = vmap(jacrev(logits), (None, 0))(net.theta.detach(), obs)  # (B, A, P)
    score = torch.eye(probs.shape[-1], device=probs.device) - probs.unsqueeze(-2)  # (B, A, A): rows onehot(a) − π
    gram = score @ (jacobian @ jacobian.mT) @ score.mT
    mean = probs * weight
    second = (probs * weight.square() * gram.diagonal(dim1=-2, dim2=-1)).sum(-1)
    return (second - (mean.unsqueeze(-2) @ gram @ mean.unsqueeze(-1)).squeeze()).mean()


def learned_break_even(policy: CategoricalPolicy, critic, obs: torch.Tensor) -> torch.Tensor:
    """K* of a trained policy and critic at the states `obs`, (S,): see `estimators.break_even_actions`.

    As many resampled actions with Q itself are as quiet as one with Q − V. The critic's Q is taken as it is. Infinite
    where Q − V leaves less than a millionth of Q's noise, which float32 does not resolve; 1 where neither has any.

    >>> from offac_lite.networks import DiscreteQCritic
    >>> gen = torch.Generator().manual_seed(0)
    >>> policy, critic = CategoricalPolicy(4, 3, (8,), generator=gen), DiscreteQCritic(4, 3, (8,), generator=gen)
    >>> bool(learned_break_even(policy, critic, torch.randn(16, 4, generator=gen)) > 1)
    True
    """
    with_q, with_value = (action_variance(policy, critic, obs, baseline) for baseline in (None, "value"))
    with_value = with_value.where(with_value > 1e-6 * with_q, 0.0)  # less is rounding error, of either sign
    return torch.where((with_q == 0) & (with_value == 0), 1.0, with_q / with_value)
