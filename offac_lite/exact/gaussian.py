"""One state, one action, a Gaussian policy and a Q that is known: both gradient estimators, exactly.

The policy is a ~ N(μ, σ²), written a = μ + σε with ε ~ N(0, 1), and what is estimated is ∂/∂μ E[Q(a)]:

    score function   1/K · Σ_k ε_k/σ · (Q(μ + σε_k) − b)        needs the values of Q
    pathwise         1/K · Σ_k Q′(μ + σε_k)                     needs the slope of Q

Expectations over ε are sums over a fine grid: for smooth functions they are exact to rounding, for a Q with jumps to
about a thousandth.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from offac_lite import _check

ESTIMATORS = ("score", "pathwise")
BASELINES = (None, "value", "leave-one-out")


class Moments(NamedTuple):
    """Exact mean and variance of an estimate of ∂/∂μ E[Q(a)]: numbers, or tensors where several σ were asked for."""

    mean: float | torch.Tensor
    variance: float | torch.Tensor


def normal_grid(n: int = 2001, reach: float = 8.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Give n values of ε from −reach to reach and their weights under N(0, 1), which sum to 1; both (n,) float64.

    >>> noise, weight = normal_grid()
    >>> round((weight * noise**4).sum().item(), 9)  # E[ε⁴]
    3.0
    """
    reach, n = _check.positive("reach", reach), _check.count("n", n, at_least=3)
    noise = torch.linspace(-reach, reach, n, dtype=torch.float64)
    return noise, torch.softmax(-0.5 * noise.square(), 0)


def quadratic(action: torch.Tensor) -> torch.Tensor:
    """Q(a) = −½ (a − 1)²: one peak, at a = 1, of height 0.

    >>> quadratic(torch.tensor([1.0, 3.0]))
    tensor([-0., -2.])
    """
    return -0.5 * (_check.floating("action", action) - 1).square()


def two_humps(action: torch.Tensor) -> torch.Tensor:
    """Q(a) with a broad hill at a = −1 (height 0.6, width 0.5) and a narrow, higher one at a = 1 (1, width 0.25).

    >>> two_humps(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([0.6000, 0.0815, 1.0002])
    """
    _check.floating("action", action)
    return 0.6 * torch.exp(-2.0 * (action + 1).square()) + torch.exp(-8.0 * (action - 1).square())


def slope(q: Callable[[torch.Tensor], torch.Tensor], action: torch.Tensor) -> torch.Tensor:
    """Q′(a) of every action, by automatic differentiation; zero where Q does not depend on a.

    >>> slope(quadratic, torch.tensor([0.0, 1.0, 3.0]))
    tensor([ 1., -0., -2.])
    """
    action = _check.floating("action", action).detach().requires_grad_()
    total = _values(q, action).sum()
    return torch.autograd.grad(total, action)[0] if total.requires_grad else torch.zeros_like(action)


def expected(q: Callable[[torch.Tensor], torch.Tensor], mean: float, std: float) -> float:
    """V = E[Q(a)] for a ~ N(mean, std²).

    >>> expected(quadratic, 0.0, 0.5)  # −½ ((1 − μ)² + σ²)
    -0.625
    """
    mean, std = _check.number("mean", mean), _check.positive("std", std)
    noise, weight = normal_grid()
    return _rounded((weight * _values(q, mean + std * noise)).sum())


def gaussian_moments(
    q: Callable[[torch.Tensor], torch.Tensor],
    mean: float,
    std: float | Sequence[float],
    estimator: str = "score",
    *,
    action_samples: int = 1,
    baseline: str | None = None,
) -> Moments:
    """Compute the exact mean and variance of an estimate of ∂/∂μ E[Q(a)] from K actions a ~ N(mean, std²).

    `estimator` "score", Equation (7.3), weights ∂ log π/∂μ = ε/σ by Q − b, with b = 0 (`baseline` None), V = E[Q(a)]
    ("value"), or the mean of the other K − 1 values ("leave-one-out": Var = v/K + (g² + Var Q/σ²) / (K(K − 1)), with v
    the variance of one action under the baseline V and g the exact gradient). "pathwise" averages Q′(a), and has no use
    for a baseline.

    >>> gaussian_moments(quadratic, 0.0, 0.5, "pathwise")  # mean 1 − μ, variance σ²
    Moments(mean=1.0, variance=0.25)
    >>> gaussian_moments(quadratic, 0.0, [0.5, 0.1], baseline="value").variance  # 2 (1 − μ)² + 2.5 σ²
    tensor([2.6250, 2.0250], dtype=torch.float64)
    """
    _check.choice("estimator", estimator, ESTIMATORS)
    _check.choice("baseline", baseline, BASELINES)
    k, mean = _check.count("action_samples", action_samples), _check.number("mean", mean)
    stds = _check.finite_tensor("std", std)
    if isinstance(std, bool) or not (stds > 0).all():
        raise ValueError(f"std must be above 0, got {std}")
    if baseline == "leave-one-out" and k < 2:
        raise ValueError("leave-one-out averages the other K − 1 actions: action_samples is 1, wanted at least 2")
    noise, weight = normal_grid()
    action = mean + stds[..., None] * noise
    if estimator == "pathwise":
        one = slope(q, action)
    else:
        value = _values(q, action).detach()
        centred = value - (weight * value).sum(-1, keepdim=True)
        one = noise / stds[..., None] * (value if baseline is None else centred)
    first = (weight * one).sum(-1)
    variance = (weight * (one - first[..., None]).square()).sum(-1) / k
    if estimator == "score" and baseline == "leave-one-out":
        spread = (weight * centred.square()).sum(-1) / stds.square()
        variance = variance + (first.square() + spread) / (k * (k - 1))
    return Moments(first, variance) if stds.ndim else Moments(_rounded(first), _rounded(variance))


def break_even_actions(q: Callable[[torch.Tensor], torch.Tensor], mean: float, std: float) -> float:
    """K*: the number of actions with Q itself that are as quiet as one action with the baseline V = E[Q(a)].

    >>> round(break_even_actions(lambda action: quadratic(action) + 10, 0.0, 0.1))
    4444
    """
    _check.positive("std", std)
    with_q, with_value = (gaussian_moments(q, mean, std, baseline=b).variance for b in (None, "value"))
    if with_value <= 1e-24 * with_q:  # nothing but rounding error
        return math.inf if with_q > 0 else 1.0
    return with_q / with_value


def _values(q: Callable[[torch.Tensor], torch.Tensor], action: torch.Tensor) -> torch.Tensor:
    """Call q, and raise `TypeError` or `ValueError` where it does not give a finite number for each action."""
    value = _check.tensor("what q returned", _check.function("q", q)(action))
    _check.shape("what q returned", value, action.shape, "one for each action")
    if not torch.isfinite(value).all():
        raise ValueError("what q returned holds NaN or infinity; every entry must be finite")
    return value


def _rounded(number: torch.Tensor) -> float:
    """Drop the last bits, which are rounding error."""
    return float(f"{number.item():.12g}")
