"""How a check judges a student's function: a tick, or what is wrong in words."""

import dis
import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

_HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise: the right answer, what to look at, and the mistakes that people make."""

    name: str
    right: Callable
    observe: Callable[[Callable], dict[str, torch.Tensor]]  # run a function; its values and gradients, by name
    mistakes: Sequence[tuple[Callable, str]]  # what a wrong function does, and what to say of it
    praise: str
    planted: Callable | None = None  # in "find the bug", the code as the notebook gives it
    stub: Callable | None = None  # the code as the notebook gives it, where that is not an empty function


class _Nothing(Exception):
    pass


class Refused(Exception):
    """What a check says at once of what a function did, in a student's words."""


def something(value):
    """Return what a student's function returned, if that is anything."""
    if value is Ellipsis or value is NotImplemented:
        raise NotImplementedError
    if value is None:
        raise _Nothing
    return value


def to_tensor(value) -> torch.Tensor:
    """Return what a student's function returned, a number as a tensor."""
    if isinstance(something(value), float | int):
        value = torch.tensor(float(value), dtype=torch.float64)
    if not isinstance(value, torch.Tensor):
        raise Refused(f"your function returned a {type(value).__name__}; a tensor is wanted")
    return value


def call(function: Callable, *args) -> torch.Tensor:
    """Call, and refuse a function that changes its arguments: their numbers, or whether a gradient flows."""
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    before = [(a.detach().clone(), a.requires_grad) for a in tensors]
    try:
        result = to_tensor(function(*args))
    except RuntimeError as error:
        if "leaf" in str(error):  # "a leaf Variable that requires grad is being used in an in-place operation"
            raise Refused(_IN_PLACE) from error
        raise
    for new, (old, learns) in zip(tensors, before, strict=True):
        if not torch.equal(old, new.detach()):
            raise Refused(_IN_PLACE)
        if new.requires_grad != learns:
            raise Refused(
                "your function changes one of its arguments: no gradient flows through it any more, for "
                "whoever uses it later; build a constant from it instead"
            )
    return result


_IN_PLACE = "your function changes one of its arguments in place; build a new tensor instead"


def call_loss(function: Callable, *args) -> torch.Tensor:
    """Call, and refuse a plain number besides."""

    def loss(*args):
        if isinstance(result := function(*args), float | int):
            raise Refused("a plain number is returned, through which no gradient can flow; a loss is a tensor")
        return result

    return call(loss, *args)


def gradient(output: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Give d(sum of output)/d(source), zero where no gradient flows."""
    if not output.requires_grad:
        return torch.zeros_like(source)
    (gradient,) = torch.autograd.grad(output.sum(), source, retain_graph=True, allow_unused=True)
    return torch.zeros_like(source) if gradient is None else gradient


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    """Tell whether all that was seen of the second function was seen of the first one too."""
    return all(
        one[k].shape == two[k].shape and torch.allclose(one[k].double(), two[k].double(), 1e-4, 1e-6, equal_nan=True)
        for k in two
    )


def diagnose(exercise: Exercise, function: Callable) -> tuple[bool | None, str]:
    """Judge a student's function: (True, praise), (False, what is wrong), or (None, "not attempted yet …").

    >>> from offac_lite.course.checks import V_TARGET
    >>> diagnose(V_TARGET, lambda reward, terminated, next_value, gamma: None)
    (None, 'not attempted yet (nothing is returned)')
    """
    if not callable(function):
        return False, f"a function is wanted, and this is a {type(function).__name__}"
    if untouched(function, exercise.planted):
        return None, "not attempted yet: the bug is still there"
    right = exercise.observe(exercise.right)
    try:
        seen = exercise.observe(function)
    except Refused as words:
        return False, str(words)
    except _Nothing:
        if untouched(function, empty) or untouched(function, exercise.stub):
            return None, _NOT_ATTEMPTED
        return False, "it returns nothing: is a return missing at the end, or in one of the branches?"
    except Exception as error:  # whatever the student's code does, the notebook goes on
        if type(error) is NotImplementedError and not error.args:  # with words it comes from PyTorch: "1 - d", say
            return None, _NOT_ATTEMPTED
        theirs = (f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent != _HERE)
        lines = [f.lineno for f in theirs]
        where = f" (line {lines[0]} of the cell or file)" if lines else ""
        return False, f"it stops with {type(error).__name__}: {error}{where}"
    if same(seen, right):
        return True, exercise.praise
    constants = {k for k, wanted in right.items() if "gradient" in k and not wanted.any()}  # nothing may flow there
    for watched, also in ((right, ""), ({k: right[k] for k in right.keys() - constants}, _LEAK)):
        for wrong, words in exercise.mistakes:
            try:
                if same(seen, {k: v for k, v in exercise.observe(wrong).items() if k in watched}):
                    return False, words + also
            except Exception:  # a mistake that cannot be made on these inputs
                continue
    for key, wanted in right.items():
        if seen[key].shape != wanted.shape:
            shapes = f"{key} has shape {tuple(seen[key].shape)}, and {tuple(wanted.shape)} is wanted"
            if seen[key].ndim > wanted.ndim and seen[key].numel() > wanted.numel() > 1:
                return False, f"{shapes}: two tensors of different shapes were broadcast against each other"
            return False, f"{shapes}: did you average over the right axes?"
    worst = next(k for k in right if not same({k: seen[k]}, {k: right[k]}))
    return False, f"{worst} is not what it should be; compare your line with what the text asks for, term by term"


_NOT_ATTEMPTED = "not attempted yet (nothing is returned)"
_LEAK = "; and besides, a gradient flows where a constant is wanted"


def empty():
    """Do what a stub does."""


def untouched(function: Callable, given: Callable | None) -> bool:
    """Tell whether `function` has the code of `given`, as it stands in the notebook, a docstring aside."""
    codes = [getattr(f and inspect.unwrap(f), "__code__", None) for f in (function, given)]
    if None in codes:
        return False
    one, two = ([(step.opname, step.argrepr or step.arg) for step in dis.get_instructions(code)] for code in codes)
    return one == two


def report(exercise: Exercise, function: Callable) -> Callable:
    """Print the verdict on a student's function, and return what the notebook goes on with."""
    verdict, words = diagnose(exercise, function)
    mark = {True: "✓", False: "✗", None: "…"}[verdict]
    print(f"{mark} {exercise.name}: {words}")
    if verdict:
        return function
    print("  The notebook goes on with the package's own version.")
    return exercise.right
