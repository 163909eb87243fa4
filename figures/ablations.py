"""Which fix decides what? Train every variant and keep what came out: `python -m figures.ablations`.

About an hour on two cores; interrupted, it goes on where it was. Runs are kept in `figures/runs`, their returns in
`figures/ablations.json`, from which `python -m figures` draws. What that file holds already is not trained again.
"""

import argparse
import statistics
from pathlib import Path

import torch

from figures.keeping import finished, held, rounded, write
from offac_lite.config import CARTPOLE, PENDULUM
from offac_lite.exact.noise import gradient_noise
from offac_lite.sweep import sweep
from offac_lite.training import Learner

HERE = Path(__file__).parent
FILE = HERE / "ablations.json"
SEED = 2000  # none of the settings was chosen on it

NAIVE = {"critic": "v", "action": "stored"}
HALF = {"critic": "q", "action": "stored"}
BOTH = {"critic": "q", "action": "resampled"}
ON_POLICY = NAIVE | {"on_policy": True, "batch_size": 64, "actor_lr": 1e-3, "critic_lr": 5e-3, "entropy_bonus": 0.01}
FIXES = {"naive": NAIVE, "Q-critic alone": HALF, "both": BOTH}
OLD = {"prefill": ((0.2, 0.8), 20_000)}  # 20,000 transitions of a policy that mostly pushes right
RANDOM = {"prefill": (None, 20_000), "collect": False}
BUSY = {"updates_per_step": 4, "total_steps": 16_000}

CART_POLE = {
    "young": FIXES
    | {
        "importance, V": {"critic": "v", "action": "importance"},
        "importance, V, clipped": {"critic": "v", "action": "importance", "importance_clip": 2.0},
        "importance, Q": {"critic": "q", "action": "importance"},
        "on-policy": ON_POLICY | {"tau": 1.0, "lr_decay": False},  # as in notebook 01
        "on-policy, slow target": ON_POLICY,  # what it costs to inherit the target network of the others
    },
    "old data": {name: fix | OLD for name, fix in FIXES.items()}
    | {"importance, V": {"critic": "v", "action": "importance"} | OLD},
    "newest 2,000": {name: FIXES[name] | OLD | {"newest": 2_000} for name in ("naive", "both")},
    "four times the updates": {name: fix | BUSY for name, fix in FIXES.items()}
    | {"importance, V": {"critic": "v", "action": "importance"} | BUSY},
    "random data only": {name: fix | RANDOM for name, fix in FIXES.items()},
    "K, Q − V": {f"K = {k}": {"action_samples": k} for k in (1, 16)},
    "K, Q": {f"K = {k}": {"action_samples": k, "baseline": None} for k in (1, 4, 16, 64)}
    | {"all": {"action_samples": "all"}},
    "target": {
        "τ = 1 (no target network)": {"tau": 1.0},
        "τ = 0.005": {"tau": 0.005},
        "single Q": {"twin": False},
        "one a′ per state": {"next_action_samples": 1},
    },
}

PENDULUM_VARIANTS = {
    "pendulum": {
        "K = 8, leave-one-out": {"action_samples": 8},
        "K = 2, leave-one-out": {"action_samples": 2},
        "reparameterised": {"gradient": "reparameterized", "action_samples": 1},
        "K = 1, Q": {"action_samples": 1, "baseline": None},
        "K = 8, Q": {"action_samples": 8, "baseline": None},
    }
}


def learned_break_even(policy, critic, obs) -> torch.Tensor:
    """Compute K* of trained networks at the states `obs`, (seeds,): see `estimators.break_even_actions`.

    K* is infinite if Q − V leaves less than a millionth of Q's noise, which float32 does not resolve. K* is 1 if
    neither leaves any noise.
    """
    noise = gradient_noise(policy, critic, obs)
    with_q, with_value = noise.actions, noise.actions_value
    with_value = with_value.where(with_value > 1e-6 * with_q, 0.0)  # less is rounding error, of either sign
    return torch.where((with_q == 0) & (with_value == 0), 1.0, with_q / with_value)


def break_even_through_training(n_seeds: int = 8) -> dict:
    """Measure K* of the networks at a few points of a run of the default settings, on states of the buffer."""
    learner = Learner(seeds=n_seeds, seed=SEED)
    points = {learner.n_iterations * percent // 100: percent for percent in (8, 16, 32, 48, 64, 80, 96)}
    kept = {"steps": [], "k_star": []}
    for iteration in learner:
        if iteration in points:
            agent, batch = learner.agent, learner.buffer.sample(128)
            k_star = learned_break_even(agent.policy, agent.critic, batch.obs)
            kept["steps"].append(iteration * learner.config.n_envs)
            kept["k_star"].append([float(f"{k:.3g}") for k in k_star.tolist()])
    learner.close()
    return kept


def _numbers(run) -> dict:
    return {"steps": run.steps.tolist(), "returns": rounded(run.returns)}


def main() -> None:
    """Run what is missing, print the tables, and write the returns of every seed."""
    parser = argparse.ArgumentParser(prog="python -m figures.ablations", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=-1, help="processes at once (default: one per core)")
    options = parser.parse_args()
    groups = {group: (CARTPOLE, {"seeds": 32}, v) for group, v in CART_POLE.items()}
    groups |= {group: (PENDULUM, {"seeds": 16}, v) for group, v in PENDULUM_VARIANTS.items()}
    kept = held(FILE)
    for group, (config, common, variants) in groups.items():
        missing = {name: changes for name, changes in variants.items() if name not in kept.get(group, {})}
        if missing:
            print(f"\n{config.env_id}, {group}", flush=True)
            folder = HERE / "runs" / group
            results = sweep(missing, config, seed=SEED, n_jobs=options.jobs, folder=folder, **common)
            kept[group] = kept.get(group, {}) | {name: _numbers(run) for name, run in finished(results).items()}
            write(FILE, kept)
    if "break-even" not in kept:
        torch.set_num_threads(1)
        kept["break-even"] = break_even_through_training()
        print("\nK* of the networks, median of 8 seeds, against steps:")
        for step, k_star in zip(*kept["break-even"].values(), strict=True):
            print(f"{step:8d} {statistics.median(k_star):10.0f}")
        write(FILE, kept)


if __name__ == "__main__":
    main()
