"""The weights lab, driven by value, and its figures: what they show is what the exact moments say."""

import math

import numpy as np
import pytest
import torch

from offac_lite.course import labs, plots
from offac_lite.course.labs.weights import HORIZONS, weight_atoms
from offac_lite.exact.trajectories import all_trajectories, corridor, effective_sample_size
from offac_lite.exact.weightings import weighting_moments
from tests.lab_changes import assert_each_change_shows


@pytest.fixture(scope="module")
def model():
    return labs.WeightsModel()


def walker(right):
    return torch.tensor([1 - right, right], dtype=torch.float64).expand(5, 2)


@pytest.mark.parametrize("weighting", ["whole", "causal", "single", "clipped"])
@pytest.mark.parametrize("right", [0.3, 0.7, 0.95])
def test_the_atoms_are_the_weights_of_listed_trajectories(weighting, right):
    t = all_trajectories(corridor(), walker(right), 4)
    log_ratio = (walker(0.7) / walker(right)).log()[t.obs, t.action]
    products = log_ratio.cumsum(1)
    most = math.log(1.2) if weighting == "clipped" else math.inf
    listed = {"whole": products[:, -1:], "causal": products}.get(weighting, log_ratio.clamp_max(most))
    share = (t.probability[:, None] / listed.shape[1]).expand(listed.shape)
    values, chances = weight_atoms(weighting, 4, right, 1.2)
    assert chances.sum() == pytest.approx(1)
    for power in (1, 2):
        wanted = (share * (power * listed).exp()).sum().item()
        assert chances @ np.exp(power * values) == pytest.approx(wanted)
    for value in values:
        below = (share * (listed <= value + 1e-9)).sum().item()
        assert chances[values <= value + 1e-9].sum() == pytest.approx(below)


SETTINGS = [
    dict(),
    dict(weighting="causal", horizon=20, n=10_000),
    dict(weighting="single", right=0.9, baseline="value"),
    dict(weighting="clipped", right=0.05, clip=2.0, baseline="value", horizon=1),
    dict(weighting="whole", right=0.7, baseline="none", n=1),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_numbers_are_the_exact_moments(model, setting):
    result = model(**setting)
    weighting, right = setting.get("weighting", "whole"), setting.get("right", 0.3)
    horizon, n = setting.get("horizon", 8), setting.get("n", 100)
    baseline = "value" if setting.get("baseline") == "value" else None
    clip = setting["clip"] if weighting == "clipped" else None
    name = "single" if weighting == "clipped" else weighting
    m = weighting_moments(corridor(), walker(0.7).log(), name, 20, behavior=walker(right), clip=clip, baseline=baseline)
    length = m.target[horizon - 1].norm().item()
    assert result.bias == pytest.approx(m.bias[horizon - 1].item() / length, abs=1e-12)
    assert result.standard_error == pytest.approx((m.variance[horizon - 1].item() / n) ** 0.5 / length)
    assert result.error == pytest.approx(result.errors[weighting][horizon - 1])
    assert all(len(error) == len(HORIZONS) for error in result.errors.values())
    assert result.data_mass.sum() == pytest.approx(1)
    if weighting != "clipped":
        assert result.wanted_mass.sum() == pytest.approx(1), "weights have the mean 1"
    assert (np.diff(result.edges) > 0).all()
    if weighting == "whole":
        one_step = 0.49 / right + 0.09 / (1 - right)
        assert result.share == pytest.approx(one_step**-horizon)
        assert result.largest == pytest.approx(max(0.7 / right, 0.3 / (1 - right)) ** horizon)


@pytest.mark.slow
def test_sliders_and_buttons_move_picture_and_words():
    lab = labs.weights_lab()
    changes = [
        dict(horizon=9),
        dict(right=0.35),
        dict(clip=2.0),
        dict(n=1_000),
        dict(baseline="value"),
        dict(weighting="clipped"),
        dict(right=0.7),
    ]
    assert_each_change_shows(lab, changes)


@pytest.mark.slow
def test_questions_are_ticked_by_the_settings_that_answer_them():
    lab = labs.weights_lab()
    ticked = []
    for step in (
        dict(horizon=16),
        dict(horizon=8, n=1_000),
        dict(n=100, baseline="value", right=0.6),
        dict(weighting="clipped", right=0.9),
    ):
        lab.set(**step)
        ticked.append(sum(lab._checklist.ticked))
    assert ticked == [1, 2, 3, 4]


@pytest.mark.slow
def test_the_short_lab_shows_three_lanes_and_ticks_its_questions():
    lab = labs.one_ratio_lab()
    assert lab.result.sampled_share is None and len(lab._view.dots) == 3
    assert lab.result.error == pytest.approx(labs.WeightsModel()("whole", "value").error)
    assert_each_change_shows(lab, [dict(weighting="single"), dict(right=0.35), dict(n=1_000), dict(horizon=9)])
    ticked = []
    for step in (dict(weighting="whole", horizon=16, right=0.3), dict(horizon=8, n=100), dict(right=0.6)):
        lab.set(**step)
        ticked.append(list(lab._checklist.ticked))
    assert ticked == [[True, False], [True, False], [True, True]]
    errors = {name: lab.result.errors[name][7] for name in ("whole", "single", "resampled")}
    assert min(errors, key=errors.get) == "whole"


@pytest.mark.slow
def test_the_short_lab_shows_what_a_student_s_function_returns():
    lab = labs.one_ratio_lab(lambda log_weight: 0.25 * len(log_weight))
    lab.set(n=1_000)
    assert lab.result.sampled_share == 0.25 and lab.summary_text.endswith("Your function, from a sample: 25%.")
    assert lab._view.note.get_text().endswith("your function, from a sample: 25%")


def test_the_sampled_size_comes_close_to_the_exact_one_where_that_is_large():
    result = labs.WeightsModel(effective_sample_size)("whole", right=0.6, n=10_000)
    assert result.sampled_share == pytest.approx(result.share, rel=0.05)


@pytest.mark.slow
def test_every_edge_of_the_controls_can_be_drawn_on_axes_that_stay(model):
    view = plots.WeightsView()
    before = [(ax.get_xlim(), ax.get_ylim()) for ax in view.figure.axes]
    for weighting in ("whole", "causal", "single", "clipped"):
        for right in (0.05, 0.7, 0.95):
            for corner in (dict(horizon=1, n=100_000, clip=0.5), dict(horizon=20, n=1, clip=6.0)):
                for baseline in ("none", "value"):
                    view.update(model(weighting, baseline, right=right, **corner))
        assert len(plots.png(view.figure)) > 10_000
    assert before == [(ax.get_xlim(), ax.get_ylim()) for ax in view.figure.axes]


def test_each_way_to_weight_has_a_lane_with_its_error_in_words(model):
    view, result = plots.WeightsView(), model("whole", horizon=20, right=0.05, n=1)
    view.update(result)
    for name, dot, number in zip(plots.LANES, view.dots, view.numbers, strict=True):
        error = result.errors[name][19]
        assert math.hypot(*result.parts[name]) == pytest.approx(error)
        beyond = not plots.ERRORS[0] <= error <= plots.ERRORS[1]
        assert (dot.get_marker() == "o") != beyond
        if not beyond:
            assert dot.get_xdata()[0] == pytest.approx(error)
        part = "bias" if result.parts[name][0] > result.parts[name][1] else "noise"
        assert number.get_text().endswith(part)
        if error < 1000:
            assert number.get_text() == f"{plots.short(error)}, {part}"
    assert view.dots[0].get_marker() == ">", "one estimate with the whole product is off by more than 1,000 lengths"
    view.pin(result)
    assert len(view.ghosts.get_xdata()) == 5
    view.pin(None)
    assert len(view.ghosts.get_xdata()) == 0


@pytest.mark.parametrize(
    "outside", [dict(horizon=0), dict(horizon=21), dict(right=0.0), dict(right=1.0), dict(weighting="none")], ids=str
)
def test_settings_outside_the_sliders_are_refused(model, outside):
    with pytest.raises(ValueError, match=f"{next(iter(outside))} must"):
        model(**outside)


def figures():
    exact = {name: np.array([900.0, 0.1]) for name in "abc"}
    yield plots.effective_samples([1, 2], exact, {name: ([1], [800.0]) for name in "abc"}, 1000)
    yield plots.clipping([0.5, 1.0, 5.0], [0.5, 0.2, 0.0], [0.1, 0.2, 0.6], 1.0, 100)
    yield plots.variance_against_sharpness([0.0, 1.0, 2.0], [0.1, 1.0, 9.0], [0.5, 1.0, 1.1])


@pytest.mark.parametrize("index", range(3))
def test_the_same_figure_has_the_same_bytes_and_draws_the_data(index):
    one, two = (list(figures())[index] for _ in range(2))
    assert plots.png(one) == plots.png(two)
    drawn = [line.get_ydata() for line in one.axes[0].lines]
    wanted = [[900.0, 0.1], [0.5, 0.2, 0.0], [0.1, 1.0, 9.0]][index]
    assert any(len(y) == len(wanted) and np.allclose(y, wanted) for y in drawn)


def test_the_short_lab_starts_where_it_is_told_and_reset_goes_back_there():
    lab = labs.one_ratio_lab(horizon=16, n=1_000)
    start = dict(lab.values)
    assert (start["horizon"], start["n"]) == (16, 1_000) and lab.summary_text.startswith("T = 16, whole product:")
    lab.set(horizon=8, n=100)
    lab._reset()
    assert lab.values == start
    with pytest.raises(ValueError, match="control 'horizon' does not take 21; it takes values from 1 to 20"):
        labs.one_ratio_lab(horizon=21)


def test_the_question_of_ones_own_function_is_ticked_where_n_is_large():
    lab = labs.one_ratio_lab(lambda weights: weights.sum() ** 2 / weights.square().sum(), horizon=16, n=1_000)
    lab.set(n=10_000)
    assert lab._checklist.ticked == [False]
    lab.set(n=100_000)
    assert lab._checklist.ticked == [True]
