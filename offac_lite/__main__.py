"""The course's headlines in a terminal: `python -m offac_lite` and `python -m offac_lite train`."""

import argparse
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from offac_lite import __version__, _check, stats
from offac_lite.config import PENDULUM
from offac_lite.exact.estimators import break_even_actions, gradient_moments, sample_gradients
from offac_lite.exact.mdp import TabularMDP
from offac_lite.run import Run
from offac_lite.training import train

ROWS: list[Any] = [  # estimator and baseline
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


def table(mdp: TabularMDP, logits: Any, behavior: Any, batch_size: int, action_samples: int) -> str:
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
            mdp,
            logits,
            estimator,
            batch_size=batch_size,
            action_samples=action_samples,
            baseline=baseline,
            behavior=behavior,
        )
        k = "all" if estimator == "expected" else str(m.action_samples)
        lines.append(
            f"{estimator:12s}{WEIGHTS[baseline]:16s}{k:>6s}{m.bias:14.4f}{m.bias_surrogate:14.4f}{m.cosine:10.3f}"
            f"{m.variance_states:12.4f}{m.variance_actions:12.4f}"
        )
    return "\n".join(lines)


def headline(batch_size: int, action_samples: int, seed: int, figure: Path) -> None:
    """Print the exact tables for fresh and for old data, and save the figure of variance against K."""
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    history = mdp.policy_path(20, 5.0)
    uniform, now, old = history[0], history[-1], torch.softmax(history[0], -1)
    size = f"N = {batch_size} states per estimate, K = {action_samples} resampled actions per state"
    print(f"Slippery FrozenLake 4x4, γ = 0.99, exact Q; {size}. Nothing below is sampled.\n")
    print(f"Fresh data of the uniform policy (J = {mdp.expected_return(old):.7f}):\n")
    print(table(mdp, uniform, None, batch_size, action_samples))
    m = gradient_moments(mdp, uniform, "resampled", batch_size=batch_size)
    k_star = break_even_actions(mdp, uniform)
    raised = break_even_actions(mdp.with_reward_offset(1.0), uniform)
    print(f"\nThe floor, which no K lowers: {m.variance_states:.4f}.")
    print(f"K* = {k_star:.1f} resampled actions with Q are as quiet as one with Q − V; {raised:.1f} with rewards + 1.")
    j_now = mdp.expected_return(torch.softmax(now, -1))
    print(f"\nData 20 updates old, written by the uniform policy; the policy has since come to J = {j_now:.3f}:\n")
    print(table(mdp, now, old, batch_size, action_samples))
    print("\nThe surrogate is the exact gradient under the buffer's states. Stored actions with Q walk downhill;")
    print("resampled ones differ from ∇J only by the distribution of the states.")
    _save(mdp, uniform, batch_size, k_star, seed, figure)
    print(f"\nFigure saved: {figure}")


def _save(mdp: TabularMDP, logits: torch.Tensor, batch_size: int, k_star: float, seed: int, path: Path) -> None:
    from offac_lite.course import plots  # here, so that importing the package does not import Matplotlib

    ks, generator = [1, 2, 4, 8, 16, 32, 64], torch.Generator().manual_seed(seed)
    n_samples = max(4_000, 128_000 // batch_size)  # few estimates hold the rare states that carry most of the variance
    moments = [gradient_moments(mdp, logits, "resampled", batch_size=batch_size, action_samples=k) for k in ks]
    samples = [
        sample_gradients(
            mdp, logits, "resampled", batch_size=batch_size, action_samples=k, n_samples=n_samples, generator=generator
        )
        for k in ks
    ]
    reference = gradient_moments(mdp, logits, "resampled", batch_size=batch_size, baseline="value").variance
    fig = plots.variance_against_k(
        ks,
        [m.variance for m in moments],
        [g.var(0).sum().item() for g in samples],
        floor=moments[0].variance_states,
        reference=reference,
        k_star=k_star,
    )
    path.write_bytes(plots.png(fig))


def report(run: Run, goal: float | None) -> str:
    """Sum up a run in a few lines of text."""
    n_seeds, last = len(run.returns), run.returns[:, -1]
    lines = [f"{'seeds':28}{n_seeds}" + f", {len(run.stopped)} of them stopped" * bool(run.stopped)]
    if goal is not None:
        when = stats.solved_at(run.steps, run.returns, goal)
        n_solved = int(when.isfinite().sum())
        low, high = stats.proportion_interval(n_solved, n_seeds)
        lines.append(f"{'solved':28}{n_solved}  (95% of such seeds: between {low:.0%} and {high:.0%})")
        if n_solved:
            lines.append(f"{'solved after':28}{when.nanmedian():.0f} steps, in the median of those")
        at_goal = stats.share_at_goal(run.returns, goal)
        lines.append(f"{'evaluations at goal':28}{at_goal:.0%} of those in the second half")
    if last.isfinite().all():
        lines.append(f"{'return at the end':28}{stats.iqm(last):.1f}, interquartile mean")
        if n_seeds > 1:
            lines[-1] += " [95%: {:.1f} to {:.1f}]".format(*stats.interval(last))
    lines.append(f"{'time':28}{run.seconds:.1f} s, {run.eval_seconds:.1f} s of them for the evaluations")
    return "\n".join(lines)


def _saved(what: str, path: Path, write: Callable[[], Any]) -> bool:
    """Write a file, and say so; or say what went wrong, and return False."""
    try:
        write()
    except OSError as error:
        print(f"{what} not saved: {path}: {error.strerror or error}", file=sys.stderr)
        return False
    print(f"{what} saved: {path}")
    return True


def train_parser() -> argparse.ArgumentParser:
    """Make the parser of `train ...`. What is not given is not in its result, so that the preset decides."""
    parser = argparse.ArgumentParser(
        prog="python -m offac_lite train",
        description="Train the off-policy actor-critic for many seeds at once, and save its learning curves. "
        "Ctrl-C ends it early and keeps what there is. Solved: two evaluations in a row reach 475 on CartPole-v1, "
        "-200 on Pendulum-v1.",
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("--env", default="CartPole-v1", help="Gymnasium environment (default %(default)s)")
    add("--seeds", type=int, help="agents trained at once (default 16)")
    steps = "environment steps per seed (default 40000; Pendulum-v1: 12000)"
    add("--steps", dest="total_steps", metavar="STEPS", type=int, help=steps)
    add("--critic", help="what is learned: q or v (default q)")
    add("--action", help="actions of the actor: resampled, stored or importance (default resampled)")
    add(
        "--action-samples",
        type=lambda text: int(text) if text.isdecimal() else text,
        metavar="K",
        help="resampled actions per state, a number or 'all' (default 4; Pendulum-v1: 8)",
    )
    add(
        "--baseline",
        type=lambda text: None if text == "none" else text,
        help="what is subtracted from Q: none, value or leave-one-out (default value; Pendulum-v1: leave-one-out)",
    )
    add(
        "--entropy-bonus",
        type=float,
        metavar="ALPHA",
        help="in scaled reward per nat (default 0.05; Pendulum-v1: 0.02); 0 for stored continuous actions",
    )
    add("--layer-norm", action="store_true", help="normalise the critic's hidden layers (default: no)")
    add("--seed", type=int, help="starts all random streams (default 0)")
    add("--threads", type=int, help="PyTorch's threads (default 1, the fastest for small networks)")
    default = Path("learning_curves.png")
    add("--figure", type=Path, default=default, help="where to save the learning curves (default %(default)s)")
    add("--save", type=Path, default=None, help="where to save the run, for Run.load (default: nowhere)")
    return parser


def train_command(arguments: list[str]) -> None:
    """Run `train ...`: a progress bar, a table, the learning curves."""
    parser = train_parser()
    options = vars(parser.parse_args(arguments))
    env, figure, save = (options.pop(name) for name in ("env", "figure", "save"))
    for name, path in ("--figure", figure), ("--save", save):
        if path is not None and (fault := _check.unwritable(path)):
            parser.error(f"{name}: {fault}")
    try:
        run = train({"Pendulum-v1": PENDULUM}.get(env, env), **options)
    except (TypeError, ValueError) as error:
        parser.error(str(error))
    if run.interrupted:
        print("Interrupted; this is what there is.")
    goal = {"CartPole-v1": 475.0, "Pendulum-v1": -200.0}.get(env)
    print(report(run, goal) if len(run.steps) else "It has not come to an evaluation yet: there is no figure to draw.")
    saved = save is None or _saved("Run", save, lambda: run.save(save))
    if len(run.steps):
        saved &= _saved("Figure", figure, lambda: figure.write_bytes(_learning_curves(run, env, goal)))
    if not saved:
        sys.exit(1)


def _learning_curves(run: Run, title: str, goal: float | None) -> bytes:
    from offac_lite.course import plots  # here, so that importing the package does not import Matplotlib

    fig, (ax,) = plots.figure(7.0, 3.6)
    many = len(run.returns) - len(run.stopped) > 1
    plots.learning_curves(ax, run.steps, run.returns, goal=goal, centre="iqm" if many else "median")
    ax.set_title(title)
    return plots.png(fig)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run it."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot write ∇ gets a question mark, not an error
    if arguments[:1] == ["train"]:
        train_command(arguments[1:])
        return
    if arguments[:1] in (["start"], ["copies"], ["grade"]):
        command, module = arguments[0], {"grade": "classroom"}.get(arguments[0], arguments[0])
        try:  # here, because nothing else needs Jupyter's libraries
            found = import_module(f"offac_lite.course.{module}")
        except ModuleNotFoundError as error:
            sys.exit(f"{command}: there is no {error.name} here; it comes with Jupyter (the extra 'course')")
        getattr(found, f"{command}_command")(arguments[1:])
        return
    parser = argparse.ArgumentParser(
        prog="python -m offac_lite",
        description="Exact bias and variance of every policy-gradient estimator of the course, on FrozenLake. "
        "With `start` as the first argument: make your own copies of the notebooks and open the first. With `train`: "
        "train agents on CartPole. With `copies` or `grade`: notebooks for students, without solutions, and what the "
        "checks say in those that come back. Each has a `--help`.",
    )
    parser.add_argument("--version", action="version", version=f"offac_lite {__version__}")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="states per estimate (default 1)")
    parser.add_argument(
        "--action-samples", type=int, default=8, metavar="K", help="resampled actions per state (default 8)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the figure's samples (default 0)")
    parser.add_argument(
        "--figure",
        type=Path,
        default=Path("variance_against_k.png"),
        help="where to save the figure (default %(default)s)",
    )
    options = parser.parse_args(arguments)
    if options.batch_size < 1 or options.action_samples < 2:
        parser.error(
            "--batch-size must be at least 1 and --action-samples at least 2 (leave-one-out needs another action)"
        )
    if fault := _check.unwritable(options.figure):
        parser.error(f"--figure: {fault}")
    headline(options.batch_size, options.action_samples, options.seed, options.figure)


if __name__ == "__main__":
    try:
        try:
            main()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # as in `python -m offac_lite | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python flushes once more at the end
