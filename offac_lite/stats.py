"""What many seeds show together: the interquartile mean, bootstrap intervals, and how many solved the task."""

import numpy as np
import torch
from scipy import stats

from offac_lite import _check


def _seeds_by(name: str, values) -> np.ndarray:
    values = _check.finite_tensor(name, values).detach().cpu().numpy()
    if values.ndim < 1 or not len(values):
        raise ValueError(f"{name} has shape {values.shape}, wanted (S, ...) with at least one seed")
    return values


def iqm(values) -> np.ndarray:
    """Interquartile mean over seeds, (S, ...) → (...): the mean of the middle half, which no single seed can sway.
    Of fewer than four seeds it is the mean of all.

    Raises `ValueError` for NaN: say first what a seed that was stopped counts for. Agarwal et al. (2021), section 4.3.

    >>> iqm([0.0, 1.0, 2.0, 300.0])
    array(1.5)
    """
    return np.asarray(stats.trim_mean(_seeds_by("values", values), 0.25, axis=0))


def interval(values, statistic=None, *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0):
    """Bootstrap interval (low, high) of a statistic over seeds, (S, ...) → two of (...): the percentiles of the
    statistic when S seeds are drawn again and again from the S there are, with replacement.

    `statistic(values, axis)` reduces that axis; by default it is the interquartile mean. The random numbers are
    `seed`'s own. Raises `ValueError` for fewer than two seeds, and for NaN. Efron & Tibshirani (1993), chapter 13.

    >>> low, high = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> bool(1 < low < 3 < high < 5)
    True
    """
    values = _seeds_by("values", values)
    if len(values) < 2:
        raise ValueError("values holds 1 seed, wanted at least 2: from one seed nothing can be said of others")
    result = stats.bootstrap(
        (values,),
        _trimmed if statistic is None else _check.function("statistic", statistic),
        axis=0,
        vectorized=True,
        confidence_level=_level(level),
        n_resamples=_check.count("n_resamples", n_resamples),
        method="percentile",
        rng=np.random.default_rng(_check.count("seed", seed, at_least=0)),
    )
    return result.confidence_interval.low, result.confidence_interval.high


def _level(level) -> float:
    if not 0 < _check.number("level", level) < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    return level


def _returns(returns) -> torch.Tensor:
    """Give returns (S, E) as a tensor; NaN and infinity may be in it."""
    try:
        returns = _check.tensor("returns", torch.as_tensor(returns))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"returns must be numeric, got {type(returns).__name__}: {error}") from None
    return returns


def _trimmed(values, axis):
    return stats.trim_mean(values, 0.25, axis=axis)


def solved_at(steps, returns, goal: float, in_a_row: int = 2) -> torch.Tensor:
    """Steps (S,) at which each seed first had `in_a_row` evaluations of at least `goal`; NaN where it never did.

    steps (E,), returns (S, E); a NaN return (a stopped seed) is below any goal.

    >>> solved_at([10, 20, 30], [[0.0, 9.0, 9.0], [9.0, 0.0, 9.0]], goal=9.0)
    tensor([30., nan], dtype=torch.float64)
    """
    steps = _check.finite_tensor("steps", steps)
    reached = _returns(returns) >= _check.number("goal", goal)
    if reached.ndim != 2 or steps.shape != reached.shape[1:]:
        seen = f"{tuple(reached.shape)} and steps {tuple(steps.shape)}"
        raise ValueError(f"returns has shape {seen}, wanted (S, E) and (E,)")
    if _check.count("in_a_row", in_a_row) > len(steps):
        return torch.full((len(reached),), torch.nan, dtype=steps.dtype)
    runs = reached.unfold(1, in_a_row, 1).all(-1)
    first = steps[in_a_row - 1 :].expand(len(runs), -1).where(runs, torch.inf).amin(1)
    return first.where(first.isfinite(), torch.nan)


def share_at_goal(returns, goal: float) -> float:
    """Share of the evaluations in the second half of the run, all seeds together, that reach `goal`.

    >>> share_at_goal([[0.0, 9.0, 9.0, 0.0]], goal=9.0)
    0.5
    """
    returns = _returns(returns)
    if returns.ndim != 2 or not returns.numel():
        raise ValueError(f"returns has shape {tuple(returns.shape)}, wanted (S, E) with at least one evaluation")
    return (returns[:, returns.shape[1] // 2 :] >= _check.number("goal", goal)).double().mean().item()


def proportion_interval(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a proportion, such as of seeds that solved the task.

    >>> [round(bound, 2) for bound in proportion_interval(32, 32)]
    [0.89, 1.0]
    """
    count, total = _check.count("count", count, at_least=0), _check.count("total", total)
    if count > total:
        raise ValueError(f"count = {count} is more than total = {total}")
    bounds = stats.binomtest(count, total).proportion_ci(_level(level), method="wilson")
    return float(bounds.low), float(bounds.high)
