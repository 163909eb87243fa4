"""The baseline lab, by value."""

import numpy as np
import pytest
import torch

from offac_lite.course import labs, plots
from offac_lite.course.labs.baseline import BATCH_SIZES, SHARES
from offac_lite.course.plots.baseline import ACROSS, ALONG, TOP
from offac_lite.exact.estimators import gradient_moments
from tests.lab_changes import assert_each_change_shows


@pytest.fixture(scope="module")
def model():
    return labs.BaselineModel()


@pytest.mark.parametrize("policy", ["uniform", "after 20 updates"])
def test_c_of_0_and_1_are_q_and_q_minus_v_and_the_curve_goes_through_every_point(model, policy):
    def exact(batch_size, baseline):
        logits = model.logits[policy]
        return gradient_moments(model.mdp, logits, "resampled", batch_size=batch_size, baseline=baseline).variance

    for share, baseline in ((0.0, None), (1.0, "value")):
        result = model(share, 8, policy)
        assert result.variance == pytest.approx(exact(8, baseline) / exact(64, None))
        assert result.bias < 1e-12
    for share in (0.35, 1.7):
        result = model(share, 8, policy)
        assert result.variances[round(share / 0.05)].item() == pytest.approx(result.variance)
    assert model(result.best, 8, policy).variance <= result.variances.min() * (1 + 1e-9)


def test_the_cloud_scatters_as_the_exact_variance_says_and_the_reference_stays(model):
    result = model(share=0.5, batch_size=16)
    unit = gradient_moments(model.mdp, model.logits["uniform"], "resampled", batch_size=64)
    scale = unit.variance**0.5 / unit.target.norm().item()
    assert result.points.shape == (300, 2)
    assert (result.points.mean(0) - result.mean).norm() < 4 * scale * (result.variance / 300) ** 0.5
    assert torch.allclose(result.mean, torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert torch.equal(result.reference, model(share=0.0, batch_size=64).points)


@pytest.mark.parametrize(
    "outside",
    [dict(batch_size=0), dict(batch_size=5), dict(share=-0.1), dict(share=2.1), dict(policy="best")],
    ids=str,
)
def test_settings_outside_the_controls_are_refused(model, outside):
    with pytest.raises(ValueError, match=f"{next(iter(outside))} must"):
        model(**outside)


def test_every_control_moves_picture_and_words():
    assert_each_change_shows(labs.baseline_lab(), [dict(share=0.5), dict(batch_size=8), dict(share=2.0)])


def test_each_question_is_ticked_by_the_setting_that_answers_it():
    lab = labs.baseline_lab()
    for setting, wanted in (
        (dict(batch_size=4), [False, False]),
        (dict(share=1.0, batch_size=8), [False, True]),
        (dict(share=2.0), [True, True]),
    ):
        lab.set(**setting)
        assert lab._checklist.ticked == wanted
    variances = [lab._compute(1.0, n).variance for n in BATCH_SIZES]
    assert variances[0] > 1 > variances[1], "8 is the smallest N below 1"
    assert 12 < lab._compute(0.0).variance / lab._compute(1.0).variance < 13


@pytest.mark.parametrize("narrow", [False, True])
def test_the_frame_stays_and_every_dot_is_drawn_in_it(model, narrow):
    view = plots.BaselineView(SHARES)
    view.arrange(narrow)
    for batch_size in (4, 64):
        for share in (0.0, 1.0, 2.0):
            result = model(share, batch_size)
            view.update(result)
            assert view.free.get_xlim() == view.fixed.get_xlim() == ALONG and view.curve.get_ylim() == (0, TOP)
            inside, outside, mean = view.points
            drawn = np.concatenate([inside.get_xydata(), outside.get_xydata()])
            assert len(drawn) == 300 and (np.abs(drawn[:, 1]) <= ACROSS).all()
            assert (drawn[:, 0] >= ALONG[0]).all() and (drawn[:, 0] <= ALONG[1]).all()
            assert np.allclose(mean.get_xydata(), [[1, 0]]) and view.here.get_ydata()[0] <= TOP
            assert f"N = {batch_size}" in view.title.get_text()
