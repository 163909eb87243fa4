"""The baseline lab, by value."""

import pytest
import torch

from offac_lite.course import labs, plots
from offac_lite.course.labs.baseline import SHARES
from offac_lite.exact.estimators import gradient_moments
from tests.lab_changes import assert_each_change_shows


@pytest.fixture(scope="module")
def model():
    return labs.BaselineModel()


@pytest.mark.parametrize("policy", ["uniform", "after 20 updates"])
def test_c_of_0_and_1_are_q_and_q_minus_v_and_the_curve_goes_through_every_point(model, policy):
    for share, baseline in ((0.0, None), (1.0, "value")):
        result = model(policy, batch_size=7, share=share)
        exact = gradient_moments(model.mdp, model.logits[policy], "resampled", batch_size=7, baseline=baseline)
        assert result.moments.variance == pytest.approx(exact.variance)
        assert result.moments.bias < 1e-12
    for share in (0.35, 1.7):
        result = model(policy, batch_size=7, share=share)
        at = round(share / 0.05)
        assert result.variances[at].item() == pytest.approx(result.moments.variance)
    assert model(policy, batch_size=7, share=result.best).moments.variance <= result.variances.min() * (1 + 1e-9)


def test_the_cloud_scatters_as_the_exact_variance_says(model):
    result = model("uniform", batch_size=16, share=0.5)
    assert result.points.shape == (300, 2)
    assert (result.points.mean(0) - result.exact).norm() < 4 * (result.moments.variance / 300) ** 0.5
    assert torch.allclose(result.mean, result.exact)


@pytest.mark.parametrize(
    "outside",
    [dict(batch_size=0), dict(batch_size=65), dict(share=-0.1), dict(share=2.1), dict(policy="best")],
    ids=str,
)
def test_settings_outside_the_sliders_are_refused(model, outside):
    with pytest.raises(ValueError, match=f"{next(iter(outside))} must"):
        model(**outside)


def test_every_control_moves_picture_and_words():
    lab = labs.baseline_lab()
    assert_each_change_shows(lab, [dict(share=0.5), dict(batch_size=8), dict(policy="after 20 updates")])


def test_every_edge_of_the_controls_can_be_drawn(model):
    view = plots.BaselineView(SHARES)
    for policy in model.logits:
        for batch_size in (1, 64):
            for share in (0.0, 2.0):
                view.update(model(policy, batch_size, share))
                low, high = view.curve.get_ylim()
                assert low < min(view.variance.get_ydata()) and max(view.variance.get_ydata()) < high
