"""Where the notebooks and the kept runs are: in a checkout, or in the installed package."""

import json
from pathlib import Path
from typing import Any

_INSTALLED = Path(__file__).parent / "files"  # setup.py puts it into a wheel
FOLDER = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2]
NOTEBOOKS = FOLDER / "notebooks"
PAGES = ("glossary.md", "clinic_page.md")  # those that the notebooks link to


def _kept(name: str) -> Any:
    return json.loads((FOLDER / "figures" / name).read_text(encoding="utf-8"))


def kept_runs() -> dict[str, Any]:
    """Return the runs of CartPole that the course keeps: group → variant → steps and returns.

    >>> len(kept_runs()["young"]["both"]["returns"])
    32
    """
    return _kept("ablations.json")


def kept_sac_runs() -> dict[str, Any]:
    """Return the runs of soft actor-critic that the course keeps: group → variant → steps, returns and entropy.

    >>> len(kept_sac_runs()["pendulum"]["SAC"]["returns"])
    16
    """
    return _kept("soft_actor_critic.json")


def kept_many_updates() -> dict[str, Any]:
    """Return the runs at several replay ratios that the course keeps: variant → steps, returns and value.

    >>> len(kept_many_updates()["4, layer norm"]["returns"])
    16
    """
    return _kept("many_updates.json")


def kept_task_runs() -> dict[str, Any]:
    """Return the runs on FrozenLake and Acrobot that the course keeps: task and data → variant → steps and returns.

    >>> len(kept_task_runs()["lake, young"]["both"]["returns"])
    16
    """
    return _kept("more_tasks.json")


def kept_patients() -> dict[str, Any]:
    """Return the runs of the patients outside the loss: name → steps, returns, promised and delivered of every seed.

    >>> len(kept_patients()["patient L"]["returns"])
    16
    """
    return _kept("more_patients.json")


def kept_fixed_data() -> dict[str, Any]:
    """Return the runs on fixed data that the course keeps: data → variant → returns and what was measured of them.

    >>> len(kept_fixed_data()["random"]["AWAC, λ = 1"]["returns"])
    16
    """
    return _kept("fixed_data.json")


def kept_episodes() -> dict[str, list[list[float]]]:
    """Return the play of three CartPole agents: name → position, angle and falls so far at each of 150 steps.

    >>> list(kept_episodes())
    ['untrained', 'naive replay', 'both fixes']
    """
    return _kept("episodes.json")


def notebooks() -> list[Path]:
    """Return the paths of the course's notebooks, in order. Raises `FileNotFoundError` where there are none."""
    found = sorted(path for path in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    if not found:
        raise FileNotFoundError(f"no notebooks in {NOTEBOOKS}: install the course again, or run this in a checkout")
    return found
