"""The clinic outside the loss: rows that are what happened, and the instruments for an agent of any library."""

import gymnasium
import numpy as np
import pytest
import torch

from offac_lite import ReplayBuffer
from offac_lite.course import clinic
from offac_lite.course.clinic import (
    COUNTING,
    HEALTHY,
    instruments,
    patient,
    play_episodes,
    stored_rows,
    train_patient,
    unit_test,
    wrong_flags,
    wrong_rows,
)
from offac_lite.envs import VectorEnv
from offac_lite.networks import Categorical, TanhGaussian
from offac_lite.play import fill

# ------------------------------------------------------------------------------------------------------- the rows


@pytest.mark.parametrize(
    ("letter", "wrong", "flags"),
    [("", "none", "none"), ("J", "some", "none"), ("K", "none", "some"), ("L", "all", "none")],
)
def test_numbered_rows_tell_the_patients_outside_the_loss_apart(letter, wrong, flags):
    rows = stored_rows(patient(letter) if letter else HEALTHY)
    marks = wrong_rows(rows.obs, rows.action, rows.next_obs), wrong_flags(rows.obs, rows.terminated)
    for mark, wanted in zip(marks, (wrong, flags), strict=True):
        assert {"none": not mark.any(), "some": mark.any() and not mark.all(), "all": mark.all()}[wanted]
    assert torch.equal(rows.reward, rows.next_obs[:, 1])


def test_the_package_s_own_loop_stores_what_happened():
    env = VectorEnv(COUNTING, 3)
    buffer = ReplayBuffer(200, env.obs_shape, env.action_shape)
    fill(buffer, env, None, 100, torch.Generator().manual_seed(0))
    rows = buffer.all()
    assert (
        not wrong_rows(rows.obs, rows.action, rows.next_obs).any() and not wrong_flags(rows.obs, rows.terminated).any()
    )


def test_two_environments_never_play_an_episode_of_the_same_number():
    rows = stored_rows(HEALTHY, 60)
    starts = rows.obs[rows.obs[:, 1] == 0][:, 0]
    assert len(starts) == len(starts.unique()) > 40


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"action has shape \(2,\), wanted \(2, 1\)"):
        wrong_rows(torch.zeros(2, 3), torch.zeros(2), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="next_obs has shape"):
        wrong_rows(torch.zeros(2, 3), torch.zeros(2, 1), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="terminated has shape"):
        wrong_flags(torch.zeros(2, 3), torch.zeros(2, 1, dtype=torch.bool))


@pytest.mark.parametrize("letter", "JKL")
def test_the_unit_test_passes_the_patients_outside_the_loss(letter):
    assert unit_test(patient(letter)).passed


@pytest.mark.slow
def test_symptoms_of_the_patients_outside_the_loss_show_within_the_notebook_s_steps():
    short = {"seeds": 8, "evaluations": 10, "seed": 11}
    well, j, k = (train_patient(parts, **short) for parts in (HEALTHY, patient("J"), patient("K")))
    assert k.late("value").min() > clinic.POSSIBLE[1] and k.late("return").max() < 15
    assert j.late("critic_loss").median() > 3 * well.late("critic_loss").median()
    assert j.late("return").median() > 0.5 * well.late("return").median()


# ------------------------------------------------------------------------------------------------ the instruments


def batch_of(n=6, actions=2, width=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    obs, next_obs = torch.randn(n, width, generator=g), torch.randn(n, width, generator=g)
    action = torch.randint(actions, (n,), generator=g) if actions else torch.randn(n, 1, generator=g)
    return obs, action, torch.rand(n, generator=g), next_obs, torch.tensor([True, False] * (n // 2))


EPISODES = [(torch.ones(4, 4), [1.0, 0.0, 2.0], True), (torch.ones(3, 4), [1.0, 1.0], False)]


def linear(obs):
    return obs[:, :2]


def q_of(obs, action):
    return obs[:, 0] + action


def test_discrete_numbers_by_hand():
    batch = obs, action, reward, next_obs, ended = batch_of()
    reading = instruments(linear, q_of, batch, EPISODES, gamma=0.9)

    def value(s):
        probs = torch.softmax(s[:, :2], 1)
        return (probs * torch.stack([s[:, 0], s[:, 0] + 1], 1)).sum(1)

    y = reward + 0.9 * ~ended * value(next_obs)
    assert reading["critic's loss"] == pytest.approx(0.5 * (q_of(obs, action) - y).square().mean().item(), rel=1e-5)
    assert reading["spread"] == pytest.approx(value(obs).std(correction=0).item(), rel=1e-5)
    assert reading["return"] == 2.5 and reading["steps"] == 2.5
    v = 1.5  # of every state of the episodes, of which the second one is cut
    assert reading["promised"] == pytest.approx(np.mean([v, v, v, v - 0.81 * v, v - 0.9 * v]), rel=1e-5)
    first, second = [1 + 0.81 * 2, 0.9 * 2, 2], [1.9, 1]
    assert reading["delivered"] == pytest.approx(np.mean(first + second), rel=1e-5)
    entropy = torch.distributions.Categorical(logits=obs[:, :2]).entropy().mean().item()
    assert reading["entropy"] == pytest.approx(entropy, rel=1e-5)
    assert reading["share of action 1, stored"] == pytest.approx(action.float().mean().item())
    assert reading["lowest Q"] == pytest.approx(q_of(obs, action).min().item())
    assert reading.expected["highest Q"] == "not above 20" and reading.expected["lowest Q"] == "not below 0"


def test_a_policy_can_be_logits_a_distribution_or_actions():
    batch = batch_of()
    logits = instruments(linear, q_of, batch, EPISODES)
    for policy in (
        lambda s: torch.distributions.Categorical(logits=linear(s)),
        lambda s: Categorical(linear(s)),
    ):
        assert dict(instruments(policy, q_of, batch, EPISODES)) == pytest.approx(dict(logits), rel=1e-5)
    greedy = instruments(lambda s: linear(s).argmax(1), q_of, batch, EPISODES)
    sharp = instruments(lambda s: 1e4 * linear(s), q_of, [x for x in batch], [(torch.rand(3, 4), [1.0, 1.0], True)])
    assert greedy["entropy"] == 0 and sharp["entropy"] == pytest.approx(0, abs=1e-3)


def test_a_soft_value_counts_the_entropy_in_value_and_delivered_alike():
    batch = batch_of()
    reading = instruments(
        lambda s: torch.zeros(len(s), 2), lambda s, a: 0.0 * a, batch, EPISODES[:1], gamma=0.5, alpha=2.0
    )
    bonus = 2 * np.log(2)
    assert reading["promised"] == pytest.approx(bonus, rel=1e-5)
    wanted = [1 + bonus + 0.5 * (bonus + 0.5 * (2 + bonus)), bonus + 0.5 * (2 + bonus), 2 + bonus]
    assert reading["delivered"] == pytest.approx(np.mean(wanted), rel=1e-5)


def test_the_gradient_of_a_right_loss_has_cosine_one_and_of_one_uphill_minus_one():
    theta = torch.zeros(4, 2, requires_grad=True)
    batch = batch_of()

    def policy(s):
        return s @ theta

    def loss(s):
        probs = torch.softmax(policy(s), 1)
        return -(probs[:, 1]).mean()  # Q is s₀ + a

    right, uphill, long = (
        instruments(policy, q_of, batch, EPISODES, actor_loss=f, parameters=[theta])
        for f in (loss, lambda s: -loss(s), lambda s: 6 * loss(s))
    )
    assert (right["cosine"], right["length"]) == pytest.approx((1, 1), abs=1e-4)
    assert uphill["cosine"] == pytest.approx(-1, abs=1e-4) and long["length"] == pytest.approx(6, rel=1e-4)
    assert theta.grad is None


def test_continuous_actions_by_pairs_and_distributions():
    batch = batch_of(actions=0)
    torch.manual_seed(0)

    def pair(s):
        pi = torch.distributions.Normal(torch.zeros(len(s), 1), 0.5)
        action = pi.rsample()
        return action, pi.log_prob(action).squeeze(1)

    low, high = torch.tensor([-2.0]), torch.tensor([2.0])
    policies = {
        "pair": pair,
        "torch": lambda s: torch.distributions.Normal(torch.zeros(len(s), 1), 0.5),
        "ours": lambda s: TanhGaussian(torch.zeros(len(s), 1), torch.full((len(s), 1), -3.0), low, high),
    }
    for name, policy in policies.items():
        reading = instruments(policy, lambda s, a: -a[:, 0].square(), batch, EPISODES[:1], draws=500)
        std = 0.5 if name != "ours" else 2 * np.exp(-3)
        assert reading["promised"] == pytest.approx(-(std**2), rel=0.15)
        assert reading["entropy"] == pytest.approx(0.5 * np.log(2 * np.pi * np.e * std**2), abs=0.1)
        assert reading["largest |a|, π"] > std
    still = instruments(lambda s: torch.ones(len(s), 1), lambda s, a: 3 * a[:, 0], batch, EPISODES[:1])
    assert still["promised"] == 3 and still["entropy"] == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (dict(critic=lambda s, a: q_of(s, a)[:, None]), r"critic\(obs, action\) has shape .*squeeze\(-1\) removes"),
        (dict(critic=lambda s, a: 1.0), r"critic\(obs, action\) returned float, wanted a tensor"),
        (dict(critic=lambda s, a: q_of(s, a) * torch.nan), r"critic\(obs, action\) holds NaN"),
        (dict(policy=lambda s: s[:, :1]), r"policy\(obs\) has shape .*A ≥ 2: the batch holds action 1"),
        (dict(policy=lambda s: "left"), r"policy\(obs\) returned str"),
        (dict(policy=lambda s: s[:, 0]), r"policy\(obs\) has shape"),
        (dict(policy=None), "policy must be a function"),
        (dict(batch=batch_of()[:4]), "batch must hold the five arrays"),
        (dict(batch=(*batch_of()[:2], torch.ones(6, 1), *batch_of()[3:])), r"reward has shape \(6, 1\)"),
        (dict(batch=(batch_of()[0], batch_of()[1][:, None], *batch_of()[2:])), r"action has shape .*integers \(B,\)"),
        (dict(batch=(*batch_of()[:4], torch.full((6,), 0.5))), "terminated holds other numbers"),
        (dict(batch=(*batch_of()[:3], torch.zeros(6, 3), batch_of()[4])), "next_obs has shape"),
        (dict(episodes=[]), "episodes is empty"),
        (dict(episodes=[(torch.ones(3, 4), [1.0] * 3, True)]), "final observation included"),
        (dict(episodes=[(torch.ones(3, 4), True)]), r"episodes\[0\] must be"),
        (dict(episodes=[(torch.ones(1, 4), [], True)]), r"rewards of episodes\[0\] have shape"),
        (dict(actor_loss=lambda s: s.sum()), "go together"),
        (dict(actor_loss=lambda s: s.sum(), parameters=[torch.ones(1)]), "carries no gradient"),
    ],
)
def test_what_does_not_fit_is_named(changed, words):
    given = dict(policy=linear, critic=q_of, batch=batch_of(), episodes=EPISODES) | changed
    with pytest.raises((TypeError, ValueError), match=words):
        instruments(**given)


def test_a_reading_prints_as_a_table_and_gives_rows():
    reading = instruments(linear, q_of, batch_of(), EPISODES)
    first, *_ = str(reading).splitlines()
    assert first.split() == ["return", "2.5"] and len(str(reading).splitlines()) == len(reading.rows) == len(reading)
    assert reading.rows[2][0] == "promised" and reading.rows[2][2] == "about what is delivered"


def test_played_episodes_are_whole_and_repeatable():
    def act(obs):
        return int(obs[2] > 0)

    env = gymnasium.make("CartPole-v1", max_episode_steps=20)
    one, two = (play_episodes(env, act, 3, seed=5) for _ in range(2))
    for (obs, rewards, terminated), (again, *_) in zip(one, two, strict=True):
        assert len(obs) == len(rewards) + 1 and np.array_equal(obs, again) and terminated == (len(rewards) < 20)


def test_a_chart_gives_its_agents():
    chart = train_patient(HEALTHY, seeds=3, total_steps=1040, evaluations=1)
    agent, obs = chart.agent(1), torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    together = chart.agents.policy(obs).log_probs[1]
    assert torch.allclose(agent.policy(obs[1]).log_probs, together, atol=1e-6)
    action = torch.tensor([0, 1, 1, 0, 1])
    assert torch.allclose(agent.critic(obs[1], action), chart.agents.critic(obs, action.expand(3, 5))[1], atol=1e-6)
    assert agent.batch(7).action.shape == (7,) and torch.equal(agent.batch(7).obs, agent.batch(7).obs)
    with pytest.raises(IndexError, match="index must lie between"):
        chart.agent(3)
    with pytest.raises(ValueError, match="made without agents"):
        clinic.Chart(chart.steps, chart.curves).agent(0)
