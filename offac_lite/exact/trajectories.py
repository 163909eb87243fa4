"""Whole trajectories of T steps on a tabular MDP: list all of them, or sample some, and weight each.

Every episode has T steps, so nothing needs a discount: J_T(π) = E_π[Σ_{t<T} r_t], whatever the γ of the `TabularMDP`.
Every estimate is a sum over the steps of one trajectory of the old policy β,

    g = Σ_t c_t ∇log π(a_t|s_t).

`weightings` lists the choices of c_t, and computes the exact moments of each without a list of trajectories. For a
softmax policy, ∇log π(a|s) with respect to the logits of s is onehot(a) − π(·|s).
"""

from typing import NamedTuple

import torch

from offac_lite import _check
from offac_lite.equations import log_ratio
from offac_lite.exact._types import F64, Logits, Numbers, PerStateAction, Probs
from offac_lite.exact.mdp import TabularMDP

MOST_TRAJECTORIES = 1_000_000


class Trajectories(NamedTuple):
    """n trajectories of T steps, and the probability of each under the policy that made them."""

    obs: torch.Tensor
    """s_t, (n, T) int64."""
    action: torch.Tensor
    """a_t, (n, T) int64."""
    reward: torch.Tensor
    """r(s_t, a_t), (n, T)."""
    probability: torch.Tensor
    """(n,), sums to 1: exact if all trajectories are listed, 1/n if they were sampled."""


def corridor(n_squares: int = 5, near: float = 0.7, far: float = 1.0) -> TabularMDP:
    """Make a corridor of squares 0, 1, …: action 0 steps left, action 1 steps right, and a wall blocks the step.

    Each step that ends in the leftmost square earns `near`, each that ends in the rightmost square earns `far`.
    Episodes start in square 1, next to the near reward, and do not terminate.

    >>> corridor().reward[:, 1]
    tensor([0., 0., 0., 1., 1.], dtype=torch.float64)
    """
    n_squares = _check.count("n_squares", n_squares, at_least=3)
    transition = torch.zeros(n_squares, 2, n_squares, **F64)
    for square in range(n_squares):
        transition[square, 0, max(square - 1, 0)] = 1
        transition[square, 1, min(square + 1, n_squares - 1)] = 1
    reward = near * transition[:, :, 0] + far * transition[:, :, -1]
    initial = torch.zeros(n_squares, **F64)
    initial[1] = 1
    return TabularMDP(transition, reward, initial, gamma=0.99)


def all_trajectories(mdp: TabularMDP, behavior: Probs, horizon: int) -> Trajectories:
    """List every trajectory of T = `horizon` steps that β can make, with its exact probability, Equation (3.2).

    The list has up to S · (A · S)^T rows, or A^T if transitions are certain: for small T only. Raises `ValueError` for
    more than a million, and for an MDP in which episodes terminate, because here all have the same length.

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
            chance = chance.sum(-1, keepdim=True)  # the state after the last step is not needed
        row, taken, following = chance.nonzero(as_tuple=True)
        if len(row) > MOST_TRAJECTORIES:
            raise ValueError(f"horizon {horizon} makes more than {MOST_TRAJECTORIES} trajectories; take a smaller one")
        probability = chance[row, taken, following]
        action = torch.cat([action[row], taken[:, None]], 1)
        obs = torch.cat([obs[row], following[:, None]], 1)
    obs = obs[:, :horizon]
    return Trajectories(obs, action, mdp.reward[obs, action], probability)


def sample_trajectories(
    mdp: TabularMDP, behavior: Probs, horizon: int, n: int, *, generator: torch.Generator
) -> Trajectories:
    """Draw n independent trajectories of `horizon` steps from β. Raises the errors of `all_trajectories`.

    >>> t = sample_trajectories(corridor(), torch.full((5, 2), 0.5), 4, 10, generator=torch.Generator().manual_seed(0))
    >>> t.action.shape, t.probability[0]
    (torch.Size([10, 4]), tensor(0.1000, dtype=torch.float64))
    """
    behavior, horizon = _endless(mdp, behavior, horizon)
    _check.generator("generator", generator)
    state = torch.multinomial(mdp.initial, _check.count("n", n), replacement=True, generator=generator)
    states, actions = [], []
    for _ in range(horizon):
        action = torch.multinomial(behavior[state], 1, generator=generator)[:, 0]
        states.append(state)
        actions.append(action)
        state = torch.multinomial(mdp.transition[state, action], 1, generator=generator)[:, 0]
    obs, action = torch.stack(states, 1), torch.stack(actions, 1)
    return Trajectories(obs, action, mdp.reward[obs, action], torch.full((n,), 1 / n, **F64))


def effective_sample_size(log_weight: torch.Tensor) -> torch.Tensor:
    """Compute ESS = (Σw)² / Σw² of the weights w = exp(log_weight), along the last axis.      Equation (3.4)

    (..., n) → (...). The weighted mean is about as noisy as the mean of ESS unweighted draws. ESS is n if all weights
    are equal, and 1 if one weight dominates. A common factor of the weights does not change ESS, so no weight is too
    large to compute. The logarithm of a weight of 0 is −∞. Raises `ValueError` for NaN, +∞, and if all weights are 0.
    Kong (1992); Owen (2013), section 9.3.

    >>> effective_sample_size(torch.tensor([[0.0, 0.0, 0.0], [2000.0, -1.0, -1.0]]))
    tensor([3.0000, 1.0000])
    """
    share = torch.softmax(log_weight, -1)
    if torch.isnan(share).any():
        raise ValueError("log_weight holds NaN, +infinity, or −infinity alone: wanted weights of which one is above 0")
    return 1 / share.square().sum(-1)


def causal_weights(log_prob: torch.Tensor, behavior_log_prob: torch.Tensor) -> torch.Tensor:
    """Compute W_k = Π_{t≤k} π(a_t|s_t) / β(a_t|s_t), the weight of the reward r_k, detached. Equation (3.5)

    *Data*: log π and log β of the actions of β's trajectories, time along the last axis, (..., T); same shape out.
    Raises the errors of `log_ratio`. Precup et al. (2000).

    >>> causal_weights(torch.tensor([0.5, 0.5, 0.2]).log(), torch.tensor([0.25, 0.5, 0.4]).log())
    tensor([2.0000, 2.0000, 1.0000])
    """
    return log_ratio(log_prob, behavior_log_prob).cumsum(-1).exp()


def to_go(x: torch.Tensor) -> torch.Tensor:
    """Compute Σ_{k≥t} x_k along the last axis, (..., T): the sum from step t to the end.

    >>> to_go(torch.tensor([1.0, 2.0, 3.0]))
    tensor([6., 5., 3.])
    """
    return x.flip(-1).cumsum(-1).flip(-1)


def gradient_estimates(logits: Logits, trajectories: Trajectories, coefficient: Numbers) -> torch.Tensor:
    """Compute g = Σ_t c_t ∇log π(a_t|s_t) of each trajectory, (n, S, A), from c = `coefficient` (n, T).

    With the c of "whole" in `weightings` this is Equation (3.3). *Data*: trajectories of β; `logits` (S, A) are those
    of π. Raises `ValueError` for a wrong shape or NaN.

    >>> t = all_trajectories(corridor(3), torch.full((3, 2), 0.5), 1)  # one step left, one step right
    >>> gradient_estimates(torch.zeros(3, 2), t, torch.ones(2, 1))[:, 1]
    tensor([[ 0.5000, -0.5000],
            [-0.5000,  0.5000]], dtype=torch.float64)
    """
    logits = _check.finite_tensor("logits", logits)
    coefficient = _check.finite_tensor("coefficient", coefficient)
    obs, action = trajectories.obs, trajectories.action
    _check.shape("coefficient", coefficient, obs.shape, "(n, T)")
    if logits.ndim != 2 or len(logits) <= obs.max() or logits.shape[1] <= action.max():
        seen = f"states up to {obs.max()} and actions up to {action.max()}"
        raise ValueError(f"logits has shape {tuple(logits.shape)}, wanted (S, A) for {seen}")
    probs = torch.softmax(logits, -1)
    terms = coefficient[..., None] * (torch.nn.functional.one_hot(action, probs.shape[1]) - probs[obs])
    index = obs[..., None].expand(terms.shape)
    return torch.zeros(len(obs), *probs.shape, **F64).scatter_add(1, index, terms)


def mean_and_variance(estimates: torch.Tensor, probability: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Compute E[g], of the shape of one estimate, and the variance E‖g − E[g]‖² (a trace).

    `estimates` is (n, ...), and `probability` is (n,). Raises `ValueError` if it does not sum to 1.

    >>> mean_and_variance(torch.tensor([[1.0], [3.0]]), torch.tensor([0.5, 0.5]))
    (tensor([2.]), 1.0)
    """
    _check.shape("probability", probability, estimates.shape[:1], "(n,), one for each of estimates")
    _check.probabilities("probability", probability.double())
    weight = probability.reshape(-1, *[1] * (estimates.ndim - 1))
    mean = (weight * estimates).sum(0)
    return mean, (weight * (estimates - mean).square()).sum().item()


def values_to_go(mdp: TabularMDP, probs: Probs, horizon: int) -> torch.Tensor:
    """Compute Q^π with T − t steps to go, (T, S, A): Q_t(s, a) = r(s, a) + Σ_s′ P(s′|s, a) V_{t+1}(s′), V_T = 0.

    >>> values_to_go(corridor(), torch.full((5, 2), 0.5), 2)[:, 4]  # rightmost square; then one step to go
    tensor([[0.5000, 1.5000],
            [0.0000, 1.0000]], dtype=torch.float64)
    """
    probs = _policy(mdp, "probs", probs)
    value, later = torch.zeros(mdp.n_states, **F64), []
    for _ in range(_check.count("horizon", horizon)):
        q = mdp.reward + mdp.transition @ value
        value = (probs * q).sum(-1)
        later.append(q)
    return torch.stack(later[::-1])


def visits(mdp: TabularMDP, probs: Probs, horizon: int) -> torch.Tensor:
    """Compute P(s_t = s) of a policy, (T, S).

    >>> visits(corridor(3), torch.full((3, 2), 0.5), 2)
    tensor([[0.0000, 1.0000, 0.0000],
            [0.5000, 0.0000, 0.5000]], dtype=torch.float64)
    """
    probs, here, seen = _policy(mdp, "probs", probs), mdp.initial, []
    for _ in range(_check.count("horizon", horizon)):
        seen.append(here)
        here = torch.einsum("s,sa,sat->t", here, probs, mdp.transition)
    return torch.stack(seen)


def horizon_gradient(mdp: TabularMDP, logits: Logits, horizon: int, *, behavior: Probs | None = None) -> PerStateAction:
    """Compute ∇J_T, (S, A), exactly: Σ_t P(s_t = s) π(a|s) (Q_t(s, a) − V_t(s)).

    With `behavior`, P(s_t = s) is that of β: this is the mean of the estimates with one ratio or a resampled action.
    Equation (3.6).

    >>> horizon_gradient(corridor(), torch.zeros(5, 2), 1)[1]  # one step: left earns 0.7, right nothing
    tensor([ 0.1750, -0.1750], dtype=torch.float64)
    """
    probs = torch.softmax(_check.table("logits", logits, (mdp.n_states, mdp.n_actions)).detach(), -1)
    q = values_to_go(mdp, probs, horizon)
    advantage = q - (probs * q).sum(-1, keepdim=True)
    seen = visits(mdp, probs if behavior is None else _policy(mdp, "behavior", behavior), horizon)
    return (seen[..., None] * probs * advantage).sum(0)


def _policy(mdp: TabularMDP, name: str, probs: Probs) -> torch.Tensor:
    return _check.distributions(name, probs, (mdp.n_states, mdp.n_actions), "(S, A)").detach()


def _endless(mdp: TabularMDP, behavior: Probs, horizon: int) -> tuple[torch.Tensor, int]:
    behavior = _policy(mdp, "behavior", behavior)
    if (mdp.transition.sum(-1) < 1 - 1e-9).any():
        raise ValueError("mdp has episodes that terminate, and trajectories of one length are wanted")
    return behavior, _check.count("horizon", horizon)
