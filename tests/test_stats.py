"""Statistics over seeds, against closed forms, another way to compute them, and their own promise: coverage."""

import numpy as np
import pytest
import torch

from offac_lite import stats


def test_iqm_is_the_mean_of_the_middle_half():
    values = torch.tensor([9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -1000.0])
    assert stats.iqm(values) == pytest.approx((2 + 3 + 4 + 5) / 4)
    rng = np.random.default_rng(0)
    curves = rng.normal(size=(16, 5))
    np.testing.assert_allclose(stats.iqm(curves), np.sort(curves, 0)[4:12].mean(0))


def test_one_wild_seed_does_not_move_it():
    values = np.arange(12.0)
    wild = values.copy()
    wild[-1] = 1e9
    assert stats.iqm(wild) == stats.iqm(values)


def test_the_interval_of_a_mean_is_the_textbook_one():
    values = np.random.default_rng(1).normal(3.0, 2.0, 200)
    low, high = stats.interval(values, np.mean, n_resamples=5000)
    half = 1.96 * values.std() / len(values) ** 0.5
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_a_95_percent_interval_holds_the_truth_about_that_often():
    rng, hits = np.random.default_rng(2), 0
    for _ in range(200):
        low, high = stats.interval(rng.normal(size=40), n_resamples=300)
        hits += low < 0 < high
    assert 0.87 * 200 < hits < 0.99 * 200


def test_the_interval_is_reproducible_and_leaves_the_global_random_state_alone():
    values = np.random.default_rng(3).normal(size=(20, 4))
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two, other = (stats.interval(values, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other) and one[0].shape == (4,)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_seeds_that_agree_have_an_interval_of_one_point():
    assert tuple(map(float, stats.interval(np.full(16, 500.0)))) == (500.0, 500.0)


def test_solved_needs_evaluations_in_a_row():
    steps = torch.tensor([10, 20, 30, 40])
    returns = torch.tensor(
        [[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1], [float("nan")] * 4, [1, 1, 1, 1]], dtype=torch.float32
    )
    when = stats.solved_at(steps, returns, goal=1.0)
    np.testing.assert_array_equal(when.numpy(), [20, np.nan, 40, np.nan, 20])
    np.testing.assert_array_equal(stats.solved_at(steps, returns, 1.0, in_a_row=1).numpy(), [10, 10, 30, np.nan, 10])
    assert stats.solved_at(steps, returns, 1.0, in_a_row=5).isnan().all()


def test_share_at_goal_counts_the_second_half_and_nan_as_missed():
    returns = torch.tensor([[0.0, 0.0, 5.0], [9.0, 9.0, float("nan")]])
    assert stats.share_at_goal(returns, 5.0) == pytest.approx(2 / 4)


def test_wilsons_interval():
    """Wilson (1927): centre (p + z²/2n) / (1 + z²/n)."""
    low, high = stats.proportion_interval(8, 10)
    z, n, p = 1.959964, 10, 0.8
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    assert (low + high) / 2 == pytest.approx(centre, abs=1e-6) and low > 0.44


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: stats.iqm([1.0, float("nan")]), ValueError, "values holds NaN"),
        (lambda: stats.iqm([]), ValueError, "at least one seed"),
        (lambda: stats.iqm(3.0), ValueError, "at least one seed"),
        (lambda: stats.interval([1.0]), ValueError, "values holds 1 seed, wanted at least 2"),
        (lambda: stats.interval([1.0, 2.0], level=1.0), ValueError, "level must lie strictly between 0 and 1"),
        (lambda: stats.interval([1.0, 2.0], n_resamples=0), ValueError, "n_resamples must be at least 1"),
        (lambda: stats.solved_at([1, 2], [[1.0, 2.0, 3.0]], 1.0), ValueError, r"returns has shape \(1, 3\)"),
        (lambda: stats.solved_at([1], [[1.0]], float("nan")), ValueError, "goal must be finite"),
        (lambda: stats.share_at_goal(torch.zeros(2, 0), 1.0), ValueError, "at least one evaluation"),
        (lambda: stats.proportion_interval(3, 2), ValueError, "count = 3 is more than total = 2"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
