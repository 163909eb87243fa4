"""Statistics over seeds: the interquartile mean, bootstrap intervals, and how many seeds solved the task.

SciPy's statistics are imported where they are used, because they load slowly.
"""

from collections.abc import Callable

import numpy as np
import torch

from offac_lite import _check
from offac_lite._check import Numbers


def _by_seed(values: Numbers) -> np.ndarray:
    """Return `values` (S, ...) as an array, or raise `ValueError` where there is no seed or a number is not finite."""
    array = _check.finite_tensor("values", values).numpy(force=True)
    if array.ndim < 1 or not len(array):
        raise ValueError(f"values has shape {array.shape}, wanted (S, ...) with at least one seed")
    return array


def iqm(values: Numbers) -> np.ndarray:
    """Return the interquartile mean over seeds, (S, ...) → (...): the mean of the middle half of the values.

    No single seed has much influence on it. Of fewer than four seeds it is the mean of all. Raises `ValueError` for
    NaN: decide first what a seed that was stopped counts as. Agarwal et al. (2021), section 4.3.

    >>> iqm([0.0, 1.0, 2.0, 300.0])
    array(1.5)
    """
    return _trimmed(_by_seed(values), axis=0)


def interval(
    values: Numbers,
    statistic: Callable[..., np.ndarray] | None = None,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bootstrap interval (low, high) of a statistic over seeds, (S, ...) → two of (...).

    S seeds are drawn, with replacement, from the S seeds of `values`, `n_resamples` times; the bounds are percentiles
    of the statistic of these. `statistic(values, axis)` reduces that axis; by default it is the interquartile mean.
    The random numbers start from `seed`. Raises `ValueError` for fewer than two seeds, and for NaN. Efron & Tibshirani
    (1993), chapter 13.

    >>> low, high = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> bool(1 < low < 3 < high < 5)
    True
    """
    from scipy import stats

    by_seed = _by_seed(values)
    if len(by_seed) < 2:
        raise ValueError("values holds 1 seed, wanted at least 2: one seed does not show how much seeds differ")
    result = stats.bootstrap(
        (by_seed,),
        _trimmed if statistic is None else statistic,
        axis=0,
        vectorized=True,
        confidence_level=_level(level),
        n_resamples=_check.count("n_resamples", n_resamples),
        method="percentile",
        rng=np.random.default_rng(_check.count("seed", seed, at_least=0)),
    )
    return result.confidence_interval.low, result.confidence_interval.high


def _level(level: float) -> float:
    if not 0 < _check.number("level", level) < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    return level


def _trimmed(values: np.ndarray, axis: int) -> np.ndarray:
    from scipy import stats

    return np.asarray(stats.trim_mean(values, 0.25, axis=axis))


def solved_at(steps: Numbers, returns: Numbers, goal: float, in_a_row: int = 2) -> torch.Tensor:
    """Return the step (S,) at which each seed first had `in_a_row` evaluations of at least `goal`; NaN where never.

    steps (E,), returns (S, E). A NaN return (a stopped seed) is below any goal.

    >>> solved_at([10, 20, 30], [[0.0, 9.0, 9.0], [9.0, 0.0, 9.0]], goal=9.0)
    tensor([30., nan], dtype=torch.float64)
    """
    steps = _check.finite_tensor("steps", steps)
    reached = torch.as_tensor(returns, device="cpu") >= _check.number("goal", goal)
    if reached.ndim != 2 or steps.shape != reached.shape[1:]:
        seen = f"{tuple(reached.shape)} and steps {tuple(steps.shape)}"
        raise ValueError(f"returns has shape {seen}, wanted (S, E) and (E,)")
    if _check.count("in_a_row", in_a_row) > len(steps):
        return torch.full((len(reached),), torch.nan, dtype=steps.dtype, device="cpu")
    runs = reached.unfold(1, in_a_row, 1).all(-1)
    first = steps[in_a_row - 1 :].expand(len(runs), -1).where(runs, torch.inf).amin(1)
    return first.where(first.isfinite(), torch.nan)


def share_at_goal(returns: Numbers, goal: float) -> float:
    """Return the share of evaluations that reach `goal`, in the second half of the run, over all seeds.

    >>> share_at_goal([[0.0, 9.0, 9.0, 0.0]], goal=9.0)
    0.5
    """
    returns = torch.as_tensor(returns, device="cpu")
    if returns.ndim != 2 or not returns.numel():
        raise ValueError(f"returns has shape {tuple(returns.shape)}, wanted (S, E) with at least one evaluation")
    return (returns[:, returns.shape[1] // 2 :] >= _check.number("goal", goal)).double().mean().item()


def proportion_interval(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a proportion, such as that of the seeds that solved the task.

    >>> [round(bound, 2) for bound in proportion_interval(32, 32)]
    [0.89, 1.0]
    """
    from scipy import stats

    count, total = _check.count("count", count, at_least=0), _check.count("total", total)
    if count > total:
        raise ValueError(f"count = {count} is more than total = {total}")
    bounds = stats.binomtest(count, total).proportion_ci(_level(level), method="wilson")
    return float(bounds.low), float(bounds.high)


def share_reversed(better: Numbers, worse: Numbers) -> torch.Tensor:
    """Compute the share of pairs, an agent of each method, in which the worse method is ahead.    Equation (6.3)

    `better` (n,) and `worse` (m,) hold a number for each agent; a tie counts half. This is the Mann–Whitney statistic
    over n · m, and 1 minus the probability of improvement of Agarwal et al. (2021), section 4.3.

    >>> share_reversed([500.0, 400.0], [450.0, 400.0])  # 450 > 400, and 400 = 400
    tensor(0.3750, dtype=torch.float64)
    """
    better, worse = _check.finite_tensor("better", better), _check.finite_tensor("worse", worse)
    for name, values in (("better", better), ("worse", worse)):
        if values.ndim != 1 or not len(values):
            raise ValueError(f"{name} has shape {tuple(values.shape)}, wanted (n,) with at least one agent")
    difference = worse - better[:, None]
    return ((difference > 0) + 0.5 * (difference == 0)).double().mean()
