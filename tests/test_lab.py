"""Labs driven by value, without a page; and, over a real kernel, from another thread than a running cell's."""

import io
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import ipywidgets
import matplotlib.figure
import numpy as np
import PIL.Image
import pytest
from jupyter_client.manager import KernelManager
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager

from offac_lite.course import plots
from offac_lite.course.stage.lab import Lab
from offac_lite.course.stage.screen import Screen
from tests.demo_lab import WaveView, demo_lab, wave

ROOT = Path(__file__).parent.parent
PATIENCE = 300  # seconds; it matters only where something never comes


def pixels(png):
    return np.asarray(PIL.Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def redrawn(view):
    """The whole figure drawn anew, by matplotlib alone and with nothing set apart."""
    apart = [artist for artist in view.figure.findobj() if artist.get_animated()]
    for artist in apart:
        artist.set_animated(False)
    view.figure.canvas.draw()
    for artist in apart:
        artist.set_animated(True)
    return np.asarray(view.figure.canvas.buffer_rgba())[..., :3].astype(int)


def drawn(view):
    """What is on the figure's canvas now."""
    return np.asarray(view.figure.canvas.buffer_rgba())[..., :3].astype(int)


class Draws:
    """Counts the full redraws of a figure while it is on."""

    def __init__(self, figure):
        self.canvas, self.count = figure.canvas, 0

    def __enter__(self):
        self.connection = self.canvas.mpl_connect("draw_event", self.add)
        return self

    def __exit__(self, *error):
        self.canvas.mpl_disconnect(self.connection)

    def add(self, event):
        self.count += 1


def test_setting_controls_changes_result_picture_and_summary():
    lab = demo_lab()
    before = lab.result, lab.png, lab.summary_text
    lab.set(frequency=4, level=0.8)
    assert lab.values == {"frequency": 4, "level": 0.8, "wide": False}
    assert lab.result[0] == 4 != before[0][0]
    assert (pixels(lab.png) != pixels(before[1])).any()
    assert lab.summary_text == "The wave has frequency 4; the steps end at 0.8." != before[2]
    assert bytes(lab.screen.picture.value) == lab.png, "the page's picture is the lab's"
    assert lab.screen.picture.alt == lab.summary_text and lab.summary_text in lab.screen.line.value


def test_a_control_moved_in_the_page_is_followed():
    lab = demo_lab()
    before = lab.png
    lab.controls["frequency"].set_state({"value": 3})  # what a message from the page calls
    assert lab.result[0] == 3 and lab.png != before


def test_picture_equals_a_full_redraw_after_every_change():
    view = WaveView()
    lab = demo_lab(view)
    draws = Draws(view.figure)
    changes = [{"frequency": 3}, {"level": 0.9}, {"frequency": 9, "level": 0.0}, {"wide": True}, {"frequency": 5}]
    for change in [*changes, {"wide": False}, {"level": 1.0}]:
        with draws:
            lab.set(**change)
        np.testing.assert_array_equal(drawn(view), redrawn(view), err_msg=f"after {change}")
    assert draws.count == 1, "the first change of the axis limits draws everything anew, the second the axes"


class PanelsView:
    """What might go wrong in a partial redraw: two panels, images, a title, markers over a frame, no frame."""

    def __init__(self):
        self.figure = matplotlib.figure.Figure(figsize=(5, 2.5), dpi=80)
        left, right = self.figure.subplots(1, 2)
        self.image = left.imshow(np.zeros((4, 4)), vmin=0, vmax=1)
        left.plot([0, 3], [0, 3], "w-", lw=3)
        (self.dots,) = right.plot([0, 1], [0, 1], "o", ms=20, clip_on=False, label="dots")
        right.set_frame_on(False)
        right.legend(loc="center")
        right.annotate("over", (0, 0), (0.2, 0.1), arrowprops={"arrowstyle": "->"})
        self.figure.text(0.5, 0.9, "over both")
        self.title = self.figure.suptitle("title")
        self.artists = [self.image, self.dots, self.title]

    def update(self, value):
        self.image.set_data(np.full((4, 4), value) * np.eye(4))
        self.dots.set_data([0, value], [value, 1])
        self.title.set_text(f"value {value:.1f}")


def test_picture_equals_a_full_redraw_with_images_panels_and_titles():
    view = PanelsView()
    lab = Lab({"value": ipywidgets.FloatSlider(0.1, min=0, max=1)}, lambda value: value, view, "value {}".format)
    draws = Draws(view.figure)
    for value in (0.4, 0.9, 0.2):
        with draws:
            lab.set(value=value)
        np.testing.assert_array_equal(drawn(view), redrawn(view))
    assert draws.count == 0, "nothing but the changing artists was drawn"


class LinesView:
    """Three panels whose limits may change, and a legend of the figure."""

    def __init__(self):
        self.figure = matplotlib.figure.Figure(figsize=(6, 2), dpi=80, layout="constrained")
        self.axes = self.figure.subplots(1, 3)
        self.artists = [axes.plot([0, 1], [0, 1], "o-", label="line")[0] for axes in self.axes]
        self.axes[0].grid(True)
        self.figure.legend(handles=self.artists, loc="outside lower center", ncols=3)


@pytest.mark.slow
def test_picture_equals_a_full_redraw_where_some_axes_change():
    view = LinesView()
    (left, middle, right), (legend,) = view.axes, view.figure.legends
    changes = [
        (lambda: right.set_xlim(0, 2), 1),  # all is drawn anew, and from then on the right panel apart from the others
        (lambda: right.set_xlim(0, 3), 0),
        (lambda: view.artists[2].set_ydata([1, 0]), 0),
        (lambda: left.set_ylim(-1, 3), 1),
        (lambda: (left.set_ylabel("height"), right.set_ylim(0, 2), view.artists[0].set_color("red")), 0),
        (lambda: (left.set_xlim(0, 4), legend.get_texts()[0].set_text("other"), setattr(legend, "stale", True)), 1),
        (lambda: (legend.get_texts()[0].set_text("another"), setattr(legend, "stale", True)), 1),
        (lambda: (right.set_visible(False), left.set_xlim(0, 5)), 0),
        (lambda: right.set_visible(True), 0),
        (lambda: middle.set_xlim(0, 3), 1),
        (lambda: [axes.set_xlim(-2, 2) for axes in view.axes], 0),
    ]
    screen, draws = Screen(view), Draws(view.figure)
    screen.draw()
    for number, (change, redraws) in enumerate(changes):
        change()
        draws.count = 0
        with draws:
            screen.draw()
        assert draws.count == redraws, number
        np.testing.assert_array_equal(drawn(view), redrawn(view), err_msg=f"change {number}")


@pytest.mark.slow
def test_the_picture_in_the_page_is_the_canvas_within_a_few_shades():
    for view in (WaveView(), plots.MapView({"angle": (1, 1)}, 41, 1.0)):
        if isinstance(view, WaveView):
            demo_lab(view)
        else:
            for picture in view.maps:  # all colours at once
                picture.set_data(np.linspace(picture.norm.vmin, picture.norm.vmax, 41 * 41).reshape(41, 41))
        off = np.abs(pixels(Screen(view).draw()) - drawn(view))
        assert off.max() <= 24 and (off > 8).mean() < 0.02


def test_nothing_jumps():
    view = WaveView()
    lab = demo_lab(view)
    size, place = pixels(lab.png).shape, view.axes.get_position().bounds
    view.axes.set_title("a much longer title\nof two lines")
    lab.set(frequency=2)
    assert pixels(lab.png).shape == size == (340, 520, 3)
    assert view.axes.get_position().bounds == place
    assert lab.screen.picture.width == 520
    plain = lab.screen.plain
    assert (plain.width, plain.height) == ("520", "340")
    assert (plain.layout.width, plain.layout.max_width, plain.layout.height) == ("100%", "520px", "auto")


def test_descriptions_have_room_and_default_to_names():
    controls = demo_lab().controls
    assert controls["wide"].description == "wide"
    assert {control.style.description_width for control in controls.values()} == {"19ch"}


def test_an_exception_is_shown_in_place_and_cleared():
    lab = demo_lab()
    good = lab.png, lab.result, lab.summary_text
    assert lab.error is None and lab.screen.notice.value == "" and lab.screen.notice.layout.display == "none"
    lab.set(frequency=7)
    assert lab.error.startswith("ValueError: seven is <not> a frequency\n(in wave, line ")
    assert "seven is &lt;not&gt; a frequency" in lab.screen.notice.value and lab.screen.notice.layout.display is None
    assert (lab.png, lab.result, lab.summary_text) == good
    lab.set(frequency=8)
    assert lab.error is None and lab.screen.notice.value == "" and lab.screen.notice.layout.display == "none"
    assert lab.result[0] == 8


@pytest.mark.parametrize("where", ["update", "summary"])
def test_an_exception_in_the_view_or_the_summary_is_shown_too(where):
    def fail(result):
        if result == 2:
            raise RuntimeError("no picture")
        return "fine"

    view = PanelsView()
    update = view.update
    if where == "update":
        view.update = lambda result: (update(result), fail(result))
    summary = fail if where == "summary" else "value {}".format
    lab = Lab({"value": ipywidgets.IntSlider(1, 0, 3)}, lambda value: value, view, summary)
    lab.set(value=2)
    assert "RuntimeError: no picture" in lab.error
    lab.set(value=3)
    assert lab.error is None
    np.testing.assert_array_equal(drawn(view), redrawn(view))


def test_prints_are_shown_in_place_and_other_threads_keep_theirs(capsys):
    def talk(value):
        if value:
            print("from the lab")
            print("to stderr", file=sys.stderr)
            other = threading.Thread(target=print, args=["from a cell"])
            other.start()
            other.join()
        return value

    lab = Lab({"value": ipywidgets.IntSlider(0, 0, 3)}, talk, PanelsView(), str)
    lab.set(value=1)
    assert lab.error == "from the lab\nto stderr" and lab.result == 1
    assert capsys.readouterr() == ("from a cell\n", "")
    lab.set(value=0)
    assert lab.error is None
    print("from the cell of the lab")
    assert capsys.readouterr() == ("from the cell of the lab\n", "")


def test_a_lab_in_a_computation_of_a_lab_hears_its_own_prints(capsys):
    def talk(value):
        print("before", value)
        if value < 2:
            inner.set(value=value + 1)
        print("after", value)
        return value

    inner, outer = (Lab({"value": ipywidgets.IntSlider(2, 0, 3)}, talk, PanelsView(), str) for _ in range(2))
    capsys.readouterr()
    inner.set(value=3)
    outer.set(value=1)
    assert outer.error == "before 1\nafter 1" and inner.error == "before 2\nafter 2"
    assert capsys.readouterr() == ("", "")


MEANWHILE = """
import threading
from tests.demo_lab import demo_lab, wave
PATIENCE = 300
inside, go_on = threading.Event(), threading.Event()
def compute(frequency, **others):
    if frequency == 2:
        inside.set()
        assert go_on.wait(PATIENCE)
    return wave(frequency, **others)
lab = demo_lab(compute=compute)
moving = threading.Thread(target=lab.controls["frequency"].set_trait, args=["value", 2])
class Slow:
    def __str__(self):
        go_on.set()
        moving.join()
        return f"frequency {lab.result[0]},"
moving.start()
assert inside.wait(PATIENCE)
print(Slow(), "and nothing is lost")
"""


@pytest.mark.slow
def test_a_cell_may_print_while_a_computation_begins_and_ends():
    """A stream put in the place of stdout for a computation only, and gone after it, would take the process along."""
    out = subprocess.run([sys.executable, "-c", MEANWHILE], cwd=ROOT, capture_output=True, text=True)
    assert (out.returncode, out.stdout) == (0, "frequency 2, and nothing is lost\n"), out.stderr


FORMULAS = r"""
import sys, threading
from matplotlib.mathtext import MathTextParser
def read(k):
    for i in range(100):
        try:
            MathTextParser("agg").parse(rf"$\frac{{x_{k}}}{{{i}}}$")
        except Exception as error:
            failed.append(error)
failed, readers = [], [threading.Thread(target=read, args=[k]) for k in range(3)]
sys.setswitchinterval(1e-4)
for reader in readers:
    reader.start()
for reader in readers:
    reader.join()
print(len(failed))
"""


@pytest.mark.slow
def test_formulas_are_read_one_at_a_time():
    """Matplotlib's reader of formulas is one for all threads: two that read at once fail, or end the process."""

    def failures(before):
        out = subprocess.run([sys.executable, "-c", before + FORMULAS], cwd=ROOT, capture_output=True, text=True)
        return out.stdout.strip() if out.returncode == 0 else "crash"

    assert failures("from tests.demo_lab import demo_lab; demo_lab()") == "0"
    assert failures("") != "0", "Matplotlib no longer needs this: let go of _read_one_formula_at_a_time"


def test_an_exception_at_the_start_is_raised():
    def fail(**values):
        raise RuntimeError("at once")

    with pytest.raises(RuntimeError, match="at once"):
        demo_lab(compute=fail)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"speed": 1}, "this lab has no control 'speed'; it has frequency, level, wide"),
        ({"level": 0.1, "frequency": 10}, "the control 'frequency' does not take 10; it takes values from 1 to 9"),
        ({"level": 0.1, "frequency": 2.5}, "does not take 2.5"),
        ({"level": "high"}, "the control 'level' does not take 'high'; it takes values from 0.0 to 1.0"),
    ],
)
def test_set_refuses_what_it_cannot_do_and_changes_nothing(values, message):
    lab = demo_lab()
    before = lab.values, lab.png
    with pytest.raises(ValueError, match=message):
        lab.set(**values)
    assert (lab.values, lab.png) == before and lab.error is None


def test_set_names_the_options():
    control = ipywidgets.Dropdown(options=[1, 2, 4])
    lab = Lab({"value": control}, lambda value: value, PanelsView(), "value {}".format)
    with pytest.raises(ValueError, match="'value' does not take 3; it takes one of 1, 2, 4"):
        lab.set(value=3)


def test_set_computes_once():
    seen = []

    def compute(**values):
        seen.append(values)
        return wave(**values)

    lab = demo_lab(compute=compute)
    lab.set(frequency=2, level=0.7, wide=True)
    lab.set(frequency=2)
    assert seen[1:] == [{"frequency": 2, "level": 0.7, "wide": True}]


def test_the_last_value_wins():
    """Changes that come while one is computed are not queued: the next computation takes the last of them."""
    inside, go_on, seen = threading.Event(), threading.Event(), []

    def compute(frequency, **others):
        seen.append(frequency)
        if frequency == 2:
            inside.set()
            assert go_on.wait(PATIENCE)
        return wave(frequency, **others)

    lab = demo_lab(compute=compute)
    slider = lab.controls["frequency"]
    first = threading.Thread(target=slider.set_trait, args=["value", 2])
    first.start()
    assert inside.wait(PATIENCE)
    others = []
    for value in (3, 4, 5):  # each thread changes the value at once and then waits for its turn to draw
        others.append(threading.Thread(target=slider.set_trait, args=["value", value]))
        others[-1].start()
        while slider.value != value:
            pass
    go_on.set()
    for thread in [first, *others]:
        thread.join()
    assert seen == [1, 2, 5] and lab.result[0] == 5 and "frequency 5" in lab.summary_text


@pytest.mark.slow
def test_pyplot_stays_out():
    code = (
        "import sys; from tests.demo_lab import demo_lab; demo_lab().set(level=1.0); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_figure_of_pyplot_is_refused():
    view = PanelsView()
    view.figure.canvas.manager = object()
    with pytest.raises(TypeError, match="not one that pyplot manages"):
        Lab({"value": ipywidgets.IntSlider()}, lambda value: value, view, str)


class Kernel:
    """A real kernel, with a second thread for widget messages as JupyterLab uses it."""

    def __init__(self):
        self.manager = KernelManager(kernel_name=CURRENT_ENV_KERNEL_NAME, kernel_spec_manager=NbvalKernelspecManager())
        self.manager.start_kernel(cwd=str(ROOT))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        request = self.client.session.msg("create_subshell_request")
        self.client.control_channel.send(request)
        self.subshell = self.client.get_control_msg(timeout=PATIENCE)["content"]["subshell_id"]

    def start(self, code):
        return self.client.execute(code, store_history=False)

    def outputs(self, request):
        """All that `request` displays or prints, up to its end."""
        found = []
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            assert message["msg_type"] != "error", "\n".join(content["traceback"])
            if content.get("execution_state") == "idle":
                return found
            if message["msg_type"] in ("display_data", "execute_result", "stream"):
                found.append(content)

    def move(self, model_id, value):
        """Send, on the second thread, what the page sends when a slider is moved."""
        return self.say(model_id, {"method": "update", "state": {"value": value}, "buffer_paths": []})

    def click(self, model_id):
        """Send what the page sends when a button is pressed."""
        return self.say(model_id, {"method": "custom", "content": {"event": "click"}})

    def say(self, model_id, data):
        message = self.client.session.msg("comm_msg", {"comm_id": model_id, "data": data})
        message["header"]["subshell_id"] = self.subshell
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@contextmanager
def started():
    kernel = Kernel()
    try:
        yield kernel
    finally:
        kernel.stop()


@pytest.fixture(scope="module")
def kernel():
    with started() as kernel:
        yield kernel


SETUP = """
import threading, time
import matplotlib.pyplot as plt
from tests.demo_lab import demo_lab, wave
handled, threads = 0, set()
def compute(**values):
    global handled
    handled += 1
    threads.add(threading.current_thread() is threading.main_thread())
    return wave(**values)
lab = demo_lab(compute=compute)
def during_the_drag():
    seen, end = handled, time.monotonic() + 300
    while dragging and handled < seen + 2:  # at the second one the first one's hooks are through
        assert time.monotonic() < end, "no message of the slider came through"
        time.sleep(0.001)
def plot():
    threads.clear()
    for i in range(3):
        fig, axes = plt.subplots(figsize=(2, 2))
        during_the_drag()
        for k in range(3):
            plt.plot([0, 1], [k, i])
        during_the_drag()
        plt.title(f"$x_{i}$")
        plt.show()
    plt.figure(figsize=(1, 1))
    during_the_drag()
    plt.plot([0, 1])
    print(handled > 9, threads)
print(lab.controls["frequency"].model_id)
"""


def drag_while_plotting(kernel):
    """The pictures of a plotting cell with nothing else happening, and with a slider dragged all along."""
    (model,) = (line["text"].strip() for line in kernel.outputs(kernel.start(SETUP)))
    alone = kernel.outputs(kernel.start("dragging = False; plot()"))
    done = threading.Event()

    def drag():
        value = 1
        while not done.wait(0.02):
            value = value % 5 + 1
            kernel.move(model, value)

    request, hand = kernel.start("dragging = True; plot()"), threading.Thread(target=drag, daemon=True)
    hand.start()
    try:
        outputs = kernel.outputs(request)
    finally:
        done.set()
        hand.join(10)  # it waits for ever to send anything to a kernel that has died
    pictures = [[out["data"]["image/png"] for out in outs if "data" in out] for outs in (alone, outputs)]
    text = "".join(out["text"] for out in outputs if "text" in out)
    return *pictures, text


@pytest.mark.slow
def test_dragging_a_slider_does_not_disturb_the_figures_of_a_running_cell(kernel):
    alone, dragged, text = drag_while_plotting(kernel)
    assert text == "True {False}\n", "the slider's callbacks ran meanwhile, on another thread"
    assert len(alone) == 4 and dragged == alone


@pytest.mark.slow
def test_without_the_guard_it_would():
    """The test above can fail: with IPython's hooks left as they are, the same drag destroys figures."""
    undo = "import offac_lite.course.stage.threads as t; t._keep_cell_hooks_on_the_main_thread = lambda: None"
    with started() as unguarded:
        unguarded.outputs(unguarded.start(undo))
        alone, dragged, _ = drag_while_plotting(unguarded)
    assert len(alone) == 4 and dragged != alone


@pytest.mark.slow
def test_a_press_is_answered_while_a_cell_runs(kernel):
    """Also the first message of a control: ipykernel 7.4 would answer it when the cell is done, after newer ones."""
    setup = (
        "import time, threading; from tests.test_stage import ghost_lab\n"
        "lab = ghost_lab(presets={'many': {'k': 64}})\n"
        "(button,) = [one for row in lab.widget.children for one in getattr(row, 'children', ())"
        " if getattr(one, 'description', '') == 'many']\n"
        "print(button.model_id, lab.controls['n'].model_id)"
    )
    (found,) = kernel.outputs(kernel.start(setup))
    button, slider = found["text"].split()
    request = kernel.start(
        "end = time.monotonic() + 300; print('begun', end='')\n"
        "while lab.result != 649 and time.monotonic() < end: time.sleep(0.01)\n"
        "print(lab.result)"
    )
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["content"].get("text") != "begun":
        pass
    kernel.click(button)
    kernel.move(slider, 9)
    (line,) = kernel.outputs(request)
    assert line["text"] == "649.0\n"


@pytest.mark.slow
def test_a_dashboard_keeps_out_of_cells_too(kernel):
    kernel.outputs(kernel.start("from offac_lite.course.labs import Dashboard; dashboard = Dashboard(2, band=False)"))
    found = kernel.outputs(kernel.start("print(dashboard.controls['updates_per_step'].model_id)"))
    request = kernel.start(
        "import time, matplotlib.pyplot as plt\n"
        "figure, end = plt.figure(), time.monotonic() + 300; print('begun', end='')\n"
        "while dashboard.controls['updates_per_step'].value < 8 and time.monotonic() < end: time.sleep(0.01)\n"
        "time.sleep(0.3); print(plt.get_fignums(), dashboard.controls['updates_per_step'].value); plt.close()"
    )
    while kernel.client.get_iopub_msg(timeout=PATIENCE)["content"].get("text") != "begun":
        pass
    kernel.move(found[0]["text"].strip(), 8)
    (line,) = kernel.outputs(request)
    assert line["text"] == "[1] 8\n", "the figure of the cell is still there after a message to the dashboard"


@pytest.mark.slow
def test_show_puts_still_outputs_before_the_live_one(kernel):
    code = "from tests.demo_lab import demo_lab; lab = demo_lab(); lab.show(); print('after'); lab"
    picture, line, view, after, *again = kernel.outputs(kernel.start(code))
    summary = "The wave has frequency 1; the steps end at 0.5."
    assert picture["data"].keys() == {"image/png", "text/plain"} and picture["data"]["text/plain"] == summary
    assert picture["metadata"] == {"image/png": {"alt": summary}}
    assert line["data"] == {"text/plain": summary}
    assert view["data"].keys() == {"application/vnd.jupyter.widget-view+json"}
    assert after["text"] == "after\n"
    assert [out["data"].keys() for out in again] == [out["data"].keys() for out in (picture, line, view)]
