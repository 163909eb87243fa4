"""Train many seeds at once: collect, store, sample, critic and actor step, target network; with evaluations."""

import copy
import ctypes
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from offac_lite import _check
from offac_lite.agent import Agent
from offac_lite.buffer import ReplayBuffer, Transition
from offac_lite.config import CARTPOLE, FIXED, Config, changed
from offac_lite.envs import Episode, Spaces, VectorEnv, recent_returns
from offac_lite.play import act, auto_obs_scale, check_prefill, evaluate, flat, load_prefill, store
from offac_lite.run import Run
from offac_lite.updates import NotFiniteError, polyak_update


def train(config: Config | str = CARTPOLE, /, *, progress: bool = True, **changes: Any) -> Run:
    """Train `config.seeds` independent agents at once on a Gymnasium environment, and return the `Run`.

    `config` is a preset (`CARTPOLE`, `PENDULUM`), a `Config` of your own, or the name of an environment, which gets the
    defaults. `changes` are options of `Config` that differ: `train(PENDULUM, seeds=4, tau=0.1)`. With no argument: the
    off-policy actor-critic on CartPole-v1, 16 seeds of 40,000 steps each.

    Each step acts in `n_envs` environments per seed with the current policy, and stores what happened. After
    `random_steps` it also learns. It repeats `updates_per_step` times: draw a batch of old transitions, take a critic
    and an actor step, update the target network. The two steps are taken at once: the actor learns from the critic
    before its step (see `updates`). `progress` shows a bar.

    Functions of your own take the place of those in `equations` (options `q_target`, `v_target`,
    `policy_gradient_loss`, `leave_one_out`) or of the whole actor step (`resampled_loss`). They are tried on a small
    batch before anything runs.

    Interrupting it (Ctrl-C, the stop button) returns the run so far. A seed whose numbers are no longer finite is
    stopped, with a warning; the others go on.

    The same config gives the same run, bit for bit, on one machine with the same versions. Elsewhere rounding differs,
    and single seeds differ; only statistics over seeds agree. All S seeds share one random stream, so seed 3 of 16 is
    not seed 3 of 4.

    Raises `TypeError` or `ValueError`, before anything runs, for an option that is unknown or makes no sense.

    >>> run = train(seeds=2, total_steps=1600, evaluations=2, progress=False)
    >>> run.steps, run.returns.shape
    (tensor([ 800, 1600]), torch.Size([2, 2]))
    >>> run.policy.of_seed(1).act([0.0, 0.1, 0.0, 0.2]) in (0, 1)
    True
    """
    learner = Learner(config, **changes)
    run, c = learner.run, learner.config
    bar = tqdm(total=c.n_iterations * c.n_envs, unit=" steps", disable=not progress, desc=c.env_id)
    try:
        for _ in learner:
            bar.update(c.n_envs)
            if len(run.steps) and run.steps[-1] == bar.n:
                bar.set_postfix_str(f"median return {run.returns[:, -1].nanmedian():.0f}")
    except KeyboardInterrupt:
        run.interrupted = True
    finally:
        bar.close()
        learner.close()
    return run


def resolved(config: Config, spaces: Spaces) -> Config:
    """Return `config` with each "auto" replaced. `obs_scale` is measured by playing its environment at random."""
    if config.obs_scale == "auto":
        config = replace(config, obs_scale=auto_obs_scale(config.env_id))
    return config.resolve(spaces)


def due(done: int, total: int, times: int) -> bool:
    """Tell whether one of `times` events, evenly spread over `total` steps, falls on step `done`; the last ends them.

    >>> [step for step in range(1, 11) if due(step, 10, 3)]
    [4, 7, 10]
    """
    return done * times // total > (done - 1) * times // total


class Learner:
    """A training in progress: each iteration takes one step in every environment, and then makes the updates.

    The same arguments as `train`, which makes one and runs it to its end. `run` is the run so far.

    `config` can be replaced while it trains; the new one is checked and takes effect at the next step. Options from
    which networks, buffer or environments were made (`config.FIXED`) cannot change, nor can `batch_size` on-policy.

    >>> learner = Learner(seeds=2, total_steps=1600)
    >>> for iteration in learner:
    ...     if iteration == 100:
    ...         learner.config = replace(learner.config, action_samples=8)
    >>> len(learner.buffer) > 1500
    True
    """

    def __init__(self, config: Config | str = CARTPOLE, /, **changes: Any):
        """Check every option, then make environments, buffer and agents. Raises before anything runs."""
        started = time.perf_counter()
        c = changed(config, changes)
        _check.device("device", c.device)
        with torch_threads(c.threads):
            self._make(c)
        self.run.seconds = time.perf_counter() - started

    def _make(self, c: Config) -> None:
        """Make environments, buffer and agents."""
        # One random stream each for: environments, evaluations, actions, networks, batches, old data, measurements.
        seeds = np.random.SeedSequence(c.seed).generate_state(7).tolist()
        env_seed, eval_seed, action_seed, network_seed, batch_seed, prefill_seed, log_seed = seeds
        self.env = VectorEnv(c.env_id, c.n_envs, n_seeds=c.seeds, seed=env_seed)
        self.eval_env = VectorEnv(c.env_id, c.eval_episodes, n_seeds=c.seeds, seed=eval_seed)
        try:
            self.spaces = spaces = self.env.spaces
            c = resolved(c, spaces)
            check_prefill(c, spaces)
            generator = torch.Generator(c.device).manual_seed(action_seed)
            self.agent = Agent(c, spaces, generator, torch.Generator().manual_seed(network_seed))
            self.agent.try_own_functions()
            self.n_iterations, self.n_done = c.n_iterations, 0
            self.buffer = self._make_buffer(seed=batch_seed)
            if c.prefill is not None:
                generator = torch.Generator(c.device).manual_seed(prefill_seed)
                with closing(VectorEnv(c.env_id, c.n_envs, n_seeds=c.seeds, seed=prefill_seed)) as env:
                    load_prefill(c.prefill, self.buffer, env, generator)
        except BaseException:
            self.close()
            raise
        self.run = Run(c, spaces, self.agent.policy, self.agent.critic)
        self.log_generator = torch.Generator(c.device).manual_seed(log_seed)  # measuring changes nothing
        self.episodes: list[Episode] = []
        self.batch: Transition | None = None  # the last one
        self.has_learned = False
        self.fresh = torch.zeros(c.seeds, dtype=torch.int64, device="cpu")  # stored since the last on-policy batch
        self.critic_loss = torch.full((c.seeds,), torch.nan, dtype=torch.float32, device="cpu")
        keep_freed_memory()

    @property
    def config(self) -> Config:
        """The current options."""
        return self.agent.config

    @config.setter
    def config(self, config: Config) -> None:
        before, config = self.agent.config, config.resolve(self.spaces)
        for name in (*FIXED, "batch_size") if before.on_policy else FIXED:  # an on-policy buffer holds one batch
            if getattr(config, name) != getattr(before, name):
                raise ValueError(
                    f"{name} cannot change while training: it is {getattr(before, name)}, got {getattr(config, name)}"
                )
        check_prefill(config, self.spaces)
        self.agent.config = config
        try:
            self.agent.try_own_functions()
        except BaseException:
            self.agent.config = before
            raise
        self.run.config = config

    def __iter__(self) -> Iterator[int]:
        """Run the algorithm: collect → store → sample → critic and actor step → target network."""
        self.env.reset()
        while self.n_done < self.n_iterations:
            with torch_threads(self.config.threads):
                self._step()
                if evaluated := due(self.n_done, self.n_iterations, self.config.evaluations):
                    self._evaluate()
            if evaluated and len(self.run.stopped) == self.config.seeds:
                return
            yield self.n_done
        if not self.has_learned:
            words = "nothing was learned: there never were batch_size transitions to learn from"
            warnings.warn(words, RuntimeWarning, stacklevel=2)

    def _step(self) -> None:
        """Take one step in every environment, and make the updates."""
        started, c = time.perf_counter(), self.config
        env, agent, buffer = self.env, self.agent, self.buffer
        try:
            if c.collect:
                policy = None if self._acts_at_random() else agent.policy
                action, log_prob = act(policy, env, agent.generator)  # collect
                step = env.step(action)
                store(buffer, step, action, log_prob, env)  # store
                self.fresh += step.valid.sum(1)
            for batch in self._batches():  # sample: old states, old actions
                agent.anneal(1 - self.n_done / self.n_iterations if c.lr_decay else 1.0)
                self.critic_loss = agent.update(batch)  # fix 1: a′ ~ π(·|s′) now; fix 2: aᵖ ~ π(·|s) resampled now
                polyak_update(agent.target_critic, agent.critic, c.tau)
        except ValueError as error:
            self._stop_non_finite_seeds(env, error)
        self.n_done += 1
        self.run.seconds += time.perf_counter() - started

    def _batches(self) -> Iterator[Transition]:
        """Yield the batches to learn from after this step, rewards scaled. On-policy: the newest data, once."""
        c = self.config
        if c.on_policy:  # the buffer holds one batch; it is used once, when all of it is new
            if self.fresh.min() >= c.batch_size:
                self.fresh.zero_()
                yield self._scaled(self.buffer.all())
        elif len(self.buffer) >= c.batch_size and not self._acts_at_random():
            for _ in range(c.updates_per_step):
                yield self._scaled(self.buffer.sample(c.batch_size, newest=c.newest))

    def _acts_at_random(self) -> bool:
        """Tell whether this step is one of the first `random_steps`."""
        return self.config.collect and self.n_done * self.config.n_envs < int(self.config.random_steps)

    def _scaled(self, batch: Transition) -> Transition:
        self.has_learned = True
        self.batch = scaled = batch._replace(reward=self.config.reward_scale * batch.reward)
        return scaled

    def _evaluate(self) -> None:
        """Play with the most probable actions, and write the returns and what the last batch shows into the run."""
        started = time.perf_counter()
        run, returns = self.run, self._eval_returns()
        run.record(self.n_done * self.config.n_envs, returns.where(self._alive(), torch.nan), **self.measure())
        if self.config.checkpoints:
            run.checkpoints.append((copy.deepcopy(run.policy), copy.deepcopy(run.critic)))
        seconds = time.perf_counter() - started
        run.seconds += seconds
        run.eval_seconds += seconds

    def _alive(self) -> Tensor:
        """Return which seeds were not stopped, (S,) bool."""
        return torch.tensor([index not in self.run.stopped for index in range(self.config.seeds)], device="cpu")

    @torch.no_grad()
    def measure(self) -> dict[str, Tensor]:
        """Return the curves of `Run.log` as they stand now, (S,) each. Measuring changes nothing in the training."""
        seeds, agent, batch = self.config.seeds, self.agent, self.batch
        self.episodes = (self.episodes + self.env.pop_episodes())[-1000 * seeds :]
        unknown = torch.full((seeds,), torch.nan, dtype=torch.float32, device="cpu")
        log = {"exploring_return": recent_returns(self.episodes, seeds), "critic_loss": self.critic_loss}
        log["value"] = unknown if batch is None else agent.value(batch.obs, self.log_generator).mean(-1)
        log["entropy"] = unknown if batch is None else agent.entropy(batch.obs, self.log_generator).mean(-1)
        alive = self._alive()
        return {name: values.float().cpu().where(alive, torch.nan) for name, values in log.items()}

    def _eval_returns(self) -> Tensor:
        """Play with the most probable actions and return the mean return of each seed, (S,)."""
        while True:
            try:
                return evaluate(self.agent.policy, self.eval_env).mean(1)
            except ValueError as error:  # a seed may have broken in the last update: play without it
                self._stop_non_finite_seeds(self.eval_env, error)

    def _stop_non_finite_seeds(self, env: VectorEnv, error: ValueError) -> None:
        """Stop the seeds whose numbers are no longer finite. If all are finite, raise `error` again."""
        if not torch.isfinite(env.obs).all():  # the environment's fault, and no seed's
            raise error
        broken = self.agent.non_finite_seeds(flat(env.obs, env).to(self.config.device))
        if isinstance(error, NotFiniteError) and not (broken & self._alive().to(broken.device)).any():
            # Only now: a loss of the user's own may be one number for all seeds, which is NaN when any of them breaks.
            broken |= error.seeds.reshape(broken.shape)
        if not broken.any():
            raise error
        self.agent.stop_seeds(broken)
        for index in broken.nonzero().flatten().tolist():
            if index not in self.run.stopped:
                step = self.run.stopped[index] = self.n_done * self.config.n_envs
                warnings.warn(
                    f"seed {index} was stopped after {step} steps: its numbers are no longer finite. The others go on.",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def _make_buffer(self, seed: int) -> ReplayBuffer:
        """Reserve memory for all that will ever be stored, or for `capacity`."""
        c, spaces = self.config, self.spaces
        needed = c.largest_prefill + (c.n_iterations * c.n_envs if c.collect else 0)
        if c.on_policy:
            needed = c.batch_size
        if c.capacity is not None:
            needed = min(needed, c.capacity)
        try:
            return ReplayBuffer(
                needed,
                (spaces.obs_size,),
                spaces.flat_action_shape,
                n_seeds=c.seeds,
                action_dtype=self.env.action_dtype,
                seed=seed,
                device=c.device,
            )
        except MemoryError as error:
            raise ValueError(
                f"total_steps asks for a buffer of {c.seeds} × {needed} transitions, and there is no "
                f"memory for them ({error}): set capacity"
            ) from None

    def close(self) -> None:
        """Release the environments."""
        self.env.close()
        self.eval_env.close()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let PyTorch use `count` threads inside `with`, and as many as before afterwards.

    A second thread gains next to nothing for small networks. On a busy machine the threads wait for each other, and
    that costs many times the work.

    >>> before = torch.get_num_threads()
    >>> with torch_threads(1):
    ...     torch.get_num_threads()
    1
    >>> torch.get_num_threads() == before
    True
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Ask glibc to keep up to 256 MB of freed memory, instead of returning it after each batch.

    Getting returned memory back can take as long as the computation. Without glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    trim_threshold, mmap_threshold = -1, -3
    mallopt(trim_threshold, 2**28)
    mallopt(mmap_threshold, 2**25)  # the largest allowed
