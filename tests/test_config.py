"""What the options mean, and that what makes no sense is refused before anything runs, in words that name it."""

import inspect
import json
import re
from dataclasses import fields, replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from offac_lite.buffer import ReplayBuffer
from offac_lite.config import CARTPOLE, Config, changed, name_of, with_options
from offac_lite.envs import Spaces, VectorEnv
from offac_lite.equations import q_target
from offac_lite.networks import CategoricalPolicy
from offac_lite.training import Learner, resolved
from tests import rng

PENDULUM, V = {"env_id": "Pendulum-v1"}, {"critic": "v", "action": "stored"}
STORED = PENDULUM | {"action": "stored", "entropy_bonus": 0}
NAN, INF = float("nan"), float("inf")


class Unbounded(gymnasium.Env):
    """Actions without an upper bound."""

    observation_space, action_space = Box(-1.0, 1.0, (2,)), Box(-1.0, np.inf, (1,))


class Board(gymnasium.Env):
    """Observations and actions of several axes."""

    observation_space, action_space = Box(-1.0, 1.0, (2, 3)), Box(-1.0, 2.0, (2,))


gymnasium.register("Unbounded-v0", Unbounded)
gymnasium.register("Board-v0", Board)


def in_full(**options):
    config = changed(CARTPOLE, options)
    return resolved(config, VectorEnv(config.env_id, 1).spaces)


def old_data(n=300, obs=4, n_seeds=None, **fields):
    lead = (n,) if n_seeds is None else (n_seeds, n)
    buffer = ReplayBuffer(1000, (obs,), n_seeds=n_seeds)
    if n:
        zeros = torch.zeros(lead)
        buffer.add(torch.ones(*lead, obs), zeros.long(), zeros, torch.ones(*lead, obs), zeros.bool(), zeros)
    return buffer


@pytest.mark.parametrize(
    ("options", "meaning"),
    [
        ({}, {"baseline": "value", "next_action_samples": "all", "random_steps": 1000}),
        ({"action_samples": 1}, {"baseline": "value"}),
        ({"prefill": (None, 500)}, {"random_steps": 0, "prefill": (None, 500)}),
        ({"prefill": ([0.25, 0.75], 500), "random_steps": 9}, {"random_steps": 9, "prefill": ((0.25, 0.75), 500)}),
        (V | {"on_policy": True}, {"random_steps": 0, "baseline": "value"}),
        (V, {"random_steps": 1000, "baseline": "value"}),
        ({"baseline": None}, {"baseline": None}),
        ({"next_action_samples": 3}, {"next_action_samples": 3}),
        (PENDULUM, {"baseline": "leave-one-out", "next_action_samples": 4}),
        (PENDULUM | {"action_samples": 1}, {"baseline": None}),
        (PENDULUM | {"gradient": "reparameterized"}, {"baseline": None}),
        (STORED, {"baseline": "value"}),
        ({"obs_scale": "auto"}, {"obs_scale": (0.5, 0.5, 5.0, 0.5)}),
        ({"obs_scale": 0.5}, {"obs_scale": (0.5,) * 4}),
        (PENDULUM | {"obs_scale": np.array([1, 2, 4])}, {"obs_scale": (1.0, 2.0, 4.0)}),
        ({"hidden": []}, {"hidden": ()}),
        ({"hidden": (np.int64(7), 3), "seeds": np.int32(2)}, {"hidden": (7, 3), "seeds": 2}),
        ({"env_id": "Board-v0", "obs_scale": 1.0}, {"obs_scale": (1.0,) * 6}),
    ],
)
def test_what_auto_means(options, meaning):
    config = in_full(**options)
    assert {name: getattr(config, name) for name in meaning} == meaning
    values = [getattr(config, f.name) for f in fields(config)]
    assert "auto" not in values
    assert resolved(config, VectorEnv(config.env_id, 1).spaces) == config  # resolved twice is the same
    assert all(type(value) in (int, float, str, bool, tuple, type(None)) for value in values)


def test_auto_obs_scale_makes_every_feature_s_spread_a_half():
    scale = in_full(**PENDULUM).obs_scale
    env = VectorEnv("Pendulum-v1", 20, seed=7)
    seen = [env.reset()]
    for _ in range(100):
        seen.append(env.step(4 * torch.rand(20, 1, generator=rng(len(seen))) - 2).next_obs)
    spread = (torch.cat(seen) * torch.tensor(scale)).std(0)
    assert (spread > 0.4).all() and (spread < 0.6).all()
    assert in_full(**PENDULUM).obs_scale == scale  # nothing random about it


def test_spaces_flatten_what_has_several_axes():
    spaces = VectorEnv("Board-v0", 3, n_seeds=2).spaces
    assert spaces == Spaces((2, 3), (2,), None, (-1.0,) * 2, (2.0,) * 2)
    assert spaces.obs_size == 6 and spaces.flat_action_shape == (2,)


def test_a_config_prints_as_the_call_that_makes_it():
    config = Config(seeds=3, hidden=[8], q_target=q_target)
    assert name_of(q_target) == "q_target" and name_of(3) is None
    assert repr(config) == "Config(seeds=3, hidden=(8,), q_target=q_target)"
    for one in (config, in_full(seeds=3, prefill=([0.25, 0.75], 500), q_target=q_target)):
        assert eval(repr(one), {"Config": Config, "q_target": q_target}) == one


def test_a_config_cannot_be_changed_and_a_variant_is_checked():
    with pytest.raises(AttributeError, match="cannot assign to field 'tau'"):
        CARTPOLE.tau = 0.5
    assert replace(CARTPOLE, tau=0.5).tau == 0.5 and CARTPOLE.tau == 0.1
    with pytest.raises(ValueError, match=r"tau must lie in \(0, 1\], got 2"):
        replace(CARTPOLE, tau=2)
    with pytest.raises(ValueError, match='critic="v" cannot be combined with action="resampled"'):
        replace(CARTPOLE, critic="v")


def test_every_option_is_explained_where_help_shows_it():
    explained = re.findall(r"^- `(\w+)`: .*[.)]?", inspect.getdoc(Config), re.MULTILINE)
    assert explained == [f.name for f in fields(Config)]
    assert "- `tau`: Rate of the target network; 1 means no target network." in Config.__doc__


def test_what_is_installed_without_its_source_keeps_its_own_words():
    made = type("Made", (), {"__doc__": "No file holds this.", "__module__": "builtins"})
    assert with_options(made) is made and made.__doc__ == "No file holds this."


def test_a_config_goes_through_json():
    config = in_full(seeds=3, hidden=(8,), prefill=([0.25, 0.75], 500), importance_clip=2, action="importance")
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config
    named = Config.from_json(Config(q_target=q_target, prefill=old_data()).to_json())
    assert named.q_target == "q_target" and named.prefill.startswith("ReplayBuffer(300 of 1000")
    with pytest.raises(TypeError, match="q_target must be a function, got 'q_target', the name of one in a saved run"):
        Learner(named)


def learner(options):
    return Learner(CARTPOLE, **{"seeds": 2, "total_steps": 2000} | options)


def refused(cases, error):
    return [pytest.param(options, error, words, id="-".join(options)) for options, words in cases]


COUNTS = ("seeds", "total_steps", "batch_size", "updates_per_step", "n_envs", "evaluations", "eval_episodes")
RATES = ("tau", "actor_lr", "critic_lr", "reward_scale")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    refused(
        [
            *(
                ({name: 0}, f"{name} must be at least 1, got 0")
                for name in (*COUNTS, "action_samples", "next_action_samples")
            ),
            *(({name: -3}, f"{name} must be at least 1, got -3") for name in COUNTS),
            *(({name: 0}, f"{name} must (be above 0|lie in .0, 1.), got 0") for name in (*RATES, "importance_clip")),
            *(({name: -0.1}, f"{name} must") for name in (*RATES, "importance_clip", "gamma", "entropy_bonus")),
            *(({name: NAN}, f"{name} must") for name in (*RATES, "importance_clip", "gamma", "entropy_bonus")),
            *(({name: INF}, f"{name} must") for name in (*RATES, "importance_clip", "gamma", "entropy_bonus")),
            ({"tau": 1.01}, r"tau must lie in \(0, 1\], got 1.01"),
            ({"gamma": 1.1}, r"gamma must lie in \[0, 1\], got 1.1"),
            ({"seed": -1}, "seed must be at least 0"),
            ({"random_steps": -1}, "random_steps must be at least 0"),
            (V | {"on_policy": True, "newest": 9}, "newest has no meaning there"),
            ({"newest": 0}, "newest must be at least 1, got 0"),
            ({"capacity": 127}, "capacity must be at least 128 = batch_size, got 127"),
            ({"batch_size": 2001}, "batch_size = 2001 is more than the 2000 transitions ever stored"),
            ({"total_steps": 100}, "batch_size = 128 is more than the 100 transitions ever stored"),
            ({"prefill": (None, 100), "collect": False}, "batch_size = 128 is more than the 100 transitions"),
            ({"env_id": "NoSuchThing-v0"}, "env_id = 'NoSuchThing-v0' is not an environment Gymnasium knows"),
            ({"env_id": "FrozenLake-v1"}, r"observation space of FrozenLake-v1 is Discrete\(16\): train needs a Box"),
            ({"env_id": "Blackjack-v1"}, "observation space of Blackjack-v1 is Tuple"),
            ({"env_id": "Unbounded-v0"}, r"actions of Unbounded-v0 reach from \[-1.0\] to \[inf\]: .* finite bounds"),
            ({"critic": "Q"}, "critic must be one of 'q', 'v'; got 'Q'"),
            ({"critic": ["q"]}, "critic must be one of"),
            ({"critic": "v"}, r"advantage of V, r \+ γV\(s′\) − V\(s\), holds the reward .* of the \*stored\* action"),
            ({"action": "fresh"}, "action must be one of 'resampled', 'stored', 'importance'; got 'fresh'"),
            ({"baseline": "Value"}, "baseline must be one of None, 'value', 'leave-one-out', 'auto'; got 'Value'"),
            ({"baseline": False}, "baseline must be one of .* got False"),
            ({"baseline": "leave-one-out", "action_samples": 1}, "action_samples of at least 2"),
            ({"baseline": "leave-one-out", "action": "stored"}, 'needs action="resampled"'),
            (PENDULUM | {"baseline": "value"}, 'which only discrete actions allow: take "leave-one-out"'),
            ({"gradient": "reparam"}, "gradient must be one of 'score', 'reparameterized'; got 'reparam'"),
            ({"gradient": "reparameterized"}, "a discrete action has no derivative"),
            (STORED | {"gradient": "reparameterized"}, 'needs action="resampled"'),
            (PENDULUM | {"action_samples": "all"}, 'action_samples="all" sums over all actions, which only discrete'),
            (PENDULUM | {"next_action_samples": "all"}, 'next_action_samples="all" sums over all actions'),
            (PENDULUM | {"action": "stored"}, "entropy_bonus with stored continuous actions is not supported"),
            *(({name: 1}, f"{name} must be one of True, False; got 1") for name in ("twin", "collect", "on_policy")),
            *(({name: "no"}, f"{name} must be one of True, False") for name in ("lr_decay", "checkpoints")),
            ({"on_policy": True}, 'on_policy=True .* needs critic="v" and action="stored"'),
            (V | {"on_policy": True, "prefill": (None, 500)}, "it takes neither prefill nor collect=False"),
            (V | {"on_policy": True, "collect": False}, "it takes neither prefill nor collect=False"),
            ({"collect": False}, "collect=False leaves nothing to learn from: give old data with prefill"),
            ({"hidden": (32, 0)}, "hidden must be at least 1, got 0"),
            ({"obs_scale": (1.0, 2.0)}, r"obs_scale has shape \(2,\), wanted \(\) or \(4,\) = one per feature"),
            ({"obs_scale": (1.0, 2.0, 3.0, NAN)}, "obs_scale holds NaN or infinity"),
            ({"prefill": (None, 0)}, "count of prefill must be at least 1, got 0"),
            ({"prefill": ([0.5, 0.6], 500)}, "policy of prefill has a row that sums to 1.1, wanted 1"),
            ({"prefill": ([-0.5, 1.5], 500)}, "policy of prefill holds a negative probability"),
            ({"prefill": ([0.2, 0.3, 0.5], 500)}, r"policy of prefill has shape \(3,\), wanted \(2,\)"),
            (PENDULUM | {"prefill": ([0.5, 0.5], 500)}, "one probability per action needs discrete actions"),
            ({"prefill": old_data(0)}, "prefill is an empty buffer"),
            ({"prefill": old_data(obs=3)}, r"prefill holds \(3,\) observations and \(\) actions, wanted \(4,\)"),
            ({"prefill": old_data(n_seeds=3)}, "prefill holds 3 seeds, wanted 2, or one for them all"),
            (
                {"prefill": (CategoricalPolicy(3, 2, generator=rng()), 500)},
                r"prefill .*obs has shape .*wanted \(..., 3",
            ),
            (
                {"prefill": (CategoricalPolicy(4, 2, n_seeds=5, generator=rng()), 500)},
                r"prefill .*wanted \(5, ..., 4\)",
            ),
            *(
                ({"resampled_loss": q_target} | options, "resampled_loss takes the place of the actor step")
                for options in (
                    {"action": "stored"},
                    {"action_samples": "all"},
                    PENDULUM | {"gradient": "reparameterized"},
                )
            ),
        ],
        ValueError,
    )
    + refused(
        [
            *(
                ({name: 2.5}, f"{name} must be a whole number, got 2.5")
                for name in (*COUNTS, "seed", "capacity", "newest")
            ),
            *(
                ({name: True}, f"{name} must be a whole number, got True")
                for name in (*COUNTS, "seed", "action_samples")
            ),
            *(({name: "3"}, f"{name} must be a whole number, got '3'") for name in (*COUNTS, "next_action_samples")),
            *(({name: None}, f"{name} must be a whole number, got None") for name in (*COUNTS, "random_steps")),
            *(({name: "0.1"}, f"{name} must be a number") for name in (*RATES, "gamma", "entropy_bonus")),
            *(({name: True}, f"{name} must be a number") for name in (*RATES, "gamma", "importance_clip")),
            *(({name: [0.1]}, f"{name} must be a number") for name in (*RATES, "gamma", "importance_clip")),
            ({"action_samples": "many"}, "action_samples must be a whole number, got 'many'"),
            ({"env_id": 5}, "env_id must be a Gymnasium name such as 'CartPole-v1', got 5"),
            ({"hidden": 32}, r"hidden must be a sequence of sizes such as \(8,\), got 32"),
            ({"hidden": "32"}, "hidden must be a sequence"),
            ({"hidden": (32.0,)}, "hidden must be a whole number, got 32.0"),
            ({"hidden": (True,)}, "hidden must be a whole number, got True"),
            ({"obs_scale": "big"}, "obs_scale must be numeric, got str"),
            ({"obs_scale": None}, "obs_scale must be numeric, got NoneType"),
            ({"prefill": 500}, r"prefill must be a ReplayBuffer or \(policy, count\), got 500"),
            ({"prefill": "random"}, "prefill must be a ReplayBuffer or"),
            (PENDULUM | {"prefill": old_data(obs=3)}, "prefill holds actions of torch.int64, wanted torch.float32"),
            ({"prefill": (None,)}, "prefill must be a ReplayBuffer or"),
            ({"prefill": [0.5, 0.5]}, "count of prefill must be a whole number, got 0.5"),
            ({"prefill": ("random", 500)}, "policy of prefill must be numeric, got str"),
            *(({name: "it"}, f"{name} must be a function, got 'it'") for name in ("q_target", "resampled_loss")),
            ({"policy_gradient_loss": lambda log_prob, advantage: 3.0}, "policy_gradient_loss returned 3.0, wanted"),
            ({"learning": 1e-3}, "train has no option learning; it has env_id, seeds, total_steps"),
            ({"actor_rl": 3, "gama": 0.9}, "train has no option actor_rl, gama; did you mean actor_lr, gamma?"),
        ],
        TypeError,
    ),
)
def test_what_makes_no_sense_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        learner(options)
