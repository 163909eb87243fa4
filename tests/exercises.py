"""What the table of answers of every exercise must show, whichever notebook the exercise belongs to.

A test module derives `class TestAnswers(Answers)` and fills in its tables.
"""

import functools
import linecache
import re

import nbformat
import torch

from offac_lite.course import checks
from tests.refresh_notebooks import ROOT


def unwritten(*arguments):
    raise NotImplementedError


def documented(*arguments):
    """Do nothing yet."""


def unfinished(*arguments):
    return ...


STUBS = {"None": lambda *a: None, "NotImplementedError": unwritten, "docstring": documented, "...": unfinished}


def define(source: str, scope: dict) -> dict:
    """Run source in `scope` as a notebook runs a cell: Python can find the lines of its functions."""
    file = f"<cell {hash(source):x}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    exec(compile(source, file, "exec"), scope)
    return scope


diagnosed = functools.cache(checks.diagnose)  # two tests look at each wrong answer


class Answers:
    """The tests of the exercises of some notebooks.

    - `NOTEBOOKS`: names of their files. `RIGHT`: exercise → functions that are right; `WRONG`: (exercise, function,
      what the check must say, as a regular expression). `REVEALING`: code that no message may hold.
    - `ALSO`: exercises of earlier notebooks whose solutions stand here again.
    - `FUNCTIONS`: exercise → the name its function has in the notebook, where that is not `my_` and the exercise's.
    - `SCOPE`: names, besides `torch`, that the notebooks' solutions use.
    """

    NOTEBOOKS: tuple[str, ...] = ()
    RIGHT: dict = {}  # noqa: RUF012
    WRONG: list = []  # noqa: RUF012
    REVEALING: tuple[str, ...] = ()
    ALSO: tuple = ()
    FUNCTIONS: dict = {}  # noqa: RUF012
    SCOPE: dict = {}  # noqa: RUF012

    def pytest_generate_tests(self, metafunc):
        """Give each test its exercises and answers."""
        tables = {
            "right": [(exercise, answer) for exercise, answers in self.RIGHT.items() for answer in answers],
            "wrong": self.WRONG,
            "exercise": list(self.RIGHT),
            "told": [*self.RIGHT, *self.ALSO],
            "stub": list(STUBS),
        }
        for name, values in tables.items():
            if name in metafunc.fixturenames:
                ids = [getattr(v[0] if isinstance(v, tuple) else v, "name", v) for v in values]
                metafunc.parametrize(name, values, ids=ids)

    def test_right_answers_pass_however_written(self, right):
        exercise, function = right
        verdict, words = checks.diagnose(exercise, function)
        assert verdict is True and words, words

    def test_wrong_answers_fail_with_their_own_words(self, wrong):
        exercise, function, words = wrong
        verdict, said = diagnosed(exercise, function)
        assert verdict is False and re.search(words, said), said
        for revealing in self.REVEALING:
            assert revealing not in said

    def test_there_are_enough_answers_and_they_reach_every_named_mistake(self, exercise):
        wrong = [function for e, function, _ in self.WRONG if e is exercise]
        assert len(wrong) >= 5 and len(self.RIGHT[exercise]) >= 2
        said = "\n".join(diagnosed(exercise, function)[1] for function in wrong)
        assert not [words for _, words in exercise.mistakes if words not in said]

    def test_every_mistake_differs_from_the_right_answer_and_from_the_others(self, exercise):
        for wrong, words in exercise.mistakes:
            # as it stands, a planted bug is "not attempted yet"
            again = (lambda *a, planted=wrong: planted(*a)) if wrong is exercise.planted else wrong
            verdict, said = checks.diagnose(exercise, again)
            assert verdict is False and words in said, said

    def test_an_untouched_stub_is_not_attempted_and_the_notebook_goes_on(self, exercise, stub, capsys):
        usable = exercise(STUBS[stub])
        printed = capsys.readouterr().out
        assert printed.startswith(f"… {exercise.name}: not attempted yet") and "package's own version" in printed
        assert usable is exercise.right

    def test_a_right_function_is_handed_back_and_a_wrong_one_replaced(self, exercise, capsys):
        right = self.RIGHT[exercise][0]
        assert exercise(right) is right
        assert exercise(lambda *a: 1 / 0) is exercise.right
        assert re.fullmatch(r"✓ [\w ]+: .*\n✗ [\w ]+: .*\n.*\n", capsys.readouterr().out)

    def test_the_folded_solution_passes_and_the_notebook_s_stub_is_not_attempted(self, told):
        name = self.FUNCTIONS.get(told, f"my_{told.name}")
        cells = [c for n in self.NOTEBOOKS for c in nbformat.read(ROOT / "notebooks" / n, as_version=4).cells]
        texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
        blocks = [block for text in texts for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
        codes = [cell.source for cell in cells if cell.cell_type == "code"]
        for sources, wanted in ((blocks, True), (codes, None)):
            (source,) = [source for source in sources if re.search(rf"^def {name}\(", source, re.MULTILINE)]
            verdict, words = checks.diagnose(told, self._defined(source, name))
            assert verdict is wanted, words

    def _defined(self, source: str, name: str):
        """Run the imports and functions of a cell, none of its other lines, and return its function `name`."""
        kept = [part for part in re.split(r"\n(?=\S)", source) if re.match(r"def |import |from |@|\)", part)]
        scope = {"torch": torch} | self.SCOPE
        return define("\n".join(kept), scope)[name]
