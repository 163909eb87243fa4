"""Questions under a lab that tick themselves."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

State = Callable[[dict[str, Any], Any], bool]
"""`state(values, result)`: whether the controls' values, with the result that they gave, are the state."""


@dataclass(frozen=True)
class Question:
    """A question that a lab answers once its controls reach a state, or all of several, in any order.

    `answer` is shown from then on.
    """

    text: str
    reached: State | tuple[State, ...]
    answer: str

    @property
    def states(self) -> tuple[State, ...]:
        """All states that must be reached."""
        return self.reached if isinstance(self.reached, tuple) else (self.reached,)


class Checklist:
    """The questions of a lab, and which of them are ticked.

    A state counts when it is reached after it was not. So no question is ticked from the start.

    >>> checklist = Checklist([Question("When is it even?", lambda values, result: values["n"] % 2 == 0, "At 2.")])
    >>> for n in (0, 1, 2):
    ...     checklist.follow({"n": n}, None)
    ...     print(checklist.ticked)
    [False]
    [False]
    [True]
    """

    def __init__(self, questions: Sequence[Question]):
        self.questions = list(questions)
        self._met = [[False] * len(one.states) for one in self.questions]
        self._now = [[True] * len(one.states) for one in self.questions]

    @property
    def ticked(self) -> list[bool]:
        """Which questions are ticked."""
        return [all(met) for met in self._met]

    def follow(self, values: dict[str, Any], result: Any, tick: bool = True) -> None:
        """Note which states are reached now and were not before; only look, unless `tick`."""
        before = self._now
        self._now = [[bool(state(values, result)) for state in one.states] for one in self.questions]
        if tick:
            for met, was, now in zip(self._met, before, self._now, strict=True):
                met[:] = [m or (n and not w) for m, w, n in zip(met, was, now, strict=True)]

    def to_html(self) -> str:
        """Return the questions as a list, each ticked one with its answer."""
        rows = [
            f"<li>✓ {html.escape(one.text)} <b>{html.escape(one.answer)}</b></li>"
            if ticked
            else f"<li>○ {html.escape(one.text)}</li>"
            for one, ticked in zip(self.questions, self.ticked, strict=True)
        ]
        return f'<ul class="offac-lab-questions" aria-label="Questions">{"".join(rows)}</ul>' if rows else ""
