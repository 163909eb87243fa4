"""Kinds of arguments, and the ways to spoil each: what `test_hostile` makes its calls of.

A kind is a right value and how wrong it can go. Each way to spoil it is a label, the value, and what must come of it:

- REFUSED: an error that the package itself raises, which names the argument;
- SAME: the answer to the right value; the spoiled one says the same in another way;
- EITHER: refused, or the answer to another value that says the same, which is given;
- PASSED: refused, or passed on: NaN or infinity in, NaN or infinity out, and no ordinary number.
"""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

REFUSED, SAME, EITHER, PASSED = "refused", "same", "either", "passed"
NAN, INF = float("nan"), float("inf")


class Spoiled(NamedTuple):
    label: str
    value: Any
    rule: str = REFUSED
    equivalent: Any = None


@dataclasses.dataclass
class Kind:
    """A right value. `but` names the ways that do no harm to it, or another rule for them."""

    value: Any
    but: Mapping[str, str | None] = dataclasses.field(default_factory=dict)

    def ways(self) -> Iterator[Spoiled]:
        for spoiled in self.spoil():
            rule = self.but.get(spoiled.label, spoiled.rule)
            if rule is not None:
                yield spoiled._replace(rule=rule)

    def spoil(self) -> Iterator[Spoiled]:
        yield Spoiled("None", None)
        yield Spoiled("text", "nonsense")
        yield Spoiled("object", object())


class Thing(Kind):
    """A network, an optimiser, an MDP, an environment, a generator …"""

    def spoil(self):
        yield from super().spoil()
        yield Spoiled("number", 3)
        yield Spoiled("tensor", torch.zeros(2))


class Count(Kind):
    least = 1

    def spoil(self):
        yield from super().spoil()
        yield from (Spoiled("below", self.least - 1), Spoiled("negative", -1), Spoiled("fraction", 2.5))
        yield from (Spoiled("nan", NAN), Spoiled("inf", INF), Spoiled("bool", True), Spoiled("list", [3]))
        yield from (Spoiled("complex", 3j), Spoiled("digits", "3"))
        yield Spoiled("float", float(self.value))
        yield Spoiled("numpy", np.int64(self.value), SAME)


class Natural(Count):
    least = 0


class Index(Kind):
    """A place in a sequence."""

    def spoil(self):
        yield from super().spoil()
        yield from (Spoiled("float", float(self.value)), Spoiled("beyond", 1000), Spoiled("before", -1000))
        yield from (Spoiled("bool", True), Spoiled("list", [0]), Spoiled("slice", slice(0, 2)), Spoiled("nan", NAN))
        yield Spoiled("numpy", np.int64(self.value), SAME)


class Number(Kind):
    """Any finite number."""

    outside: Sequence[float] = ()

    def spoil(self):
        yield from super().spoil()
        yield from (Spoiled("nan", NAN), Spoiled("inf", INF), Spoiled("-inf", -INF), Spoiled("digits", "0.5"))
        yield from (Spoiled("bool", True), Spoiled("list", [0.5]), Spoiled("complex", 0.5j))
        yield from (Spoiled(f"outside {number:g}", number) for number in self.outside)
        yield Spoiled("numpy", np.float64(self.value), SAME)
        yield Spoiled("float32", np.float32(self.value), EITHER, float(np.float32(self.value)))


class Positive(Number):
    outside = (0.0, -1.0)


class NotNegative(Number):
    outside = (-1e-9, -1.0)


class Discount(Number):
    outside = (-0.1, 1.0 + 1e-9, 1.5)


class Rate(Number):
    """In (0, 1]."""

    outside = (0.0, -0.1, 1.1)


class Level(Number):
    """In (0, 1)."""

    outside = (0.0, 1.0, -0.1, 1.5)


class Choice(Kind):
    def spoil(self):
        yield from super().spoil()
        yield from (Spoiled("number", 3), Spoiled("list", [self.value]), Spoiled("bytes", b"q"), Spoiled("bool", True))
        yield from (Spoiled("empty", ""), Spoiled("capitals", str(self.value).upper()))


class Flag(Kind):
    def spoil(self):
        yield from super().spoil()
        yield from (Spoiled("number", 1), Spoiled("array", np.ones(2, bool)))


class Path(Kind):
    def spoil(self):
        yield from (Spoiled("None", None), Spoiled("number", 3), Spoiled("object", object()))


class Function(Kind):
    def spoil(self):
        yield from super().spoil()
        yield from (Spoiled("number", 3), Spoiled("its answer", torch.zeros(2)))


class Real(Kind):
    """A tensor of floating-point numbers, and nothing but a tensor."""

    def spoil(self):
        x = self.value
        yield from super().spoil()
        yield from (Spoiled("number", 1.5), Spoiled("list", x.tolist()))
        yield Spoiled("numpy array", x.detach().numpy(), REFUSED, x)
        yield from shapes(x)
        yield from (Spoiled("nan", holding(x, NAN), PASSED), Spoiled("inf", holding(x, INF), PASSED))
        yield Spoiled("whole numbers", x.round().long(), EITHER, x.round())
        yield Spoiled("bool", x > 0, EITHER, (x > 0).to(x.dtype))
        yield Spoiled("requires grad", x.clone().requires_grad_(), SAME)
        yield Spoiled("strided", torch.stack([x, x], -1)[..., 0], SAME)


class Table(Kind):
    """Finite numbers as a list, an array or a tensor."""

    def spoil(self):
        x = self.value
        yield from super().spoil()
        yield from shapes(x)
        yield from (Spoiled("nan", holding(x, NAN)), Spoiled("inf", holding(x, INF)), Spoiled("-inf", holding(x, -INF)))
        yield Spoiled("objects", np.full(tuple(x.shape), None))
        yield Spoiled("texts", np.full(tuple(x.shape), "x").tolist())
        yield Spoiled("list", x.tolist(), SAME)
        yield Spoiled("numpy array", x.detach().numpy(), SAME)
        yield Spoiled("requires grad", x.clone().requires_grad_(), SAME)


class Probs(Table):
    """Rows that sum to 1."""

    def spoil(self):
        yield from super().spoil()
        yield from (Spoiled("twice", 2 * self.value), Spoiled("negative", self.value - 1.5))
        yield Spoiled("zeros", 0 * self.value)


class Whole(Kind):
    """A tensor of action or state numbers."""

    def spoil(self):
        x = self.value
        yield from super().spoil()
        yield from (Spoiled("number", 1), Spoiled("list", x.tolist()), Spoiled("float", x.float()))
        yield from (Spoiled("bool", x > 0), Spoiled("int32", x.int(), SAME), Spoiled("complex", x + 0j))
        yield from shapes(x)
        yield from (Spoiled("negative", holding(x, -1)), Spoiled("beyond", holding(x, 1000)))


class Mask(Kind):
    """A tensor of truth values."""

    def spoil(self):
        x = self.value
        yield from super().spoil()
        yield from (Spoiled("bare bool", True), Spoiled("list", x.tolist()), Spoiled("float", x.float()))
        yield from (Spoiled("whole numbers", x.long()), Spoiled("complex", x + 0j))
        yield from shapes(x)


def shapes(x: torch.Tensor) -> Iterator[Spoiled]:
    yield Spoiled("(B, 1)", x[..., None])
    if x.ndim:
        yield from (Spoiled("0-d", x.flatten()[0]), Spoiled("one fewer", x[..., :-1]), Spoiled("empty", x[..., :0]))
        yield from (Spoiled("one", x[..., :1]), Spoiled("no rows", x[:0]))
    if x.ndim > 1:
        yield from (Spoiled("flat", x.flatten()), Spoiled("row 0", x[0]))
        if x.shape[-1] != x.shape[-2]:
            yield Spoiled("swapped", x.mT)


def holding(x: torch.Tensor, number) -> torch.Tensor:
    x = x.detach().clone()
    x.view(-1)[-1] = number
    return x


# ----------------------------------------------------------------------------------------- what a call leaves behind


def state(x) -> list:
    """Everything that a refused call must leave as it was, of an argument: numbers, parameters, memory, settings."""
    if isinstance(x, torch.nn.Module):
        flags = [parameter.requires_grad for parameter in x.parameters()]
        return [*flags, *(value.clone() for value in x.state_dict().values())]
    if isinstance(x, torch.optim.Optimizer):
        return seen(copy.deepcopy(x.state_dict()))
    if isinstance(x, torch.Tensor):
        return [x.requires_grad, x.detach().clone()]
    if hasattr(x, "_memory"):  # a buffer
        return [x._memory.tobytes(), x._added.tolist()]
    if hasattr(x, "gym_env"):  # environments
        return [] if x._obs is None else [x._obs.clone(), x._lengths.tolist(), list(x._episodes)]
    if hasattr(x, "record"):  # a run
        return [x.steps, x.returns, *x.log.values()]
    if isinstance(x, dict):
        return [repr(x)]
    return []


def seen(answer) -> list[torch.Tensor]:
    """Give every number in an answer, whatever it is packed in."""
    if isinstance(answer, torch.Tensor):
        return [answer.detach()]
    if isinstance(answer, np.ndarray | bool | int | float | np.generic):
        return [torch.as_tensor(answer)]
    if dataclasses.is_dataclass(answer):
        return seen(tuple(vars(answer).values()))
    if isinstance(answer, Mapping):
        return seen(tuple(answer.values()))
    if isinstance(answer, tuple | list):
        return [number for part in answer for number in seen(part)]
    return []


def same(a: list, b: list) -> bool:
    """Compare what `seen` or `state` gave, NaN equal to NaN."""
    return len(a) == len(b) and all(map(_alike, a, b))


def _alike(x, y) -> bool:
    if isinstance(x, torch.Tensor) and isinstance(y, torch.Tensor):
        close = x.shape == y.shape and torch.allclose(x.double(), y.double(), rtol=1e-5, atol=1e-7, equal_nan=True)
        return bool(close)
    return type(x) is type(y) and x == y


def only_finite(answer: list[torch.Tensor]) -> bool:
    return all(torch.isfinite(number).all() for number in answer)


class Call(NamedTuple):
    function: Callable
    arguments: dict[str, Kind | Any]
    watched: tuple
    called: dict[str, str]
    """Other words for an argument in messages, as a pattern."""

    def plain(self) -> dict:
        return {name: kind.value if isinstance(kind, Kind) else kind for name, kind in self.arguments.items()}


# ------------------------------------------------------------------------------------- what a student may have set

RC_PARAMS = {
    "dark": {
        **{"axes.facecolor": "black", "figure.facecolor": "black", "savefig.facecolor": "black", "text.color": "white"},
        **{"xtick.color": "white", "axes.grid": True, "lines.linewidth": 9, "patch.linewidth": 9},
    },
    "TeX": {"text.usetex": True, "axes.formatter.use_mathtext": True, "path.sketch": (1, 100, 2)},
    "transparent": {
        **{"axes.facecolor": "none", "figure.facecolor": "none", "savefig.transparent": True, "savefig.bbox": "tight"},
        **{"text.antialiased": False, "text.hinting": "none", "lines.antialiased": False},
    },
    "large": {
        **{"font.size": 30, "axes.labelsize": 30, "legend.fontsize": 30, "xtick.labelsize": 30, "axes.titlesize": 30},
        **{"savefig.dpi": 30, "figure.dpi": 300, "figure.autolayout": True},
    },
}
"""Settings of Matplotlib, each of which changes every figure that obeys it."""


@contextlib.contextmanager
def _default_dtype():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


TORCH = {
    "set_default_dtype": _default_dtype,
    "set_default_device": lambda: torch.device("meta"),  # a device that holds no numbers: nothing can be read from it
    "set_grad_enabled": torch.no_grad,
}
"""Settings of PyTorch, each as a context."""
