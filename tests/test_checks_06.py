"""The checks of notebook 06, by mutation: wrong answers fail with their own words, right ones pass however written."""

import copy
import re

import nbformat
import pytest
import torch

from offac_lite import checks
from offac_lite.networks import DiscreteQCritic
from tests.refresh_notebooks import ROOT


@torch.no_grad()
def polyak_by_lerp(target, source, tau):
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.lerp_(new, tau)


def polyak_through_data(target, source, tau):
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.data = (1 - tau) * old.data + tau * new.data


def polyak_by_state(target, source, tau):
    new = source.state_dict()
    target.load_state_dict({name: (1 - tau) * old + tau * new[name] for name, old in target.state_dict().items()})


def deep_copy(critic):
    return copy.deepcopy(critic).requires_grad_(False)


def same_start(critic):
    target = DiscreteQCritic(2, 2, (3,), n_seeds=2, generator=torch.Generator())
    target.load_state_dict(critic.state_dict())
    return target


RIGHT = {
    checks.POLYAK_UPDATE: [polyak_by_lerp, polyak_through_data, polyak_by_state],
    checks.MAKE_TARGET: [deep_copy, same_start],
    checks.REPLAY_RATIO: [lambda u, b, n: u * b / n, lambda u, b, n: torch.tensor(u * b / n)],
}


@pytest.mark.parametrize(("exercise", "function"), [(e, f) for e, fs in RIGHT.items() for f in fs])
def test_right_answers_pass(exercise, function):
    assert checks.diagnose(exercise, function) == (True, exercise.praise)


def pairs(target, source):
    return zip(target.parameters(), source.parameters(), strict=True)


@torch.no_grad()
def swapped(target, source, tau):
    for old, new in pairs(target, source):
        old.lerp_(new, 1 - tau)


def rebound(target, source, tau):
    for old, new in pairs(target, source):
        old = (1 - tau) * old + tau * new


def copied(target, source, tau):
    target.load_state_dict(source.state_dict())


@torch.no_grad()
def other_way(target, source, tau):
    for old, new in pairs(target, source):
        new.lerp_(old, tau)


@torch.no_grad()
def added(target, source, tau):
    for old, new in pairs(target, source):
        old += tau * new


@torch.no_grad()
def shrunk(target, source, tau):
    for old, _ in pairs(target, source):
        old *= 1 - tau


@torch.no_grad()
def away(target, source, tau):
    for old, new in pairs(target, source):
        old += tau * (old - new)


@torch.no_grad()
def only_first(target, source, tau):
    for old, new in pairs(target, source):
        old.lerp_(new, tau)
        return


@torch.no_grad()
def both_moved(target, source, tau):
    for old, new in pairs(target, source):
        old.lerp_(new, tau)
        new.copy_(old)


def without_no_grad(target, source, tau):
    for old, new in pairs(target, source):
        old.mul_(1 - tau).add_(tau * new)


def frozen(critic):
    target = copy.deepcopy(critic)
    for p in critic.parameters():
        p.requires_grad = False
    return target


WRONG = [
    (checks.POLYAK_UPDATE, swapped, "τ and 1 − τ are swapped"),
    (checks.POLYAK_UPDATE, rebound, "keeps its old numbers"),
    (checks.POLYAK_UPDATE, copied, "you copy the network whatever τ says"),
    (checks.POLYAK_UPDATE, other_way, "towards its target"),
    (checks.POLYAK_UPDATE, added, "kept whole"),
    (checks.POLYAK_UPDATE, shrunk, "nothing of the network is added"),
    (checks.POLYAK_UPDATE, away, "the sign is flipped"),
    (checks.POLYAK_UPDATE, only_first, "the first tensor of parameters"),
    (checks.POLYAK_UPDATE, both_moved, "the network itself is changed too"),
    (checks.POLYAK_UPDATE, without_no_grad, "it stops with RuntimeError: a leaf Variable"),
    (checks.MAKE_TARGET, lambda critic: critic, "under a second name: whatever"),
    (checks.MAKE_TARGET, copy.copy, "under a second name: whatever"),
    (checks.MAKE_TARGET, frozen, "the critic itself has been frozen"),
    (checks.MAKE_TARGET, lambda critic: critic.requires_grad_(False), "neither of them can learn"),
    (checks.MAKE_TARGET, lambda critic: critic.state_dict(), "returned a .*Dict; a network is wanted"),
    (
        checks.MAKE_TARGET,
        lambda critic: DiscreteQCritic(2, 2, (3,), n_seeds=2, generator=torch.Generator().manual_seed(5)),
        "starts from other numbers",
    ),
    (checks.REPLAY_RATIO, lambda u, b, n: u * b, "n_envs is missing"),
    (checks.REPLAY_RATIO, lambda u, b, n: u * b * n, "n_envs must divide"),
    (checks.REPLAY_RATIO, lambda u, b, n: u / n, "size of the batch is missing"),
    (checks.REPLAY_RATIO, lambda u, b, n: b / n, "updates_per_step is missing"),
    (checks.REPLAY_RATIO, lambda u, b, n: n / u / b, "the other way round"),
    (checks.REPLAY_RATIO, lambda u, b, n: b / u / n, "must multiply"),
    (checks.REPLAY_RATIO, lambda u, b, n: (u * b) // n, "rounded down"),
    (checks.REPLAY_RATIO, lambda u, b, n: u, "this counts updates"),
]


@pytest.mark.parametrize(("exercise", "function", "words"), WRONG, ids=lambda x: getattr(x, "name", ""))
def test_wrong_answers_fail_with_their_own_words(exercise, function, words):
    verdict, said = checks.diagnose(exercise, function)
    assert verdict is False and re.search(words, said), said
    for revealing in ("lerp", "deepcopy", "copy_", "no_grad", "* b"):
        assert revealing not in said


def test_every_exercise_has_enough_wrong_answers_and_every_named_mistake_is_reached():
    for exercise in RIGHT:
        wrong = [f for e, f, _ in WRONG if e is exercise]
        assert len(wrong) >= 5, exercise.name
        said = {checks.diagnose(exercise, f)[1] for f in wrong}
        assert {words for _, words in exercise.mistakes} <= said, exercise.name


def test_stubs_and_the_planted_bug_are_not_attempted(capsys):
    def my_polyak_update(target, source, tau): ...

    def my_make_target(critic):
        target_critic = critic  # the bug is here
        return target_critic

    def my_replay_ratio(updates_per_step, batch_size, n_envs): ...

    assert checks.polyak_update(my_polyak_update) is checks.POLYAK_UPDATE.right
    assert checks.make_target(my_make_target) is checks.MAKE_TARGET.right
    assert checks.replay_ratio(my_replay_ratio) is checks.REPLAY_RATIO.right
    assert capsys.readouterr().out.count("not attempted yet") == 3


# ------------------------------------------------------------------ the notebook's own text

NOTEBOOK = nbformat.read(ROOT / "notebooks" / "06_off_policy_actor_critic.ipynb", as_version=4)
NAMES = {
    "my_polyak_update": checks.POLYAK_UPDATE,
    "my_make_target": checks.MAKE_TARGET,
    "my_replay_ratio": checks.REPLAY_RATIO,
    "my_q_target": checks.Q_TARGET,
    "my_leave_one_out": checks.LEAVE_ONE_OUT,
    "my_resampled_loss": checks.RESAMPLED_LOSS,
}


def defined_in(source: str, name: str):
    scope = {"torch": torch, "checks": checks}
    exec(source, scope)
    return scope[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_folded_solution_passes_and_the_stub_is_not_attempted(name, capsys):
    texts = [cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown"]
    blocks = [block for text in texts for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    (solution,) = [block for block in blocks if f"def {name}(" in block]
    assert checks.diagnose(NAMES[name], defined_in(solution, name))[0] is True
    (stub,) = [c.source for c in NOTEBOOK.cells if c.cell_type == "code" and f"def {name}(" in c.source]
    assert checks.diagnose(NAMES[name], defined_in(stub, name))[0] is None
    assert "not attempted yet" in capsys.readouterr().out


def test_a_right_function_is_handed_back_and_a_wrong_one_replaced(capsys):
    assert checks.polyak_update(polyak_by_lerp) is polyak_by_lerp
    assert checks.make_target(copy.copy) is checks.MAKE_TARGET.right
    assert checks.replay_ratio(RIGHT[checks.REPLAY_RATIO][0]) is RIGHT[checks.REPLAY_RATIO][0]
    printed = capsys.readouterr().out
    assert printed.count("✓") == 2 and printed.count("✗") == 1
