"""What several labs share: the buttons for the weight of log π, and how questions look at the controls."""

from collections.abc import Mapping
from typing import Any

import ipywidgets

from offac_lite.course.stage.lab import ImpossibleChoice

# A button cannot have the value None, which means that no button is pressed. So "none" stands for it.
_OPTIONS = [("Q itself", "none"), ("Q − V", "value"), ("leave-one-out", "leave-one-out")]


def baseline_buttons(leave_one_out: bool = True) -> ipywidgets.ToggleButtons:
    """Make the buttons for the weight of log π: Q itself, Q − V, or Q minus the mean of the other actions' Q."""
    options = _OPTIONS if leave_one_out else _OPTIONS[:2]
    return ipywidgets.ToggleButtons(options=options, value="none", description="weight")


def baseline_of(value: str | None) -> str | None:
    """Return the baseline for the value of a button.

    >>> baseline_of("none"), baseline_of("value")
    (None, 'value')
    """
    return None if value == "none" else value


def need_others(baseline: str | None, others: int) -> None:
    """Raise `ImpossibleChoice` for leave-one-out where a state has no other action.

    >>> need_others("leave-one-out", others=0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    offac_lite.course.stage.lab.ImpossibleChoice: Leave-one-out averages the other K − 1 actions: ...
    """
    if baseline == "leave-one-out" and others < 1:
        raise ImpossibleChoice("Leave-one-out averages the other K − 1 actions: choose a K of at least 2")


_NOT_SHOWN = dict(baseline="none", action_samples=1)


def have(on: Mapping[str, Any], **wanted: Any) -> bool:
    """Say whether all these controls have these values. Without buttons the weight is Q; without a slider K is 1.

    >>> have(dict(action_samples=64), action_samples=64, baseline="none")
    True
    """
    return all(on.get(name, _NOT_SHOWN.get(name)) == value for name, value in wanted.items())
