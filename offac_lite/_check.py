"""Argument checks whose errors name the argument, its value, and what was wanted."""

import math
import os
import tempfile
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike

T = TypeVar("T")
Numbers = torch.Tensor | ArrayLike
"""A tensor, or what NumPy makes an array of: an array, a list, a number."""


def finite_tensor(name: str, value: Numbers, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return `value` as a tensor of `dtype` on the CPU. A tensor keeps its graph.

    Raises `TypeError` for what is not numeric and `ValueError` for NaN, infinity, and whole numbers that are too large
    for `dtype`.
    """
    try:
        tensor = torch.as_tensor(value, dtype=dtype, device="cpu")
    except OverflowError:
        raise ValueError(f"{name} holds a number that is too large for {dtype}") from None
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be numeric, got {type(value).__name__}: {error}") from None
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name} holds NaN or infinity; every entry must be finite")
    whole_numbers_fit(name, value, 2**24 if dtype == torch.float32 else 2**53)
    return tensor


def whole_numbers_fit(name: str, value: Numbers, largest: int = 2**24) -> None:
    """Raise `ValueError` where `value` holds integers beyond `largest`, which floating-point numbers would round."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            return
        value = value.numpy(force=True)
    array = np.asarray(value)
    if array.dtype.kind in "iu" and array.size and (array.max() > largest or array.min() < -largest):
        limit = f"{largest} = 2**{largest.bit_length() - 1}"
        raise ValueError(f"{name} holds integers beyond {limit}, which would be rounded")


def tensor(name: str, value: Any) -> torch.Tensor:
    """Return `value`, or raise `TypeError` where it is not a tensor."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
    return value


def averaged(name: str, value: torch.Tensor, meaning: str, axes: int) -> torch.Tensor:
    """Return `value`, or raise where it holds no floating-point numbers, or has fewer than `axes` axes."""
    if not tensor(name, value).is_floating_point():
        raise TypeError(f"{name} has dtype {value.dtype}, wanted floating-point numbers")
    if value.ndim < axes or not value.numel():
        raise ValueError(f"{name} has shape {tuple(value.shape)}, wanted {meaning}, and not empty")
    return value


def same_shape(**tensors: torch.Tensor) -> None:
    """Raise unless all are tensors of one shape: (B,) against (B, 1) is an error, never a broadcast."""
    (first, reference), *others = tensors.items()
    tensor(first, reference)
    for name, other in others:
        if tensor(name, other).shape != reference.shape:
            raise ValueError(
                f"{name} has shape {tuple(other.shape)}, wanted {tuple(reference.shape)} like {first}: "
                "nothing is broadcast"
            )


def shape(name: str, tensor: torch.Tensor, wanted: Sequence[int], meaning: str) -> None:
    """Raise `ValueError` unless `tensor` has exactly the shape `wanted`; `meaning` names it, as in "(S, A)"."""
    if tuple(tensor.shape) != tuple(wanted):
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, wanted {tuple(wanted)} = {meaning}")


def trailing_shape(name: str, tensor: torch.Tensor, wanted: Sequence[int], meaning: str) -> None:
    """Raise `ValueError` unless the last axes of `tensor` have the shape `wanted`."""
    if tuple(tensor.shape[max(0, tensor.ndim - len(wanted)) :]) != tuple(wanted):
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, wanted {tuple(wanted)} = {meaning} at the end")


def count(name: str, value: Any, at_least: int = 1, at_most: int | None = None) -> int:
    """Return `value` as an int of at least `at_least` and, where that is given, at most `at_most`, or raise."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    number = int(value)
    if number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {number}")
    if at_most is not None and number > at_most:
        raise ValueError(f"{name} must lie between {at_least} and {at_most}, got {number}")
    return number


def number(name: str, value: Any) -> float:
    """Return `value` as a finite float, or raise."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return float(value)


def positive(name: str, value: Any, at_most: float = math.inf) -> float:
    """Return `value` as a finite float above 0, and at most `at_most`, or raise."""
    if not 0 < number(name, value) <= at_most:
        wanted = "be above 0" if at_most == math.inf else f"lie in (0, {at_most:g}]"
        raise ValueError(f"{name} must {wanted}, got {value}")
    return float(value)


def not_negative(name: str, value: Any) -> float:
    """Return `value` as a finite float of at least 0, or raise."""
    if number(name, value) < 0:
        raise ValueError(f"{name} must not be negative, got {value}")
    return float(value)


def discount(name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1], or raise."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number in [0, 1], got {value!r}")
    if not 0 <= float(value) <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")
    return float(value)


def sizes(name: str, value: Any) -> tuple[int, ...]:
    """Return a sequence of whole numbers, each at least 1, as a tuple, or raise."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a sequence of sizes such as (8,), got {value!r}")
    return tuple(count(f"each entry of {name}", size) for size in value)


def index(name: str, value: Any, size: int) -> int:
    """Return `value` as a place among `size`, negative ones counted from the end, or raise."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if not -size <= int(value) < size:
        raise IndexError(f"{name} must lie between {-size} and {size - 1}, got {value}")
    return int(value) % size


def generator(name: str, value: Any) -> torch.Generator:
    """Return `value`, or raise `TypeError` where it is no generator: for None PyTorch uses the global random state."""
    if not isinstance(value, torch.Generator):
        raise TypeError(f"{name} must be a torch.Generator, got {type(value).__name__}")
    return value


def device(name: str, value: Any) -> str:
    """Return the name of a device that can be used, or raise `ValueError`."""
    try:
        torch.Generator(str(value))
        torch.zeros(1, device=str(value))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"{name} must be one PyTorch can use here, such as 'cpu', got {value!r}: {reason}") from None
    return str(value)


def unwritable(path: Path) -> str | None:
    """Say why no file can be written at `path`; None where one can. What is there stays as it is.

    >>> unwritable(Path("no/such/folder/a.run"))
    'there is no folder no/such/folder'
    """
    if path.is_dir():
        return f"{path} is a folder, wanted a file"
    if not path.absolute().parent.is_dir():
        return f"there is no folder {path.parent}"
    existed = os.path.lexists(path)
    try:
        with path.open("ab"), tempfile.TemporaryFile(dir=path.absolute().parent):  # the file, and another beside it
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        return f"nothing can be written to {path}: {error.strerror}"
    return None


def one_of(name: str, value: T, allowed: Sequence[Any]) -> T:
    """Return `value` if it is one of `allowed`, or raise `ValueError`."""
    if not any(value is one or (type(value) is type(one) and value == one) for one in allowed):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")
    return value


def probabilities(name: str, tensor: torch.Tensor, at_most: bool = False) -> torch.Tensor:
    """Return `tensor` if its rows sum to 1 (with `at_most`, to at most 1) and nothing is negative, or raise."""
    if (tensor < 0).any():
        raise ValueError(f"{name} holds a negative probability, {tensor.min().item():.6g}")
    totals = tensor.sum(-1)
    wrong = ~(totals <= 1 + 1e-6) if at_most else ~((totals - 1).abs() <= 1e-6)  # NaN is wrong too
    if wrong.any():
        wanted = "at most 1 (what is missing terminates)" if at_most else "1"
        raise ValueError(f"{name} has a row that sums to {totals[wrong][0].item():.6g}, wanted {wanted}")
    return tensor


def distributions(name: str, value: Numbers, wanted: Sequence[int], meaning: str) -> torch.Tensor:
    """Return `value` as a float64 tensor of distributions of exactly the shape `wanted`, or raise."""
    result = finite_tensor(name, value)
    shape(name, result, wanted, meaning)
    return probabilities(name, result)


def table(name: str, value: Numbers, wanted: Sequence[int]) -> torch.Tensor:
    """Return `value` as a float64 table (S, A) of finite numbers, of exactly the shape `wanted`, or raise."""
    result = finite_tensor(name, value)
    shape(name, result, wanted, "(S, A)")
    return result
