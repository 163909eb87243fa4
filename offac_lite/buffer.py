"""The replay buffer R: a ring of past transitions, one per seed, in one block of memory."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from offac_lite import _check

_EXACT = 2**24  # float32 holds every integer up to here
_LARGEST = float(np.finfo(np.float32).max)
_NUMPY = {torch.float32: np.float32, torch.int64: np.int64}
_ACCEPTED = {  # per dtype that a field comes back in: the kinds of NumPy dtype it may be given in, and their name
    np.float32: ("fiu", "numbers"),
    np.int64: ("iu", "integers"),
    np.bool_: ("b", "bool"),
}
_HINTS = {
    "terminated": ": True only where next_obs is a terminal state. It is `terminated`, never `done`: "
    "a time limit is truncation, after which the target still bootstraps",
    "action": ": with action_shape=() actions are discrete unless action_dtype=torch.float32",
}


class Transition(NamedTuple):
    """Stored transitions (s, a, r, s', d) of a behaviour policy β; every field has the same leading axes.

    No action in it comes from the current policy: a critic's target and an actor's update draw their own.
    """

    obs: torch.Tensor
    """s, (..., *obs_shape)."""
    action: torch.Tensor
    """a ~ β(·|s), (..., *action_shape)."""
    reward: torch.Tensor
    """r, (...,) float32."""
    next_obs: torch.Tensor
    """s', the true successor, (..., *obs_shape)."""
    terminated: torch.Tensor
    """d, (...,) bool: s' is terminal. A time limit is truncation and leaves it False."""
    log_prob: torch.Tensor
    """log β(a|s) when the transition was written, (...,) float32; NaN where it was not recorded."""
    age: torch.Tensor
    """Number of transitions added to the same ring after this one, (...,) int64; the newest has age 0."""


class ReplayBuffer:
    """The last `capacity` transitions, whichever policies wrote them; the oldest is overwritten first.

    - `capacity`: transitions kept, per seed.
    - `obs_shape`, `action_shape`: shapes of one observation and one action; `()` is a single number.
    - `n_seeds`: None, or S for S separate rings under one leading axis, each with a length of its own.
    - `obs_dtype`, `action_dtype`: torch.float32 or torch.int64. `action_dtype` is int64 (a discrete action) where
      `action_shape` is `()` and nothing is said, else float32. Memory holds float32, so integers beyond 2**24,
      which float32 cannot all hold, are refused.
    - `seed`: starts the buffer's own random stream, from which `sample` draws; one stream for all the rings.
    - `device`: where `sample` and `all` put their results; the memory itself is on the CPU.

    Memory: 4 · S · capacity · (2·|obs| + |action| + 3) bytes (`nbytes`), reserved at once; the operating system
    commits its pages as they are first written. 200,000 transitions of CartPole are 9.6 MB.

    >>> buffer = ReplayBuffer(1000, obs_shape=(2,))
    >>> buffer.add(obs=[0.0, 1.0], action=1, reward=1.0, next_obs=[0.5, 1.5], terminated=False)
    >>> buffer.add(torch.ones(4, 2), torch.tensor([0, 1, 1, 0]), torch.ones(4), torch.ones(4, 2),
    ...            terminated=torch.tensor([False, False, False, True]))
    >>> buffer
    ReplayBuffer(5 of 1000 transitions, obs (2,) float32, action () int64, 32000 bytes)
    >>> batch = buffer.sample(3)
    >>> batch.obs.shape, batch.action.dtype, batch.terminated.dtype
    (torch.Size([3, 2]), torch.int64, torch.bool)
    """

    def __init__(
        self,
        capacity: int = 200_000,
        obs_shape: Sequence[int] = (),
        action_shape: Sequence[int] = (),
        *,
        n_seeds: int | None = None,
        obs_dtype=torch.float32,
        action_dtype=None,
        seed: int = 0,
        device="cpu",
    ):
        """Reserve the memory. Raises `TypeError` or `ValueError` for a size, dtype or seed that makes no sense."""
        self.capacity = _check.count("capacity", capacity)
        self.n_seeds = None if n_seeds is None else _check.count("n_seeds", n_seeds)
        self.obs_shape = _check.sizes("obs_shape", obs_shape)
        self.action_shape = _check.sizes("action_shape", action_shape)
        if action_dtype is None:
            action_dtype = torch.float32 if self.action_shape else torch.int64
        _check.choice("obs_dtype", obs_dtype, (torch.float32, torch.int64))
        _check.choice("action_dtype", action_dtype, (torch.float32, torch.int64))
        self.obs_dtype, self.action_dtype = obs_dtype, action_dtype
        self.device = torch.device(_check.device("device", device))
        self._generator = torch.Generator().manual_seed(_check.count("seed", seed, at_least=0))

        obs, action = (self.obs_shape, _NUMPY[obs_dtype]), (self.action_shape, _NUMPY[action_dtype])
        fields = {
            "obs": obs,
            "action": action,
            "reward": ((), np.float32),
            "next_obs": obs,
            "terminated": ((), np.bool_),
            "log_prob": ((), np.float32),
        }
        self._fields, start = [], 0  # name, column or columns of the memory, shape, dtype
        for name, (shape, dtype) in fields.items():
            stop = start + math.prod(shape)
            self._fields.append((name, slice(start, stop) if shape else start, shape, dtype))
            start = stop
        # NumPy arrays, because a call costs less than with tensors. Ring i: rows i * capacity to (i + 1) * capacity.
        self._memory = np.empty(((n_seeds or 1) * self.capacity, stop), np.float32)
        self._added = np.zeros(n_seeds or 1, np.int64)  # ever added; modulo capacity, the next place in the ring
        self._rings = 0 if n_seeds is None else np.arange(n_seeds)[:, None]

    def add(self, obs, action, reward, next_obs, terminated, log_prob=None, *, valid=None) -> None:
        """Store copies, without gradient, of one transition or of several, the oldest first.

        Data: (s, a, r, s', d) of any behaviour policy. `next_obs` is the true successor also where an episode
        ends, and `log_prob` is log β(a|s) under the policy that acted, left out or NaN where unknown.

        Shapes: tensors, arrays or numbers with no leading axis (one transition) or with (B, ...); with S seeds
        (S, ...) or (S, B, ...). `valid`, bool of that leading shape, leaves out the rows in which it is False,
        such as those in which a vector environment only reset itself.

        Raises `TypeError` for a wrong dtype and `ValueError` for a wrong shape, NaN, infinity, an integer beyond
        2**24, a log-probability that cannot be, or more rows than `capacity`; the buffer is then unchanged.

        >>> buffer = ReplayBuffer(100, obs_shape=(2,))
        >>> buffer.add(torch.ones(5, 2), [0] * 5, torch.ones(5, 1), torch.ones(5, 2), [False] * 5)
        Traceback (most recent call last):
        ValueError: reward has shape (5, 1), wanted () for one transition or (B,) for a batch
        """
        reward = _array("reward", reward, np.float32)
        lead = self._leading_shape(reward.shape)
        rows = np.empty(lead + self._memory.shape[1:])  # checked here, in float64, then copied to memory
        given = (obs, action, reward, next_obs, terminated, log_prob)
        for (name, column, shape, dtype), value in zip(self._fields, given, strict=True):
            if value is None and name == "log_prob":
                rows[..., column] = np.nan
                continue
            value = _array(name, value, dtype)
            if value.shape != lead + shape:
                raise ValueError(
                    f"{name} has shape {value.shape}, wanted {lead + shape}: "
                    f"reward's {lead}, then {shape} of each transition"
                )
            rows[..., column] = value if len(shape) < 2 else value.reshape((*lead, math.prod(shape)))
        if valid is not None:
            valid = _array("valid", valid, np.bool_)
            if valid.shape != lead:
                raise ValueError(f"valid has shape {valid.shape}, wanted {lead}, as reward")
        self._check_values(rows if valid is None else rows[valid], log_prob is not None)

        if not lead and valid is None:  # one transition: the same as below, sooner
            self._memory[self._added[0] % self.capacity] = rows
            self._added[0] += 1
            return
        rings = len(self._added)
        valid = (np.ones(lead, bool) if valid is None else valid).reshape(rings, math.prod(lead) // rings)
        counts = valid.sum(1)
        if (counts > self.capacity).any():
            raise ValueError(f"{counts.max()} transitions at once are more than the capacity, {self.capacity}")
        slot = (self._added[:, None] + valid.cumsum(1) - 1) % self.capacity
        self._memory[(slot + self._rings * self.capacity)[valid]] = rows.reshape((*valid.shape, rows.shape[-1]))[valid]
        self._added += counts

    def sample(self, n: int, generator: torch.Generator | None = None, *, newest: int | None = None) -> Transition:
        """Draw `n` stored transitions per seed, uniformly and with replacement.

        Data: states and actions of the behaviour policies, not of the current policy. With `newest=m`, of the m
        newest transitions only, whose policies were closer to the current one (Wang & Ross, 2019; Fan & Ramadge,
        2021). The random numbers are the buffer's own, or `generator`'s.

        Returns a `Transition` with leading axes (n,), with seeds (S, n), on `device`, without gradient. The fields
        are views of one fresh block (so `reshape` them, not `view`); changing them does not change the buffer.

        Raises `ValueError` where n < 1, n > `len(buffer)` or `newest` < 1; a `newest` beyond what is stored is all.

        >>> buffer = ReplayBuffer(1000, n_seeds=3)
        >>> buffer.add(torch.ones(3, 8), torch.zeros(3, 8, dtype=torch.int64), torch.ones(3, 8), torch.ones(3, 8),
        ...            torch.zeros(3, 8, dtype=torch.bool))
        >>> buffer.sample(4).reward.shape
        torch.Size([3, 4])
        """
        if _check.count("n", n) > len(self):
            raise ValueError(f"n = {n} transitions asked for, but only {len(self)} are stored: collect more first")
        generator = self._generator if generator is None else _check.generator("generator", generator)
        if newest is not None:
            share = torch.rand(len(self._added), n, dtype=torch.float64, generator=generator).numpy()
            age = (share * np.minimum(self.lengths, _check.count("newest", newest))[:, None]).astype(np.int64)
            slot = (self._added[:, None] - 1 - age) % self.capacity
            return self._read(slot[0] if self.n_seeds is None else slot, self._rings)
        if self.n_seeds is None:
            return self._read(torch.randint(len(self), (n,), generator=generator).numpy(), 0)
        # The same random numbers whatever the lengths: a seed's draws do not depend on the other seeds' data.
        uniform = torch.rand(self.n_seeds, n, dtype=torch.float64, generator=generator)
        return self._read((uniform.numpy() * np.array(self.lengths)[:, None]).astype(np.int64), self._rings)

    def all(self, index: int | None = None) -> Transition:
        """Return every stored transition, oldest first, with leading axes (L,), or (S, L) where all S rings hold L.

        Rings of different lengths can be read one at a time: `all(index)` is ring `index` alone, (L,). Raises
        `ValueError` where they differ and no index is given, `IndexError` where there is no such ring.
        """
        lengths = self.lengths
        if index is None and len(set(lengths)) > 1:
            raise ValueError(f"the seeds hold different numbers of transitions, {lengths}: read one with all(index)")
        rings = self._rings if index is None else _check.index("index", index, len(lengths))
        length = lengths[0 if index is None else rings]
        return self._read((self._added[rings] - length + np.arange(length)) % self.capacity, rings)

    @property
    def lengths(self) -> list[int]:
        """Transitions stored in each ring: one entry per seed."""
        return np.minimum(self._added, self.capacity).tolist()

    @property
    def nbytes(self) -> int:
        """Bytes of memory reserved."""
        return self._memory.nbytes

    def __len__(self) -> int:
        """Transitions stored; with seeds, in the shortest ring."""
        return min(self.lengths)

    def __repr__(self) -> str:
        """What is stored, in which shapes, and the memory reserved."""
        seeds = "" if self.n_seeds is None else f" for each of {self.n_seeds} seeds"
        obs, action = (str(dtype).removeprefix("torch.") for dtype in (self.obs_dtype, self.action_dtype))
        return (
            f"ReplayBuffer({len(self)} of {self.capacity} transitions{seeds}, obs {self.obs_shape} {obs}, "
            f"action {self.action_shape} {action}, {self.nbytes} bytes)"
        )

    def _leading_shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        if self.n_seeds is None and len(given) > 1:
            raise ValueError(f"reward has shape {given}, wanted () for one transition or (B,) for a batch")
        if self.n_seeds is not None and (len(given) not in (1, 2) or given[0] != self.n_seeds):
            raise ValueError(f"reward has shape {given}, wanted (S,) or (S, B) with S = n_seeds = {self.n_seeds}")
        return given

    def _check_values(self, rows: np.ndarray, with_log_prob: bool) -> None:
        if not (np.abs(rows[..., :-1]) <= _LARGEST).all():
            name = next(name for name, column, *_ in self._fields if not (np.abs(rows[..., column]) <= _LARGEST).all())
            raise ValueError(f"{name} holds NaN or infinity (as float32); every entry must be finite")
        if with_log_prob:
            discrete = self.action_dtype == torch.int64  # then a probability, not a density; 1e-4 is for rounding
            log_prob = rows[..., -1]
            wrong = (log_prob > (1e-4 if discrete else _LARGEST)) | np.isneginf(log_prob)
            if wrong.any():
                wanted = "at most 0, the logarithm of a probability above 0" if discrete else "finite"
                raise ValueError(f"log_prob holds {log_prob[wrong].max():g}, wanted {wanted} (NaN where unknown)")

    def _read(self, slot: np.ndarray, rings) -> Transition:
        """Gather the places `slot`, (n,) or (S, n), of the rings `rings`, a number or (S, 1)."""
        rows = self._memory.take(slot + rings * self.capacity, 0)
        fields = []
        for _, column, shape, dtype in self._fields:
            field = rows[..., column] if len(shape) < 2 else rows[..., column].reshape(slot.shape + shape)
            fields.append(torch.from_numpy(field if field.dtype == dtype else field.astype(dtype)))
        fields.append(torch.from_numpy((self._added[rings] - 1 - slot) % self.capacity))
        if self.device.type != "cpu":
            fields = [field.to(self.device) for field in fields]
        return Transition(*fields)


def _array(name: str, value, dtype: type) -> np.ndarray:
    """Return `value` as an array, uncopied where possible, or raise an error that names it."""
    kinds, wanted = _ACCEPTED[dtype]
    try:
        value = value.numpy(force=True) if isinstance(value, torch.Tensor) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must hold {wanted}, got {type(value).__name__}: {error}") from None
    if value.dtype.kind not in kinds:
        raise TypeError(f"{name} must hold {wanted}, got {value.dtype}{_HINTS.get(name, '')}")
    if value.dtype.kind in "iu" and value.size:
        low, high = (value.min(), value.max()) if value.ndim else (int(value),) * 2
        if low < -_EXACT or high > _EXACT:
            raise ValueError(f"{name} holds an integer beyond 2**24 = {_EXACT}, more than float32 holds exactly")
    return value
