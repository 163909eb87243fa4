# ruff: noqa: F403 (each module says in `__all__` which names are exercises)
"""Automatic checks of the exercises, a module for each notebook.

A check runs the student's function on small inputs and compares values *and gradients* with the right answer.
Where they differ, it compares them with what well-known mistakes would give, so that it can name the mistake. It
never raises for what a student wrote. `checks.q_target(my_q_target)` prints the verdict and returns a function that
the notebook can go on with: the student's where it is right, the package's own otherwise. For assignments,
`grade` returns the verdict as a number and `require` raises it.
"""

from collections.abc import Callable

from offac_lite.course.checks.exercise import Exercise, diagnose
from offac_lite.course.checks.settings import ordinary_torch

with ordinary_torch():  # the numbers of the exercises are made here
    from offac_lite.course.checks.continuous_actions import *
    from offac_lite.course.checks.evidence import *
    from offac_lite.course.checks.fixed_data import *
    from offac_lite.course.checks.notebook_01 import *
    from offac_lite.course.checks.notebook_02 import *
    from offac_lite.course.checks.notebook_03 import *
    from offac_lite.course.checks.notebook_04 import *
    from offac_lite.course.checks.notebook_05 import *
    from offac_lite.course.checks.notebook_06 import *
    from offac_lite.course.checks.notebook_07 import *
    from offac_lite.course.checks.stability import *

EXERCISES = {name: exercise for name, exercise in globals().items() if isinstance(exercise, Exercise)}
__all__ = ["EXERCISES", "Exercise", "diagnose", "grade", "require", *EXERCISES]


def grade(name: str, function: Callable) -> float:
    """Print the verdict on a student's function; return 1.0 where it is right, 0.0 where it is wrong or missing.

    `name` is that of the check: "q_target" for `checks.q_target`. Raises `ValueError` for a name that is none.

    >>> grade("bootstraps", lambda terminated, truncated: ~(terminated & truncated))
    ✗ bootstraps: an episode can end by termination alone: you forbid bootstrapping only where it is truncated as well
    0.0
    """
    verdict, words = _named(name).verdict(function)
    print(words)
    return float(verdict is True)


def require(name: str, function: Callable) -> None:
    """Raise `AssertionError`, with the words of the verdict, where a student's function is wrong or missing.

    `name` is that of the check: "q_target" for `checks.q_target`. Raises `ValueError` for a name that is none.

    >>> require("bootstraps", lambda terminated, truncated: ~terminated)
    >>> require("bootstraps", lambda terminated, truncated: None)
    Traceback (most recent call last):
        ...
    AssertionError: … bootstraps: not attempted yet (nothing is returned)
    """
    verdict, words = _named(name).verdict(function)
    if verdict is not True:
        raise AssertionError(words)


def _named(name: str) -> Exercise:
    if name not in EXERCISES:
        raise ValueError(f"name must be one of {', '.join(map(repr, sorted(EXERCISES)))}, got {name!r}")
    return EXERCISES[name]
