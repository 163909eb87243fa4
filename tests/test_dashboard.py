"""The training dashboard, by value: it trains beside the cells, and its controls act on what is running."""

import io
import threading
import time
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch

from offac_lite import Config, equations
from offac_lite.course import labs
from offac_lite.course.labs.breaks import NextActions
from offac_lite.course.labs.history import History
from offac_lite.networks import evaluate_together
from offac_lite.run import Run
from offac_lite.training import Learner
from offac_lite.updates import expected_q


@pytest.fixture
def dashboard():
    dashboard = labs.Dashboard(seeds=3, total_steps=1_200, refresh=0.05)
    yield dashboard
    dashboard.stop()


@pytest.fixture
def endless():
    """A training that is not over before it is stopped."""
    dashboard = labs.Dashboard(seeds=3, total_steps=16_000, refresh=0.05, band=False)
    yield dashboard
    dashboard.stop()


class Gate(threading.Event):
    """What a training waits for while it is paused; `reached` says that it does."""

    def __init__(self):
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout=None):
        if not self.is_set():
            self.reached.set()
        return super().wait(timeout)


def until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
def test_a_training_that_has_ended_or_failed_can_begin_again():
    board = labs.Dashboard(seeds=2, total_steps=400, band=False)
    for end in (board.stop, board.wait):
        board.start()
        end()
        assert not board._buttons["Start"].disabled and board._buttons["Pause"].disabled
    board._iterations = iter([1])
    board.reset()
    board._iterations = (1 / 0 for _ in "a")
    board._buttons["Start"].click()
    board.wait()
    assert "ZeroDivisionError" in board.error and not board._buttons["Start"].disabled


def test_a_press_just_as_the_training_ends_is_not_lost(endless):
    board, show = endless, endless._show
    presser = threading.Thread(target=board.start)

    def pressed_meanwhile():
        if threading.current_thread() not in (threading.main_thread(), presser) and presser.ident is None:
            presser.start()
            presser.join(0.2)
        show()

    board.start()
    board._show = pressed_meanwhile
    board.stop()
    presser.join(300)
    assert board.running and not board.run.interrupted
    board.stop()
    assert not board.running and board.run.interrupted


@pytest.mark.slow
def test_it_waits_for_start_and_shows_the_band(dashboard):
    assert not dashboard.running and dashboard.history.steps == []
    assert "press Start" in dashboard.in_words() and dashboard._view.start.get_text() == "press Start"
    assert dashboard.band.steps[-1] == 1_200 and "After 1200 steps" in dashboard.in_words()
    assert bytes(dashboard.screen.picture.value).startswith(b"\x89PNG")
    assert not dashboard._buttons["Start"].disabled and dashboard._buttons["Pause"].disabled
    again = labs.Dashboard(seeds=3, total_steps=1_200)
    assert again.band is dashboard.band, "trained once"
    assert bytes(again.screen.picture.value) == bytes(dashboard.screen.picture.value)


@pytest.mark.slow
def test_a_training_to_its_end_is_an_ordinary_run_and_every_curve_grows(dashboard, tmp_path):
    before = bytes(dashboard.screen.picture.value)
    dashboard.start()
    dashboard.wait(600)
    history, run = dashboard.history, dashboard.run
    assert history.steps == [24 * (look + 1) for look in range(50)]
    for name in ("exploring_return", "value", "delivered", "entropy", "states", "actions"):
        assert history.curves(name).shape == (3, len(history.steps))
        assert np.isfinite(history.curves(name)[:, -1]).all()
    assert run.returns.shape == (3, 4) and not run.interrupted and dashboard.error is None
    assert bytes(dashboard.screen.picture.value) != before and "After 1200 steps" in dashboard.screen.line.value
    assert dashboard._view.start.get_text() == ""
    run.save(tmp_path / "run")
    assert torch.equal(Run.load(tmp_path / "run").returns, run.returns)


def trained(broken="nothing", seeds=3, total_steps=1_200, **yours):
    """Train to the end, with one thing broken from the start."""
    dashboard = labs.Dashboard(seeds=seeds, total_steps=total_steps, refresh=1_000.0, **yours)
    dashboard.controls["broken"].value = broken
    dashboard.start()
    dashboard.wait(600)
    assert dashboard.error is None
    return dashboard


def assert_same(history, other, **tolerance):
    for name in history.rows:
        np.testing.assert_allclose(history.curves(name), other.curves(name), err_msg=name, **tolerance)


@pytest.mark.slow
def test_the_band_is_the_same_training_with_the_packages_functions():
    plain = trained()
    assert_same(plain.history, plain.band, rtol=0, atol=0)
    own = trained(q_target=equations.q_target, leave_one_out=equations.leave_one_out)
    assert own.controls["baseline"].value == "leave-one-out" and own.learner.config.leave_one_out is not None
    assert_same(own.history, own.band, rtol=0, atol=0)


def loss_with_q_itself(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action = pi.sample(action_samples, generator=generator)
    return equations.policy_gradient_loss(pi.log_prob(action), critic(obs, action))


@pytest.mark.slow
def test_a_loss_of_ones_own_is_compared_with_q_itself():
    own = trained(resampled_loss=loss_with_q_itself)
    assert own.controls["baseline"].value == "own" and own.learner.config.baseline is None
    assert_same(own.history, own.band, rtol=0.05)


@pytest.mark.slow
def test_each_function_of_ones_own_is_used_where_its_weight_is_chosen():
    def own_loss(log_prob, advantage):
        return equations.policy_gradient_loss(log_prob, advantage)

    yours = dict(
        policy_gradient_loss=own_loss, leave_one_out=equations.leave_one_out, resampled_loss=loss_with_q_itself
    )
    dashboard = labs.Dashboard(seeds=2, total_steps=400, **yours)
    used = {
        "own": {"resampled_loss"},
        "value": {"policy_gradient_loss"},
        "leave-one-out": {"policy_gradient_loss", "leave_one_out"},
    }
    for weight, names in used.items():
        dashboard.controls["baseline"].value = weight
        assert dashboard.error is None
        assert {name for name in yours if getattr(dashboard.learner.config, name) is not None} == names


@pytest.mark.slow
def test_a_function_of_ones_own_that_is_wrong_leaves_the_band_and_one_that_cannot_be_is_refused():
    own = trained(q_target=lambda reward, terminated, next_q, gamma: 0 * reward)
    assert abs(own.history.last("value")) < 0.2 < own.band.last("value")
    with pytest.raises(ValueError, match="q_target returned shape"):
        labs.Dashboard(seeds=2, total_steps=400, q_target=lambda reward, terminated, next_q, gamma: reward[..., None])
    with pytest.raises(TypeError, match="takes no q_traget"):
        labs.Dashboard(q_traget=equations.q_target)


@pytest.mark.slow
def test_watching_changes_nothing():
    runs = []
    for refresh in (0.0, 1000.0):
        dashboard = labs.Dashboard(seeds=2, total_steps=480, refresh=refresh, band=False)
        dashboard.start()
        dashboard.wait(600)
        assert dashboard.band is None and (dashboard._cart.step > 0) == (refresh == 0)
        runs.append(dashboard.run)
    assert torch.equal(runs[0].policy.net.theta, runs[1].policy.net.theta)


def gradients(dashboard):
    """Return the gradient of the actor's loss (S, P) and the target of the critic (S, B), on one batch."""
    learner, seen = dashboard.learner, {}
    for iteration in learner:
        if iteration == 100:
            break
    agent, batch = learner.agent, learner.batch
    for broken in labs.breaks.BREAKS:
        dashboard.controls["broken"].value = broken
        agent.config = replace(agent.config, entropy_bonus=0.0)
        agent.generator.manual_seed(0)
        pi, critic = evaluate_together(agent.policy, agent.critic, batch.obs)
        (gradient,) = torch.autograd.grad(agent.actor_loss(pi, critic, batch).sum(), agent.policy.net.theta)
        with torch.no_grad():
            next_q = expected_q(agent.policy(batch.next_obs), agent.target_critic.all_actions(batch.next_obs))
            target = (agent.config.q_target or equations.q_target)(batch.reward, batch.terminated, next_q, 0.99)
        seen[broken] = gradient, target, next_q
    return seen, batch, agent, learner


@pytest.mark.slow
@pytest.mark.parametrize("yours", [{}, {"q_target": equations.q_target, "resampled_loss": loss_with_q_itself}])
def test_each_break_breaks_what_it_says_and_nothing_else(yours):
    seen, batch, agent, learner = gradients(labs.Dashboard(seeds=2, total_steps=1_200, band=False, **yours))
    gradient, target, next_q = seen["nothing"]
    for broken, factor in (("flag", 1), ("stored", 1), ("sign", -1), ("sum", 4 * 128)):
        torch.testing.assert_close(seen[broken][0], factor * gradient)
    for broken in ("sign", "sum"):
        assert torch.equal(seen[broken][1], target)
    assert batch.terminated.any()
    assert torch.equal(seen["flag"][1], batch.reward + 0.99 * next_q)
    action = learner.buffer.of_last_sample
    stored = agent.target_critic(batch.next_obs, action.clamp(min=0)).where(action >= 0, next_q)
    assert torch.equal(seen["stored"][1], equations.q_target(batch.reward, batch.terminated, stored, 0.99))
    assert not torch.equal(seen["stored"][1], target)


@pytest.mark.slow
def test_summing_the_actors_loss_is_the_same_as_a_smaller_entropy_bonus_because_adam_divides_by_the_size():
    runs = []
    for broken, bonus in (("sum", 0.05), ("nothing", 0.05 / 512), ("nothing", 0.05)):
        dashboard = labs.Dashboard(seeds=2, total_steps=480, refresh=1_000.0, band=False)
        dashboard.learner.config = replace(dashboard.learner.config, entropy_bonus=bonus)
        dashboard.controls["broken"].value = broken
        dashboard.start()
        dashboard.wait(600)
        runs.append(dashboard.history.curves("value"))
    theirs = np.nanmax(np.abs(runs[0] - runs[1])), np.nanmax(np.abs(runs[0] - runs[2]))
    assert theirs[0] < 0.1 * theirs[1], theirs


def test_the_stored_next_action_is_that_of_the_next_row_of_its_episode():
    learner = Learner(seeds=2, total_steps=1_200)
    learner.buffer = NextActions(learner.buffer, learner.config.n_envs)
    for iteration in learner:
        if iteration == 120:
            break
    batch, action, rows = learner.buffer.sample(200), learner.buffer.of_last_sample, learner.buffer.all
    found = 0
    for seed in range(2):
        ring = rows(seed)
        follower = (batch.next_obs[seed][:, None] == ring.obs).all(-1)  # (200, L): CartPole visits no state twice
        known = follower.any(1)
        found += known.sum()
        assert torch.equal(action[seed][known], ring.action[follower.int().argmax(1)][known])
        assert (known | batch.terminated[seed] | (batch.age[seed] < 16)).all()
        assert ((action[seed] == -1) <= (batch.age[seed] < 8)).all()
    assert found > 300


@pytest.mark.slow
def test_the_questions_tick_where_the_training_shows_their_answers():
    dashboard = labs.Dashboard(seeds=2, total_steps=400)
    assert not any(dashboard._checklist.ticked) and "○" in dashboard.screen.questions.value
    states = {  # question → broken, and the last values of yours and of the band
        1: ("flag", dict(value=20.0, delivered=0.5, exploring_return=9.0)),
        2: ("sign", dict(value=0.5, delivered=0.5, exploring_return=9.0)),
        3: ("stored", dict(value=1.0, delivered=5.0, exploring_return=150.0)),
    }
    names = ("exploring_return", "value", "delivered", "entropy", "states", "actions")
    dashboard.band = History(2)
    dashboard.band.add(400, {}, **{name: torch.full((2,), 3.0 if name == "value" else 0.3) for name in names})
    for question, (broken, values) in states.items():
        dashboard.reset()
        dashboard.controls["broken"].value = broken
        assert not dashboard._checklist.ticked[question]
        rows = {name: torch.full((2,), values.get(name, 1.0)) for name in names}
        dashboard.history.add(400, dashboard.values, **rows)
        dashboard._show()
        ticked = dashboard._checklist.ticked
        assert [number for number in states if ticked[number]] == [number for number in states if number <= question]
    assert dashboard.screen.questions.value.count("✓") == 3
    dashboard.controls["broken"].value = "nothing"
    dashboard.reset()
    for steps, k in ((200, 4), (400, 16)):
        assert not dashboard._checklist.ticked[4]
        dashboard.history.add(steps, dict(broken="nothing", action_samples=k), **rows)
        dashboard._show()
    assert dashboard._checklist.ticked[4]


@pytest.mark.slow
def test_a_whole_training_with_each_break_ticks_its_question():
    """The claims of notebook 06 about the dashboard, on other seeds than its own."""
    for question, broken in enumerate(("nothing", "flag", "sign", "stored", "sum")):
        dashboard = trained(broken, seeds=8, total_steps=5_000, seed=1)
        wanted = [number == question for number in range(5)] if broken != "sum" else 5 * [False]
        assert dashboard._checklist.ticked == wanted, (broken, dashboard.in_words())
        if broken in ("stored", "sum"):
            assert dashboard.scene.against_band("exploring_return") > 0.6


@pytest.mark.slow
def test_axes_stay_while_it_trains_and_widen_only_for_what_would_be_out_of_sight(dashboard):
    view, panels = dashboard._view, dashboard._view.panels
    limits = lambda: [(ax.get_xlim(), ax.get_ylim()) for ax in panels]  # noqa: E731
    before = limits()
    dashboard.start()
    dashboard.wait(600)
    assert limits() == before
    rows = {name: torch.full((3,), 1.0) for name in dashboard.history.rows} | {
        "exploring_return": torch.full((3,), 490.0)
    }
    dashboard.history.add(1_201, dashboard.values, **rows | {"value": torch.full((3,), 44.0)})
    dashboard._show()
    assert view.returns.get_ylim()[1] > 490 and view.noise.get_ylim()[1] >= 1 and view.beyond.get_text() == "V is 44 ↑"
    assert view.value.get_ylim() == before[1][1] and view.entropy.get_ylim() == before[2][1]
    dashboard.reset()
    assert limits() == before and view.beyond.get_text() == ""


@pytest.mark.slow
def test_what_is_broken_is_marked_along_the_axes_and_said(dashboard):
    dashboard.controls["broken"].value = "flag"
    assert "no terminal flag" in dashboard._view.hint.get_text()
    rows = {name: torch.ones(3) for name in ("exploring_return", "value", "delivered", "entropy", "states", "actions")}
    for steps, broken in ((24, "nothing"), (48, "flag")):
        dashboard.history.add(steps, dict(broken=broken, action_samples=4), **rows)
    dashboard._show()
    assert np.isnan(dashboard._view.marks[0].get_ydata()).tolist() == [True, False]


@pytest.mark.slow
def test_the_view_has_two_layouts_and_in_both_the_words_have_room(dashboard):
    sizes, view = [], dashboard._view
    for width in (960, 390):
        dashboard.screen.picture.page = {"width": width, "ratio": 1.0, "dark": False}
        with PIL.Image.open(io.BytesIO(dashboard.screen.picture.value)) as picture:
            sizes.append(picture.size)
        for broken in labs.breaks.BREAKS:
            dashboard.controls["broken"].value = broken
            words, legend = (one.get_window_extent() for one in (view.hint, view.words.get_legend()))
            assert broken == "nothing" or (words.y1 < legend.y0 and words.x1 < view.figure.bbox.x1)
    assert sizes == [(960, 484), (390, 1212)]


@pytest.mark.slow
def test_pause_holds_stop_keeps_and_reset_forgets(endless):
    dashboard, gate = endless, Gate()
    dashboard._going = gate
    dashboard.start()
    until(lambda: len(dashboard.history.steps) > 1)
    dashboard.pause()
    assert gate.reached.wait(300)
    held = dashboard.learner.n_done
    time.sleep(0.3)
    assert dashboard.learner.n_done == held and dashboard.running
    dashboard.start()
    until(lambda: dashboard.learner.n_done > held)
    dashboard.stop()
    assert not dashboard.running and dashboard.run.interrupted and dashboard.history.steps
    dashboard.reset()
    assert dashboard.history.steps == [] and not dashboard.run.interrupted and dashboard.learner.n_done == 0


def test_nobody_draws_a_look_that_is_half_taken_down(endless, monkeypatch):
    dashboard, half, look = endless, threading.Event(), labs.history.History.look

    def slow_look(history, learner, settings):
        history.steps.append(0)  # a step without its rows
        half.set()
        time.sleep(0.2)
        history.steps.pop()
        look(history, learner, settings)

    monkeypatch.setattr(labs.history.History, "look", slow_look)
    dashboard.start()
    assert half.wait(300)
    dashboard.pause()  # draws, on this thread
    dashboard.stop()
    assert dashboard.error is None and len(dashboard.history.steps) == len(dashboard.history.settings)


@pytest.mark.slow
def test_sliders_act_on_the_running_training_and_an_impossible_choice_says_so(dashboard):
    dashboard.start()
    dashboard.controls["action_samples"].value = 1
    dashboard.controls["tau"].value = 1.0
    assert dashboard.learner.config.action_samples == 1 and dashboard.learner.config.tau == 1.0
    dashboard.controls["baseline"].value = "leave-one-out"
    words = "action_samples of at least 2"
    assert words in dashboard.error and words in dashboard.screen.notice.value
    assert dashboard.learner.config.baseline == "value"
    dashboard.controls["action_samples"].value = 8
    assert dashboard.error is None and dashboard.learner.config.baseline == "leave-one-out"
    dashboard.wait(600)
    assert dashboard.error is None and dashboard.history.steps[-1] == 1_200


@pytest.mark.slow
def test_the_noise_is_that_of_the_settings_of_now(dashboard):
    dashboard.start()
    dashboard.wait(600)
    four = dashboard.noise()
    dashboard.controls["action_samples"].value = 16
    torch.testing.assert_close(dashboard.noise()["actions"], four["actions"] / 4)
    torch.testing.assert_close(dashboard.noise()["states"], four["states"])
    dashboard.controls["baseline"].value = "none"
    assert (dashboard.noise()["actions"] > four["actions"]).all()


def test_the_exact_sum_over_the_actions_leaves_only_the_noise_of_the_states():
    history = labs.history.package_history(Config(seeds=2, total_steps=1_200, action_samples="all", evaluations=1))
    assert (history.curves("actions")[:, -1] == 0).all() and (history.curves("states")[:, -1] > 0).all()


def test_what_goes_wrong_in_the_training_is_said(dashboard):
    def broken():
        raise RuntimeError("no more room")
        yield

    dashboard._iterations = broken()
    dashboard.start()
    dashboard.wait(600)
    assert "RuntimeError: no more room" in dashboard.screen.notice.value and not dashboard.running


@pytest.mark.slow
def test_no_thread_is_left_behind(dashboard):
    before = threading.active_count()
    for _ in range(3):
        dashboard.start()
        dashboard.reset()
    assert threading.active_count() == before


@pytest.mark.slow
def test_any_buttons_and_sliders_in_any_order_leave_a_dashboard_that_works(dashboard):
    random, threads = np.random.default_rng(0), threading.active_count()
    for _ in range(40):
        if random.random() < 0.5:
            random.choice([dashboard.start, dashboard.start, dashboard.pause, dashboard.stop, dashboard.reset])()
        else:
            control = random.choice(list(dashboard.controls.values()))
            if hasattr(control, "options"):
                control.index = int(random.integers(len(control.options)))
            else:
                place = control.min + (control.max - control.min) * random.random()
                control.value = control.base**place if hasattr(control, "base") else round(place)
        assert dashboard.error is None or "action_samples of at least 2" in dashboard.error
        time.sleep(0.02 * random.random())
    dashboard.reset()
    assert dashboard.history.steps == [] and threading.active_count() == threads
    dashboard.controls["action_samples"].value, dashboard.controls["baseline"].value = 4, "value"
    dashboard.start()
    until(lambda: len(dashboard.run.steps) >= 1)
    dashboard.stop()
    assert dashboard.error is None and dashboard.run.interrupted and dashboard.history.steps
