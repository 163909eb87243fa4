"""Say how a student's function ended that did not return, and which known mistake ends so."""

import re
import traceback
import warnings
from collections.abc import Callable
from typing import Any

from offac_lite.course.checks import relations
from offac_lite.course.checks.nonfinite import NOT_THEIRS
from offac_lite.course.checks.observing import Observations, Refused, TooLong, same, words_of

_OF_TORCH = {
    "Boolean value of Tensor": "`not`, `and`, `or` and `if` ask for a single truth value, and a tensor holds many. For "
    "tensors there are ~, & and |",
    "Subtraction, the `-` operator, with a bool": "You subtract with a tensor of True and False as if it were one of "
    "numbers",
    "Negation, the `-` operator, on a bool": "You put a minus in front of a tensor of True and False as if it were one "
    "of numbers",
    "The size of tensor": "Two tensors meet whose axes do not match: is an axis of length 1 missing in one of them?",
    "Index tensor must have the same number of dimensions as input tensor": "`gather` wants an index with as many axes "
    "as the tensor has, and its result has as many",
}
"""What PyTorch's own errors mean, by their beginning. Many mistakes end in each of them."""


def stopped(exercise: Any, error: BaseException) -> str:
    """Say how a function ended that did not return."""
    if isinstance(error, Refused):
        return str(error)
    theirs = (f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(NOT_THEIRS))
    lines = [f.lineno for f in theirs]
    where = f" (line {lines[0]} of the cell or file)" if lines else ""
    if isinstance(error, TooLong):
        return f"it has not come back after {error.seconds:g} seconds: does one of its loops never end?{where}"
    shapes = relations.shapes(exercise.plain or exercise.right, exercise.observe) if "size" in words_of(error) else ""
    text = words_of(error).split("\n")[0].split(" of distribution ")[0][:300]
    return f"it stops with {type(error).__name__}: {text}{where}{shapes}"


def why(exercise: Any, error: BaseException, seen: Observations) -> str:
    """Say which known mistake stops in the same case with the same words, and shows the same before."""
    if not isinstance(error, RuntimeError | ValueError | IndexError):  # the others come of no kind of mistake
        return ""
    named = next((said for text, said in _OF_TORCH.items() if words_of(error).startswith(text)), "")
    of_all = () if named else exercise.kinds()
    tables = exercise.mistakes, ((kind.wrong, kind.clause) for kind in of_all if _may(kind, seen, error))
    for table, start in zip(tables, (". The reason may be this: ", ". That happens if "), strict=True):
        for wrong, words in table:
            stop = _stop(exercise, wrong)
            if stop and _ending(stop) == _ending(error) and same(seen, getattr(stop, "seen", {})):
                return f"{start}{words}"
    return f". {named}" if named else ""


def _ending(error: Exception) -> tuple:
    """Return what two exceptions have in common that differ at most in the order of two shapes."""
    return type(error), getattr(error, "case", ""), _text(words_of(error))


def _text(words: str) -> object:
    return sorted(re.findall(r"\d+", words)) if words.startswith("The size of tensor") else words


def _may(kind: Any, seen: Observations, error: Exception) -> bool:
    if "stands where" in kind.clause:  # of many mistakes that stop in the same way, hardly the one that was made
        return False
    if kind.stops or not seen:
        return _text(kind.stops) == _text(words_of(error))
    return same(seen, {k: v for k, v in kind.first.items() if k in seen})


def _stop(exercise: Any, wrong: Callable) -> Exception | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exercise.observe(wrong)
        except Exception as error:
            return error
    return None


def so_far(seen: Observations, error: BaseException) -> str:
    """Say in which cases it was right before it stopped."""
    cases = list(dict.fromkeys(k[k.index("(") :] for k in seen if "(" in k))
    return f"right {' and '.join(cases)}, but {getattr(error, 'case', 'later')}: " if cases else ""
