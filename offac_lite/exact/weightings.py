"""Ways to weight the trajectories of an old policy: exact bias and variance of each, for every horizon up to T.

An estimate is g = Σ_t c_t ∇log π(a_t|s_t) over one trajectory of T steps by β, as in `trajectories`. The weightings
differ in c_t alone. With ρ_t = π(a_t|s_t) / β(a_t|s_t) and W_k = ρ_0 ⋯ ρ_k:

    none       c_t = Σ_{k≥t} r_k                     no correction
    whole      c_t = W_{T−1} Σ_{k≥t} r_k             the product of the whole trajectory
    causal     c_t = Σ_{k≥t} W_k r_k                 the product up to each reward ("per decision")
    single     c_t = ρ_t Q(s_t, a_t)                 one ratio and the exact Q^π, with T − t steps to go
    resampled  c_t = Q(s_t, aᵖ_t) at aᵖ_t ~ π        no ratio: another action, drawn now
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from offac_lite import _check
from offac_lite.exact._types import F64, Logits, PerState, PerStateAction, Probs, ValueBaseline
from offac_lite.exact.mdp import TabularMDP
from offac_lite.exact.trajectories import values_to_go, visits

Weighting = Literal["none", "whole", "causal", "single", "resampled"]
WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)


@dataclass(frozen=True, eq=False)
class WeightedMoments:
    """Exact mean and variance of one trajectory's estimate, for every horizon 1 … T (index T − 1)."""

    mean: torch.Tensor  # (T, S, A), E_β[g]
    target: torch.Tensor  # (T, S, A), ∇J_T
    variance: torch.Tensor  # (T,), the trace over the S × A parameters

    @property
    def bias(self) -> torch.Tensor:
        """‖E[g] − ∇J‖, (T,)."""
        return (self.mean - self.target).flatten(1).norm(dim=1)

    @property
    def cosine(self) -> torch.Tensor:
        """Cosine of the angle between E[g] and ∇J, (T,)."""
        return torch.cosine_similarity(self.mean.flatten(1), self.target.flatten(1), dim=1)

    def error(self, n: int = 1) -> torch.Tensor:
        """Compute √(bias² + variance / n) / ‖∇J‖, (T,), the relative error of the mean of n estimates. Equation (3.7).

        An error of 1 is that of the estimate 0.
        """
        total = self.bias.square() + self.variance / _check.count("n", n)
        return total.sqrt() / self.target.flatten(1).norm(dim=1)


def weighting_moments(
    mdp: TabularMDP,
    logits: Logits,
    weighting: Weighting,
    horizon: int,
    *,
    behavior: Probs | None = None,
    clip: float | None = None,
    baseline: ValueBaseline = None,
) -> WeightedMoments:
    """Compute the exact moments of one weighting for every horizon up to `horizon`, by a recursion on second moments.

    An estimate of h steps is made of the next step and the estimate g′ of the h − 1 steps after it. So its mean and
    ‖g‖² follow from those of (z′, g′), where z′ = (W′, W′R′) for "whole", (1, Σ W′r) for "causal" and (1, 0) for
    "single". No trajectory is listed: the cost grows with T, not with A^T.

    Parameters
    ----------
    logits : (S, A)
        The current softmax policy π.
    weighting : "none" | "whole" | "causal" | "single" | "resampled"
        See the module's table.
    behavior : (S, A) or None
        *Data*: the policy β that wrote the trajectories; None is π itself. If β never takes an action that π takes,
        the data lack this action, and the mean is biased.
    clip : float or None
        An upper bound of every ratio, applied before products are formed.
    baseline : None | "value"
        "value" subtracts V^π(s_t), with T − t steps to go, from the return or from Q.

    Raises `TypeError` or `ValueError` and names the argument, for a wrong shape, NaN, probabilities that do not sum to
    1, a horizon below 1, a clip of 0 or less, and an unknown weighting or baseline.

    >>> from offac_lite.exact.trajectories import corridor
    >>> m = weighting_moments(corridor(), torch.zeros(5, 2), "whole", 8)  # fresh data
    >>> bool(m.bias.max() < 1e-12)
    True
    """
    _check.one_of("weighting", weighting, WEIGHTINGS)
    _check.one_of("baseline", baseline, (None, "value"))
    horizon, size = _check.count("horizon", horizon), (mdp.n_states, mdp.n_actions)
    probs = torch.softmax(_check.table("logits", logits, size).detach(), -1)
    beta = probs if behavior is None else _check.distributions("behavior", behavior, size, "(S, A)").detach()
    ratio = torch.where(beta > 0, probs / beta, 0.0)
    if clip is not None:
        ratio = ratio.clamp_max(_check.positive("clip", clip))
    if weighting in ("none", "resampled"):
        ratio = torch.ones_like(ratio)
    q = values_to_go(mdp, probs, horizon).flip(0)  # index h: with h + 1 steps to go
    value = (probs * q).sum(-1, keepdim=True) if baseline == "value" else torch.zeros_like(q[..., :1])
    moments = _Moments(mdp, probs)
    means, variances = [], []
    for h in range(horizon):
        if weighting == "resampled":
            moments.prepend_resampled(beta, q[h] - value[h])
        else:
            moments.prepend(beta, *_step(weighting, ratio, mdp.reward, q[h], value[h]))
        mean = mdp.initial @ moments.g
        means.append(mean.view_as(probs))
        variances.append((mdp.initial @ moments.gg - mean.square().sum()).clamp_min(0.0))
    return WeightedMoments(torch.stack(means), _targets(mdp, probs, q), torch.stack(variances))


def _targets(mdp: TabularMDP, probs: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Compute ∇J_h for h = 1 … T, (T, S, A): at step t, the visits of each state times its part with h − t to go."""
    own, seen = probs * (q - (probs * q).sum(-1, keepdim=True)), visits(mdp, probs, len(q))  # h + 1 steps to go; step t
    return torch.stack([(seen[:h].flip(0)[..., None] * own[:h]).sum(0) for h in range(1, len(q) + 1)])


def _step(
    weighting: Weighting, ratio: PerStateAction, reward: PerStateAction, q: PerStateAction, value: PerState
) -> tuple[torch.Tensor, torch.Tensor, PerStateAction]:
    """Return what one step does: z = M z′ (S, A, 2, 2), c = b · z′ (S, A, 2), and the factor of g′ (S, A)."""
    one, zero = torch.ones_like(ratio), torch.zeros_like(ratio)
    rows = {
        "whole": ([ratio, zero], [ratio * reward, ratio], [ratio * (reward - value), ratio], ratio),
        "causal": ([one, zero], [ratio * reward, ratio], [ratio * (reward - value), ratio], ratio),
        "single": ([one, zero], [zero, zero], [ratio * (q - value), zero], one),
    }
    first, second, coefficient, carry = rows["causal" if weighting == "none" else weighting]
    matrix = torch.stack([torch.stack(first, -1), torch.stack(second, -1)], -2)
    return matrix, torch.stack(coefficient, -1), carry


class _Moments:
    """First and second moments of (z, g) given the state. At first no step is left: z = (1, 0), g = 0.

    They are stored side by side in `now`, (S, 2 + 4 + D + 2 D + 1) with D = S · A: E z, E zzᵀ, E g, E z gᵀ, E‖g‖².
    """

    def __init__(self, mdp: TabularMDP, probs: torch.Tensor) -> None:
        n_states, n_actions = probs.shape
        size = n_states * n_actions
        own = torch.eye(n_states, **F64)[:, None, :, None]  # only the logits of s have a score in s
        onehot = torch.eye(n_actions, **F64)
        self.score = (own * (onehot[None, :, None, :] - probs[:, None, None, :])).reshape(n_states, n_actions, size)
        self.length = self.score.square().sum(-1)  # ‖∇log π(a|s)‖²
        self.shape, self.sizes, self.probs = (n_states, n_actions), (2, 4, size, 2 * size, 1), probs
        ending = torch.zeros(sum(self.sizes), **F64)
        ending[0] = ending[2] = 1  # z = (1, 0)
        self.now = ending.expand(n_states, -1)
        self.transition = mdp.transition.flatten(0, 1)
        self.ended = (1 - self.transition.sum(-1, keepdim=True)) * ending  # no step follows a termination

    @property
    def g(self) -> torch.Tensor:
        """E[g | s], (S, D)."""
        return self.now.split(self.sizes, -1)[2]

    @property
    def gg(self) -> PerState:
        """E[‖g‖² | s]."""
        return self.now[:, -1]

    def _after(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the moments after (s, a): (S, A, 2, 1), (S, A, 2, 2), (S, A, D), (S, A, 2, D), (S, A)."""
        after = (self.transition @ self.now + self.ended).view(*self.shape, -1)
        z, zz, g, gz, gg = after.split(self.sizes, -1)
        return z[..., None], zz.unflatten(-1, (2, 2)), g, gz.unflatten(-1, (2, -1)), gg[..., 0]

    def prepend(
        self, beta: PerStateAction, matrix: torch.Tensor, coefficient: torch.Tensor, carry: PerStateAction
    ) -> None:
        """Add one step before the others: action and score are at the action that β takes."""
        z, zz, g, gz, gg = self._after()
        row, carried = coefficient[..., None, :], carry[..., None]
        zc = zz @ row.mT
        across = (self.score * (row @ gz)[..., 0, :]).sum(-1)
        parts = (
            matrix @ z,
            matrix @ zz @ matrix.mT,
            self.score * (row @ z)[..., 0] + carried * g,
            matrix @ (zc * self.score[..., None, :] + carried[..., None] * gz),
            self.length * (row @ zc)[..., 0, 0] + 2 * carry * across + carry.square() * gg,
        )
        self.now = (beta[..., None] * torch.cat([part.reshape(*self.shape, -1) for part in parts], -1)).sum(1)

    def prepend_resampled(self, beta: PerStateAction, coefficient: PerStateAction) -> None:
        """Add one step before the others: β takes the action, and the score is at another action, drawn from π."""
        _, _, g, _, gg = self._after()
        later, later_square = (beta[..., None] * g).sum(1), (beta * gg).sum(1)
        here = ((self.probs * coefficient)[..., None] * self.score).sum(1)
        square = (self.probs * coefficient.square() * self.length).sum(1) + 2 * (here * later).sum(-1) + later_square
        ready = self.now.new_zeros(self.now.shape)
        ready[:, 6 : 6 + here.shape[1]], ready[:, -1] = here + later, square
        self.now = ready
