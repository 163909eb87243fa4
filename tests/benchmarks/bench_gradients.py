"""10,000 gradient estimates: `sample_gradients` against the same by a loop with autograd, in one run.

    python -m tests.benchmarks.bench_gradients

Both draw K = 4 resampled actions at each of N states and weight ∇log π by Q. The loop is timed on fewer estimates
and scaled up; the two take turns, and the ratio of their medians is reported.
"""

import statistics
import time

import torch

from offac_lite.exact import TabularMDP
from offac_lite.exact.estimators import gradient_moments, sample_gradients
from offac_lite.networks import Categorical

N_ESTIMATES, N_LOOP, N_ACTIONS, REPEATS = 10_000, 500, 4, 5


def by_autograd(mdp: TabularMDP, logits, batch_size: int, n_samples: int, generator: torch.Generator) -> torch.Tensor:
    """Estimate after estimate, the way one would write it first."""
    probs = torch.softmax(logits, -1)
    q, visits = mdp.action_values(probs), mdp.occupancy(probs)
    estimates = []
    for _ in range(n_samples):
        theta = logits.clone().requires_grad_()
        state = torch.multinomial(visits, batch_size, replacement=True, generator=generator)
        pi = Categorical(theta[state])
        action = pi.sample(N_ACTIONS, generator=generator)
        objective = visits.sum() * (pi.log_prob(action) * q[state, action]).mean()
        estimates.append(torch.autograd.grad(objective, theta)[0])
    return torch.stack(estimates)


def seconds(work) -> float:
    """Time one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print one line per batch size."""
    torch.set_num_threads(1)
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    logits, generator = torch.zeros(16, 4, dtype=torch.float64), torch.Generator().manual_seed(0)
    print(f"{N_ESTIMATES} estimates, K = {N_ACTIONS}, one thread; medians of {REPEATS} turns")
    print(f"{'N':>4s}{'autograd loop':>16s}{'sample_gradients':>19s}{'ratio':>8s}{'exact moments':>16s}")
    for batch_size in (1, 4, 16):
        common = dict(batch_size=batch_size, action_samples=N_ACTIONS)
        loop, ours, exact = [], [], []
        for _ in range(REPEATS):
            loop.append(
                seconds(lambda n=batch_size: by_autograd(mdp, logits, n, N_LOOP, generator)) * N_ESTIMATES / N_LOOP
            )
            draw = dict(common, n_samples=N_ESTIMATES, generator=generator)
            ours.append(seconds(lambda draw=draw: sample_gradients(mdp, logits, "resampled", **draw)))
            exact.append(seconds(lambda common=common: gradient_moments(mdp, logits, "resampled", **common)))
        a, b, c = (statistics.median(times) for times in (loop, ours, exact))
        print(f"{batch_size:4d}{a * 1e3:13.0f} ms{b * 1e3:16.1f} ms{a / b:7.0f}×{c * 1e3:13.1f} ms")


if __name__ == "__main__":
    main()
