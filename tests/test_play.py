"""Acting: what is drawn, what is written down of it, what is stored, and what an episode is worth."""

import math

import gymnasium
import numpy as np
import pytest
import torch

from offac_lite.buffer import ReplayBuffer
from offac_lite.envs import VectorEnv
from offac_lite.networks import CategoricalPolicy, TanhGaussianPolicy
from offac_lite.play import act, evaluate, fill, flat
from tests import rng


def cartpole(n_envs, **options):
    env = VectorEnv("CartPole-v1", n_envs, **options)
    env.reset()
    return env


def pendulum(n_envs, **options):
    env = VectorEnv("Pendulum-v1", n_envs, **options)
    env.reset()
    return env


def buffer_for(env, capacity=1000):
    return ReplayBuffer(capacity, env.obs_shape, env.action_shape, n_seeds=env.n_seeds)


N = 20_000


@pytest.mark.parametrize("probs", [(0.2, 0.8), [1.0, 0.0], None])
@pytest.mark.parametrize("n_seeds", [None, 2])
def test_discrete_actions_follow_the_probabilities_given(n_seeds, probs):
    env = cartpole(N // (n_seeds or 1), n_seeds=n_seeds)
    action, log_prob = act(probs, env, rng())
    probs = probs or (0.5, 0.5)
    assert action.shape == log_prob.shape == env.batch_shape and action.dtype == torch.int64
    assert action.double().mean().item() == pytest.approx(probs[1], abs=4.5 * 0.5 / N**0.5 * (probs[1] > 0))
    wanted = torch.tensor([math.log(p) if p else -math.inf for p in probs])[action]
    torch.testing.assert_close(log_prob, wanted)


def test_uniform_continuous_actions_fill_their_box():
    env, generator = pendulum(10), rng()
    draws = [act(None, env, generator) for _ in range(200)]
    action, log_prob = (torch.stack(part) for part in zip(*draws, strict=True))
    assert action.shape == (200, 10, 1) and -2 <= action.min() < -1.98 and 1.98 < action.max() <= 2
    assert action.mean().item() == pytest.approx(0.0, abs=4.5 * (4 / 12**0.5) / 2000**0.5)
    torch.testing.assert_close(log_prob, torch.full((200, 10), math.log(1 / 4)))


@pytest.mark.parametrize("n_seeds", [None, 2])
@pytest.mark.parametrize(
    ("make", "network"),
    [
        (cartpole, lambda n: CategoricalPolicy(4, 2, (8,), n_seeds=n, generator=rng(), out_gain=5.0)),
        (pendulum, lambda n: TanhGaussianPolicy(3, [-2.0], [2.0], (8,), n_seeds=n, generator=rng(), out_gain=5.0)),
    ],
    ids=["discrete", "continuous"],
)
@pytest.mark.parametrize("shared", [False, True])
def test_a_network_draws_its_own_actions_and_their_log_probabilities(n_seeds, make, network, shared):
    """A network without an axis of seeds plays for every seed alike."""
    env, policy = make(5, n_seeds=n_seeds), network(None if shared else n_seeds)
    action, log_prob = act(policy, env, rng(3))
    pi = policy(env.obs)
    drawn = pi.sample(generator=rng(3))
    assert torch.equal(action, drawn) and action.shape == env.batch_shape + env.action_shape
    assert torch.equal(log_prob, pi.log_prob(drawn)) and not log_prob.requires_grad


def test_flat_gives_observations_one_axis():
    env = cartpole(3, n_seeds=2)
    assert flat(env.obs, env).shape == (2, 3, 4)
    env.obs_shape = (2, 2)
    assert torch.equal(flat(env.obs.reshape(2, 3, 2, 2), env), env.obs)


@pytest.mark.parametrize("count", [1, 7, 500])
def test_fill_stores_exactly_the_count_of_real_transitions(count):
    env, steps = VectorEnv("CartPole-v1", 8, n_seeds=3, seed=1), []
    real = env.step
    env.step = lambda action: steps.append((real(action), action)) or steps[-1][0]
    buffer = buffer_for(env)
    fill(buffer, env, (0.3, 0.7), count, rng())
    assert buffer.lengths == [count] * 3
    for seed in range(3):
        stored = buffer.all(seed)
        valid = torch.cat([step.valid[seed] for step, _ in steps])
        for name in ("obs", "reward", "next_obs", "terminated"):
            happened = torch.cat([getattr(step, name)[seed] for step, _ in steps])[valid][:count]
            assert torch.equal(getattr(stored, name), happened)
        assert torch.equal(stored.action, torch.cat([action[seed] for _, action in steps])[valid][:count])
        torch.testing.assert_close(stored.log_prob, torch.tensor([0.3, 0.7]).log()[stored.action])
        assert (stored.reward == 1).all()  # 0 would be a row in which the environment only reset itself
    fill(buffer, env, None, 5, rng())
    assert buffer.lengths == [count + 5] * 3


def test_fill_keeps_a_time_limit_apart_from_a_termination():
    env = VectorEnv("CartPole-v1", 4, n_seeds=2, max_episode_steps=5)
    buffer = buffer_for(env)
    fill(buffer, env, None, 200, rng())
    assert not buffer.all().terminated.any()  # no pole falls within five steps
    env = VectorEnv("CartPole-v1", 4, n_seeds=2, max_episode_steps=50)
    fill(buffer, env, (1.0, 0.0), 200, rng())
    assert buffer.all().terminated.any()


def by_hand(env_id, act, first_obs, set_state):
    """One episode of a plain environment, from a state that is given; its return."""
    env = gymnasium.make(env_id)
    env.reset(seed=0)
    obs, total, ended = set_state(env, first_obs), 0.0, False
    while not ended:
        obs, reward, terminated, truncated, _ = env.step(act(obs))
        total, ended = total + float(reward), terminated or truncated
    return total


def set_cartpole(env, obs):
    env.unwrapped.state = np.array(obs, np.float64)
    return np.array(obs, np.float32)


def set_pendulum(env, obs):
    env.unwrapped.state = np.array([math.atan2(obs[1], obs[0]), obs[2]])
    return np.array(obs, np.float32)


@pytest.mark.parametrize(
    ("env_id", "policy", "set_state", "tolerance"),
    [
        ("CartPole-v1", CategoricalPolicy(4, 2, (8,), n_seeds=2, generator=rng(4), out_gain=9.0), set_cartpole, 0.0),
        (
            "Pendulum-v1",
            TanhGaussianPolicy(3, [-2.0], [2.0], (8,), n_seeds=2, generator=rng(4), out_gain=5.0),
            set_pendulum,
            1e-2,
        ),
    ],
)
def test_evaluate_is_one_episode_of_the_most_probable_actions(env_id, policy, set_state, tolerance):
    env, starts = VectorEnv(env_id, 3, n_seeds=2, seed=5), []
    reset = env.reset
    env.reset = lambda: starts.append(reset()) or starts[-1]
    returns = evaluate(policy, env)
    assert returns.shape == (2, 3) and not returns.requires_grad and len(starts) == 1
    for seed in range(2):
        alone = policy.of_seed(seed)
        for place in range(3):
            wanted = by_hand(env_id, alone.act, starts[0][seed, place].tolist(), set_state)
            assert returns[seed, place].item() == pytest.approx(wanted, rel=tolerance)
    assert env.pop_episodes() == []


def test_evaluate_counts_the_first_episode_only_and_at_most_max_steps():
    """Seed 0 falls at once, seed 1 balances: meanwhile seed 0 plays many episodes, of which one counts."""
    policy = CategoricalPolicy(4, 2, (), n_seeds=2, generator=rng())
    with torch.no_grad():
        policy.net.theta.zero_()
        ((weight, bias),) = policy.net.layers()
        bias[0, 0] = 1.0  # always to the left
        weight[1, 1] = torch.tensor([0.0, 0.0, 1.0, 0.5])  # to the side the pole is falling to
        weight[1, 0] = -weight[1, 1]
    env = cartpole(4, n_seeds=2, seed=2)
    for _ in range(3):  # in the middle of an episode: evaluate starts new ones
        env.step(torch.zeros(2, 4, dtype=torch.int64))
    returns = evaluate(policy, env)
    assert 8 <= returns[0].min() and returns[0].max() <= 11 and returns[1].tolist() == [500.0] * 4
    assert evaluate(policy, env, max_steps=30)[1].tolist() == [30.0] * 4
    with pytest.raises(ValueError, match="max_steps must be at least 1, got 0"):
        evaluate(policy, env, max_steps=0)


def test_evaluate_with_a_generator_draws_the_actions():
    policy, env = (
        CategoricalPolicy(4, 2, generator=torch.Generator().manual_seed(0)),
        VectorEnv("CartPole-v1", 6, seed=0),
    )
    drawn = [
        evaluate(policy, VectorEnv("CartPole-v1", 6, seed=0), generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], evaluate(policy, env))
