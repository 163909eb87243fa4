"""The variance lab, driven by value: what it shows is what the exact moments say."""

import pytest
import torch

from offac_lite.course import labs, plots
from offac_lite.course.labs.variance import VARIANCE_KS
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
    assert result.exact.tolist() == pytest.approx([m.target.norm().item(), 0.0], abs=1e-9 * m.target.norm().item())
    off = (result.surrogate - result.exact).norm().item()  # in the plane at most what it is in all dimensions
    assert off <= (m.surrogate - m.target).norm().item() * (1 + 1e-9) + 1e-12
    with_value = dict(batch_size=setting.get("batch_size", 32), baseline="value", **data)
    assert result.reference_variance == gradient_moments(mdp, logits, "resampled", **with_value).variance
    at_64 = dict(batch_size=setting.get("batch_size", 32), baseline=setting.get("baseline"), action_samples=64, **data)
    wanted = gradient_moments(mdp, logits, setting.get("estimator", "resampled"), **at_64).variance_actions
    assert result.actions_by_k[-1] == pytest.approx(wanted, rel=1e-12)
    n = len(result.points)
    spread = result.points.std(0)  # in the plane; the mean of the cloud is the exact mean's projection
    assert ((result.points.mean(0) - result.mean).abs() < 5 * spread / n**0.5 + 1e-12).all()
    assert result.scale >= result.mean.abs().max()


def test_a_higher_k_moves_the_same_cloud_closer_in(model):
    spread = [model(action_samples=k).points.std(0).norm().item() for k in (1, 4, 16, 64)]
    assert spread == sorted(spread, reverse=True)
    assert torch.equal(model(action_samples=4).points, model(action_samples=4).points)


def test_sliders_move_picture_numbers_and_words():
    lab = labs.variance_lab()
    changes = [
        dict(action_samples=8),
        dict(batch_size=5),
        dict(reward_offset=0.5),
        dict(q_error=0.2),
        dict(age=7),
        dict(baseline="value"),
        dict(estimator="stored"),
    ]
    assert_each_change_shows(lab, changes)


def test_an_impossible_choice_is_explained_in_place_and_leaves_the_last_picture():
    lab = labs.variance_lab()
    before = lab.png
    lab.set(baseline="leave-one-out", action_samples=1)
    assert "leave-one-out" in lab.error and lab.png == before
    lab.set(action_samples=2)
    assert lab.error is None and lab.png != before


@pytest.mark.parametrize("outside", [dict(age=-1), dict(age=21), dict(batch_size=65), dict(action_samples=0)], ids=str)
def test_settings_outside_the_sliders_are_refused(model, outside):
    with pytest.raises(ValueError, match=f"{next(iter(outside))} must"):
        model(**outside)


def test_only_the_controls_asked_for_are_shown():
    lab = labs.variance_lab("untrained", controls=["action_samples"])
    assert list(lab.values) == ["action_samples"]
    assert lab.result.k_star == pytest.approx(18.5, abs=0.05)
    with pytest.raises(ValueError, match="controls must be one of"):
        labs.variance_lab(controls=["K"])
    with pytest.raises(ValueError, match="policy must be one of 'half trained', 'untrained'"):
        labs.variance_lab("trained")


@pytest.mark.parametrize("policy", ["half trained", "untrained"])
def test_k_and_the_age_move_the_curves_on_an_axis_that_stays(policy):
    lab = labs.variance_lab(policy)
    limits = set()
    for setting in [dict(action_samples=k) for k in VARIANCE_KS] + [dict(age=age) for age in range(21)]:
        lab.set(**setting)
        limits.add(lab._view.curve.get_ylim())
        low, high = lab._view.curve.get_ylim()
        assert low < lab.result.moments.variance_states and lab.result.moments.variance < high
    assert len(limits) == 1


def test_every_edge_of_the_controls_can_be_drawn():
    """All corners of the numeric sliders, with every estimator: no warning, no error, no empty picture."""
    view = plots.VarianceView(VARIANCE_KS)
    model = labs.VarianceModel(n_points=20)
    for estimator in ("stored", "importance", "resampled", "expected"):
        for corner in (
            dict(action_samples=2, batch_size=1),
            dict(action_samples=64, batch_size=64, reward_offset=2.0, q_error=1.0, age=20),
        ):
            for baseline in (None, "value", "leave-one-out"):
                if baseline == "leave-one-out" and estimator in ("stored", "importance"):
                    continue
                view.update(model(estimator=estimator, baseline=baseline, **corner))
                assert len(plots.png(view.figure)) > 10_000
