"""The evidence of README and docs/measurements.md is what the kept runs say, and the figures are drawn from them."""

import doctest
import io
import json
import re
import statistics
import sys
from pathlib import Path

import matplotlib
import pytest
import torch
from PIL import Image

from figures import __main__ as drawing
from figures import (
    ablations,
    episodes,
    fixed_data,
    keeping,
    make,
    many_updates,
    more_patients,
    more_tasks,
    soft_actor_critic,
)
from offac_lite.course import plots
from offac_lite.course.material import kept_runs
from offac_lite.envs import VectorEnv
from offac_lite.exact import TabularMDP
from offac_lite.exact.estimators import break_even_actions
from offac_lite.networks import CategoricalPolicy, DiscreteQCritic
from offac_lite.play import act
from tests import rng
from tests.hostile import RC_PARAMS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MEASUREMENTS = (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8")
MAINTAINING = (ROOT / "docs" / "maintaining.md").read_text(encoding="utf-8")
NAMES = {
    "naive": "naive replay",
    "Q-critic alone": "the Q-critic alone",
    "importance, V": "importance weights",
    "both": "both fixes",
}


@pytest.fixture(scope="module")
def runs():
    return make.kept("ablations")


def test_the_kept_runs_are_those_that_the_command_trains(runs):
    asked = ablations.CART_POLE | ablations.PENDULUM_VARIANTS
    assert {group: list(variants) for group, variants in asked.items()} == {
        group: list(kept) for group, kept in runs.items() if group != "break-even"
    }
    for group, kept in runs.items():
        for run in kept.values() if group != "break-even" else ():
            seeds = 16 if group == "pendulum" else 32
            assert len(run["returns"]) == seeds and all(len(r) == len(run["steps"]) == 20 for r in run["returns"])


def test_on_a_table_the_learned_break_even_is_the_exact_one():
    """A linear policy on one-hot states without biases' help: every state alike, so uniform states weigh the same."""
    mdp = TabularMDP([[[0.0, 1.0], [0.0, 0.5], [0.2, 0.3]]] * 2, [[1.0, 2.0, 0.5]] * 2, [0.5, 0.5], gamma=0.9)
    policy = CategoricalPolicy(2, 3, (), generator=rng(), out_gain=1.0)
    critic = DiscreteQCritic(2, 3, (), generator=rng())
    logits = torch.tensor([0.4, -0.3, 0.1])
    with torch.no_grad():
        for net, row in ((policy.net, logits), (critic.net, None)):
            ((weight, bias),) = net.layers()
            weight.zero_()
            q = mdp.action_values(torch.softmax(logits.double(), -1).expand(2, 3))
            bias.copy_((q[0].float() if row is None else row)[:, None])
    exact = break_even_actions(mdp, logits.double().expand(2, 3))
    assert ablations.learned_break_even(policy, critic, torch.eye(2)).item() == pytest.approx(exact, rel=1e-4)


def test_the_kept_runs_of_soft_actor_critic_are_those_that_the_command_trains():
    kept = kept_runs("soft_actor_critic")
    for group, parts in soft_actor_critic.VARIANTS.items():
        assert list(kept[group]) == [name for _, variants in parts for name in variants]
        for run in kept[group].values():
            assert len(run["returns"]) == len(run["entropy"]) == soft_actor_critic.N_SEEDS
            assert all(len(row) == len(run["steps"]) == 20 for row in run["returns"] + run["entropy"])
    peer = kept[soft_actor_critic.PEER]
    assert peer.pop("version") and list(peer) == list(soft_actor_critic.PEER_SETTINGS)
    for run in peer.values():
        assert len(run["returns"]) >= 4 and all(len(row) == len(run["steps"]) == 20 for row in run["returns"])


def test_the_kept_runs_with_many_updates_are_those_that_the_command_trains():
    kept = kept_runs("many_updates")
    assert list(kept) == [*many_updates.VARIANTS, *many_updates.RESET]
    for run in kept.values():
        assert len(run["returns"]) == len(run["value"]) == many_updates.N_SEEDS
        assert all(len(row) == len(run["steps"]) == 16 for row in run["returns"] + run["value"])


def test_the_kept_runs_of_more_tasks_are_those_that_the_command_trains():
    kept = kept_runs("more_tasks")
    assert {data: list(runs) for data, runs in kept.items()} == {
        f"{task}, {data}": list(more_tasks.VARIANTS[task])
        for task in more_tasks.TASKS
        for data in more_tasks.DATA[task]
    }
    for runs in kept.values():
        for run in runs.values():
            assert len(run["returns"]) == more_tasks.N_SEEDS
            assert all(len(row) == len(run["steps"]) == 8 for row in run["returns"])
            assert run["steps"][-1] == 16_000


def test_the_kept_runs_on_fixed_data_are_those_that_the_command_trains():
    kept = kept_runs("fixed_data")
    assert list(kept.pop("data")) == list(kept) == list(fixed_data.DATA)
    for runs in kept.values():
        assert list(runs) == list(fixed_data.variants())
        for run in runs.values():
            assert run["updates"] == list(range(500, 5_001, 500))
            for name in ("returns", "drawn", "entropy", "believed", "earned", "edge", "fell"):
                assert len(run[name]) == fixed_data.N_SEEDS and all(len(row) == 10 for row in run[name])


def test_what_is_played_from_given_states_is_what_the_environment_does():
    start = torch.zeros(2, 3, 4)
    start[1, :, 0], start[1, :, 1] = 2.3, 3.0  # near the end of the track, and on its way out
    right = fixed_data.play(lambda obs: torch.ones(obs.shape[:2], dtype=torch.int64), start, 50, fixed_data.CARTPOLE)
    assert right.fell[0].all() and right.edge[1].all() and not (right.edge[0] | right.fell[1]).any()
    lengths = right.playing.sum(1)
    assert torch.equal(lengths, right.length.long()) and lengths[1, 0] < 3 < lengths[0, 0]
    wanted = 0.1 * (1 - 0.99 ** lengths[0, 0].item()) / 0.01
    assert right.discounted[0, 0].item() == pytest.approx(wanted, rel=1e-5)
    assert torch.equal(right.obs[:, 0], start)


def test_the_lake_s_observation_is_the_square():
    lake = more_tasks.one_hot_lake()
    obs, _ = lake.reset(seed=0)
    assert obs.tolist() == [1.0] + 15 * [0.0]
    obs, *_ = lake.step(1)
    assert obs.sum() == 1 and obs[lake.unwrapped.s] == 1
    lake.close()


def test_the_controller_of_acrobot_swings_up_in_every_episode():
    env, g = VectorEnv(more_tasks.ACROBOT, 8, seed=0), torch.Generator().manual_seed(0)
    env.reset()
    for _ in range(400):
        action, _ = act(more_tasks.pump, env, g)
        env.step(action)
    lengths = [episode.length for episode in env.pop_episodes()]
    assert len(lengths) > 12 and max(lengths) < 400 and 100 < statistics.mean(lengths) < 200
    env.close()


def test_maintaining_names_every_command_that_trains():
    files = (ROOT / "figures").glob("[!_]*.py")
    commands = {path.stem for path in files if '__name__ == "__main__"' in path.read_text(encoding="utf-8")}
    assert set(re.findall(r"^\.venv/bin/python -m figures\.(\w+)$", MAINTAINING, re.MULTILINE)) == commands


@pytest.mark.parametrize("command", [fixed_data, many_updates, more_patients, more_tasks, soft_actor_critic])
def test_what_is_kept_is_not_trained_again_and_stays_as_it_is(command, tmp_path, monkeypatch):
    before, copy = command.FILE.read_text(encoding="utf-8"), tmp_path / "kept.json"
    copy.write_text(before, encoding="utf-8")
    monkeypatch.setattr(command, "FILE", copy)
    monkeypatch.setattr("sys.argv", ["command"])
    for name in ("sweep", "train"):
        monkeypatch.setattr(command, name, None, raising=False)
    command.main()
    assert copy.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("group, name", [("cart-pole", "SAC, α = 1"), ("pendulum", "SAC")])
def test_a_variant_that_is_missing_is_trained_alone(group, name, tmp_path, monkeypatch):
    kept, copy = kept_runs("soft_actor_critic"), tmp_path / "kept.json"
    copy.write_text(json.dumps(kept | {group: {n: run for n, run in kept[group].items() if n != name}}))
    asked = {}

    def sweep(variants, *_, **__):
        asked.update(variants)
        return variants

    monkeypatch.setattr(soft_actor_critic, "FILE", copy)
    monkeypatch.setattr("sys.argv", ["command"])
    monkeypatch.setattr(soft_actor_critic, "sweep", sweep)
    monkeypatch.setattr(soft_actor_critic, "finished", lambda results: results)
    monkeypatch.setattr(soft_actor_critic, "numbers", lambda run: "new")
    soft_actor_critic.main()
    assert list(asked) == [name]
    now = json.loads(copy.read_text(encoding="utf-8"))
    assert now == kept | {group: kept[group] | {name: "new"}} and list(now[group]) == list(kept[group])


def printed(number, digits=0):
    """Write a number as the page does."""
    return f"{number:.{digits}f}".replace("-", "−")


def test_the_rows_on_soft_actor_critic_are_those_of_the_kept_runs():
    kept = kept_runs("soft_actor_critic")
    peers = {f"{n} (8 seeds)": run for n, run in kept[soft_actor_critic.PEER].items() if n != "version"}
    assert all(len(run["returns"]) == 8 for run in peers.values())
    peers = {f"{soft_actor_critic.PEER}, {name}": run for name, run in peers.items()}
    rows = {"Pendulum": kept["pendulum"] | peers, "CartPole": kept["cart-pole"]}
    section = MEASUREMENTS.partition("## Soft actor-critic")[2].partition("\n## ")[0]
    for task, runs in rows.items():
        for name, run in runs.items():
            returns, solved, entropy = torch.tensor(run["returns"]), "", ""
            if task == "CartPole":
                n_solved = int(make.stats.solved_at(run["steps"], returns, goal=475).isfinite().sum())
                solved = f" {n_solved} of 16"
            if "entropy" in run:
                entropy = f" {printed(torch.tensor(run['entropy'])[:, -1].median(), 2)}"
            late = make.second_half(run)
            mean, low, high = map(printed, (make.stats.iqm(late), *make.stats.interval(late)))
            row = f"| {task} | {name} |{solved} | {mean} [{low}, {high}] | {printed(late.min())} |{entropy} |"
            assert row in section, row
    assert section.count("\n| ") == 1 + sum(map(len, rows.values()))
    runs = kept["pendulum"]["SAC"], kept[soft_actor_critic.PEER]["its own settings"]
    at = [[printed(make.stats.iqm(torch.tensor(run["returns"])[:, i])) for i in (9, 19)] for run in runs]
    assert "comes to {} after 6,000 steps and to {} at the end, ours to {} and {}".format(*at[1], *at[0]) in section


def test_the_rows_on_many_updates_are_those_of_the_kept_runs():
    for name, run in kept_runs("many_updates").items():
        returns = torch.tensor(run["returns"])
        whole = returns.mean(1)
        low, high = make.stats.interval(whole)
        solved = int(make.stats.solved_at(run["steps"], returns, goal=475).isfinite().sum())
        highest = [max(value for value in seed if value is not None) for seed in run["value"]]
        above, most = sum(value > 10 for value in highest), max(highest)
        mean = f"{make.stats.iqm(whole):.0f} [{low:.0f}, {high:.0f}]"
        row = f"| {name} | {solved} of 16 | {mean} | {above} of 16 | {most:.{0 if most > 100 else 1}f} |"
        assert row in MEASUREMENTS, row


def test_the_rows_on_more_tasks_are_those_of_the_kept_runs():
    for data, runs in kept_runs("more_tasks").items():
        digits = 2 if data.startswith("lake") else 0
        for name, run in runs.items():
            late = torch.tensor(run["returns"])[:, 4:].mean(1)
            numbers = [make.stats.iqm(late), *make.stats.interval(late), late.min(), late.max()]
            mean, low, high, worst, best = (f"{number:.{digits}f}".replace("-", "−") for number in numbers)
            row = f"| {data} | {name} | {mean} [{low}, {high}] | {worst} | {best} |"
            assert row in MEASUREMENTS, row


def test_the_rows_on_fixed_data_are_those_of_the_kept_runs():
    kept = kept_runs("fixed_data")
    for data in fixed_data.DATA:
        for name, run in kept[data].items():
            cells = []
            for how in ("returns", "drawn", "largest Q"):
                late = make.second_half({"returns": run[how]}) if how in run else None
                low, high = (0, 0) if late is None else make.stats.interval(late)
                cells.append("—" if late is None else f"{make.stats.iqm(late):.0f} [{low:.0f}, {high:.0f}]")
            above = int((make.second_half(run) >= 300).sum())
            cells += [f"{torch.tensor(run[key])[:, -1].median():.1f}" for key in ("believed", "earned")]
            row = f"| {data} | {name} | {above} of 16 | {' | '.join(cells)} |"
            assert row in MEASUREMENTS, row


def test_what_is_said_of_fixed_data():
    kept = kept_runs("fixed_data")
    (random, right), about = (kept[data] for data in fixed_data.DATA), kept["data"]["random"]
    both = torch.tensor(random["both fixes"]["returns"])
    said = [f"{make.stats.iqm(both[:, i]):.0f}" for i in (0, 3)]
    assert "has given {}, after 2,000 updates {}.".format(*said) in MEASUREMENTS
    edge = torch.tensor(random["both fixes"]["edge"])[:, -1].mean().item()
    assert about["ended at the edge"] == 1
    assert (
        f"{edge:.0%} of the episodes leave the track, which happens once in the {about['episodes']:,}" in MEASUREMENTS
    )

    def late(run, how="returns"):
        return make.stats.iqm(make.second_half({"returns": run[how]})).item()

    one_step = make.second_half({"returns": random["cloning"]["largest Q"]})
    assert (one_step >= 475).all() and f"it comes to {late(right['cloning'], 'largest Q'):.0f}" in MEASUREMENTS
    bonus = make.stats.interval(make.second_half(random["both fixes, α = 3"]))[0]
    stored = [f"AWAC, λ = {t:g}" for t in fixed_data.TEMPERATURES]
    assert bonus > max(make.stats.interval(make.second_half(random[name]))[1] for name in stored)
    for name in stored[4:]:
        assert late(random[name], "largest Q") > 498.5 > 460 > late(random[name])
    above = [(make.second_half(run) >= 300).sum().item() for run in right.values()]
    uniform = make.second_half({"returns": right["both fixes, α = 3"]["largest Q"]})
    assert f"more than {max(above)} of 16" in MEASUREMENTS
    assert f"nearly uniform, has {(uniform >= 300).sum().item()}." in MEASUREMENTS
    assert make.second_half(right["AWAC, λ = 1"]).max() < 12
    highest = torch.tensor(right["both fixes"]["believed"]).max(1).values
    assert f"{int((highest > 10).sum())} of 16 believed in more than 10" in MEASUREMENTS
    assert f"up to {round(highest.max().item(), -3):,.0f}." in MEASUREMENTS


def test_the_numbers_on_bugs_outside_the_loss_are_those_of_the_kept_runs():
    kept = kept_runs("more_patients")
    for name in ("healthy", "patient L", "first observation as s′"):
        last = torch.tensor(kept[name]["returns"])[:, -1]
        numbers = [make.stats.iqm(last), *make.stats.interval(last)]
        mean, low, high = (f"{number:.0f}".replace("-", "−") for number in numbers)
        believed = [
            f"{torch.tensor(kept[name][word]).median():.3g}".replace("-", "−") for word in ("promised", "delivered")
        ]
        assert f"| {mean} [{low}, {high}] | {' | '.join(believed)} |" in MEASUREMENTS, (name, mean, low, high, believed)
    ends = {
        name: torch.tensor(kept["evaluation"][name])[:, -4:].mean(1) for name in ("most probable", "drawn", "training")
    }
    means = {name: round(float(make.stats.iqm(end))) for name, end in ends.items()}
    said = "most probable actions return {}, with drawn actions {}; training returns {}".format(*means.values())
    assert said in MEASUREMENTS, means
    gap = ends["most probable"] - ends["drawn"]
    low, high = make.stats.interval(gap)
    assert f"in {int((gap > 0).sum())} of 16 seeds, by [{low:.0f}, {high:.0f}]" in MEASUREMENTS


def test_the_table_of_the_measurements_is_the_one_that_the_runs_give(runs):
    assert make.table(runs) in MEASUREMENTS


def test_what_is_said_of_the_runs(runs):
    def late(group, name):
        return make.stats.iqm(make.second_half(runs[group][name])).item()

    assert late("young", "both") > 475 > late("young", "naive") and late("young", "importance, V") > 475
    assert late("old data", "naive") < 50 and late("old data", "Q-critic alone") < 100 < late("old data", "both")
    assert late("old data", "importance, V") < 0.8 * late("old data", "both")
    assert late("random data only", "both") < 200
    assert late("young", "naive") < late("young", "Q-critic alone") < late("young", "both")
    assert late("K, Q", "K = 1") < late("K, Q", "K = 4") < 495 < late("K, Q", "K = 16")
    for name in ("K = 8, leave-one-out", "K = 2, leave-one-out", "reparameterised"):
        assert round(late("pendulum", name)) == -154
    for name in ("K = 1, Q", "K = 8, Q"):
        assert max(seed[-1] for seed in runs["pendulum"][name]["returns"]) < -1000


def test_the_readme_s_means_are_those_of_the_table(runs):
    """Each sentence about returns, by its own words, against the interquartile mean of the second half."""

    def late(group, name):
        return round(make.stats.iqm(make.second_half(runs[group][name])).item())

    said = README.partition("Interquartile means over the second half")[2].partition("\n\n[")[0]
    assert f"naive replay comes to {late('young', 'naive')} of 500, both fixes to {late('young', 'both')}." in said
    old = [late("old data", name) for name in ("naive", "Q-critic alone", "both")]
    assert "naive replay comes to {}, the Q-critic alone to {}, both fixes to {}.".format(*old) in said
    weights = [late(group, "importance, V") for group in ("young", "old data")]
    assert "on young data ({}) and fall behind on old data ({}).".format(*weights) in said
    assert f"even both fixes come to {late('random data only', 'both')}." in said
    assert "with Q itself learn CartPole nearly as well as one with Q − V" in said
    assert late("K, Q", "K = 16") == 499 and late("K, Q − V", "K = 1") == 500


def test_what_is_said_of_break_even(runs):
    """The sentence's numbers are read from the text, and compared with the medians of the eight seeds."""
    steps, k_star = runs["break-even"].values()
    assert all(len(values) == 8 for values in k_star)
    medians = dict(zip(steps, map(statistics.median, k_star), strict=True))
    said = re.search(
        r"is about (\S+) after (\S+) steps, (\S+) after (\S+), and (\S+) to (\S+) from (\S+) on \(medians of 8",
        MEASUREMENTS,
    )
    first, at_first, second, at_second, low, high, since = (int(n.replace(",", "")) for n in said.groups())
    assert medians[at_first] == pytest.approx(first, rel=0.05)
    assert medians[at_second] == pytest.approx(second, rel=0.05)
    late = [k for step, k in medians.items() if step >= since]
    assert low == round(min(late), -3) and high == round(max(late), -3)
    assert at_first < at_second < since and len(late) == len(medians) - 2, "every checkpoint is told of"


def test_the_manifest_says_what_is_drawn():
    """Exact numbers are computed anew, learned ones read again. Pictures are not compared: fonts differ."""
    manifest = json.loads((ROOT / "figures/manifest.json").read_text(encoding="utf-8"))
    fresh = [make.entry(file, figure.data()) for file, figure in make.FIGURES.items()]
    assert manifest["figures"] == fresh, "run python -m figures"
    assert list(manifest["versions"]) == list(make.LIBRARIES)


def test_the_rows_on_the_weights_of_a_group_are_exact():
    section = MEASUREMENTS.partition("## The weights of a group")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| ")]
    data = make.groups_data()
    assert rows[1:] == [
        [words, name, *(f"{numbers[key][at]:.3g}" for key in ("length", "cosine", "noise"))]
        for at, words in ((0, "uniform"), (-1, "after 20 updates"))
        for name, numbers in data.items()
    ]
    alt = make.FIGURES["group_weights.png"].alt
    assert "with GRPO it is {:.2f} at first and {:.2f} at the end".format(*data["GRPO"]["cosine"][::20]) in alt
    for name, words in (
        ("Q itself", "{:.0f} at first and {:.0f}"),
        ("RLOO", "{:.1f} and {:.1f}"),
        ("GRPO", "{:.1f} and {:.1f}"),
    ):
        assert words.format(*data[name]["noise"][::20]) in alt


def test_another_drawing_has_another_entry_and_the_last_digits_make_none():
    data = make.bias_data()
    file = "bias_against_age.png"
    kept = make.entry(file, data)
    data["stored"][20] += 1e-9
    assert make.entry(file, data) == kept
    data["stored"][20] += 1e-3
    assert make.entry(file, data) != kept


def test_every_figure_is_shown_once_with_the_words_of_the_manifest():
    shown = re.findall(r"!\[([^\]]*)\]\(figures/([^)]*)\)", README)
    shown += re.findall(r"!\[([^\]]*)\]\(\.\./figures/([^)]*)\)", MEASUREMENTS)
    assert sorted(shown) == sorted((figure.alt, file) for file, figure in make.FIGURES.items())
    assert {path.name for path in (ROOT / "figures").glob("*.png")} == set(make.FIGURES)


def test_the_words_say_what_the_figures_show(runs):
    panels = re.split(r"\. (?=On a|With)", make.FIGURES["each_fix_on_and_off.png"].alt)[1:]
    for panel, (group, curves) in zip(panels, make.fixes_data().items(), strict=True):
        said = dict.fromkeys(curves)
        for names, number in re.findall(r"(\D+?) at (\d+)", panel.partition(": ")[2]):
            said |= {name: int(number) for name in curves if NAMES[name] in names}
        ends = {name: make.stats.iqm(torch.tensor(run["returns"])[:, -1]).item() for name, run in curves.items()}
        assert said == {name: round(end) for name, end in ends.items()}, group
    strips = make.FIGURES["how_many_actions.png"].alt
    late = {name: make.stats.iqm(torch.tensor(x)).item() for name, x in make.actions_data()["CartPole"].items()}
    for name, words in {
        "K = 1, Q": "one comes to",
        "K = 4, Q": "four to",
        "τ = 0.005": "0.005 comes to",
        "single Q": "a single critic to",
    }.items():
        assert f"{words} {late[name]:.0f}" in strips
    for file, data in (("soft_actor_critic.png", make.sac_data()), ("more_tasks.png", make.tasks_data())):
        means = {
            printed(make.stats.iqm(torch.tensor(x)), d) for rows in data.values() for x in rows.values() for d in (0, 2)
        }
        said = re.findall(r"(?:comes?|SAC|of 0.2|2|and) to (−?\d[\d.]*\d)", make.FIGURES[file].alt)
        assert len(said) > 2 and set(said) <= means, (file, set(said) - means)
    curves = [torch.tensor(run["returns"]) for run in make.updates_data().values()]
    means = [round(float(make.stats.iqm(returns.mean(1)))) for returns in curves]
    words = make.FIGURES["many_updates.png"].alt.partition("without and with it: ")[2]
    assert [int(x) for pair in re.findall(r"(\d+) and (\d+) at", words) for x in pair] == means
    data = make.sac_data()["CartPole"]
    assert min(make.stats.iqm(torch.tensor(seeds)) for seeds in data.values()) >= 496.5
    steady = [name for name, seeds in data.items() if min(seeds) > 460]
    assert steady == ["SAC, α = 0.2", "SAC, α = 1, entropy in the actor only"]
    data = make.patients_data()
    ends = [printed(make.stats.iqm(torch.tensor(seeds))) for seeds in data["returns at the end"].values()]
    said = re.findall(r" to (−\d+)", make.FIGURES["more_patients.png"].alt)
    assert said == ends
    likely, drawn, training = (make.stats.iqm(torch.tensor(data["evaluation"][n]))[1:] for n in make.EVALUATIONS)
    assert data["evaluation"]["steps"][1] == 4_000 and (likely > drawn).all() and (drawn > training).all()
    fixed = {
        data: {n: f"{make.stats.iqm(torch.tensor(x)):.0f}" for n, x in r.items()}
        for data, r in make.fixed_data().items()
    }
    panels = make.FIGURES["fixed_data.png"].alt.split("On 20,000")[1:]
    names = [
        "both fixes",
        "both fixes, α = 3",
        "AWAC, λ = 0.01",
        "AWAC, λ = 1",
        "AWAC, λ = 10",
        "cloning",
        "cloning, largest Q",
    ]
    few = ["both fixes", "both fixes, α = 3", "AWAC, λ = 0.01", "AWAC, λ = 1", "cloning, largest Q"]
    for panel, rows, shown in zip(panels, fixed.values(), (names, few), strict=True):
        assert re.findall(r"to (\d+)", panel) == [rows[name] for name in shown]
    bias = make.bias_data()
    assert 2.7 < bias["stored"][20] < 3 and 0.4 < bias["resampled"][20] < 0.6


@pytest.mark.parametrize("file", [file for file in make.FIGURES if file != "before_and_after.png"])
def test_a_figure_is_drawn(file):
    figure = make.FIGURES[file]
    assert len(figure.draw(figure.data())) > 20_000


def test_a_reader_s_settings_change_no_figure():
    bias, moments = make.bias_data(), {name: frames[:2] for name, frames in make.episodes_data().items()}
    wanted = make.bias_against_age(bias), make.before_and_after(moments)
    with matplotlib.rc_context(RC_PARAMS["dark"] | RC_PARAMS["large"]):
        assert (make.bias_against_age(bias), make.before_and_after(moments)) == wanted


def test_the_animation_shows_every_moment_and_begins_with_the_last():
    data = make.episodes_data()
    moments = {name: frames[:4] for name, frames in data.items()}
    picture = Image.open(io.BytesIO(make.before_and_after(moments)))
    frames = []
    for number in range(picture.n_frames):
        picture.seek(number)
        frames.append((picture.convert("RGB").tobytes(), picture.info["duration"]))
    different = {tuple(row) for row in zip(*map(str_of, moments.values()), strict=True)}
    assert len(frames) == 1 + len(different) and picture.info["loop"] == 0
    assert frames[0][0] == frames[-1][0] and frames[0][1] > 1000 and len({pixels for pixels, _ in frames[1:]}) > 1
    assert (ROOT / "figures/before_and_after.png").stat().st_size < 300_000


def str_of(frames):
    return [str(frame) for frame in frames]


def test_the_kept_episodes_are_what_the_words_say():
    data = make.episodes_data()
    assert {name: (len(frames), frames[-1][2]) for name, frames in data.items()} == {
        "untrained": (150, 14),
        "naive replay": (150, 6),
        "both fixes": (150, 0),
    }


@pytest.mark.slow
def test_episodes_begin_alike_and_the_untrained_agent_falls():
    played = episodes.before_and_after(seeds=2, total_steps=400, n_frames=40)
    assert list(played) == list(plots.AGENT_COLORS) and {len(frames) for frames in played.values()} == {40}
    assert len({str(frames[0]) for frames in played.values()}) == 1
    angles = [angle for _, angle, _ in played["untrained"]]
    falls = [count for *_, count in played["untrained"]]
    assert falls[0] == 0 < falls[-1] and falls == sorted(falls)
    fallen = [t for t in range(1, 40) if falls[t] > falls[t - 1]]
    assert all(abs(angles[t]) > 0.208 for t in fallen) and max(map(abs, angles)) < 0.3, "12 degrees, and a new episode"


def test_training_one_replay_ratio_anew_loses_no_other_run():
    kept = kept_runs("many_updates")
    assert list(many_updates.in_order(dict(reversed(kept.items())))) == list(kept)
    without = {name: run for name, run in kept.items() if name != "4"}
    assert list(many_updates.in_order(without)) == list(without)


TRAINED = [ablations, episodes, fixed_data, many_updates, more_patients, more_tasks, soft_actor_critic]


@pytest.mark.parametrize("module", [drawing, *TRAINED], ids=lambda module: module.__name__)
def test_help_says_what_a_command_does_and_does_nothing(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figures", "--help"])
    with pytest.raises(SystemExit) as end:
        module.main()
    said = capsys.readouterr().out
    assert not end.value.code and said.startswith("usage: python -m figures")
    assert " ".join(module.__doc__.splitlines()[0].split()) in " ".join(said.split())


def test_the_examples_in_the_docstrings_hold():
    found = [doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE) for module in [keeping, make, *TRAINED]]
    assert sum(one.attempted for one in found) >= 4 and not any(one.failed for one in found)
