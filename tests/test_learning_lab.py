"""The learning labs: agents that learn under the controls, with the package's loss and with a student's."""

import numpy as np
import pytest
import torch

from offac_lite.course import labs, plots
from offac_lite.course.labs.learning import FIXES, N_STEPS
from offac_lite.course.labs.variance_model import FRAMES
from offac_lite.equations import leave_one_out, policy_gradient_loss
from offac_lite.exact import gradient_moments
from tests.lab_changes import assert_each_change_shows


def last(model, **setting):
    *_, result = model(**setting)
    return result


@pytest.fixture(scope="module")
def model():
    return labs.LearningModel()


def student(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action_resampled = pi.sample(action_samples, generator=generator)
    q = critic(obs, action_resampled).detach()
    return -(pi.log_prob(action_resampled) * q).mean()


def two_draws(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    log_prob = pi.log_prob(pi.sample(action_samples, generator=generator))
    return -(log_prob * critic(obs, pi.sample(action_samples, generator=generator))).mean()


def test_the_curves_grow_in_ten_parts_and_the_cloud_stays(model):
    results = list(model(action_samples=4))
    assert [result.learning.steps[-1].item() for result in results] == list(range(40, 401, 40))
    assert [result.done for result in results] == [False] * 9 + [True]
    assert all(result.cloud is results[0].cloud for result in results)
    assert results[-1].learning.returns.shape == (24, 41)


def test_the_cloud_has_the_moments_of_the_first_step(model):
    for setting in (dict(), dict(action_samples=16), dict(baseline="value", batch_size=32)):
        cloud = last(labs.LearningModel(n_steps=10), **setting).cloud
        exact = gradient_moments(model.mdp, model.uniform, "resampled", **dict(batch_size=8) | setting)
        squares = (cloud.points - torch.tensor([1.0, 0.0])).square().sum(-1)
        wanted = exact.variance / exact.target.norm() ** 2
        assert abs(squares.mean() - wanted) < 4 * squares.std() / len(squares) ** 0.5
        with_value = gradient_moments(
            model.mdp, model.uniform, "resampled", baseline="value", batch_size=setting.get("batch_size", 8)
        )
        assert cloud.ring == pytest.approx((with_value.variance**0.5 / exact.target.norm()).item())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_students_function_learns_exactly_as_the_packages(seed):
    """Where it draws as the package does, the curves are the same; the ghost is the package's."""
    result = last(labs.LearningModel(student), action_samples=4, seed=seed)
    assert torch.allclose(result.learning.returns, result.reference.returns, atol=1e-6)
    assert torch.allclose(
        result.reference.returns, last(labs.LearningModel(), action_samples=4, seed=seed).learning.returns
    )


@pytest.mark.slow
def test_a_wrong_function_is_seen_to_fail_beside_the_packages():
    result = last(labs.LearningModel(two_draws), action_samples=16)
    assert result.learning.median < 0.1 < 0.4 < result.reference.median


@pytest.mark.slow
def test_a_function_that_raises_is_explained_in_place():
    def breaks_later(*arguments):
        if arguments[4] == 2:
            raise RuntimeError("K = 2 is broken")
        return student(*arguments)

    lab = labs.learning_lab(breaks_later)
    before = lab.png
    lab.set(action_samples=2)
    assert "K = 2 is broken" in lab.error and lab.png == before
    lab.set(action_samples=4)
    assert lab.error is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_the_questions_of_the_learning_lab_say_is_true(model, seed):
    median = lambda **on: last(model, seed=seed, **on).learning.median  # noqa: E731
    assert median(action_samples=16) < 0.5 < median(action_samples=64)
    assert median(baseline="value") > 0.5
    many_states = median(batch_size=32)
    assert many_states == pytest.approx(median(action_samples=4), abs=0.2)
    assert many_states > 1.5 * median()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_what_the_questions_of_the_fixes_lab_say_is_true(seed):
    model = labs.FixesModel()

    def median(fixes, data, baseline):
        return last(model, fixes=fixes, data=data, baseline=baseline, seed=seed).learning.median

    old = {fixes: median(fixes, "old", None) for fixes in FIXES}
    assert max(old["none"], old["fix 1"]) < 0.05 < 0.1 < old["both"]
    for baseline, low, high in ((None, 0.08, 0.25), ("value", 0.5, 0.54)):
        fresh = [median(fixes, "fresh", baseline) for fixes in FIXES]
        assert all(low < value < high for value in fresh), "on fresh data the fixes change nothing"
    old = {fixes: median(fixes, "old", "value") for fixes in FIXES}
    assert old["fix 1"] > 0.48 > 0.45 > old["both"] > 0.35 > 0.2 > old["none"]


def test_stored_actions_have_their_colour_and_the_policy_is_that_of_the_agent_in_the_middle():
    view = plots.LearningView(None, N_STEPS, 0.54)
    result = last(labs.FixesModel(n_steps=50), fixes="fix 1", data="old")
    view.update(result)
    assert view.median.get_color() == plots.STORED
    ends = result.learning.returns[:, -1]
    chosen = (result.learning.probs == result.policy).all(-1).all(-1).nonzero().flatten()[0]
    assert (ends < ends[chosen]).sum() <= 12 <= (ends <= ends[chosen]).sum()
    lengths = np.hypot(view.lake.arrows.U, view.lake.arrows.V).reshape(11, 4)
    assert lengths == pytest.approx(0.46 * result.policy[view.lake.walkable].numpy(), abs=1e-8)


class TestGhosts:
    def view(self):
        return plots.LearningView(FRAMES["untrained"], N_STEPS, 0.54)

    def drawn(self, view):
        return view.ghost.get_ydata(), view.note.get_text()

    def test_the_former_setting_stays_in_grey(self):
        view, model = self.view(), labs.LearningModel(n_steps=50)
        assert len(self.drawn(view)[0]) == 0
        first = last(model)
        for result in model():
            view.update(result)
        assert len(self.drawn(view)[0]) == 0, "nothing came before"
        for result in list(model(action_samples=4))[:2]:
            view.update(result)
        curve, words = self.drawn(view)
        assert (
            np.allclose(curve, first.learning.returns.median(0).values, atol=0.05) and words == "grey: K = 1, Q, N = 8"
        )
        for result in model(action_samples=8):  # K = 4 was not finished
            view.update(result)
        assert self.drawn(view)[1] == "grey: K = 1, Q, N = 8"
        view.update(last(model, action_samples=16))
        assert self.drawn(view)[1] == "grey: K = 8, Q, N = 8"

    def test_a_pinned_result_stays_until_it_is_taken_away(self):
        view, model = self.view(), labs.LearningModel(n_steps=50)
        results = [last(model, action_samples=k) for k in (1, 2, 4)]
        view.update(results[0])
        view.pin(results[0])
        for result in results[1:]:
            view.update(result)
            assert self.drawn(view)[1] == "grey: K = 1, Q, N = 8"
        view.pin(None)
        assert self.drawn(view)[1] == "grey: K = 2, Q, N = 8"

    def test_the_packages_curves_take_the_place_of_the_former_setting(self):
        view, model = self.view(), labs.LearningModel(two_draws, n_steps=50)
        results = [last(model, action_samples=k) for k in (1, 2)]
        for result in results:
            view.update(result)
            curve, words = self.drawn(view)
            assert words == "grey: the package's function"
            assert np.allclose(curve, np.median(result.reference.returns, 0), atol=1e-8)
            assert not len(view.cloud.ghost.get_xdata()), "its estimates are not drawn"
        view.pin(results[0])
        curve, words = self.drawn(view)
        assert words == "grey: K = 1, Q, N = 8" and len(view.cloud.ghost.get_xdata())
        assert np.allclose(curve, np.median(results[0].learning.returns, 0), atol=1e-8)
        view.pin(None)
        assert self.drawn(view)[1] == "grey: the package's function"


@pytest.mark.slow
def test_controls_move_picture_and_words_and_no_axis():
    lab = labs.learning_lab()
    frame = lambda: [(ax.get_xlim(), ax.get_ylim(), ax.get_position().bounds) for ax in lab._view.figure.axes]  # noqa: E731
    before = frame()
    for change in (dict(action_samples=4), dict(batch_size=2), dict(baseline="value"), dict(seed=1)):
        assert_each_change_shows(lab, [change])
        assert frame() == before
    changes = [dict(weight="GRPO"), dict(step=4), dict(weight="Q itself", step=1), dict(seed=1)]
    assert_each_change_shows(labs.group_lab(), changes)
    assert_each_change_shows(labs.fixes_lab(), [dict(data="old"), dict(fixes="both"), dict(baseline="value")])


@pytest.mark.slow
def test_questions_tick_when_the_agents_get_there():
    lab = labs.learning_lab(controls=["action_samples", "baseline"])
    ticked = lambda: list(lab._checklist.ticked)  # noqa: E731
    lab.set(action_samples=8)
    assert ticked() == [False, False]
    lab.set(action_samples=64)
    assert ticked() == [True, False]
    lab.set(action_samples=1, baseline="value")
    assert ticked() == [True, True]
    lab = labs.learning_lab()
    lab.set(batch_size=32, baseline="value")
    assert ticked() == [False]
    lab.set(baseline="none")
    assert ticked() == [False], "there are two settings to compare"
    lab.set(action_samples=4, batch_size=8)
    assert ticked() == [True]
    lab = labs.fixes_lab()
    lab.set(data="old", fixes="both")
    assert ticked() == [False, False]
    for setting in (dict(fixes="fix 1"), dict(baseline="value")):
        lab.set(**setting)
    assert ticked() == [True, True]


def with_leave_one_out(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action = pi.sample(action_samples, generator=generator)
    return policy_gradient_loss(pi.log_prob(action), leave_one_out(critic(obs, action).detach()))


@pytest.mark.slow
def test_with_leave_one_out_the_agents_end_as_high_as_with_a_baseline():
    lab = labs.own_loss_lab(with_leave_one_out)
    for seed in range(3):
        lab.set(seed=seed, action_samples=2)
        two = lab.result.learning.median
        lab.set(action_samples=4)
        assert min(two, lab.result.learning.median) > 0.5 > 0.45 > lab.result.reference.median
    assert lab._checklist.ticked == [True] and lab._view.note.get_text() == "grey: Q itself"
    assert "K = 4, own_loss, N = 8" in lab.summary_text


@pytest.mark.slow
def test_what_the_questions_of_the_group_lab_say_is_true():
    lab = labs.group_lab()
    for seed in range(3):
        lab.set(seed=seed, weight="RLOO", step=1)
        rloo = lab.result.learning.median
        lab.set(weight="GRPO")
        assert rloo > 0.5 > 0.4 > lab.result.learning.median
        lab.set(step=4)
        assert lab.result.learning.median > 0.5
        lab.set(weight="Q itself")
        assert lab.result.learning.median < 0.3
    assert lab._checklist.ticked == [True, True, True]


def test_after_scaling_the_group_mean_is_leave_one_out():
    model = labs.GroupModel(n_steps=50)
    assert torch.allclose(*(last(model, weight=name).learning.returns for name in ("RLOO", "Dr. GRPO")), atol=1e-9)
    assert [model.length(name) for name in ("Q itself", "RLOO", "Dr. GRPO")] == pytest.approx([1, 1, 0.75])
    with pytest.raises(ValueError, match="weight must be one of 'Q itself', 'RLOO'"):
        next(model("RLO"))


@pytest.mark.slow
def test_a_loss_that_still_is_that_of_q_itself_ticks_nothing():
    lab = labs.own_loss_lab(student)
    lab.set(action_samples=4)
    assert lab._checklist.ticked == [False] and torch.allclose(
        lab.result.learning.returns, lab.result.reference.returns, atol=1e-6
    )


@pytest.mark.slow
def test_only_the_controls_asked_for_are_shown():
    assert list(labs.learning_lab(controls=["action_samples"]).values) == ["action_samples", "seed"]
    with pytest.raises(ValueError, match="controls must be one of"):
        labs.learning_lab(controls=["K"])
