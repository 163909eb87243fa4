"""Make the figures of the README, and print its table: `python -m figures.make`."""

import functools
import json
from pathlib import Path

import torch

from offac_lite import TabularMDP, plots, stats
from offac_lite.estimators import gradient_moments

HERE = Path(__file__).parent

FIXES = {  # name: colour, line
    "naive": (plots.STORED, "-"),
    "importance, V": (plots.SURROGATE, ":"),
    "Q-critic alone": (plots.NEXT, "--"),
    "both": (plots.RESAMPLED, "-"),
}
TITLES = {
    "young": "a young buffer",
    "old data": "20,000 old transitions to start from",
    "four times the updates": "four times the updates",
    "random data only": "random data only, nothing fresh",
}


def bias_against_age() -> plots.Figure:
    """Draw how far the mean gradient is from the exact one, as data ages: computed exactly, no random numbers."""
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    history, ages = mdp.policy_path(n_steps=20, step_size=5.0), list(range(21))
    length = mdp.policy_gradient(history[-1]).norm().item()

    def distances(estimator: str, baseline: str | None) -> list[float]:
        written_by = [torch.softmax(history[20 - age], -1) for age in ages]
        moments = [gradient_moments(mdp, history[-1], estimator, baseline=baseline, behavior=b) for b in written_by]
        return [m.bias / length for m in moments]

    return plots.bias_against_age(ages, distances("resampled", None), distances("stored", "value"))


def each_fix_on_and_off(runs: dict) -> plots.Figure:
    """Draw the learning curves of the fixes, a panel for each kind of data, from `ablations.json`."""
    figure, axes = plots.figure(12.5, 3.5, ncols=4, sharey=True)
    for ax, (group, title) in zip(axes, TITLES.items(), strict=True):
        for name, (color, line) in FIXES.items():
            if name in runs[group]:
                run = runs[group][name]
                curves = run["steps"], run["returns"], color, name
                plots.learning_curves(ax, *curves, centre="iqm", linestyle=line)
        steps = "8 × updates" if group == "random data only" else "environment steps per seed"
        ax.set(title=title, ylabel="", xlabel=steps, ylim=(0, 515))
        ax.get_legend().remove()
        ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k")
    axes[0].set_ylabel("return of greedy play")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def second_half(runs: dict, group: str, name: str) -> torch.Tensor:
    """Average each seed's returns over the second half of a run, (S,)."""
    returns = torch.tensor(runs[group][name]["returns"])
    return returns[:, returns.shape[1] // 2 :].mean(1)


def how_many_actions(runs: dict) -> plots.Figure:
    """Draw what K, the baseline, the target network and the twin critic do to every seed, from `ablations.json`."""
    late = functools.partial(second_half, runs)
    rows = {"K = 1, Q − V": late("K, Q − V", "K = 1"), "K = 4, Q − V (the default)": late("young", "both"),
            "K = 16, Q − V": late("K, Q − V", "K = 16")}  # fmt: skip
    rows |= {f"{name}, Q": late("K, Q", name) for name in ("K = 1", "K = 4", "K = 16", "K = 64")}
    rows |= {"all actions": late("K, Q", "all")} | {name: late("target", name) for name in runs["target"]}
    figure, (left, right) = plots.figure(12.0, 4.2, ncols=2)
    colors = {name: plots.ACTIONS for name in rows if name.endswith(", Q")}
    colors |= dict.fromkeys(runs["target"], plots.STATES)
    plots.seed_strips(left, rows, colors=colors)
    left.set(xlabel="mean return of a seed, second half of 40,000 steps", title="CartPole, 32 seeds", xlim=(0, 510))
    plots.seed_strips(
        right,
        {name: late("pendulum", name) for name in runs["pendulum"]},
        colors={name: plots.ACTIONS for name in runs["pendulum"] if name.endswith(", Q")},
    )
    right.set(xlabel="mean return of a seed, second half of 12,000 steps", title="Pendulum, 16 seeds")
    return figure


GROUPS = {
    "young": "a young buffer, 40,000 steps",
    "old data": "20,000 old transitions to start from, 40,000 steps",
    "four times the updates": "four times the updates, 16,000 steps",
    "random data only": "20,000 random transitions, nothing fresh",
    "K, Q − V": "young buffer, weight Q − V",
    "K, Q": "young buffer, weight Q itself",
    "target": "young buffer, both fixes, but",
}


def table(runs: dict, goal: float = 475.0) -> str:
    """Lay out every CartPole variant as a Markdown table."""
    lines = [
        "| data | variant | seeds solved | evaluations at goal | mean return, second half [95%] |",
        "|---|---|---|---|---|",
    ]
    for group, title in GROUPS.items():
        for name, run in runs[group].items():
            late, returns = second_half(runs, group, name), torch.tensor(run["returns"])
            n_solved = int(stats.solved_at(run["steps"], returns, goal).isfinite().sum())
            low, high = stats.interval(late)
            lines.append(
                f"| {title} | {name} | {n_solved}/{len(late)} | {stats.share_at_goal(returns, goal):.2f} | "
                f"{stats.iqm(late):.0f} [{low:.0f}, {high:.0f}] |"
            )
    return "\n".join(lines)


def main() -> None:
    """Draw them and save them beside this file, and print the table."""
    runs = json.loads((HERE / "ablations.json").read_text())
    figures = {
        "bias_against_age": bias_against_age(),
        "each_fix_on_and_off": each_fix_on_and_off(runs),
        "how_many_actions": how_many_actions(runs),
    }
    for name, figure in figures.items():
        (HERE / f"{name}.png").write_bytes(plots.png(figure))
    print(table(runs))


if __name__ == "__main__":
    main()
