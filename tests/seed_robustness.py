"""Do the claims of the notebooks survive other seeds? Run each with other values of SEED, and count.

    python -m tests.seed_robustness --seeds 5                    # SEED = 0 to 4, every notebook: an hour
    python -m tests.seed_robustness --seeds 5 notebooks/05*      # some
    python -m tests.seed_robustness --seeds 3 --first 7          # SEED = 7, 8, 9

Only the line `SEED = 0` of a notebook is changed, in memory: no file is written. What a cell asserts must hold; what
it prints may differ. The exit status is 1 where any run fails, and each failure is named with its cell. A run also
tells its time and the peak memory of its kernel.
"""

import argparse
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError

from offac_lite.course import material
from tests.refresh_notebooks import execute, raised

SEED_LINE = re.compile(r"^SEED = 0\b", re.MULTILINE)
PEAK = """\
import resource, sys
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**20)"""


def with_seed(notebook: nbformat.NotebookNode, seed: int) -> nbformat.NotebookNode:
    """Set the one line `SEED = 0` to another seed, in place; raise `ValueError` where there is not exactly one.

    >>> notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("SEED = 0  # change it")])
    >>> with_seed(notebook, 7).cells[0].source
    'SEED = 7  # change it'
    """
    found = [cell for cell in notebook.cells if cell.cell_type == "code" and SEED_LINE.search(cell.source)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} cells hold a line SEED = 0, wanted one")
    found[0].source = SEED_LINE.sub(f"SEED = {seed}", found[0].source)
    return notebook


def failure(path: Path, seed: int) -> tuple[str | None, float | None]:
    """Run a notebook with a seed; say in which cell it raised what, or None, and the kernel's peak memory in MiB."""
    notebook = with_seed(nbformat.read(path, as_version=4), seed)
    if sys.platform != "win32":
        notebook.cells.append(nbformat.v4.new_code_cell(PEAK))
    try:
        execute(notebook, path.parent)
    except CellExecutionError as error:
        number = next(n for n, cell in enumerate(notebook.cells) if raised(cell))
        return f"cell {number} raises {error.ename}: {error.evalue}", None
    peak = None if sys.platform == "win32" else float(notebook.cells[-1].outputs[0].text)
    return None, peak


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; return 0 where every run came to its end, otherwise 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks; all of them where none is named")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.first < 0:
        parser.error("--seeds must be at least 1, and --first not negative")
    held, runs = 0, 0
    for path in options.paths or material.notebooks():
        for seed in range(options.first, options.first + options.seeds):
            start = time.perf_counter()
            wrong, peak = failure(path, seed)
            cost = f"{time.perf_counter() - start:.0f} s" + ("" if peak is None else f", {peak:.0f} MiB")
            print(f"{path.name}, SEED = {seed}: {wrong or 'ok'} ({cost})", flush=True)
            held, runs = held + (wrong is None), runs + 1
    print(f"{held} of {runs} runs: every claim held")
    return int(held < runs)


if __name__ == "__main__":
    sys.exit(main())
