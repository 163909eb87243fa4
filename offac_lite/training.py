"""Train many seeds at once: collect, store, sample, critic step, actor step, Polyak; and evaluate now and then."""

import copy
import ctypes
import inspect
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from offac_lite import _check, prefill
from offac_lite.agent import Agent
from offac_lite.buffer import ReplayBuffer, Transition
from offac_lite.config import Config, describe, settle
from offac_lite.envs import Episode, VectorEnv, recent_returns
from offac_lite.play import choose, evaluate, flat, store
from offac_lite.run import Run
from offac_lite.updates import NotFiniteError, polyak_update

PENDULUM: dict[str, Any] = {
    "total_steps": 12_000,
    "n_envs": 4,
    "updates_per_step": 2,
    "action_samples": 8,
    "actor_lr": 1e-3,
    "tau": 0.05,
    "entropy_bonus": 0.02,
}
"""Options that learn Pendulum-v1: `train("Pendulum-v1", **PENDULUM)`."""


def train(
    env_id: str = "CartPole-v1",
    *,
    seeds: int = 16,
    total_steps: int = 40_000,
    critic: str = "q",
    action: str = "resampled",
    action_samples: int | str = 4,
    baseline: str | None = "auto",
    gradient: str = "score",
    next_action_samples: int | str = "auto",
    twin: bool = True,
    tau: float = 0.1,
    gamma: float = 0.99,
    entropy_bonus: float = 0.05,
    importance_clip: float | None = None,
    batch_size: int = 128,
    updates_per_step: int = 1,
    actor_lr: float = 3e-4,
    critic_lr: float = 4e-3,
    lr_decay: bool = True,
    hidden: Sequence[int] = (32, 32),
    obs_scale="auto",
    reward_scale: float = 0.1,
    n_envs: int = 8,
    random_steps: int | str = "auto",
    prefill=None,
    collect: bool = True,
    on_policy: bool = False,
    capacity: int | None = None,
    evaluations: int = 20,
    eval_episodes: int = 20,
    checkpoints: bool = False,
    q_target: Callable | None = None,
    v_target: Callable | None = None,
    policy_gradient_loss: Callable | None = None,
    leave_one_out: Callable | None = None,
    resampled_loss: Callable | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> Run:
    """Train `seeds` independent agents at once on a Gymnasium environment, and return the `Run`.

    With no argument: the off-policy actor-critic on CartPole-v1, 16 seeds of 40,000 steps each; the defaults are made
    for it. `train("Pendulum-v1", **PENDULUM)` learns Pendulum, and any other environment with Box observations and
    Discrete or Box actions can be tried. Every step acts in
    `n_envs` environments per seed with the current policy, stores what happened, and then `updates_per_step` times
    draws a batch of old transitions, takes a critic step and an actor step and moves the target network.

    **The algorithm and its ablations**

    - `critic`: "q", with a′ ~ π in its target, or "v", which learns the value of whoever wrote the data.
    - `action`: what the policy gradient is taken at. "resampled": actions drawn from π now. "stored": the buffer's.
      "importance": the buffer's, weighted by ρ = π/β, at most `importance_clip` where that is given (a V-critic is
      weighted too). critic="v", action="resampled" cannot be, and the error says why.
    - `action_samples`: K resampled actions per state, or "all" (the exact sum; discrete actions).
    - `baseline`: None is Q itself (for "v": the TD target); "value" subtracts V (for "v": the TD error);
      "leave-one-out" the mean of the other K − 1. "auto" is "value" for discrete actions and stored ones,
      "leave-one-out" for several resampled continuous ones, else None.
    - `gradient`: "score", or "reparameterized" (resampled continuous actions; `baseline` then does not matter).
    - `next_action_samples`: M, the a′ in a Q-critic's target, or "all"; "auto" is "all" for discrete actions, else 4.
    - `twin`: two Q-critics, the smaller one believed. `tau`: the target network's rate; 1 is no target network.
    - `entropy_bonus`: in scaled reward units per nat. `gamma`: the discount.
    - `prefill`: old data to start from, the same or its own for each seed: a `ReplayBuffer` (unscaled rewards), or
      (policy, count) for `count` transitions per seed of a policy that never learns, where policy is one probability
      per action, a network, or None for uniform. `collect=False` adds nothing to it: then `total_steps` counts the
      steps that would have been taken.
    - `on_policy=True` (for "v" with "stored"): each batch is the newest data, used once and thrown away.

    **Sizes.** `total_steps` is per seed, all its environments together, rounded up to whole steps of them. A batch of
    `batch_size` transitions replays `updates_per_step` · `batch_size` / `n_envs` transitions for each one collected, 16
    by default. `actor_lr` and `critic_lr` fall linearly to 0 unless `lr_decay` is False. The first `random_steps`
    actions of a seed are uniform ("auto": 1000, or a quarter of a short run; 0 with `prefill` or `on_policy`).
    Observations are multiplied by `obs_scale` ("auto": half over the standard deviation of each feature in random play,
    and for CartPole four numbers of that size), rewards by `reward_scale`. `capacity` of the buffer: None keeps all.

    **Evaluation.** `evaluations` times, `eval_episodes` episodes with each seed's most probable actions. With
    `checkpoints=True` a copy of the networks of each time is kept in `Run.checkpoints`.

    **Functions of your own** take the place of the ones in `offac_lite.updates`: `q_target`, `v_target`,
    `policy_gradient_loss`, `leave_one_out`; and `resampled_loss(policy, critic, obs, stored_action, action_samples,
    generator)`, of notebook 05, that of the whole actor step (the entropy bonus is added). They are tried on a small
    batch before anything runs, and one that these options would never call is refused.

    **Interrupting** it (Ctrl-C, the stop button) returns the run so far. A seed whose numbers cease to be finite is
    stopped, with a warning; the others go on.

    **Reproducible**: the same arguments, on the same machine with the same number of threads and the same versions,
    give the same run, bit for bit. Another machine or thread count rounds differently, and training magnifies that:
    there only what holds across seeds holds. All S seeds share one random stream, so seed 3 of 16 is not seed 3 of 4.

    Raises `TypeError` or `ValueError`, before anything runs, for an argument that makes no sense.

    >>> run = train(seeds=2, total_steps=1600, evaluations=2, progress=False)
    >>> run.steps, run.returns.shape
    (tensor([ 800, 1600]), torch.Size([2, 2]))
    >>> run.policy.of_seed(1).act([0.0, 0.1, 0.0, 0.2]) in (0, 1)
    True
    """
    learner = Learner(**locals())
    run = learner.run
    bar = tqdm(total=learner.n_iterations * n_envs, unit=" steps", disable=not progress, desc=env_id)
    try:
        for _ in learner:
            bar.update(n_envs)
            if len(run.steps) and run.steps[-1] == bar.n:
                bar.set_postfix_str(f"median return {run.returns[:, -1].nanmedian():.0f}")
    except KeyboardInterrupt:
        run.interrupted = True
    finally:
        bar.close()
        learner.close()
    return run


def asked_for(options: Mapping) -> Config:
    """Give every option of `train`, those that are not in `options` as their defaults; `settle` is yet to check them.

    Raises `TypeError` for what is no option of `train`.
    """
    defaults = {name: parameter.default for name, parameter in inspect.signature(train).parameters.items()}
    if unknown := options.keys() - defaults.keys():
        raise TypeError(f"train has no option {', '.join(sorted(unknown))}; it has {', '.join(defaults)}")
    return Config({**defaults, **options})


class Learner:
    """A training in progress: `for _ in learner` takes a step in every environment, with its updates, at a time.

    `train` makes one and exhausts it. `run` is the run so far. Changing an entry of `config`, such as
    "action_samples" or "tau", takes effect at the next step.

    >>> learner = Learner(seeds=2, total_steps=1600)
    >>> for iteration in learner:
    ...     learner.config["action_samples"] = 8
    >>> len(learner.buffer) > 1500
    True
    """

    def __init__(self, **options):
        """Check every option, then make environments, buffer and agents. Raises before anything runs."""
        started = time.perf_counter()
        self.config = config = asked_for(options)
        seed = _check.count("seed", config["seed"], at_least=0)
        streams = np.random.SeedSequence(seed).generate_state(7).tolist()
        config["seed"] = seed
        sizes = [_check.count(name, config[name]) for name in ("seeds", "n_envs", "eval_episodes")]
        self.env = VectorEnv(config["env_id"], sizes[1], n_seeds=sizes[0], seed=streams[0])
        try:
            self.exam = VectorEnv(config["env_id"], sizes[2], n_seeds=sizes[0], seed=streams[1])
            spaces = describe(self.env)
            settle(config, spaces)
            generator = torch.Generator(config["device"]).manual_seed(streams[2])
            self.agent = Agent(config, spaces, generator, torch.Generator().manual_seed(streams[3]))
            self.agent.try_own_functions()
            self.n_iterations, self.n_done = math.ceil(config["total_steps"] / config["n_envs"]), 0
            self.buffer = self._make_buffer(spaces, seed=streams[4])
            if config["prefill"] is not None:
                generator = torch.Generator(config["device"]).manual_seed(streams[5])
                with closing(VectorEnv(config["env_id"], sizes[1], n_seeds=sizes[0], seed=streams[5])) as env:
                    prefill.pour(config["prefill"], self.buffer, env, generator)
        except BaseException:
            self.close()
            raise
        self.run = Run(config, spaces, self.agent.policy, self.agent.critic)
        self.log_generator = torch.Generator(config["device"]).manual_seed(streams[6])  # measuring changes nothing
        keep_freed_memory()
        self.run.seconds = time.perf_counter() - started

    def __iter__(self) -> Iterator[int]:
        """Run the algorithm: collect → store → sample → critic step → actor step → Polyak."""
        c, env, agent, buffer = self.config, self.env, self.agent, self.buffer
        self.episodes: list[Episode] = []
        self.batch: Transition | None = None
        self.has_learned = False
        self.fresh, self.critic_loss = (torch.full((c["seeds"],), start) for start in (0, torch.nan))
        env.reset()
        while self.n_done < self.n_iterations:
            started = time.perf_counter()
            try:
                if c["collect"]:
                    at_random = self.n_done * c["n_envs"] < c["random_steps"]
                    action, log_prob = choose(None if at_random else agent.policy, env, agent.generator)  # collect
                    step = env.step(action)
                    store(buffer, step, action, log_prob, env)  # store
                    self.fresh += step.valid.sum(1)
                for batch in self._batches():  # sample: old states, old actions
                    agent.anneal(1 - self.n_done / self.n_iterations if c["lr_decay"] else 1.0)
                    self.critic_loss = agent.critic_step(batch)  # a′ ~ π(·|s′) is drawn here
                    agent.actor_step(batch)  # and the resampled aᵖ ~ π(·|s) here
                    polyak_update(agent.target_critic, agent.critic, c["tau"])
            except ValueError as error:
                self._retire_broken_seeds(env, error)
            self.n_done += 1
            self.run.seconds += time.perf_counter() - started
            if self.n_done * c["evaluations"] % self.n_iterations < c["evaluations"]:
                self._evaluate()
                if len(self.run.stopped) == c["seeds"]:
                    return
            yield self.n_done
        if not self.has_learned:
            warnings.warn(
                "nothing was learned: there never were batch_size transitions to learn from",
                RuntimeWarning,
                stacklevel=2,
            )

    def _batches(self) -> Iterator[Transition]:
        """Give the batches to learn from after this step, rewards scaled: old transitions; on-policy, the newest."""
        c = self.config
        if c["on_policy"]:  # the buffer holds one batch; when all of it is new, it is used, once
            if self.fresh.min() >= c["batch_size"]:
                self.fresh.zero_()
                yield self._scaled(self.buffer.all())
        elif len(self.buffer) >= c["batch_size"] and self.n_done * c["n_envs"] >= c["random_steps"]:
            for _ in range(c["updates_per_step"]):
                yield self._scaled(self.buffer.sample(c["batch_size"]))

    def _scaled(self, batch: Transition) -> Transition:
        self.has_learned = True
        self.batch = scaled = batch._replace(reward=self.config["reward_scale"] * batch.reward)
        return scaled

    def _evaluate(self) -> None:
        """Play with the most probable actions, and write the returns and what the last batch shows into the run."""
        started = time.perf_counter()
        run, returns = self.run, self._examine()
        alive = torch.tensor([index not in run.stopped for index in range(self.config["seeds"])])
        run.record(self.n_done * self.config["n_envs"], returns.where(alive, torch.nan), **self.measure())
        if self.config["checkpoints"]:
            run.checkpoints.append((copy.deepcopy(run.policy), copy.deepcopy(run.critic)))
        seconds = time.perf_counter() - started
        run.seconds += seconds
        run.eval_seconds += seconds

    @torch.no_grad()
    def measure(self) -> dict[str, torch.Tensor]:
        """Give the curves of `Run.log` as they stand now, (S,) each. Measuring changes nothing in the training."""
        seeds, agent, batch = self.config["seeds"], self.agent, self.batch
        self.episodes = (self.episodes + self.env.pop_episodes())[-1000 * seeds :]
        unknown = torch.full((seeds,), torch.nan)
        log = {"exploring_return": recent_returns(self.episodes, seeds), "critic_loss": self.critic_loss}
        log["value"] = unknown if batch is None else agent.value(batch.obs, self.log_generator).mean(-1)
        log["entropy"] = unknown if batch is None else agent.entropy(batch.obs, self.log_generator).mean(-1)
        alive = torch.tensor([index not in self.run.stopped for index in range(seeds)])
        return {name: values.float().cpu().where(alive, torch.nan) for name, values in log.items()}

    def _examine(self) -> torch.Tensor:
        """Play with the most probable actions and give the mean return of each seed, (S,)."""
        while True:
            try:
                return evaluate(self.agent.policy, self.exam).mean(1)
            except ValueError as error:  # a seed may have broken in the last update: play without it
                self._retire_broken_seeds(self.exam, error)

    def _retire_broken_seeds(self, env: VectorEnv, error: ValueError) -> None:
        """Stop the seeds whose numbers are no longer finite; raise `error` again where there are none."""
        if not torch.isfinite(env.obs).all():  # the environment's fault, and no seed's
            raise error
        broken = self.agent.broken(flat(env.obs, env).to(self.config["device"]))
        if isinstance(error, NotFiniteError):
            broken |= error.seeds.reshape(broken.shape)
        if not broken.any():
            raise error
        self.agent.retire(broken)
        for index in broken.nonzero().flatten().tolist():
            if index not in self.run.stopped:
                step = self.run.stopped[index] = self.n_done * self.config["n_envs"]
                warnings.warn(
                    f"seed {index} was stopped after {step} steps: its numbers are no longer finite. The others go on.",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def _make_buffer(self, spaces: dict, seed: int) -> ReplayBuffer:
        """Reserve memory for all that will ever be stored, or for `capacity`."""
        c = self.config
        collected = self.n_iterations * c["n_envs"] * c["collect"]
        needed = c["batch_size"] if c["on_policy"] else prefill.most(c["prefill"]) + collected
        needed = min(needed, c["capacity"] or needed)
        action_shape = () if spaces["n_actions"] else (len(spaces["low"]),)
        kept = {"n_seeds": c["seeds"], "seed": seed, "device": c["device"], "action_dtype": self.env.action_dtype}
        try:
            return ReplayBuffer(needed, (spaces["obs_size"],), action_shape, **kept)
        except MemoryError as error:
            raise ValueError(
                f"total_steps asks for a buffer of {c['seeds']} × {needed} transitions, and there is no "
                f"memory for them ({error}): set capacity"
            ) from None

    def close(self) -> None:
        """Release the environments."""
        self.env.close()
        if hasattr(self, "exam"):
            self.exam.close()


def keep_freed_memory(n_bytes: int = 2**28) -> None:
    """Ask glibc to keep up to `n_bytes` of freed memory, instead of handing it back after each batch.

    Pages that are handed back have to be fetched anew for the next batch, which can cost as much as the arithmetic.
    Where the C library has no such setting, nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(trim_threshold, n_bytes)
    mallopt(mmap_threshold, 2**25)  # the largest allowed
