"""The one mechanism behind every slider: controls → a pure function of their values → a redrawn figure → a picture.

What a lab draws belongs in `plots` and what it computes in the modules that the course teaches, so that a lab is only
their meeting; the labs themselves stand in `labs`.
"""

import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import ipywidgets
import traitlets

from offac_lite import _check
from offac_lite.course.stage import threads as _threads
from offac_lite.course.stage.screen import Screen


class Lab:
    """Controls, a computation and a view of its result, shown as one picture that follows the controls.

    - `controls`: name → ipywidgets value widget; one without a description is described by its name.
    - `compute(**values) -> result`: a pure function of the controls' values, named as they are.
    - `view`: has `.figure` (a `matplotlib.figure.Figure`, never one of pyplot's), `.artists` (every artist that
      `update` changes) and `.update(result)`, which changes those artists in place. Changing anything else (axis
      limits, a tick label, a new artist) is allowed and drawn, at about twice the time; what in a legend changes does
      not say so, set `legend.stale = True`. An Axes with artists in `.artists` must not lie over another one (no twin
      axes).
    - `summary(result) -> str`: one line that says in words what the picture shows, for those who cannot see it.
    - `button`: where `compute` is slow, the text of a button that must be pressed before anything is computed.
    - `play`: the name of a slider that gets a play button, which moves it on by itself.

    What `compute`, `view.update` or `summary` raise or print is shown under the picture, which keeps its last good
    state, until the next values that work; only in the constructor does an exception go through.
    """

    def __init__(
        self,
        controls: dict[str, ipywidgets.ValueWidget],
        compute: Callable[..., Any],
        view: Any,
        summary: Callable[[Any], str],
        button: str | None = None,
        play: str | None = None,
    ):
        self.controls, self._compute, self._view, self._summary = dict(controls), compute, view, summary
        self._lock = threading.RLock()  # a page's messages come on other threads than cells
        self._silent = False  # True while `set` changes several controls
        self.result: Any = None
        self.png, self.summary_text = b"", ""
        self.error: str | None = None

        self.screen = Screen(view)
        self._seen = self.values
        self._update(self._seen)

        width = self.screen.width
        rows = [self._described(name, control, width) for name, control in self.controls.items()]
        if play is not None:
            rows.append(_player(self.controls[play]))
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

    def set(self, **values) -> None:
        """Set controls by name and redraw once, as if the student had moved them.

        Raises `ValueError`, and changes nothing, for an unknown name or a value that the control does not take.
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
        """Display the picture, its line of text, and below them the live lab, which hides both while it lives."""
        self.screen.show(self.widget)

    _ipython_display_ = show

    def _on_change(self, _change=None) -> None:
        """Bring the picture up to the controls' values of now, whichever change this call was made for."""
        with self._lock:
            values = self.values
            if self._silent or values == self._seen:
                return
            self._seen = values
            with _threads.hearing() as heard:
                try:
                    self._update(values)
                except Exception as error:
                    place = traceback.extract_tb(error.__traceback__)[-1]
                    heard += [f"{type(error).__name__}: {error}\n(in {place.name}, line {place.lineno}. "]
                    heard += ["The picture still shows the last values that worked.)"]
            self.error = "".join(heard).strip() or None
            self._publish()

    def _on_click(self, button) -> None:
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

    def _described(self, name: str, control: ipywidgets.ValueWidget, width: int) -> ipywidgets.ValueWidget:
        control.description = getattr(control, "description", "") or name
        longest = max(len(getattr(c, "description", "") or n) for n, c in self.controls.items())
        if hasattr(control.style, "description_width"):
            control.style.description_width = f"{longest + 1}ch"
        control.layout.width, control.layout.max_width = "100%", f"{width}px"
        return control


def _player(slider: ipywidgets.IntSlider) -> ipywidgets.Play:
    """Make a play button for a slider; the two are linked in the page, so that playing needs no kernel to go on."""
    player = ipywidgets.Play(min=slider.min, max=slider.max, step=slider.step, interval=80, show_repeat=False)
    player.link = ipywidgets.jslink((player, "value"), (slider, "value"))
    return player


def steps_slider(steps: Sequence[int], description: str) -> ipywidgets.IntSlider:
    """Make a slider over environment steps that lie equally far apart, set to the last."""
    steps = [int(step) for step in steps]
    apart = steps[1] - steps[0] if len(steps) > 1 else 1
    if not steps or apart < 1 or any(after - before != apart for before, after in pairwise(steps)):
        raise ValueError(f"steps must rise by equal amounts, got {steps}")
    first, last = steps[0], steps[-1]
    return ipywidgets.IntSlider(last, first, last, apart, description=description)


def chosen(every: dict[str, ipywidgets.ValueWidget], names: Iterable[str] | None) -> dict[str, ipywidgets.ValueWidget]:
    """Give the controls of these names, in the order of `every`; all of them for None. Raises `ValueError`."""
    if isinstance(names, str):
        raise TypeError(f"controls must be a sequence of names such as ({names!r},), got {names!r}")
    names = list(every) if names is None else list(names)
    for name in names:
        _check.one_of("controls", name, list(every))
    return {name: control for name, control in every.items() if name in names}


def _set_control(controls: dict[str, ipywidgets.ValueWidget], name: str, value: Any) -> None:
    """Set one control, or raise `ValueError` where it does not take the value as it is."""
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
