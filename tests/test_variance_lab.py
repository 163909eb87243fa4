"""The variance labs, driven by value: what they show is what the exact moments say, in a frame that stays."""

import itertools
import math

import numpy as np
import pytest
import torch

from offac_lite.course import labs, plots
from offac_lite.course.labs.cloud import along_and_across
from offac_lite.course.labs.variance_model import FRAMES, VARIANCE_KS
from offac_lite.exact.estimators import break_even_actions, gradient_moments
from tests.lab_changes import assert_each_change_shows


@pytest.fixture(scope="module")
def model():
    return labs.VarianceModel()


SETTINGS = [
    dict(),
    dict(action_samples=16),
    dict(batch_size=1, action_samples=5),
    dict(estimator="stored", age=15),
    dict(estimator="stored", baseline="value", age=20),
    dict(estimator="importance", age=10, reward_offset=1.0),
    dict(estimator="expected", baseline="leave-one-out", age=3),
    dict(baseline="leave-one-out", action_samples=4, q_error=0.5),
    dict(baseline="value", q_error=1.0, reward_offset=2.0, age=20),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_numbers_are_the_exact_moments_and_the_cloud_has_them(model, setting):
    result = model(**setting)
    age = setting.get("age", 0)
    mdp = model.mdp.with_reward_offset(setting.get("reward_offset", 0.0))
    logits = model.path[-1]
    q = mdp.action_values(torch.softmax(logits, -1))
    q = q + setting.get("q_error", 0.0) * q.std() * model.q_noise
    data = dict(behavior=torch.softmax(model.path[-1 - age], -1), q=q)
    m = gradient_moments(
        mdp,
        logits,
        setting.get("estimator", "resampled"),
        batch_size=setting.get("batch_size", 32),
        action_samples=setting.get("action_samples", 1),
        baseline=setting.get("baseline"),
        **data,
    )
    assert (result.moments.bias, result.moments.variance) == (m.bias, m.variance)
    assert result.k_star == break_even_actions(mdp, logits, **data)
    length = m.target.norm().item()
    assert result.cloud.distance == pytest.approx(math.sqrt(m.variance + m.bias**2) / length)
    with_value = dict(batch_size=setting.get("batch_size", 32), baseline="value", **data)
    reference = gradient_moments(mdp, logits, "resampled", **with_value)
    assert result.reference_variance == pytest.approx(reference.variance, rel=1e-12)
    assert result.cloud.ring == pytest.approx(math.sqrt(reference.variance + reference.bias**2) / length)
    along, n = result.cloud.points[:, 0], len(result.cloud.points)
    wanted = (m.mean.flatten() @ m.target.flatten()).item() / length**2
    assert abs(along.mean().item() - wanted) < 4 * along.std().item() / n**0.5 + 1e-9
    squares = (result.cloud.points - torch.tensor([1.0, 0.0])).square().sum(-1)
    assert abs(squares.mean().item() - result.cloud.distance**2) < 4 * squares.std().item() / n**0.5 + 1e-9


def test_a_point_keeps_its_distance_from_the_exact_gradient_in_all_dimensions():
    generator = torch.Generator().manual_seed(0)
    gradients, target = (torch.randn(*shape, generator=generator).double() for shape in ((50, 16, 4), (16, 4)))
    points = along_and_across(gradients, target)
    true = (gradients - target).flatten(1).norm(dim=1) / target.norm()
    assert torch.allclose((points - torch.tensor([1.0, 0.0])).norm(dim=1), true)
    assert along_and_across(target, target).tolist() == pytest.approx([1.0, 0.0], abs=1e-7)


def test_a_higher_k_moves_the_same_cloud_closer_in(model):
    """Half of the estimates lie within these distances, in lengths of ∇J: for the uniform policy 6.4 at K = 1."""
    for policy, wanted in (("untrained", (6.3, 2.9, 1.7, 1.3)), ("half trained", (12.1, 5.9, 3.1, 1.6))):
        clouds = [labs.VarianceModel(policy)(action_samples=k).cloud for k in (1, 4, 16, 64)]
        medians = [(c.points - torch.tensor([1.0, 0.0])).norm(dim=1).quantile(0.5).item() for c in clouds]
        assert medians == pytest.approx(wanted, rel=0.08)
        assert [c.uphill for c in clouds] == sorted(c.uphill for c in clouds)
    assert torch.equal(model(action_samples=4).cloud.points, model(action_samples=4).cloud.points)
    assert not torch.equal(model(seed=1).cloud.points, model().cloud.points), "another sample"


def on_the_screen(view):
    """Return the pixels of all estimates that are drawn, relative to those of ∇J."""
    view.figure.canvas.draw()
    places = np.concatenate([view.cloud.points.get_xydata(), view.cloud.outside.get_xydata()])
    transform = view.cloud.ax.transData
    return transform.transform(places) - transform.transform([(1.0, 0.0)])


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("policy", list(FRAMES))
def test_the_cloud_on_the_screen_shrinks_as_the_standard_deviation_does(policy, narrow):
    """Doubling K twice must halve it in pixels where the variance falls to a quarter; it must never grow."""
    model, view = labs.VarianceModel(policy), plots.VarianceView(FRAMES[policy])
    view.arrange(narrow)
    pixels, exact = [], []
    for k in VARIANCE_KS:
        result = model(action_samples=k)
        view.update(result)
        pixels.append(float(np.sqrt(np.square(on_the_screen(view)).sum(1).mean())))
        exact.append(result.moments.variance**0.5)
    assert pixels == sorted(pixels, reverse=True)
    for shown, true in zip(pixels, exact, strict=True):
        assert shown / pixels[0] == pytest.approx(true / exact[0], rel=0.15)
    assert pixels[0] > 100 and pixels[-1] > 10, "seen at both ends"


@pytest.mark.slow
@pytest.mark.parametrize("make", [labs.variance_lab, labs.reward_lab, labs.action_lab], ids=lambda make: make.__name__)
def test_no_control_moves_the_frame(make):
    lab = make()
    view = lab._view

    def frame():
        view.figure.canvas.draw()
        return [view.cloud.ax.transData.transform(corner).tolist() for corner in ((0, 0), (1, 0), (1, 10))]

    before = frame()
    for name, control in lab.controls.items():
        for value in getattr(control, "options", range(3)):
            value = value[1] if isinstance(value, tuple) else value
            lab.set(**{name: value})
            assert lab.error is None
            assert frame() == before


def test_what_lies_outside_the_frame_is_drawn_at_its_edge_in_its_direction():
    view = plots.VarianceView((-9.0, 11.0, 20.0))
    points = torch.tensor([[1.0, 60.0], [-39.0, 0.0], [41.0, 20.0], [3.0, 4.0]])
    view.cloud.update(labs.cloud.Cloud(points, 1.0, 2.0))
    assert view.cloud.points.get_xydata().tolist() == [[3.0, 4.0]]
    assert view.cloud.outside.get_xydata().tolist() == [[1.0, 20.0], [-9.0, 0.0], [11.0, 5.0]]


def test_the_two_half_circles_meet_at_k_star():
    model, view = labs.VarianceModel("untrained"), plots.VarianceView(FRAMES["untrained"])
    heights = []
    for k in (18, 19):
        view.update(model(action_samples=k))
        heights.append(view.cloud.own_ring.get_ydata().max() - view.cloud.ring.get_ydata().max())
    assert heights[0] > 0 > heights[1], "K* = 18.5"
    view.update(model(baseline="value"))
    assert view.cloud.own_ring.get_ydata().max() == pytest.approx(view.cloud.ring.get_ydata().max())


def test_a_pinned_cloud_stays_in_grey_until_it_is_taken_away():
    model, view = labs.VarianceModel(n_points=20), plots.VarianceView(FRAMES["half trained"])
    view.pin(model())
    pinned = view.cloud.ghost.get_xydata().copy()
    view.update(model(action_samples=16))
    assert len(pinned) == 20 and np.array_equal(view.cloud.ghost.get_xydata(), pinned)
    view.pin(None)
    assert not len(view.cloud.ghost.get_xydata()) and not len(view.cloud.ghost_ring.get_xydata())


@pytest.mark.slow
def test_sliders_move_picture_numbers_and_words():
    assert_each_change_shows(
        labs.variance_lab(), [dict(seed=1), dict(action_samples=8), dict(batch_size=16), dict(baseline="value")]
    )
    assert_each_change_shows(labs.reward_lab(), [dict(reward_offset=0.1), dict(action_samples=8)])
    assert_each_change_shows(labs.action_lab(), [dict(age=7), dict(estimator="resampled"), dict(age=9)])


def ticked(lab):
    return list(lab._checklist.ticked)


STEPS = {
    "untrained": (
        lambda: labs.variance_lab("untrained"),
        [dict(action_samples=32), dict(action_samples=1, baseline="value"), dict(action_samples=64, baseline="none")],
        [dict(action_samples=16), dict(action_samples=2, baseline="value")],
    ),
    "half trained": (
        labs.variance_lab,
        [
            dict(action_samples=64),
            dict(action_samples=16, baseline="value"),
            dict(action_samples=64, batch_size=64, baseline="value"),
        ],
        [dict(batch_size=64), dict(baseline="value")],
    ),
    "reward": (
        labs.reward_lab,
        [
            dict(action_samples=32),
            dict(reward_offset=1.0, action_samples=64),
            dict(reward_offset=1.0, action_samples=64, baseline="value"),
        ],
        [dict(reward_offset=1.0), dict(action_samples=16)],
    ),
    "action": (
        labs.action_lab,
        [
            dict(estimator="stored", age=9),
            dict(estimator="resampled", age=9),
            dict(estimator="resampled", age=20, baseline="value"),
        ],
        [dict(estimator="stored", age=5), dict(age=3), dict(estimator="stored", age=20, baseline="value")],
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_each_question_ticks_in_the_state_that_answers_it_and_not_before(name):
    make, answers, others = STEPS[name]
    lab = make()
    start = lab.values
    for other in others:
        lab.set(**(start | other))
        assert not any(ticked(lab)), other
    for number, answer in enumerate(answers):
        lab.set(**(start | answer))
        assert ticked(lab)[number] and not any(ticked(lab)[number + 1 :]), answer


def test_the_answers_are_true():
    untrained, half = (labs.VarianceModel(policy) for policy in FRAMES)
    at = lambda model, **on: model(**on).cloud  # noqa: E731
    assert at(untrained, action_samples=16).distance > at(untrained).ring > at(untrained, action_samples=32).distance
    assert f"{at(untrained, action_samples=64).distance:.1f}" == "1.8"
    assert half().k_star == pytest.approx(97, abs=0.5) and at(half, action_samples=64).distance > at(half).ring
    moments = [half(baseline="value", action_samples=k).moments for k in (8, 16)]
    assert moments[0].variance_actions > moments[0].variance_states
    assert moments[1].variance_actions < moments[1].variance_states
    raised = untrained(reward_offset=1.0)
    assert raised.k_star == pytest.approx(147, abs=0.5)
    assert untrained(reward_offset=1.0, action_samples=64).cloud.distance > raised.cloud.ring
    stored, resampled = (dict(estimator=name) for name in ("stored", "resampled"))
    for seed in range(3):
        assert at(half, age=6, seed=seed, **stored).uphill > 0.05 > at(half, age=9, seed=seed, **stored).uphill
        assert at(half, age=8, seed=seed, **resampled).uphill > 0.5
    assert half(age=8, **resampled).moments.cosine > 0.9
    old = dict(age=20, baseline="value")
    distances = [at(half, **old, **actions).distance for actions in (stored, resampled)]
    assert [f"{distance:.1f}" for distance in distances] == ["3.9", "0.7"]
    moments = half(**old, **resampled).moments
    assert moments.bias**2 > moments.variance, "most of the 0.7 is bias"


def test_an_impossible_choice_is_explained_in_place_and_leaves_the_last_picture():
    lab = labs.variance_lab()
    before = lab.png
    lab.set(baseline="leave-one-out", action_samples=1)
    assert lab.error.startswith("Leave-one-out averages") and "choose a K" in lab.error and lab.png == before
    lab.set(action_samples=2)
    assert lab.error is None and lab.png != before


@pytest.mark.parametrize("outside", [dict(age=-1), dict(age=21), dict(batch_size=65), dict(action_samples=0)], ids=str)
def test_settings_outside_the_sliders_are_refused(model, outside):
    with pytest.raises(ValueError, match=f"{next(iter(outside))} must"):
        model(**outside)


def test_only_the_controls_asked_for_are_shown():
    lab = labs.variance_lab("untrained", controls=["action_samples"])
    assert list(lab.values) == ["action_samples", "seed"]
    assert lab.result.k_star == pytest.approx(18.5, abs=0.05)
    with pytest.raises(ValueError, match="controls must be one of"):
        labs.variance_lab(controls=["K"])
    with pytest.raises(ValueError, match="policy must be one of 'untrained', 'half trained'"):
        labs.variance_lab("trained")


@pytest.mark.slow
def test_every_edge_of_the_controls_can_be_drawn():
    """All corners of the numeric sliders, with every estimator: no warning, no error, no empty picture."""
    view = plots.VarianceView(FRAMES["half trained"])
    model = labs.VarianceModel(n_points=20)
    corners = (
        dict(action_samples=2, batch_size=1),
        dict(action_samples=64, batch_size=64, reward_offset=2.0, q_error=1.0, age=20),
    )
    estimators, baselines = ("stored", "importance", "resampled", "expected"), (None, "value", "leave-one-out")
    for estimator, corner, baseline in itertools.product(estimators, corners, baselines):
        if baseline == "leave-one-out" and estimator in ("stored", "importance"):
            continue
        view.update(model(estimator=estimator, baseline=baseline, **corner))
        assert len(plots.png(view.figure)) > 10_000
