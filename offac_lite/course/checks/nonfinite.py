"""Say where the first NaN or infinity of a student's function comes from."""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode

from offac_lite.course.checks.observing import Observations

NOT_THEIRS = str(Path(torch.__file__).parent), str(Path(__file__).parent)


class _FirstNonFinite(TorchFunctionMode):
    """Note the first operation whose result holds NaN or infinity although its inputs do not."""

    found = ""

    def __torch_function__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if not self.found and isinstance(result, torch.Tensor) and result.is_floating_point():
            inputs = [a for a in args if isinstance(a, torch.Tensor) and a.is_floating_point()]
            for holds in (torch.isnan, torch.isinf):
                if holds(result).any() and not any(holds(a).any() for a in inputs):
                    name = getattr(operation, "__name__", "an operation")
                    self.found = f"it first appears in {_OPERATION.get(name, name)}{_line()}"
                    break
        return result


_OPERATION = {
    "log": "a logarithm",
    "log1p": "a logarithm",
    "div": "a division",
    "true_divide": "a division",
    "__truediv__": "a division",
    "__rtruediv__": "a division",
    "__rdiv__": "a division",
    "reciprocal": "a division",
    "sqrt": "a root",
    "pow": "a power",
    "__pow__": "a power",
    "std": "the spread of a single value",
    "var": "the variance of a single value",
    "mean": "the mean of nothing",
    "exp": "an exponential",
    "atanh": "the inverse of tanh",
    "__mul__": "a product",
    "mul": "a product",
}


def _line() -> str:
    frame = sys._getframe(2)
    while frame:
        if not frame.f_code.co_filename.startswith(NOT_THEIRS):
            return f" (line {frame.f_lineno} of the cell or file)"
        frame = frame.f_back
    return ""


def not_finite(observe: Callable, function: Callable, seen: Observations, right: Observations) -> str | None:
    """Say that a result holds NaN or infinity, and where that came from."""
    for key in right.keys() & seen.keys():
        strange = ~torch.isfinite(seen[key])
        if strange.any() and (seen[key].shape != right[key].shape or torch.isfinite(right[key][strange]).any()):
            break
    else:
        return None
    first = next(k for k in right if k in seen and not torch.isfinite(seen[k]).all())
    value = seen[first][~torch.isfinite(seen[first])].flatten()[0].item()
    with _FirstNonFinite() as watch:
        try:
            observe(function)
        except Exception:  # it has been seen once: this run is only for the place
            pass
    where = watch.found or "for some of the values that stand there a formula has no finite result or slope"
    return f"{first} holds {'NaN' if math.isnan(value) else 'infinity'}: {where}"
