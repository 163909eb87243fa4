"""How dear is the replay buffer? Medians of interleaved runs, as ratios, which travel between machines.

Run `python -m tests.benchmarks.bench_buffer`.
"""

import statistics
import time

import numpy as np
import torch

from offac_lite.buffer import ReplayBuffer

CAPACITY, OBS, BATCH = 50_000, 4, 256
REPEATS, CALLS = 41, 200


class OneTensorPerField:
    """The usual way: a tensor for each field, no checks."""

    def __init__(self):
        self.obs, self.next_obs = torch.zeros(CAPACITY, OBS), torch.zeros(CAPACITY, OBS)
        self.action = torch.zeros(CAPACITY, dtype=torch.int64)
        self.reward, self.log_prob = torch.zeros(CAPACITY), torch.zeros(CAPACITY)
        self.terminated = torch.zeros(CAPACITY, dtype=torch.bool)
        self.added, self.generator = 0, torch.Generator().manual_seed(0)

    def add(self, obs, action, reward, next_obs, terminated):
        place = self.added % CAPACITY
        self.obs[place], self.next_obs[place] = torch.as_tensor(obs), torch.as_tensor(next_obs)
        self.action[place], self.reward[place] = action, reward
        self.terminated[place], self.log_prob[place] = terminated, float("nan")
        self.added += 1

    def sample(self, n):
        index = torch.randint(min(self.added, CAPACITY), (n,), generator=self.generator)
        fields = (self.obs, self.action, self.reward, self.next_obs, self.terminated, self.log_prob)
        return [field[index] for field in fields], (self.added - 1 - index) % CAPACITY


def medians(candidates, calls=CALLS):
    """Return each candidate's median time per call in µs, the candidates taking turns."""
    times = {name: [] for name in candidates}
    for _ in range(REPEATS):
        for name, function in candidates.items():
            start = time.perf_counter()
            for _ in range(calls):
                function()
            times[name].append((time.perf_counter() - start) / calls * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def report(title, times, reference):
    """Print the medians and their ratios to the first one's."""
    print(f"{title} (median of {REPEATS} runs of {CALLS} calls)")
    for name, value in times.items():
        print(f"  {name:<28}{value:9.2f} µs   {value / times[reference]:6.2f} x {reference}")


def main():
    """Time adding and sampling."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    obs = rng.random((CAPACITY, OBS), np.float32)
    packed, fields = ReplayBuffer(CAPACITY, (OBS,)), OneTensorPerField()
    block = np.concatenate([obs, obs, obs], 1)
    row, batch = block[0].copy(), np.empty((BATCH, block.shape[1]), np.float32)
    for other in obs:
        fields.add(other, 1, 1.0, other, False)
    packed.add(obs, np.ones(CAPACITY, np.int64), np.ones(CAPACITY), obs, np.zeros(CAPACITY, bool))
    one = (obs[0], 1, 1.0, obs[1], False)
    tensors = (torch.rand(OBS), torch.tensor(1), torch.tensor(1.0), torch.rand(OBS), torch.tensor(False))
    eight = (obs[:8], np.ones(8, np.int64), np.ones(8), obs[:8], np.zeros(8, bool))

    def write_row():
        block[7] = row

    times = medians(
        {
            "one tensor per field": lambda: fields.add(*one),
            "ReplayBuffer": lambda: packed.add(*one),
            "ReplayBuffer, from tensors": lambda: packed.add(*tensors),
            "ReplayBuffer, 8 at once": lambda: packed.add(*eight),
            "floor: one row, no checks": write_row,
        }
    )
    report("add one transition", times, "one tensor per field")

    def take():
        np.take(block, rng.integers(0, CAPACITY, BATCH), 0, out=batch, mode="clip")

    times = medians(
        {
            "one tensor per field": lambda: fields.sample(BATCH),
            "ReplayBuffer": lambda: packed.sample(BATCH),
            "floor: np.take(out=)": take,
        }
    )
    report(f"sample {BATCH}", times, "one tensor per field")


if __name__ == "__main__":
    main()
