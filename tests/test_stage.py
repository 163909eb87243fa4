"""The stage of the labs, by value: layouts, sizes and themes of pages; pins, presets, samples, questions, trainings."""

import io
import threading

import ipywidgets
import matplotlib.figure
import matplotlib.style
import numpy as np
import PIL.Image
import pytest

from offac_lite.course import plots
from offac_lite.course.stage.controls import log_slider
from offac_lite.course.stage.lab import Lab
from offac_lite.course.stage.picture import on_dark
from offac_lite.course.stage.question import Question
from offac_lite.course.stage.screen import Screen
from tests.browser import made
from tests.demo_lab import demo_lab
from tests.test_lab import drawn, pixels, redrawn

PATIENCE = 300
LIGHT = {"width": 5000, "ratio": 1, "dark": False}


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


def size(lab):
    return PIL.Image.open(io.BytesIO(lab.png)).size


def test_a_log_slider_has_numbers_as_values():
    slider = log_slider(values=(1, 2, 4), value=2, description="K")
    assert slider.value == 2 and slider.options == (1, 2, 4) and slider.description == "K"
    assert log_slider().value == 1
    lab = ghost_lab()
    lab.set(k=16)
    assert lab.result == 161
    with pytest.raises(ValueError, match="'k' does not take 3; it takes one of 1, 2, 4"):
        lab.set(k=3)


def test_a_view_is_arranged_before_it_is_drawn_and_when_the_layout_changes():
    lab = ghost_lab()
    view, picture = lab._view, lab.screen.picture
    assert view.arranged == [False] and size(lab) == (800, 300)
    picture.page = {"width": 700, "ratio": 1, "dark": False}
    assert view.arranged == [False] and size(lab) == (700, 262)
    picture.page = {"width": 390, "ratio": 2, "dark": False}
    assert view.arranged == [False, True] and size(lab) == (780, 1170) and picture.width == 390
    np.testing.assert_array_equal(drawn(view), redrawn(view))
    lab.set(k=8)
    np.testing.assert_array_equal(drawn(view), redrawn(view))
    assert size(lab) == (780, 1170)
    picture.page = LIGHT
    assert view.arranged == [False, True, False] and size(lab) == (800, 300)
    fresh = ghost_lab()
    fresh.set(k=8)
    assert lab.png == fresh.png, "nothing of the other layout is left"


@pytest.mark.parametrize("ratio", [1, 1.25, 1.5, 2, 3])
@pytest.mark.parametrize("width", [333, 377.5, 519])
def test_the_picture_has_a_pixel_for_each_pixel_of_the_page(width, ratio):
    lab = demo_lab()
    lab.screen.picture.page = {"width": width, "ratio": ratio, "dark": False}
    assert size(lab)[0] == int(width * ratio) == pytest.approx(lab.screen.picture.width * ratio)
    lab.set(frequency=5)
    assert size(lab)[0] == int(width * ratio)


def contrast(one, other):
    """The contrast ratio of two colours, (3,) in 0 to 1, by WCAG 2."""

    def luminance(color):
        linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_colours_are_as_readable_on_dark_as_on_white():
    white = np.ones(3)
    names = ["EXACT", "STORED", "NEXT", "RESAMPLED", "SURROGATE", "STATES", "ACTIONS", "MUTED"]
    inks = np.array([matplotlib.colors.to_rgb(getattr(plots, name)) for name in names])
    ground, *mapped = on_dark(np.array([white, *inks]))
    for name, ink, dark in zip(names, inks, mapped, strict=True):
        assert contrast(dark, ground) >= min(4.5, contrast(ink, white)), name
    faint = 0.35 * inks + 0.65
    for name, ink, dark in zip(names, faint, on_dark(faint), strict=True):
        assert contrast(dark, ground) >= contrast(ink, white), name
    gaps = [np.abs(a - b).max() for n, a in enumerate(mapped) for b in mapped[:n]]
    assert min(gaps) > 0.15, "no two inks become one"
    for name, ink in zip(names, inks, strict=True):  # the edge of a line
        edge = [contrast(color, ground) for color in on_dark(np.linspace(white, ink, 30))]
        most = int(np.argmax(edge))
        assert edge[most] < 1.5 * edge[-1] and edge[: most + 1] == sorted(edge[: most + 1]), name


def test_a_dark_page_gets_a_dark_picture_and_the_notebook_keeps_a_light_one():
    lab = demo_lab()
    light = lab.png
    lab.screen.picture.page = LIGHT | {"dark": True}
    assert (pixels(lab.png)[3, 3] == 0x11).all() and lab.screen._still() == light
    assert (pixels(lab.png)[3, 3] == 0x11).all()
    lab.screen.picture.page = LIGHT
    assert lab.png == light


def test_on_a_dark_page_a_colour_map_is_reversed_from_its_middle_to_its_ends():
    view = plots.MapView({"angle": (1, 1)}, 41, 1.0)
    for shown in view.maps:
        shown.set_data(np.linspace(shown.norm.vmin, shown.norm.vmax, 41 * 41).reshape(41, 41))
    screen = Screen(view)
    screen._fit(LIGHT | {"dark": True})
    picture = pixels(screen.draw())
    box = view.maps[0].axes.bbox
    x, rows = int((box.x0 + box.x1) / 2), picture.shape[0] - np.linspace(box.y0 + 8, box.y1 - 8, 20).astype(int)
    brightness = [contrast(color / 255, np.zeros(3)) for color in picture[rows, x]]
    lower, upper = brightness[:9], brightness[11:]
    assert lower[0] > 2 * lower[-1] and upper[-1] > 2 * upper[0]
    assert (picture[2, 2] == 0x11).all(), "the background is that of the page"


@pytest.mark.parametrize("name", ["variance", "critic", "map"])
def test_the_settings_of_the_reader_do_not_reach_a_lab(name):
    changes = {"variance": {"batch_size": 4}, "critic": {"age": 3}, "map": {"agent": 1}}[name]
    plain = made(name)
    plain.set(**changes)
    hostile = {
        "figure.facecolor": "none",
        "text.usetex": True,
        "font.size": 30,
        "lines.linewidth": 9,
        "axes.grid": True,
    }
    with matplotlib.style.context("dark_background"), matplotlib.rc_context(hostile):
        lab = made(name)
        lab.set(**changes)
        assert lab.error is None and lab.png == plain.png
        lab.screen.picture.page = {"width": 500, "ratio": 1, "dark": False}
        assert pixels(lab.png)[1, 1].min() > 240


def test_until_the_script_runs_a_plain_picture_is_shown():
    lab = demo_lab()
    lab.set(frequency=3)
    assert bytes(lab.screen.plain.value) == lab.png
    lab.screen.picture.page = LIGHT
    lab.set(frequency=4)
    assert bytes(lab.screen.plain.value) != lab.png, "no picture is sent twice"


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


def test_a_button_starts_a_generator_and_gets_its_text_back():
    lab = ghost_lab(training, button="Train")
    lab.controls["k"].value = 4
    assert lab.result == 23
    press(lab, "Train")
    lab.wait(PATIENCE)
    assert lab.result == 43 and lab._button.description == "Train"
