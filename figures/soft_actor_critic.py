"""What does soft actor-critic change? Train its variants and keep what came out: `python -m figures.soft_actor_critic`.

About a quarter of an hour on two cores; interrupted, it goes on where it was. Runs are kept in `figures/runs`, their
returns in `figures/soft_actor_critic.json`, which the chapter on continuous actions reads. What that file holds already
is not trained again. `--peer` trains the soft actor-critic of Stable-Baselines3 as well, where that is installed.
"""

import argparse
import functools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import torch

from figures.keeping import finished, held, rounded, write
from offac_lite.config import CARTPOLE, PENDULUM, SAC_PENDULUM, Config
from offac_lite.run import Run
from offac_lite.sweep import sweep

HERE = Path(__file__).parent
FILE = HERE / "soft_actor_critic.json"
SEED, N_SEEDS = 5000, 16  # none of the settings was chosen on these seeds

DISCRETE_SAC = replace(CARTPOLE, action_samples="all", entropy_bonus="learned", soft_target=True)
VARIANTS: dict[str, list[tuple[Config, dict[str, dict[str, Any]]]]] = {
    "pendulum": [
        (PENDULUM, {"this course": {}}),
        (
            SAC_PENDULUM,
            {
                "SAC": {},
                "SAC, entropy in the actor only": {"soft_target": False},
                "SAC, learning rates stay": {"lr_decay": False},
                "SAC, α = 0.002": {"entropy_bonus": 0.002},
                "SAC, α = 0.02": {"entropy_bonus": 0.02},
                "SAC, α = 0.2": {"entropy_bonus": 0.2},
                "SAC, α = 2": {"entropy_bonus": 2.0},
            },
        ),
    ],
    "cart-pole": [
        (CARTPOLE, {"this course": {}}),
        (
            DISCRETE_SAC,
            {
                "SAC, H̄ = 0.15 log 2": {"target_entropy": 0.15 * math.log(2)},
                "SAC, H̄ = 0.5 log 2": {"target_entropy": 0.5 * math.log(2)},
                "SAC, H̄ = 0.98 log 2": {"target_entropy": 0.98 * math.log(2)},
                "SAC, α = 0.01": {"entropy_bonus": 0.01},
                "SAC, α = 0.05": {"entropy_bonus": 0.05},
                "SAC, α = 0.2": {"entropy_bonus": 0.2},
                "SAC, α = 1": {"entropy_bonus": 1.0},
                "SAC, α = 1, entropy in the actor only": {"entropy_bonus": 1.0, "soft_target": False},
            },
        ),
    ],
}
PEER = "Stable-Baselines3"
PEER_SETTINGS = {
    "its own settings": {"learning_rate": 1e-3},
    "networks, batch and τ of this course": {
        "learning_rate": 1e-3,
        "batch_size": PENDULUM.batch_size,
        "tau": PENDULUM.tau,
        "policy_kwargs": {"net_arch": list(PENDULUM.hidden)},
    },
}


def train_peer(seed: int, settings: dict[str, Any]) -> list[float]:
    """Train one agent of Stable-Baselines3, with as many steps and updates as `PENDULUM`; return its evaluations."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    torch.set_num_threads(1)
    c = PENDULUM
    env = make_vec_env(c.env_id, c.n_envs, seed=seed)
    eval_env = make_vec_env(c.env_id, c.eval_episodes, seed=seed + 1_000_000)
    agent = stable_baselines3.SAC(
        "MlpPolicy",
        env,
        learning_starts=1000,
        train_freq=1,
        gradient_steps=c.updates_per_step,
        seed=seed,
        device="cpu",
        **settings,
    )
    returns = []
    for _ in range(c.evaluations):
        agent.learn(c.total_steps // c.evaluations, reset_num_timesteps=False)
        returns.append(round(float(evaluate_policy(agent, eval_env, c.eval_episodes)[0]), 1))
    return returns


def peer_runs(n_seeds: int, n_jobs: int) -> dict[str, Any]:
    """Train `n_seeds` agents of Stable-Baselines3 with each of `PEER_SETTINGS`."""
    import stable_baselines3

    every = PENDULUM.total_steps // PENDULUM.evaluations
    kept: dict[str, Any] = {"version": stable_baselines3.__version__}
    for name, settings in PEER_SETTINGS.items():
        one = joblib.delayed(functools.partial(train_peer, settings=settings))
        returns = joblib.Parallel(n_jobs)(one(SEED + index) for index in range(n_seeds))
        kept[name] = {"steps": [every * (i + 1) for i in range(PENDULUM.evaluations)], "returns": returns}
        print(f"{PEER}, {name}: last evaluations {[seed[-1] for seed in returns]}", flush=True)
    return kept


def numbers(run: Run) -> dict[str, Any]:
    """Return what is kept of a run: the evaluated return and the entropy of every seed, rounded."""
    return {
        "steps": run.steps.tolist(),
        "returns": rounded(run.returns),
        "entropy": rounded(run.log["entropy"], 3),
    }


def main() -> None:
    """Train what the file does not hold, print the tables of that, and write the returns of every seed."""
    parser = argparse.ArgumentParser(prog="python -m figures.soft_actor_critic", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=-1, help="processes at once (default: one per core)")
    parser.add_argument("--peer", type=int, metavar="SEEDS", help=f"train so many agents of {PEER}, too")
    options = parser.parse_args()
    before, kept = held(FILE), {}
    for group, parts in VARIANTS.items():
        kept[group] = dict(before.get(group, {}))
        for config, variants in parts:
            missing = {name: changes for name, changes in variants.items() if name not in kept[group]}
            if missing:
                print(f"\n{config.env_id}", flush=True)
                folder = HERE / "runs" / f"SAC, {group}"
                results = sweep(missing, config, seed=SEED, seeds=N_SEEDS, n_jobs=options.jobs, folder=folder)
                kept[group] |= {name: numbers(run) for name, run in finished(results).items()}
        kept[group] = {name: kept[group][name] for _, variants in parts for name in variants}
    if options.peer:
        kept[PEER] = peer_runs(options.peer, options.jobs)
    elif PEER in before:
        kept[PEER] = before[PEER]
    write(FILE, kept)


if __name__ == "__main__":
    main()
