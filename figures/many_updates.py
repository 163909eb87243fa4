"""What do many updates per environment step do? Train and keep what came out: `python -m figures.many_updates`.

About 45 minutes on one core; interrupted, it goes on where it was. Runs are kept in `figures/runs`, returns and values
in `figures/many_updates.json`, which the chapter on stability reads. What that file holds already is not trained again.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from figures.keeping import finished, held, rounded, write
from offac_lite.agent import Agent
from offac_lite.config import CARTPOLE, Config
from offac_lite.run import Run
from offac_lite.sweep import sweep
from offac_lite.training import Learner

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

RESET = {f"{name}, resets": VARIANTS[name] for name in ("4", "8", "8, layer norm", "4, one critic")}
RESET_STEPS = 2_000  # after so many environment steps every network is made anew


def train_with_resets(config: Config) -> Run:
    """Train with all networks and their optimiser made anew every `RESET_STEPS` steps. The buffer is kept."""
    learner, generator = Learner(config), torch.Generator().manual_seed(config.seed)
    for done in learner:
        if done * config.n_envs % RESET_STEPS == 0 and done < learner.n_iterations:
            learner.agent = Agent(learner.config, learner.spaces, learner.agent.generator, generator)
    learner.run.policy, learner.run.critic = learner.agent.policy, learner.agent.critic
    learner.close()
    return learner.run


def numbers(run: Run) -> dict[str, Any]:
    """Return what is kept of a run: the evaluated return of every seed, and what its critic believes, both rounded."""
    value = [[None if math.isnan(x) else x for x in seed] for seed in rounded(run.log["value"], 3)]
    return {"steps": run.steps.tolist(), "returns": rounded(run.returns), "value": value}


def in_order(kept: dict) -> dict:
    """Return the runs that there are, in the order of the table."""
    return {name: kept[name] for name in (*VARIANTS, *RESET) if name in kept}


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
        write(FILE, in_order(kept))
    for name in [name for name in RESET if name not in kept]:
        kept[name] = numbers(train_with_resets(replace(SHORT, seed=SEED, seeds=N_SEEDS, **RESET[name])))
        write(FILE, in_order(kept))


if __name__ == "__main__":
    main()
