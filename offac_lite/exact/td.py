"""Tabular TD for Q, exactly: the distribution of the target y = r + γ (1 − d) 1/M Σ Q(s′, a′_m), and where it leads.

Everything is summed over the single outcomes (r, s′, d), without sampling: the mean and variance of y, all values of y,
and the mean and mean square error of Q after any number of sampled updates.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch

from offac_lite import _check
from offac_lite.exact._types import F64, PerState, PerStateAction, Probs, Table
from offac_lite.exact.outcomes import Outcomes


def value_and_spread(probs: torch.Tensor, q: torch.Tensor) -> tuple[PerState, PerState]:
    """Compute the mean and the variance of Q(s, a) over a ~ π(·|s), each (S,), for probs and q (S, A).

    The mean is V(s), Equation (4.3). The variance divided by M is that of an estimate of V(s) from M actions.

    >>> value_and_spread(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 3.0]]))
    (tensor([2.]), tensor([1.]))
    """
    _check.same_shape(probs=probs, q=q)
    value = (probs * q).sum(-1)
    return value, (probs * (q - value[:, None]).square()).sum(-1)


def target_variance(
    outcomes: Outcomes, probs: Probs, q: Table, gamma: float, next_action_samples: int = 1
) -> tuple[PerStateAction, PerStateAction]:
    """Compute the variance of y = r + γ (1 − d) 1/M Σ_m Q(s′, a′_m), a′ ~ probs(·|s′), in two parts, each (S, A).

        Var[y | s, a] = Var_{r, s′}(r + γ (1 − d) V(s′))  +  γ²/M · E_{s′}[(1 − d) Var_a′ Q(s′, a′)]

    The first part comes from the environment and does not depend on M. M lowers the second part, and the exact sum over
    a′ is M → ∞. Equation (4.4), the law of total variance. Raises `TypeError` or `ValueError` and names the argument,
    for a wrong shape, NaN, probabilities that do not sum to 1, γ outside [0, 1], and M below 1.

    >>> lake = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4", is_slippery=False)
    >>> world, actions = target_variance(lake, torch.full((16, 4), 0.25), torch.rand(16, 4), 0.99)
    >>> world.max().item()  # not slippery: the next state is certain
    0.0
    """
    gamma, m = _check.discount("gamma", gamma), _check.count("next_action_samples", next_action_samples)
    value, spread = value_and_spread(*_tables(outcomes, probs, q))
    p, goes_on = outcomes.probability, (~outcomes.terminated).double()
    y = outcomes.reward + gamma * goes_on * value[outcomes.next_obs]
    from_world = (p * (y - (p * y).sum(-1, keepdim=True)).square()).sum(-1)
    return from_world, gamma**2 / m * (p * goes_on * spread[outcomes.next_obs]).sum(-1)


def target_distribution(
    outcomes: Outcomes, probs: Probs, q: Table, gamma: float, obs: int, action: int, next_action_samples: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """List every value of y at (s, a) = (`obs`, `action`), and its probability: two float64 vectors.

    Each outcome that does not terminate is combined with every way to choose M next actions out of A. Raises the errors
    of `target_variance`.

    >>> lake = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4", is_slippery=False)
    >>> q = torch.tensor([[0.0, 1.0, 2.0, 3.0]]).expand(16, 4)
    >>> y, p = target_distribution(lake, torch.full((16, 4), 0.25), q, 0.5, obs=0, action=2)
    >>> y.tolist(), p.tolist()
    ([1.5, 1.0, 0.5, 0.0], [0.25, 0.25, 0.25, 0.25])
    """
    gamma, m = _check.discount("gamma", gamma), _check.count("next_action_samples", next_action_samples)
    probs, q = _tables(outcomes, probs, q)
    obs = _check.count("obs", obs, at_least=0, at_most=len(q) - 1)
    action = _check.count("action", action, at_least=0, at_most=q.shape[1] - 1)
    counts = _counts(q.shape[1], m)  # (C, A)
    ways = math.lgamma(m + 1) - torch.lgamma(counts + 1).sum(-1)
    values, weights = [], []
    for p, r, s, d in zip(
        *(x[obs, action] for x in (outcomes.probability, outcomes.reward, outcomes.next_obs, outcomes.terminated)),
        strict=True,
    ):
        if d or p == 0:
            values.append(r[None])
            weights.append(p[None])
            continue
        log_p = torch.xlogy(counts, probs[s]).sum(-1) + ways
        values.append(r + gamma * (counts @ q[s]) / m)
        weights.append(p * log_p.exp())
    return torch.cat(values), torch.cat(weights)


def _tables(outcomes: Outcomes, probs: Probs, q: Table) -> tuple[torch.Tensor, torch.Tensor]:
    return _check.distributions("probs", probs, outcomes.size, "(S, A)"), _check.table("q", q, outcomes.size)


def _counts(n_actions: int, m: int) -> torch.Tensor:
    """Return every way to write m as an ordered sum of n_actions whole numbers, (C, A)."""
    end = m + n_actions - 1
    bars = [(-1, *places, end) for places in itertools.combinations(range(end), n_actions - 1)]
    return torch.tensor(bars, **F64).diff(dim=-1) - 1


@dataclass(frozen=True, eq=False)
class TDPath:
    """Mean and variance of Q after 0, 1, …, U updates, over all random numbers of the updates."""

    mean: torch.Tensor  # (U + 1, S, A), E[Q_t]
    variance: torch.Tensor  # (U + 1,), trace of Var[Q_t] over all (s, a)
    live: torch.Tensor  # (S,) bool: states that the data visits; elsewhere Q stays 0

    def distance(self, reference: Table) -> torch.Tensor:
        """Compute the root mean square error over the visited (s, a), (U + 1,): bias and noise together."""
        return (self.bias(reference).square() + self.variance / self._pairs).sqrt()

    def bias(self, reference: Table) -> torch.Tensor:
        """Compute the error of the mean of Q_t, (U + 1,), in the same norm."""
        reference = _check.table("reference", reference, self.mean.shape[1:])
        return ((self.mean - reference)[:, self.live].square().sum((-2, -1)) / self._pairs).sqrt()

    @property
    def _pairs(self) -> int:
        return int(self.live.sum()) * self.mean.shape[-1]


def td_path(
    outcomes: Outcomes,
    data: Table,
    next_probs: Probs,
    gamma: float,
    *,
    next_action_samples: int = 1,
    rate: float = 0.02,
    batch_size: int = 200,
    n_updates: int = 400,
) -> TDPath:
    """Compute the mean and the variance of Q along sampled TD updates from Q = 0, exactly: nothing is sampled.

    One update draws `batch_size` transitions. *Data*: (s, a) from `data` (S, A), which need not sum to 1; a fresh
    outcome of (s, a); and M = `next_action_samples` actions a′ ~ `next_probs`(·|s′). For each transition it adds
    `rate` · (y − Q(s, a)) to Q(s, a). y is linear in Q, so the mean and the second moments of Q obey a linear
    recursion. Its fixed point is the Q of `next_probs`. Raises the errors of `target_variance`, and `ValueError` if a
    state can follow that the data never visits.

    >>> lake = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4")
    >>> uniform = torch.full((16, 4), 0.25)
    >>> path = td_path(lake, torch.full((16, 4), 1 / 64), uniform, 0.99, n_updates=100)
    >>> path.mean.shape, bool(path.variance[-1] > 0)
    (torch.Size([101, 16, 4]), True)
    """
    shape = outcomes.size
    data = _check.table("data", data, shape).detach()
    if (data < 0).any() or not data.sum() > 0:
        raise ValueError("data holds a negative share, or nothing but zeros")
    next_probs = _check.distributions("next_probs", next_probs, shape, "(S, A)").detach()
    gamma, rate = _check.discount("gamma", gamma), _check.positive("rate", rate)
    m, batch_size = _check.count("next_action_samples", next_action_samples), _check.count("batch_size", batch_size)
    n_updates, live = _check.count("n_updates", n_updates), data.sum(-1) > 0
    n_live, n_actions = int(live.sum()), shape[-1]
    p, r, s2, d2 = (
        x[live].flatten(0, 1)  # (n, O), where n counts the visited (s, a)
        for x in (outcomes.probability, outcomes.reward, outcomes.next_obs, outcomes.terminated)
    )
    goes_on = p * ~d2
    if not live[s2[goes_on > 0]].all():
        raise ValueError("data must reach every state that can follow one that it visits")
    place = (live.cumsum(0) - 1).clamp_min(0)[s2]  # the number of a state among the live ones

    def to_states(weight: torch.Tensor) -> np.ndarray:
        empty = torch.zeros(n_live * n_actions, n_live, **F64)
        return empty.scatter_add(1, place, gamma * goes_on * weight).numpy()

    pi = next_probs[live]
    average = torch.block_diag(*pi[:, None]).numpy()  # (n_live, n): V = average @ Q
    to_state, rewarded = to_states(torch.ones_like(r)), to_states(r)  # γ P(s′|s, a), and the same times r
    reward, reward_square = (p * r).sum(-1).numpy(), (p * r.square()).sum(-1).numpy()
    share = (data / data.sum())[live].flatten().numpy()
    push = rate * batch_size * share  # the expected learning rate of each (s, a) in one update

    # With x = (1, Q), all of this is linear in E[x xᵀ]. Δ is what one update adds to Q, and E[Δ | x] = step @ x.
    step = push[:, None] * np.column_stack([reward, to_state @ average - np.eye(len(share))])
    value, cross = np.pad(average, ((0, 0), (1, 0))), 2 * rewarded @ average
    onto_q = np.eye(len(share) + 1)[:, 1:] + (1 - 1 / batch_size) / 2 * step.T  # Q, and half of another transition's Δ
    second = np.zeros((len(share) + 1, len(share) + 1))
    second[0, 0] = 1.0
    means, variances = np.zeros((n_updates + 1, len(share))), np.zeros(n_updates + 1)
    for t in range(1, n_updates + 1):
        q, own = second[0, 1:], second.diagonal()[1:]  # E[Q] and E[Q²]
        v_square = (value @ second * value).sum(1)  # E[V²]
        spread = average @ own - v_square  # E[Σ_a π Q²] − E[V²]
        y_square = reward_square + cross @ q + gamma * (to_state @ (v_square + spread / m))
        moved = step @ second  # E[Δ xᵀ]
        delta_square = push * (y_square - own) - 2 * moved.diagonal(1)  # of push · δ², as E[y²] − E[Q²] − 2 E[δ Q]
        half = moved @ onto_q
        second[1:, 1:] += half + half.T  # exactly symmetric, or rounding errors would grow
        second[1:, 0] += moved[:, 0]
        second[0, 1:] = second[1:, 0]
        second.flat[len(second) + 1 :: len(second) + 1] += rate * delta_square
        means[t], variances[t] = q, second.trace() - 1 - q @ q
    mean = torch.zeros(n_updates + 1, *shape, **F64)
    mean[:, live] = torch.from_numpy(means).view(n_updates + 1, n_live, n_actions)
    return TDPath(mean, torch.from_numpy(variances.clip(0)), live)
