"""Make working copies of the notebooks, and open the first in JupyterLab.

`python -m offac_lite start`; it needs Jupyter (the extra `course`).
"""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from offac_lite.course import material


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """Return a copy of a notebook without its outputs. All else is kept."""
    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return copy


def check_folder(folder: Path) -> None:
    """Raise `NotADirectoryError` if a file stands where a folder is to be made."""
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"{path} is a file, not a folder")


def working_copies(folder: Path) -> dict[Path, bool]:
    """Write every notebook, without its outputs, into `folder`. Return each copy's path, and whether it is new.

    What is there already is never changed.
    """
    check_folder(folder)
    written = {}
    for original in material.notebooks():
        path = folder / original.relative_to(material.NOTEBOOKS)
        text = nbformat.writes(without_outputs(nbformat.read(original, as_version=4))) + "\n"
        written[path] = _write_new(path, text)
    for name in material.PAGES:
        _write_new(folder / name, (material.NOTEBOOKS / name).read_text(encoding="utf-8"))
    return written


def _write_new(path: Path, text: str) -> bool:
    """Write a file and return True; return False, and change nothing, if there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(text)
    except OSError as error:  # a full disk, say: every later call would keep half a notebook
        path.unlink()
        raise OSError(f"{path} cannot be written: {error}") from error
    return True


def start_command(arguments: list[str]) -> None:
    """Run the command `start`: make working copies, and open the first in JupyterLab."""
    parser = argparse.ArgumentParser(
        prog="python -m offac_lite start",
        description="Make working copies of all notebooks, without outputs, and open the first in JupyterLab. What is "
        "in the folder already is never changed: run this again to go on.",
        epilog="What follows -- goes to JupyterLab: python -m offac_lite start -- --no-browser",
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("my_course"), help="where your copies are (default %(default)s)"
    )
    parser.add_argument("--no-open", action="store_true", help="make the copies only")
    end = arguments.index("--") if "--" in arguments else len(arguments)
    given, to_lab = parser.parse_args(arguments[:end]), arguments[end + 1 :]
    try:
        copies = working_copies(given.folder)
    except OSError as error:
        parser.error(str(error))
    kept = len(copies) - sum(copies.values())
    print(f"{sum(copies.values())} notebooks written to {given.folder}" + f", {kept} kept as they are" * bool(kept))
    if given.no_open:
        return
    if importlib.util.find_spec("jupyterlab") is None:
        sys.exit('start: there is no JupyterLab here; install it with: pip install "offac-lite[course]"')
    lab = subprocess.Popen([sys.executable, "-m", "jupyterlab", min(copies).name, *to_lab], cwd=given.folder)
    while True:
        try:
            sys.exit(lab.wait())
        except KeyboardInterrupt:  # JupyterLab had the Ctrl-C as well, and asks what to do
            pass
