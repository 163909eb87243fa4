"""The lab of the one line of notebook 00: what happens on the screen with the stored action, and with one drawn now."""

import pytest
import torch

from offac_lite.course import labs
from tests.lab_changes import assert_each_change_shows


def stored(pi, stored_action, K, generator):
    return stored_action


def drawn(pi, stored_action, K, generator):
    return pi.sample(K, generator=generator)


def one_drawn(pi, stored_action, K, generator):
    return pi.sample(generator=generator)


def last(choose, **setting):
    *_, result = labs.OldDataModel(choose)(**setting)
    return result


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_with_the_stored_action_the_agents_do_not_learn_and_with_a_fresh_one_they_do(seed):
    old, new = last(stored, seed=seed), last(drawn, seed=seed)
    assert old.stored and not new.stored and old.done and new.done
    assert old.learning.median < 0.05 and new.learning.median > 0.3
    assert torch.equal(new.learning.returns, new.reference.returns), "the same draws as the package's"
    assert torch.equal(old.reference.returns, new.reference.returns)


@pytest.mark.slow
def test_k_does_nothing_for_the_stored_action_and_one_action_needs_no_axis_of_its_own():
    assert torch.equal(last(stored, action_samples=1).learning.returns, last(stored).learning.returns)
    one = last(one_drawn, action_samples=1)
    assert not one.stored and torch.equal(one.learning.returns, one.reference.returns)
    assert one.words == "K = 1, your actions"


@pytest.mark.slow
def test_who_draws_one_action_where_k_are_wanted_is_told():
    assert last(one_drawn, action_samples=16).words == "K = 16, your actions, 1 per state and not K"
    assert last(drawn, action_samples=16).words == "K = 16, your actions"
    three = last(lambda pi, stored_action, K, generator: pi.sample(3, generator=generator))
    assert three.words == "K = 16, your actions, 3 per state and not K"


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda pi, stored_action, K, generator: None, TypeError, "must return a tensor of actions, got NoneType"),
        (lambda pi, stored_action, K, generator: stored_action[..., :3], ValueError, "your actions have shape"),
        (lambda pi, stored_action, K, generator: pi.probs, ValueError, "your actions have shape"),
        (lambda pi, stored_action, K, generator: stored_action + 4, ValueError, "from 0 to 3, got torch.int64, 4 to 7"),
        (lambda pi, stored_action, K, generator: stored_action.float(), ValueError, "got torch.float32, 0 to 3"),
    ],
)
def test_what_are_no_actions_is_refused_in_words(wrong, error, words, capsys):
    with pytest.raises(error, match=words):
        last(wrong)
    lab = labs.old_data_lab(wrong)
    said = capsys.readouterr().out
    assert said.startswith("✗ <lambda>: ") and words in said and said.endswith("goes on with the stored action.\n")
    assert lab.result.stored and "stored actions" in lab.summary_text


@pytest.mark.parametrize(
    ("choose", "said"),
    [
        (stored, ""),
        (drawn, "✓ drawn: right."),
        (one_drawn, "✗ one_drawn: 1 per state and not K. Ask `pi.sample` for K of them.\n"),
        (
            lambda pi, stored_action, K, generator: pi.probs.argmax(-1).unsqueeze(-2).expand(-1, K, -1),
            "… <lambda>: these are not the actions that `pi.sample` draws.",
        ),
    ],
)
def test_a_line_says_whether_the_function_is_right(choose, said, capsys):
    labs.old_data_lab(choose)
    printed = capsys.readouterr().out
    assert printed.startswith(said) and bool(printed) == bool(said)


def test_a_slip_is_named_with_its_line(capsys):
    def slip(pi, stored_action, K, generator):
        return pi.smpl(K, generator=generator)

    def stub(pi, stored_action, K, generator):
        raise NotImplementedError

    said = {slip: "AttributeError: 'Categorical' object has no attribute 'smpl'", stub: "NotImplementedError"}
    for function, words in said.items():
        labs.old_data_lab(function)
        line = function.__code__.co_firstlineno + 1
        expected = f"✗ {function.__name__} stops with {words} (line {line})\n"
        assert capsys.readouterr().out.startswith(expected)


@pytest.mark.slow
def test_each_question_is_ticked_by_the_setting_that_answers_it():
    lab = labs.old_data_lab(stored)
    assert_each_change_shows(lab, [dict(action_samples=1)])
    assert lab._checklist.ticked == [True]
    lab = labs.old_data_lab(drawn)
    many = lab.result.learning.median
    for k, ticked in ((4, [False]), (1, [True])):
        lab.set(action_samples=k)
        assert lab._checklist.ticked == ticked and "your actions" in lab.summary_text
    assert 0.05 < lab.result.learning.median < many / 2
    lab = labs.old_data_lab(lambda pi, stored_action, K, generator: pi.probs.argmax(-1))
    lab.set(action_samples=1)
    assert lab._checklist.ticked == [False], "they do not learn"


@pytest.mark.slow
def test_another_sample_is_the_next_seed():
    lab = labs.old_data_lab(drawn, seed=4)
    lab.set(action_samples=1, seed=1)
    assert torch.equal(lab.result.learning.returns, last(drawn, action_samples=1, seed=5).learning.returns)


@pytest.mark.slow
def test_an_error_in_the_function_is_shown_and_the_picture_stays():
    calls = []

    def breaks_later(pi, stored_action, K, generator):
        calls.append(K)
        if K == 2:
            raise RuntimeError("no such luck")
        return stored_action

    lab = labs.old_data_lab(breaks_later)
    before = lab.png
    lab.set(action_samples=2)
    assert "no such luck" in lab.error and lab.png == before and 2 in calls
