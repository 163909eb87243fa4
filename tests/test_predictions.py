"""Predictions: the reply speaks to the option that was chosen, and every question of a notebook has its replies."""

import ast
import re

import nbformat
import pytest

from offac_lite.course import material, predictions

PATHS = material.notebooks()
TEXT = """## 02.1 · b

(a) It is less.

It is also more.

(b) Half of $x$.

(c) No.
"""


@pytest.fixture
def one_question(tmp_path, monkeypatch):
    (tmp_path / "02_replay_breaks_it.md").write_text(TEXT, encoding="utf-8")
    monkeypatch.setattr(predictions, "ANSWERS", tmp_path)
    predictions.questions.cache_clear()
    yield
    predictions.questions.cache_clear()


@pytest.mark.parametrize("answer", ["a", "A", "(a)", " a. "])
def test_a_wrong_choice_is_answered_and_then_the_right_one(one_question, answer):
    assert predictions.reply("02.1", answer) == (
        "**You chose (a).** It is less.\n\nIt is also more.\n\n**(b) is correct.** Half of $x$."
    )


def test_the_right_choice_is_answered_alone(one_question):
    assert predictions.reply("02.1", "b") == "**(b) is correct.** Half of $x$."


def test_without_an_answer_the_replies_are_folded_away(one_question):
    shown, folded = predictions.reply("02.1", "").split("<details>")
    assert shown == '*Not answered yet: write one of "a", "b", "c" as the second argument, and run the cell again.*\n\n'
    assert "correct" not in shown and "**(b) is correct.**" in folded and folded.endswith("</details>")


@pytest.mark.parametrize("answer", ["d", "ab", 3, None, ["a"]])
def test_what_is_no_option_is_named_and_the_notebook_goes_on(one_question, answer, capsys):
    predictions.predict("02.1", answer)
    assert f"`{answer!r}` is not an option: write one of" in predictions.reply("02.1", answer)


def test_a_question_that_is_none_is_refused(one_question):
    with pytest.raises(ValueError, match="question must be one of '02.1', got '02.9'"):
        predictions.predict("02.9", "a")


def asked(path) -> list[tuple[str, str, str]]:
    """The predictions of a notebook: name, answer, and the Markdown above."""
    found, above = [], ""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            above = cell.source
            continue
        calls = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
        calls = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "predict"]
        assert not calls or len(cell.source.splitlines()) == 1, "a prediction is a cell of its own"
        found += [(*(ast.literal_eval(argument) for argument in call.args), above) for call in calls]
    return found


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_each_question_of_a_notebook_is_unanswered_and_has_a_reply_to_each_of_its_options(path):
    file = predictions.ANSWERS / f"{path.stem}.md"
    given = re.findall(r"^## (\S+) · ", file.read_text(encoding="utf-8"), re.MULTILINE) if file.exists() else []
    assert [name for name, *_ in asked(path)] == given
    prefix = path.stem[:2] if path.stem[0].isdigit() else path.stem
    for name, answer, above in asked(path):
        question = predictions.questions()[name]
        last = above[above.rindex("**Predict.**" if "**Predict.**" in above else "**Diagnose.**") :]
        assert answer == "" and name.startswith(f"{prefix}.")
        assert list(question.replies) == re.findall(r"\((\w)\) ", "\n".join(re.findall(r"^>? ?- (.*)", last, re.M)))
        assert question.right in question.replies and all(question.replies.values())


def test_every_file_of_answers_belongs_to_a_notebook():
    assert {file.stem for file in predictions.ANSWERS.glob("*.md")} <= {path.stem for path in PATHS}
