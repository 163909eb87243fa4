"""Trajectories: the list of all of them against plain loops, the recursion on moments against the list."""

import itertools

import pytest
import torch

from offac_lite.exact import TabularMDP, trajectories
from offac_lite.exact.trajectories import (
    Trajectories,
    all_trajectories,
    causal_weights,
    corridor,
    effective_sample_size,
    gradient_estimates,
    horizon_gradient,
    mean_and_variance,
    sample_trajectories,
    to_go,
    values_to_go,
    visits,
)
from offac_lite.exact.weightings import WEIGHTINGS, weighting_moments
from tests import rng


def random_problem(seed=0, ends=0.0):
    """Three states, two actions, everything random: π, β and an MDP, terminating with probability `ends`."""
    gen = torch.Generator().manual_seed(seed)
    draw = lambda *size: torch.rand(*size, generator=gen, dtype=torch.float64)  # noqa: E731
    transition = draw(3, 2, 3)
    transition[0, 0, 2] = transition[1, 1, 0] = 0  # some ways are barred
    transition = (1 - ends) * transition / transition.sum(-1, keepdim=True)
    mdp = TabularMDP(transition, 2 * draw(3, 2) - 0.5, [0.6, 0.4, 0.0], 0.9)
    return mdp, 3 * draw(3, 2), torch.softmax(3 * draw(3, 2), -1)


def listed(mdp, behavior, horizon):
    """Every trajectory with a positive probability, by plain loops: {(states, actions): probability}."""
    found = {}
    states, actions = range(mdp.n_states), range(mdp.n_actions)
    for s in itertools.product(states, repeat=horizon):
        for a in itertools.product(actions, repeat=horizon):
            p = mdp.initial[s[0]].item()
            for t in range(horizon):
                p *= behavior[s[t], a[t]].item()
                if t + 1 < horizon:
                    p *= mdp.transition[s[t], a[t], s[t + 1]].item()
            if p > 0:
                found[s, a] = p
    return found


def test_all_trajectories_are_all_of_them():
    mdp, _, beta = random_problem()
    wanted, t = listed(mdp, beta, 3), all_trajectories(mdp, beta, 3)
    rows = zip(t.obs.tolist(), t.action.tolist(), t.probability.tolist(), strict=True)
    found = {(tuple(s), tuple(a)): p for s, a, p in rows}
    assert found.keys() == wanted.keys() and len(t.obs) == len(found)
    assert all(found[key] == pytest.approx(wanted[key], rel=1e-12) for key in wanted)
    assert t.probability.sum().item() == pytest.approx(1.0)
    assert torch.equal(t.reward, mdp.reward[t.obs, t.action])


def test_an_action_that_the_old_policy_never_takes_is_in_no_trajectory():
    mdp = corridor()
    never_left = torch.tensor([[0.0, 1.0]]).expand(5, 2)
    t = all_trajectories(mdp, never_left, 6)
    assert t.action.tolist() == [[1] * 6] and t.obs.tolist() == [[1, 2, 3, 4, 4, 4]]


def test_samples_have_the_frequencies_of_the_list():
    mdp, _, beta = random_problem(1)
    every = all_trajectories(mdp, beta, 2)
    t = sample_trajectories(mdp, beta, 2, 20_000, generator=torch.Generator().manual_seed(0))
    assert t.obs.shape == t.action.shape == t.reward.shape == (20_000, 2)
    assert torch.equal(t.reward, mdp.reward[t.obs, t.action])
    for s, a, p in zip(every.obs, every.action, every.probability, strict=True):
        share = ((t.obs == s) & (t.action == a)).all(1).double().mean().item()
        assert share == pytest.approx(p.item(), abs=5 * (p.item() / 20_000) ** 0.5 + 1e-4)
    again = sample_trajectories(mdp, beta, 2, 20_000, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(x, y) for x, y in zip(t, again, strict=True))


def test_values_and_visits_by_hand_and_by_the_list():
    mdp, logits, _ = random_problem(2)
    pi = torch.softmax(logits, -1)
    t, q, seen = all_trajectories(mdp, pi, 4), values_to_go(mdp, pi, 4), visits(mdp, pi, 4)
    for step in range(4):
        for s, a in itertools.product(range(3), range(2)):
            here = (t.obs[:, step] == s) & (t.action[:, step] == a)
            chance = (t.probability * here).sum()
            assert chance.item() == pytest.approx((seen[step, s] * pi[s, a]).item(), abs=1e-12)
            if chance > 0:
                mean = (t.probability * here * to_go(t.reward)[:, step]).sum() / chance
                assert mean.item() == pytest.approx(q[step, s, a].item(), rel=1e-9)
    expected = (t.probability * t.reward.sum(1)).sum()
    assert expected.item() == pytest.approx((mdp.initial @ (pi * q[0]).sum(-1)).item())


def test_the_gradient_is_the_derivative_of_the_return():
    mdp, logits, beta = random_problem(3)

    def expected_return(logits):
        value = torch.zeros(3, dtype=torch.float64)
        for _ in range(5):
            value = (torch.softmax(logits, -1) * (mdp.reward + mdp.transition @ value)).sum(-1)
        return mdp.initial @ value

    wanted = torch.autograd.functional.jacobian(expected_return, logits)
    torch.testing.assert_close(horizon_gradient(mdp, logits, 5), wanted)
    for horizon in (1, 3, 5):
        target = weighting_moments(mdp, logits, "whole", 5, behavior=beta).target[horizon - 1]
        torch.testing.assert_close(target, horizon_gradient(mdp, logits, horizon))


def coefficient(weighting, mdp, logits, beta, t: Trajectories, clip, baseline):
    """The module's table, written out for listed trajectories."""
    pi, steps = torch.softmax(logits, -1), torch.arange(t.obs.shape[1])
    q = values_to_go(mdp, pi, len(steps))
    v = (pi * q).sum(-1)[steps, t.obs] * (baseline == "value")
    ratio = (pi / beta)[t.obs, t.action]
    ratio = ratio if clip is None else ratio.clamp_max(clip)
    products = ratio.cumprod(-1)
    return {
        "none": to_go(t.reward) - v,
        "whole": products[:, -1:] * (to_go(t.reward) - v),
        "causal": to_go(products * t.reward) - products * v,
        "single": ratio * (q[steps, t.obs, t.action] - v),
    }[weighting]


@pytest.mark.parametrize("weighting", ["none", "whole", "causal", "single"])
@pytest.mark.parametrize("baseline", [None, "value"])
@pytest.mark.parametrize("clip", [None, 1.3])
def test_the_recursion_gives_what_listing_every_trajectory_gives(weighting, baseline, clip):
    for mdp, logits, beta in (
        random_problem(4),
        (corridor(), torch.randn(5, 2, generator=rng()).double(), torch.full((5, 2), 0.5)),
    ):
        moments = weighting_moments(mdp, logits, weighting, 5, behavior=beta, clip=clip, baseline=baseline)
        for horizon in (1, 2, 5):
            t = all_trajectories(mdp, beta, horizon)
            c = coefficient(weighting, mdp, logits, beta, t, clip, baseline)
            mean, variance = mean_and_variance(gradient_estimates(logits, t, c), t.probability)
            torch.testing.assert_close(moments.mean[horizon - 1], mean)
            assert moments.variance[horizon - 1].item() == pytest.approx(variance, rel=1e-9)
            off = (mean - horizon_gradient(mdp, logits, horizon)).norm().item()
            assert moments.bias[horizon - 1].item() == pytest.approx(off, abs=1e-12)


@pytest.mark.parametrize("baseline", [None, "value"])
def test_resampled_actions_by_listing_both_actions_of_each_step(baseline):
    mdp, logits, beta = random_problem(5)
    pi, q = torch.softmax(logits, -1), values_to_go(mdp, torch.softmax(logits, -1), 3)
    v = (pi * q).sum(-1) * (baseline == "value")
    t = all_trajectories(mdp, beta, 3)
    estimates, probability = [], []
    for drawn in itertools.product(range(2), repeat=3):
        drawn = torch.tensor(drawn).expand(t.obs.shape)
        c = (q - v[..., None])[torch.arange(3), t.obs, drawn]
        estimates.append(gradient_estimates(logits, t._replace(action=drawn), c))
        probability.append(t.probability * pi[t.obs, drawn].prod(1))
    mean, variance = mean_and_variance(torch.cat(estimates), torch.cat(probability))
    moments = weighting_moments(mdp, logits, "resampled", 3, behavior=beta, baseline=baseline)
    torch.testing.assert_close(moments.mean[2], mean)
    assert moments.variance[2].item() == pytest.approx(variance)
    torch.testing.assert_close(mean, horizon_gradient(mdp, logits, 3, behavior=beta))


def test_termination_is_an_absorbing_state_without_reward():
    mdp, logits, beta = random_problem(6, ends=0.3)
    transition = torch.zeros(4, 2, 4, dtype=torch.float64)
    transition[:3, :, :3], transition[:3, :, 3], transition[3, :, 3] = mdp.transition, 0.3, 1.0
    reward = torch.cat([mdp.reward, torch.zeros(1, 2)])
    ended = TabularMDP(transition, reward, [*mdp.initial.tolist(), 0.0], 0.9)
    logits4 = torch.cat([logits, torch.zeros(1, 2)])
    beta4 = torch.cat([beta, torch.full((1, 2), 0.5, dtype=torch.float64)])
    for weighting in WEIGHTINGS:
        one = weighting_moments(mdp, logits, weighting, 4, behavior=beta, baseline="value")
        two = weighting_moments(ended, logits4, weighting, 4, behavior=beta4, baseline="value")
        torch.testing.assert_close(one.mean, two.mean[:, :3])
        torch.testing.assert_close(one.variance, two.variance)


def test_what_is_unbiased_and_what_agrees():
    mdp, logits, beta = random_problem(7)
    make = lambda weighting, **more: weighting_moments(mdp, logits, weighting, 6, behavior=beta, **more)  # noqa: E731
    for baseline in (None, "value"):
        assert make("whole", baseline=baseline).bias.max() < 1e-10
        assert make("causal", baseline=baseline).bias.max() < 1e-10
        torch.testing.assert_close(make("single", baseline=baseline).mean, make("resampled", baseline=baseline).mean)
    surrogate = horizon_gradient(mdp, logits, 6, behavior=beta)
    torch.testing.assert_close(make("single").mean[5], surrogate)
    fresh = [weighting_moments(mdp, logits, weighting, 6) for weighting in WEIGHTINGS]
    assert all(m.bias.max() < 1e-10 for m in fresh), "with fresh data nothing needs a weight"
    torch.testing.assert_close(fresh[0].variance, fresh[1].variance)
    torch.testing.assert_close(fresh[0].variance, fresh[2].variance)
    m = make("single")
    error = (m.bias[5] ** 2 + m.variance[5] / 10).sqrt() / m.target[5].norm()
    assert m.error(10)[5].item() == pytest.approx(error.item())
    assert ((m.cosine >= -1) & (m.cosine <= 1 + 1e-12)).all()


def test_a_missing_action_leaves_the_mean_short():
    beta = torch.tensor([[1.0, 0.0]]).expand(5, 2)  # never right
    m = weighting_moments(corridor(), torch.zeros(5, 2), "causal", 3, behavior=beta)
    assert m.bias[2] > 0.1 and torch.isfinite(m.variance).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(weighting="importance"), "weighting must be one of"),
        (dict(baseline="leave-one-out"), "baseline must be one of"),
        (dict(clip=0.0), "clip must be above 0"),
        (dict(clip="2"), "clip must be a number"),
        (dict(horizon=0), "horizon must be at least 1"),
        (dict(logits=torch.zeros(4, 2)), "logits has shape"),
        (dict(logits=torch.zeros(10)), "logits has shape"),
        (dict(behavior=torch.full((5, 2), 0.6)), "behavior has a row that sums"),
    ],
)
def test_what_makes_no_sense_is_refused(change, message):
    arguments = dict(mdp=corridor(), logits=torch.zeros(5, 2), weighting="whole", horizon=3) | change
    given = [arguments.pop(name) for name in ("mdp", "logits", "weighting", "horizon")]
    with pytest.raises((TypeError, ValueError), match=message):
        weighting_moments(*given, **arguments)


def test_lists_that_would_be_too_long_or_of_unequal_lengths_are_refused(monkeypatch):
    half = torch.full((5, 2), 0.5)
    monkeypatch.setattr(trajectories, "MOST_TRAJECTORIES", 1000)
    assert len(all_trajectories(corridor(), half, 9).obs) == 512
    with pytest.raises(ValueError, match="more than 1000 trajectories"):
        all_trajectories(corridor(), half, 10)
    lake = TabularMDP.from_gymnasium("FrozenLake-v1", map_name="4x4")
    for make in (all_trajectories, lambda *a: sample_trajectories(*a, 3, generator=torch.Generator())):
        with pytest.raises(ValueError, match="terminate"):
            make(lake, torch.full((16, 4), 0.25), 3)
    with pytest.raises(ValueError, match=r"coefficient has shape \(8, 3, 1\), wanted \(8, 3\)"):
        gradient_estimates(torch.zeros(5, 2), all_trajectories(corridor(), half, 3), torch.ones(8, 3, 1))


def test_causal_weights_are_the_products_so_far_and_constants():
    pi, beta = (torch.rand(3, 4, generator=torch.Generator().manual_seed(s), requires_grad=True) for s in (0, 1))
    weights = causal_weights(pi.log(), beta.log())
    products = [[torch.prod(row[: k + 1]).item() for k in range(4)] for row in pi / beta]
    torch.testing.assert_close(weights, torch.tensor(products))
    assert not weights.requires_grad
    with pytest.raises(ValueError, match=r"behavior_log_prob has shape \(3, 1\), wanted \(3, 4\) like log_prob"):
        causal_weights(pi.log(), beta.log()[:, :1])


def test_effective_sample_size_is_that_of_the_weights_at_any_scale():
    weight = torch.rand(2, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = weight.sum(-1).square() / weight.square().sum(-1)
    for shift in (0.0, 1000.0, -1000.0):
        torch.testing.assert_close(effective_sample_size(weight.log() + shift), plain)
