"""What do many updates per environment step do? Train and keep what came out: `python -m figures.many_updates`.

About 25 minutes on one core; interrupted, it goes on where it was. Runs are kept in `figures/runs`, returns and values
in `figures/many_updates.json`, which the chapter on stability reads. What that file holds already is not trained again.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from figures.keeping import finished, held, rounded, write
from offac_lite.config import CARTPOLE
from offac_lite.run import Run
from offac_lite.sweep import sweep

HERE = Path(__file__).parent
FILE = HERE / "many_updates.json"
SEED, N_SEEDS = 6000, 16  # none of the settings was chosen on these seeds

SHORT = replace(CARTPOLE, total_steps=8_000, evaluations=16, eval_episodes=10)
RATIOS = (0.125, 1, 4, 8)  # gradient updates per environment step, the replay ratio
VARIANTS: dict[str, dict[str, Any]] = {
    f"{ratio}" + ", one critic" * (not twin) + ", layer norm" * layer_norm: {
        "updates_per_step": int(ratio * SHORT.n_envs),
        "twin": twin,
        "layer_norm": layer_norm,
    }
    for ratio, twin in [*((ratio, True) for ratio in RATIOS), (4, False)]
    for layer_norm in (False, True)
}


def numbers(run: Run) -> dict[str, Any]:
    """Return what is kept of a run: the evaluated return of every seed, and what its critic believes, both rounded."""
    value = [[None if math.isnan(x) else x for x in seed] for seed in rounded(run.log["value"], 3)]
    return {"steps": run.steps.tolist(), "returns": rounded(run.returns), "value": value}


def main() -> None:
    """Train what the file does not hold, print the table of that, and write returns and values of every seed."""
    parser = argparse.ArgumentParser(prog="python -m figures.many_updates", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes at once (default: 1)")
    options = parser.parse_args()
    kept = held(FILE)
    missing = {name: changes for name, changes in VARIANTS.items() if name not in kept}
    if missing:
        folder = HERE / "runs" / "many updates"
        results = sweep(missing, SHORT, seed=SEED, seeds=N_SEEDS, n_jobs=options.jobs, folder=folder)
        kept |= {name: numbers(run) for name, run in finished(results).items()}
        write(FILE, {name: kept[name] for name in VARIANTS})


if __name__ == "__main__":
    main()
