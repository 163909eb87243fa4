"""The labs of notebook 04, driven by value: they show what the exact solutions say; and the notebook's figures."""

import itertools
import math

import numpy as np
import pytest
import torch

from offac_lite.course import labs, plots
from offac_lite.exact import TabularMDP
from offac_lite.exact.outcomes import Outcomes
from tests.lab_changes import assert_each_change_shows


@pytest.fixture(scope="module")
def model():
    return labs.CriticModel()


@pytest.mark.parametrize("lake", ["slippery", "firm"])
@pytest.mark.parametrize("age", [0, 7, 20])
def test_fixed_points_and_targets_are_the_exact_ones(model, lake, age):
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4", is_slippery=lake == "slippery")
    path = torch.softmax(mdp.policy_path(20, {"slippery": 5.0, "firm": 0.25}[lake]), -1)
    pi, beta = path[-1], path[20 - age]
    q_pi, q_beta = mdp.action_values(pi), mdp.action_values(beta)
    resampled, stored = (model(lake=lake, age=age, next_action=kind) for kind in ("resampled", "stored"))
    assert resampled.fixed_distance == 0
    live = mdp.occupancy(beta) > 0
    assert stored.fixed_distance == pytest.approx(((q_beta - q_pi)[live].norm() / q_pi[live].norm()).item())
    v_pi, v_beta = mdp.state_values(pi), mdp.state_values(beta)
    assert resampled.value_distance == pytest.approx(((v_beta - v_pi).norm() / v_pi.norm()).item())
    assert resampled.target_mean == pytest.approx(q_pi[9, 2].item()) == pytest.approx(resampled.exact)
    assert stored.target_mean == pytest.approx(q_beta[9, 2].item())
    for result in (resampled, stored):
        assert result.target_histogram.sum().item() == pytest.approx(1)
        assert result.distance[0] == pytest.approx(1) and (result.distance >= result.bias - 1e-12).all()
        assert result.bias[-1] < 1


def test_m_lowers_the_noise_on_firm_ground_only_and_never_moves_the_mean(model):
    for lake, ratio in (("firm", 4.0), ("slippery", 1.0)):
        one, many = (model(lake=lake, age=8, next_action_samples=m) for m in (1, 16))
        assert one.distance[-1] / many.distance[-1] == pytest.approx(ratio, rel=0.02)
        assert one.variance_actions == pytest.approx(16 * many.variance_actions)
        assert one.variance_world == many.variance_world
        assert torch.allclose(one.bias, many.bias) and one.target_mean == pytest.approx(many.target_mean)


def test_there_is_only_one_stored_action(model):
    assert model(next_action="stored", next_action_samples=16).next_action_samples == 1


@pytest.mark.slow
def test_controls_move_picture_numbers_and_words():
    lab = labs.critic_lab()
    assert lab.result.lake == "firm", "the lake of the first question"
    first, changes = (
        lab.png,
        [dict(next_action_samples=8), dict(age=3), dict(lake="slippery"), dict(next_action="stored")],
    )
    assert_each_change_shows(lab, changes)
    lab.set(next_action="resampled", lake="firm", age=10, next_action_samples=1)
    assert lab.png == first, "back to the first setting, the first picture, colours included"


@pytest.mark.slow
def test_questions_are_ticked_by_the_settings_that_answer_them():
    lab = labs.critic_lab()
    steps = [dict(lake="slippery"), dict(age=18), dict(next_action="stored"), dict(age=0)]
    ticked = []
    for step in steps:
        lab.set(**step)
        ticked.append(sum(lab._checklist.ticked))
    assert ticked == [0, 1, 1, 2]


@pytest.mark.slow
def test_axes_stay_whatever_the_controls_say_and_hold_every_curve(model):
    view = labs.critic_lab()._view
    before = [(ax.get_xlim(), ax.get_ylim()) for ax in view.figure.axes]
    for lake, kind, age, m in itertools.product(
        ("firm", "slippery"), ("resampled", "stored"), (0, 10, 18, 20), (1, 16)
    ):
        result = model(lake, kind, age, m)
        view.update(result)
        assert view.curve.get_ylim()[0] < result.distance.min() and result.distance.max() < view.curve.get_ylim()[1]
        heights = sorted(math.log10(word.get_position()[1]) for word in view.curve_words)
        assert np.diff(heights).min() > 0.149, "labels apart"
    assert before == [(ax.get_xlim(), ax.get_ylim()) for ax in view.figure.axes]


@pytest.mark.slow
def test_a_distance_that_is_too_small_for_the_axis_is_told_in_words(model):
    view = labs.critic_lab()._view
    view.update(model("firm"))
    assert [word.get_text() for word in view.curve_words] == [
        "Q: 0.0387",
        "mean of Q: under 0.003 ↓",
        "fixed point: 0 ↓",
    ]
    view.pin(None)
    assert not len(view.ghost.get_xdata()) and not view.ghost_bars.get_data().values.any()


@pytest.mark.parametrize(
    "outside", [dict(age=-1), dict(age=21), dict(next_action_samples=17), dict(next_action_samples=0)], ids=str
)
def test_settings_outside_the_sliders_are_refused(model, outside):
    with pytest.raises(ValueError, match=f"{next(iter(outside))} must"):
        model(**outside)


@pytest.mark.slow
def test_only_the_controls_asked_for_are_shown():
    assert list(labs.critic_lab(["age"]).values) == ["age"]
    with pytest.raises(ValueError, match="controls must be one of"):
        labs.critic_lab(["M"])
    with pytest.raises(ValueError, match="lake must be one of 'slippery', 'firm'"):
        labs.CriticModel()(lake="dry")


@pytest.fixture(scope="module")
def two_critics():
    return labs.TwoCriticsModel()


@pytest.mark.parametrize("age", [1, 5, 20])
def test_of_two_exact_critics_v_goes_to_the_writers_value_and_q_stays(two_critics, age):
    mdp, beta = two_critics.mdp, two_critics.policies[20 - age]
    v, q = two_critics.path(age)
    assert torch.allclose(q, two_critics.v_pi.expand_as(q), atol=1e-12)
    live = mdp.occupancy(beta) > 0
    end = mdp.state_values(beta)
    assert torch.equal(v[0], two_critics.v_pi)
    assert ((v[-1] - end)[live].norm() < 0.25 * (v[0] - end)[live].norm()) and abs(v[-1, 0] - end[0]) < 0.03
    assert (v[:, 0].diff() < 0).all(), "the start only falls"


def test_on_data_of_its_own_v_stays_too(two_critics):
    v, q = two_critics.path(0)
    assert torch.allclose(v, two_critics.v_pi.expand_as(v), atol=1e-12) and torch.allclose(v, q, atol=1e-12)


def test_the_mean_update_is_that_of_sampled_batches(two_critics):
    """One update of V and of Q from their exact values, against the mean of 200,000 sampled transitions."""
    mdp, beta = two_critics.mdp, two_critics.policies[0]
    generator = torch.Generator().manual_seed(0)
    data = (mdp.occupancy(beta)[:, None] * beta).flatten()
    at = torch.multinomial(data, 200_000, replacement=True, generator=generator)
    lake = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4")
    s, a = at // 4, at % 4
    which = torch.multinomial(lake.probability[s, a], 1, generator=generator)[:, 0]
    y = lake.reward[s, a, which] + 0.99 * ~lake.terminated[s, a, which] * two_critics.v_pi[lake.next_obs[s, a, which]]
    moved = torch.zeros(16, dtype=torch.float64).index_add(0, s, y - two_critics.v_pi[s]) / len(s)
    exact = (two_critics.path(20)[0][1] - two_critics.v_pi) / (0.02 * 200)
    assert (moved - exact).norm() < 0.05 * exact.norm()


@pytest.mark.slow
def test_two_critics_controls_move_picture_and_words():
    lab = labs.two_critics_lab()
    assert_each_change_shows(lab, [dict(updates=20), dict(updates=400), dict(age=7), dict(age=0)])


@pytest.mark.slow
def test_two_critics_questions_are_ticked_at_the_end_only():
    lab, ticked = labs.two_critics_lab(), []
    for step in (dict(updates=200), dict(updates=400), dict(age=10), dict(age=0)):
        lab.set(**step)
        ticked.append(sum(lab._checklist.ticked))
    assert ticked == [0, 1, 1, 2]


@pytest.mark.slow
def test_two_critics_axes_stay_and_the_words_are_apart():
    lab = labs.two_critics_lab()
    view = lab._view
    before = [(ax.get_xlim(), ax.get_ylim()) for ax in view.figure.axes]
    for updates, age in itertools.product((0, 10, 400), (0, 1, 20)):
        lab.set(updates=updates, age=age)
        low, high = sorted(word.get_position()[1] for word in view.words)
        assert high - low > 0.0349
        assert view.curve.get_ylim()[0] < lab.result.v_start.min() and high < view.curve.get_ylim()[1]
    assert before == [(ax.get_xlim(), ax.get_ylim()) for ax in view.figure.axes]


@pytest.mark.parametrize("outside", [dict(updates=401), dict(updates=-1), dict(age=21), dict(age=-1)], ids=str)
def test_two_critics_settings_outside_the_sliders_are_refused(two_critics, outside):
    with pytest.raises(ValueError, match=f"{next(iter(outside))} must"):
        two_critics(**outside)


def figures():
    ten = np.linspace(0, 0.9, 10)
    left = {name: (ten, ten / 2) for name in ("drawn from π now", "the stored one", "the best one")}
    yield plots.learned_against_exact(left, {"V from the same data": (ten, ten)}, ten, ten)
    fig, (ax,) = plots.figure()
    plots.distance_curves(ax, [1, 2, 3], np.array([[3.0, 2, 1], [1, 2, 3], [2, 2, 2]]), color=plots.NEXT, label="x")
    yield fig
    yield plots.divergence_curves({"up": ([1.0, 2.0], True, False), "down": ([1.0, 0.5], False, True)})


@pytest.mark.parametrize("index", range(3))
def test_the_same_figure_has_the_same_bytes(index):
    one, two = (plots.png(list(figures())[index]) for _ in range(2))
    assert one == two and len(one) > 3_000


def test_distance_curves_draw_every_seed_and_their_median():
    fig = list(figures())[1]
    drawn = [line.get_ydata().tolist() for line in fig.axes[0].lines]
    assert drawn == [[3, 2, 1], [1, 2, 3], [2, 2, 2], [2, 2, 2]]
