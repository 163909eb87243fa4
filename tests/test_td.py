"""Tabular TD for Q, exactly: against closed forms, against samples, and against the solved fixed points."""

import pytest
import torch

from offac_lite.exact import TabularMDP
from offac_lite.exact.outcomes import Outcomes
from offac_lite.exact.td import target_distribution, target_variance, td_path, value_and_spread

UNIFORM = torch.full((16, 4), 0.25, dtype=torch.float64)


@pytest.fixture(scope="module", params=[True, False], ids=["slippery", "firm"])
def world(request):
    kind = dict(map_name="4x4", is_slippery=request.param)
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, **kind)
    pi = torch.softmax(mdp.policy_path(10, 1.0)[-1], -1)
    return mdp, Outcomes.from_gymnasium("FrozenLake-v1", **kind), pi


def test_outcomes_are_the_table_of_the_mdp(world):
    mdp, outcomes, _ = world
    p = outcomes.probability
    torch.testing.assert_close(p.sum(-1), torch.ones(16, 4, dtype=torch.float64))
    torch.testing.assert_close((p * outcomes.reward).sum(-1), mdp.reward)
    goes_on = p * ~outcomes.terminated
    to = torch.zeros(16, 4, 16, dtype=torch.float64).scatter_add(2, outcomes.next_obs, goes_on)
    torch.testing.assert_close(to, mdp.transition)
    torch.testing.assert_close(outcomes.initial, mdp.initial)


def test_an_environment_without_a_table_is_refused():
    with pytest.raises(ValueError, match="CartPoleEnv.* has no transition table"):
        Outcomes.from_gymnasium("CartPole-v1")


def test_played_data_has_the_policy_the_table_and_the_limit(world):
    mdp, outcomes, pi = world
    data = outcomes.play(pi, 20_000, torch.Generator().manual_seed(0), max_steps=10)
    assert (data.truncated & data.terminated).sum() == 0
    assert (data.terminated | data.truncated).sum() == 20_000, "every episode ends once"
    at_start = data.obs == 0
    share = data.action[at_start].bincount(minlength=4) / at_start.sum()
    torch.testing.assert_close(share.double(), pi[0], atol=0.01, rtol=0)
    following = data.next_obs == 4
    share = data.next_action[following].bincount(minlength=4) / following.sum()
    torch.testing.assert_close(share.double(), pi[4], atol=0.02, rtol=0)
    slid = (data.obs == 0) & (data.action == 2)
    to = data.next_obs[slid].bincount(minlength=16) / slid.sum()
    torch.testing.assert_close(to.double(), mdp.transition[0, 2], atol=0.02, rtol=0)
    rows = data.sample((3, 5), torch.Generator().manual_seed(0))
    assert rows.obs.shape == rows.terminated.shape == rows.next_action.shape == (3, 5)
    assert len(data.sample(7, torch.Generator().manual_seed(0))) == 7


def test_value_and_spread_by_hand():
    value, spread = value_and_spread(torch.tensor([[0.25, 0.75]]), torch.tensor([[4.0, 0.0]]))
    assert value.item() == 1.0 and spread.item() == 0.25 * 9 + 0.75 * 1


@pytest.mark.parametrize("next_action_samples", [1, 3])
def test_variance_and_distribution_of_the_target_are_those_of_samples(world, next_action_samples):
    mdp, outcomes, pi = world
    q = mdp.action_values(pi)
    from_world, from_actions = target_variance(outcomes, pi, q, 0.99, next_action_samples)
    generator = torch.Generator().manual_seed(0)
    for s, a in ((9, 2), (14, 2), (10, 1), (0, 0)):
        values, probability = target_distribution(outcomes, pi, q, 0.99, s, a, next_action_samples)
        mean = (probability * values).sum()
        torch.testing.assert_close(probability.sum(), torch.ones((), dtype=torch.float64))
        torch.testing.assert_close(mean, q[s, a])  # q is Q^π: the Bellman equation
        variance = (probability * (values - mean).square()).sum()
        torch.testing.assert_close(variance, (from_world + from_actions)[s, a])
        which = torch.multinomial(outcomes.probability[s, a], 40_000, replacement=True, generator=generator)
        r, s2, d = outcomes.reward[s, a, which], outcomes.next_obs[s, a, which], outcomes.terminated[s, a, which]
        a2 = torch.multinomial(pi[s2], next_action_samples, replacement=True, generator=generator)
        y = r + 0.99 * torch.where(d, 0.0, q[s2[:, None], a2].mean(-1))
        assert abs(y.mean() - mean) < 5 * (variance / 40_000).sqrt() + 1e-12
        fourth = (probability * (values - mean) ** 4).sum()
        assert abs(y.var() - variance) < 5 * ((fourth - variance**2) / 40_000).sqrt() + 1e-12


def test_m_divides_the_part_from_the_actions_and_no_other(world):
    mdp, outcomes, pi = world
    one, four = (target_variance(outcomes, pi, mdp.action_values(pi), 0.99, m) for m in (1, 4))
    torch.testing.assert_close(one[0], four[0])
    torch.testing.assert_close(one[1], 4 * four[1])


@pytest.mark.parametrize("next_action_samples", [1, 4])
def test_the_recursion_of_td_is_the_mean_and_variance_of_simulated_runs(next_action_samples):
    mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4", is_slippery=False)
    outcomes = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4", is_slippery=False)
    pi = torch.softmax(mdp.policy_path(20, 0.25)[-1], -1)
    data = mdp.occupancy(UNIFORM)[:, None] * UNIFORM
    runs, batch, rate, n_updates = 600, 20, 0.1, 60
    path = td_path(
        outcomes,
        data,
        pi,
        0.99,
        next_action_samples=next_action_samples,
        rate=rate,
        batch_size=batch,
        n_updates=n_updates,
    )
    generator = torch.Generator().manual_seed(0)
    q = torch.zeros(runs, 64, dtype=torch.float64)
    for _ in range(n_updates):
        pair = torch.multinomial(data.flatten(), runs * batch, replacement=True, generator=generator)
        s, a = pair // 4, pair % 4
        s2, r, d = outcomes.next_obs[s, a, 0], outcomes.reward[s, a, 0], outcomes.terminated[s, a, 0]
        a2 = torch.multinomial(pi[s2], next_action_samples, replacement=True, generator=generator)
        run = torch.arange(runs).repeat_interleave(batch)
        y = r + 0.99 * torch.where(d, 0.0, q[run[:, None], 4 * s2[:, None] + a2].mean(-1))
        q.index_put_((run, pair), rate * (y - q[run, pair]), accumulate=True)
    spread = q.var(0).sum()
    assert abs(spread / path.variance[-1] - 1) < 0.08
    error = (q.mean(0).view(16, 4) - path.mean[-1]).norm()
    assert error < 3 * (spread / runs).sqrt()
    distance = (q.view(-1, 16, 4) - mdp.action_values(pi))[:, path.live].square().mean().sqrt()
    assert abs(distance / path.distance(mdp.action_values(pi))[-1] - 1) < 0.02


def test_td_goes_to_the_q_of_whoever_chooses_the_next_action(world):
    mdp, outcomes, pi = world
    data = (mdp.occupancy(UNIFORM) > 0).double()[:, None].expand(16, 4)
    for next_probs in (pi, UNIFORM):
        path = td_path(outcomes, data, next_probs, 0.99, rate=0.5, batch_size=44, n_updates=600)
        q = mdp.action_values(next_probs)
        assert path.bias(q)[-1] < 1e-4 * q.abs().max()
        assert path.distance(q)[-1] > path.bias(q)[-1]
        assert path.mean[:, ~path.live].abs().max() == 0


def test_data_that_breaks_off_is_refused(world):
    _, outcomes, pi = world
    only_the_start = torch.zeros(16, 4)
    only_the_start[0] = 1.0
    with pytest.raises(ValueError, match="data must reach every state"):
        td_path(outcomes, only_the_start, pi, 0.99)


def test_shares_of_the_data_that_cannot_be_are_refused():
    outcomes = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4")
    for data in (torch.zeros(16, 4), torch.eye(16, 4) - 1e-3):
        with pytest.raises(ValueError, match="data holds a negative share, or nothing but zeros"):
            td_path(outcomes, data, UNIFORM, 0.99)
