"""The stage of the labs, by value: pins, presets, samples, questions, and computations that yield."""

import threading

import ipywidgets
import matplotlib.figure
import numpy as np
import pytest

from offac_lite.course import plots
from offac_lite.course.stage.controls import log_slider
from offac_lite.course.stage.lab import Lab
from offac_lite.course.stage.question import Question
from tests.demo_lab import demo_lab
from tests.test_lab import drawn, redrawn

PATIENCE = 300


class GhostView:
    """A curve, its ghost, and two layouts."""

    def __init__(self):
        self.figure = matplotlib.figure.Figure(figsize=(8, 3), dpi=100)
        self.left, self.right = self.figure.subplots(1, 2)
        (self.ghost,) = self.left.plot([], [], color="0.7", lw=4)
        (self.curve,) = self.left.plot([], [], color=plots.STATES)
        self.right.bar([0, 1], [1, 2], color=plots.STORED)
        self.left.set(xlim=(0, 10), ylim=(0, 100))
        self.artists, self.arranged, self.seen = [self.ghost, self.curve], [], []

    def arrange(self, narrow):
        self.arranged.append(narrow)
        self.figure.set_size_inches((4, 6) if narrow else (8, 3))
        for number, axes in enumerate((self.left, self.right)):
            place = [0.15, 0.55 - 0.5 * number, 0.8, 0.4] if narrow else [0.05 + 0.5 * number, 0.1, 0.4, 0.8]
            axes.set_position(place)

    def update(self, result):
        self.seen.append(result)
        self.curve.set_data([0, 10], [0, result])

    def pin(self, result):
        self.ghost.set_data(*([], []) if result is None else ([0, 10], [0, result]))

    @property
    def pinned(self):
        return self.ghost.get_ydata()[1] if len(self.ghost.get_ydata()) else None


def growing(k, n=1, seed=0):
    return 10 * k + n + 0.1 * seed


def ghost_lab(compute=growing, view=None, **options):
    controls = {"k": log_slider(value=2, description="K"), "n": ipywidgets.IntSlider(1, 1, 9, description="N")}
    return Lab(controls, compute, view or GhostView(), "it is {}".format, **options)


def press(lab, text):
    """Press the lab's button of this text."""
    (button,) = [one for row in lab.widget.children for one in getattr(row, "children", ()) if label(one) == text]
    button.click()


def label(widget):
    return getattr(widget, "description", None)


def test_a_log_slider_has_numbers_as_values():
    slider = log_slider(values=(1, 2, 4), value=2, description="K")
    assert slider.value == 2 and slider.options == (1, 2, 4) and slider.description == "K"
    assert log_slider().value == 1
    lab = ghost_lab()
    lab.set(k=16)
    assert lab.result == 161
    with pytest.raises(ValueError, match="'k' does not take 3; it takes one of 1, 2, 4"):
        lab.set(k=3)


def test_pin_keeps_a_ghost_and_reset_goes_back_to_the_start():
    lab = ghost_lab()
    view, start = lab._view, lab.png
    assert view.pinned is None
    press(lab, "Pin")
    lab.set(k=8, n=3)
    assert view.pinned == 21 and lab.result == 83
    np.testing.assert_array_equal(drawn(view), redrawn(view))
    press(lab, "Reset")
    assert view.pinned is None and lab.values == {"k": 2, "n": 1} and lab.png == start


def test_pin_takes_the_last_result_and_leaves_an_error_in_sight():
    def failing(k, n):
        if k == 16:
            raise ValueError("not sixteen")
        yield from training(k, n)

    lab = ghost_lab(failing)
    lab.controls["k"].value = 4
    press(lab, "Pin")
    lab.wait(PATIENCE)
    assert lab._view.pinned == 43 and not lab.running
    lab.set(k=16)
    press(lab, "Pin")
    assert "not sixteen" in lab.error


def test_pin_waits_for_what_it_was_pressed_at_and_holds_nothing_up():
    inside, go_on = threading.Event(), threading.Event()

    def gate(k):
        inside.set()
        assert k != 4 or go_on.wait(PATIENCE)

    lab = ghost_lab(lambda k, n: training(k, n, gate))
    inside.clear()
    lab.controls["k"].value = 4
    assert inside.wait(PATIENCE)
    press(lab, "Pin")
    lab.controls["k"].value = 8
    assert lab._view.pinned is None and lab.running
    go_on.set()
    lab.wait(PATIENCE)
    assert lab._view.pinned == 43 and lab.result == 83
    assert lab._view.seen[-3:] == [81, 82, 83], "the newer setting is computed first"
    go_on.clear(), inside.clear()
    lab.controls["k"].value = 4
    assert inside.wait(PATIENCE)
    press(lab, "Pin")
    press(lab, "Reset")
    go_on.set()
    lab.wait(PATIENCE)
    assert lab._view.pinned is None and lab.result == 23, "Reset forgets what was to be pinned"


class NoFortyOne(GhostView):
    """A view that cannot draw 41."""

    def update(self, result):
        if result == 41:
            raise ValueError("no 41")
        super().update(result)


def half(k, n):
    yield 10 * k + n - 2
    if k == 16:
        raise ValueError("not sixteen")
    yield 10 * k + n


@pytest.mark.parametrize(("k", "drawn", "words"), [(4, 39, "no 41"), (16, 159, "not sixteen")])
def test_what_fails_is_pinned_as_it_was_drawn_last_whenever_pin_is_pressed(k, drawn, words):
    """Where the picture cannot follow, or the computation fails after its first result."""
    for before in (True, False):
        pressed = threading.Event()

        def slow(k, n, pressed=pressed):
            results = half(k, n)
            yield next(results)
            assert k == 2 or pressed.wait(PATIENCE)
            yield from results

        lab = ghost_lab(slow, NoFortyOne())
        if not before:
            pressed.set()
        lab.controls["k"].value = k
        if not before:
            lab.wait(PATIENCE)
        press(lab, "Pin")
        pressed.set()
        lab.wait(PATIENCE)
        assert lab._view.pinned == lab.result == drawn and words in lab.error


def test_an_error_of_what_was_to_be_pinned_is_said_although_the_controls_have_moved_on():
    inside, go_on = threading.Event(), threading.Event()

    def failing(k, n):
        if k == 4:
            inside.set()
            assert go_on.wait(PATIENCE)
            raise ValueError("not four")
        yield 10 * k + n

    lab = ghost_lab(failing)
    lab.controls["k"].value = 4
    assert inside.wait(PATIENCE)
    press(lab, "Pin")
    lab.controls["k"].value = 8
    go_on.set()
    lab.wait(PATIENCE)
    assert lab.result == 81 and lab._view.pinned is None and "not four" in lab.error


def test_where_the_start_is_pinned_reset_pins_it_again():
    lab = ghost_lab(pinned=True)
    start = lab.png
    assert lab._view.pinned == 21
    lab.set(k=8)
    press(lab, "Pin")
    assert lab._view.pinned == 81
    press(lab, "Reset")
    assert lab._view.pinned == 21 and lab.png == start


def test_a_view_that_cannot_pin_has_no_buttons_for_it():
    assert "Pin" not in [label(one) for row in demo_lab().widget.children for one in getattr(row, "children", ())]


@pytest.mark.slow
def test_presets_set_their_controls_and_what_cannot_be_is_refused():
    lab = ghost_lab(presets={"many": {"k": 64, "n": 2}})
    press(lab, "many")
    assert lab.values == {"k": 64, "n": 2} and lab.result == 642 and lab._view.seen == [21, 642]
    with pytest.raises(ValueError, match="no control 'm'"):
        ghost_lab(presets={"many": {"m": 1}})
    with pytest.raises(ValueError, match="'k' does not take 3"):
        ghost_lab(presets={"many": {"k": 3}})


def test_another_sample_counts_up_and_reset_begins_again():
    lab = ghost_lab(sample="seed")
    assert lab.values == {"k": 2, "n": 1, "seed": 0}
    press(lab, "Another sample")
    press(lab, "Another sample")
    assert lab.result == pytest.approx(21.2) and lab.values["seed"] == 2
    lab.set(seed=7, k=1)
    assert lab.result == pytest.approx(11.7)
    press(lab, "Reset")
    assert lab.values["seed"] == 0


QUESTIONS = [
    Question("Which K gives 40?", lambda values, result: values["k"] == 4, "It is 4."),
    Question("Where is it small?", lambda values, result: result < 25, "Below <25>."),
]


def test_questions_tick_when_the_controls_reach_their_state():
    lab = ghost_lab(questions=QUESTIONS)
    html = lambda: lab.screen.questions.value  # noqa: E731
    assert html().count("○") == 2 and "It is 4." not in html() and "✓" not in html()
    lab.set(n=2)
    assert "✓" not in html(), "the second state was there from the start"
    lab.set(k=4)
    assert html().count("✓") == 1 and "It is 4." in html()
    lab.set(k=1)
    assert html().count("✓") == 2 and "Below &lt;25&gt;." in html()
    lab.set(k=8)
    assert html().count("✓") == 2, "what was found stays"


def test_reset_ticks_nothing():
    lab = ghost_lab(questions=QUESTIONS)
    lab.set(k=8)
    press(lab, "Reset")
    assert "✓" not in lab.screen.questions.value


def training(k, n, gate=None):
    for step in range(1, 4):
        if gate is not None and step == 2:
            gate(k)
        yield 10 * k + step


def test_a_generator_is_run_to_its_end_in_the_constructor_and_by_set():
    lab = ghost_lab(training)
    assert lab.result == 23 and lab._view.seen == [23] and not lab.running
    lab.set(k=4)
    assert lab.result == 43 and lab._view.seen == [23, 43]


def test_a_change_in_the_page_draws_each_result_of_a_generator_on_another_thread():
    lab, before = ghost_lab(training, questions=QUESTIONS), threading.active_count()
    lab.controls["k"].value = 4
    lab.wait(PATIENCE)
    assert lab._view.seen == [23, 41, 42, 43] and lab.result == 43 and lab.error is None
    assert "It is 4." in lab.screen.questions.value
    assert threading.active_count() == before and not lab.running


def test_a_newer_change_ends_an_older_run():
    inside, go_on = threading.Event(), threading.Event()

    def gate(k):
        if k == 4:
            inside.set()
            assert go_on.wait(PATIENCE)

    lab = ghost_lab(lambda k, n: training(k, n, gate))
    lab.controls["k"].value = 4
    assert inside.wait(PATIENCE)
    lab.controls["k"].value = 8
    lab.controls["k"].value = 16
    go_on.set()
    lab.wait(PATIENCE)
    assert lab._view.seen == [23, 41, 161, 162, 163] and lab.result == 163


def test_set_ends_a_run_and_waits_for_one_of_the_same_values():
    inside, go_on = threading.Event(), threading.Event()

    def gate(k):
        if k == 4:
            inside.set()
            assert go_on.wait(PATIENCE)

    lab = ghost_lab(lambda k, n: training(k, n, gate))
    lab.controls["k"].value = 4
    assert inside.wait(PATIENCE)
    threading.Timer(0.1, go_on.set).start()
    lab.set(k=8)
    assert lab._view.seen == [23, 41, 83] and lab.result == 83
    lab.controls["k"].value = 16
    lab.set(k=16)
    assert lab.result == 163 and not lab.running


def test_an_error_of_a_generator_is_shown_in_place():
    def failing(k, n):
        yield k
        if k == 4:
            print("four")
            raise ValueError("not four")
        yield 10 * k

    lab = ghost_lab(failing, questions=QUESTIONS)
    lab.controls["k"].value = 4
    lab.wait(PATIENCE)
    assert lab.error.startswith("four\nValueError: not four\n(in failing, line ") and lab.result == 4
    assert "✓" not in lab.screen.questions.value
    lab.controls["k"].value = 8
    lab.wait(PATIENCE)
    assert lab.error is None and lab.result == 80
