"""Signal and noise in the gradient of a *network*: how many batches does it take until its direction shows?"""

from typing import NamedTuple

import torch

from offac_lite import _check
from offac_lite.exact.learned import action_variance, probs_and_q
from offac_lite.networks import CategoricalPolicy


class GradientNoise(NamedTuple):
    """Squared length of the mean gradient, and the variance (trace) of its estimate, each of shape (S,) or ()."""

    signal: torch.Tensor
    """‖E_s E_a g‖²: the squared length of what all the states and actions together ask for."""
    states: torch.Tensor
    """Var_s(E_a g) of one state: what N lowers and K does not."""
    actions: torch.Tensor
    """E_s(Var_a g) of one state and one action with Q itself as the weight."""
    actions_value: torch.Tensor
    """The same with Q − V."""

    def variance(self, batch_size: int, action_samples: int, baseline: str | None = None) -> torch.Tensor:
        """1/N [Var_s(E_a g) + E_s(Var_a g)/K], of a batch of N states with K resampled actions each."""
        _check.choice("baseline", baseline, (None, "value"))
        actions = self.actions if baseline is None else self.actions_value
        return (self.states + actions / _check.count("action_samples", action_samples)) / _check.count(
            "batch_size", batch_size
        )

    def batches(self, batch_size: int, action_samples: int, baseline: str | None = None) -> torch.Tensor:
        """Batches whose mean is noise and signal in equal parts: variance / signal, Equation (6.2).

        From then on the mean gradient lies, typically, within 45 degrees of the right direction.
        """
        return self.variance(batch_size, action_samples, baseline) / self.signal


def gradient_noise(policy: CategoricalPolicy, critic, obs: torch.Tensor) -> GradientNoise:
    """Split the noise of ∇_θ log π(a|s) w(s, a) at the states obs (S, B, obs_size), exactly over actions.

    *Data*: states such as those of a large batch, taken for all the states there are; every action of each, weighted
    by π: nothing is sampled. The critic's Q is taken as it is. A state's mean over actions is ∇_θ Σ_a π(a|s) Q(s, a),
    with or without a baseline.

    >>> from offac_lite.networks import DiscreteQCritic
    >>> gen = torch.Generator().manual_seed(0)
    >>> policy, critic = (net(4, 3, (8,), n_seeds=2, generator=gen) for net in (CategoricalPolicy, DiscreteQCritic))
    >>> noise = gradient_noise(policy, critic, torch.randn(2, 16, 4, generator=gen))
    >>> bool((noise.batches(16, 1) > noise.batches(16, 1, "value")).all())
    True
    """
    with torch.enable_grad():
        (probs, q), theta = probs_and_q(policy, critic, obs), policy.net.theta
        worth = (probs * (q - (probs.detach() * q).sum(-1, keepdim=True))).sum(-1)  # Σ_a π(a|s) Q(s, a), up to V
        rows = [torch.autograd.grad(worth[..., b].sum(), theta, retain_graph=True)[0] for b in range(obs.shape[-2])]
    each = torch.stack(rows, -2)  # (S, B, P): the state's own mean gradient
    mean = each.mean(-2)
    signal = mean.square().sum(-1)
    states = each.square().sum(-1).mean(-1) - signal
    return GradientNoise(
        signal, states, action_variance(policy, critic, obs), action_variance(policy, critic, obs, "value")
    )
