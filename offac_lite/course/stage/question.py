"""Questions under a lab that tick themselves."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Question:
    """A question that a lab answers once its controls reach a state.

    `reached(values, result)` says whether the controls' values, with the result that they gave, are that state.
    `answer` is shown from then on.
    """

    text: str
    reached: Callable[[dict[str, Any], Any], bool]
    answer: str


class Checklist:
    """The questions of a lab, and which of them are ticked.

    A question is ticked when its state is reached after it was not. So no question is ticked from the start.

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
        self.ticked, self._reached = [False] * len(self.questions), [True] * len(self.questions)

    def follow(self, values: dict[str, Any], result: Any, tick: bool = True) -> None:
        """Tick the questions whose state is reached now and was not before; only look, unless `tick`."""
        before, self._reached = self._reached, [bool(one.reached(values, result)) for one in self.questions]
        if tick:
            for number, (was, now) in enumerate(zip(before, self._reached, strict=True)):
                self.ticked[number] |= now and not was

    def to_html(self) -> str:
        """Return the questions as a list, each ticked one with its answer."""
        rows = [
            f"<li>✓ {html.escape(one.text)} <b>{html.escape(one.answer)}</b></li>"
            if ticked
            else f"<li>○ {html.escape(one.text)}</li>"
            for one, ticked in zip(self.questions, self.ticked, strict=True)
        ]
        return f'<ul class="offac-lab-questions" aria-label="Questions">{"".join(rows)}</ul>' if rows else ""
