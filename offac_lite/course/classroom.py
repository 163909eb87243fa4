"""For whoever teaches with the notebooks: copies to hand out, and the checks' verdicts in what comes back.

`python -m offac_lite copies FOLDER` and `python -m offac_lite grade FOLDER`; both need Jupyter (the extra `course`).
"""

import argparse
import csv
import re
import sys
from collections import Counter
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm

from offac_lite.course import checks

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

SOLUTIONS = {"Solution", "Solutions", "One answer", "What we found", "What you should find"}
HINTS = {"Hint"}
ANSWERS = {"The answers", "Answers"}  # to predictions, labs and self-tests; they explain every wrong choice
TEXT = {"For later: V-trace and PPO"}

_FOLDED = re.compile(r"<details><summary>(?:<b>)?(.*?)(?:</b>)?</summary>.*?</details>", re.DOTALL)
_HINT = re.compile(r"^\*Hint: .*\*$", re.MULTILINE)
_RECAP = re.compile(r"^## Recap\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)  # it repeats the lines to be written

TRUE_OF_COPIES = {
    "first choose *Edit → Clear Outputs of All Cells*, then run cell by cell": "run cell by cell",
    " Solutions are folded away.": "",
}
TRUE_WITHOUT_ANSWERS = {
    "The notebooks come with their answers. So run cell": "Run cell",
    "The answers stand under the questions here. To work, run cell": "Run cell",
    "The answers stand under the questions here, and each bug in the exercise": "Each bug stands in the exercise",
}
"""What the notebooks say of themselves, and what copies say instead."""

MARKS = {"✓": "right", "✗": "wrong", "…": "not attempted", "–": "no verdict"}
_LEGEND = ", ".join(f"{mark} {words}" for mark, words in MARKS.items())
_VERDICT = re.compile(r"^([✓✗…]) ([^:\n]+): (.*)$", re.MULTILINE)
_CHECK = re.compile(r"\bchecks\.(\w+)\(")


# ------------------------------------------------------------------------------------------ copies to hand out


def student_copy(notebook: NotebookNode, keep_hints: bool = False, drop_answers: bool = False) -> NotebookNode:
    """Copy a notebook without its solutions, recap and outputs; the code cells are the same to the letter.

    Hints go too unless they are kept; the folded answers to predictions, labs and self-tests stay unless they are
    dropped. Raises `ValueError` where something is folded away that is none of these.
    """
    gone = SOLUTIONS | (set() if keep_hints else HINTS) | (ANSWERS if drop_answers else set())
    says = TRUE_OF_COPIES | (TRUE_WITHOUT_ANSWERS if drop_answers else {})

    def unfolded(match: re.Match) -> str:
        if match[1] not in SOLUTIONS | HINTS | ANSWERS | TEXT:
            raise ValueError(f"{match[1]!r} is folded away, and whether students may see it is not known")
        return "" if match[1] in gone else match[0]

    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        elif cell.cell_type == "markdown":
            text = _RECAP.sub("", _FOLDED.sub(unfolded, cell.source))
            text = text if keep_hints else _HINT.sub("", text)
            for said, instead in says.items():
                text = text.replace(said, instead)
            cell.source = re.sub(r"\n{3,}", "\n\n", text).strip()
    copy.cells = [cell for cell in copy.cells if cell.source]
    return copy


def make_copies(folder: Path, keep_hints: bool = False, drop_answers: bool = False) -> list[Path]:
    """Write a student's copy of every notebook into `folder`, and return their paths.

    Nothing is written where a copy would replace a file (`FileExistsError`).
    """
    originals = sorted(NOTEBOOKS.glob("*.ipynb"))
    if not originals:
        raise FileNotFoundError(f"there are no notebooks in {NOTEBOOKS}: run this in a checkout of the course")
    paths = [folder / original.name for original in originals]
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"a folder is wanted, and {path} is a file")
    if taken := [path for path in paths if path.exists()]:
        raise FileExistsError(f"{taken[0]} exists already, and nothing is overwritten: name another folder")
    copies = []
    for original in originals:
        copy = student_copy(nbformat.read(original, as_version=4), keep_hints, drop_answers)
        nbformat.validate(copy)
        copies.append(nbformat.writes(copy) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, copies, strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


# ------------------------------------------------------------------------------------------- what comes back


def run(notebook: NotebookNode, folder: Path, timeout: int = 300) -> str:
    """Run a notebook in place, in `folder`, up to its last check; return "", or why it did not get there.

    This runs whatever code the notebook holds. A cell that raises does not end it, and one that takes longer than
    `timeout` seconds is interrupted.
    """
    kernels = KernelSpecManager(kernel_dirs=[])  # this Python, whatever kernels the machine has
    last = max((n for n, cell in enumerate(notebook.cells) if _asked([cell])), default=-1)
    notebook.cells = notebook.cells[: last + 1]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_spec_manager=kernels),
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # or every kernel warns that it talks over TCP
        timeout=timeout,
        interrupt_on_timeout=True,
        allow_errors=True,
    )
    try:
        client.execute(cleanup_kc=True)  # or the kernel outlives its notebook: the manager is ours, not the client's
    except (CellTimeoutError, DeadKernelError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return ""


def verdicts(notebook: NotebookNode) -> dict[str, tuple[str, str]]:
    """Collect what the checks have last printed in a notebook: exercise → (mark, words), "–" where nothing is.

    >>> from nbformat.v4 import new_code_cell, new_notebook, new_output
    >>> printed = new_output("stream", text="✗ v_target: the reward is missing\\n")
    >>> verdicts(new_notebook(cells=[new_code_cell("checks.v_target(my_v_target)", outputs=[printed])]))
    {'v_target': ('✗', 'the reward is missing')}
    """
    found = dict.fromkeys(_asked(notebook.cells), ("–", ""))
    for cell in notebook.cells:
        for output in cell.get("outputs", ()) if _asked([cell]) else ():
            said = _VERDICT.findall(output.get("text", ""))
            found |= {name: (mark, words) for mark, name, words in said if name in found}
    return found


def _asked(cells: list[NotebookNode]) -> list[str]:
    """Name the exercises that these cells check, in order."""
    calls = [name for cell in cells if cell.cell_type == "code" for name in _CHECK.findall(cell.source)]
    exercises = [getattr(checks, name, None) for name in calls]
    return [exercise.name for exercise in exercises if isinstance(exercise, checks.Exercise)]


def table(found: dict[str, dict[str, tuple[str, str]]]) -> str:
    """Lay out files → verdicts: a block for each notebook of the course, a line for each file; last, all mistakes.

    >>> print(table({"ann/my_04_q_critic (2).ipynb": {"v_target": ("✓", "right"), "actor_loss": ("✗", "the sign")}}))
    04_q_critic: v_target, actor_loss
      ✓ ✗  ann/my_04_q_critic (2).ipynb
    <BLANKLINE>
    What was wrong, and how often:
       1  actor_loss: the sign
    <BLANKLINE>
    ✓ right, ✗ wrong, … not attempted, – no verdict
    """
    stems = [path.stem for path in NOTEBOOKS.glob("*.ipynb")]
    groups: dict[str, dict] = {}
    for file, verdict in found.items():
        group = next((stem for stem in stems if stem in file), file)  # whatever stands before and after it
        groups.setdefault(group, {})[file] = verdict
    lines = []
    for group, files in sorted(groups.items()):
        names = list(dict.fromkeys(name for verdict in files.values() for name in verdict))
        lines.append(f"{group}: {', '.join(names) or 'no exercises'}")
        for file, verdict in files.items():
            lines.append("  " + " ".join(verdict.get(name, "–")[0] for name in names) + f"  {file}")
    every = [item for verdict in found.values() for item in verdict.items()]
    wrong = Counter(f"{name}: {words}" for name, (mark, words) in every if mark == "✗")
    if wrong:
        lines += ["", "What was wrong, and how often:", *(f"{n:4d}  {words}" for words, n in wrong.most_common())]
    return "\n".join([*lines, "", _LEGEND])


# ------------------------------------------------------------------------------------------------- commands


def copies_command(arguments: list[str]) -> None:
    """Parse `copies ...` and write the copies."""
    parser = argparse.ArgumentParser(
        prog="python -m offac_lite copies",
        description="Write copies of all notebooks for students: without solutions, hints, recaps and outputs.",
    )
    parser.add_argument("folder", type=Path, help="where to write them; it is made if it does not exist")
    parser.add_argument("--keep-hints", action="store_true", help="leave the hints in")
    parser.add_argument(
        "--drop-answers", action="store_true", help="leave out the answers to predictions, labs and self-tests too"
    )
    given = parser.parse_args(arguments)
    try:
        paths = make_copies(given.folder, given.keep_hints, given.drop_answers)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{len(paths)} notebooks written to {given.folder}")


def grade_command(arguments: list[str]) -> None:
    """Parse `grade ...` and print what the checks say."""
    parser = argparse.ArgumentParser(
        prog="python -m offac_lite grade",
        description=f"Print what the checks say in every notebook of a folder and its subfolders: {_LEGEND}. Nothing "
        "is run and nothing changed unless --run is given: the verdicts are read from the outputs that were saved.",
    )
    parser.add_argument("folder", type=Path, help="where the students' notebooks are")
    parser.add_argument(
        "--run",
        action="store_true",
        help="run them first, each up to its last check. THIS RUNS THE STUDENTS' CODE, "
        "with your rights: use a machine or container made for it",
    )
    parser.add_argument("--timeout", type=int, default=300, help="with --run: seconds a cell may take (default 300)")
    parser.add_argument("--csv", type=Path, help="where to save file, exercise, verdict and words as a table")
    given = parser.parse_args(arguments)
    paths = [p for p in sorted(given.folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
    if not paths:
        parser.error(f"there is no notebook in {given.folder}")
    if given.csv is not None and not given.csv.absolute().parent.is_dir():
        parser.error(f"--csv: there is no folder {given.csv.parent}")
    found = {}
    for path in tqdm(paths, "running", unit=" notebooks", disable=not given.run):
        file = path.relative_to(given.folder).as_posix()
        try:
            notebook = nbformat.read(path, as_version=4)
            trouble = run(notebook, path.parent, given.timeout) if given.run else ""
        except (ValueError, OSError, nbformat.ValidationError) as error:
            tqdm.write(f"{file} cannot be read as a notebook: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        if trouble:
            tqdm.write(f"{file} was not run to its end: {trouble}", file=sys.stderr)
        found[file] = verdicts(notebook)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # a terminal that cannot write ✓ and ✗ would show ? for both
    print(table(found))
    if given.csv is not None:
        with given.csv.open("w", encoding="utf-8", newline="") as table_file:
            rows = csv.writer(table_file)
            rows.writerow(["file", "exercise", "verdict", "words"])
            for file, verdict in found.items():
                rows.writerows([file, name, MARKS[mark], words] for name, (mark, words) in verdict.items())
        print(f"\nTable saved: {given.csv}")
