"""The training dashboard, by value: it trains beside the cells, and its controls act on what is running."""

import threading
import time

import numpy as np
import pytest
import torch

from offac_lite.course import labs
from offac_lite.run import Run


@pytest.fixture
def dashboard():
    dashboard = labs.Dashboard(seeds=3, total_steps=1_200, refresh=0.05)
    yield dashboard
    dashboard.stop()


@pytest.fixture
def endless():
    """A training that is not over before it is stopped."""
    dashboard = labs.Dashboard(seeds=3, total_steps=16_000, refresh=0.05)
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


def test_it_waits_for_start_and_shows_an_empty_figure(dashboard):
    assert not dashboard.running and dashboard.history.steps == [] and "press Start" in dashboard.in_words()
    assert bytes(dashboard.screen.picture.value).startswith(b"\x89PNG")
    assert not dashboard._buttons["Start"].disabled and dashboard._buttons["Pause"].disabled


def test_a_training_to_its_end_is_an_ordinary_run_and_every_curve_grows(dashboard, tmp_path):
    before = bytes(dashboard.screen.picture.value)
    dashboard.start()
    dashboard.wait(600)
    history, run = dashboard.history, dashboard.run
    assert history.steps == sorted(set(history.steps)) and len(history.steps) > 3 and history.steps[-1] == 1_200
    for name in ("exploring_return", "value", "delivered", "entropy", "states", "actions"):
        assert history.curves(name).shape == (3, len(history.steps))
        assert np.isfinite(history.curves(name)[:, -1]).all()
    assert run.returns.shape == (3, 4) and not run.interrupted and dashboard.error is None
    assert bytes(dashboard.screen.picture.value) != before and "After 1200 steps" in dashboard.screen.line.value
    run.save(tmp_path / "run")
    assert torch.equal(Run.load(tmp_path / "run").returns, run.returns)


def test_watching_changes_nothing():
    runs = []
    for refresh in (0.01, 1000.0):
        dashboard = labs.Dashboard(seeds=2, total_steps=480, refresh=refresh)
        dashboard.start()
        dashboard.wait(600)
        runs.append(dashboard.run)
    assert torch.equal(runs[0].policy.net.theta, runs[1].policy.net.theta)


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
    dashboard, half = endless, threading.Event()

    def slow_interval(*arguments, **keywords):  # called in the middle of History.add
        half.set()
        time.sleep(0.2)
        return 0.0, 1.0

    monkeypatch.setattr("offac_lite.course.labs.dashboard.stats.interval", slow_interval)
    dashboard.start()
    assert half.wait(300)
    dashboard.pause()  # draws, on this thread
    dashboard.stop()
    assert dashboard.error is None and len(dashboard.history.steps) == len(dashboard.history.low)


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


def test_the_noise_is_that_of_the_settings_of_now(dashboard):
    dashboard.start()
    dashboard.wait(600)
    four = dashboard.noise()
    dashboard.controls["action_samples"].value = 16
    torch.testing.assert_close(dashboard.noise()["actions"], four["actions"] / 4)
    torch.testing.assert_close(dashboard.noise()["states"], four["states"])
    dashboard.controls["baseline"].value = None
    assert (dashboard.noise()["actions"] > four["actions"]).all()


def test_what_goes_wrong_in_the_training_is_said(dashboard):
    def broken():
        raise RuntimeError("no more room")
        yield

    dashboard._iterations = broken()
    dashboard.start()
    dashboard.wait(600)
    assert "RuntimeError: no more room" in dashboard.screen.notice.value and not dashboard.running


def test_no_thread_is_left_behind(dashboard):
    before = threading.active_count()
    for _ in range(3):
        dashboard.start()
        dashboard.reset()
    assert threading.active_count() == before


def test_any_buttons_and_sliders_in_any_order_leave_a_dashboard_that_works(dashboard):
    random, threads = np.random.default_rng(0), threading.active_count()
    for _ in range(40):
        if random.random() < 0.5:
            random.choice([dashboard.start, dashboard.start, dashboard.pause, dashboard.stop, dashboard.reset])()
        else:
            control = random.choice(list(dashboard.controls.values()))
            if hasattr(control, "options"):
                control.set_state({"index": int(random.integers(len(control.options)))})
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


def test_delivered_rewards():
    from offac_lite.envs import Episode

    found = labs.dashboard.delivered([Episode(0, 0, 3.0, 3), Episode(2, 0, 1.0, 1)], seeds=3, gamma=0.5)
    assert found[0] == pytest.approx((1.75 + 1.5 + 1) / 3) and found[1].isnan() and found[2] == 1
