"""The class behind every lab: controls → a pure function of their values → a redrawn figure → a picture.

What a lab draws is defined in `plots`, what it computes in the package's other modules. The labs are in `labs`.
"""

import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import ipywidgets
import traitlets

from offac_lite import _check
from offac_lite.course.stage import threads
from offac_lite.course.stage.screen import Screen, View


class Lab:
    """Controls, a computation and a view of its result, shown as one picture that follows the controls.

    - `controls`: name → ipywidgets value widget; one without a description is described by its name.
    - `compute(**values) -> result`: a pure function of the controls' values, named as they are.
    - `view`: the figure, see `screen.View`.
    - `summary(result) -> str`: one line that says in words what the picture shows, for those who cannot see it.
    - `button`: the text of a button. Where it is given, a change is computed only when the button is pressed.
    - `play`: the name of a slider that gets a play button, which moves the slider.

    What `compute`, `view.update` or `summary` raise or print is shown under the picture until the next values that
    work. The picture keeps its last good state meanwhile. Only the constructor lets an exception through.
    """

    def __init__(
        self,
        controls: dict[str, ipywidgets.ValueWidget],
        compute: Callable[..., Any],
        view: View,
        summary: Callable[[Any], str],
        button: str | None = None,
        play: str | None = None,
    ):
        self.controls, self._compute, self._view, self._summary = dict(controls), compute, view, summary
        self._lock = threading.RLock()  # messages from the page arrive on another thread than the cells'
        self._silent = False  # True while `set` changes several controls
        self.result: Any = None
        self.png, self.summary_text = b"", ""
        self.error: str | None = None

        self.screen = Screen(view)
        self._shown = self.values
        self._update(self._shown)

        width = self.screen.width
        rows = [self._styled(name, control, width) for name, control in self.controls.items()]
        if play is not None:
            rows.append(_play_button(self.controls[play]))
        if button is not None:
            self._button = ipywidgets.Button(description=button, layout={"width": "max-content"})
            self._button.on_click(self._on_click)
            rows.append(self._button)
        else:
            for control in self.controls.values():
                control.observe(self._on_change, names="value")
        self.widget = self.screen.box(rows)
        self._publish()

    @property
    def values(self) -> dict[str, Any]:
        """The controls' current values, by name."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values: Any) -> None:
        """Set controls by name and redraw once, as if the student had moved them.

        Raises `ValueError` for an unknown name or a value that the control does not take; nothing changes then.
        """
        with self._lock:
            before = self.values
            self._silent = True
            try:
                for name, value in values.items():
                    _set_control(self.controls, name, value)
            except ValueError:
                for name, value in before.items():
                    self.controls[name].value = value
                raise
            finally:
                self._silent = False
            self._on_change()

    def show(self) -> None:
        """Display the picture, its line of text, and below them the live lab, which hides the other two."""
        self.screen.show(self.widget)

    _ipython_display_ = show

    def _on_change(self, _change=None) -> None:
        """Update the picture to the current values of all controls. So the last value wins."""
        with self._lock:
            values = self.values
            if self._silent or values == self._shown:
                return
            self._shown = values
            with threads.captured_output() as printed:
                try:
                    self._update(values)
                except Exception as error:
                    place = traceback.extract_tb(error.__traceback__)[-1]
                    printed += [f"{type(error).__name__}: {error}\n(in {place.name}, line {place.lineno}. "]
                    printed += ["The picture still shows the last values that worked.)"]
            self.error = "".join(printed).strip() or None
            self._publish()

    def _on_click(self, button: ipywidgets.Button) -> None:
        text, button.description = button.description, "Computing …"
        self._on_change()
        button.description = text

    def _update(self, values: dict[str, Any]) -> None:
        result = self._compute(**values)
        self._view.update(result)
        text = " ".join(self._summary(result).split())
        self.png = self.screen.draw()
        self.result, self.summary_text = result, text

    def _publish(self) -> None:
        self.screen.publish(self.png, self.summary_text, self.error)

    def _styled(self, name: str, control: ipywidgets.ValueWidget, width: int) -> ipywidgets.ValueWidget:
        """Give a control its description and its width, in place."""
        control.description = getattr(control, "description", "") or name
        longest = max(len(getattr(c, "description", "") or n) for n, c in self.controls.items())
        if hasattr(control.style, "description_width"):
            control.style.description_width = f"{longest + 1}ch"
        control.layout.width, control.layout.max_width = "100%", f"{width}px"
        return control


def _play_button(slider: ipywidgets.IntSlider) -> ipywidgets.Play:
    """Make a play button for a slider. The two are linked in the page, so playing does not wait for the kernel."""
    player = ipywidgets.Play(min=slider.min, max=slider.max, step=slider.step, interval=80, show_repeat=False)
    player.link = ipywidgets.jslink((player, "value"), (slider, "value"))
    return player


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


def _set_control(controls: dict[str, ipywidgets.ValueWidget], name: str, value: Any) -> None:
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
