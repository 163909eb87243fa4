"""The class behind every lab: controls → a pure function of their values → a redrawn figure → a picture.

What a lab draws is defined in `plots`, what it computes in the package's other modules. The labs are in `labs`.
"""

import inspect
import threading
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ipywidgets

from offac_lite.course.plots.style import course_style
from offac_lite.course.stage import lifetime, threads
from offac_lite.course.stage.controls import button_row, play_button, set_control
from offac_lite.course.stage.question import Checklist, Question
from offac_lite.course.stage.screen import Screen, View


class ImpossibleChoice(ValueError):
    """Raised by a lab's computation where the values of its controls cannot be combined: it says what to choose."""


@dataclass(eq=False)
class _Run:
    """A computation that yields its results one after the other."""

    values: dict[str, Any]
    results: Generator
    tick: bool
    result: Any = None  # the last one so far
    printed: list[str] = field(default_factory=list)


class Lab:
    """Controls, a computation and a view of its result, shown as one picture that follows the controls.

    - `controls`: name → ipywidgets value widget; one without a description is described by its name.
    - `compute(**values) -> result`: a pure function of the controls' values, named as they are. A generator function
      yields results one after the other, and each is drawn. It runs on a thread of its own. A newer change ends it, or
      sets it aside if *Pin* was pressed.
    - `view`: the figure, see `screen.View`. If it has `pin`, there are the buttons *Pin* and *Reset*.
    - `summary(result) -> str`: one line that says in words what the picture shows, for those who cannot see it.
    - `play`: the name of a slider that gets a play button, which moves the slider.
    - `presets`: text of a button → the values of the controls that it sets.
    - `sample`: the name of an integer argument of `compute`. It starts at 0; the button *Another sample* adds 1.
    - `questions`: what the student should find; each is ticked when the controls reach the state that answers it.
    - `pinned`: pin the first result from the start.

    What `compute`, `view.update` or `summary` raise or print is shown under the picture until the next values that
    work. The picture keeps its last good state meanwhile. Only the constructor lets an exception through.
    """

    def __init__(
        self,
        controls: dict[str, ipywidgets.ValueWidget],
        compute: Callable[..., Any],
        view: View,
        summary: Callable[[Any], str],
        play: str | None = None,
        *,
        presets: Mapping[str, Mapping[str, Any]] | None = None,
        sample: str | None = None,
        questions: Sequence[Question] = (),
        pinned: bool = False,
    ):
        self.controls, self._sample = dict(controls), sample
        if sample is not None:
            self.controls[sample] = ipywidgets.BoundedIntText(0, 0, 2**31 - 1, description="another sample")
        self._compute, self._view, self._summary = compute, view, summary
        self._silent = False  # True while several controls change
        self._worker: threading.Thread | None = None
        self._run: _Run | None = None  # what the worker computes
        self._to_pin: _Run | None = None  # whose last result *Pin* waits for; if set aside, it goes on after `_run`
        self._checklist = Checklist(questions)
        self.summary_text, self.error = "", None

        self.screen = Screen(view)
        self._lock = self.screen.lock
        self._start = self._shown = self.values
        for preset in (presets or {}).values():
            self._set_controls(preset)
        self._set_controls(self._start)
        self._draw(_last(compute(**self._start)))
        self._checklist.follow(self._start, self.result, tick=False)
        self._pinned = self.result if pinned else None
        if pinned:
            self._show_pinned(self.result)

        rows = [self._styled(name, self.controls[name], self.screen.width) for name in controls]
        if play is not None:
            rows.append(play_button(self.controls[play]))
        actions = {}
        for control in self.controls.values():
            control.observe(lifetime.weak(self._on_change), names="value")
        if sample is not None:
            actions["Another sample"] = self._next_sample
        if hasattr(view, "pin"):
            actions |= {"Pin": self._pin, "Reset": self._reset}
        if actions:
            rows.append(button_row({text: lifetime.weak(action) for text, action in actions.items()}))
        if presets:
            rows.append(button_row({text: self._preset(dict(values)) for text, values in presets.items()}))
        self.widget = self.screen.box(rows)
        lifetime.close_with(self, self.widget)
        self._publish()

    @property
    def values(self) -> dict[str, Any]:
        """The controls' current values, by name."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def png(self) -> bytes:
        """The picture that the page shows."""
        return bytes(self.screen.picture.value)

    @property
    def running(self) -> bool:
        """Whether results are still being computed."""
        return self._worker is not None

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all results are computed and drawn."""
        if worker := self._worker:
            worker.join(timeout)

    def set(self, **values: Any) -> None:
        """Set controls by name and redraw once, as if the student had moved them.

        Return when all is computed, also what is to be pinned.

        Raises `ValueError` for an unknown name or a value that the control does not take; nothing changes then.
        """
        with self._lock:
            self._set_controls(values)
            if self.values != self._shown:
                self._run = None
        self.wait()
        self._follow(in_thread=False)

    def show(self) -> None:
        """Display the picture, its line of text, and below them the live lab, which hides the other two."""
        self.screen.show(self.widget, self)

    _ipython_display_ = show

    def _set_controls(self, values: Mapping[str, Any]) -> None:
        """Set controls without computing. Raise `ValueError` if one refuses its value; nothing changes then."""
        before, silent, self._silent = self.values, self._silent, True
        try:
            for name, value in values.items():
                set_control(self.controls, name, value)
        except ValueError:
            for name, value in before.items():
                self.controls[name].value = value
            raise
        finally:
            self._silent = silent

    def _on_change(self, _change=None) -> None:
        self._follow()

    def _follow(self, in_thread: bool = True, tick: bool = True) -> None:
        """Update the picture to the current values of all controls. So the last value wins."""
        with self._lock:
            values = self.values
            if self._silent or values == self._shown:
                return
            self._shown, self._run, printed = values, None, []
            with self._reported(printed):
                computed = self._compute(**values)
                if in_thread and inspect.isgenerator(computed):
                    self._run = _Run(values, computed, tick)
                    if self._worker is None:
                        self._worker = threading.Thread(target=_work, args=[weakref.ref(self)], daemon=True)
                        self._worker.start()
                    return
                self._draw(_last(computed))
                self._checklist.follow(values, self.result, tick)
            self._publish(printed)

    def _step(self) -> bool:
        """Compute one more result of a run. Return False when there is nothing left to compute."""
        with self._lock:
            run = self._run or self._to_pin
            if run is None:
                self._worker = None
                return False
        failed = True
        result = end = object()
        with self._reported(run.printed):
            result = next(run.results, end)
            failed = False
        with self._lock:
            ended = result is end
            if run is self._run:
                self._show_progress(run, result, ended, failed)
            elif not ended:  # a newer change has set it aside
                run.result = result
            if ended and run is self._to_pin:
                self._to_pin = None
                self._pin_last(run, failed)
        return True

    def _show_progress(self, run: _Run, result: Any, ended: bool, failed: bool) -> None:
        """Draw the new result of the present run, or end it."""
        with self._reported(run.printed):
            if not ended:
                self._draw(result)
                run.result = result
            elif not failed:
                self._checklist.follow(run.values, self.result, run.tick)
        if ended:
            self._run = None
        self._publish(run.printed)

    @contextmanager
    def _reported(self, printed: list[str]) -> Iterator[None]:
        """Append to `printed` what is printed and raised."""
        with threads.captured_output() as said:
            try:
                yield
            except ImpossibleChoice as error:
                said.append(f"{error}. The picture shows the last choice that was possible.")
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                said += [f"{type(error).__name__}: {error}\n(in {place.name}, line {place.lineno}. "]
                said += ["The picture still shows the last values that worked.)"]
        printed += said

    def _next_sample(self) -> None:
        self.controls[self._sample].value += 1
        self._follow()

    def _preset(self, values: dict[str, Any]) -> Callable[[], None]:
        set_values = lifetime.weak(self._set_and_follow)
        return lambda: set_values(values)

    def _set_and_follow(self, values: dict[str, Any], tick: bool = True) -> None:
        with self._lock:
            self._set_controls(values)
            self._follow(tick=tick)

    def _pin_last(self, run: _Run, failed: bool) -> None:
        """Pin the last result of a run that has ended, if it had any, and say why it failed."""
        error = "".join(run.printed) if failed else self.error or ""
        if failed and self._run is not None:
            self._run.printed.append(error)  # published again with what is computed now
        if run.result is None:
            self._publish([error])
        else:
            self._show_pinned(run.result, error)

    def _pin(self) -> None:
        """Pin the result of the present setting: the last one, when it is computed."""
        with self._lock:
            self._to_pin = self._run
            if self._run is None:
                self._show_pinned(self.result, self.error)

    def _reset(self) -> None:
        with self._lock:
            self._to_pin = None
            self._show_pinned(self._pinned)
            self._set_and_follow(self._start, tick=False)

    @course_style()
    def _show_pinned(self, result: Any, error: str | None = None) -> None:
        with self._lock:
            printed: list[str] = []
            with self._reported(printed):
                self._view.pin(result)
                self.screen.draw()
            self._publish(printed or [error or ""])

    @course_style()
    def _draw(self, result: Any) -> None:
        self._view.update(result)
        text = " ".join(self._summary(result).split())
        self.screen.draw()
        self.result, self.summary_text = result, text

    def _publish(self, printed: Sequence[str] = ()) -> None:
        self.error = "".join(printed).strip() or None
        self.screen.questions.value = self._checklist.to_html()
        self.screen.publish(self.screen.png, self.summary_text, self.error)

    def _styled(self, name: str, control: ipywidgets.ValueWidget, width: int) -> ipywidgets.ValueWidget:
        """Give a control its description and its width, in place."""
        control.description = getattr(control, "description", "") or name
        longest = max(len(getattr(c, "description", "") or n) for n, c in self.controls.items())
        if hasattr(control.style, "description_width"):
            control.style.description_width = f"{longest + 1}ch"
        control.layout.width, control.layout.max_width = "100%", f"{width}px"
        return control


def _last(computed: Any) -> Any:
    """Return a result, or the last of those that a generator yields."""
    return deque(computed, maxlen=1).pop() if inspect.isgenerator(computed) else computed


def _work(lab: "weakref.ref[Lab]") -> None:
    """Compute and draw as long as there is something to compute, and the lab lives."""
    while (alive := lab()) is not None and alive._step():
        del alive
