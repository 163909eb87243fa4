"""The README's evidence is what the kept runs say, and the figures are drawn from them."""

import json
import statistics
from pathlib import Path

import pytest

from figures import ablations, make
from offac_lite import plots

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def runs():
    return json.loads((ROOT / "figures/ablations.json").read_text(encoding="utf-8"))


def test_the_kept_runs_are_those_that_the_command_trains(runs):
    asked = ablations.CART_POLE | ablations.PENDULUM_VARIANTS
    assert {group: list(variants) for group, variants in asked.items()} == {
        group: list(kept) for group, kept in runs.items() if group != "break-even"
    }
    for group, kept in runs.items():
        for run in kept.values() if group != "break-even" else ():
            seeds = 16 if group == "pendulum" else 32
            assert len(run["returns"]) == seeds and all(len(r) == len(run["steps"]) == 20 for r in run["returns"])


def test_the_table_of_the_readme_is_the_one_that_the_runs_give(runs):
    assert make.table(runs) in README


def test_what_the_readme_says_of_the_runs(runs):
    def late(group, name):
        return make.stats.iqm(make.second_half(runs, group, name)).item()

    assert late("young", "both") > 475 > late("young", "naive") and late("young", "importance, V") > 475
    assert late("old data", "naive") < 50 and late("old data", "Q-critic alone") < 100 < late("old data", "both")
    assert late("old data", "importance, V") < 0.8 * late("old data", "both")
    assert late("random data only", "both") < 200
    assert late("K, Q", "K = 1") < late("K, Q", "K = 4") < 480 < late("K, Q", "K = 16")
    for name in ("K = 8, leave-one-out", "K = 2, leave-one-out", "reparameterised"):
        assert min(seed[-1] for seed in runs["pendulum"][name]["returns"]) > -200
    for name in ("K = 1, Q", "K = 8, Q"):
        assert max(seed[-1] for seed in runs["pendulum"][name]["returns"]) < -1000
    k_star = [statistics.median(values) for values in runs["break-even"]["k_star"]]
    assert 80 < k_star[0] < 120 and all(3000 < k < 10_000 for k in k_star[2:])


def test_the_figures_are_drawn_from_them(runs):
    for draw, name in ((make.each_fix_on_and_off, "each_fix_on_and_off"), (make.how_many_actions, "how_many_actions")):
        assert len(plots.png(draw(runs))) > 20_000
        assert f"figures/{name}.png" in README and (ROOT / f"figures/{name}.png").exists()
