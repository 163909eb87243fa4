"""Argument checks that say which argument, what came, and what was wanted."""

import math
from collections.abc import Sequence
from numbers import Integral, Real

import torch


def finite_tensor(name: str, value, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return `value` as a tensor of `dtype`, or raise an error that names the argument.

    A tensor keeps its graph. Raises `TypeError` for what is not numeric and `ValueError` for NaN or infinity.
    """
    try:
        if torch.as_tensor(value).is_complex():
            raise TypeError("it holds complex numbers")
        tensor = torch.as_tensor(value, dtype=dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be numeric, got {type(value).__name__}: {error}") from None
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name} holds NaN or infinity; every entry must be finite")
    return tensor


def shape(name: str, tensor: torch.Tensor, wanted: Sequence[int], meaning: str) -> None:
    """Raise `ValueError` unless `tensor` has exactly the shape `wanted`; `meaning` names it, as in "(S, A)"."""
    if tuple(tensor.shape) != tuple(wanted):
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, wanted {tuple(wanted)} = {meaning}")


def count(name: str, value, at_least: int = 1, at_most: int | None = None) -> int:
    """Return `value` as an int of at least `at_least`, and at most `at_most` where that is given, or raise."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    if value > 2**62:
        raise ValueError(f"{name} must be a number one can count to, got more than 2**62")
    if at_most is not None and value > at_most:
        raise ValueError(f"{name} must lie between {at_least} and {at_most}, got {value}")
    return int(value)


def number(name: str, value) -> float:
    """Return `value` as a finite float, or raise."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return float(value)


def generator(name: str, value) -> torch.Generator:
    """Return `value` if it is a local generator; `None` would mean the global random state, and is refused."""
    if not isinstance(value, torch.Generator):
        raise TypeError(f"{name} must be a torch.Generator, got {type(value).__name__}")
    return value


def discount(name: str, value) -> float:
    """Return `value` as a float in [0, 1), or raise."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number in [0, 1), got {value!r}")
    if not (math.isfinite(value) and 0 <= value < 1):
        raise ValueError(f"{name} must lie in [0, 1), got {value}")
    return float(value)


def choice(name: str, value, allowed: Sequence) -> None:
    """Raise `ValueError` unless `value` is one of `allowed`."""
    if not any(value is one or (type(value) is type(one) and value == one) for one in allowed):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")


def trailing_shape(name: str, tensor: torch.Tensor, wanted: Sequence[int], meaning: str) -> None:
    """Raise `ValueError` unless the last axes of `tensor` have the shape `wanted`."""
    if tuple(tensor.shape[max(0, tensor.ndim - len(wanted)) :]) != tuple(wanted):
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, wanted {tuple(wanted)} = {meaning} at the end")


def probabilities(name: str, tensor: torch.Tensor, at_most: bool = False) -> torch.Tensor:
    """Return `tensor` if its rows are distributions (with `at_most`, of mass at most 1), or raise."""
    if (tensor < 0).any():
        raise ValueError(f"{name} holds a negative probability, {tensor.min().item():.6g}")
    totals = tensor.sum(-1)
    wrong = totals > 1 + 1e-6 if at_most else (totals - 1).abs() > 1e-6
    if wrong.any():
        wanted = "at most 1 (what is missing terminates)" if at_most else "1"
        raise ValueError(f"{name} has a row that sums to {totals[wrong][0].item():.6g}, wanted {wanted}")
    return tensor
