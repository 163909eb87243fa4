"""For instructors: collect the checks' verdicts from submissions. `python -m offac_lite grade FOLDER`.

It needs Jupyter (the extra `course`).
"""

import argparse
import csv
import re
import sys
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm

from offac_lite import _check
from offac_lite.course import checks, gradebook, material

MARKS = {"✓": "right", "✗": "wrong", "…": "not attempted", "–": "no verdict"}
_LEGEND = ", ".join(f"{mark} {words}" for mark, words in MARKS.items())
_VERDICT = re.compile(r"^([✓✗…]) ([^:\n]+): (.*)$", re.MULTILINE)
_CALL = r"\b(?:{modules})\.(?!grade|require)(\w+)|\b(?:grade|require)\(\s*[\"'](\w+)|(?<![\w.])({names})\s*\("
_IMPORTED = re.compile(r"^\s*from\s+\S*\bchecks(?:\.\w+)?\s+import\s+(\([^)]*\)|(?:\\\n|.)*)", re.MULTILINE)
_MODULE = re.compile(r"\bimport\s+\S*\bchecks\s+as\s+(\w+)")


# ---------------------------------------------------------------------------------------------- submissions


def submitted(folder: Path) -> list[Path]:
    """Return the notebooks in a folder and its subfolders, without those that Jupyter and macOS put beside them."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".ipynb" and path.is_file())
    others = {".ipynb_checkpoints", "__MACOSX"}
    return [path for path in paths if not others & set(path.parts) and not path.name.startswith("._")]


def read(path: Path) -> NotebookNode:
    """Read a notebook, in UTF-8 with or without a byte-order mark."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbformat warns about what it mends
        return nbformat.reads(path.read_bytes().decode("utf-8-sig"), as_version=4)


def run(notebook: NotebookNode, folder: Path, timeout: int = 300) -> str:
    """Run a notebook in place, in `folder`, up to its last check. Return "", or what was not run to its end, and why.

    This runs all code in the notebook. After a cell that raises, the run goes on. A cell that takes longer than
    `timeout` seconds is interrupted; on a busy machine that may be a correct one, so the reason names it.
    """
    kernels = KernelSpecManager(kernel_dirs=[])  # this Python, whichever kernels are installed
    last = max((n for n, names in enumerate(_checked_in(notebook.cells)) if names), default=-1)
    notebook.cells = notebook.cells[: last + 1]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_spec_manager=kernels),
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # otherwise every kernel warns about TCP
        timeout=timeout,
        startup_timeout=max(60, timeout),
        interrupt_on_timeout=True,
        allow_errors=True,
    )
    try:
        client.execute(cleanup_kc=True)  # stops the kernel; the client does so by itself only for its own manager
    except (CellTimeoutError, DeadKernelError) as error:
        return f"was not run to its end: {type(error).__name__}: {str(error).splitlines()[0]}"
    ended = [[output.get("ename") for output in cell.get("outputs", ())] for cell in notebook.cells]
    cut = [str(number) for number, names in enumerate(ended, 1) if "KeyboardInterrupt" in names]
    return f"was run, but cell {', '.join(cut)} was interrupted after {timeout} s (see --timeout)" if cut else ""


def verdicts(notebook: NotebookNode) -> dict[str, tuple[str, str]]:
    """Return the last verdict that each check printed in a notebook: exercise → (mark, words); "–" for no verdict.

    >>> from nbformat.v4 import new_code_cell, new_notebook, new_output
    >>> printed = new_output("stream", text="✗ v_target: the reward is missing\\n")
    >>> verdicts(new_notebook(cells=[new_code_cell("checks.v_target(my_v_target)", outputs=[printed])]))
    {'v_target': ('✗', 'the reward is missing')}
    """
    checked = _checked_in(notebook.cells)
    found = {name: ("–", "") for names in checked for name in names}
    for cell, names in zip(notebook.cells, checked, strict=True):
        if not names:
            continue  # a verdict counts only in a cell that calls a check
        for stream in ("stdout", "stderr"):  # a kernel may send a line in parts
            parts = [one.get("text", "") for one in cell.get("outputs", ()) if one.get("name") == stream]
            printed = _VERDICT.findall("".join(parts))
            found |= {name: (mark, words) for mark, name, words in printed if name in found}
    return found


def _checked_in(cells: list[NotebookNode]) -> list[list[str]]:
    """Return for each cell the names of the exercises that it checks, in order.

    A check is called as `checks.NAME`, under a name by which it was imported, or as `grade("NAME", …)`.
    """
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    imported = {}  # the name in this notebook → the name of the check
    for names in _IMPORTED.findall(source):
        for words in (part.split() for part in re.sub(r"#.*|[()\\]", "", names).split(",")):
            known = checks.EXERCISES if words == ["*"] else words[:1]
            imported |= {words[-1] if words[1:] else name: name for name in known}  # NAME, or NAME as OTHER
    modules, names = "|".join(["checks", *_MODULE.findall(source)]), "|".join(map(re.escape, imported)) or "(?!)"
    call = re.compile(_CALL.format(modules=modules, names=names))

    def checked(cell: NotebookNode) -> list[str]:
        calls = call.findall(cell.source) if cell.cell_type == "code" else []
        exercises = [getattr(checks, of or given or imported[name], None) for of, given, name in calls]
        return [exercise.name for exercise in exercises if isinstance(exercise, checks.Exercise)]

    return [checked(cell) for cell in cells]


def table(found: dict[str, dict[str, tuple[str, str]]], notes: Mapping[str, str] | None = None) -> str:
    """Return file → verdicts as text: a block for each notebook, a line for each file, and at the end all mistakes.

    `notes` says of a file why it was not read, run or judged to its end.

    >>> print(table({"ann/my_04_q_critic (2).ipynb": {"v_target": ("✓", "right"), "actor_loss": ("✗", "the sign")}}))
    04_q_critic: v_target, actor_loss
      ✓ ✗  ann/my_04_q_critic (2).ipynb
    <BLANKLINE>
    What was wrong, and how often:
       1  actor_loss: the sign
    <BLANKLINE>
    ✓ right, ✗ wrong, … not attempted, – no verdict
    """
    notes = notes or {}
    groups: dict[str, dict] = {}
    for file, verdict in found.items():
        groups.setdefault(_notebook_of(file), {})[file] = verdict
    lines = []
    for group, files in sorted(groups.items()):
        names = list(dict.fromkeys(name for verdict in files.values() for name in verdict))
        lines.append(f"{group}: {', '.join(names) or 'no exercises'}")
        for file, verdict in files.items():
            note = f"  ({notes[file]})" if file in notes else ""
            lines.append("  " + " ".join(verdict.get(name, "–")[0] for name in names) + f"  {file}{note}")
    every = [item for verdict in found.values() for item in verdict.items()]
    wrong = Counter(f"{name}: {words}" for name, (mark, words) in every if mark == "✗")
    if wrong:
        lines += ["", "What was wrong, and how often:", *(f"{n:4d}  {words}" for words, n in wrong.most_common())]
    return "\n".join([*lines, "", _LEGEND])


def _notebook_of(file: str) -> str:
    """Return the notebook that a file was handed in for, by its name or else by that of a folder; else the file."""
    stems = [path.stem for path in material.NOTEBOOKS.rglob("*.ipynb")]
    for part in reversed(PurePosixPath(file).parts):  # a submission may have a longer name
        for stem in stems:
            if stem.casefold() in part.casefold():
                return stem
    return file


# ------------------------------------------------------------------------------------------------- commands


def grade_command(arguments: list[str]) -> None:
    """Run the command `grade`: print the checks' verdicts."""
    parser = argparse.ArgumentParser(
        prog="python -m offac_lite grade",
        description=f"Print the checks' verdicts in every notebook of a folder and its subfolders: {_LEGEND}. They are "
        "read from the saved outputs. Without --run, nothing is run and nothing is changed.",
    )
    parser.add_argument("folder", type=Path, help="where the students' notebooks are")
    parser.add_argument(
        "--run",
        action="store_true",
        help="run the notebooks first, each up to its last check. THIS RUNS THE STUDENTS' CODE WITH YOUR RIGHTS: "
        "use a machine or container made for it",
    )
    parser.add_argument(
        "--timeout", type=int, default=300, help="with --run: seconds that a cell may take (default 300)"
    )
    parser.add_argument("--csv", type=Path, help="file to save the table of file, exercise, verdict and words in")
    parser.add_argument("--gradebook", type=Path, help="file to save one row per student in, with a point per exercise")
    given = parser.parse_args(arguments)
    if not given.folder.is_dir():
        parser.error(f"there is no folder {given.folder}")
    paths = submitted(given.folder)
    if not paths:
        parser.error(f"no notebook in {given.folder}")
    for option, path in (("--csv", given.csv), ("--gradebook", given.gradebook)):
        if path is not None and (fault := _check.unwritable(path)):
            parser.error(f"{option}: {fault}")
    found: dict[str, dict[str, tuple[str, str]]] = {}
    notes: dict[str, str] = {}
    for path in tqdm(paths, "running", unit=" notebooks", disable=not given.run):
        file = path.relative_to(given.folder).as_posix()
        found[file], note = judge(path, given.timeout if given.run else None)
        if note:
            notes[file] = note
            tqdm.write(f"{file} {note}", file=sys.stderr)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")  # a terminal without ✓ and ✗ would show ? for both
    print(table(found, notes))
    if given.csv is not None:
        with given.csv.open("w", encoding="utf-8", newline="") as table_file:
            rows = csv.writer(table_file)
            rows.writerow(["file", "exercise", "verdict", "words"])
            for file, verdict in found.items():
                rows.writerows([file, name, MARKS[mark], words] for name, (mark, words) in verdict.items())
                if file in notes:
                    rows.writerow([file, "", "", notes[file]])
        print(f"\nTable saved: {given.csv}")
    if given.gradebook is not None:
        gradebook.save(given.gradebook, found, notes)
        print(f"\nGradebook saved: {given.gradebook}")


def judge(path: Path, timeout: int | None = None) -> tuple[dict[str, tuple[str, str]], str]:
    """Return the verdicts in a file, and why there are not more of them, or "". With `timeout`, run it first.

    Whatever is wrong with the file, it costs no other file anything.
    """
    done = "cannot be read as a notebook"
    try:
        notebook, note = read(path), ""
        if timeout is not None:
            done = "was not run to its end"
            note = run(notebook, path.parent, timeout)
        done = "cannot be judged"
        return verdicts(notebook), note
    except Exception as error:
        words = str(error).splitlines() or [""]
        return {}, f"{done}: {type(error).__name__}: {words[0]}"
