"""Old data: the policy of a buffer and its mean updates against other ways of computing them; the labs by value."""

import copy

import pytest
import torch

from offac_lite import ReplayBuffer
from offac_lite.course import checks, labs
from offac_lite.course.labs.replay import Comparison
from offac_lite.envs import VectorEnv
from offac_lite.exact import TabularMDP
from offac_lite.exact.estimators import gradient_moments
from offac_lite.exact.replay_bias import buffer_policy, four_updates, mean_update
from offac_lite.networks import CategoricalPolicy
from offac_lite.play import fill


def random_world(seed=0, n_states=5, n_actions=3):
    gen = torch.Generator().manual_seed(seed)
    transition = 0.9 * torch.softmax(2 * torch.randn(n_states, n_actions, n_states, generator=gen), -1)
    initial = torch.softmax(torch.randn(n_states, generator=gen, dtype=torch.float64), -1)
    mdp = TabularMDP(transition, torch.randn(n_states, n_actions, generator=gen), initial, 0.95)
    return mdp, torch.randn(4, n_states, n_actions, generator=gen, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_one_policy_would_have_written_the_same_buffer(seed):
    mdp, logits = random_world(seed)
    probs = torch.softmax(logits, -1)
    visits = mdp.occupancy(probs)
    one = buffer_policy(probs, visits)
    joint = (visits[..., None] * probs).mean(0)  # ρ(s) β(a|s), the distribution of what is stored
    torch.testing.assert_close(mdp.occupancy(one)[:, None] * one, joint)
    torch.testing.assert_close(mdp.expected_return(one), mdp.expected_return(probs).mean())


def test_where_nobody_goes_the_policy_of_the_buffer_is_the_plain_mean():
    mixed = buffer_policy([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.5, 0.5]]], [[1.0, 0.0], [3.0, 0.0]])
    assert mixed.tolist() == [[0.25, 0.75], [0.75, 0.25]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([[0.5, 0.5]], [[1.0]]), "probs has shape"),
        (([[[0.5, 0.5]]], [1.0]), "visits has shape"),
        (([[[0.5, 0.5]]], [[-1.0]]), "visits holds a negative"),
        (([[[0.5, float("nan")]]], [[1.0]]), "probs"),
    ],
)
def test_buffer_policy_names_what_is_wrong(arguments, words):
    with pytest.raises(ValueError, match=words):
        buffer_policy(*arguments)


@pytest.mark.parametrize("seed", range(3))
def test_mean_updates_are_the_exact_gradients_they_should_be(seed):
    mdp, logits = random_world(seed)
    pi, old = torch.softmax(logits[:2], -1)
    for baseline in (None, "value"):
        updates = four_updates(mdp, logits[0], old, baseline)
        for actions, estimator in (("π", "resampled"), ("stored", "stored")):
            m = gradient_moments(mdp, logits[0], estimator, behavior=old, baseline=baseline)
            torch.testing.assert_close(updates["right", actions], m.mean)
        q = mdp.reward + mdp.gamma * mdp.transition @ mdp.state_values(old)
        m = gradient_moments(mdp, logits[0], "resampled", behavior=old, baseline=baseline, q=q)
        torch.testing.assert_close(updates["naive", "π"], m.mean)
    fresh = four_updates(mdp, logits[0], pi)
    for update in fresh.values():
        torch.testing.assert_close(update, mdp.policy_gradient(logits[0]))


@pytest.mark.parametrize("seed", range(3))
def test_naive_replay_follows_the_gradient_of_the_buffers_policy_whatever_the_current_one(seed):
    mdp, logits = random_world(seed)
    old = torch.softmax(logits[1], -1)
    for current in logits:
        naive = four_updates(mdp, current, old)["naive", "stored"]
        torch.testing.assert_close(naive, mdp.policy_gradient(logits[1]))
    without = four_updates(mdp, logits[0], old, None)["naive", "stored"]
    assert not torch.allclose(without, four_updates(mdp, logits[2], old, None)["naive", "stored"])


def test_a_mean_update_is_what_samples_average_to():
    mdp, logits = random_world()
    pi, old = torch.softmax(logits[:2], -1)
    value, gen = torch.randn(5, generator=torch.Generator().manual_seed(1), dtype=torch.float64), torch.Generator()
    gen.manual_seed(2)
    visits = mdp.occupancy(old)
    s = torch.multinomial(visits, 200_000, True, generator=gen)
    a = torch.multinomial(old[s], 1, generator=gen)[:, 0]
    outcome = torch.cat([mdp.transition, 1 - mdp.transition.sum(-1, keepdim=True)], -1)[s, a]
    next_value = torch.cat([value, torch.zeros(1)])[torch.multinomial(outcome, 1, generator=gen)[:, 0]]
    weight = mdp.reward[s, a] + mdp.gamma * next_value - value[s]
    score = torch.nn.functional.one_hot(a, 3) - pi[s]
    sampled = torch.zeros(5, 3, dtype=torch.float64).index_add_(0, s, weight[:, None] * score)
    wanted = mean_update(mdp, logits[0], old, value, old)
    torch.testing.assert_close(sampled * visits.sum() / len(s), wanted, atol=0.05, rtol=0.05)


def test_the_naive_critics_value_can_be_given():
    mdp, logits = random_world()
    pi, old = torch.softmax(logits[:2], -1)
    value = torch.arange(5.0, dtype=torch.float64)
    updates = four_updates(mdp, logits[0], old, naive_value=value)
    for actions, probs in (("π", pi), ("stored", old)):
        torch.testing.assert_close(updates["naive", actions], mean_update(mdp, logits[0], old, value, probs))
    assert torch.equal(updates["right", "π"], four_updates(mdp, logits[0], old)["right", "π"])
    with pytest.raises(ValueError, match="naive_value has shape"):
        four_updates(mdp, logits[0], old, naive_value=value[:4])


def test_mean_update_names_what_is_wrong():
    mdp, logits = random_world()
    pi = torch.softmax(logits[0], -1)
    with pytest.raises(ValueError, match="value has shape"):
        mean_update(mdp, logits[0], pi, torch.zeros(4), pi)
    with pytest.raises(ValueError, match="actions"):
        mean_update(mdp, logits[0], pi, torch.zeros(5), 2 * pi)
    with pytest.raises(ValueError, match="baseline must be"):
        mean_update(mdp, logits[0], pi, torch.zeros(5), pi, "leave-one-out")


# ------------------------------------------------------------------------------------------------ the age lab


@pytest.mark.parametrize(
    "setting", [dict(), dict(age=7), dict(age=20, writers="one"), dict(age=3, baseline=None)], ids=str
)
def test_the_age_labs_numbers_are_the_exact_ones(setting):
    model = labs.AgeModel()
    result = model(**setting)
    age, mdp = setting.get("age", 0), model.mdp
    probs = torch.softmax(model.path[20 - age :], -1)
    if setting.get("writers") == "one":
        probs = probs[:1]
    old = buffer_policy(probs, mdp.occupancy(probs))
    gradient = mdp.policy_gradient(model.path[-1])
    for box, update in four_updates(mdp, model.path[-1], old, setting.get("baseline", "value")).items():
        seen = result.updates[box]
        assert seen.distance == pytest.approx(((update - gradient).norm() / gradient.norm()).item(), abs=1e-9)
        assert seen.distance**2 == pytest.approx(1 + seen.length**2 - 2 * seen.length * seen.cosine, abs=1e-9)
    torch.testing.assert_close(result.naive, mdp.state_values(old))
    torch.testing.assert_close(result.exact, mdp.state_values(torch.softmax(model.path[-1], -1)))
    assert result.return_buffer == pytest.approx(mdp.expected_return(probs).mean().item())
    assert result.value_error == (result.exact - result.naive).abs().max()


def test_with_fresh_data_nothing_is_wrong_and_with_old_data_everything_grows():
    results = [labs.AgeModel()(age=age) for age in range(21)]
    assert results[0].value_error < 1e-12 and all(u.distance < 1e-9 for u in results[0].updates.values())
    errors = [result.value_error for result in results]
    assert errors == sorted(errors)
    for box in results[0].updates:
        off = [result.updates[box].distance for result in results]
        assert off == sorted(off), box


def test_an_update_of_length_zero_has_no_direction():
    assert Comparison.of(torch.zeros(2, 2), torch.ones(2, 2)) == Comparison(0.0, 0.0, 1.0)


@pytest.mark.slow
def test_the_age_labs_controls_move_picture_and_words():
    lab = labs.age_lab()
    seen = {lab.png: lab.summary_text}
    for change in (dict(age=7), dict(writers="one"), dict(baseline="none"), dict(age=20)):
        lab.set(**change)
        assert lab.error is None
        assert lab.png not in seen and lab.summary_text not in seen.values(), change
        seen[lab.png] = lab.summary_text
    assert list(labs.age_lab(controls=["age"]).values) == ["age"]
    with pytest.raises(ValueError, match="controls must be one of"):
        labs.age_lab(controls=["AGE"])
    for outside, words in ((dict(age=21), "age must"), (dict(writers="some"), "writers must be one of")):
        with pytest.raises(ValueError, match=words):
            labs.AgeModel()(**outside)


@pytest.mark.slow
def test_the_age_labs_axes_stay_and_what_is_beyond_them_is_a_triangle():
    model, view = labs.AgeModel(), labs.age_lab()._view
    before = [(ax.get_xlim(), ax.get_ylim()) for ax in view.figure.axes]
    for age in (0, 8, 20):
        for writers in ("all", "one"):
            for baseline in ("value", "none"):
                result = model(age, writers, baseline)
                view.update(result)
                assert (result.naive - result.exact).abs().max() < view.errors.top
                for box, dot in view.dots.items():
                    (x,), (y,) = dot.get_data()
                    off = result.updates[box].distance
                    if dot.get_marker() == "o":
                        assert ((x - 1) ** 2 + y**2) ** 0.5 == pytest.approx(off, abs=1e-5), "true distances"
                    assert view.numbers[box].get_text() == f"{off:.2f}"
                assert baseline == "none" or {dot.get_marker() for dot in view.dots.values()} == {"o"}
    assert view.dots["right", "stored"].get_marker() == "<"
    assert before == [(ax.get_xlim(), ax.get_ylim()) for ax in view.figure.axes]
    view.pin(result)
    assert all(len(ghost.get_xdata()) == 1 for ghost in view.ghosts)
    view.pin(None)
    assert not any(len(ghost.get_xdata()) for ghost in view.ghosts)


def test_the_age_labs_question_is_ticked_by_the_setting_that_answers_it():
    lab, ticked = labs.age_lab(), []
    for age in (7, 8, 20):
        lab.set(age=age)
        ticked.append(list(lab._checklist.ticked))
    assert ticked == [[False], [True], [True]]


@pytest.mark.slow
def test_the_age_lab_computes_the_naive_value_with_the_students_function():
    def zero(transition, reward, buffer_policy, gamma):
        assert transition.shape == (16, 4, 16) and reward.shape == buffer_policy.shape == (16, 4) and gamma == 0.99
        return torch.zeros(16, dtype=torch.float64)

    lab = labs.age_lab(zero)
    assert lab.error is None and not lab.result.naive.any()
    theirs, ours = lab.result.updates, labs.AgeModel()(age=4).updates
    assert theirs["right", "stored"] == ours["right", "stored"] and theirs["naive", "π"] != ours["naive", "π"]
    assert labs.age_lab(checks.naive_fixed_point.right).summary_text == labs.age_lab().summary_text


# --------------------------------------------------------------------------------------------- the buffer lab


def short_run():
    """Two agents whose policies change (they do not learn): a buffer and moments of its filling."""
    gen = torch.Generator().manual_seed(0)
    env = VectorEnv("CartPole-v1", 8, n_seeds=2, seed=0)
    buffer, past = ReplayBuffer(2000, (4,), n_seeds=2), []
    policy = CategoricalPolicy(4, 2, (8,), n_seeds=2, generator=gen)
    for moment in range(1, 6):
        fill(buffer, env, policy, 200 + 10 * moment, gen)
        past.append((250 * moment, buffer.lengths, copy.deepcopy(policy)))
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter += 0.3 * torch.randn(parameter.shape, generator=gen)
    return buffer, past


@pytest.fixture(scope="module")
def run():
    return short_run()


def test_the_buffer_lab_shows_the_buffer_as_it_was(run):
    buffer, past = run
    model = labs.BufferModel(buffer, past, index=1)
    for moment, (steps, lengths, policy) in enumerate(past):
        result = model(steps)
        assert result.steps == steps == model(steps + 249).steps
        assert result.written.max() <= steps and result.counts.sum() == len(result.written) == 256
        data = buffer.all(1)
        stored = lengths[1]
        torch.testing.assert_close(result.now, data.obs[max(0, stored - 256) : stored][:, [0, 2]])
        pi = policy.of_seed(1)(data.obs[:stored]).log_prob(data.action[:stored]).exp()
        differ = (pi - data.log_prob[:stored].exp()).abs().double()
        stratum = (model.written[:stored] / (1250 / 12)).long().clamp_max(11)
        for i in range(12):
            if (stratum == i).any():
                assert result.disagreement[i].item() == pytest.approx(differ[stratum == i].mean().item(), abs=1e-6)
            else:
                assert result.disagreement[i].isnan() and result.counts[i] == 0
        filled = result.disagreement[~result.disagreement.isnan()]
        assert filled[-1] < 1e-3, "the newest data was written by this very policy"
        assert moment == 0 or filled[0] > 1e-3
    with pytest.raises(ValueError, match="steps must be at least 250"):
        model(100)


def test_written_runs_with_the_steps_of_the_environments(run):
    model = labs.BufferModel(*run)
    assert (model.written.diff() > 0).all() and model.written[0] == 0
    for steps, stored in zip(model.steps, model.stored, strict=True):
        assert abs(model.written[stored - 1] - steps) < 2


def test_the_buffer_labs_slider_moves_picture_and_words(run):
    lab = labs.buffer_lab(*run)
    before = lab.png, lab.summary_text
    assert lab.values == {"steps": 1250}
    lab.set(steps=500)
    assert lab.error is None and lab.png != before[0] and lab.summary_text != before[1]
    assert lab.summary_text.startswith("After 500 steps, 256 of the batch's 256")
    assert lab._view.count.get_text() == "256 of 256 from the latest 1,000 steps"
    lab.set(steps=1250)
    assert lab._checklist.ticked == [False, True], "the whole of this run is shorter than 2,000 steps"


def test_a_past_that_is_not_of_this_buffer_is_refused(run):
    buffer, past = run
    with pytest.raises(ValueError, match="but past names"):
        labs.BufferModel(buffer, [*past, (1500, [9999, 9999], past[-1][2])])
