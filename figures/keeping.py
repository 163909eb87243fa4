"""What the commands that train for the course share: which runs are done, and how their numbers are kept."""

import json
from pathlib import Path
from typing import Any

import torch

from offac_lite.run import Run
from offac_lite.sweep import Sweep


def rounded(curves: torch.Tensor, digits: int = 1) -> list[list[float]]:
    """Round the curves of each seed, (S, E).

    >>> rounded(torch.tensor([[1.26, 2.0]]))
    [[1.3, 2.0]]
    """
    return [[round(x, digits) for x in seed] for seed in curves.tolist()]


def finished(results: Sweep) -> dict[str, Run]:
    """Print the table of a sweep and return its runs, or exit where one is missing."""
    print(results, flush=True)
    unfinished = [name for name, row in results.items() if row.error]
    if unfinished:
        raise SystemExit(f"not finished: {', '.join(unfinished)}; run the command again to go on")
    return {name: row.run for name, row in results.items() if row.run is not None}


def held(file: Path) -> dict[str, Any]:
    """Return what a file holds already, which is not trained again; nothing where there is no file.

    >>> held(Path("no such file"))
    {}
    """
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def write(file: Path, kept: dict[str, Any]) -> None:
    """Write what is kept as one line of JSON."""
    file.write_text(json.dumps(kept, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
