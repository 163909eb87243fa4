"""Tabular TD for Q, exactly: what the target y = r + γ (1 − d) 1/M Σ Q(s′, a′_m) is made of, and where it leads.

`TabularMDP` knows expected rewards. The noise of a target needs the single outcomes (r, s′, d) as well, and those
are here; with them go data made of such outcomes, the exact distribution of y, and the exact mean and mean square
error of Q after any number of sampled updates.
"""

import itertools
import math
from dataclasses import dataclass, fields
from numbers import Integral

import numpy as np
import torch

from offac_lite import _check
from offac_lite.exact.mdp import with_table


@dataclass(frozen=True, eq=False)
class Transitions:
    """Transitions (s, a, r, s′, d), with what else was seen: the next action, and whether a limit cut the episode.

    Every field is (n,). `next_action` is what the same policy did at s′, also where the recording stopped there.
    """

    obs: torch.Tensor
    action: torch.Tensor
    reward: torch.Tensor
    next_obs: torch.Tensor
    terminated: torch.Tensor
    truncated: torch.Tensor
    next_action: torch.Tensor

    def __len__(self) -> int:
        """Count the transitions."""
        return len(self.obs)

    def sample(self, shape, generator: torch.Generator) -> "Transitions":
        """Draw transitions of the given shape, such as 64 or (S, 64), with replacement."""
        shape = (_check.count("shape", shape),) if isinstance(shape, Integral) else _check.sizes("shape", shape)
        index = torch.randint(len(self), shape, generator=_check.generator("generator", generator))
        return Transitions(*(getattr(self, field.name)[index] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What may follow each (s, a): O outcomes (r, s′, d) with their probabilities, and the distribution of s₀.

    probability, reward float64, next_obs int64 and terminated bool, all (S, A, O); initial (S,) float64. Where
    there are fewer outcomes than O the rest has probability 0. Functions that take them raise `TypeError` or
    `ValueError`, naming the argument, for a table that is not (S, A), NaN, or probabilities that do not sum to 1.

    >>> lake = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4")
    >>> lake.next_obs[14, 2], lake.reward[14, 2], lake.terminated[14, 2]  # from 14 to the right: slip down, go, slip up
    (tensor([14, 15, 10]), tensor([0., 1., 0.], dtype=torch.float64), tensor([False,  True, False]))
    """

    probability: torch.Tensor
    reward: torch.Tensor
    next_obs: torch.Tensor
    terminated: torch.Tensor
    initial: torch.Tensor

    @classmethod
    def from_gymnasium(cls, env_id: str, **kwargs) -> "Outcomes":
        """Read the table `P` of a Gymnasium environment, such as FrozenLake; the same outcome listed twice is one."""
        base = with_table(env_id, **kwargs)
        merged: list[list[dict]] = [[{} for _ in base.P[s]] for s in base.P]
        for s, actions in base.P.items():
            for a, rows in actions.items():
                for p, *outcome in rows:
                    key = int(outcome[0]), float(outcome[1]), bool(outcome[2])
                    merged[s][a][key] = merged[s][a].get(key, 0.0) + p
        most = max(len(cell) for row in merged for cell in row)
        empty = (0, 0.0, False), 0.0
        padded = [[[*cell.items(), *[empty] * (most - len(cell))] for cell in row] for row in merged]

        def table(pick, dtype):
            return torch.tensor([[[pick(*item) for item in cell] for cell in row] for row in padded], dtype=dtype)

        return cls(
            table(lambda outcome, p: p, torch.float64),
            table(lambda outcome, p: outcome[1], torch.float64),
            table(lambda outcome, p: outcome[0], torch.int64),
            table(lambda outcome, p: outcome[2], torch.bool),
            torch.as_tensor(base.initial_state_distrib, dtype=torch.float64),
        )

    @property
    def size(self) -> tuple[int, int]:
        """(S, A)."""
        return tuple(self.probability.shape[:2])

    def play(self, probs: torch.Tensor, episodes: int, generator: torch.Generator, max_steps: int = 100) -> Transitions:
        """Let the policy `probs` (S, A) play so many episodes side by side, each cut off after `max_steps`.

        >>> lake = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4")
        >>> data = lake.play(torch.full((16, 4), 0.25), 1000, torch.Generator().manual_seed(0))
        >>> 6_000 < len(data) < 9_000, bool((data.reward[~data.terminated] == 0).all())
        (True, True)
        """
        probs = _check.distributions("probs", probs, self.size, "(S, A)")
        _check.generator("generator", generator)
        episodes, max_steps = _check.count("episodes", episodes), _check.count("max_steps", max_steps)
        obs = torch.multinomial(self.initial, episodes, replacement=True, generator=generator)
        action = _draw(probs[obs], generator)
        rows = []
        for step in range(max_steps):
            which = _draw(self.probability[obs, action], generator)
            at = obs, action, which
            reward, next_obs, terminated = self.reward[at], self.next_obs[at], self.terminated[at]
            next_action = _draw(probs[next_obs], generator)
            truncated = ~terminated & (step == max_steps - 1)
            rows.append((obs, action, reward.float(), next_obs, terminated, truncated, next_action))
            obs, action = next_obs[~terminated], next_action[~terminated]
            if not len(obs):
                break
        return Transitions(*(torch.cat(column) for column in zip(*rows, strict=True)))


def _draw(probs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.multinomial(probs, 1, generator=generator)[:, 0]


def value_and_spread(probs: torch.Tensor, q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of Q(s, a) over a ~ π(·|s), each (S,), for probs and q (S, A).

    The mean is V(s), Equation (4.3); the variance over M is that of an estimate of V(s) by M actions.

    >>> value_and_spread(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 3.0]]))
    (tensor([2.]), tensor([1.]))
    """
    _check.same_shape(probs=_check.floating("probs", probs), q=_check.floating("q", q))
    value = (probs * q).sum(-1)
    return value, (probs * (q - value[:, None]).square()).sum(-1)


def target_variance(
    outcomes: Outcomes, probs: torch.Tensor, q: torch.Tensor, gamma: float, next_action_samples: int = 1
):
    """Variance of y = r + γ (1 − d) 1/M Σ_m Q(s′, a′_m), a′ ~ probs(·|s′), split in two, each (S, A).

        Var[y | s, a] = Var_{r, s′}(r + γ (1 − d) V(s′))  +  γ²/M · E_{s′}[(1 − d) Var_a′ Q(s′, a′)]

    The first comes from the environment and holds no M; the second is what M lowers. The exact sum over a′ is
    M → ∞. Equation (4.4), the law of total variance.

    >>> lake = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4", is_slippery=False)
    >>> world, actions = target_variance(lake, torch.full((16, 4), 0.25), torch.rand(16, 4), 0.99)
    >>> world.max().item()  # firm ground: the next state is certain
    0.0
    """
    gamma, next_action_samples = (
        _check.discount("gamma", gamma),
        _check.count("next_action_samples", next_action_samples),
    )
    value, spread = value_and_spread(*_tables(outcomes, probs, q))
    p, goes_on = outcomes.probability, (~outcomes.terminated).double()
    y = outcomes.reward + gamma * goes_on * value[outcomes.next_obs]
    from_world = (p * (y - (p * y).sum(-1, keepdim=True)).square()).sum(-1)
    return from_world, gamma**2 / next_action_samples * (p * goes_on * spread[outcomes.next_obs]).sum(-1)


def target_distribution(
    outcomes: Outcomes, probs, q, gamma: float, obs: int, action: int, next_action_samples: int = 1
):
    """Every value that y can take at (s, a), and its probability: two float64 vectors, by enumeration.

    An outcome that goes on is combined with every way in which M draws can fall on the A actions.

    >>> lake = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4", is_slippery=False)
    >>> q = torch.tensor([[0.0, 1.0, 2.0, 3.0]]).expand(16, 4)
    >>> y, p = target_distribution(lake, torch.full((16, 4), 0.25), q, 0.5, obs=0, action=2)
    >>> y.tolist(), p.tolist()
    ([1.5, 1.0, 0.5, 0.0], [0.25, 0.25, 0.25, 0.25])
    """
    probs, q = _tables(outcomes, probs, q)
    gamma, next_action_samples = (
        _check.discount("gamma", gamma),
        _check.count("next_action_samples", next_action_samples),
    )
    n_states, n_actions = outcomes.size
    obs = _check.count("obs", obs, at_least=0, at_most=n_states - 1)
    action = _check.count("action", action, at_least=0, at_most=n_actions - 1)
    counts = _counts(n_actions, next_action_samples)  # (C, A)
    ways = math.lgamma(next_action_samples + 1) - torch.lgamma(counts + 1).sum(-1)
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
        values.append(r + gamma * (counts @ q[s]) / next_action_samples)
        weights.append(p * log_p.exp())
    return torch.cat(values), torch.cat(weights)


def _tables(outcomes: Outcomes, probs, q) -> tuple[torch.Tensor, torch.Tensor]:
    """Give probs and q as float64 tensors (S, A) of the size of `outcomes`."""
    size = _check.instance("outcomes", outcomes, Outcomes).size
    probs, q = _check.distributions("probs", probs, size, "(S, A)"), _check.finite_tensor("q", q)
    _check.shape("q", q, size, "(S, A)")
    return probs, q


def _counts(n_actions: int, next_action_samples: int) -> torch.Tensor:
    """Every way to write next_action_samples as an ordered sum of n_actions whole numbers, (C, A)."""
    end = next_action_samples + n_actions - 1
    bars = [(-1, *places, end) for places in itertools.combinations(range(end), n_actions - 1)]
    return (torch.tensor(bars).diff(dim=-1) - 1).double()


@dataclass(frozen=True, eq=False)
class TDPath:
    """Q after 0, 1, …, U updates, over all the random numbers that there could be."""

    mean: torch.Tensor  # (U + 1, S, A), E[Q_t]
    variance: torch.Tensor  # (U + 1,), trace of Var[Q_t] over all (s, a)
    live: torch.Tensor  # (S,) bool: states that the data visits; elsewhere Q stays 0

    def distance(self, reference: torch.Tensor) -> torch.Tensor:
        """Root mean square error over the visited (s, a), (U + 1,), bias and noise together."""
        return (self.bias(reference).square() + self.variance / self._pairs).sqrt()

    def bias(self, reference: torch.Tensor) -> torch.Tensor:
        """Distance of the mean of Q_t alone, (U + 1,), in the same norm."""
        reference = _check.finite_tensor("reference", reference)
        _check.shape("reference", reference, self.mean.shape[1:], "(S, A)")
        return ((self.mean - reference)[:, self.live].square().sum((-2, -1)) / self._pairs).sqrt()

    @property
    def _pairs(self) -> int:
        return int(self.live.sum()) * self.mean.shape[-1]


def td_path(
    outcomes: Outcomes,
    data: torch.Tensor,
    next_probs: torch.Tensor,
    gamma: float,
    *,
    next_action_samples: int = 1,
    rate: float = 0.02,
    batch_size: int = 200,
    n_updates: int = 400,
) -> TDPath:
    """Follow the mean and the noise of Q through sampled TD updates from Q = 0, exactly and without sampling.

    One update draws `batch_size` transitions, (s, a) from `data` (S, A) with a fresh outcome and
    M = `next_action_samples` actions a′ ~ `next_probs`(·|s′), and adds `rate` · (y − Q(s, a)) to Q(s, a) for each. y is
    linear in Q, so the mean and the second moments of Q obey a linear recursion, and this is it. Its fixed point is the
    Q of `next_probs`.

    >>> lake = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4")
    >>> uniform = torch.full((16, 4), 0.25)
    >>> path = td_path(lake, torch.full((16, 4), 1 / 64), uniform, 0.99, n_updates=100)
    >>> path.mean.shape, bool(path.variance[-1] > 0)
    (torch.Size([101, 16, 4]), True)
    """
    shape = _check.instance("outcomes", outcomes, Outcomes).size
    data = _check.finite_tensor("data", data).detach()
    _check.shape("data", data, shape, "(S, A)")
    if (data < 0).any() or not data.sum() > 0:
        raise ValueError("data holds a negative share, or nothing but zeros")
    next_probs = _check.distributions("next_probs", next_probs, shape, "(S, A)").detach()
    gamma, rate = _check.discount("gamma", gamma), _check.positive("rate", rate)
    next_action_samples, batch_size = (
        _check.count("next_action_samples", next_action_samples),
        _check.count("batch_size", batch_size),
    )
    n_updates, live = _check.count("n_updates", n_updates), data.sum(-1) > 0
    n_live, n_actions = int(live.sum()), shape[-1]
    p, r, s2, d2 = (
        x[live].flatten(0, 1)  # (n, O), with n the number of (s, a) in play
        for x in (outcomes.probability, outcomes.reward, outcomes.next_obs, outcomes.terminated)
    )
    goes_on = p * ~d2
    if not live[s2[goes_on > 0]].all():
        raise ValueError("data must reach every state that can follow one that it visits")
    place = torch.zeros(shape[0], dtype=torch.int64).masked_scatter(live, torch.arange(n_live))[s2]

    def to_states(weight: torch.Tensor) -> np.ndarray:
        empty = torch.zeros(n_live * n_actions, n_live, dtype=torch.float64)
        return empty.scatter_add(1, place, gamma * goes_on * weight).numpy()

    pi = next_probs[live]
    average = torch.block_diag(*pi[:, None]).numpy()  # (L, n): V = average @ Q
    to_state, rewarded = to_states(torch.ones_like(r)), to_states(r)  # γ P(s′|s, a), and the same times r
    reward, reward_square = (p * r).sum(-1).numpy(), (p * r.square()).sum(-1).numpy()
    share = (data / data.sum())[live].flatten().numpy()
    push = rate * batch_size * share

    # With x = (1, Q), all of this is linear in E[x xᵀ]. E[Δ | x] = step @ x, Δ being what an update adds to Q.
    step = push[:, None] * np.column_stack([reward, to_state @ average - np.eye(len(share))])
    value, cross = np.pad(average, ((0, 0), (1, 0))), 2 * rewarded @ average
    onto_q = np.eye(len(share) + 1)[:, 1:] + (1 - 1 / batch_size) / 2 * step.T  # Q, and half of another transition's Δ
    second = np.zeros((len(share) + 1, len(share) + 1))
    second[0, 0] = 1.0
    means, variances = np.zeros((n_updates + 1, len(share))), np.zeros(n_updates + 1)
    for t in range(1, n_updates + 1):
        q, own = second[0, 1:], second.diagonal()[1:]  # E[Q] and E[Q²]
        v_square = (value @ second * value).sum(1)  # E[V²], and below E[Σ_a π Q²] − E[V²]
        spread = average @ own - v_square
        y_square = reward_square + cross @ q + gamma * (to_state @ (v_square + spread / next_action_samples))
        moved = step @ second  # E[Δ xᵀ]
        delta_square = push * (y_square - own) - 2 * moved.diagonal(1)  # of push · δ², as E[y²] − E[Q²] − 2 E[δ Q]
        half = moved @ onto_q
        second[1:, 1:] += half + half.T  # exactly symmetric, or rounding errors would grow
        second[1:, 0] += moved[:, 0]
        second[0, 1:] = second[1:, 0]
        second.flat[len(second) + 1 :: len(second) + 1] += rate * delta_square
        means[t], variances[t] = q, second.trace() - 1 - q @ q
    mean = torch.zeros(n_updates + 1, *shape, dtype=torch.float64)
    mean[:, live] = torch.from_numpy(means).view(n_updates + 1, n_live, n_actions)
    return TDPath(mean, torch.from_numpy(variances.clip(0)), live)
