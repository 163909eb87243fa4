"""Exact moments of both gradient estimators against closed forms and against samples."""

import math

import pytest
import torch

from offac_lite.equations import leave_one_out
from offac_lite.exact.gaussian import (
    break_even_actions,
    expected,
    gaussian_moments,
    normal_grid,
    quadratic,
    slope,
    two_humps,
)

STDS = [0.02, 0.3, 1.0, 3.0]


def raised(offset):
    return lambda action: quadratic(action) + offset


def test_the_grid_knows_the_moments_of_a_normal_distribution():
    noise, weight = normal_grid()
    moments = [(weight * noise**power).sum().item() for power in range(7)]
    assert moments == pytest.approx([1, 0, 1, 0, 3, 0, 15], abs=1e-9)


@pytest.mark.parametrize("std", STDS)
@pytest.mark.parametrize("mean", [-1.5, 0.0, 1.0])
@pytest.mark.parametrize("offset", [0.0, 20.0, -7.0])
def test_the_quadratic_has_closed_forms(mean, std, offset):
    q, off = raised(offset), mean - 1
    at_mean = offset - off**2 / 2
    assert expected(q, mean, std) == pytest.approx(at_mean - std**2 / 2, abs=1e-9)
    pathwise = gaussian_moments(q, mean, std, "pathwise")
    assert pathwise == pytest.approx((-off, std**2), rel=1e-9, abs=1e-9)
    with_q = gaussian_moments(q, mean, std)
    variance = at_mean**2 / std**2 + 2 * off**2 + 15 / 4 * std**2 - 3 * at_mean
    assert with_q.mean == pytest.approx(-off, abs=1e-8)
    assert with_q.variance == pytest.approx(variance, rel=1e-8)
    with_v = gaussian_moments(q, mean, std, baseline="value")
    assert with_v == pytest.approx((-off, 2 * off**2 + 2.5 * std**2), rel=1e-8, abs=1e-8)
    for k in (2, 8):
        few = gaussian_moments(q, mean, std, baseline="leave-one-out", action_samples=k)
        extra = (2 * off**2 + std**2 / 2) / (k * (k - 1))
        assert few.variance == pytest.approx(with_v.variance / k + extra, rel=1e-8)
        assert gaussian_moments(q, mean, std, action_samples=k).variance == pytest.approx(with_q.variance / k, rel=1e-9)


@pytest.mark.parametrize(
    ("estimator", "baseline"), [("score", None), ("score", "value"), ("score", "leave-one-out"), ("pathwise", None)]
)
@pytest.mark.parametrize(("mean", "std"), [(0.2, 0.4), (-1.2, 1.1)])
def test_samples_have_these_moments(estimator, baseline, mean, std):
    k, n = 4, 200_000
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(k, n, generator=generator, dtype=torch.float64)
    action = mean + std * noise
    if estimator == "pathwise":
        estimates = slope(two_humps, action).mean(0)
    else:
        weight = two_humps(action) - (expected(two_humps, mean, std) if baseline == "value" else 0)
        weight = leave_one_out(weight) if baseline == "leave-one-out" else weight
        estimates = (noise / std * weight).mean(0)
    exact = gaussian_moments(two_humps, mean, std, estimator, action_samples=k, baseline=baseline)
    assert estimates.mean().item() == pytest.approx(exact.mean, abs=4 * math.sqrt(exact.variance / n))
    assert estimates.var().item() == pytest.approx(exact.variance, rel=0.03)


def test_both_estimators_and_central_differences_agree_on_the_gradient():
    step = 1e-4
    for std in (0.05, 0.5, 2.0):
        numeric = (expected(two_humps, 0.3 + step, std) - expected(two_humps, 0.3 - step, std)) / (2 * step)
        for estimator in ("score", "pathwise"):
            assert gaussian_moments(two_humps, 0.3, std, estimator).mean == pytest.approx(numeric, abs=1e-6)


def test_a_jump_is_seen_by_the_score_function_only():
    def jump(action):
        return (action > 0.1).to(action)

    exact = math.exp(-0.5 * (0.1 / 0.4) ** 2) / (0.4 * math.sqrt(2 * math.pi))
    assert gaussian_moments(jump, 0.0, 0.4).mean == pytest.approx(exact, abs=0.01)
    assert gaussian_moments(jump, 0.0, 0.4, "pathwise") == (0.0, 0.0)


def test_several_stds_at_once_are_the_same_numbers():
    for choice in (dict(), dict(baseline="leave-one-out", action_samples=3), dict(estimator="pathwise")):
        together = gaussian_moments(two_humps, 0.5, STDS, **choice)
        single = [gaussian_moments(two_humps, 0.5, std, **choice) for std in STDS]
        assert together.mean.tolist() == pytest.approx([m.mean for m in single], rel=1e-9)
        assert together.variance.tolist() == pytest.approx([m.variance for m in single], rel=1e-9)


def test_break_even_actions_are_as_quiet_as_one_with_the_baseline():
    q = raised(10.0)
    k_star = break_even_actions(q, 0.0, 0.1)
    alone = gaussian_moments(q, 0.0, 0.1, baseline="value").variance
    assert gaussian_moments(q, 0.0, 0.1, action_samples=math.floor(k_star)).variance > alone
    assert gaussian_moments(q, 0.0, 0.1, action_samples=math.ceil(k_star)).variance < alone
    assert break_even_actions(lambda action: 0 * action, 0.0, 0.1) == 1.0


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (dict(std=0.0), "std must be above 0"),
        (dict(std=[0.1, -1.0]), "std must be above 0"),
        (dict(std=float("nan")), "std holds NaN"),
        (dict(mean=float("inf")), "mean must be finite"),
        (dict(estimator="reinforce"), "estimator must be one of"),
        (dict(baseline="V"), "baseline must be one of"),
        (dict(baseline="leave-one-out"), "action_samples is 1, wanted at least 2"),
        (dict(action_samples=0), "action_samples must be at least 1"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(choice, words):
    with pytest.raises(ValueError, match=words):
        gaussian_moments(quadratic, **({"mean": 0.0, "std": 0.5} | choice))


@pytest.mark.parametrize("c", [10.0, 1 / 3, -1e6])
def test_a_constant_q_never_breaks_even(c):
    assert break_even_actions(lambda action: torch.full_like(action, c), 0.0, 0.5) == math.inf
