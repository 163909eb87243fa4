"""What several labs share: the buttons for the weight of log π, and how questions look at the controls."""

from collections.abc import Mapping
from typing import Any

import ipywidgets

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


_NOT_SHOWN = dict(baseline="none", action_samples=1)


def have(on: Mapping[str, Any], **wanted: Any) -> bool:
    """Say whether all these controls have these values. Without buttons the weight is Q; without a slider K is 1.

    >>> have(dict(action_samples=64), action_samples=64, baseline="none")
    True
    """
    return all(on.get(name, _NOT_SHOWN.get(name)) == value for name, value in wanted.items())
