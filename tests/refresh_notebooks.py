"""Execute the course's notebooks and write them back in the one form in which they are committed.

    python -m tests.refresh_notebooks                    # all of them, in order
    python -m tests.refresh_notebooks notebooks/05*      # some
    python -m tests.refresh_notebooks --check            # write nothing; fail where a file would change

That form: executed in order in a fresh kernel; no widget state and no widget views, which nothing can show once
their kernel is gone (a lab's still picture is an ordinary output and stays); no timings and only the metadata that
names the language. Two runs on one machine write the same bytes. `--check` compares everything but the pictures,
whose bytes depend on fonts and library versions. A notebook that breaks one of the rules of `problems` is not
written; the exit status is then 1 and each broken rule is named with its cell.
"""

import argparse
import difflib
import os
import re
import sys
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager

from offac_lite.course import material
from tests.fonts import prepare_fonts

ROOT = Path(__file__).parent.parent
MAX_LINES, MAX_BYTES = 30, 1_000_000
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:work|root|tmp|home|Users)/|\b[A-Za-z]:\\(?!\\)")
ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}")
UNNAMED_IMAGE = re.compile(r"!\[\s*\]\(|<img(?![^>]*\balt\s*=\s*[\"'][^\"'])[^>]*>")


class ThisPython(AsyncKernelManager):
    """Starts kernels with the interpreter that runs this, whatever kernels the machine has."""

    def _kernel_spec_manager_default(self):
        return NbvalKernelspecManager(parent=self)


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells in a fresh kernel that works in `folder`; raise `CellExecutionError` where one raises."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # sums come out in the same order on every machine
    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisPython,
        kernel_name=CURRENT_ENV_KERNEL_NAME,
        resources={"metadata": {"path": str(folder)}},
        timeout=600,
        record_timing=False,
        store_widget_state=False,
    )
    client.execute()


def normalise(notebook: NotebookNode) -> None:
    """Bring a notebook, in place, into the committed form."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat_minor = 5
    count = 0
    for number, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{number:02d}")
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in ("jupyter", "tags") if key in cell.metadata}
        )
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        outputs = []
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
            if WIDGET_VIEW in output.get("data", {}):
                del output.data[WIDGET_VIEW]
                if not output.data:
                    continue
            before = outputs[-1] if outputs else {}
            if output.output_type == "stream" and before.get("name") == output.name:
                before.text += output.text
            else:
                outputs.append(output)
        cell.outputs = outputs


def written(notebook: NotebookNode) -> str:
    """The text of the file that holds `notebook`."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def problems(notebook: NotebookNode) -> list[str]:
    """Every rule for committed notebooks that this one breaks, in words; empty where it breaks none."""
    found = []
    if len(written(notebook).encode()) >= MAX_BYTES:
        found.append(f"the file is not below {MAX_BYTES} bytes")
    if notebook.metadata != METADATA:
        found.append(f"its metadata is not {METADATA}")
    count = 0
    for number, cell in enumerate(notebook.cells):
        say = [MACHINE_PATH.search(cell.source) and "its source names a path of one machine"]
        if cell.cell_type == "markdown":
            say += [UNNAMED_IMAGE.search(cell.source) and "it shows an image without alternative text"]
        if cell.cell_type == "code":
            count += 1
            lines = sum(1 for line in cell.source.splitlines() if line.strip())
            tags = cell.metadata.get("tags", [])
            checks, ignored = "hide-input" in tags, "nbval-ignore-output" in tags
            say += [
                not lines and "it is empty",
                lines > MAX_LINES and f"it has {lines} lines of code, more than {MAX_LINES}",
                cell.execution_count != count and f"its number is {cell.execution_count}, not {count}",
                sum("image/png" in o.get("data", {}) for o in cell.outputs) > 1 and "it shows more than one picture",
                checks and not cell.metadata.get("jupyter", {}).get("source_hidden") and "its source is not folded",
                "patient_words(" in cell.source and not ignored and "it lacks nbval-ignore-output",
                *_output_problems(cell.outputs),
            ]
        found += [f"cell {number} ({cell.cell_type}): {problem}" for problem in say if problem]
    return found


def _output_problems(outputs: list[NotebookNode]) -> list[str | bool]:
    say = []
    for output, following in zip(outputs, [*outputs[1:], {}], strict=False):
        data, text = output.get("data", {}), _all_text(output)
        say += [
            output.output_type == "error" and f"it raises {output.get('ename')}: {output.get('evalue')}",
            output.get("name") == "stderr" and f"it writes to stderr: {text.strip()[:200]}",
            WIDGET_VIEW in data and "it holds a widget view, which nothing can show once its kernel is gone",
            MACHINE_PATH.search(text) and "its output names a path of one machine",
            ADDRESS.search(text) and "its output names a memory address, another one at each run",
        ]
        if any(kind.startswith("image/") for kind in data):
            told = _says_something(output) or (
                _says_something(following) and not any("image/" in kind for kind in following.get("data", {}))
            )
            say.append(not told and "it shows a picture that no text, in it or right after it, puts into words")
    return say


def _all_text(output: NotebookNode) -> str:
    texts = [output.get("text", ""), *output.get("data", {}).values()]
    kinds = ["text/plain", *output.get("data", {})]
    return "\n".join(str(text) for kind, text in zip(kinds, texts, strict=True) if kind.startswith("text/"))


def _says_something(output: NotebookNode) -> bool:
    text = output.get("text", "") or output.get("data", {}).get("text/plain", "")
    return bool(text.strip()) and not re.fullmatch(r"<.*>", text.strip())  # such as <Figure size 640x480 with 1 Axes>


def without_pictures(text: str) -> list[str]:
    """The lines of a notebook's file, its pictures' bytes left out."""
    return re.sub(r'("image/(?:png|jpeg)": )"[^"]*"', r'\1"…"', text).splitlines(keepends=True)


def refresh(path: Path, check: bool = False) -> list[str]:
    """Execute, normalise and, unless `check`, write one notebook; return what is wrong, empty where all is well."""
    old = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(old, as_version=4)
    try:
        execute(notebook, path.parent)
    except CellExecutionError as error:
        number = next(n for n, cell in enumerate(notebook.cells) if raised(cell))
        return [f"cell {number} (code): it raises {error.ename}: {error.evalue}\n{error.traceback}"]
    normalise(notebook)
    found = problems(notebook)
    if not found and check:
        changes = difflib.unified_diff(without_pictures(old), without_pictures(written(notebook)), "file", "fresh")
        text = "".join([*changes][:60])
        return [f"the file would change:\n{text}"] if text else []
    if not found and written(notebook) != old:
        path.write_text(written(notebook), encoding="utf-8")
    return found


def raised(cell: NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", []))


def main(arguments: list[str] | None = None) -> int:
    """Refresh the notebooks named on the command line, or all; return 0 where all is well, otherwise 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks; all of them where none is named")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file would change")
    options = parser.parse_args(arguments)
    prepare_fonts()
    failed = False
    for path in options.paths or material.notebooks():
        print(f"{path}: ", end="", flush=True)
        found = refresh(path, options.check)
        print("ok" if not found else "NOT WRITTEN" if not options.check else "NOT OK")
        for problem in found:
            print(f"  {problem}", file=sys.stderr)
        failed |= bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
