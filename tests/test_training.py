"""Training from end to end: the same bits again, what enters the buffer, what stops a seed, and whether it learns.

The last part trains on three tiny tasks whose best return is known. Each stands with updates that are broken in one
place, which must fail what the right ones pass.
"""

import copy
import math
import sys
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from offac_lite import equations, training, updates
from offac_lite.agent import Agent
from offac_lite.buffer import ReplayBuffer
from offac_lite.config import CARTPOLE, Config
from offac_lite.envs import VectorEnv
from offac_lite.networks import CategoricalPolicy
from offac_lite.play import fill
from offac_lite.run import Run
from offac_lite.training import Learner, train
from tests import rng


class Corridor(gymnasium.Env):
    """Three places; action 0, 1, 0 leads through them to 3. Any other ends the episode: with 1 at the first place.

    The observation after an end is that of the first place: who bootstraps from it believes to begin anew.
    """

    observation_space, action_space = Box(0.0, 1.0, (3,)), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return np.eye(3, dtype=np.float32)[0], {}

    def step(self, action):
        place, right = self.place, action == self.place % 2
        self.place = place + 1 if right and place < 2 else 0
        reward = (3.0 if place == 2 else 0.0) if right else float(place == 0)
        return np.eye(3, dtype=np.float32)[self.place], reward, self.place == 0, False, {}


class Rest(gymnasium.Env):
    """Stay (action 1) for 0.2 a step, for ever but for a time limit of one step; or leave (0) with 0.5 at once."""

    observation_space, action_space = Box(0.0, 1.0, (1,)), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        return np.ones(1, np.float32), 0.2 if action else 0.5, not action, False, {}


class Aim(gymnasium.Env):
    """One step: the nearer the action is to what the observation names, the better; 0 is best. Obs are (2, 1)."""

    observation_space, action_space = Box(-1.0, 1.0, (2, 1)), Box(np.float32([-2, 0]), np.float32([2, 5]))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.at[:, None], {}

    def step(self, action):
        low, high = self.action_space.low, self.action_space.high
        off = (action - low) / (high - low) * 2 - 1 - 0.6 * self.at
        return self.at[:, None], -float(np.square(off).sum()), True, False, {}


gymnasium.register("Corridor-v0", Corridor, disable_env_checker=True)
gymnasium.register("Rest-v0", Rest, max_episode_steps=1, disable_env_checker=True)
gymnasium.register("Aim-v0", Aim, disable_env_checker=True)

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
ON_POLICY = dict(critic="v", action="stored", on_policy=True, random_steps=0)


def small(progress=False, **options):
    return train(progress=progress, **SMALL | options)


def theta(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def assert_same(run, other):
    assert torch.equal(run.steps, other.steps) and torch.equal(run.returns, other.returns)
    assert run.log.keys() == other.log.keys()
    for name, curve in run.log.items():
        torch.testing.assert_close(curve, other.log[name], rtol=0, atol=0, equal_nan=True)
    assert torch.equal(theta(run.policy), theta(other.policy)) and torch.equal(theta(run.critic), theta(other.critic))


def test_batches_hold_the_newest_transitions_where_they_are_asked_for():
    """Old data is marked by its reward: with `newest` it is out of reach once that many transitions are collected."""
    old = ReplayBuffer(1_000, (4,))
    zeros, obs = torch.zeros(300), torch.zeros(300, 4)
    old.add(obs, zeros.long(), torch.full((300,), -7.0), obs, zeros.bool())
    options = SMALL | {"prefill": old, "random_steps": 0}
    learner, everything = Learner(**options, newest=20), Learner(**options)
    seen = [learner.batch.reward.min().item() for n in learner if n * SMALL["n_envs"] >= 20]
    assert min(seen) > 0 > min(everything.batch.reward.min().item() for _ in everything)


# ---------------------------------------------------------------- the same again


@pytest.mark.parametrize(
    "options",
    [
        {},
        ON_POLICY,
        {"prefill": ((0.25, 0.75), 50), "collect": False, "action": "importance"},
        {"env_id": "Aim-v0", "gradient": "reparameterized"},
        {"env_id": "Aim-v0", "twin": False},
    ],
    ids=["default", "on-policy", "old data", "reparameterized", "continuous"],
)
def test_the_same_arguments_give_the_same_run_bit_for_bit(options):
    options = {"total_steps": 200} | options
    run, state = small(**options), torch.get_rng_state()
    assert_same(run, small(**options))
    assert_same(run, train(run.config, progress=False))
    assert not torch.equal(theta(run.policy), theta(small(**options, seed=1).policy))
    assert torch.equal(state, torch.get_rng_state())


def test_a_run_is_more_than_its_first_seed():
    run = small(seeds=3)
    rows = run.policy.net.theta
    assert rows.shape[0] == 3 and not torch.equal(rows[0], rows[1]) and not torch.equal(rows[1], rows[2])
    assert run.returns.shape == (3, 2) and run.seconds > run.eval_seconds > 0 and not run.interrupted


def test_a_config_a_preset_or_a_name_and_changes_give_the_same_run():
    run = small()
    assert_same(run, train(Config(**SMALL), progress=False))
    assert_same(run, train("CartPole-v1", progress=False, **SMALL))
    assert_same(run, train(replace(CARTPOLE, seeds=9), progress=False, **SMALL))


def test_progress_is_shown_where_it_is_asked_for(capsys):
    small(total_steps=80, progress=True)
    shown = capsys.readouterr().err
    assert "CartPole-v1" in shown and "80/80" in shown and "median return" in shown
    small(total_steps=80)
    assert capsys.readouterr().err == ""


# ---------------------------------------------------------------- what is collected, and what is learned from


def recorded(learner):
    """Iterate over a learner, noting what its environments gave and the actions they took."""
    steps, real = [], learner.env.step
    learner.env.step = lambda action: steps.append((real(action), action)) or steps[-1][0]
    return steps


def test_every_real_transition_is_stored_as_it_happened():
    """Rest: staying is truncated and leaving terminated; in the next step the environment only resets itself."""
    learner = Learner(**SMALL | {"env_id": "Rest-v0"})
    steps = recorded(learner)
    for _ in learner:
        pass
    for seed in range(2):
        stored = learner.buffer.all(seed)
        valid = torch.cat([step.valid[seed] for step, _ in steps])
        assert len(stored.reward) == valid.sum() == 200  # the other half were resets
        for name in ("obs", "reward", "next_obs", "terminated"):
            assert torch.equal(getattr(stored, name), torch.cat([getattr(s, name)[seed] for s, _ in steps])[valid])
        assert torch.equal(stored.action, torch.cat([action[seed] for _, action in steps])[valid])
        assert torch.equal(stored.terminated, stored.action == 0) and 0 < stored.action.sum() < 200
    assert learner.buffer.capacity == 400


def test_the_first_steps_are_uniform_and_nothing_is_learned_meanwhile():
    learner = Learner(**SMALL | {"random_steps": 200})
    steps, policies = recorded(learner), []
    with torch.no_grad():
        learner.agent.policy.net.layers()[-1][1][:, 0] += 1.0  # far from uniform
    start = theta(learner.agent.policy), theta(learner.agent.critic)
    for n in learner:
        learned = not torch.equal(theta(learner.agent.policy), start[0])
        assert learned == (not torch.equal(theta(learner.agent.critic), start[1])) == (n > 50)
        policies.append(copy.deepcopy(learner.agent.policy))
    stored = learner.buffer.all(0)
    n_random = torch.cat([step.valid[0] for step, _ in steps[:50]]).sum().item()
    assert (stored.log_prob[:n_random] == -math.log(2)).all()
    assert stored.action[:n_random].double().mean().item() == pytest.approx(0.5, abs=4.5 * 0.5 / n_random**0.5)
    place = n_random
    for n in range(50, 100):  # afterwards: by the policy as it was then
        obs, action, valid = steps[n][0].obs, steps[n][1], steps[n][0].valid[0]
        wanted = policies[n - 1](obs).log_prob(action)[0][valid].detach()
        torch.testing.assert_close(stored.log_prob[place : place + len(wanted)], wanted)
        place += len(wanted)


@pytest.mark.parametrize("n_envs", [1, 4])
def test_on_policy_data_are_fresh_and_used_once(n_envs):
    """No state of CartPole comes twice, so that rows can be told apart; their actions are those of π as it is now."""
    learner = Learner(**SMALL | ON_POLICY | {"n_envs": n_envs, "entropy_bonus": 0.0, "actor_lr": 0.1})
    seen, before, n_batches = [set(), set()], copy.deepcopy(learner.agent.policy), 0
    for _ in learner:
        batch = learner.batch
        if batch is not None:
            learner.batch, n_batches = None, n_batches + 1
            assert batch.reward.shape == (2, 16)
            torch.testing.assert_close(before(batch.obs).log_prob(batch.action), batch.log_prob)
            for rows, states in zip(seen, batch.obs.tolist(), strict=True):
                assert rows.isdisjoint(map(tuple, states))
                rows.update(map(tuple, states))
            before = copy.deepcopy(learner.agent.policy)
    assert 10 <= n_batches <= 400 // 16


@pytest.mark.parametrize("batch_size", [8, 32])
def test_on_policy_the_batch_size_cannot_change(batch_size):
    learner = Learner(**SMALL | ON_POLICY)
    with pytest.raises(ValueError, match=f"batch_size cannot change while training: it is 16, got {batch_size}"):
        learner.config = replace(learner.config, batch_size=batch_size)
    learner.close()


def test_collect_false_adds_nothing_and_the_environment_stands_still():
    learner = Learner(**SMALL | {"prefill": (None, 60), "collect": False})
    steps, before = recorded(learner), learner.buffer.all()
    for _ in learner:
        assert learner.batch is not None, "there are no random steps to wait for"
    assert steps == [] and learner.buffer.capacity == 60
    assert all(torch.equal(old, new) for old, new in zip(before, learner.buffer.all(), strict=True))
    assert learner.run.steps.tolist() == [200, 400] and learner.run.log["exploring_return"].isnan().all()


def test_the_buffer_keeps_the_newest():
    learner = Learner(**SMALL | {"capacity": 50})
    steps = recorded(learner)
    for _ in learner:
        assert max(learner.buffer.lengths) <= 50
    for seed in range(2):
        valid = torch.cat([step.valid[seed] for step, _ in steps])
        happened = torch.cat([step.obs[seed] for step, _ in steps])[valid]
        assert torch.equal(learner.buffer.all(seed).obs, happened[-50:])


@pytest.mark.parametrize("updates_per_step", [1, 3])
def test_updates_are_as_many_as_asked_for(updates_per_step):
    calls = []

    def counted(*given):
        calls.append(given[0].shape)
        return equations.q_target(*given)

    small(updates_per_step=updates_per_step, q_target=counted)
    assert calls[1:] == [(2, 16)] * (
        updates_per_step * 90
    )  # the first was the trial; 100 iterations, 10 of them random


@pytest.mark.parametrize("decay", [True, False])
def test_learning_rates_fall_linearly_unless_told_not_to(decay):
    learner = Learner(**SMALL | {"random_steps": 0, "actor_lr": 0.5, "critic_lr": 0.25, "lr_decay": decay})
    for n in learner:
        if learner.batch is not None:
            fraction = 1 - (n - 1) / 100 if decay else 1.0
            rates = [group["lr"] for group in learner.agent.optimizer.param_groups]
            assert rates == pytest.approx([0.5 * fraction, 0.25 * fraction, 0.5 * fraction])


@pytest.mark.parametrize(
    ("total_steps", "n_envs", "evaluations", "steps"),
    [
        (400, 4, 2, [200, 400]),
        (400, 4, 3, [136, 268, 400]),
        (402, 4, 1, [404]),
        (40, 4, 10, [4 * n for n in range(1, 11)]),
        (40, 4, 7, [8, 12, 20, 24, 32, 36, 40]),
    ],
)
def test_evaluations_are_spread_evenly_up_to_the_end(total_steps, n_envs, evaluations, steps):
    sizes = dict(total_steps=total_steps, n_envs=n_envs, evaluations=evaluations, eval_episodes=1)
    run = small(**sizes, random_steps=0)
    assert run.steps.tolist() == steps and run.returns.shape == (2, len(steps))
    assert run.log["exploring_return"].shape == (2, len(steps))


def test_a_change_of_the_config_takes_effect_at_the_next_step():
    seen = []
    own = {"baseline": "leave-one-out", "leave_one_out": lambda q: seen.append(len(q[0])) or equations.leave_one_out(q)}
    learner = Learner(**SMALL | own)
    for n in learner:
        agent = learner.agent
        if n == 20:
            assert set(seen) == {4} and not torch.equal(theta(agent.target_critic), theta(agent.critic))
            changes = dict(action_samples=7, tau=1.0, actor_lr=0.7, batch_size=8, lr_decay=False)
            learner.config = replace(learner.config, **changes)
            seen.clear()
        if n == 21:
            assert set(seen) == {7} and torch.equal(theta(agent.target_critic), theta(agent.critic))
            assert agent.optimizer.param_groups[0]["lr"] == 0.7 and learner.batch.reward.shape == (2, 8)
            break
    learner.close()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"hidden": (9,)}, ValueError, r"hidden cannot change while training: it is \(8,\), got \(9,\)"),
        ({"seeds": 3}, ValueError, "seeds cannot change while training: it is 2, got 3"),
        ({"twin": False}, ValueError, "twin cannot change while training"),
        ({"baseline": "leave-one-out", "action_samples": 1}, ValueError, "action_samples of at least 2"),
        ({"q_target": lambda r, d, q, g: r.sum()}, ValueError, r"q_target returned shape \(\), wanted \(2, 5\)"),
        ({"tau": 0}, ValueError, "tau must lie in"),
        ({"prefill": (None, 100)}, ValueError, "prefill cannot change while training"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_change_that_cannot_be_is_refused_and_the_training_goes_on_as_it_was(change, error, words):
    learner = Learner(**SMALL)
    for n in learner:
        if n == 20:
            before = learner.config
            with pytest.raises(error, match=words):
                learner.config = replace(before, **change)
            assert learner.config is before
    assert learner.run.config is before and learner.n_done == learner.n_iterations
    learner.close()


def test_changes_that_do_not_fit_the_old_data_are_refused():
    old = ReplayBuffer(100, (4,))
    old.add(
        torch.zeros(100, 4), torch.zeros(100, dtype=torch.int64), torch.zeros(100), torch.zeros(100, 4), [False] * 100
    )
    learner = Learner(**SMALL | dict(prefill=old, collect=False))
    for change, words in ((dict(collect=True), "collect cannot change"), (dict(action="importance"), "log_prob")):
        with pytest.raises(ValueError, match=words):
            learner.config = replace(learner.config, **change)
    learner.close()


# ---------------------------------------------------------------- old data


def network(n_seeds=None):
    return CategoricalPolicy(4, 2, (8,), n_seeds=n_seeds, generator=rng(), out_gain=9.0)


@pytest.mark.parametrize("policy", [None, (0.2, 0.8), network(), network(2)], ids=["None", "probs", "network", "seeds"])
def test_prefill_by_a_policy(policy):
    learner = Learner(**SMALL | {"prefill": (policy, 150)})
    old = learner.buffer.all()
    assert learner.buffer.lengths == [150] * 2 and learner.config.random_steps == 40
    if policy is None or isinstance(policy, tuple):
        wanted = torch.tensor(policy or (0.5, 0.5)).log()[old.action]
        assert old.action.double().mean().item() == pytest.approx((policy or (0, 0.5))[1], abs=4.5 * 0.5 / 300**0.5)
    else:
        wanted = policy(old.obs).log_prob(old.action).detach()
    torch.testing.assert_close(old.log_prob, wanted)
    assert not torch.equal(old.obs[0], old.obs[1])


def old_buffer(n_seeds):
    """40 transitions in each ring and, with seeds, 5 more in the last one."""
    buffer, env = ReplayBuffer(100, (4,), n_seeds=n_seeds), VectorEnv("CartPole-v1", 4, n_seeds=n_seeds or 1)
    rings = buffer if n_seeds else ReplayBuffer(100, (4,), n_seeds=1)
    fill(rings, env, (0.3, 0.7), 40, rng())
    if not n_seeds:
        buffer.add(*rings.all(0)[:6])
        return buffer
    row = [field[:, :5] for field in buffer.all()[:6]]
    buffer.add(*row, valid=torch.tensor([[False], [True]]).expand(2, 5))
    return buffer


@pytest.mark.parametrize("n_seeds", [None, 2])
def test_prefill_with_a_buffer(n_seeds):
    """What it holds is copied, to every seed or seed by seed; rewards come unscaled and are scaled once."""
    old = old_buffer(n_seeds)
    learner = Learner(**SMALL | {"prefill": old, "reward_scale": 0.25, "random_steps": 0, "total_steps": 40})
    assert learner.buffer.lengths == ([40, 45] if n_seeds else [40, 40])
    for seed in range(2):
        theirs = old.all(seed if n_seeds else 0)
        for name in ("obs", "action", "reward", "next_obs", "terminated", "log_prob"):
            assert torch.equal(getattr(learner.buffer.all(seed), name), getattr(theirs, name))
    for _ in learner:
        assert (learner.batch.reward == 0.25).all()
    assert len(old) == 40 and old.lengths[-1] == (45 if n_seeds else 40)


def test_collected_rewards_are_scaled_once_too():
    learner = Learner(**SMALL | {"reward_scale": 0.25})
    for _ in learner:
        assert learner.batch is None or (learner.batch.reward == 0.25).all()
    assert (learner.buffer.all(0).reward == 1.0).all()


# ---------------------------------------------------------------- other environments


@pytest.mark.parametrize(
    ("env_id", "options", "scale"),
    [
        ("Pendulum-v1", {}, 3),
        ("Pendulum-v1", ON_POLICY | {"entropy_bonus": 0.0, "obs_scale": 0.5}, 3),
        ("Acrobot-v1", {"action_samples": "all"}, 6),
        ("MountainCarContinuous-v0", {"gradient": "reparameterized"}, 2),
        ("Aim-v0", {"action": "importance", "entropy_bonus": 0.0}, 2),
    ],
)
def test_other_environments_run(env_id, options, scale):
    run = small(env_id=env_id, **{"total_steps": 160, "evaluations": 1, "eval_episodes": 1} | options)
    assert len(run.config.obs_scale) == scale and all(s > 0 for s in run.config.obs_scale)
    assert torch.isfinite(run.returns).all() and not run.stopped
    env = gymnasium.make(env_id)
    obs, _ = env.reset(seed=0)
    action = run.policy.of_seed(1).act(obs)
    assert env.action_space.contains(action)
    env.step(action)


# ---------------------------------------------------------------- interruptions


def after(n_calls, answer, seeds=2):
    """A q_target that is right for `n_calls` updates and then gives `answer`(y)."""
    calls = []

    def target(*given):
        calls.append(1)
        y = equations.q_target(*given)
        return y if len(calls) <= n_calls + 1 else answer(y)  # + 1: the trial before the run

    return target


def interrupt(y):
    raise KeyboardInterrupt


@pytest.mark.parametrize(("n_calls", "n_evaluations"), [(0, 0), (70, 1), (89, 1)])
def test_an_interrupted_run_is_given_back(tmp_path, n_calls, n_evaluations):
    run = small(q_target=after(n_calls, interrupt))
    assert run.interrupted and "interrupted" in repr(run)
    assert run.steps.tolist() == [200, 400][:n_evaluations] and run.returns.shape == (2, n_evaluations)
    assert run.policy.act([0.0, 0.1, 0.0, 0.2]).shape == (2,)
    run.save(tmp_path / "run.pt")
    whole = small()
    assert torch.equal(run.returns, whole.returns[:, :n_evaluations])


class Interrupting:
    """Presses Ctrl-C when a function of the package is called for the `at`-th time, counting from 1.

    The generators within `any` and `all` do not count: they are called again to be closed, and Python ignores what is
    raised there.
    """

    def __init__(self, at=0):
        self.at, self.count = at, 0

    def __call__(self, frame, event, argument):
        if event == "call" and "offac_lite" in frame.f_code.co_filename and frame.f_code.co_name != "<genexpr>":
            self.count += 1
            if self.count == self.at:
                raise KeyboardInterrupt

    def __enter__(self):
        sys.setprofile(self)
        return self

    def __exit__(self, *error):
        sys.setprofile(None)


@pytest.mark.slow
def test_a_run_interrupted_anywhere_is_whole_as_far_as_it_went(tmp_path):
    with Interrupting() as counter:
        whole = small()
    moments = np.linspace(0.06, 0.97, 25)  # of all the calls; the first ones prepare, the last ones tidy up
    found = set()
    for at in (moments * counter.count).astype(int):
        with Interrupting(at):
            run = small()
        assert run.interrupted and len(run.steps) <= 2, at
        assert torch.equal(run.steps, whole.steps[: len(run.steps)])
        assert torch.equal(run.returns, whole.returns[:, : len(run.steps)])
        assert all(curve.shape == run.returns.shape for curve in run.log.values())
        assert torch.isfinite(theta(run.policy)).all() and torch.isfinite(theta(run.critic)).all()
        run.save(tmp_path / "run")
        assert torch.equal(Run.load(tmp_path / "run").returns, run.returns)
        found.add(len(run.steps))
    assert found == {0, 1}, "before and after the first of two evaluations"


def one_number(policy, critic, obs, stored_action, action_samples, generator):
    """A loss of the user's own, averaged over the seeds too: it is NaN where that of any seed is."""
    pi = policy(obs)
    action = pi.sample(action_samples, generator=generator)
    return equations.policy_gradient_loss(pi.log_prob(action), critic(obs, action).detach()).mean()


@pytest.mark.parametrize("where", ["policy", "critic"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"twin": False},
        ON_POLICY,
        {"env_id": "Aim-v0"},
        {"env_id": "Aim-v0", "gradient": "reparameterized"},
        {"resampled_loss": one_number},
    ],
    ids=["twin", "single", "on-policy", "continuous", "reparameterized", "one number"],
)
def test_a_seed_that_breaks_is_stopped_and_the_others_go_on(options, where):
    learner = Learner(**SMALL | {"seeds": 3, "evaluations": 4} | options)
    with pytest.warns(RuntimeWarning, match="seed 1 was stopped after .* no longer finite. The others go on"):
        for n in learner:
            if n == 60:
                kept = theta(learner.agent.policy).view(3, -1)
                with torch.no_grad():
                    next(getattr(learner.agent, where).parameters())[1, 5] = torch.nan
    run, later = learner.run, theta(learner.agent.policy).view(3, -1)
    assert list(run.stopped) == [1] and 240 <= run.stopped[1] <= 320 and "1 stopped" in repr(run)
    assert run.returns[1].isnan().tolist() == [False, False, True, True]
    assert run.log["entropy"][1].isnan().tolist() == [False, False, True, True]
    assert torch.isfinite(run.returns[[0, 2]]).all() and torch.isfinite(later).all()
    assert (later != kept)[[0, 2]].any(1).all()


def test_a_seed_whose_loss_is_infinite_is_stopped():
    def burst(y):
        return y.where(torch.tensor([[True], [False], [True]]), torch.inf)

    with pytest.warns(RuntimeWarning, match="seed 1 was stopped after 200 steps") as caught:
        run = small(seeds=3, q_target=after(40, burst), evaluations=4)
    assert run.stopped == {1: 200} and len(caught) == 1
    assert torch.isfinite(run.returns[[0, 2]]).all() and run.returns[1].isnan().tolist() == [False, False, True, True]


def test_all_seeds_can_break():
    with pytest.warns(RuntimeWarning, match="seed . was stopped") as caught:
        run = small(q_target=after(40, lambda y: y * torch.nan))
    assert run.stopped == {0: 200, 1: 200} and len(caught) == 2
    assert run.returns[:, -1].isnan().all() and "median return nan" in repr(run)


def test_an_error_of_the_user_s_own_is_not_taken_for_a_broken_seed():
    def complain(y):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        small(q_target=after(40, complain))


# ---------------------------------------------------------------- functions of the user's own


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("q_target", {}),
        ("q_target", {"next_action_samples": 3}),
        ("v_target", ON_POLICY),
        ("v_target", {"critic": "v", "action": "importance"}),
        ("policy_gradient_loss", {}),
        ("policy_gradient_loss", {"action": "stored"}),
        ("leave_one_out", {"baseline": "leave-one-out"}),
    ],
)
def test_a_function_of_the_user_s_own_is_called(name, options):
    """One that does the same gives the same run; one that does something else, another."""
    calls = []

    def same(*given):
        calls.append(1)
        return getattr(equations, name)(*given)

    options = {"total_steps": 200, "evaluations": 1} | options
    run = small(**options)
    assert_same(run, small(**options, **{name: same}))
    assert len(calls) > 10
    other = small(**options, **{name: lambda *given: getattr(equations, name)(*given) * torch.tensor(-1.0)})
    assert not torch.equal(theta(other.policy), theta(run.policy))


def test_training_bounds_pytorchs_threads_and_restores_them():
    """At every step, in the evaluations and in own functions; not in the loop's own body."""
    seen, before = set(), torch.get_num_threads()

    def target(reward, terminated, next_q, gamma):
        seen.add(torch.get_num_threads())
        return equations.q_target(reward, terminated, next_q, gamma)

    options = dict(seeds=2, total_steps=480, batch_size=16, eval_episodes=2, evaluations=2, q_target=target)
    torch.set_num_threads(2)
    try:
        train(**options, progress=False)
        assert seen == {1} and torch.get_num_threads() == 2
        for _ in Learner(CARTPOLE, **options | {"threads": 3}):
            assert torch.get_num_threads() == 2
        assert seen == {1, 3}
        with pytest.raises(ValueError, match="has shape"):
            train(obs_scale=(1.0, 2.0))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# ---------------------------------------------------------------- does it learn?


def wrong_sign(log_prob, advantage):
    return -equations.policy_gradient_loss(log_prob, advantage)


def advantage_of_another(log_prob, advantage):
    return equations.policy_gradient_loss(log_prob, advantage.roll(1, -2))


def no_mask(reward, terminated, next_value, gamma):
    mask = torch.zeros_like(terminated)
    return (equations.v_target if next_value.shape == reward.shape else equations.q_target)(
        reward, mask, next_value, gamma
    )


def stored_action(policy, critic, obs, action, action_samples, generator):
    """Take the stored action for one of π's own."""
    log_prob, q = policy(obs).log_prob(action), critic(obs, action).detach()
    return equations.policy_gradient_loss(log_prob.unsqueeze(-2), q.unsqueeze(-2))


def stored_next_action(critic, target_critic, next_pi, batch, gamma, *_, q_target, **__):
    """Bootstrap from the action of the buffer in place of one drawn now."""
    with torch.no_grad():
        y = q_target(batch.reward, batch.terminated, target_critic(batch.next_obs, batch.action), gamma)
    return sum(equations.critic_loss(q, y) for q in critic.each(batch.obs, batch.action))


def reward_of_another(agent, pi, critic, batch):
    """Resample the action, and rate it by the TD error of the stored one."""
    fresh, rated = pi.sample(generator=agent.generator), agent.stored_advantage(pi, critic, batch)
    return updates.stored_actor_loss(pi, batch._replace(action=fresh), rated)


def time_limit_as_end(buffer, step, *given):
    real_store(buffer, step._replace(terminated=step.terminated | step.truncated), *given)


real_store = training.store
real_reparameterized = updates.reparameterized_actor_loss


def downhill(*given, **options):
    return -real_reparameterized(*given, **options)


TINY = dict(
    seeds=6, n_envs=8, batch_size=64, hidden=(16,), obs_scale=1.0, reward_scale=1.0, evaluations=1, progress=False
)
CORRIDOR = TINY | dict(
    env_id="Corridor-v0",
    total_steps=2800,
    gamma=0.8,
    tau=0.2,
    actor_lr=4e-3,
    critic_lr=2e-2,
    entropy_bonus=0.15,
    eval_episodes=1,
)
OLD = CORRIDOR | dict(prefill=((0.2, 0.8), 1500), collect=False)  # data of who leaves the corridor
FRESH = CORRIDOR | dict(random_steps=400, capacity=2000, updates_per_step=2)
OLD_V = OLD | dict(critic="v", action="importance")
NEW_V = CORRIDOR | dict(critic="v", action="stored", on_policy=True, batch_size=16, n_envs=16, total_steps=12_000)


def learns_the_corridor(options):
    """3 is the best return, 1 what leaving at once brings. Five of six seeds must find the way."""
    return train(**options).returns[:, -1].mean() >= 2.6


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        OLD,
        OLD | dict(baseline="leave-one-out"),
        OLD | dict(soft_target=True, entropy_bonus="learned", target_entropy=0.1),
        OLD | dict(action_samples="all"),
        OLD | dict(action_samples=1, baseline=None, next_action_samples=1, twin=False),
        OLD | dict(action="importance"),
        OLD_V,
        NEW_V,
        FRESH,
    ],
    ids=["value", "leave-one-out", "soft", "all", "one", "importance", "importance V", "on-policy", "collecting"],
)
def test_the_corridor_is_learned(options):
    assert learns_the_corridor(options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "patch"),
    [
        (OLD | dict(policy_gradient_loss=wrong_sign), None),
        (OLD | dict(resampled_loss=stored_action), None),
        (OLD | dict(action="stored", baseline=None), None),
        (OLD | dict(critic="v", action="stored"), None),
        (OLD | dict(q_target=no_mask), None),
        (OLD_V | dict(v_target=no_mask), None),
        (OLD, (training, "polyak_update", lambda target, source, tau: None)),
        (OLD, (updates, "q_critic_loss", stored_next_action)),
        (OLD_V, (Agent, "actor_loss", reward_of_another)),
    ],
    ids=[
        "sign",
        "stored action",
        "stored",
        "stored V",
        "no mask",
        "no mask, V",
        "frozen target",
        "stored next action",
        "reward of another",
    ],
)
def test_the_corridor_is_not_learned_by_a_broken_update(options, patch, monkeypatch):
    if patch:
        monkeypatch.setattr(*patch)
    assert not learns_the_corridor(options)


REST = TINY | dict(
    env_id="Rest-v0", total_steps=2400, random_steps=400, gamma=0.9, actor_lr=4e-3, critic_lr=2e-2, eval_episodes=1
)
REST_V = REST | dict(
    critic="v",
    action="stored",
    on_policy=True,
    batch_size=16,
    n_envs=16,
    total_steps=8000,
    random_steps=0,
    actor_lr=1e-2,
)


@pytest.mark.slow
@pytest.mark.parametrize("options", [REST, REST_V], ids=["Q", "V"])
@pytest.mark.parametrize("right", [True, False])
def test_a_time_limit_is_no_end(options, right, monkeypatch):
    """To stay is worth 0.2 / (1 − γ) = 2 to who knows that the limit is none of the task's, and else 0.2."""
    if not right:
        monkeypatch.setattr(training, "store", time_limit_as_end)
    stays = train(**options).policy.act([1.0]).mean()
    assert stays > 0.7 if right else stays < 0.3


AIM = TINY | dict(
    env_id="Aim-v0",
    seeds=4,
    total_steps=2400,
    random_steps=600,
    actor_lr=1e-2,
    critic_lr=1e-2,
    entropy_bonus=0.01,
    eval_episodes=10,
)
THROUGH = AIM | dict(gradient="reparameterized", action_samples=1)


def learns_to_aim(options):
    """Seeds on average; the middle of the box would bring −0.24, a corner −2 and less."""
    return train(**options).returns[:, -1].mean() > -0.17


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [AIM, AIM | dict(twin=False, next_action_samples=1), THROUGH], ids=["K", "one", "rep"]
)
def test_aiming_is_learned(options):
    assert learns_to_aim(options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "patch"),
    [
        (AIM | dict(policy_gradient_loss=wrong_sign), None),
        (AIM | dict(policy_gradient_loss=advantage_of_another), None),
        (THROUGH, (updates, "reparameterized_actor_loss", downhill)),
    ],
    ids=["sign", "advantage of another", "downhill"],
)
def test_aiming_is_not_learned_by_a_broken_update(options, patch, monkeypatch):
    if patch:
        monkeypatch.setattr(*patch)
    assert not learns_to_aim(options)


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False])
def test_cartpole_is_learned(right):
    """A pole that falls brings about 10; without the terminal mask falling costs nothing, and nothing is learned."""
    options = dict(
        seeds=6,
        total_steps=4000,
        random_steps=600,
        batch_size=64,
        actor_lr=1e-3,
        evaluations=4,
        eval_episodes=4,
        progress=False,
    )
    run = train(**options if right else options | {"q_target": no_mask})
    best = run.returns.amax(1).median()
    assert best > 180 if right else best < 60
