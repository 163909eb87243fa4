"""The figures of README and docs/measurements.md, and the table: what they show, and how. `python -m figures`."""

import hashlib
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from figures import many_updates, more_patients, more_tasks, soft_actor_critic
from figures.ablations import CART_POLE, SEED
from figures.fixed_data import SEED as FIXED_SEED
from offac_lite import stats
from offac_lite.course import plots
from offac_lite.course.material import kept_runs as kept
from offac_lite.exact import TabularMDP
from offac_lite.exact.estimators import gradient_moments
from offac_lite.exact.groups import GROUP_WEIGHTS, group_moments

HERE = Path(__file__).parent
LIBRARIES = ("torch", "numpy", "scipy", "gymnasium", "matplotlib", "pillow")

LINES = {"naive": "-", "importance, V": ":", "Q-critic alone": "--", "both": "-"}  # variant: line style
WORDS = {"naive": "naive", "importance, V": "weights", "Q-critic alone": "fix 1", "both": "both fixes"}
TITLES = {
    "young": "a young buffer",
    "old data": "20,000 old transitions to start from",
    "four times the updates": "four times the updates",
    "random data only": "random data only, nothing fresh",
}


def bias_data() -> dict:
    """Return the distance of the mean gradient from the exact one at each age of the data, computed exactly."""
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    history, ages = mdp.policy_path(n_steps=20, step_size=5.0), list(range(21))
    length = mdp.policy_gradient(history[-1]).norm().item()

    def distances(estimator: str, baseline: str | None) -> list[float]:
        written_by = [torch.softmax(history[20 - age], -1) for age in ages]
        moments = [gradient_moments(mdp, history[-1], estimator, baseline=baseline, behavior=b) for b in written_by]
        return [m.bias / length for m in moments]

    return {"ages": ages, "resampled": distances("resampled", None), "stored": distances("stored", "value")}


def bias_against_age(data: dict) -> bytes:
    """Draw both distances against age."""
    return plots.png(plots.bias_against_age(data["ages"], data["resampled"], data["stored"]))


def groups_data() -> dict:
    """Return length, cosine and noise of the mean gradient with each weight of a group of four, along 20 updates.

    Lengths are those of ∇J, the cosine is that with ∇J, and the noise is in lengths of the mean; all are exact.
    """
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
    data: dict = {name: {"length": [], "cosine": [], "noise": []} for name in GROUP_WEIGHTS}
    for logits in mdp.policy_path(n_steps=20, step_size=5.0):
        probs, gradient = torch.softmax(logits, -1), mdp.policy_gradient(logits)
        rho, q = mdp.occupancy(probs), mdp.action_values(probs)
        for name, numbers in data.items():
            mean, spread = group_moments(probs, q, name, 4)
            mean, noise = rho[:, None] * mean, (rho.sum() * (rho * spread).sum()).sqrt()
            numbers["length"].append((mean.norm() / gradient.norm()).item())
            numbers["cosine"].append(((mean * gradient).sum() / mean.norm() / gradient.norm()).item())
            numbers["noise"].append((noise / mean.norm()).item())
    return data


def group_weights(data: dict) -> bytes:
    """Draw cosine and noise of each weight against the updates of the policy."""
    looks = {"Q itself": ("-", plots.MUTED), "RLOO": ("-", plots.RESAMPLED), "GRPO": ("--", plots.ACTIONS)}
    words = {"Q itself": "Q itself", "RLOO": "RLOO and Dr. GRPO", "GRPO": "GRPO"}
    figure, (left, right) = plots.figure(10.0, 3.0, ncols=2)
    for name, (style, color) in looks.items():
        for ax, key in ((left, "cosine"), (right, "noise")):
            ax.plot(data[name][key], ls=style, color=color, lw=2.2, label=words[name])
    for ax in (left, right):
        ax.set(xlabel="updates of the policy", xticks=range(0, 21, 5))
    left.set(ylabel="cosine of the mean with ∇J", ylim=(0, 1.1))
    right.set(ylabel="noise, in lengths of the mean", yscale="log", ylim=(1, 100))
    right.legend(frameon=False, ncols=3, loc="upper center", fontsize=9)
    return plots.png(figure)


def fixes_data() -> dict:
    """Return the learning curves of the fixes, for each kind of data."""
    runs = kept("ablations")
    return {group: {name: runs[group][name] for name in LINES if name in runs[group]} for group in TITLES}


def each_fix_on_and_off(data: dict) -> bytes:
    """Draw interquartile means with their intervals, a panel for each kind of data; each line is named at its end."""
    figure, axes = plots.figure(12.5, 3.3, ncols=4, sharey=True)
    for ax, (group, title) in zip(axes, TITLES.items(), strict=True):
        ends = {}
        for name, run in data[group].items():
            steps, returns = np.asarray(run["steps"]), np.asarray(run["returns"])
            (low, high), middle, color = stats.interval(returns), stats.iqm(returns), plots.FIX_COLORS[name]
            ax.fill_between(steps, low, high, color=color, alpha=0.25, lw=0)
            ax.plot(steps, middle, color=color, lw=2.4, ls=LINES[name], zorder=4 if name == "importance, V" else 3)
            ends[name] = float(middle[-1])
        for (name, _), height in zip(ends.items(), plots.apart(list(ends.values()), 36.0), strict=True):
            ax.annotate(f" {WORDS[name]}", (steps[-1], height), fontsize=9, va="center", annotation_clip=False)
        ax.set(xlim=(0, steps[-1]), ylim=(0, 560), xticks=np.linspace(0, steps[-1], 3))
        ax.set_title(title, loc="left", fontsize=10.5)
        ax.set_xlabel("8 × updates" if group == "random data only" else "environment steps per seed")
        ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x else "0")
    axes[0].set_ylabel("return of greedy play")
    return plots.png(figure)


def second_half(run: dict) -> torch.Tensor:
    """Average each seed's returns over the second half of a run, (S,)."""
    returns = torch.tensor(run["returns"], dtype=torch.float64)
    return returns[:, returns.shape[1] // 2 :].mean(1)


def actions_data() -> dict:
    """Return every seed's mean return, for each K, baseline, target network and critic."""
    runs = kept("ablations")
    some, many = runs["K, Q − V"], runs["K, Q"]
    rows = {"K = 1, Q − V": some["K = 1"], "K = 4, Q − V (the default)": runs["young"]["both"]}
    rows |= {"K = 16, Q − V": some["K = 16"]}
    rows |= {"all actions" if name == "all" else f"{name}, Q": run for name, run in many.items()} | runs["target"]
    tasks = {"CartPole": rows, "Pendulum": runs["pendulum"]}
    return {task: {name: second_half(run).tolist() for name, run in rows.items()} for task, rows in tasks.items()}


def how_many_actions(data: dict) -> bytes:
    """Draw every seed's mean return, for each K, baseline, target network and critic."""
    figure, axes = plots.figure(12.0, 4.2, ncols=2)
    for ax, rows in zip(axes, data.values(), strict=True):
        colors = {name: plots.ACTIONS for name in rows if name.endswith(", Q")}
        plots.seed_strips(ax, rows, colors=colors | dict.fromkeys(CART_POLE["target"], plots.STATES))
    left, right = axes
    left.set(xlabel="mean return of a seed, second half of 40,000 steps", title="CartPole, 32 seeds", xlim=(0, 510))
    right.set(xlabel="mean return of a seed, second half of 12,000 steps", title="Pendulum, 16 seeds")
    return plots.png(figure)


def sac_data() -> dict:
    """Return every seed's mean return in the second half, for soft actor-critic and what it is compared with."""
    runs, peer = kept("soft_actor_critic"), soft_actor_critic.PEER
    names = zip(soft_actor_critic.PEER_SETTINGS, ("its own settings", "our networks"), strict=True)
    peers = {f"{peer}, {short}": runs[peer][name] for name, short in names}
    tasks = {"Pendulum": runs["pendulum"] | peers, "CartPole": runs["cart-pole"]}
    return {task: {name: second_half(run).tolist() for name, run in rows.items()} for task, rows in tasks.items()}


def sac(data: dict) -> bytes:
    """Draw every seed's mean return on Pendulum and CartPole, a row for each variant."""
    figure, (left, right) = plots.figure(12.5, 4.2, ncols=2)
    for ax, rows in zip((left, right), data.values(), strict=True):
        colors = {name: plots.PATHWISE if name.startswith("SAC") else plots.MUTED for name in rows}
        plots.seed_strips(ax, rows, colors=colors | {"this course": plots.RESAMPLED})
    left.set(xlabel="mean return of a seed, second half of 12,000 steps", title="Pendulum", xlim=(-430, -130))
    row = list(data["Pendulum"]).index("SAC, α = 2")
    left.annotate("← all below −1,000", (-428, row), va="center", fontsize=9, color=plots.PATHWISE)
    right.set(xlabel="mean return of a seed, second half of 40,000 steps", title="CartPole, discrete actions")
    right.set_xlim(290, 510)
    return plots.png(figure)


def updates_data() -> dict:
    """Return the learning curves at each replay ratio, with layer norm and without."""
    runs = kept("many_updates")
    return {name: {"steps": runs[name]["steps"], "returns": runs[name]["returns"]} for name in many_updates.VARIANTS}


def replay_ratios(data: dict) -> bytes:
    """Draw interquartile means with their intervals, a panel for each replay ratio."""
    ratios = [name for name in data if "layer norm" not in name]
    panels = {name: name + " updates per step" * (name == ratios[0]) for name in ratios}
    return plots.png(plots.replay_ratio_curves(data, panels, goal=500))


TASKS = {
    "lake, young": "lake, young buffer",
    "lake, old data": "lake, 10,000 old transitions",
    "Acrobot, old data": "Acrobot, 10,000 old transitions",
}


def tasks_data() -> dict:
    """Return every seed's mean return in the second half, for both tasks and each kind of data."""
    runs = kept("more_tasks")
    return {task: {name: second_half(run).tolist() for name, run in runs[task].items()} for task in TASKS}


def tasks(data: dict) -> bytes:
    """Draw every seed's mean return, a panel for each task and kind of data."""
    figure, axes = plots.figure(12.5, 2.8, ncols=3)
    for ax, (task, rows) in zip(axes, data.items(), strict=True):
        colors = plots.FIX_COLORS | {"naive, larger bonus": plots.FIX_COLORS["naive"]}
        plots.seed_strips(ax, rows, colors=colors)
        ax.set(xlabel="mean return of a seed, second half", title=TASKS[task])
        ax.set_xlim((0, 1) if "lake" in task else (-520, 0))
    return plots.png(figure)


EVALUATIONS = {"most probable": "-", "drawn": "--", "training": ":"}  # the line of each


def patients_data() -> dict:
    """Return what each seed of the patients returns at the end, and the evaluations with and without chance."""
    runs = kept("more_patients")
    ends = {name: [seed[-1] for seed in runs[name]["returns"]] for name in more_patients.VARIANTS}
    return {"returns at the end": ends, "evaluation": runs["evaluation"]}


def patients(data: dict) -> bytes:
    """Draw the patients' returns at the end, and three ways to evaluate the same agents."""
    figure, (left, right) = plots.figure(12.0, 3.2, ncols=2)
    rows = data["returns at the end"]
    plots.seed_strips(left, rows, colors=dict.fromkeys(rows, plots.STORED) | {"healthy": plots.RESAMPLED})
    left.set(xlabel="return of a seed after 12,000 steps", title="Pendulum, 16 seeds")
    steps = np.asarray(data["evaluation"]["steps"])
    for name, style in EVALUATIONS.items():
        returns = np.asarray(data["evaluation"][name])
        (low, high), middle = stats.interval(returns), stats.iqm(returns)
        right.fill_between(steps, low, high, color=plots.RESAMPLED, alpha=0.2, lw=0)
        right.plot(steps, middle, color=plots.RESAMPLED, lw=2.2, ls=style, label=name)
    right.set(xlabel="environment steps", ylabel="return", title="CartPole, 16 seeds: actions of the evaluation")
    right.legend(frameon=False, loc="upper left")
    return plots.png(figure)


FIXED = ("naive", "both fixes", "both fixes, α = 3")


def fixed_data() -> dict:
    """Return every seed's mean return in the second half: kind of fixed data → variant."""
    rows: dict = {}
    for data in ("random", "mostly right"):
        runs = kept("fixed_data")[data]
        names = (*FIXED, *(name for name in runs if name.startswith("AWAC")), "cloning")
        rows[data] = {name: second_half(runs[name]).tolist() for name in names}
        rows[data]["cloning, largest Q"] = second_half({"returns": runs["cloning"]["largest Q"]}).tolist()
    return rows


def fixed_data_strips(data: dict) -> bytes:
    """Draw every seed's mean return, for each variant and kind of data."""
    figure, axes = plots.figure(12.0, 4.2, ncols=2, sharey=True)
    titles = {"random": "20,000 transitions of random play", "mostly right": "20,000 that mostly push right"}
    for ax, (group, rows) in zip(axes, data.items(), strict=True):
        plots.seed_strips(ax, rows, colors=dict.fromkeys(FIXED, plots.MUTED) | {"cloning": plots.STORED})
        ax.set(xlabel="mean return of a seed, second half of 5,000 updates", title=titles[group], xlim=(0, 510))
    return plots.png(figure)


def episodes_data() -> dict:
    """Return the play of an untrained agent and two trained ones: position, angle and falls so far, step by step."""
    return kept("episodes")


def before_and_after(data: dict) -> bytes:
    """Draw the episodes side by side as an animated PNG."""
    return plots.moving_poles(data)


GROUPS = {
    "young": "a young buffer, 40,000 steps",
    "old data": "20,000 old transitions to start from, 40,000 steps",
    "newest 2,000": "the same, only the newest 2,000 replayed",
    "four times the updates": "four times the updates, 16,000 steps",
    "random data only": "20,000 random transitions, nothing fresh",
    "K, Q − V": "young buffer, weight Q − V",
    "K, Q": "young buffer, weight Q itself",
    "target": "young buffer, both fixes, but",
}


def table(runs: dict, goal: float = 475.0) -> str:
    """Return a Markdown table of every CartPole variant."""
    lines = [
        "| data | variant | seeds solved | evaluations at goal | mean return, second half [95%] |",
        "|---|---|---|---|---|",
    ]
    for group, title in GROUPS.items():
        for name, run in runs[group].items():
            late, returns = second_half(run), torch.tensor(run["returns"])
            n_solved = int(stats.solved_at(run["steps"], returns, goal).isfinite().sum())
            low, high = stats.interval(late)
            lines.append(
                f"| {title} | {name} | {n_solved}/{len(late)} | {stats.share_at_goal(returns, goal):.2f} | "
                f"{stats.iqm(late):.0f} [{low:.0f}, {high:.0f}] |"
            )
    return "\n".join(lines)


class Made(NamedTuple):
    """A figure of a page: its data, how it is drawn, its seed (None: nothing is random), and what it shows."""

    data: Callable[[], dict]
    draw: Callable[[dict], bytes]
    seed: int | None
    alt: str


FIGURES = {
    "before_and_after.png": Made(
        episodes_data,
        before_and_after,
        SEED,
        (
            "Three cart-poles side by side, at work for three seconds. The pole of the untrained agent falls 14 times, "
            "that of naive replay 6 times, that of both fixes never."
        ),
    ),
    "each_fix_on_and_off.png": Made(
        fixes_data,
        each_fix_on_and_off,
        SEED,
        (
            "Interquartile means of 32 agents each, with 95% intervals, in four panels, and where they end. On a young "
            "buffer: naive replay at 241 of 500, the Q-critic alone at 464, importance weights and both fixes at 500. "
            "With 20,000 old transitions to start from: naive replay at 27, the Q-critic alone at 69, importance "
            "weights at 418, both fixes at 500. With four times the updates: naive replay at 145, the Q-critic alone "
            "at 431, importance weights and both fixes at 500. With random data only: naive replay at 113, the "
            "Q-critic alone at 124, both fixes at 162."
        ),
    ),
    "how_many_actions.png": Made(
        actions_data,
        how_many_actions,
        SEED,
        (
            "Left: a strip of 32 seeds for each variant on CartPole. With Q − V as the weight, one, four and sixteen "
            "resampled actions all come to 500; with Q itself one comes to 450, four to 489, sixteen and more to 498 "
            "or above. A target rate of 0.005 comes to 361, a single critic to 487. Right: on Pendulum, leave-one-out "
            "and the reparameterised gradient come to −154, Q itself to about −1300."
        ),
    ),
    "fixed_data.png": Made(
        fixed_data,
        fixed_data_strips,
        FIXED_SEED,
        (
            "Two panels, a strip of 16 seeds for each variant. On 20,000 transitions of random play both fixes come to "
            "158, and with an entropy bonus of 3 to 500. AWAC comes to 323 at λ = 0.01, to 452 at λ = 1 and to 92 at "
            "λ = 10; a clone to 13, the largest Q of the clones to 500. On 20,000 transitions that mostly push right "
            "both fixes come to 132, with the bonus to 286, AWAC to 178 at λ = 0.01 and to 9 from λ = 1 on, the "
            "largest Q of the clones to 32."
        ),
    ),
    "bias_against_age.png": Made(
        bias_data,
        bias_against_age,
        None,
        (
            "Two curves over the age of the data in policy updates. With stored actions the mean gradient is almost "
            "three lengths of the exact gradient away from it at age 20; with resampled actions about half a length."
        ),
    ),
    "group_weights.png": Made(
        groups_data,
        group_weights,
        None,
        (
            "Two panels over 20 exact updates of the policy. Left: the cosine of the mean gradient with ∇J is 1 with Q "
            "itself, RLOO and Dr. GRPO; with GRPO it is 0.46 at first and 0.94 at the end. Right: the noise of one "
            "state's group, in lengths of the mean: with Q itself 25 at first and 39 at the end, with RLOO and Dr. "
            "GRPO 7.5 and 4.1, with GRPO 2.1 and 1.9."
        ),
    ),
    "many_updates.png": Made(
        updates_data,
        replay_ratios,
        many_updates.SEED,
        (
            "Interquartile means of 16 agents over 8,000 steps, with intervals, in five panels, with layer norm and "
            "without. The means of the whole run, without and with it: 248 and 198 at 0.125 updates per step, 373 and "
            "390 at 1, 400 and 422 at 4, 402 and 438 at 8, 290 and 378 at 4 with one critic."
        ),
    ),
    "soft_actor_critic.png": Made(
        sac_data,
        sac,
        soft_actor_critic.SEED,
        (
            "Strips of 16 seeds for each variant. Left: on Pendulum this course's algorithm comes to −152, SAC to "
            "−149, with a fixed α of 0.2 to −159, with 2 to −1148; 8 seeds of Stable-Baselines3's SAC come to −200, "
            "with the networks of this course to −254. Right: on CartPole all variants come to 497 or more, and "
            "single seeds of all but two stay below 460."
        ),
    ),
    "more_tasks.png": Made(
        tasks_data,
        tasks,
        more_tasks.SEED,
        (
            "Strips of 16 seeds for each method. On the lake both fixes come to 0.50 with a young buffer and to 0.48 "
            "with old data, no other method beyond 0.21. On Acrobot with old data both fixes come to −254, between "
            "−500 and −84; naive replay and the Q-critic alone come to −500."
        ),
    ),
    "more_patients.png": Made(
        patients_data,
        patients,
        more_patients.SEED,
        (
            "Left: strips of 16 seeds on Pendulum. Healthy agents come to −161, agents whose actions are scaled twice "
            "to −358, agents that store the next episode's first observation to −150. Right: on CartPole evaluations "
            "with the most probable actions lie above those with drawn actions from 4,000 steps on, and these above "
            "the returns of the training."
        ),
    ),
}


def rounded(data):
    """Round every number to six decimals, because the last digits differ between CPUs."""
    if isinstance(data, dict):
        return {key: rounded(value) for key, value in data.items()}
    if isinstance(data, list):
        return [rounded(value) for value in data]
    return round(data, 6) + 0.0 if isinstance(data, float) else data  # + 0.0: no −0


def entry(file: str, data: dict) -> dict:
    """Return a figure's entry in the manifest: the function and seed behind it, and a digest of its data."""
    made = FIGURES[file]
    text = json.dumps(rounded(data), ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    function = f"{made.draw.__module__}.{made.draw.__name__}"
    return {"file": file, "function": function, "seed": made.seed, "alt": made.alt, "data_sha256": digest}


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute and draw."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}
