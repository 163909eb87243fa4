"""The controls of labs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import ipywidgets
import traitlets

from offac_lite import _check


def log_slider(
    values: Sequence[int] = (1, 2, 4, 8, 16, 32, 64), value: int | None = None, description: str = ""
) -> ipywidgets.SelectionSlider:
    """Make a slider over numbers that double from one to the next, set to `value` or to the first.

    >>> log_slider(value=8, description="K").value
    8
    """
    value = values[0] if value is None else value
    return ipywidgets.SelectionSlider(options=list(values), value=value, description=description)


def steps_slider(steps: Sequence[int], description: str) -> ipywidgets.IntSlider:
    """Make a slider over evenly spaced environment steps, set to the last."""
    steps = [int(step) for step in steps]
    spacing = steps[1] - steps[0] if len(steps) > 1 else 1
    if not steps or spacing < 1 or any(after - before != spacing for before, after in pairwise(steps)):
        raise ValueError(f"steps must rise by equal amounts, got {steps}")
    first, last = steps[0], steps[-1]
    return ipywidgets.IntSlider(last, first, last, spacing, description=description)


def selected_controls(
    controls: dict[str, ipywidgets.ValueWidget], names: Iterable[str] | None
) -> dict[str, ipywidgets.ValueWidget]:
    """Return the controls of these names, in the order of `controls`; all of them if `names` is None.

    Raises `ValueError` for an unknown name.
    """
    if names is None:
        return controls
    names = list(names)
    for name in names:
        _check.one_of("controls", name, list(controls))
    return {name: control for name, control in controls.items() if name in names}


def set_control(controls: dict[str, ipywidgets.ValueWidget], name: str, value: Any) -> None:
    """Set one control. Raise `ValueError` if it changes the value or refuses it."""
    if name not in controls:
        raise ValueError(f"this lab has no control {name!r}; it has {', '.join(controls)}")
    control, reason = controls[name], ""
    try:
        control.value = value
        if control.value == value:
            return
    except (traitlets.TraitError, TypeError, ValueError) as error:
        reason = f": {error}"
    if hasattr(control, "options"):
        reason = f"; it takes one of {', '.join(map(repr, control.options))}"
    elif hasattr(control, "min") and hasattr(control, "max"):
        reason = f"; it takes values from {control.min} to {control.max}"
    raise ValueError(f"the control {name!r} does not take {value!r}{reason}")


def play_button(slider: ipywidgets.IntSlider) -> ipywidgets.Play:
    """Make a play button for a slider. The two are linked in the page, so playing does not wait for the kernel."""
    look = dict(interval=80, show_repeat=False)
    player = ipywidgets.Play(value=slider.value, min=slider.min, max=slider.max, step=slider.step, **look)
    player.link = ipywidgets.jslink((player, "value"), (slider, "value"))
    return player


def button_row(actions: Mapping[str, Callable[[], None]]) -> ipywidgets.HBox:
    """Make a row of buttons: text → what a press does. The row breaks where the page is narrow."""
    made = []
    for text, action in actions.items():
        made.append(ipywidgets.Button(description=text, layout={"width": "max-content"}))
        made[-1].on_click(lambda _button, action=action: action())
    row = ipywidgets.HBox(made)
    row.add_class("offac-buttons")
    return row
