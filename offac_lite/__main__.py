"""The course's headline in a terminal: `python -m offac_lite`."""

import argparse
import sys
from pathlib import Path

import torch

from offac_lite.estimators import break_even_actions, gradient_moments, sample_gradients
from offac_lite.mdp import TabularMDP

ROWS = [
    ("stored", None),
    ("stored", "value"),
    ("importance", None),
    ("importance", "value"),
    ("resampled", None),
    ("resampled", "value"),
    ("resampled", "leave-one-out"),
    ("expected", None),
]
WEIGHTS = {None: "Q", "value": "Q − V", "leave-one-out": "leave-one-out"}


def table(mdp: TabularMDP, logits, behavior, n_states: int, n_actions: int) -> str:
    """Lay out every estimator's exact bias, cosine and variance as lines of text.

    >>> mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    >>> print(table(mdp, torch.zeros(16, 4), None, 1, 2).splitlines()[-1])
    expected    Q                  all      0.0000        0.0000     1.000      0.0024      0.0000
    """
    lines = [
        f"{'':34s}{'distance of the mean':>24s}{'cosine':>10s}{'variance across':>24s}",
        f"{'estimator':12s}{'weight':16s}{'K':>6s}{'to ∇J':>14s}{'to surrogate':>14s}{'with ∇J':>10s}"
        f"{'states':>12s}{'actions':>12s}",
    ]
    for estimator, baseline in ROWS:
        m = gradient_moments(
            mdp, logits, estimator, n_states=n_states, n_actions=n_actions, baseline=baseline, behavior=behavior
        )
        k = "all" if estimator == "expected" else str(m.n_actions)
        lines.append(
            f"{estimator:12s}{WEIGHTS[baseline]:16s}{k:>6s}{m.bias:14.4f}{m.bias_surrogate:14.4f}{m.cosine:10.3f}"
            f"{m.variance_states:12.4f}{m.variance_actions:12.4f}"
        )
    return "\n".join(lines)


def headline(n_states: int, n_actions: int, seed: int, figure: Path) -> None:
    """Print the exact tables for fresh and for old data, and save the figure of variance against K."""
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    history = mdp.policy_path(20, 5.0)
    uniform, now, old = history[0], history[-1], torch.softmax(history[0], -1)
    size = f"N = {n_states} states per estimate, K = {n_actions} resampled actions per state"
    print(f"Slippery FrozenLake 4x4, γ = 0.99, exact Q; {size}. Nothing below is sampled.\n")
    print(f"Fresh data of the uniform policy (J = {mdp.expected_return(old):.7f}):\n")
    print(table(mdp, uniform, None, n_states, n_actions))
    m = gradient_moments(mdp, uniform, "resampled", n_states=n_states)
    k_star = break_even_actions(mdp, uniform)
    raised = break_even_actions(mdp.with_reward_offset(1.0), uniform)
    print(f"\nThe floor, which no K lowers: {m.variance_states:.4f}.")
    print(f"K* = {k_star:.1f} resampled actions with Q are as quiet as one with Q − V; {raised:.1f} with rewards + 1.")
    j_now = mdp.expected_return(torch.softmax(now, -1))
    print(f"\nData 20 updates old, written by the uniform policy; the policy has since come to J = {j_now:.3f}:\n")
    print(table(mdp, now, old, n_states, n_actions))
    print("\nThe surrogate is the exact gradient under the buffer's states. Stored actions with Q walk downhill;")
    print("resampled ones differ from ∇J only by the distribution of the states.")
    _save(mdp, uniform, n_states, k_star, seed, figure)
    print(f"\nFigure saved: {figure}")


def _save(mdp: TabularMDP, logits, n_states: int, k_star: float, seed: int, path: Path) -> None:
    from offac_lite import plots  # here, so that importing the package does not import Matplotlib

    ks, generator = [1, 2, 4, 8, 16, 32, 64], torch.Generator().manual_seed(seed)
    n_samples = max(4_000, 128_000 // n_states)  # few estimates hold the rare states that carry most of the variance
    moments = [gradient_moments(mdp, logits, "resampled", n_states=n_states, n_actions=k) for k in ks]
    samples = [
        sample_gradients(
            mdp, logits, "resampled", n_states=n_states, n_actions=k, n_samples=n_samples, generator=generator
        )
        for k in ks
    ]
    reference = gradient_moments(mdp, logits, "resampled", n_states=n_states, baseline="value").variance
    fig = plots.variance_against_k(
        ks,
        [m.variance for m in moments],
        [g.var(0).sum().item() for g in samples],
        floor=moments[0].variance_states,
        reference=reference,
        k_star=k_star,
    )
    path.write_bytes(plots.png(fig))


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run it."""
    parser = argparse.ArgumentParser(
        prog="python -m offac_lite",
        description="Exact bias and variance of every policy-gradient estimator of the course, on FrozenLake.",
    )
    parser.add_argument("--states", type=int, default=1, metavar="N", help="states per estimate (default 1)")
    parser.add_argument("--actions", type=int, default=8, metavar="K", help="resampled actions per state (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the figure's samples (default 0)")
    parser.add_argument(
        "--figure",
        type=Path,
        default=Path("variance_against_k.png"),
        help="where to save the figure (default %(default)s)",
    )
    options = parser.parse_args(arguments)
    if options.states < 1 or options.actions < 2:
        parser.error("--states must be at least 1 and --actions at least 2 (leave-one-out needs another action)")
    if not options.figure.absolute().parent.is_dir():
        parser.error(f"--figure: there is no folder {options.figure.parent}")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot write ∇ gets a question mark, not an error
    headline(options.states, options.actions, options.seed, options.figure)


if __name__ == "__main__":
    main()
