"""The buttons for the weight of log π, which several labs have."""

import ipywidgets

# A button cannot have the value None, which means that no button is pressed. So "none" stands for it.
_OPTIONS = [("Q itself", "none"), ("Q − V", "value"), ("leave-one-out", "leave-one-out")]


def baseline_buttons() -> ipywidgets.ToggleButtons:
    """Make the buttons for the weight of log π: Q itself, Q − V, or Q minus the mean of the other actions' Q."""
    return ipywidgets.ToggleButtons(options=_OPTIONS, value="none", description="weight")


def baseline_of(value: str | None) -> str | None:
    """Return the baseline for the value of a button.

    >>> baseline_of("none"), baseline_of("value")
    (None, 'value')
    """
    return None if value == "none" else value
