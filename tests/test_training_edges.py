"""Training where something goes wrong, or could: each case was once an error, a silence or a wrong answer."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from offac_lite import equations, updates
from offac_lite.buffer import ReplayBuffer
from offac_lite.envs import VectorEnv
from offac_lite.networks import CategoricalPolicy, ContinuousQCritic, TanhGaussianPolicy
from offac_lite.play import fill
from offac_lite.run import Run
from offac_lite.training import Learner, train
from tests import rng

SMALL = dict(
    seeds=2,
    total_steps=400,
    random_steps=40,
    batch_size=16,
    n_envs=4,
    hidden=(8,),
    evaluations=2,
    eval_episodes=2,
)


def small(progress=False, **options):
    return train(progress=progress, **SMALL | options)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_seed_that_stays_infinite_does_not_stop_the_others_from_learning():
    calls = []

    def target(*given):
        calls.append(1)
        y = equations.q_target(*given)
        return y if len(calls) < 40 else y.where(torch.tensor([[True], [False], [True]]), torch.inf)

    learner = Learner(**SMALL | {"seeds": 3, "q_target": target})
    for n in learner:
        if n == 60:
            before = learner.agent.policy.net.theta.detach().clone()
    assert list(learner.run.stopped) == [1]
    assert (learner.agent.policy.net.theta != before)[[0, 2]].any(1).all()


def nan_gradient(at):
    calls = []

    def loss(log_prob, advantage):
        calls.append(1)
        right = equations.policy_gradient_loss(log_prob, advantage)
        if len(calls) != at + 1:
            return right
        return right + (log_prob[1] * 0).sum().sqrt() * torch.tensor([0.0, 1.0])  # finite; its gradient is inf · 0

    return loss


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_a_seed_may_break_in_the_update_before_an_evaluation(env_id):
    run = small(env_id=env_id, policy_gradient_loss=nan_gradient(10), evaluations=10)
    assert list(run.stopped) == [1] and torch.isfinite(run.returns[0]).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_first_critic_step_may_be_infinite():
    assert set(small(reward_scale=1e38).stopped) == {0, 1}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_parameters_that_are_finite_but_overflow_stop_a_seed_too():
    assert set(small(actor_lr=1e30, critic_lr=1e30).stopped) == {0, 1}


def test_every_curve_has_a_column_per_evaluation():
    run = small(random_steps=200, evaluations=4)
    assert {name: curve.shape for name, curve in run.log.items()} == dict.fromkeys(run.log, run.returns.shape)


class Box2(gymnasium.Env):
    def __init__(self, shape):
        self.observation_space, self.action_space = Box(-1.0, 1.0, (2, 3)), Box(-1.0, 1.0, shape)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros((2, 3), np.float32), {}

    def step(self, action):
        return np.zeros((2, 3), np.float32), 1.0, bool(self.np_random.random() < 0.3), False, {}


for name, shape in (("Square", (2, 2)), ("Scalar", ()), ("Plain", (2,))):
    gymnasium.register(f"Fail{name}-v0", Box2, kwargs={"shape": shape}, disable_env_checker=True)


@pytest.mark.parametrize("name", ["Square", "Scalar"])
def test_box_actions_of_any_shape(name):
    """Or else a ValueError from Learner(...)."""
    small(env_id=f"Fail{name}-v0")


def test_act_takes_an_observation_as_the_environment_gives_it():
    policy = small(env_id="FailPlain-v0", total_steps=80).policy
    assert policy.of_seed(0).act(np.zeros((2, 3))).shape == (2,)


class NaNs(gymnasium.Env):
    """Observes NaN after so many steps, or at once."""

    observation_space, action_space = Box(-np.inf, np.inf, (2,), np.float32), gymnasium.spaces.Discrete(2)

    def __init__(self, when):
        self.when = when

    def seen(self):
        return np.full(2, np.nan if self.t == self.when else self.t, np.float32), {}

    def reset(self, seed=None, options=None):
        self.t = 0
        return self.seen()

    def step(self, action):
        self.t += 1
        obs, info = self.seen()
        return obs, 1.0, self.t >= 20, False, info


@pytest.mark.filterwarnings("error")  # no seed is said to have broken
@pytest.mark.parametrize(("when", "message"), [(15, "next_obs holds NaN"), (0, "the observations, are not finite")])
def test_an_environment_that_gives_nan_is_named_and_ends_the_run(when, message):
    gymnasium.register(f"NaN{when}-v0", NaNs, kwargs={"when": when}, disable_env_checker=True)
    with pytest.raises(ValueError, match=message):
        small(env_id=f"NaN{when}-v0", obs_scale=1.0, random_steps=0)


def test_room_for_one_step_of_all_environments():
    refused("capacity must be at least 8", capacity=4, batch_size=4, n_envs=8)
    refused(
        "batch_size = 4 is less than n_envs = 8", batch_size=4, n_envs=8, on_policy=True, critic="v", action="stored"
    )


def test_the_longest_ring_of_old_data_must_fit():
    buffer = ReplayBuffer(500, (4,), n_seeds=2)
    ones, zeros = torch.ones(2, 300, 4), torch.zeros(2, 300)
    valid = torch.arange(300).expand(2, -1) < torch.tensor([[300], [200]])
    buffer.add(ones, zeros.long(), zeros, ones, zeros.bool(), valid=valid)
    refused("prefill has 300 transitions per seed, more than capacity = 250", prefill=buffer, capacity=250)


@pytest.fixture(scope="module")
def reparameterized():
    return small(env_id="Pendulum-v1", gradient="reparameterized", action_samples=1)


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["value", "leave-one-out", None])
def test_the_reparameterised_gradient_takes_no_notice_of_a_baseline(baseline, reparameterized):
    options = dict(env_id="Pendulum-v1", gradient="reparameterized", action_samples=1)
    assert torch.equal(small(**options, baseline=baseline).returns, reparameterized.returns)


def refused(name, error=(TypeError, ValueError), **options):
    with pytest.raises(error, match=name):
        Learner(**{"seeds": 2, "total_steps": 4000} | options)


STORED = {"env_id": "Pendulum-v1", "action": "stored", "entropy_bonus": 0}


@pytest.mark.parametrize("name", ["action_samples", "next_action_samples"])
def test_all_actions_of_a_continuous_environment(name):
    refused(name, **STORED, **{name: "all"})


def old(action=0, dtype=torch.int64, shape=(), obs=4, n=300, log_prob=0.0):
    b, z = ReplayBuffer(500, (obs,), shape, action_dtype=dtype), torch.zeros(n)
    o = torch.ones(n, obs)
    b.add(o, torch.full((n, *shape), action, dtype=dtype), z, o, z.bool(), None if log_prob is None else z)
    return b


@pytest.mark.parametrize(
    "options",
    [
        {"prefill": old(log_prob=None), "action": "importance"},
        {"prefill": old(action=7)},
        {"prefill": old(action=7, dtype=torch.float32, shape=(1,), obs=3), "env_id": "Pendulum-v1"},
        {"prefill": old(dtype=torch.float32)},
        {"prefill": old(), "capacity": 150},
        {"prefill": (lambda obs: obs, 500)},
        {"prefill": (CategoricalPolicy(4, 3, generator=rng()), 500)},
        {"prefill": (CategoricalPolicy(3, 2, generator=rng()), 500)},
    ],
    ids=["no log_prob", "range", "bounds", "dtype", "capacity", "function", "actions", "obs"],
)
def test_prefill_is_named_before_anything_runs(options):
    refused("prefill", **options)


@pytest.mark.parametrize("device", ["nonsense", "cuda:77", "", 3])
def test_device(device):
    refused("device", device=device)


@pytest.mark.parametrize("env_id", ["", "a b", "no_module:CartPole-v1"])
def test_env_id(env_id):
    refused("env_id", env_id=env_id)


def test_a_run_that_could_never_learn():
    refused("random_steps", total_steps=800, random_steps=1000)


def test_random_steps_on_policy():
    refused("random_steps", critic="v", action="stored", on_policy=True, random_steps=500)


@pytest.mark.slow
def test_on_policy_wastes_no_data():
    used = []
    learner = Learner(
        critic="v",
        action="stored",
        on_policy=True,
        seeds=16,
        n_envs=1,
        total_steps=4000,
        batch_size=64,
        evaluations=1,
        eval_episodes=1,
    )
    for _ in learner:
        if learner.batch is not None:
            used.append(learner.batch)
            learner.batch = None
    assert len(used) > 0.85 * 4000 / 64


@pytest.mark.parametrize("options", [{"tau": np.float32(0.1)}, {"seed": np.int64(3)}, {"device": torch.device("cpu")}])
def test_a_loaded_config_can_be_run_again(options, tmp_path):
    small(**options, total_steps=80).save(tmp_path / "run")
    train(Run.load(tmp_path / "run").config, progress=False)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("leave_one_out", {}),
        ("v_target", {}),
        ("q_target", {"critic": "v", "action": "stored"}),
        ("policy_gradient_loss", {"action_samples": "all"}),
        ("policy_gradient_loss", {"resampled_loss": lambda p, c, o, a, k, g: p(o).log_prob(a).mean()}),
    ],
)
def test_a_function_that_would_never_be_called(name, options):
    refused(name, **options, **{name: getattr(equations, name)})


@pytest.mark.parametrize(
    "own",
    [
        {"policy_gradient_loss": lambda p, a: -(p.detach() * a).mean((-2, -1))},
        {"resampled_loss": lambda p, c, o, a, k, g: -c(o, a).mean()},
    ],
)
def test_a_loss_that_does_not_reach_the_policy(own):
    refused("gradient", **own)


def test_changing_a_function_of_the_config_takes_effect():
    calls, learner = [], Learner(**SMALL)
    for n in learner:
        if n == 50:
            learner.config = replace(
                learner.config, q_target=lambda *given: calls.append(1) or equations.q_target(*given)
            )
    assert calls


@pytest.mark.slow
def test_evaluating_changes_nothing():
    runs = [small(env_id="Pendulum-v1", total_steps=160, evaluations=n) for n in (1, 4)]
    assert torch.equal(runs[0].policy.net.theta, runs[1].policy.net.theta)


def test_a_frozen_critic_stays_frozen():
    policy, critic = TanhGaussianPolicy(2, [-1.0], [1.0], generator=rng()), ContinuousQCritic(2, 1, generator=rng())
    critic.requires_grad_(False)
    sgd = torch.optim.SGD(policy.parameters(), 0.1)
    updates.reparameterized_actor_step(policy, critic, sgd, torch.zeros(3, 2), generator=rng())
    assert not any(p.requires_grad for p in critic.parameters())


@pytest.mark.parametrize("scale", [0, (1, 1, 1, 0), -1, True, 1e39])
def test_obs_scale(scale):
    refused("obs_scale", obs_scale=scale)


def test_fill_without_an_axis_of_seeds():
    buffer = ReplayBuffer(100, (4,))
    fill(buffer, VectorEnv("CartPole-v1", 4), None, 10, rng())
    assert len(buffer) == 10


def test_evaluations_are_as_many_as_asked_for():
    refused("evaluations", total_steps=400, random_steps=0, evaluations=1000)


def test_memory():
    refused("total_steps|capacity", total_steps=10**12)


def test_a_training_that_never_had_a_whole_batch_says_so():
    """An environment's step from an end to the next start is no transition: 400 steps are somewhat fewer."""
    with pytest.warns(RuntimeWarning, match="nothing was learned: there never were batch_size transitions"):
        run = small(batch_size=400)
    assert run.steps.tolist() == [200, 400] and not run.interrupted


@pytest.mark.parametrize(
    ("option", "function", "words"),
    [
        ("q_target", lambda *given: 1 / 0, "q_target raised ZeroDivisionError on a small batch: division by zero"),
        (
            "policy_gradient_loss",
            lambda log_prob, weight: (log_prob - log_prob.detach()).sqrt().mean((-1, -2)),
            "policy_gradient_loss returned a loss whose gradient holds NaN or infinity",
        ),
    ],
)
def test_a_function_of_your_own_that_fails_is_named_before_anything_runs(option, function, words):
    with pytest.raises(ValueError, match=words):
        small(**{option: function})
