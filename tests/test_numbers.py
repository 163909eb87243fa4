"""Numbers that float32 cannot hold: refused in words, and never rounded in silence."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from offac_lite import ReplayBuffer, train
from offac_lite.envs import VectorEnv, rounding
from offac_lite.networks import CategoricalPolicy

SHORT = {"seeds": 2, "total_steps": 200, "evaluations": 1, "eval_episodes": 2, "n_envs": 2, "progress": False}
SHORT |= {"random_steps": 50, "batch_size": 32}


class Counter(gymnasium.Env):
    """Its observation is a whole number, and its actions have the bounds that a test chooses."""

    def __init__(self, start=0, low=(-1.0,), high=(1.0,), dtype=np.float32):
        self.observation_space = Box(-(2**40), 2**40, (1,), np.int64)
        self.action_space = Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)
        self.start = start

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.array([self.start]), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return np.array([self.start + 1]), 1.0, True, False, {}


@pytest.fixture
def counter():
    gymnasium.register("Counter-v0", entry_point=Counter)
    yield "Counter-v0"
    del gymnasium.registry["Counter-v0"]


def test_integer_observations_are_exact_or_refused(counter):
    env = VectorEnv(counter, 2, start=2**24 - 1)
    assert env.reset().tolist() == [[2**24 - 1]] * 2
    assert env.step(torch.zeros(2, 1)).next_obs.tolist() == [[2**24]] * 2
    for start in (2**24, -(2**24) - 2, 2**31 + 1):
        env = VectorEnv(counter, 2, start=start)
        with pytest.raises(ValueError, match="an observation of Counter-v0 holds integers beyond 16777216 = 2.{2}24"):
            env.reset()
            env.step(torch.zeros(2, 1))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_integers_in_a_float32_field_of_the_buffer_are_exact_or_refused(dtype):
    buffer, top = ReplayBuffer(10, (1,)), min(2**24, torch.iinfo(dtype).max)
    buffer.add(torch.tensor([top], dtype=dtype), 0, top, [-top], False)
    assert buffer.all().obs.item() == buffer.all().reward.item() == -buffer.all().next_obs.item() == top
    right = {"obs": [0], "action": 0, "reward": 0, "next_obs": [0], "terminated": False}
    for name, value in {"obs": [2**24 + 1], "reward": 2**24 + 1, "next_obs": [-(2**40)]}.items():
        with pytest.raises(ValueError, match=f"{name} holds integers beyond 16777216"):
            buffer.add(**right | {name: value})
    assert len(buffer) == 1


def test_an_agent_does_not_round_integers_either():
    policy = CategoricalPolicy(1, 2, generator=torch.Generator().manual_seed(0))
    policy.act([2**24])
    for obs in ([2**24 + 1], np.array([2**40]), torch.tensor([-(2**25)])):
        with pytest.raises(ValueError, match="obs holds integers beyond 16777216"):
            policy.act(obs)
    with pytest.raises(ValueError, match="obs holds a number that is too large for torch.float32"):
        policy.act([10**400])


@pytest.mark.parametrize("high", [1e-3, 0.1, 1.0, 77.7, 4096.1, 65536.7, 1e9])
def test_the_bounds_of_an_environment_are_in_range_and_a_hundredth_beyond_is_not(counter, high):
    env = VectorEnv(counter, 2, low=[-high], high=[high], dtype=np.float64)
    env.reset()
    env.step(env.action_high.expand(2, 1))
    env.step(env.action_low.expand(2, 1))
    for outside in (1.01 * high, -1.01 * high):
        with pytest.raises(ValueError, match="action holds .* wanted"):
            env.step(torch.full((2, 1), outside, dtype=torch.float64))


def test_a_bound_on_one_side_holds_on_that_side(counter):
    env = VectorEnv(counter, 2, low=[0.0], high=[np.inf])
    env.reset()
    env.step(torch.tensor([[0.0], [1e30]]))
    with pytest.raises(ValueError, match="action holds -0.001 to 5"):
        env.step(torch.tensor([[-0.001], [5.0]]))


def test_what_float32_makes_of_a_bound_lies_within_the_rounding():
    generator = np.random.default_rng(0)
    low = generator.normal(size=1000) * 10 ** generator.uniform(-6, 6, 1000)
    high = low + 10 ** generator.uniform(-6, 6, 1000)
    for bound in (low, high):
        assert (np.abs(bound.astype(np.float32) - bound) <= rounding(low, high)).all()
    assert (rounding(low, high) <= 1e-5 * (high - low) + 1e-6 * np.maximum(abs(low), abs(high))).all()


@pytest.mark.filterwarnings("ignore:.*A Box action space maximum and minimum values are equal")
@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        ([0.0, 0.0], [0.0, 1.0], np.float32),
        ([-3.4e38], [3.4e38], np.float32),
        ([-1e300], [1e300], np.float64),
        ([1e8], [1e8 + 1], np.float64),  # two numbers in float64, one in float32
        ([0.0], [np.inf], np.float32),
    ],
)
def test_an_impossible_action_space_is_named_before_anything_runs(counter, low, high, dtype, monkeypatch):
    spec = gymnasium.spec(counter)
    monkeypatch.setattr(spec, "kwargs", {"low": low, "high": high, "dtype": dtype})
    monkeypatch.setattr(Counter, "reset", None)
    with pytest.raises(ValueError, match="the actions of Counter-v0 reach from .* finite bounds, with low < high"):
        train(counter, **SHORT)


def test_old_data_may_hold_the_bounds_of_wide_actions(counter, monkeypatch):
    monkeypatch.setattr(gymnasium.spec(counter), "kwargs", {"low": [-4096.1], "high": [4096.1], "dtype": np.float64})
    old = ReplayBuffer(10, (1,), (1,))
    old.add(torch.zeros(4, 1), torch.full((4, 1), 4096.1), torch.ones(4), torch.ones(4, 1), [True] * 4)
    assert train(counter, **SHORT, prefill=old).returns.isfinite().all()
    old.add([0.0], [4100.0], 1.0, [1.0], True)
    with pytest.raises(ValueError, match="prefill holds actions from 4096.1 to 4100"):
        train(counter, **SHORT, prefill=old)


def test_a_discrete_action_is_never_rounded():
    env = VectorEnv("CartPole-v1", 1)
    env.reset()
    assert isinstance(env.gym_env.single_action_space, Discrete)
    with pytest.raises(TypeError, match="action must hold integers"):
        env.step([0.0])
