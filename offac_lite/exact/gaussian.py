"""One state, one action, a Gaussian policy and a known Q: both gradient estimators, exactly.

The policy is a ~ N(μ, σ²), written a = μ + σε with ε ~ N(0, 1). Both estimators estimate ∂/∂μ E[Q(a)]:

    score function   1/K · Σ_k ε_k/σ · (Q(μ + σε_k) − b)        needs the values of Q
    pathwise         1/K · Σ_k Q′(μ + σε_k)                     needs the slope of Q

Expectations over ε are sums over a fine grid. The sums are exact to rounding for a smooth Q, and to about a thousandth
for a Q with jumps.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch

from offac_lite import _check
from offac_lite.exact._types import F64, Baseline
from offac_lite.updates import BASELINES

QFunction = Callable[[torch.Tensor], torch.Tensor]  # Q(a) of each a: the same shape in and out
ESTIMATORS = ("score", "pathwise")


class Moments(NamedTuple):
    """Exact mean and variance of an estimate of ∂/∂μ E[Q(a)]: numbers for one σ, tensors (n,) for n of them."""

    mean: float | torch.Tensor
    variance: float | torch.Tensor


def normal_grid(n: int = 2001) -> tuple[torch.Tensor, torch.Tensor]:
    """Return n values of ε from −8 to 8, and their weights under N(0, 1), which sum to 1; both (n,) float64.

    >>> noise, weight = normal_grid()
    >>> round((weight * noise**4).sum().item(), 9)  # E[ε⁴]
    3.0
    """
    noise = torch.linspace(-8.0, 8.0, n, **F64)
    return noise, torch.softmax(-0.5 * noise.square(), 0)


def quadratic(action: torch.Tensor) -> torch.Tensor:
    """Compute Q(a) = −½ (a − 1)²: one peak, at a = 1, of height 0.

    >>> quadratic(torch.tensor([1.0, 3.0]))
    tensor([-0., -2.])
    """
    return -0.5 * (action - 1).square()


def two_humps(action: torch.Tensor) -> torch.Tensor:
    """Compute a Q(a) with two peaks: at a = −1 (height 0.6, width 0.5) and at a = 1 (height 1, width 0.25).

    >>> two_humps(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([0.6000, 0.0815, 1.0002])
    """
    return 0.6 * torch.exp(-2.0 * (action + 1).square()) + torch.exp(-8.0 * (action - 1).square())


def slope(q: QFunction, action: torch.Tensor) -> torch.Tensor:
    """Compute Q′(a) of each action by automatic differentiation. The slope is 0 if Q does not depend on a.

    >>> slope(quadratic, torch.tensor([0.0, 1.0, 3.0]))
    tensor([ 1., -0., -2.])
    """
    action = action.detach().requires_grad_()
    with torch.enable_grad():
        total = _values(q, action).sum()
    return torch.autograd.grad(total, action)[0] if total.requires_grad else torch.zeros_like(action)


def expected(q: QFunction, mean: float, std: float) -> float:
    """Compute V = E[Q(a)] for a ~ N(mean, std²).

    >>> expected(quadratic, 0.0, 0.5)  # −½ ((1 − μ)² + σ²)
    -0.625
    """
    mean, std = _check.number("mean", mean), _check.positive("std", std)
    noise, weight = normal_grid()
    return _rounded((weight * _values(q, mean + std * noise)).sum())


def gaussian_moments(
    q: QFunction,
    mean: float,
    std: float | Sequence[float],
    estimator: Literal["score", "pathwise"] = "score",
    *,
    action_samples: int = 1,
    baseline: Baseline = None,
) -> Moments:
    """Compute the exact mean and variance of an estimate of ∂/∂μ E[Q(a)] from K actions a ~ N(mean, std²).

    Parameters
    ----------
    q : function
        Q(a), finite, one number for each action.
    mean, std : float
        μ and σ of the policy. Several σ in a sequence give tensors instead of numbers.
    estimator : "score" | "pathwise"
        "score", Equation (C.3), multiplies ∂ log π/∂μ = ε/σ by Q − b. "pathwise" averages Q′(a) and ignores `baseline`.
    action_samples : int
        K.
    baseline : None | "value" | "leave-one-out"
        b = 0; b = V = E[Q(a)]; or the mean Q of the other K − 1 actions (K ≥ 2). For the last,
        Var = v/K + (g² + Var Q/σ²) / (K(K − 1)), with v the variance of one action under b = V, and g the exact
        gradient.

    Raises `TypeError` or `ValueError` and names the argument, for σ ≤ 0, NaN, K below 1, an unknown name, leave-one-out
    without a second action, and a Q that does not return one finite number for each action.

    >>> gaussian_moments(quadratic, 0.0, 0.5, "pathwise")  # mean 1 − μ, variance σ²
    Moments(mean=1.0, variance=0.25)
    >>> gaussian_moments(quadratic, 0.0, [0.5, 0.1], baseline="value").variance  # 2 (1 − μ)² + 2.5 σ²
    tensor([2.6250, 2.0250], dtype=torch.float64)
    """
    _check.one_of("estimator", estimator, ESTIMATORS)
    _check.one_of("baseline", baseline, BASELINES)
    k, mean = _check.count("action_samples", action_samples), _check.number("mean", mean)
    stds = _check.finite_tensor("std", std)
    if not (stds > 0).all():
        raise ValueError(f"std must be above 0, got {std}")
    if baseline == "leave-one-out" and k < 2 and estimator == "score":
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


def break_even_actions(q: QFunction, mean: float, std: float) -> float:
    """Compute K*: the number of actions with Q itself that are as noisy as one action with the baseline V = E[Q(a)].

    >>> round(break_even_actions(lambda action: quadratic(action) + 10, 0.0, 0.1))
    4444
    """
    with_q = float(gaussian_moments(q, mean, std).variance)
    with_value = float(gaussian_moments(q, mean, std, baseline="value").variance)
    if with_value <= 1e-24 * with_q:  # only rounding error
        return math.inf if with_q > 0 else 1.0
    return with_q / with_value


def _values(q: QFunction, action: torch.Tensor) -> torch.Tensor:
    """Call q, and raise `ValueError` if it does not return one finite number for each action."""
    value = q(action)
    _check.shape("what q returned", value, action.shape, "one for each action")
    if not torch.isfinite(value).all():
        raise ValueError("what q returned holds NaN or infinity; every entry must be finite")
    return value


def _rounded(number: torch.Tensor) -> float:
    """Drop the last bits, which are rounding error."""
    return float(f"{number.item():.12g}")
