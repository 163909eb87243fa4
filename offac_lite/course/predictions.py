"""Predictions: a student commits to an answer, and the reply speaks to the answer that was chosen."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from IPython.display import Markdown, display

ANSWERS = Path(__file__).parent / "answers"


@dataclass(frozen=True)
class Question:
    """What is said to each option of a question of a notebook, and which option is right."""

    right: str
    replies: dict[str, str]


@cache
def questions() -> dict[str, Question]:
    """Read the replies to all predictions: the name of a question, such as "05.2", → `Question`.

    They stand in the folder `answers`, a file for each notebook: a heading `## 05.2 · b` names a question and its
    right option, and a paragraph that begins with "(a)" is what is said to a student who chose (a).
    """
    found = {}
    for file in sorted(ANSWERS.glob("*.md")):
        for block in re.split(r"^## ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            head, _, body = block.partition("\n")
            name, _, right = head.partition(" · ")
            parts = re.split(r"^\((\w)\) ", body, flags=re.MULTILINE)
            replies = {option: text.strip() for option, text in zip(parts[1::2], parts[2::2], strict=True)}
            found[name] = Question(right.strip(), replies)
    return found


def predict(question: str, answer: str = "") -> None:
    """Show the reply to `answer`, the letter of an option, and then the right answer.

    `question` is the name of a question of a notebook, such as "05.2". With "" nothing is answered yet: what is shown
    then is how to answer, and all replies folded away for a reader who has no kernel.

    Raises `ValueError` if there is no such question. An `answer` that is no option is named, and nothing is raised.
    """
    if question not in questions():
        raise ValueError(f"question must be one of {', '.join(map(repr, questions()))}, got {question!r}")
    display(Markdown(reply(question, answer)))


def reply(question: str, answer: str) -> str:
    """Return what `predict` shows, in Markdown."""
    right, replies = questions()[question].right, questions()[question].replies
    chosen = re.sub(r"[\s().]", "", answer).lower() if isinstance(answer, str) else repr(answer)
    everything = "\n\n".join(f"({option}) {text}" for option, text in replies.items())
    if chosen in replies:
        if chosen == right:
            return f"**({chosen}) is correct.** {replies[chosen]}"
        return f"**You chose ({chosen}).** {replies[chosen]}\n\n**({right}) is correct.** {replies[right]}"
    options = ", ".join(f'"{option}"' for option in replies)
    say = "Not answered yet" if not chosen else f"`{answer!r}` is not an option"
    folded = f"<details><summary>The answers</summary>\n\n**({right}) is correct.**\n\n{everything}\n\n</details>"
    return f"*{say}: write one of {options} as the second argument, and run the cell again.*\n\n{folded}"
