"""PyTorch as a student has set it: default dtype, default device, gradients off. Everything works as it always does."""

import contextlib
import subprocess
import sys

import pytest
import torch

from offac_lite import PENDULUM, train
from offac_lite.course import checks, labs
from offac_lite.networks import CategoricalPolicy
from tests.hostile import TORCH

SHORT = {"seeds": 2, "total_steps": 800, "evaluations": 1, "eval_episodes": 2, "progress": False}


def own_loss(policy, critic, obs, action, action_samples, generator):
    return -policy(obs).log_prob(action).mean((-2, -1) if action.ndim > 2 else -1)


@contextlib.contextmanager
def all_settings():
    with contextlib.ExitStack() as stack:
        for setting in TORCH.values():
            stack.enter_context(setting())
        yield


TRAININGS = {
    "the default": {},
    "V, stored": {"critic": "v", "action": "stored"},
    "own": {"resampled_loss": own_loss},
    "Pendulum": {"config": PENDULUM, "total_steps": 400, "random_steps": 200},
    "old data": {"prefill": ((0.2, 0.8), 100)},
}


def curves(options):
    run = train(options.get("config", "CartPole-v1"), **SHORT | {k: v for k, v in options.items() if k != "config"})
    return [run.steps, run.returns, *run.log.values(), *run.policy.parameters(), *run.critic.parameters()]


@pytest.mark.slow
@pytest.mark.parametrize("training", TRAININGS)
def test_a_run_is_the_same_bit_for_bit(training):
    wanted = curves(TRAININGS[training])
    with all_settings():
        seen = curves(TRAININGS[training])
    for one, two in zip(seen, wanted, strict=True):
        assert (one.dtype, one.device) == (two.dtype, two.device)
        torch.testing.assert_close(one, two, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("setting", TORCH)
def test_an_agent_acts(setting):
    with TORCH[setting]():
        policy = CategoricalPolicy(4, 2, generator=torch.Generator().manual_seed(0))
        assert policy.act([0.0, 0.1, 0.0, 0.2]) in (0, 1)


LABS = (  # one of those that share a model
    *("action_lab", "age_lab", "baseline_lab", "continuous_lab", "critic_lab", "learning_lab", "one_ratio_lab"),
    *("two_critics_lab", "variance_lab", "weights_lab"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", LABS)
def test_a_lab_shows_the_same(name):
    wanted = getattr(labs, name)()
    with all_settings():
        lab = getattr(labs, name)()
        control = next(c for c in lab.controls.values() if hasattr(c, "max"))
        before, control.value = control.value, control.max
        assert lab.error is None
        control.value = before
    assert lab.summary_text == wanted.summary_text and lab.png == wanted.png


def test_in_inference_mode_training_names_it():
    with torch.inference_mode(), pytest.raises(ValueError, match=r"torch\.inference_mode"):
        train(**SHORT)


@pytest.mark.parametrize("setting", TORCH)
def test_the_right_answers_are_right_and_mistakes_are_named(setting):
    plain = {name: exercise.mistakes[0][0] for name, exercise in checks.EXERCISES.items()}
    wanted = {name: checks.EXERCISES[name].verdict(mistake) for name, mistake in plain.items()}
    with TORCH[setting]():
        for name, exercise in checks.EXERCISES.items():
            assert exercise.verdict(exercise.right)[0] is True, name
            verdict, words = exercise.verdict(plain[name])
            assert verdict == wanted[name][0] and words.startswith(wanted[name][1])
            assert setting in words if verdict is False else setting not in words


@pytest.mark.slow
def test_the_numbers_of_the_exercises_do_not_depend_on_when_they_were_imported():
    code = (
        "import torch\n"
        "torch.set_default_dtype(torch.float64); torch.set_default_device('meta'); torch.set_grad_enabled(False)\n"
        "from offac_lite.course import checks\n"
        "print(*(name for name, e in checks.EXERCISES.items() if e.verdict(e.right)[0] is not True))\n"
        "print(torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled())\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["", "torch.float64 meta False"]
