"""The steps that the options choose, against the same quantities written out by hand."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from offac_lite import equations, updates
from offac_lite.agent import Agent, make_networks
from offac_lite.buffer import Transition
from offac_lite.config import CARTPOLE, changed
from offac_lite.envs import Spaces
from offac_lite.networks import (
    CategoricalPolicy,
    ContinuousQCritic,
    DiscreteQCritic,
    TanhGaussianPolicy,
    TwinQCritic,
    VCritic,
)
from tests import rng

DISCRETE = Spaces((4,), (), 3)
CONTINUOUS = Spaces((4,), (2,), None, (-1.0, 0.0), (1.0, 4.0))


def agent_of(spaces, **options):
    config = changed(CARTPOLE, {"seeds": 3, "hidden": [8], "obs_scale": [1.0, 2.0, 0.5, 1.0]} | options)
    agent = Agent(config.resolve(spaces), spaces, rng(1), rng(2))
    with torch.no_grad():  # away from the uniform policy, and a target network that is not the critic
        for network in (agent.policy, agent.target_critic):
            for p in network.parameters():
                p.add_(0.5 * torch.randn(p.shape, generator=rng(3)))
    return agent


def batch_of(spaces, n=16, seeds=3):
    gen, lead = rng(5), (seeds, n)
    obs, next_obs = (torch.randn(*lead, 4, generator=gen) for _ in range(2))
    if spaces.n_actions:
        action = torch.randint(3, lead, generator=gen)
    else:
        action = torch.tensor([0.0, 2.0]) + torch.tensor([1.8, 3.6]) * (torch.rand(*lead, 2, generator=gen) - 0.5)
    reward, log_prob = torch.randn(lead, generator=gen), torch.randn(lead, generator=gen) - 2.0
    terminated = torch.rand(lead, generator=gen) < 0.3
    return Transition(obs, action, reward, next_obs, terminated, log_prob, age=None)


def numbers(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize(
    ("spaces", "options", "kinds"),
    [
        (DISCRETE, {}, (CategoricalPolicy, TwinQCritic)),
        (DISCRETE, {"twin": False}, (CategoricalPolicy, DiscreteQCritic)),
        (DISCRETE, {"critic": "v", "action": "stored"}, (CategoricalPolicy, VCritic)),
        (CONTINUOUS, {}, (TanhGaussianPolicy, TwinQCritic)),
        (CONTINUOUS, {"twin": False}, (TanhGaussianPolicy, ContinuousQCritic)),
        (CONTINUOUS, {"critic": "v", "action": "importance", "entropy_bonus": 0}, (TanhGaussianPolicy, VCritic)),
    ],
)
def test_networks_are_those_the_options_name(spaces, options, kinds):
    agent = agent_of(spaces, **options)
    assert (type(agent.policy), type(agent.critic)) == kinds
    critic = agent.critic.both if isinstance(agent.critic, TwinQCritic) else agent.critic
    assert critic.net.n_seeds == (6 if isinstance(agent.critic, TwinQCritic) else 3)
    assert agent.policy.net.in_scale.tolist() == critic.net.in_scale[:4].tolist() == [1.0, 2.0, 0.5, 1.0]
    assert critic.net.in_scale[4:].tolist() == [1.0] * (2 if isinstance(critic, ContinuousQCritic) else 0)
    assert not any(p.requires_grad for p in agent.target_critic.parameters())
    again = make_networks(agent.config, spaces, rng(2))
    assert torch.equal(numbers(again[1]), numbers(agent.critic))


def stored_advantage(agent, batch):
    return agent.stored_advantage(agent.policy(batch.obs), agent.critic, batch)


def weight(agent, batch):
    return agent.weight(agent.policy(batch.obs), batch)


def value_by_hand(agent, obs):
    return (agent.policy(obs).probs * agent.critic.all_actions(obs)).sum(-1)


@pytest.mark.parametrize("baseline", [None, "value"])
@pytest.mark.parametrize("critic", ["q", "v"])
def test_stored_actions_are_rated_by_what_belongs_to_them(critic, baseline):
    agent, batch = agent_of(DISCRETE, critic=critic, action="stored", baseline=baseline), batch_of(DISCRETE)
    with torch.no_grad():
        if critic == "q":
            wanted = agent.critic(batch.obs, batch.action)
            wanted = wanted - value_by_hand(agent, batch.obs) if baseline else wanted
            torch.testing.assert_close(agent.value(batch.obs, rng()), value_by_hand(agent, batch.obs))
        else:
            wanted = batch.reward + 0.99 * ~batch.terminated * agent.critic(batch.next_obs)
            wanted = wanted - agent.critic(batch.obs) if baseline else wanted
            torch.testing.assert_close(agent.value(batch.obs, rng()), agent.critic(batch.obs))
    torch.testing.assert_close(stored_advantage(agent, batch), wanted)


def test_value_of_continuous_actions_is_estimated_from_resampled_ones():
    agent, obs = agent_of(CONTINUOUS, action_samples=2000), batch_of(CONTINUOUS).obs[:, :2]
    with torch.no_grad():
        many = agent.critic(obs, agent.policy(obs).sample(20_000, generator=rng(9)))
    error = (agent.value(obs, rng()) - many.mean(-2)).abs() / many.std(-2)
    assert error.max() < 4.5 * (1 / 2000 + 1 / 20_000) ** 0.5


@pytest.mark.parametrize("clip", [None, 1.5])
@pytest.mark.parametrize("spaces", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_weight_is_the_ratio_of_pi_now_to_beta_then(spaces, clip):
    agent = agent_of(spaces, action="importance", importance_clip=clip, entropy_bonus=0.0)
    batch = batch_of(spaces)
    with torch.no_grad():
        ratio = (agent.policy(batch.obs).log_prob(batch.action) - batch.log_prob).exp()
    torch.testing.assert_close(weight(agent, batch), ratio if clip is None else ratio.clamp_max(1.5))
    assert clip is None or (ratio > clip).any()
    assert weight(agent_of(spaces, action="stored", entropy_bonus=0.0), batch) is None


def sgd(*networks):
    return torch.optim.SGD([p for network in networks for p in network.parameters()], 1.0)


def steps_by_hand(agent, batch):
    """Take the two steps that an agent's options ask for, from the update functions themselves.

    The actor's step uses the critic as it was before the critic's step.
    """
    c, gen, actor = agent.config, agent.generator, sgd(agent.policy)
    before = copy.deepcopy(agent.critic)
    if c.critic == "q":
        updates.critic_step(
            agent.critic,
            agent.target_critic,
            agent.policy,
            sgd(agent.critic),
            batch,
            gamma=c.gamma,
            next_action_samples=c.next_action_samples,
            generator=gen,
            alpha=agent.alpha if c.soft_target else None,
        )
    else:
        rho, critic = weight(agent, batch), sgd(agent.critic)
        updates.v_critic_step(agent.critic, agent.target_critic, critic, batch, gamma=c.gamma, weight=rho)
    after, agent.critic = agent.critic, before
    if c.action != "resampled":
        advantage, rho = stored_advantage(agent, batch), weight(agent, batch)
        updates.stored_actor_step(agent.policy, actor, batch, advantage, weight=rho, entropy_bonus=agent.alpha)
    else:
        how = {"action_samples": c.action_samples, "entropy_bonus": agent.alpha, "generator": gen}
        step = updates.reparameterized_actor_step
        if c.gradient == "score":
            step, how = updates.actor_step, how | {"baseline": c.baseline}
        step(agent.policy, agent.critic, actor, batch.obs, **how)
    agent.critic = after


@pytest.mark.parametrize(
    ("spaces", "options"),
    [
        (DISCRETE, {}),
        (DISCRETE, {"twin": False, "gamma": 0.5, "next_action_samples": 2, "action_samples": 1, "baseline": None}),
        (DISCRETE, {"action_samples": "all", "entropy_bonus": 0.0}),
        (DISCRETE, {"action_samples": 3, "baseline": "leave-one-out", "entropy_bonus": 0.3}),
        (DISCRETE, {"action": "stored"}),
        (DISCRETE, {"action": "importance", "baseline": None}),
        (DISCRETE, {"critic": "v", "action": "stored"}),
        (DISCRETE, {"critic": "v", "action": "importance", "importance_clip": 1.2, "baseline": None}),
        (CONTINUOUS, {}),
        (CONTINUOUS, {"gradient": "reparameterized", "action_samples": 2, "entropy_bonus": 0.3}),
        (CONTINUOUS, {"action": "importance", "entropy_bonus": 0.0}),
        (CONTINUOUS, {"critic": "v", "action": "stored", "entropy_bonus": 0.0}),
        (DISCRETE, {"soft_target": True, "entropy_bonus": 0.3}),
        (DISCRETE, {"soft_target": True, "next_action_samples": 2, "entropy_bonus": "learned"}),
        (CONTINUOUS, {"soft_target": True, "gradient": "reparameterized", "entropy_bonus": "learned"}),
        (CONTINUOUS, {"entropy_bonus": "learned"}),
        (DISCRETE, {"layer_norm": True}),
        (DISCRETE, {"layer_norm": True, "critic": "v", "action": "stored"}),
        (CONTINUOUS, {"layer_norm": True}),
    ],
)
def test_an_update_has_the_gradients_of_the_two_steps_that_the_options_name(spaces, options):
    ours, theirs = (agent_of(spaces, **options) for _ in range(2))
    before, batch = (numbers(ours.policy), numbers(ours.critic)), batch_of(spaces)
    ours.optimizer = sgd(ours.policy, ours.critic)
    ours.update(batch)
    steps_by_hand(theirs, batch)
    for network, old in ("policy", before[0]), ("critic", before[1]):
        torch.testing.assert_close(numbers(getattr(ours, network)), numbers(getattr(theirs, network)))
        assert not torch.allclose(numbers(getattr(ours, network)), old)


@pytest.mark.parametrize("per_seed", [False, True])
def test_a_loss_of_the_user_s_own_takes_the_place_of_the_actor_step(per_seed):
    """Written out it is the built-in one: the same step to rounding, as one number or one per seed."""

    def loss(policy, critic, obs, stored_action, action_samples, generator):
        assert stored_action is batch.action and action_samples == 4
        pi = policy(obs)
        action = pi.sample(action_samples, generator=generator)
        each = -(pi.log_prob(action) * critic(obs, action)).mean((-2, -1))
        return each if per_seed else each.mean()

    batch = batch_of(DISCRETE)
    ours = agent_of(DISCRETE, baseline=None, resampled_loss=loss)
    theirs = agent_of(DISCRETE, baseline=None)
    for agent in (ours, theirs):
        agent.optimizer = sgd(agent.policy, agent.critic)
        agent.update(batch)
    torch.testing.assert_close(numbers(ours.policy), numbers(theirs.policy), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(numbers(ours.critic), numbers(theirs.critic))  # though this loss does not detach Q


def test_anneal_sets_both_rates():
    agent = agent_of(DISCRETE, actor_lr=0.3, critic_lr=0.5)
    agent.anneal(0.1)
    rates = [group["lr"] for group in agent.optimizer.param_groups]
    assert rates == pytest.approx([0.03, 0.05, 0.03])


@pytest.mark.parametrize("spaces", [DISCRETE, CONTINUOUS])
def test_the_learned_weight_of_the_entropy_falls_where_the_entropy_is_above_its_target_and_rises_below(spaces):
    agent, batch = agent_of(spaces, entropy_bonus="learned", actor_lr=0.01), batch_of(spaces)
    entropy = agent.entropy(batch.obs, rng()).mean(-1).detach()
    assert agent.alpha.shape == (3, 1) and torch.allclose(agent.alpha, torch.tensor(0.1))
    agent.config = replace(agent.config, target_entropy=entropy.mean().item())  # above it for some seed, below for some
    agent.update(batch)
    assert (
        torch.equal(agent.alpha[:, 0] < 0.1, entropy > entropy.mean())
        and len(set((entropy > entropy.mean()).tolist())) == 2
    )


def test_the_target_entropy_is_one_nat_below_the_uniform_action_s_in_each_dimension():
    config = agent_of(CONTINUOUS, entropy_bonus="learned").config
    uniform = math.log(2.0) + math.log(4.0)  # the sides of the box
    assert config.target_entropy == pytest.approx(uniform - 2 * math.log(2.0) - 2)
    assert agent_of(DISCRETE).config.target_entropy == pytest.approx(0.5 * math.log(3))
    assert agent_of(DISCRETE, target_entropy=0.3).config.target_entropy == 0.3


@pytest.mark.parametrize("twin", [False, True])
@pytest.mark.parametrize("where", ["policy", "critic"])
def test_a_broken_seed_is_found_and_silenced_and_the_others_stay(where, twin):
    agent, batch = agent_of(DISCRETE, twin=twin), batch_of(DISCRETE)
    agent.update(batch)
    assert agent.non_finite_seeds(batch.obs).tolist() == [False] * 3
    before = copy.deepcopy((agent.policy, agent.critic, agent.target_critic))
    (theta,) = getattr(agent, where).parameters()
    with torch.no_grad():
        theta[-2, 3] = torch.inf  # of twins: seed 1 of the second critic
    assert agent.non_finite_seeds(batch.obs).tolist() == [False, True, False]
    agent.stop_seeds(agent.non_finite_seeds(batch.obs))
    assert not agent.non_finite_seeds(batch.obs).any()
    for network, old in zip((agent.policy, agent.critic, agent.target_critic), before, strict=True):
        rows, old = (numbers(n).view(-1, 3, next(n.parameters()).shape[-1]) for n in (network, old))
        assert (rows[:, 1] == 0).all() and torch.equal(rows[:, [0, 2]], old[:, [0, 2]])
    for state in agent.optimizer.state.values():
        for name in ("exp_avg", "exp_avg_sq"):
            moments = state[name].view(-1, 3, state[name].shape[-1])
            assert (moments[:, 1] == 0).all() and (moments[:, [0, 2]] != 0).any(-1).all()
    torch.testing.assert_close(agent.policy(batch.obs).probs[1], torch.full((16, 3), 1 / 3))


@pytest.mark.parametrize("spaces", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_entropy_is_that_of_the_policy(spaces):
    agent, obs = agent_of(spaces), batch_of(spaces).obs
    with torch.no_grad():
        pi = agent.policy(obs)
        actions = pi.sample(4000, generator=rng(8))
        exact = -pi.log_prob(actions).mean(-2)
    n_draws = 1 if spaces is DISCRETE else 400
    estimate = torch.stack([agent.entropy(obs, agent.generator).detach() for _ in range(n_draws)]).mean(0)
    assert (estimate - exact).abs().max() < 0.4 and (estimate - exact).mean().abs() < 0.05


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"q_target": lambda r, d, q, g: r.sum()}, ValueError, r"q_target returned shape \(\), wanted \(3, 5\)"),
        ({"q_target": lambda r, d, q, g: r[:, None]}, ValueError, r"q_target returned shape \(3, 1, 5\), wanted"),
        ({"q_target": lambda r, d, q, g: 3.0}, TypeError, r"q_target returned 3.0, wanted a tensor of shape \(3, 5\)"),
        ({"q_target": lambda r, d, q, g: None}, TypeError, "q_target returned None"),
        ({"q_target": lambda r, d, q, g: r / 0.0}, ValueError, "q_target returned NaN or infinity for ordinary"),
        (
            {"policy_gradient_loss": lambda p, a: (p * a).mean()},
            ValueError,
            r"_loss returned shape \(\), wanted \(3,\)",
        ),
        ({"policy_gradient_loss": lambda p, a: p * a}, ValueError, r"returned shape \(3, 4, 5\), wanted \(3,\)"),
        (
            {"leave_one_out": lambda q: q.mean(-2), "baseline": "leave-one-out"},
            ValueError,
            r"leave_one_out returned shape \(3, 5\), wanted \(3, 4, 5\)",
        ),
        (
            {"v_target": lambda r, d, v, g: v.mean(), "critic": "v", "action": "stored"},
            ValueError,
            r"v_target returned shape \(\), wanted \(3, 5\)",
        ),
        ({"resampled_loss": lambda *a: None}, TypeError, r"resampled_loss returned None, wanted a tensor of shape"),
        ({"resampled_loss": lambda *a: torch.zeros(())}, ValueError, "gradient does not reach the policy: nothing"),
        (
            {"resampled_loss": lambda p, c, o, a, k, g: p(o).log_prob(a)},
            ValueError,
            r"resampled_loss returned shape \(3, 5\), wanted \(3,\) or \(\)",
        ),
    ],
)
def test_functions_of_the_user_s_own_are_tried_first(options, error, words):
    agent = agent_of(DISCRETE, **options)
    before = agent.generator.get_state()
    with pytest.raises(error, match=words):
        agent.try_own_functions()
    assert torch.equal(agent.generator.get_state(), before)


def test_trying_changes_nothing():
    def loss(policy, critic, obs, action, k, generator):
        return policy(obs).log_prob(policy(obs).sample(k, generator=generator)).mean()

    agent = agent_of(DISCRETE, q_target=equations.q_target, resampled_loss=loss)
    before = numbers(agent.policy), numbers(agent.critic), agent.generator.get_state()
    agent.try_own_functions()
    after = numbers(agent.policy), numbers(agent.critic), agent.generator.get_state()
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
