"""Whole trajectories of T steps on a tabular MDP: all of them with their probabilities, and what weighting them costs.

Episodes have T steps here, so nothing needs a discount: J_T(π) = E_π[Σ_{t<T} r_t], whatever the γ of the `TabularMDP`.
Every estimate of this module is a sum over the steps of one trajectory of the old policy β,

    g = Σ_t c_t ∇log π(a_t|s_t),

and the ways to weight differ in c_t alone. With ρ_t = π(a_t|s_t) / β(a_t|s_t) and W_k = ρ_0 ⋯ ρ_k:

    none       c_t = Σ_{k≥t} r_k                     no correction
    whole      c_t = W_{T−1} Σ_{k≥t} r_k             the whole trajectory's product
    causal     c_t = Σ_{k≥t} W_k r_k                 the product up to each reward ("per decision")
    single     c_t = ρ_t Q(s_t, a_t)                 one ratio and the exact Q^π, with T − t steps to go
    resampled  c_t = Q(s_t, aᵖ_t) at aᵖ_t ~ π        no ratio: another action, drawn now

For a softmax policy ∇log π(a|s), with respect to the logits of s, is onehot(a) − π(·|s).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch

from offac_lite import _check
from offac_lite.equations import log_ratio
from offac_lite.exact.mdp import TabularMDP

WEIGHTINGS = ("none", "whole", "causal", "single", "resampled")
MOST_TRAJECTORIES = 1_000_000


class Trajectories(NamedTuple):
    """n trajectories of T steps, and how likely each of them is under the policy that made them."""

    obs: torch.Tensor
    """s_t, (n, T) int64."""
    action: torch.Tensor
    """a_t, (n, T) int64."""
    reward: torch.Tensor
    """r(s_t, a_t), (n, T)."""
    probability: torch.Tensor
    """(n,), which sum to 1: exact where all trajectories are listed, 1/n where they were sampled."""


def corridor(n_squares: int = 5, near: float = 0.7, far: float = 1.0) -> TabularMDP:
    """Make a corridor of squares 0, 1, …: action 0 steps left, 1 steps right, and at a wall one stays.

    Every step that ends in the leftmost square earns `near`, in the rightmost `far`. Episodes start in square 1, next
    to the near reward, and do not terminate.

    >>> corridor().reward[:, 1]
    tensor([0., 0., 0., 1., 1.], dtype=torch.float64)
    """
    n_squares = _check.count("n_squares", n_squares, at_least=3)
    transition = torch.zeros(n_squares, 2, n_squares, dtype=torch.float64)
    for square in range(n_squares):
        transition[square, 0, max(square - 1, 0)] = 1
        transition[square, 1, min(square + 1, n_squares - 1)] = 1
    reward = _check.number("near", near) * transition[:, :, 0] + _check.number("far", far) * transition[:, :, -1]
    initial = torch.zeros(n_squares, dtype=torch.float64)
    initial[1] = 1
    return TabularMDP(transition, reward, initial, gamma=0.99)


def all_trajectories(mdp: TabularMDP, behavior, horizon: int) -> Trajectories:
    """List every trajectory of `horizon` steps that β can make, with its exact probability, Equation (3.2).

    There are up to S · (A · S)^T, or with transitions that leave nothing to chance A^T: for small T only. Raises
    `ValueError` beyond a million, and for an MDP in which episodes terminate: here all have the same length.

    >>> t = all_trajectories(corridor(), torch.full((5, 2), 0.5), 3)
    >>> t.obs.shape, t.probability.sum()
    (torch.Size([8, 3]), tensor(1., dtype=torch.float64))
    """
    behavior, horizon = _endless(mdp, behavior, horizon)
    first = mdp.initial.nonzero().flatten()
    obs, action, probability = first[:, None], first.new_zeros(len(first), 0), mdp.initial[first]
    for t in range(horizon):
        chance = probability[:, None, None] * behavior[obs[:, t], :, None] * mdp.transition[obs[:, t]]  # (n, A, S)
        if t == horizon - 1:
            chance = chance.sum(-1, keepdim=True)  # where the last step leads is nobody's business
        row, taken, following = chance.nonzero(as_tuple=True)
        if len(row) > MOST_TRAJECTORIES:
            raise ValueError(f"horizon {horizon} makes more than {MOST_TRAJECTORIES} trajectories; take a smaller one")
        probability = chance[row, taken, following]
        action = torch.cat([action[row], taken[:, None]], 1)
        obs = torch.cat([obs[row], following[:, None]], 1)
    obs = obs[:, :horizon]
    return Trajectories(obs, action, mdp.reward[obs, action], probability)


def sample_trajectories(mdp: TabularMDP, behavior, horizon: int, n: int, *, generator: torch.Generator) -> Trajectories:
    """Draw n independent trajectories of `horizon` steps from β. Raises as `all_trajectories` does.

    >>> t = sample_trajectories(corridor(), torch.full((5, 2), 0.5), 4, 10, generator=torch.Generator().manual_seed(0))
    >>> t.action.shape, t.probability[0]
    (torch.Size([10, 4]), tensor(0.1000, dtype=torch.float64))
    """
    behavior, horizon = _endless(mdp, behavior, horizon)
    _check.generator("generator", generator)
    n = _check.count("n", n)
    state = torch.multinomial(mdp.initial, n, replacement=True, generator=generator)
    states, actions = [], []
    for _ in range(horizon):
        action = torch.multinomial(behavior[state], 1, generator=generator)[:, 0]
        states.append(state)
        actions.append(action)
        state = torch.multinomial(mdp.transition[state, action], 1, generator=generator)[:, 0]
    obs, action = torch.stack(states, 1), torch.stack(actions, 1)
    return Trajectories(obs, action, mdp.reward[obs, action], torch.full((n,), 1 / n, dtype=torch.float64))


def effective_sample_size(log_weight: torch.Tensor) -> torch.Tensor:
    """ESS = (Σw)² / Σw² of the weights w = exp(log_weight) along the last axis.      Equation (3.4)

    As many draws without any weight would average out as much noise: n where all weights are equal, 1 where one of
    them is all that counts. A common factor changes nothing, so no weight is ever too large to be computed; a weight of
    0 (−∞) counts for nothing. (..., n) → (...). Raises `ValueError` for NaN, +∞, and where all weights are 0. Kong
    (1992); Owen (2013), section 9.3.

    >>> effective_sample_size(torch.tensor([[0.0, 0.0, 0.0], [2000.0, -1.0, -1.0]]))
    tensor([3.0000, 1.0000])
    """
    share = torch.softmax(_check.averaged("log_weight", log_weight, "(..., n)", 1), -1)
    if torch.isnan(share).any():
        raise ValueError("log_weight holds NaN, +infinity, or −infinity alone: wanted weights of which one is above 0")
    return 1 / share.square().sum(-1)


def causal_weights(log_prob: torch.Tensor, behavior_log_prob: torch.Tensor) -> torch.Tensor:
    """W_k = Π_{t≤k} π(a_t|s_t) / β(a_t|s_t), the weight of the reward r_k, detached. Equation (3.5)

    *Data*: log π and log β of the actions of β's trajectories, time along the last axis, (..., T); same shape out.
    Raises as `updates.log_ratio` does. Precup et al. (2000).

    >>> causal_weights(torch.tensor([0.5, 0.5, 0.2]).log(), torch.tensor([0.25, 0.5, 0.4]).log())
    tensor([2.0000, 2.0000, 1.0000])
    """
    return log_ratio(log_prob, behavior_log_prob).cumsum(-1).exp()


def to_go(x: torch.Tensor) -> torch.Tensor:
    """Σ_{k≥t} x_k along the last axis: what is still to come, this step included.

    >>> to_go(torch.tensor([1.0, 2.0, 3.0]))
    tensor([6., 5., 3.])
    """
    if not _check.tensor("x", x).ndim:
        raise ValueError("x has shape (), wanted (..., T)")
    return x.flip(-1).cumsum(-1).flip(-1)


def gradient_estimates(logits, trajectories: Trajectories, coefficient: torch.Tensor) -> torch.Tensor:
    """g = Σ_t c_t ∇log π(a_t|s_t) for each trajectory, (n, S, A), from c = `coefficient` (n, T).

    With the c of "whole" that is Equation (3.3).

    >>> t = all_trajectories(corridor(3), torch.full((3, 2), 0.5), 1)  # one step left, one step right
    >>> gradient_estimates(torch.zeros(3, 2), t, torch.ones(2, 1))[:, 1]
    tensor([[ 0.5000, -0.5000],
            [-0.5000,  0.5000]], dtype=torch.float64)
    """
    logits = _check.finite_tensor("logits", logits)
    coefficient = _check.finite_tensor("coefficient", coefficient)
    obs, action = _check.instance("trajectories", trajectories, Trajectories)[:2]
    _check.shape("coefficient", coefficient, obs.shape, "(n, T)")
    if logits.ndim != 2 or len(logits) <= obs.max() or logits.shape[1] <= action.max():
        seen = f"states up to {obs.max()} and actions up to {action.max()}"
        raise ValueError(f"logits has shape {tuple(logits.shape)}, wanted (S, A) for {seen}")
    probs = torch.softmax(logits, -1)
    terms = coefficient[..., None] * (torch.nn.functional.one_hot(action, probs.shape[1]) - probs[obs])
    index = obs[..., None].expand(terms.shape)
    return torch.zeros(len(obs), *probs.shape, dtype=torch.float64).scatter_add(1, index, terms)


def mean_and_variance(estimates: torch.Tensor, probability: torch.Tensor) -> tuple[torch.Tensor, float]:
    """E[g], of the shape of one estimate, and the variance E‖g − E[g]‖² (a trace), under the given probabilities.

    >>> mean_and_variance(torch.tensor([[1.0], [3.0]]), torch.tensor([0.5, 0.5]))
    (tensor([2.]), 1.0)
    """
    if _check.floating("estimates", estimates).ndim < 1:
        raise ValueError("estimates has shape (), wanted (n, ...)")
    _check.tensor("probability", _check.floating("probability", probability), estimates)
    _check.shape("probability", probability, estimates.shape[:1], "(n,), one for each of estimates")
    _check.probabilities("probability", probability.double())
    if not torch.isfinite(estimates).all():
        raise ValueError("estimates holds NaN or infinity; every entry must be finite")
    weight = probability.reshape(-1, *[1] * (estimates.ndim - 1))
    mean = (weight * estimates).sum(0)
    return mean, (weight * (estimates - mean).square()).sum().item()


def values_to_go(mdp: TabularMDP, probs, horizon: int) -> torch.Tensor:
    """Q^π with T − t steps to go, (T, S, A), t = 0 first: Q_t(s, a) = r(s, a) + Σ_s′ P(s′|s, a) V_{t+1}(s′), V_T = 0.

    >>> values_to_go(corridor(), torch.full((5, 2), 0.5), 2)[:, 4]  # rightmost square; then one step to go
    tensor([[0.5000, 1.5000],
            [0.0000, 1.0000]], dtype=torch.float64)
    """
    probs = _policy(mdp, "probs", probs)
    value, later = torch.zeros(mdp.n_states, dtype=torch.float64), []
    for _ in range(_check.count("horizon", horizon)):
        q = mdp.reward + mdp.transition @ value
        value = (probs * q).sum(-1)
        later.append(q)
    return torch.stack(later[::-1])


def visits(mdp: TabularMDP, probs, horizon: int) -> torch.Tensor:
    """P(s_t = s) of a policy, (T, S).

    >>> visits(corridor(3), torch.full((3, 2), 0.5), 2)
    tensor([[0.0000, 1.0000, 0.0000],
            [0.5000, 0.0000, 0.5000]], dtype=torch.float64)
    """
    probs, here, seen = _policy(mdp, "probs", probs), mdp.initial, []
    for _ in range(_check.count("horizon", horizon)):
        seen.append(here)
        here = torch.einsum("s,sa,sat->t", here, probs, mdp.transition)
    return torch.stack(seen)


def horizon_gradient(mdp: TabularMDP, logits, horizon: int, *, behavior=None) -> torch.Tensor:
    """∇J_T, (S, A), exact: Σ_t P(s_t = s) π(a|s) (Q_t(s, a) − V_t(s)).

    With `behavior`, the states are those that β visits: the gradient that one ratio, or a resampled action,
    leads to. Equation (3.6).

    >>> horizon_gradient(corridor(), torch.zeros(5, 2), 1)[1]  # one step: left earns 0.7, right nothing
    tensor([ 0.1750, -0.1750], dtype=torch.float64)
    """
    probs = _policy(mdp, "logits", torch.softmax(_check.finite_tensor("logits", logits), -1))
    behavior = probs if behavior is None else _policy(mdp, "behavior", behavior)
    q = values_to_go(mdp, probs, horizon)
    advantage = q - (probs * q).sum(-1, keepdim=True)
    seen = visits(mdp, behavior, horizon)
    return (seen[..., None] * probs * advantage).sum(0)


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
        """√(bias² + variance / n) over ‖∇J‖, (T,), Equation (3.7): how far off the mean of n is; 1: no step at all."""
        total = self.bias.square() + self.variance / _check.count("n", n)
        return total.sqrt() / self.target.flatten(1).norm(dim=1)


def weighting_moments(
    mdp: TabularMDP, logits, weighting: str, horizon: int, *, behavior=None, clip=None, baseline=None
) -> WeightedMoments:
    """Exact moments of one weighting, for every horizon up to `horizon`, by a recursion on second moments.

    The estimate of h steps is made of the next step and the estimate g′ of the h − 1 after it, so its mean and
    ‖g‖² follow from those of (z′, g′), where z′ = (W′, W′R′) for the whole product, (1, Σ W′r) for the causal ones
    and (1, 0) for a single ratio. No trajectory is listed: the cost grows with T and not with A^T.

    Parameters
    ----------
    logits : (S, A)
        The current softmax policy π.
    weighting : "none" | "whole" | "causal" | "single" | "resampled"
        See the module's table.
    behavior : (S, A) or None
        The probabilities of the policy β that wrote the trajectories; None: π itself. Where it is 0 an action that π
        takes is missing from the data, and the mean is off by as much.
    clip : float or None
        Every ratio is at most this, before products are formed.
    baseline : None | "value"
        "value" subtracts V^π(s_t), with T − t steps to go, from the return or from Q.

    Raises `TypeError` or `ValueError`, naming the argument, for what makes no sense.

    >>> m = weighting_moments(corridor(), torch.zeros(5, 2), "whole", 8)  # fresh data
    >>> bool(m.bias.max() < 1e-12)
    True
    """
    _check.choice("weighting", weighting, WEIGHTINGS)
    _check.choice("baseline", baseline, (None, "value"))
    if clip is not None:
        _check.positive("clip", clip)
    horizon = _check.count("horizon", horizon)
    logits = _check.finite_tensor("logits", logits).detach()
    if logits.ndim != 2:
        raise ValueError(f"logits has shape {tuple(logits.shape)}, wanted (S, A)")
    probs = _policy(mdp, "logits", torch.softmax(logits, -1))
    beta = probs if behavior is None else _policy(mdp, "behavior", behavior)
    ratio = torch.where(beta > 0, probs / beta.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    if weighting in ("none", "resampled"):
        ratio = torch.ones_like(ratio)
    elif clip is not None:
        ratio = ratio.clamp_max(clip)
    q = values_to_go(mdp, probs, horizon).flip(0)  # index h: with h + 1 steps to go
    value = (probs * q).sum(-1, keepdim=True) if baseline == "value" else torch.zeros_like(q[..., :1])
    moments = _Moments(mdp, probs)
    means, variances = [], []
    for h in range(horizon):
        if weighting == "resampled":
            moments.step_apart(beta, q[h] - value[h])
        else:
            moments.step(beta, *_step(weighting, ratio, mdp.reward, q[h], value[h]))
        mean = mdp.initial @ moments.g
        means.append(mean.view_as(probs))
        variances.append((mdp.initial @ moments.gg - mean.square().sum()).clamp_min(0.0))
    return WeightedMoments(torch.stack(means), _targets(mdp, probs, q), torch.stack(variances))


def _targets(mdp: TabularMDP, probs: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """∇J_h for h = 1 … T, (T, S, A): what the next state's logits add to those of the states after it."""
    own = probs * (q - (probs * q).sum(-1, keepdim=True))  # (T, S, A), h steps to go
    moved = torch.einsum("sa,sat->st", probs, mdp.transition)
    total, targets = torch.zeros(mdp.n_states, mdp.n_states, mdp.n_actions, dtype=torch.float64), []  # from each start
    for block in own:
        total = torch.diag_embed(block.T).movedim(0, -1) + torch.einsum("st,tua->sua", moved, total)
        targets.append(torch.einsum("s,sua->ua", mdp.initial, total))
    return torch.stack(targets)


def _step(weighting, ratio, reward, q, value) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The step's effect: z = A z′ (S, A, 2, 2), c = b · z′ (S, A, 2), and the factor of g′ (S, A)."""
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
    """First and second moments of (z, g) given the state, with no step to go at first: z = (1, 0), g = 0.

    All of them stand side by side in `now`, (S, 2 + 4 + D + 2 D + 1) with D = S · A: E z, E zzᵀ, E g, E z gᵀ, E‖g‖².
    """

    def __init__(self, mdp: TabularMDP, probs: torch.Tensor):
        n_states, n_actions = probs.shape
        size = n_states * n_actions
        own = torch.eye(n_states, dtype=torch.float64)[:, None, :, None]  # only the logits of s have a score in s
        onehot = torch.eye(n_actions, dtype=torch.float64)
        self.score = (own * (onehot[None, :, None, :] - probs[:, None, None, :])).reshape(n_states, n_actions, size)
        self.length = self.score.square().sum(-1)  # ‖∇log π(a|s)‖²
        self.shape, self.sizes, self.probs = (n_states, n_actions), (2, 4, size, 2 * size, 1), probs
        ending = torch.zeros(sum(self.sizes), dtype=torch.float64)
        ending[0] = ending[2] = 1  # z = (1, 0)
        self.now = ending.expand(n_states, -1)
        self.transition = mdp.transition.flatten(0, 1)
        self.ended = (1 - self.transition.sum(-1, keepdim=True)) * ending  # after termination nothing follows

    @property
    def g(self) -> torch.Tensor:
        """E[g | s], (S, D)."""
        return self.now.split(self.sizes, -1)[2]

    @property
    def gg(self) -> torch.Tensor:
        """E[‖g‖² | s], (S,)."""
        return self.now[:, -1]

    def _after(self) -> tuple[torch.Tensor, ...]:
        """Give the moments after (s, a): (S, A, 2, 1), (S, A, 2, 2), (S, A, D), (S, A, 2, D), (S, A)."""
        after = (self.transition @ self.now + self.ended).view(*self.shape, -1)
        z, zz, g, gz, gg = after.split(self.sizes, -1)
        return z[..., None], zz.unflatten(-1, (2, 2)), g, gz.unflatten(-1, (2, -1)), gg[..., 0]

    def step(self, beta, matrix, coefficient, carry) -> None:
        """Put one step, taken by β, in front."""
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

    def step_apart(self, beta, coefficient) -> None:
        """Put one step in front whose score is at an action of π, drawn apart from the one that β takes."""
        _, _, g, _, gg = self._after()
        later, later_square = (beta[..., None] * g).sum(1), (beta * gg).sum(1)
        here = ((self.probs * coefficient)[..., None] * self.score).sum(1)
        square = (self.probs * coefficient.square() * self.length).sum(1) + 2 * (here * later).sum(-1) + later_square
        ready = self.now.new_zeros(self.now.shape)
        ready[:, 6 : 6 + here.shape[1]], ready[:, -1] = here + later, square
        self.now = ready


def _policy(mdp: TabularMDP, name: str, probs) -> torch.Tensor:
    size = (_check.instance("mdp", mdp, TabularMDP).n_states, mdp.n_actions)
    return _check.distributions(name, probs, size, "(S, A)").detach()


def _endless(mdp: TabularMDP, behavior, horizon: int) -> tuple[torch.Tensor, int]:
    behavior = _policy(mdp, "behavior", behavior)
    if (mdp.transition.sum(-1) < 1 - 1e-9).any():
        raise ValueError("mdp has episodes that terminate, and trajectories of one length are wanted")
    return behavior, _check.count("horizon", horizon)
