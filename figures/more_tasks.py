"""Does it take both fixes on other tasks, too? Train them and keep what came out: `python -m figures.more_tasks`.

About ten minutes of one core. The returns of every seed are kept in `figures/more_tasks.json`, which the chapter on
evidence reads. The settings were chosen with `seed=1` and four agents.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import torch

from figures.ablations import FIXES
from figures.keeping import held, rounded, write
from offac_lite.config import CARTPOLE, Config
from offac_lite.networks import Categorical
from offac_lite.run import Run
from offac_lite.training import train

FILE = Path(__file__).parent / "more_tasks.json"
SEED, N_SEEDS = 7000, 16  # none of the settings was chosen on these seeds
LAKE, ACROBOT = "OneHotFrozenLake-v0", "Acrobot-v1"
MOSTLY_UP = (0.1, 0.1, 0.1, 0.7)  # of left, down, right, up


def one_hot_lake() -> gymnasium.Env:
    """Make the slippery 4 × 4 FrozenLake whose observation is 16 numbers: 1 for the agent's square, else 0.

    >>> one_hot_lake().reset(seed=0)[0].shape
    (16,)
    """
    lake = gymnasium.make("FrozenLake-v1", map_name="4x4", is_slippery=True).unwrapped  # without its time limit
    return gymnasium.wrappers.FlattenObservation(lake)


def pump(obs: torch.Tensor) -> Categorical:
    """Return the policy of a controller for Acrobot, obs (..., B, 6): half of its actions are random.

    The others push the second link in the direction in which it turns, which swings it up.

    >>> pump(torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0, 2.0]])).probs.round(decimals=2)
    tensor([[0.1700, 0.1700, 0.6700]])
    """
    push = torch.where(obs[..., 5] > 0, 2, 0)
    probs = torch.full((*push.shape, 3), 1 / 6).scatter(-1, push[..., None], 4 / 6)
    return Categorical(probs.log())


TASKS: dict[str, Config] = {
    "lake": replace(CARTPOLE, env_id=LAKE, eval_episodes=20, obs_scale=4.0, reward_scale=1.0, entropy_bonus=0.01),
    "Acrobot": replace(CARTPOLE, env_id=ACROBOT, eval_episodes=5, entropy_bonus=0.02),
}
COMMON = {"seeds": N_SEEDS, "total_steps": 16_000, "evaluations": 8, "actor_lr": 1e-3, "seed": SEED}
DATA: dict[str, dict[str, dict[str, Any]]] = {
    "lake": {"young": {}, "old data": {"prefill": (MOSTLY_UP, 10_000)}},
    "Acrobot": {"young": {}, "old data": {"prefill": (pump, 10_000)}},
}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "lake": {
        "naive": FIXES["naive"],
        "naive, larger bonus": FIXES["naive"] | {"entropy_bonus": 0.03},  # the best of four settings tried for it
        "Q-critic alone": FIXES["Q-critic alone"],
        "both": FIXES["both"],
    },
    "Acrobot": FIXES,  # three other settings did not help naive replay
}


def numbers(run: Run) -> dict[str, Any]:
    """Return what is kept of a run: the evaluated return of every seed, rounded."""
    return {"steps": run.steps.tolist(), "returns": rounded(run.returns, 2)}


def main() -> None:
    """Train what is missing in the file, and write each run when it is done."""
    argparse.ArgumentParser(prog="python -m figures.more_tasks", description=__doc__.splitlines()[0]).parse_args()
    if LAKE not in gymnasium.registry:
        gymnasium.register(LAKE, one_hot_lake, max_episode_steps=100)
    kept = held(FILE)
    for task, config in TASKS.items():
        for data, options in DATA[task].items():
            for name, fix in VARIANTS[task].items():
                runs = kept.setdefault(f"{task}, {data}", {})
                if name in runs:
                    continue
                run = train(config, progress=False, **COMMON, **options, **fix)
                runs[name] = numbers(run)
                last = [seed[-1] for seed in runs[name]["returns"]]
                print(f"{task}, {data}, {name}: last evaluations {last}, {run.seconds:.0f} seconds", flush=True)
                write(FILE, kept)


if __name__ == "__main__":
    main()
