"""What does a seed cost, among others in one training, alone, in ordinary code, and in Stable-Baselines3?

    python -m tests.benchmarks.bench_training             # the cost of a step, and what the arithmetic alone would cost
    python -m tests.benchmarks.bench_training --to-solve  # steps and time until CartPole is solved (long)
    python -m tests.benchmarks.bench_training --memory    # the peak of a whole training, in this process

All on one thread, in one run, taking turns; seconds do not travel between machines, ratios do. Set-up, the random
steps at the start and evaluations are not counted. Stable-Baselines3 is optional: `tests/benchmarks/requirements.txt`.
"""

import argparse
import functools
import math
import statistics
import sys
import time
from collections.abc import Callable

import gymnasium
import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from examples.one_file import OffPolicyActorCritic
from offac_lite import stats
from offac_lite.agent import Agent
from offac_lite.training import Learner
from offac_lite.updates import polyak_update
from tests.benchmarks.common import MISSING, machine, ratio, table, take_turns, version

N_ENVS, TOTAL_STEPS = 8, 40_000
TURN = 1280  # steps: whole rollouts of every peer below, so that none has to go on past the end of its turn
WARM_UP = 2  # turns that are not counted: in the first 1000 steps nothing is learned
STACKS = (1, 4, 16, 32, 64)
EVERY, EPISODES, SOLVED = 2000, 20, 475.0  # solved: this greedy mean, at two evaluations in a row

# The settings of RL Baselines3 Zoo for CartPole-v1: hyperparams/a2c.yml, ppo.yml and dqn.yml of the repository
# DLR-RM/rl-baselines3-zoo. "lin_" there is a linear fall to 0. Environments, steps in all, arguments.
ZOO = {
    "A2C": (8, 500_000, dict(ent_coef=0.0)),
    "PPO": (
        8,
        100_000,
        dict(
            n_steps=32,
            batch_size=256,
            gae_lambda=0.8,
            gamma=0.98,
            n_epochs=20,
            ent_coef=0.0,
            learning_rate=lambda left: 0.001 * left,
            clip_range=lambda left: 0.2 * left,
        ),
    ),
    "DQN": (
        1,
        50_000,
        dict(
            learning_rate=2.3e-3,
            batch_size=64,
            buffer_size=100_000,
            learning_starts=1000,
            gamma=0.99,
            target_update_interval=10,
            train_freq=256,
            gradient_steps=128,
            exploration_fraction=0.16,
            exploration_final_eps=0.04,
            policy_kwargs=dict(net_arch=[256, 256]),
        ),
    ),
}


def ours(seeds: int) -> Callable[[], None]:
    """Make a function that takes a turn: `TURN` more steps per seed."""
    learner = Learner(seeds=seeds, total_steps=TOTAL_STEPS, evaluations=1, eval_episodes=1)
    iterations = iter(learner)

    def work():
        for _ in range(TURN // N_ENVS):
            next(iterations)

    return work


def ordinary() -> Callable[[], None]:
    agent = OffPolicyActorCritic(TOTAL_STEPS)

    def work():
        for _ in range(TURN // N_ENVS):
            agent.step()

    return work


def baseline3(name: str, seed: int = 0):
    """Make a model of Stable-Baselines3 with the settings of its zoo; None where it is not installed."""
    if version("stable-baselines3") is None:
        return None
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env

    n_envs, _, arguments = ZOO[name]
    env = make_vec_env("CartPole-v1", n_envs=n_envs, seed=seed)
    return getattr(stable_baselines3, name)("MlpPolicy", env, seed=seed, device="cpu", **arguments)


def peer(name: str) -> Callable[[], None] | None:
    model = baseline3(name)
    return None if model is None else lambda: model.learn(TURN, reset_num_timesteps=False)


def cost(repeats: int) -> None:
    """Print the cost of an environment step of one seed."""
    candidates = {f"`train`, {seeds} seed{'s' * (seeds > 1)}": ours(seeds) for seeds in STACKS}
    first, *_ = candidates
    candidates["ordinary code, 1 seed"] = ordinary()
    candidates |= {f"Stable-Baselines3 {name}": peer(name) for name in ZOO}
    medians = take_turns(candidates, repeats, warm_up=WARM_UP)
    sizes = dict(zip(candidates, STACKS, strict=False))
    costs = {name: None if t is None else t / TURN / sizes.get(name, 1) for name, t in medians.items()}
    references = {"a seed of `train` alone": first, "ordinary code": "ordinary code, 1 seed"}
    references |= {name: f"Stable-Baselines3 {name}" for name in ("A2C", "DQN")}
    print(f"\nCost of an environment step of one seed, median of {repeats} turns of {TURN} steps:\n")
    rows = [
        (name, MISSING, *[""] * len(references))
        if t is None
        else (name, f"{t * 1e6:.1f}", *(ratio(t, costs[r], 3) for r in references.values()))
        for name, t in costs.items()
    ]
    print(table(("", "µs", *(f"× {name}" for name in references)), rows))
    sixteen = 16 * costs["`train`, 16 seeds"]
    print(
        f"\n16 seeds at once take {sixteen / (4 * costs[first]):.2f} of the time of four alone, "
        f"and {sixteen / (4 * costs['ordinary code, 1 seed']):.2f} of that of four in ordinary code."
    )


class Recorder(TorchDispatchMode):
    """Notes every matrix product that is computed inside `with`, with its arguments."""

    PRODUCTS = {torch.ops.aten.baddbmm.default: torch.baddbmm, torch.ops.aten.bmm.default: torch.bmm}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in self.PRODUCTS:
            self.calls.append((self.PRODUCTS[function], [tensor.detach() for tensor in args]))
        return function(*args, **(kwargs or {}))


def adam_alone(agent: Agent) -> torch.optim.Adam:
    """Make an Adam for copies of all that the agent learns, with gradients that stay as they are."""
    copies = [torch.randn_like(p).requires_grad_() for group in agent.optimizer.param_groups for p in group["params"]]
    for copy in copies:
        copy.grad = torch.randn_like(copy)
    return torch.optim.Adam(copies, fused=True)


def products(repeats: int) -> None:
    """Print which share of an update the matrix products and Adam alone would take: the floor."""
    candidates, counts = {}, {}
    for seeds in STACKS:
        learner = Learner(seeds=seeds, total_steps=TOTAL_STEPS)
        for iteration in learner:
            if iteration * N_ENVS > 2000:
                break
        agent, batch = learner.agent, learner.batch

        def update(agent=agent, batch=batch):
            agent.update(batch)
            polyak_update(agent.target_critic, agent.critic, agent.config.tau)

        with Recorder() as recorder:
            update()

        adam = adam_alone(agent)

        def floor(calls=recorder.calls, adam=adam):
            with torch.no_grad():
                for function, args in calls:
                    function(*args)
            adam.step()

        candidates[seeds, "update"], candidates[seeds, "floor"] = update, floor
        counts[seeds] = len(recorder.calls)
    medians = take_turns(candidates, repeats, calls=40)
    print(
        f"\nAn update (critic, actor, Polyak) against its bare matrix products and Adam, median of {repeats} turns:\n"
    )
    rows = [
        (
            seeds,
            f"{medians[seeds, 'update'] * 1e6:.0f}",
            f"{medians[seeds, 'floor'] * 1e6:.0f}",
            counts[seeds],
            f"{medians[seeds, 'floor'] / medians[seeds, 'update']:.0%}",
        )
        for seeds in STACKS
    ]
    print(table(("seeds", "update, µs", "floor, µs", "products", "share"), rows))


def solved_at(steps, returns) -> int | None:
    """Give the step of the second of the first two evaluations in a row that reach `SOLVED`; None where there is none.

    >>> solved_at([2000, 4000, 6000, 8000], [500.0, 400.0, 480.0, 500.0])
    8000
    """
    (first,) = stats.solved_at(steps, [returns], SOLVED).tolist()
    return None if math.isnan(first) else int(first)


def solve_ours(seeds: int, seed: int) -> list[tuple[int | None, float]]:
    """Train a stack; give, for each of its seeds, the steps until it is solved and the seconds of its share of them."""
    learner, seconds, counted = Learner(seeds=seeds, total_steps=TOTAL_STEPS, seed=seed), 0.0, 0
    iterations = iter(learner)
    while True:
        evaluated, start = len(learner.run.steps), time.process_time()
        if next(iterations, None) is None:
            break
        if len(learner.run.steps) == evaluated:  # the iterations that end with an evaluation are left out
            seconds, counted = seconds + time.process_time() - start, counted + 1
    learner.close()
    per_step = seconds / counted / N_ENVS / seeds
    at = [solved_at(learner.run.steps.tolist(), row) for row in learner.run.returns.numpy()]
    return [(step, per_step * (step or TOTAL_STEPS)) for step in at]


def solve_alone(advance: Callable[[Callable[[], bool]], None], steps: Callable[[], int], play) -> tuple:
    """Run `advance(examine)`, which calls `examine` after each step until it is True; return steps and seconds.

    `play(env)` returns the greedy mean return over the environments of `env`.
    """
    exam = gymnasium.make_vec("CartPole-v1", num_envs=EPISODES)
    exam.reset(seed=12345)
    at, returns, examining = [], [], 0.0

    def examine() -> bool:
        nonlocal examining
        if steps() < EVERY * (1 + len(at)):
            return False
        start = time.process_time()
        at.append(steps())
        returns.append(play(exam))
        examining += time.process_time() - start
        return solved_at(at, returns) is not None

    start = time.process_time()
    advance(examine)
    seconds = time.process_time() - start - examining
    exam.close()
    return solved_at(at, returns), seconds


def solve_ordinary(seed: int) -> tuple[int | None, float]:
    agent = OffPolicyActorCritic(TOTAL_STEPS, seed)

    def advance(examine):
        while agent.steps < TOTAL_STEPS:
            agent.step()
            if examine():
                return

    return solve_alone(advance, lambda: agent.steps, agent.greedy_return)


def solve_peer(name: str, seed: int) -> tuple[int | None, float] | None:
    model = baseline3(name, seed)
    if model is None:
        return None

    def advance(examine):
        model.learn(ZOO[name][1], callback=lambda *_: not examine())

    def play(env):
        obs, returns, playing = env.reset()[0], np.zeros(EPISODES), np.ones(EPISODES, bool)
        while playing.any():
            obs, reward, terminated, truncated, _ = env.step(model.predict(obs, deterministic=True)[0])
            returns += playing * reward
            playing &= ~(terminated | truncated)
        return float(returns.mean())

    return solve_alone(advance, lambda: model.num_timesteps, play)


def to_solve(runs: int) -> None:
    """Print the steps and the time until CartPole is solved."""
    results = {f"`train`, {seeds} seeds": solve_ours(seeds, seed=0) for seeds in (16, 32)}
    alone = {"ordinary code, 1 seed": solve_ordinary}
    alone |= {f"Stable-Baselines3 {name}": functools.partial(solve_peer, name) for name in ZOO}
    for seed in range(runs):
        for name, solve in alone.items():
            results.setdefault(name, []).append(solve(seed))
            print(f"{name}, seed {seed}: {results[name][-1]}", file=sys.stderr, flush=True)
    print(
        f"\nUntil the greedy mean of {EPISODES} episodes is at least {SOLVED:.0f} twice in a row, asked every "
        f"{EVERY} steps; medians over seeds, in which an unsolved one counts as infinite:\n"
    )
    rows, seconds = [], {}
    for name, outcomes in results.items():
        if None in outcomes:
            rows.append((name, MISSING, "", "", "", ""))
            continue
        steps = [step or float("inf") for step, _ in outcomes]
        times = [time_ if step else float("inf") for step, time_ in outcomes]
        seconds[name] = statistics.median(times)
        rows.append(
            (
                name,
                f"{sum(step < float('inf') for step in steps)} of {len(steps)}",
                f"{statistics.median(steps):.0f}",
                f"{min(steps):.0f} to {max(steps):.0f}",
                f"{seconds[name]:.2f}",
                f"{seconds[name] / seconds['`train`, 16 seeds']:.1f}",
            )
        )
    print(table(("", "solved", "steps", "range", "s per seed", "× 16 seeds"), rows))


def memory(seeds: int) -> None:
    """Print the peak of this process before and after a whole training with evaluations."""
    try:
        import resource
    except ImportError:
        print(f"peak memory: {MISSING} (no module resource on {sys.platform})")
        return

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9

    before = peak()
    learner = Learner(seeds=seeds, total_steps=TOTAL_STEPS)
    for _ in learner:
        pass
    print(
        f"peak memory of {seeds} seeds × {TOTAL_STEPS} steps: {peak():.2f} GB, of which {before:.2f} GB are the "
        f"imports and {learner.buffer._memory.nbytes / 1e9:.2f} GB the replay buffer"
    )


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to-solve", action="store_true", help="steps and time until CartPole is solved")
    parser.add_argument("--memory", action="store_true", help="the peak memory of a whole training")
    parser.add_argument("--repeats", type=int, default=11, help="turns of each candidate (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="runs of what trains one seed, with --to-solve")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine("torch", "numpy", "gymnasium", "stable-baselines3"))
    if options.memory:
        memory(32)
    elif options.to_solve:
        to_solve(options.seeds)
    else:
        if (options.repeats + WARM_UP) * TURN >= TOTAL_STEPS:
            parser.error(f"the turns would take more than the {TOTAL_STEPS} steps of a training")
        cost(options.repeats)
        products(options.repeats)


if __name__ == "__main__":
    main()
