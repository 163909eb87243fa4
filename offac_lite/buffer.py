"""The replay buffer R: a ring of past transitions for each seed, all rings in one block of memory."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from offac_lite import _check
from offac_lite._check import Numbers

_LARGEST = float(np.finfo(np.float32).max)
_DTYPES = {torch.float32: np.float32, torch.int64: np.int32}
_KINDS = {"f": ("fiu", "numbers"), "i": ("iu", "integers"), "b": ("b", "bool")}
"""For each kind of field: the kinds of NumPy dtype that it accepts, and what they are called."""
_HINTS = {
    "terminated": ": True only where next_obs is a terminal state. It is `terminated`, never `done`: "
    "a time limit is truncation, after which the target still bootstraps",
    "action": ": with action_shape=() actions are discrete unless action_dtype=torch.float32",
}


class Transition(NamedTuple):
    """Stored transitions (s, a, r, s', d) of a behaviour policy β; every field has the same leading axes.

    No action in it comes from the current policy. A critic's target and an actor's update draw their own actions.
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
    """log β(a|s) when the transition was stored, (...,) float32; NaN where it was not recorded."""
    age: torch.Tensor
    """Number of transitions added to the same ring after this one, (...,) int64; the newest has age 0."""


class ReplayBuffer:
    """The last `capacity` transitions, whichever policies made them; the oldest is overwritten first.

    - `capacity`: transitions kept, per seed.
    - `obs_shape`, `action_shape`: shapes of one observation and one action; `()` is a single number.
    - `n_seeds`: None, or S for S separate rings under one leading axis, each with its own length.
    - `obs_dtype`, `action_dtype`: torch.float32 or torch.int64. The default of `action_dtype` is int64 (a discrete
      action) where `action_shape` is `()`, else float32. Integers are kept as int32; larger ones are refused.
    - `seed`: starts the buffer's own random stream, from which `sample` draws; one stream for all rings.
    - `device`: where `sample` and `all` put their results. The memory itself is on the CPU.

    Memory: 4 · S · capacity · (2·|obs| + |action| + 3) bytes, reserved at once. The operating system commits its pages
    when they are first written. 200,000 transitions of CartPole are 9.6 MB.

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
        obs_dtype: torch.dtype = torch.float32,
        action_dtype: torch.dtype | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ):
        """Reserve the memory. Raises `TypeError` or `ValueError` for a size, dtype or seed that makes no sense."""
        self.capacity = _check.count("capacity", capacity)
        self.n_seeds = None if n_seeds is None else _check.count("n_seeds", n_seeds)
        self.obs_shape = _check.sizes("obs_shape", obs_shape)
        self.action_shape = _check.sizes("action_shape", action_shape)
        if action_dtype is None:
            action_dtype = torch.float32 if self.action_shape else torch.int64
        self.obs_dtype = _check.one_of("obs_dtype", obs_dtype, (torch.float32, torch.int64))
        self.action_dtype = _check.one_of("action_dtype", action_dtype, (torch.float32, torch.int64))
        self.device = torch.device(device)
        self._generator = torch.Generator().manual_seed(_check.count("seed", seed, at_least=0))
        obs_field = np.dtype(_DTYPES[self.obs_dtype]), self.obs_shape
        action_field = np.dtype(_DTYPES[self.action_dtype]), self.action_shape
        self._fields: list[tuple[str, np.dtype[Any], tuple[int, ...]]] = [
            ("obs", *obs_field),
            ("action", *action_field),
            ("reward", np.dtype(np.float32), ()),
            ("next_obs", *obs_field),
            ("terminated", np.dtype(np.bool_), ()),
            ("log_prob", np.dtype(np.float32), ()),
        ]
        n_rings = 1 if self.n_seeds is None else self.n_seeds
        # A record holds a whole transition in one place of the memory: sampling is then faster than with an array per
        # field. Ring i is the records i * capacity to (i + 1) * capacity. NumPy, because its calls cost less than
        # PyTorch's.
        self._memory = np.empty(n_rings * self.capacity, np.dtype(self._fields, align=True))
        # Transitions ever added to each ring. Modulo capacity, this is the next slot of the ring to write.
        self._added = np.zeros(n_rings, np.int64)
        # The numbers of all rings, in a shape that broadcasts against the slots (n,) or (S, n).
        self._rings: int | np.ndarray = 0 if self.n_seeds is None else np.arange(n_rings)[:, None]

    def add(
        self,
        obs: Numbers,
        action: Numbers,
        reward: Numbers,
        next_obs: Numbers,
        terminated: Numbers,
        log_prob: Numbers | None = None,
        *,
        valid: Numbers | None = None,
    ) -> None:
        """Store copies, without gradient, of one transition or of several, the oldest first.

        *Data*: (s, a, r, s', d) of any behaviour policy. `next_obs` is the true successor, also where an episode ends.
        `log_prob` is log β(a|s) under the policy that acted. Leave it out, or NaN, where it is unknown.

        Shapes: tensors, arrays, lists or numbers with no leading axis (one transition) or with (B, ...); with S seeds
        (S, ...) or (S, B, ...). `valid`, bool of that leading shape, leaves out the rows in which it is False, such as
        those in which a vector environment only reset itself.

        Raises `TypeError` for a wrong dtype and `ValueError` for a wrong shape, NaN, infinity, an integer beyond int32
        (in a float32 field: beyond 2**24), an impossible log-probability, or more rows than `capacity`. The buffer is
        then unchanged.

        >>> buffer = ReplayBuffer(100, obs_shape=(2,))
        >>> buffer.add(torch.ones(5, 2), [0] * 5, torch.ones(5, 1), torch.ones(5, 2), [False] * 5)
        Traceback (most recent call last):
        ValueError: reward has shape (5, 1), wanted () for one transition or (B,) for a batch
        """
        reward = _array(reward)
        lead = self._leading_shape(reward.shape)
        records = self._records(lead, (obs, action, reward, next_obs, terminated, log_prob))
        if valid is None and not lead:  # one transition: the same as below, in less time
            self._check_values(records, log_prob is not None)
            self._memory[self._added[0] % self.capacity] = records
            self._added[0] += 1
            return
        valid = np.ones(lead, bool) if valid is None else _checked("valid", valid, np.dtype(bool), lead)
        records = records.compress(valid.ravel())  # those to store, ring after ring
        self._check_values(records, log_prob is not None)
        valid = valid.reshape(len(self._added), -1)  # one line for each ring
        counts = valid.sum(1)
        if (counts > self.capacity).any():
            raise ValueError(f"{counts.max()} transitions at once are more than the capacity, {self.capacity}")
        number = self._added[:, None] + valid.cumsum(1) - 1  # 0 for the first transition ever added to a ring
        slot = number % self.capacity  # its place in the ring
        place = slot + self._rings * self.capacity  # its place in the memory
        self._memory.put(place.compress(valid.ravel()), records)
        self._added += counts

    def sample(self, n: int, generator: torch.Generator | None = None, *, newest: int | None = None) -> Transition:
        """Draw `n` stored transitions per seed, uniformly and with replacement.

        *Data*: states and actions of the behaviour policies, not of the current policy. `newest=m` draws from the m
        newest transitions only, whose policies were closer to the current one (Wang & Ross, 2019; Fan & Ramadge,
        2021). The random numbers are the buffer's own, or `generator`'s.

        Returns a `Transition` with leading axes (n,), with seeds (S, n), on `device`, without gradient. Its fields are
        views of one fresh block (so `reshape` them, not `view`). Changing them does not change the buffer.

        Raises `ValueError` where n < 1, n > `len(buffer)` or `newest` < 1. A `newest` beyond what is stored is all.

        >>> buffer = ReplayBuffer(1000, n_seeds=3)
        >>> buffer.add(torch.ones(3, 8), torch.zeros(3, 8, dtype=torch.int64), torch.ones(3, 8), torch.ones(3, 8),
        ...            torch.zeros(3, 8, dtype=torch.bool))
        >>> buffer.sample(4).reward.shape
        torch.Size([3, 4])
        """
        if not 1 <= n <= len(self):
            raise ValueError(f"n = {n} transitions requested, wanted at least 1 and at most the {len(self)} stored")
        generator = self._generator if generator is None else generator
        if self.n_seeds is None and newest is None:
            return self._read(0, torch.randint(len(self), (n,), generator=generator, device="cpu").numpy())
        # The same random numbers whatever the lengths: a seed's draws do not depend on the other seeds' data.
        uniform = torch.rand(len(self._added), n, dtype=torch.float64, generator=generator, device="cpu").numpy()
        stored = np.minimum(self._added, self.capacity)[:, None]
        if newest is None:
            slot = (uniform * stored).astype(np.int64)
        else:
            age = (uniform * np.minimum(stored, _check.count("newest", newest))).astype(np.int64)
            slot = (self._added[:, None] - 1 - age) % self.capacity
        return self._read(self._rings, slot[0] if self.n_seeds is None else slot)

    def all(self, index: int | None = None) -> Transition:
        """Return every stored transition, oldest first, with leading axes (L,), or (S, L) where all S rings hold L.

        Rings of different lengths can be read one at a time: `all(index)` is ring `index` alone, (L,). Raises
        `ValueError` where they differ and no index is given, `IndexError` where there is no such ring.
        """
        lengths = self.lengths
        if index is None and len(set(lengths)) > 1:
            raise ValueError(f"the seeds hold different numbers of transitions, {lengths}: read one with all(index)")
        ring = self._rings if index is None else _check.index("index", index, len(lengths))
        length = lengths[0 if index is None else index]
        slot = (self._added[ring] - length + np.arange(length)) % self.capacity
        return self._read(ring, slot)

    @property
    def lengths(self) -> list[int]:
        """Transitions stored in each ring: one entry per seed."""
        return np.minimum(self._added, self.capacity).tolist()

    def __len__(self) -> int:
        """Return the number of transitions stored; with seeds, in the shortest ring."""
        return min(self.lengths)

    def __repr__(self) -> str:
        """Describe what is stored, in which shapes, and the memory reserved."""
        seeds = "" if self.n_seeds is None else f" for each of {self.n_seeds} seeds"
        obs, action = (str(dtype).removeprefix("torch.") for dtype in (self.obs_dtype, self.action_dtype))
        return (
            f"ReplayBuffer({len(self)} of {self.capacity} transitions{seeds}, obs {self.obs_shape} {obs}, "
            f"action {self.action_shape} {action}, {self._memory.nbytes} bytes)"
        )

    def _leading_shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of `reward`, or raise `ValueError` where it is not that of one transition or a batch."""
        if self.n_seeds is None and len(given) > 1:
            raise ValueError(f"reward has shape {given}, wanted () for one transition or (B,) for a batch")
        if self.n_seeds is not None and (len(given) not in (1, 2) or given[0] != self.n_seeds):
            raise ValueError(f"reward has shape {given}, wanted (S,) or (S, B) with S = n_seeds = {self.n_seeds}")
        return given

    def _records(self, lead: tuple[int, ...], values: Sequence[Numbers | None]) -> np.ndarray:
        """Return the values of all fields as records of shape `lead`, or raise for a wrong dtype or shape."""
        records = np.empty(lead, self._memory.dtype)
        for (name, dtype, shape), value in zip(self._fields, values, strict=True):
            if name == "log_prob" and value is None:
                records[name] = np.nan
                continue
            value = _checked(name, value, dtype, lead + shape)
            records[name] = value
            if dtype.kind == "f":
                _check.whole_numbers_fit(name, value)
            if dtype.kind == "i" and not (records[name] == value).all():
                raise ValueError(f"{name} holds an integer beyond int32, which the buffer cannot keep")
        return records

    def _check_values(self, records: np.ndarray, with_log_prob: bool) -> None:
        """Raise `ValueError` where a number is not finite, or a log-probability is impossible."""
        for name, dtype, _ in self._fields[:4]:
            if dtype.kind == "f" and not np.isfinite(records[name]).all():
                raise ValueError(f"{name} holds NaN or infinity (as float32); every entry must be finite")
        if with_log_prob:
            discrete = self.action_dtype == torch.int64  # then a probability, not a density; 1e-4 is for rounding
            log_prob = records["log_prob"]
            wrong = (log_prob > (1e-4 if discrete else _LARGEST)) | np.isneginf(log_prob)
            if wrong.any():
                wanted = "at most 0, the logarithm of a probability above 0" if discrete else "finite"
                raise ValueError(f"log_prob holds {log_prob[wrong].max():g}, wanted {wanted} (NaN where unknown)")

    def _read(self, ring: int | np.ndarray, slot: np.ndarray) -> Transition:
        """Copy the transitions in `slot`, (n,) or (S, n), of `ring`, a number or (S, 1), out of the memory."""
        records = self._memory.take(ring * self.capacity + slot)
        fields = []
        for name, dtype, _ in self._fields:
            field = records[name]
            fields.append(field.astype(np.int64) if dtype.kind == "i" else field)
        age = (self._added[ring] - 1 - slot) % self.capacity
        tensors = [torch.from_numpy(field) for field in (*fields, age)]
        if self.device.type != "cpu":
            tensors = [tensor.to(self.device) for tensor in tensors]
        return Transition(*tensors)


def _array(value: Numbers | None) -> np.ndarray:
    """Return a tensor, an array, a list or a number as an array, without a copy where possible."""
    return value.numpy(force=True) if isinstance(value, torch.Tensor) else np.asarray(value)


def _checked(name: str, value: Numbers | None, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Return `value` as an array of `shape`, or raise where it has another shape or cannot mean a `dtype`."""
    value = _array(value)
    kinds, wanted = _KINDS[dtype.kind]
    if value.dtype.kind not in kinds:
        raise TypeError(f"{name} must hold {wanted}, got {value.dtype}{_HINTS.get(name, '')}")
    if value.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}, wanted {shape} to fit the shape of reward")
    return value
