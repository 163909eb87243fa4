"""Whole trainings on CartPole, side by side with what else a student could pick: who solves it, with how much CPU?

    python -m tests.benchmarks.bench_rivals [--seeds 16] [--alone 3]

Every candidate is trained to its end with its own published settings, and its greedy policy is evaluated as it goes.
*Solved* is the second of the first two evaluations in a row that reach 475. CPU seconds are those of the process, on
one thread; compiling is counted apart. Evaluations count where they are part of the training itself, which they are
not for Stable-Baselines3. Candidates that are not installed are named and left out, see
`tests/benchmarks/requirements.txt`. `--seeds` are trained at once where that is possible, `--alone` one by one.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")  # before jax is imported

import numpy as np
import torch

from offac_lite import stats
from offac_lite.training import Learner
from tests.benchmarks.bench_training import EPISODES, SOLVED, ZOO, baseline3
from tests.benchmarks.common import MISSING, machine, table, version

REJAX_PPO = dict(  # configs/gymnax/cartpole.yaml of the repository keraJLi/rejax
    env="CartPole-v1",
    agent_kwargs={"activation": "tanh"},
    num_envs=5,
    num_steps=100,
    num_epochs=5,
    num_minibatches=5,
    learning_rate=0.00075,
    max_grad_norm=0.5,
    total_timesteps=100_000,
    gamma=0.99,
    gae_lambda=0.95,
    clip_eps=0.2,
    ent_coef=0.01,
    vf_coef=0.5,
)


class Outcome(NamedTuple):
    """What a candidate reached: evaluations `returns` (seeds, E) after `steps` (E,), and the CPU seconds it took."""

    steps: np.ndarray
    returns: np.ndarray
    seconds: float  # of training all seeds
    compiling: float = 0.0


def ours(seeds: int) -> Outcome:
    learner = Learner(seeds=seeds)
    start = time.process_time()
    for _ in learner:
        pass
    learner.close()
    return Outcome(learner.run.steps.numpy(), learner.run.returns.numpy(), time.process_time() - start)


def compiled(make: Callable, seeds: int) -> tuple[np.ndarray, float, float]:
    """Compile a function of one key for `seeds` keys and run it: its result, and the CPU seconds of both."""
    import jax

    keys = jax.random.split(jax.random.key(0), seeds)
    start = time.process_time()
    work = jax.jit(jax.vmap(make)).lower(keys).compile()
    middle = time.process_time()
    returns = np.asarray(jax.device_get(work(keys)))
    return returns, middle - start, time.process_time() - middle


def in_jax(seeds: int) -> Outcome | None:
    if version("jax") is None or version("optax") is None:
        return None
    from tests.benchmarks import rival_jax

    returns, compiling, seconds = compiled(rival_jax.train, seeds)
    steps = np.arange(1, rival_jax.EVALUATIONS + 1) * (rival_jax.TOTAL_STEPS // rival_jax.EVALUATIONS)
    return Outcome(steps, returns, seconds, compiling)


def rejax_ppo(seeds: int) -> Outcome | None:
    if version("rejax") is None:
        return None
    from rejax import PPO

    every = 2000
    algorithm = PPO.create(**REJAX_PPO, eval_freq=every, skip_initial_evaluation=True)
    returns, compiling, seconds = compiled(lambda key: algorithm.train(key)[1][1].mean(-1), seeds)
    return Outcome(every * np.arange(1, returns.shape[1] + 1), returns, seconds, compiling)


def alone(make: Callable, total: int, every: int, runs: int) -> Outcome:
    """Train a model of the interface of Stable-Baselines3 for several seeds, one after the other.

    One call of `learn`, since schedules run over its steps; a callback evaluates.
    """
    import gymnasium

    returns, seconds = [], 0.0
    for seed in range(runs):
        model, row = make(seed), []
        exam = gymnasium.make_vec("CartPole-v1", num_envs=EPISODES)
        exam.reset(seed=12345)
        examining = 0.0

        def examine(*_, model=model, row=row, exam=exam):
            nonlocal examining
            if len(row) < total // every and model.num_timesteps >= (len(row) + 1) * every:
                start = time.process_time()
                row.append(greedy(model, exam))
                examining += time.process_time() - start
            return True

        start = time.process_time()
        model.learn(total, callback=examine)
        seconds += time.process_time() - start - examining
        exam.close()
        row += [row[-1]] * (total // every - len(row))  # the last one, where training ended within an interval
        returns.append(row)
        print(f"{type(model).__module__} seed {seed} done", file=sys.stderr, flush=True)
    return Outcome(every * np.arange(1, total // every + 1), np.array(returns), seconds)


def greedy(model, env) -> float:
    """Return the mean return of one greedy episode in each environment."""
    obs, returns, playing = env.reset()[0], np.zeros(EPISODES), np.ones(EPISODES, bool)
    while playing.any():
        obs, reward, terminated, truncated, _ = env.step(model.predict(obs, deterministic=True)[0])
        returns += playing * reward
        playing &= ~(terminated | truncated)
    return float(returns.mean())


def sb3(name: str, runs: int) -> Outcome | None:
    total = ZOO[name][1]
    return (
        None if version("stable-baselines3") is None else alone(lambda s: baseline3(name, s), total, total // 50, runs)
    )


def main() -> None:
    """Train every candidate and print one row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=16, help="seeds of what trains many at once (default %(default)s)")
    parser.add_argument("--alone", type=int, default=3, help="seeds of what trains one at a time (default %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine("torch", "gymnasium", "jax", "rejax", "gymnax", "stable-baselines3"))
    candidates = {
        f"`train`, {options.seeds} seeds": lambda: ours(options.seeds),
        "`train`, 1 seed": lambda: ours(1),
        f"this algorithm in JAX, {options.seeds} seeds": lambda: in_jax(options.seeds),
        "this algorithm in JAX, 1 seed": lambda: in_jax(1),
        f"rejax PPO, {options.seeds} seeds": lambda: rejax_ppo(options.seeds),
        **{f"Stable-Baselines3 {name}": lambda name=name: sb3(name, options.alone) for name in ZOO},
    }
    rows = [row(name, work()) for name, work in candidates.items()]
    head = ("", "µs per step of one seed", "compiling, s", "solved", "steps", "CPU s per seed until solved", "at goal")
    print("\nµs and seconds are of CPU. Steps and seconds: medians; at goal: of the evaluations of the second half.\n")
    print(table(head, rows))


def row(name: str, outcome: Outcome | None) -> tuple:
    """Lay out the row of one candidate."""
    print(f"{name}: done", file=sys.stderr, flush=True)
    if outcome is None:
        return name, MISSING, *[""] * 5
    seeds, per_step = len(outcome.returns), outcome.seconds / outcome.returns.shape[0] / outcome.steps[-1]
    at = np.nan_to_num(stats.solved_at(outcome.steps, outcome.returns, SOLVED), nan=np.inf)
    median = statistics.median(at.tolist())
    late = outcome.returns[:, outcome.returns.shape[1] // 2 :]
    return (
        name,
        f"{per_step * 1e6:.0f}",
        f"{outcome.compiling:.0f}" if outcome.compiling else "",
        f"{np.isfinite(at).sum()} of {seeds}",
        f"{median:.0f}",
        f"{per_step * median:.2f}",
        f"{(late >= SOLVED).mean():.0%}",
    )


if __name__ == "__main__":
    main()
