"""Where the notebooks and the kept runs are: in a checkout, or in the installed package."""

import json
from pathlib import Path
from typing import Any

_INSTALLED = Path(__file__).parent / "files"  # setup.py puts it into a wheel
FOLDER = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2]
NOTEBOOKS = FOLDER / "notebooks"
PAGES = ("glossary.md", "clinic_page.md")  # those that the notebooks link to


def kept_runs(name: str = "ablations") -> dict[str, Any]:
    """Return what `python -m figures.NAME` has trained and kept, with a row of numbers for each seed.

    - "ablations", on CartPole: group → variant → steps and returns.
    - "soft_actor_critic": group → variant → steps, returns and entropy.
    - "many_updates", several replay ratios: variant → steps, returns and value.
    - "more_tasks", FrozenLake and Acrobot: task and data → variant → steps and returns.
    - "more_patients", bugs outside the loss: patient → steps, returns, promised and delivered.
    - "fixed_data": data → variant → returns and what was measured of them.
    - "episodes", played by three agents on CartPole: agent → position, angle and falls so far at each of 150 steps.

    >>> len(kept_runs()["young"]["both"]["returns"]), len(kept_runs("more_patients")["patient L"]["returns"])
    (32, 16)
    """
    return json.loads((FOLDER / "figures" / f"{name}.json").read_text(encoding="utf-8"))


def notebooks() -> list[Path]:
    """Return the paths of the course's notebooks, in order. Raises `FileNotFoundError` where there are none."""
    found = sorted(path for path in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    if not found:
        raise FileNotFoundError(f"no notebooks in {NOTEBOOKS}: install the course again, or run this in a checkout")
    return found
