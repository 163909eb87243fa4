"""For instructors: make student copies of the notebooks. `python -m offac_lite copies FOLDER` (the extra `course`)."""

import argparse
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from offac_lite.course import graders, material, start

SOLUTIONS = {"Solution", "Solutions", "What we found", "What you should find"}
HINTS = {"Hint"}
ANSWERS = {"The answers", "Answers"}  # to labs and self-tests
TEXT = {"For Stable-Baselines3"}

_FOLDED = re.compile(r"<details><summary>(?:<b>)?(.*?)(?:</b>)?</summary>.*?</details>", re.DOTALL)
_HINT = re.compile(r"^\*Hint: .*\*$", re.MULTILINE)
# The recap repeats the lines that students write.
_RECAP = re.compile(r"^## Recap\b.*?\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def student_copy(notebook: NotebookNode, keep_hints: bool = False, drop_answers: bool = False) -> NotebookNode:
    """Return a copy of a notebook without its solutions, recap and outputs. Its code cells are unchanged.

    Hints are removed unless `keep_hints`. The folded answers to labs and self-tests are kept unless
    `drop_answers`. Raises `ValueError` if another title is folded.
    """
    removed = SOLUTIONS | (set() if keep_hints else HINTS) | (ANSWERS if drop_answers else set())

    def unfolded(match: re.Match) -> str:
        if match[1] not in SOLUTIONS | HINTS | ANSWERS | TEXT:
            raise ValueError(f"{match[1]!r} is folded, and copies.py does not say whether students may see it")
        return "" if match[1] in removed else match[0]

    copy = start.without_outputs(notebook)
    for cell in copy.cells:
        if cell.cell_type == "markdown":
            text = _RECAP.sub("", _FOLDED.sub(unfolded, cell.source))
            text = text if keep_hints else _HINT.sub("", text)
            cell.source = re.sub(r"\n{3,}", "\n\n", text).strip()
    copy.cells = [cell for cell in copy.cells if cell.source]
    return copy


def make_copies(
    folder: Path, keep_hints: bool = False, drop_answers: bool = False, grader: str | None = None
) -> list[Path]:
    """Write a student copy of every notebook into `folder`, and the pages that they link to; return their paths.

    With `grader="nbgrader"`, `folder` is a course of nbgrader: each notebook is an assignment in `source`, and
    exercises have points. With `grader="otter"`, each notebook has a folder of its own, with otter's tests in `tests`.
    There the pages are left out, and links between notebooks lead nowhere.
    Raises `FileExistsError`, and writes nothing, if a copy would replace a file.
    """
    start.check_folder(folder)
    originals = material.notebooks()
    texts = {folder / "nbgrader_config.py": graders.NBGRADER_CONFIG} if grader == "nbgrader" else {}
    if grader is None:
        texts = {folder / name: (material.NOTEBOOKS / name).read_text(encoding="utf-8") for name in material.PAGES}
    graded: set[str] = set()
    for original in originals:
        copy = student_copy(nbformat.read(original, as_version=4), keep_hints, drop_answers)
        path = folder / original.relative_to(material.NOTEBOOKS)
        if grader == "nbgrader":
            copy, path = graders.with_points(copy, graded), folder / "source" / original.stem / original.name
        elif grader == "otter":
            path = folder / original.stem / original.name
            texts |= {path.parent / "tests" / name: test for name, test in graders.otter_tests(copy, graded).items()}
        nbformat.validate(copy)
        texts[path] = nbformat.writes(copy) + "\n"
    if taken := [path for path in texts if path.exists()]:
        raise FileExistsError(f"{taken[0]} exists already and is not overwritten: choose another folder")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [path for path in texts if path.suffix == ".ipynb"]


def copies_command(arguments: list[str]) -> None:
    """Run the command `copies`: write student copies of all notebooks."""
    parser = argparse.ArgumentParser(
        prog="python -m offac_lite copies",
        description="Write copies of all notebooks for students: without solutions, hints, recaps and outputs.",
    )
    parser.add_argument("folder", type=Path, help="where to write them; created if it does not exist")
    parser.add_argument("--keep-hints", action="store_true", help="keep the hints")
    parser.add_argument("--drop-answers", action="store_true", help="remove the answers to labs and self-tests too")
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--nbgrader",
        dest="grader",
        action="store_const",
        const="nbgrader",
        help="make it a course of nbgrader: a locked test of one point per exercise",
    )
    either.add_argument(
        "--otter",
        dest="grader",
        action="store_const",
        const="otter",
        help="write otter's tests beside the notebooks: one point per exercise",
    )
    given = parser.parse_args(arguments)
    try:
        paths = make_copies(given.folder, given.keep_hints, given.drop_answers, given.grader)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{len(paths)} notebooks written to {given.folder}")
