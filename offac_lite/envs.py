"""Gymnasium environments side by side, correct about termination, truncation and autoreset.

A *termination* is part of the task: no reward follows it, so a target does not bootstrap from the state after it.
A *truncation* (a time limit) only ends the recording: the next state is an ordinary one and its value counts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from offac_lite import _check
from offac_lite._check import Numbers


class Step(NamedTuple):
    """The result of one step of every environment; each field has the leading axes (n_envs,) or (S, n_envs)."""

    obs: torch.Tensor
    """s, the observation in which the action was taken, (..., *obs_shape)."""
    reward: torch.Tensor
    """r, (...,) float32."""
    next_obs: torch.Tensor
    """s', (..., *obs_shape): at an episode's end its final observation, never the first of the next episode."""
    terminated: torch.Tensor
    """d, (...,) bool: s' is terminal."""
    truncated: torch.Tensor
    """(...,) bool: a limit from outside the task, such as time, ended the episode. `terminated` can be True as well."""
    valid: torch.Tensor
    """(...,) bool: False where the environment only reset itself. Such a row is no transition: do not store it."""


class Episode(NamedTuple):
    """A finished episode: which seed (0 without seeds) and environment, its undiscounted return, its steps."""

    seed: int
    env: int
    episode_return: float
    length: int


@dataclass(frozen=True)
class Spaces:
    """The sizes and bounds of an environment from which networks are made.

    `n_actions` is A, the number of discrete actions, or None for continuous ones. `low` and `high` hold the bounds of
    continuous actions, flattened; they are empty for discrete ones.
    """

    obs_shape: tuple[int, ...]
    action_shape: tuple[int, ...]
    n_actions: int | None
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def obs_size(self) -> int:
        """Number of features of an observation."""
        return math.prod(self.obs_shape)

    @property
    def flat_action_shape(self) -> tuple[int, ...]:
        """Shape of an action in the buffer and for the networks: () for a discrete one, else (D,)."""
        return () if self.n_actions is not None else (math.prod(self.action_shape),)


class VectorEnv:
    """`n_envs` copies of a Gymnasium environment, or S · `n_envs` under a leading axis of seeds, in torch tensors.

    - `env_id`, `**kwargs`: for `gymnasium.make_vec`, which takes the environment's own vectorised form where it has
      one and steps single ones in a loop otherwise (`vectorization_mode="sync"` asks for the loop).
    - `n_seeds`: None, or S.
    - `seed`: starts the random streams at the first `reset`. The same arguments and actions give the same observations.
      In a loop (`"sync"`, `"async"`) every environment has its own random stream, which depends on `seed` and its two
      indices alone: slice s of S seeds is the same for any other S. A vectorised form (CartPole's) takes one seed and
      draws all initial states from one stream, in the order in which episodes end. There only the whole is
      reproducible: a slice changes with S and with the actions in the other slices.

    Observations are Box (float32 tensors) or Discrete (int64), actions Discrete (int64) or Box (float32).
    Attributes: `batch_shape` (n_envs,) or (S, n_envs); `obs_shape`, `obs_dtype`, `action_shape`, `action_dtype`;
    `n_actions`, the number of discrete actions, or None; `n_obs`, the number of discrete observations, or None;
    `action_low` and `action_high`, the smallest and largest action, of `action_shape` and `action_dtype` (0 and
    `n_actions` − 1 for discrete actions); `obs`, the observations to act on, set by `reset` and `step`; `gym_env`, the
    Gymnasium environment.

    Gymnasium resets a finished environment in the *next* step, which ignores its action, gives reward 0 and returns
    the new episode's first observation. `Step.valid` is False in that row.

    Raises `ValueError` for an unknown environment, a space that is neither Box nor Discrete, another autoreset mode,
    or `n_envs` < 1.

    >>> from offac_lite.buffer import ReplayBuffer
    >>> env = VectorEnv("CartPole-v1", n_envs=8)
    >>> buffer = ReplayBuffer(1000, env.obs_shape, env.action_shape)
    >>> obs, generator = env.reset(), torch.Generator().manual_seed(0)
    >>> for _ in range(50):
    ...     action = torch.randint(env.n_actions, env.batch_shape, generator=generator)
    ...     step = env.step(action)
    ...     buffer.add(step.obs, action, step.reward, step.next_obs, step.terminated, valid=step.valid)
    >>> step.next_obs.shape, 300 < len(buffer) < 400  # 400 rows, less one for each reset
    (torch.Size([8, 4]), True)
    """

    def __init__(self, env_id: str, n_envs: int, *, n_seeds: int | None = None, seed: int = 0, **kwargs: Any):
        """Make the environments; see the class."""
        self.env_id, self.n_envs = env_id, _check.count("n_envs", n_envs)
        self.n_seeds = None if n_seeds is None else _check.count("n_seeds", n_seeds)
        self.batch_shape: tuple[int, ...] = (self.n_envs,) if self.n_seeds is None else (self.n_seeds, self.n_envs)
        self._seed = _check.count("seed", seed, at_least=0)
        self._size = math.prod(self.batch_shape)
        try:
            self.gym_env: Any = gymnasium.make_vec(env_id, num_envs=self._size, **kwargs)
        except gymnasium.error.UnregisteredEnv as error:
            raise ValueError(f"env_id = {env_id!r} is not an environment Gymnasium knows: {error}") from None
        except (gymnasium.error.Error, ImportError, TypeError, AttributeError, AssertionError) as error:
            raise ValueError(f"env_id = {env_id!r} cannot be made: {type(error).__name__}: {error}") from error
        if isinstance(self.gym_env.unwrapped, SyncVectorEnv):
            self.gym_env.unwrapped.envs = [_Checked(env, env_id) for env in self.gym_env.unwrapped.envs]
        try:
            self._read_spaces()
        except ValueError:
            self.gym_env.close()
            raise
        self._obs: torch.Tensor | None = None
        self._episodes: list[Episode] = []

    def _read_spaces(self) -> None:
        mode = self.gym_env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.NEXT_STEP:
            raise ValueError(
                f"{self.env_id} resets with autoreset_mode = {mode}, but only {AutoresetMode.NEXT_STEP} "
                "is supported: with another, next_obs would not be the true successor"
            )
        obs, action = self.gym_env.single_observation_space, self.gym_env.single_action_space
        for name, space in ("observation", obs), ("action", action):
            if not (isinstance(space, Box) or (isinstance(space, Discrete) and space.start == 0)):
                raise ValueError(
                    f"the {name} space of {self.env_id} is {space}: only Box and Discrete (from 0) are supported"
                )
        if isinstance(action, Box) and action.dtype.kind != "f":
            raise ValueError(f"the action space of {self.env_id} is {action}: a Box must hold floating-point numbers")
        self.obs_shape: tuple[int, ...] = obs.shape
        self.action_shape: tuple[int, ...] = action.shape
        self.n_obs = int(obs.n) if isinstance(obs, Discrete) else None
        self.n_actions = int(action.n) if isinstance(action, Discrete) else None
        self.obs_dtype = torch.int64 if isinstance(obs, Discrete) else torch.float32
        self._obs_type = np.int64 if isinstance(obs, Discrete) else np.float32
        self.action_dtype = torch.int64 if isinstance(action, Discrete) else torch.float32
        low, high = (0, action.n - 1) if isinstance(action, Discrete) else (action.low, action.high)
        self.action_low = torch.tensor(low, dtype=self.action_dtype, device="cpu")
        self.action_high = torch.tensor(high, dtype=self.action_dtype, device="cpu")
        self._action_bounds = np.asarray(low), np.asarray(high)

    @property
    def spaces(self) -> Spaces:
        """The sizes and bounds from which networks are made.

        Raises `ValueError` for observations that are not a Box, and for actions without finite bounds or with a
        dimension that is fixed.

        >>> VectorEnv("CartPole-v1", 1).spaces
        Spaces(obs_shape=(4,), action_shape=(), n_actions=2, low=(), high=())
        """
        if self.n_obs is not None:
            raise ValueError(f"the observation space of {self.env_id} is Discrete({self.n_obs}): train needs a Box")
        if self.n_actions is not None:
            return Spaces(self.obs_shape, self.action_shape, self.n_actions)
        low, high = self.action_low.flatten().tolist(), self.action_high.flatten().tolist()
        span = self.action_high - self.action_low
        if not (torch.isfinite(span) & (span > 0)).all():
            wanted = "train needs finite bounds, with low < high in each dimension and a finite distance, in float32"
            raise ValueError(f"the actions of {self.env_id} reach from {low} to {high}: {wanted}")
        return Spaces(self.obs_shape, self.action_shape, None, tuple(low), tuple(high))

    @property
    def obs(self) -> torch.Tensor:
        """The observations to act on, (*batch_shape, *obs_shape). Raises `RuntimeError` before the first `reset`."""
        if self._obs is None:
            raise RuntimeError("the environments have not started: call reset() first")
        return self._obs

    def reset(self, seed: int | None = None) -> torch.Tensor:
        """Start a new episode everywhere and return the first observations, (*batch_shape, *obs_shape).

        The first call uses the `seed` of the class, later ones go on with the random streams, and `seed` starts them
        again. Unfinished episodes are dropped, and do not count as finished.
        """
        if seed is None and self._obs is None:
            seed = self._seed
        obs, _ = self.gym_env.reset(seed=None if seed is None else self._env_seeds(seed))
        self._done = np.zeros(self._size, bool)
        self._returns, self._lengths = np.zeros(self._size), np.zeros(self._size, int)
        self._obs = first = self._observed(obs)
        return first

    def step(self, action: Numbers) -> Step:
        """Take one action in every environment and return `Step(obs, reward, next_obs, terminated, truncated, valid)`.

        `action`: (*batch_shape, *action_shape), integers in [0, n_actions) or numbers in [action_low, action_high].
        A number that rounding to float32 has put outside is clipped. Where `valid` is False, the action was
        ignored. Afterwards `env.obs` is `next_obs`. Where the episode has ended, it is the final observation, and the
        next action is ignored.

        Raises `RuntimeError` before the first `reset`, `TypeError` and `ValueError` for a wrong dtype, shape or range.
        """
        obs = self.obs
        next_obs, reward, terminated, truncated, _ = self.gym_env.step(self._checked(action))
        valid, self._done = ~self._done, terminated | truncated
        self._returns += np.where(valid, reward, 0.0)
        self._lengths += valid
        for i in np.flatnonzero(self._done).tolist():
            self._episodes.append(Episode(*divmod(i, self.n_envs), float(self._returns[i]), int(self._lengths[i])))
            self._returns[i] = self._lengths[i] = 0
        self._obs = after = self._observed(next_obs)
        ends = self._tensor(terminated, np.bool_), self._tensor(truncated, np.bool_)
        return Step(obs, self._tensor(reward, np.float32), after, *ends, self._tensor(valid, np.bool_))

    def pop_episodes(self) -> list[Episode]:
        """Return the episodes finished since the last call, in order of their end, and forget them.

        >>> env = VectorEnv("CartPole-v1", n_envs=2, max_episode_steps=3)
        >>> obs = env.reset()
        >>> for _ in range(4):  # in the fourth step the environments reset
        ...     step = env.step(torch.zeros(2, dtype=torch.int64))
        >>> env.pop_episodes()
        [Episode(seed=0, env=0, episode_return=3.0, length=3), Episode(seed=0, env=1, episode_return=3.0, length=3)]
        >>> env.pop_episodes()
        []
        """
        episodes, self._episodes = self._episodes, []
        return episodes

    def close(self) -> None:
        """Close the windows and processes that the environments hold; most hold none."""
        self.gym_env.close()

    def __repr__(self) -> str:
        """Describe the arguments and the spaces."""
        seeds = "" if self.n_seeds is None else f", n_seeds={self.n_seeds}"
        obs, action = self.gym_env.single_observation_space, self.gym_env.single_action_space
        return f"VectorEnv({self.env_id!r}, n_envs={self.n_envs}{seeds}): obs {obs}, action {action}"

    def _observed(self, obs: np.ndarray) -> torch.Tensor:
        if self.n_obs is None:
            _check.whole_numbers_fit(f"an observation of {self.env_id}", obs)
        return self._tensor(obs, self._obs_type)

    def _tensor(self, array: np.ndarray, dtype: type) -> torch.Tensor:
        """Copy, because an environment may go on writing into its own array."""
        array = np.array(array, dtype)
        return torch.from_numpy(array.reshape(self.batch_shape + array.shape[1:]))

    def _env_seeds(self, seed: int) -> int | list[int]:
        """Return the seed of each environment in a loop, made of `seed` and its two indices, or else `seed` itself."""
        seed = _check.count("seed", seed, at_least=0)
        if not isinstance(self.gym_env.unwrapped, SyncVectorEnv | AsyncVectorEnv):
            return seed
        slices = [np.random.SeedSequence([seed, s]) for s in range(self.n_seeds or 1)]
        return [int(word) >> 1 for slice_ in slices for word in slice_.generate_state(self.n_envs)]

    def _checked(self, action: Numbers) -> np.ndarray:
        """Return the actions as Gymnasium takes them, or raise for a wrong dtype, shape or range."""
        action = action.numpy(force=True) if isinstance(action, torch.Tensor) else np.asarray(action)
        discrete, wanted = self.n_actions is not None, self.batch_shape + self.action_shape
        if action.dtype.kind not in ("iu" if discrete else "f"):
            numbers = "integers" if discrete else "floating-point numbers"
            raise TypeError(f"action must hold {numbers} for {self.env_id}, got {action.dtype}")
        if action.shape != wanted:
            raise ValueError(f"action has shape {action.shape}, wanted {wanted} = batch_shape + action_shape")
        low, high = self._action_bounds
        near = np.clip(action, low, high)
        slack = 0.0 if discrete else rounding(low, high)
        if not (np.isfinite(action).all() and (np.abs(near - action) <= slack).all()):
            bounds = f"{low.tolist()} to {high.tolist()}"
            raise ValueError(f"action holds {action.min():g} to {action.max():g}, wanted {bounds}")
        dtype = self.gym_env.single_action_space.dtype
        return near.astype(dtype, copy=False).reshape(self._size, *self.action_shape)


class _Checked(gymnasium.Wrapper):
    """Check what the first `reset` and the first `step` of an environment return; afterwards it costs nothing."""

    def __init__(self, env: gymnasium.Env, env_id: str):
        super().__init__(env)
        self.env_id = env_id

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        answer = self._answer("reset", seed=seed, options=options)
        self.reset = self.env.reset  # type: ignore[method-assign]
        return answer

    def step(self, action: Any) -> Any:
        answer = self._answer("step", action)
        self.step = self.env.step  # type: ignore[method-assign]
        return answer

    def _answer(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call the method. Raise `ValueError` where the environment has the interface of the old Gym."""
        try:
            answer = getattr(self.env, method)(*args, **kwargs)
        except Exception:
            # A wrapper of Gymnasium's trips over what it did not expect. Ask the environment itself what that is.
            try:
                answer = getattr(self.unwrapped, method)(*args, **kwargs)
            except TypeError as error:
                if "unexpected keyword" in str(error):
                    raise self._refusal(f"{method} does not take what it is given ({error})") from None
                raise
            if _well_formed(method, answer):
                raise
        if not _well_formed(method, answer):
            values = ", ".join(type(value).__name__ for value in (answer if isinstance(answer, tuple) else (answer,)))
            raise self._refusal(f"{method} returned {values}")
        if np.shape(answer[0]) != self.observation_space.shape:
            wanted = f"{self.observation_space.shape}, that of its observation_space"
            raise ValueError(f"{self.env_id} gave an observation of shape {np.shape(answer[0])}, wanted {wanted}")
        return answer

    def _refusal(self, words: str) -> ValueError:
        return ValueError(
            f"{self.env_id} does not have Gymnasium's interface: its {words}. Wanted are reset(self, *, seed=None, "
            "options=None), which returns (obs, info), and step(self, action), which returns (obs, reward, terminated, "
            "truncated, info), with terminated and truncated True or False"
        )


def _well_formed(method: str, answer: Any) -> bool:
    if method == "reset":
        return isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict)
    flags: tuple[Any, ...] = answer[2:4] if isinstance(answer, tuple) and len(answer) == 5 else (None,)
    return all(np.ndim(flag) == 0 and np.asarray(flag).dtype.kind in "biu" for flag in flags)


def rounding(low: Numbers, high: Numbers) -> np.ndarray:
    """Return by how much float32 may round an action out of its bounds: a little of their size and of their distance.

    >>> rounding([-2.0], [2.0])
    array([4.2e-05])
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    sizes = [np.where(np.isfinite(x), np.abs(x), 0.0) for x in (low, high, high - low)]
    return 1e-6 * np.maximum(sizes[0], sizes[1]) + 1e-5 * sizes[2]


def recent_returns(episodes: Sequence[Episode], n_seeds: int = 1, last: int = 10) -> torch.Tensor:
    """Return the mean return of each seed's `last` episodes, (n_seeds,): NaN for a seed that has finished none.

    >>> episodes = [Episode(0, 0, 10.0, 10), Episode(1, 0, 30.0, 30), Episode(0, 1, 20.0, 20)]
    >>> recent_returns(episodes, n_seeds=3)
    tensor([15., 30., nan])
    """
    returns = [[e.episode_return for e in own] for own in latest_episodes(episodes, n_seeds, last)]
    return torch.tensor([sum(r) / len(r) if r else float("nan") for r in returns], dtype=torch.float32, device="cpu")


def recently_delivered(episodes: Sequence[Episode], n_seeds: int, gamma: float) -> torch.Tensor:
    """Return `discounted_steps_left` of each seed's last 10 episodes, (n_seeds,): NaN for a seed without any.

    >>> recently_delivered([Episode(0, 0, 2.0, 2)], n_seeds=2, gamma=0.5)
    tensor([1.2500,    nan])
    """
    lengths = [[e.length for e in own] for own in latest_episodes(episodes, n_seeds)]
    means = [discounted_steps_left(own, gamma) if own else float("nan") for own in lengths]
    return torch.tensor(means, dtype=torch.float32, device="cpu")


def latest_episodes(episodes: Sequence[Episode], n_seeds: int = 1, last: int = 10) -> list[list[Episode]]:
    """Return each seed's `last` episodes, the newest first.

    >>> latest_episodes([Episode(0, 0, 10.0, 10), Episode(0, 1, 20.0, 20)], n_seeds=2, last=1)
    [[Episode(seed=0, env=1, episode_return=20.0, length=20)], []]
    """
    latest: list[list[Episode]] = [[] for _ in range(_check.count("n_seeds", n_seeds))]
    _check.count("last", last)
    for episode in reversed(episodes):
        if not 0 <= episode.seed < n_seeds:
            raise ValueError(f"episodes holds one of seed {episode.seed}, wanted 0 to {n_seeds - 1} = n_seeds - 1")
        if len(latest[episode.seed]) < last:
            latest[episode.seed].append(episode)
    return latest


def discounted_steps_left(lengths: Sequence[int], gamma: float) -> float:
    """Return the mean of 1 + γ + γ² + … over all states of episodes of these lengths.

    This is the mean discounted return from a state if each step gives the reward 1.

    >>> discounted_steps_left([2], gamma=0.5)  # 1 + 0.5 in the first state, 1 in the second
    1.25
    """
    gamma, lengths = _check.discount("gamma", gamma), _check.sizes("lengths", lengths)
    if not lengths:
        raise ValueError("lengths is empty, wanted at least one episode")
    sums = (gamma ** torch.arange(max(lengths), dtype=torch.float64, device="cpu")).cumsum(0)
    return torch.cat([sums[:length] for length in lengths]).mean().item()
