"""How dear is the replay buffer beside those of other libraries? Medians of interleaved runs, as ratios.

    python -m tests.benchmarks.bench_peer_buffers

Each is given one transition of CartPole, or eight at once, as NumPy arrays and numbers, in the container it asks for;
and is asked for 256 of 50,000 as torch tensors (from those that give NumPy arrays, with `torch.from_numpy`). Ours also
checks shapes, dtypes and values when it adds, and gives each transition's age. The peers are optional: see
`tests/benchmarks/requirements.txt`.
"""

import argparse
import collections
import logging
import random

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

from offac_lite.buffer import ReplayBuffer
from tests.benchmarks.common import MISSING, machine, ratio, table, take_turns, version

CAPACITY, OBS, BATCH, SEEDS = 50_000, 4, 256, 32
PACKAGES = {"Stable-Baselines3": "stable-baselines3", "TorchRL": "torchrl", "cpprb": "cpprb", "Tianshou": "tianshou"}

rng = np.random.default_rng(0)


def rows(*lead: int) -> dict[str, np.ndarray]:
    """Make transitions of leading shape `lead`."""
    return {
        "obs": rng.random((*lead, OBS), np.float32),
        "action": rng.integers(0, 2, lead),
        "reward": np.ones(lead, np.float32),
        "next_obs": rng.random((*lead, OBS), np.float32),
        "terminated": np.zeros(lead, bool),
    }


ALL, EIGHT = rows(CAPACITY), rows(8)
ONE = {name: field[0] for name, field in ALL.items()} | {"action": 1, "reward": 1.0, "terminated": False}


def blocks():
    """Give the 50,000 transitions eight at a time."""
    for start in range(0, CAPACITY, 8):
        yield {name: field[start : start + 8] for name, field in ALL.items()}


def offac_lite_buffer():
    buffer = ReplayBuffer(CAPACITY, (OBS,))
    buffer.add(**ALL)
    return lambda: buffer.add(**ONE), lambda: buffer.add(**EIGHT), lambda: buffer.sample(BATCH)


def stacked():
    buffer = ReplayBuffer(CAPACITY // 8, (OBS,), n_seeds=SEEDS)
    buffer.add(**rows(SEEDS, CAPACITY // 8))
    one, eight = rows(SEEDS), rows(SEEDS, 8)
    return lambda: buffer.add(**one), lambda: buffer.add(**eight), lambda: buffer.sample(BATCH)


def stable_baselines3():
    from stable_baselines3.common.buffers import ReplayBuffer as Peer

    def make(n_envs):
        space = Box(-np.inf, np.inf, (OBS,), np.float32)
        return Peer(CAPACITY, space, Discrete(2), device="cpu", n_envs=n_envs)

    def adding(buffer, rows, infos):
        obs, action, reward, next_obs, done = rows.values()
        return lambda: buffer.add(obs, next_obs, action, reward, done, infos)

    single, eight = make(1), make(8)
    for block in blocks():
        for i in range(8):
            adding(single, {name: field[i : i + 1] for name, field in block.items()}, [{}])()
    one = {name: field[:1] for name, field in EIGHT.items()}  # it always has the axis of environments
    return adding(single, one, [{}]), adding(eight, EIGHT, [{}] * 8), lambda: single.sample(BATCH)


def torchrl():
    from tensordict import TensorDict
    from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer

    logging.getLogger("torchrl").setLevel(logging.WARNING)
    buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(CAPACITY), batch_size=BATCH)
    buffer.extend(TensorDict(ALL, batch_size=[CAPACITY]))
    return (
        lambda: buffer.add(TensorDict(ONE)),
        lambda: buffer.extend(TensorDict(EIGHT, batch_size=[8])),
        lambda: buffer.sample(),
    )


def cpprb():
    from cpprb import ReplayBuffer as Peer

    obs = {"shape": OBS}
    fields = {"obs": obs, "action": {"dtype": np.int64}, "reward": {}, "next_obs": obs, "terminated": {"dtype": bool}}
    buffer = Peer(CAPACITY, fields)
    buffer.add(**ALL)

    def sample():
        return {name: torch.from_numpy(field) for name, field in buffer.sample(BATCH).items()}

    return lambda: buffer.add(**ONE), lambda: buffer.add(**EIGHT), sample


def tianshou():
    from tianshou.data import Batch
    from tianshou.data import ReplayBuffer as Peer
    from tianshou.data import VectorReplayBuffer as Vector

    def adding(buffer, rows):
        obs, act, rew, obs_next, terminated = rows.values()
        rest = {"truncated": np.zeros_like(terminated), "obs_next": obs_next}
        return lambda: buffer.add(Batch(obs=obs, act=act, rew=rew, terminated=terminated, **rest))

    single, vector = Peer(CAPACITY), Vector(CAPACITY, 8)
    for i in range(CAPACITY):
        adding(single, {name: field[i] for name, field in ALL.items()})()

    def sample():
        batch, _ = single.sample(BATCH)
        fields = batch.obs, batch.act, batch.rew, batch.obs_next, batch.terminated
        return [torch.from_numpy(field) for field in fields]

    return adding(single, ONE), adding(vector, EIGHT), sample


def deque_of_tuples():
    buffer = collections.deque(maxlen=CAPACITY)

    def add_eight():
        buffer.extend(zip(*EIGHT.values(), strict=True))

    def sample():
        return [torch.from_numpy(np.array(field)) for field in zip(*random.sample(buffer, BATCH), strict=True)]

    buffer.extend(zip(*ALL.values(), strict=True))
    return lambda: buffer.append(tuple(ONE.values())), add_eight, sample


def floor():
    """A row written and 256 rows gathered in one block, without checks and without fields."""
    block, row, eight = rng.random((CAPACITY, 12), np.float32), rng.random(12, np.float32), rng.random((8, 12))
    batch = np.empty((BATCH, 12), np.float32)

    def write_one():
        block[7] = row

    def write_eight():
        block[8:16] = eight

    def take():
        np.take(block, rng.integers(0, CAPACITY, BATCH), 0, out=batch, mode="clip")

    return write_one, write_eight, take


MAKERS = {
    "offac_lite": offac_lite_buffer,
    f"offac_lite, {SEEDS} stacked, per seed": stacked,
    "Stable-Baselines3": stable_baselines3,
    "TorchRL": torchrl,
    "cpprb": cpprb,
    "Tianshou": tianshou,
    "deque of tuples": deque_of_tuples,
    "floor: one block, np.take(out=)": floor,
}


def main() -> None:
    """Print one table: µs, and each as a multiple of ours."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--repeats", type=int, default=31, help="turns of each candidate (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=100, help="calls in a turn (default: %(default)s)")
    options = parser.parse_args()
    operations = [{}, {}, {}]
    for name, make in MAKERS.items():
        there = name not in PACKAGES or version(PACKAGES[name]) is not None
        for works, work in zip(operations, make() if there else (None,) * 3, strict=True):
            works[name] = work
    torch.set_num_threads(1)
    costs = [take_turns(works, options.repeats, options.calls) for works in operations]
    for times in costs:
        times[next(name for name in times if "stacked" in name)] /= SEEDS
    print(machine("torch", "numpy", *PACKAGES.values()))
    print(f"\nReplay buffers, median of {options.repeats} turns of {options.calls} calls:\n")
    header = ("", *(c for what in ("add 1", "add 8", f"sample {BATCH}") for c in (f"{what}, µs", "× ours")))
    body = []
    for name in MAKERS:
        cells = [MISSING, "", "", "", "", ""]
        if costs[0][name] is not None:
            cells = [c for t in costs for c in (f"{t[name] * 1e6:.1f}", ratio(t[name], t["offac_lite"]))]
        body.append((name, *cells))
    print(table(header, body))


if __name__ == "__main__":
    main()
