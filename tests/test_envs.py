"""Vector environments step for step against single ones, across the ends of episodes, and what must be refused."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from offac_lite.buffer import ReplayBuffer
from offac_lite.envs import Episode, VectorEnv, recent_returns, recently_delivered


def balance(obs):
    """Push towards the side the pole is falling to: keeps CartPole up for 500 steps."""
    return (obs[..., 2] + 0.5 * obs[..., 3] > 0).long()


def random_actions(env, generator):
    if env.n_actions:
        return torch.randint(env.n_actions, env.batch_shape, generator=generator)
    uniform = torch.rand(env.batch_shape + env.action_shape, generator=generator)
    return env.action_low + (env.action_high - env.action_low) * uniform


def collect(env, buffer, steps, policy):
    """A notebook's loop; returns all steps, also those that are not stored."""
    history = []
    env.reset()
    for _ in range(steps):
        action = policy(env.obs)
        step = env.step(action)
        buffer.add(step.obs, action, step.reward, step.next_obs, step.terminated, valid=step.valid)
        history.append(step)
    return history


def buffer_for(env, capacity=20_000):
    return ReplayBuffer(
        capacity,
        env.obs_shape,
        env.action_shape,
        n_seeds=env.n_seeds,
        obs_dtype=env.obs_dtype,
        action_dtype=env.action_dtype,
    )


def test_cartpole_s_own_form_agrees_with_the_single_environment():
    """Four pairs: two fall by random pushes, two balance to the limit of 500 steps and go on."""
    n, steps, generator = 4, 560, torch.Generator().manual_seed(0)
    env = VectorEnv("CartPole-v1", n, seed=5)
    singles = [gymnasium.make("CartPole-v1") for _ in range(n)]
    env.reset()

    def copy_state(i):
        singles[i].reset()
        singles[i].unwrapped.state = env.gym_env.state[:, i].copy()

    for i in range(n):
        copy_state(i)
    ended = np.zeros((n, 2), int)
    for _ in range(steps):
        action = torch.where(torch.arange(n) < 2, random_actions(env, generator), balance(env.obs))
        step = env.step(action)
        for i, single in enumerate(singles):
            if not step.valid[i]:
                assert step.reward[i] == 0 and not step.terminated[i] and not step.truncated[i]
                assert (step.next_obs[i].abs() <= 0.05).all(), "the first observation of the next episode"
                copy_state(i)
                continue
            obs, reward, terminated, truncated, _ = single.step(int(action[i]))
            np.testing.assert_allclose(step.next_obs[i], obs, rtol=0, atol=1e-6)
            assert step.reward[i] == reward == 1.0, "the step in which the pole falls is rewarded too"
            assert (step.terminated[i], step.truncated[i]) == (terminated, truncated)
            ended[i] += [terminated, truncated]
    assert (ended[:2, 0] > 5).all() and (ended[:2, 1] == 0).all()
    assert (ended[2:] == [0, 1]).all(), "one truncation each, after 500 steps, and no termination"
    lengths = {episode.length for episode in env.pop_episodes() if episode.env >= 2}
    assert lengths == {500}


@pytest.mark.parametrize(
    ("env_id", "kwargs", "steps", "ends"),
    [
        ("CartPole-v1", {"vectorization_mode": "sync"}, 90, (True, False)),
        (
            "CartPole-v1",
            {"vectorization_mode": "sync", "sutton_barto_reward": True, "max_episode_steps": 20},
            60,
            (True, True),
        ),
        ("Pendulum-v1", {}, 410, (False, True)),
        ("FrozenLake-v1", {}, 250, (True, False)),
        ("FrozenLake-v1", {"is_slippery": False, "max_episode_steps": 4}, 60, (True, True)),
    ],
)
def test_loop_agrees_with_single_environments(env_id, kwargs, steps, ends):
    """The same seeds and actions; a single environment is reset by hand where the vector one resets itself."""
    env, generator = VectorEnv(env_id, 3, n_seeds=2, seed=1, **kwargs), torch.Generator().manual_seed(1)
    first = env.reset().reshape(6, *env.obs_shape)
    kwargs = {name: value for name, value in kwargs.items() if name != "vectorization_mode"}
    singles = [gymnasium.make(env_id, **kwargs) for _ in range(6)]
    for i, single in enumerate(singles):
        obs, _ = single.reset(seed=env.gym_env.np_random_seed[i])
        np.testing.assert_array_equal(first[i], obs)
    ended = np.zeros(2, int)
    for _ in range(steps):
        before, action = env.obs, random_actions(env, generator)
        step = env.step(action)
        assert step.obs is before and env.obs is step.next_obs
        flat = [field.reshape(6, *field.shape[2:]) for field in (*step, action)]
        for i, single in enumerate(singles):
            _, reward, next_obs, terminated, truncated, valid, act = (field[i] for field in flat)
            if valid:
                wanted = single.step(act.item() if env.n_actions else act.numpy())
                np.testing.assert_array_equal(next_obs, wanted[0])
                assert reward == np.float32(wanted[1]) and (terminated, truncated) == wanted[2:4]
                ended += wanted[2:4]
            else:
                np.testing.assert_array_equal(next_obs, single.reset()[0])
                assert (reward, terminated, truncated) == (0, False, False)
    assert ((ended > 0) == ends).all(), "terminations and truncations that the test is meant to meet"


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("CartPole-v1", {}),
        ("CartPole-v1", {"vectorization_mode": "sync"}),
        ("CartPole-v1", {"max_episode_steps": 15}),
        ("Pendulum-v1", {"max_episode_steps": 25}),
        ("FrozenLake-v1", {"max_episode_steps": 7}),
    ],
)
@pytest.mark.parametrize("n_seeds", [None, 2])
def test_stored_rows_chain_within_episodes_and_autoreset_rows_are_left_out(env_id, kwargs, n_seeds):
    """One environment per ring, so that a ring is that environment's history."""
    generator = torch.Generator().manual_seed(2)
    env = VectorEnv(env_id, 1, n_seeds=n_seeds, **kwargs)
    buffer = buffer_for(env)
    history = collect(env, buffer, 200, lambda obs: random_actions(env, generator))
    valid, terminated, truncated = (
        torch.stack([getattr(step, name) for step in history]).reshape(200, -1)
        for name in ("valid", "terminated", "truncated")
    )
    ended = terminated | truncated
    assert torch.equal(~valid[1:], ended[:-1]) and valid[0].all(), "left out: exactly the step after each end"
    for ring in range(n_seeds or 1):
        rows, kept = buffer.all(ring), valid[:, ring]
        ends = ended[kept, ring][:-1]
        assert ends.sum() > 3
        assert torch.equal(rows.terminated, terminated[kept, ring])
        follows = (rows.next_obs[:-1] == rows.obs[1:]).reshape(len(ends), -1).all(1)
        assert follows[~ends].all(), "within an episode next_obs is the obs of the following row"
        if env_id != "FrozenLake-v1":  # (where an episode may end on the square on which the next one starts)
            assert not follows[ends].any(), "across an end it is not: next_obs is the final observation"


@pytest.mark.parametrize(
    ("env_id", "kwargs"), [("CartPole-v1", {}), ("CartPole-v1", {"vectorization_mode": "sync"}), ("Pendulum-v1", {})]
)
def test_truncation_is_no_termination_and_keeps_the_true_successor(env_id, kwargs):
    limit = 12
    env = VectorEnv(env_id, 3, max_episode_steps=limit, seed=3, **kwargs)
    env.reset()
    choose = balance if env_id == "CartPole-v1" else lambda obs: torch.zeros(3, 1)
    steps = [env.step(choose(env.obs)) for _ in range(limit + 2)]
    assert not any(step.terminated.any() for step in steps)
    assert [t for t, step in enumerate(steps) if step.truncated.all()] == [limit - 1]
    assert [t for t, step in enumerate(steps) if not step.valid.all()] == [limit]
    last, reset, after = steps[limit - 1 :]
    assert torch.equal(last.next_obs, reset.obs) and torch.equal(reset.next_obs, after.obs)
    move, jump = ((step.next_obs - step.obs).abs().amax(1) for step in (last, reset))
    if env_id == "Pendulum-v1":
        speed = torch.atan2(last.next_obs[:, 1], last.next_obs[:, 0]) - torch.atan2(last.obs[:, 1], last.obs[:, 0])
        turned = torch.remainder(speed + np.pi, 2 * np.pi) - np.pi
        assert torch.allclose(turned, 0.05 * last.next_obs[:, 2], atol=1e-5), "the physics' own next state"
    else:
        assert torch.allclose(last.next_obs[:, 0], last.obs[:, 0] + 0.02 * last.obs[:, 1], atol=1e-6)
    assert (jump != move).all()


def test_episodes_are_counted_per_seed_and_environment():
    env, generator = VectorEnv("CartPole-v1", 3, n_seeds=2, seed=0), torch.Generator().manual_seed(0)
    env.reset()
    running, wanted = np.zeros((2, 3)), []
    for _ in range(120):
        step = env.step(random_actions(env, generator))
        running += step.reward.numpy()
        for s, e in zip(*np.nonzero((step.terminated | step.truncated).numpy()), strict=True):
            wanted.append(Episode(int(s), int(e), running[s, e], int(running[s, e])))
            running[s, e] = 0
    episodes = env.pop_episodes()
    assert episodes == wanted and len(episodes) > 10
    assert {episode[:2] for episode in episodes} == {(s, e) for s in (0, 1) for e in range(3)}
    assert env.pop_episodes() == []
    env.reset()
    env.step(torch.zeros(2, 3, dtype=torch.int64))
    env.reset()
    assert env.pop_episodes() == [], "an episode cut off by reset is not finished"
    taken = 0
    while not (episodes := env.pop_episodes()):
        env.step(torch.zeros(2, 3, dtype=torch.int64))
        taken += 1
    assert episodes[0].length == episodes[0].episode_return == taken, "and is not counted into the next"


def test_recent_returns_average_each_seed_s_last_episodes():
    episodes = [Episode(seed, 0, value, 1) for seed, value in ((1, 100.0), (1, 1.0), (0, 5.0), (1, 3.0))]
    assert recent_returns(episodes, n_seeds=2, last=2).tolist() == [5.0, 2.0]
    assert recent_returns(episodes, n_seeds=3, last=1)[:2].tolist() == [5.0, 3.0]
    assert recent_returns(episodes, n_seeds=3)[2].isnan()


def test_what_was_delivered_is_the_mean_discounted_reward_of_each_seed_s_last_ten_episodes():
    episodes = [Episode(0, 0, 99.0, 99), Episode(2, 0, 1.0, 1), *[Episode(0, 0, 3.0, 3)] * 10]
    found = recently_delivered(episodes, n_seeds=3, gamma=0.5)
    assert found[0] == pytest.approx((1.75 + 1.5 + 1) / 3) and found[1].isnan() and found[2] == 1


def rollout(env, steps=40, reset_seed=None):
    """Observations under a fixed action sequence that depends on the step alone."""
    seen = [env.reset(reset_seed)]
    for t in range(steps):
        action = torch.full(env.batch_shape, t // 3 % 2) if env.n_actions else torch.full((*env.batch_shape, 1), 0.5)
        seen.append(env.step(action).next_obs)
    return torch.stack(seen)


@pytest.mark.parametrize("kwargs", [{}, {"vectorization_mode": "sync"}], ids=["own form", "loop"])
def test_one_number_reproduces_everything(kwargs):
    first, second = (rollout(VectorEnv("CartPole-v1", 2, n_seeds=2, seed=7, **kwargs)) for _ in range(2))
    other = rollout(VectorEnv("CartPole-v1", 2, n_seeds=2, seed=8, **kwargs))
    assert torch.equal(first, second)
    assert not (first == other).any(), "neighbouring seeds share no environment"
    again = VectorEnv("CartPole-v1", 2, n_seeds=2, seed=8, **kwargs)
    start = again.reset()
    assert not torch.equal(start, again.reset()), "later resets go on with the stream"
    assert torch.equal(rollout(again, reset_seed=7), first)
    assert len(first[0].reshape(-1, 4).unique(dim=0)) == 4, "every environment starts elsewhere"


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_in_a_loop_a_slice_does_not_depend_on_the_others(env_id):
    kwargs = {"vectorization_mode": "sync", "max_episode_steps": 15, "seed": 4}
    three = rollout(VectorEnv(env_id, 2, n_seeds=3, **kwargs))
    assert torch.equal(rollout(VectorEnv(env_id, 2, n_seeds=2, **kwargs)), three[:, :2])
    assert torch.equal(rollout(VectorEnv(env_id, 2, **kwargs)), three[:, 0])
    assert torch.equal(rollout(VectorEnv(env_id, 5, n_seeds=3, **kwargs))[:, :, :2], three)


@pytest.mark.parametrize(
    ("env_id", "obs", "action", "n_obs", "n_actions"),
    [
        ("CartPole-v1", ((4,), torch.float32), ((), torch.int64), None, 2),
        ("Pendulum-v1", ((3,), torch.float32), ((1,), torch.float32), None, None),
        ("FrozenLake-v1", ((), torch.int64), ((), torch.int64), 16, 4),
    ],
)
@pytest.mark.parametrize("n_seeds", [None, 3])
def test_shapes_and_dtypes(env_id, obs, action, n_obs, n_actions, n_seeds):
    env = VectorEnv(env_id, 2, n_seeds=n_seeds)
    lead = (2,) if n_seeds is None else (3, 2)
    assert env.batch_shape == lead
    assert (env.obs_shape, env.obs_dtype) == obs and (env.action_shape, env.action_dtype) == action
    assert (env.n_obs, env.n_actions) == (n_obs, n_actions)
    if n_actions:
        assert (env.action_low.item(), env.action_high.item()) == (0, n_actions - 1)
    else:
        assert (env.action_low.tolist(), env.action_high.tolist()) == ([-2.0], [2.0])
    env.reset()
    step = env.step(random_actions(env, torch.Generator().manual_seed(0)))
    assert [tuple(f.shape) for f in step] == [lead + obs[0], lead, lead + obs[0], lead, lead, lead]
    assert [f.dtype for f in step] == [obs[1], torch.float32, obs[1], *[torch.bool] * 3]
    assert "n_envs=2" in repr(env) and env_id in repr(env)
    env.close()


NOT_COPIED = {"vector_kwargs": {"copy": False}}  # then only VectorEnv copies


@pytest.mark.parametrize(("env_id", "kwargs"), [("CartPole-v1", {}), ("Pendulum-v1", NOT_COPIED)])
def test_returned_tensors_do_not_change_in_later_steps(env_id, kwargs):
    env, generator = VectorEnv(env_id, 2, **kwargs), torch.Generator().manual_seed(0)
    env.reset()
    steps, copies = [], []
    for _ in range(5):
        steps.append(env.step(random_actions(env, generator)))
        copies.append([field.clone() for field in steps[-1]])
    for step, kept in zip(steps, copies, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(step, kept, strict=True))


class Odd(gymnasium.Env):
    """An environment whose spaces the test chooses."""

    def __init__(self, observation_space=None, action_space=None):
        self.observation_space = observation_space or gymnasium.spaces.Discrete(2)
        self.action_space = action_space or gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.fixture
def odd():
    gymnasium.register("Odd-v0", entry_point=Odd)
    yield "Odd-v0"
    del gymnasium.registry["Odd-v0"]


SPACES = gymnasium.spaces


@pytest.mark.parametrize(
    ("spaces", "message"),
    [
        (
            {"observation_space": SPACES.MultiBinary(3)},
            r"observation space of Odd-v0 is MultiBinary\(3\): only Box and",
        ),
        ({"observation_space": SPACES.Tuple([SPACES.Discrete(2)])}, "the observation space of Odd-v0 is Tuple"),
        (
            {"action_space": SPACES.MultiDiscrete([2, 3])},
            r"action space of Odd-v0 is MultiDiscrete\(\[2 3\]\): only Box",
        ),
        ({"action_space": SPACES.Discrete(2, start=1)}, r"is Discrete\(2, start=1\): only Box and Discrete \(from 0\)"),
        ({"action_space": SPACES.Box(0, 9, (2,), dtype=np.int64)}, "a Box must hold floating-point numbers"),
    ],
)
def test_unsupported_spaces(odd, spaces, message):
    with pytest.raises(ValueError, match=message):
        VectorEnv(odd, 2, **spaces)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_other_autoreset_modes(mode):
    with pytest.raises(ValueError, match=f"Pendulum-v1 resets with autoreset_mode = {mode}, but only .*NEXT_STEP"):
        VectorEnv("Pendulum-v1", 2, vector_kwargs={"autoreset_mode": mode})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"env_id": "CartPool-v1"}, ValueError, "'CartPool-v1' is not an environment Gymnasium knows: .*CartPole"),
        ({"env_id": "CartPole-v9"}, ValueError, "'CartPole-v9' is not an environment Gymnasium knows: .*version"),
        ({"env_id": None}, ValueError, "env_id = None cannot be made"),
        ({"n_envs": 0}, ValueError, "n_envs must be at least 1, got 0"),
        ({"n_envs": 2.0}, TypeError, "n_envs must be a whole number"),
        ({"n_seeds": 0}, ValueError, "n_seeds must be at least 1, got 0"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ],
)
def test_bad_constructor_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        VectorEnv(**({"env_id": "CartPole-v1", "n_envs": 2} | arguments))


def test_nothing_before_reset():
    env = VectorEnv("CartPole-v1", 2)
    for early in (lambda: env.obs, lambda: env.step(torch.zeros(2, dtype=torch.int64))):
        with pytest.raises(RuntimeError, match=r"call reset\(\) first"):
            early()


@pytest.mark.parametrize(
    ("env_id", "action", "error", "message"),
    [
        ("CartPole-v1", torch.zeros(2), TypeError, "action must hold integers for CartPole-v1, got float32"),
        ("CartPole-v1", torch.zeros(2).bool(), TypeError, "action must hold integers for CartPole-v1, got bool"),
        ("CartPole-v1", torch.zeros(2, 1).long(), ValueError, r"shape \(2, 1\), wanted \(2,\) = batch_shape"),
        ("CartPole-v1", torch.tensor(1), ValueError, r"action has shape \(\), wanted \(2,\)"),
        ("CartPole-v1", torch.tensor([0, 2]), ValueError, "action holds 0 to 2, wanted 0 to 1"),
        ("CartPole-v1", torch.tensor([-1, 0]), ValueError, "action holds -1 to 0, wanted 0 to 1"),
        ("Pendulum-v1", torch.zeros(2, 1).long(), TypeError, "floating-point numbers for Pendulum-v1, got int64"),
        ("Pendulum-v1", torch.zeros(2), ValueError, r"shape \(2,\), wanted \(2, 1\) = batch_shape \+ action_shape"),
        (
            "Pendulum-v1",
            torch.tensor([[0.0], [2.001]]),
            ValueError,
            r"action holds 0 to 2.001, wanted \[-2.0\] to \[2.0\]",
        ),
        ("Pendulum-v1", torch.tensor([[0.0], [np.nan]]), ValueError, r"wanted \[-2.0\] to \[2.0\]"),
    ],
)
def test_bad_actions_are_refused_and_leave_the_environments_where_they_were(env_id, action, error, message):
    env, untouched = VectorEnv(env_id, 2), VectorEnv(env_id, 2)
    env.reset(), untouched.reset()
    with pytest.raises(error, match=message):
        env.step(action)
    good = random_actions(env, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(env.step(good), untouched.step(good), strict=True))


def test_rounding_at_the_bounds_is_clipped_and_arrays_are_accepted(odd):
    env = VectorEnv(odd, 2, action_space=SPACES.Box(-2, 2, (1,)))
    env.reset()
    env.step(np.array([[2.000001], [-2.000001]]))  # the environment itself would refuse these


def test_an_unbounded_action_must_be_finite(odd):
    env = VectorEnv(odd, 2, action_space=SPACES.Box(-np.inf, np.inf, (1,)))
    env.reset()
    env.step(torch.tensor([[1e9], [-1e9]]))
    with pytest.raises(ValueError, match="action holds 0 to inf"):
        env.step(torch.tensor([[0.0], [np.inf]]))
