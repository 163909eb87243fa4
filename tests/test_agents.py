"""Agents that learn on the lake: each step against the exact gradient, and what their curves come to."""

import pytest
import torch

from offac_lite.exact import TabularMDP, gradient_moments
from offac_lite.exact.agents import gradient_estimates, learn, resampled_loss, stored_loss
from offac_lite.exact.replay_bias import mean_update


@pytest.fixture(scope="module")
def lake():
    return TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")


@pytest.fixture(scope="module")
def path(lake):
    return lake.policy_path(20, 5.0)


def sample(lake, logits, loss, n=20_000, **options):
    generator = torch.Generator().manual_seed(0)
    return gradient_estimates(lake, logits.expand(n, 16, 4), loss, generator=generator, **options)


def assert_mean(estimates, wanted):
    """The distance of their mean from `wanted` is that of sampling: 3 standard errors at most."""
    standard_error = (estimates.var(0).sum() / len(estimates)).sqrt()
    assert (estimates.mean(0) - wanted).norm() < 3 * standard_error
    assert wanted.norm() > 5 * standard_error, "the test has no power"


@pytest.mark.parametrize("loss", [resampled_loss, stored_loss])
@pytest.mark.parametrize("step", [0, 20])
def test_on_fresh_data_the_mean_step_is_the_exact_gradient(lake, path, loss, step):
    assert_mean(sample(lake, path[step], loss, baseline="value"), lake.policy_gradient(path[step]))


def test_on_old_data_the_mean_step_of_both_fixes_is_the_gradient_under_the_buffers_states(lake, path):
    beta = torch.softmax(path[0], -1)
    exact = gradient_moments(lake, path[20], "resampled", behavior=beta)
    estimates = sample(lake, path[20], resampled_loss, baseline="value", behavior=beta, action_samples=4)
    assert_mean(estimates, exact.surrogate)
    assert (estimates.mean(0) - exact.target).norm() > 0.5 * exact.target.norm()


@pytest.mark.parametrize(("critic_of", "baseline"), [("buffer", "value"), ("π", "value"), ("π", None)])
def test_on_old_data_the_mean_step_of_stored_actions_is_what_notebook_02_computes(lake, path, critic_of, baseline):
    beta, pi = torch.softmax(path[0], -1), torch.softmax(path[20], -1)
    value = lake.state_values(beta if critic_of == "buffer" else pi)
    wanted = mean_update(lake, path[20], beta, value, beta, baseline)
    if critic_of == "buffer":  # notebook 02: it is the exact gradient of the buffer's policy
        assert torch.allclose(wanted, lake.policy_gradient(path[0]))
    estimates = sample(lake, path[20], stored_loss, critic_of=critic_of, baseline=baseline, behavior=beta)
    if baseline is None:  # Q − V^β is not Q^π − V^π, but without V both are weighted by Q^π
        wanted = gradient_moments(lake, path[20], "stored", behavior=beta).mean
    assert_mean(estimates, wanted)


@pytest.mark.parametrize("options", [dict(action_samples=4), dict(batch_size=32), dict(baseline="value")], ids=str)
def test_the_noise_of_a_step_is_that_of_the_exact_moments(lake, options):
    options = dict(batch_size=8) | options
    uniform = torch.zeros(16, 4)
    estimates = sample(lake, uniform, resampled_loss, **options)
    exact = gradient_moments(lake, uniform, "resampled", **options).variance
    assert estimates.var(0).sum().item() == pytest.approx(exact, rel=0.1)


def test_a_loss_may_return_a_number_for_each_agent_or_their_mean(lake, path):
    mean = lambda *arguments: resampled_loss(*arguments).mean()  # noqa: E731
    logits = path[:5]
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    one, other = (
        gradient_estimates(lake, logits, f, generator=g)
        for f, g in zip((resampled_loss, mean), generators, strict=True)
    )
    assert torch.allclose(one, other, atol=1e-14)


def test_an_agent_learns_from_its_own_batch_alone(lake, path):
    logits, other = path[:3].clone(), path[:3].clone()
    other[2] = path[20]
    one, changed = (gradient_estimates(lake, x, generator=torch.Generator().manual_seed(1)) for x in (logits, other))
    assert torch.equal(one[:2], changed[:2]) and not torch.equal(one[2], changed[2])
    single = gradient_estimates(lake, logits, generator=torch.Generator().manual_seed(1), batch_size=1)
    assert (single.abs().sum(-1) > 0).sum(-1).le(1).all(), "one state in the batch, one row in the gradient"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_more_actions_or_a_baseline_make_better_agents(lake, seed):
    medians = [list(learn(lake, action_samples=k, seed=seed))[-1].median for k in (1, 4, 16, 64)]
    assert medians == sorted(medians)
    for median, wanted in zip(medians, (0.13, 0.33, 0.47, 0.53), strict=True):
        assert median == pytest.approx(wanted, abs=0.12 if 0.2 < wanted < 0.5 else 0.05)
    with_baseline = list(learn(lake, baseline="value", seed=seed))[-1].median
    assert with_baseline == pytest.approx(0.525, abs=0.01)


def test_the_curves_come_in_parts_of_one_run(lake):
    parts = list(learn(lake, agents=3, n_steps=100, reports=5, evaluate_every=5, action_samples=2))
    assert [part.steps[-1].item() for part in parts] == [20, 40, 60, 80, 100]
    for part in parts:
        assert torch.equal(part.returns, parts[-1].returns[:, : len(part.steps)])
        assert torch.equal(part.returns[:, -1], lake.expected_return(part.probs))
    assert (parts[-1].returns[:, 0] - 0.0123561).abs().max() < 1e-6
    again = list(learn(lake, agents=3, n_steps=100, reports=1, evaluate_every=5, action_samples=2))
    assert len(again) == 1 and torch.equal(again[0].returns, parts[-1].returns)


@pytest.mark.parametrize(("n_steps", "reports"), [(5, 1), (25, 3), (50, 5), (405, 10)])
def test_the_last_curves_are_those_of_the_last_step(lake, n_steps, reports):
    parts = list(learn(lake, agents=2, n_steps=n_steps, batch_size=1))
    assert len(parts) == reports and parts[-1].steps[-1] == n_steps


@pytest.mark.parametrize(
    ("change", "words"),
    [(dict(baseline="leave-one-out"), "baseline must be"), (dict(critic_of="β"), "critic_of must be")],
    ids=str,
)
def test_what_is_not_an_option_is_refused(lake, change, words):
    with pytest.raises(ValueError, match=words):
        gradient_estimates(lake, torch.zeros(2, 16, 4), generator=torch.Generator(), **change)
    with pytest.raises(ValueError, match="wanted \\(agents, S, A\\)"):
        gradient_estimates(lake, torch.zeros(16, 4), generator=torch.Generator())
