"""Environments with the interface of the old Gym are named, with what is wanted; other errors pass as they are."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from offac_lite import train
from offac_lite.envs import VectorEnv

OBS = np.zeros(2, np.float32)
SHORT = {"seeds": 2, "total_steps": 400, "evaluations": 1, "eval_episodes": 2, "progress": False}


class Right(gymnasium.Env):
    observation_space, action_space = Box(-1, 1, (2,), np.float32), Discrete(2)

    def reset(self, *, seed=None, options=None):
        return OBS, {}

    def step(self, action):
        return OBS, 1.0, True, False, {}


def variant(**methods):
    return type("Variant", (Right,), methods)


WANTED = r"Wanted are reset\(self, \*, seed=None, options=None\), which .* \(obs, reward, terminated, truncated, info\)"
REFUSED = {
    "a step of four": (
        variant(step=lambda self, action: (OBS, 1.0, True, {})),
        "its step returned ndarray, float, bool, dict",
    ),
    "a reset without info": (variant(reset=lambda self, *, seed=None, options=None: OBS), "its reset returned ndarray"),
    "a reset of two numbers": (
        variant(reset=lambda self, *, seed=None, options=None: [0.0, 0.0]),
        "its reset returned list",
    ),
    "a reset without a seed": (variant(reset=lambda self: (OBS, {})), "its reset does not take .* keyword .*'seed'"),
    "a reset without options": (variant(reset=lambda self, seed=None: (OBS, {})), "keyword argument 'options'"),
    "reward and end swapped": (
        variant(step=lambda self, action: (OBS, True, 1.0, False, {})),
        "its step returned ndarray, bool, float, bool, dict",
    ),
    "nothing": (variant(step=lambda self, action: None), "its step returned NoneType"),
    "ends as arrays": (
        variant(step=lambda self, action: (OBS, 1.0, [True], [False], {})),
        "returned ndarray, float, l",
    ),
}


@pytest.fixture
def register():
    """Register an environment under a name."""
    names = []

    def registered(world, **kwargs):
        names.append(f"Variant{len(names)}-v0")
        gymnasium.register(names[-1], world, **kwargs)
        return names[-1]

    yield registered
    for name in names:
        del gymnasium.registry[name]


@pytest.mark.filterwarnings("ignore")  # of Gymnasium, about the same
@pytest.mark.parametrize("limit", [None, 10])
@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("world", REFUSED)
def test_an_environment_of_the_old_gym_is_named(register, world, checked, limit):
    made, words = REFUSED[world]
    name = register(made, max_episode_steps=limit, disable_env_checker=not checked)
    with pytest.raises(ValueError, match=f"{name} does not have Gymnasium's interface: .*{words}.*{WANTED}"):
        train(name, **SHORT)


@pytest.mark.filterwarnings("ignore")
def test_an_observation_of_another_shape_is_named(register):
    name = register(variant(reset=lambda self, *, seed=None, options=None: (np.zeros(3, np.float32), {})))
    with pytest.raises(ValueError, match=rf"{name} gave an observation of shape \(3,\), wanted \(2,\)"):
        train(name, **SHORT)


@pytest.mark.parametrize("flags", [(True, False), (np.True_, np.False_), (1, 0), (np.array(True), np.array(False))])
def test_ends_that_mean_one_thing_are_taken(register, flags):
    name = register(variant(step=lambda self, action: (OBS, 1, *flags, {})), disable_env_checker=True)
    env = VectorEnv(name, 2)
    env.reset()
    step = env.step([0, 1])
    assert step.terminated.all() and not step.truncated.any() and step.reward.tolist() == [1.0, 1.0]


@pytest.mark.filterwarnings("ignore")
def test_an_error_of_the_environment_s_own_passes_as_it_is(register):
    def step(self, action):
        raise KeyError("a bug")

    def reset(self, *, seed=None, options=None):
        return {}["no such key"], {}

    for methods in ({"step": step}, {"reset": reset}):
        env = VectorEnv(register(variant(**methods), max_episode_steps=5), 2)
        with pytest.raises(KeyError, match="a bug|no such key"):
            env.reset()
            env.step([0, 1])


def test_what_is_no_environment_is_named(register):
    class NoSpaces(gymnasium.Env):
        pass

    for world, words in ((NoSpaces, "must specify an action space"), (object, "must inherit from the gymnasium.Env")):
        name = register(world)
        with pytest.raises(ValueError, match=f"env_id = '{name}' cannot be made: .*{words}"):
            VectorEnv(name, 2)


def test_after_the_first_step_nothing_stands_between(register):
    env = VectorEnv(register(Right, disable_env_checker=True), 2)
    env.reset()
    env.step([0, 1])
    for single in env.gym_env.unwrapped.envs:
        assert single.step == single.env.step and single.reset == single.env.reset
