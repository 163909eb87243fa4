import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure

from offac_lite.course import plots
from offac_lite.course.stage.canvas import Canvas

WRITINGS = {
    "a word": dict(s="gradient"),
    "between pixels": dict(s="gradient", x=0.3011, y=0.5013),
    "several lines": dict(s="one\n\ntwo", linespacing=1.7),
    "mathematics": dict(s=r"off $\frac{Q^\pi}{2}$"),
    "aslant": dict(s="aslant", rotation=37),
    "coloured": dict(s="stored", color=plots.STORED),
    "large, bold": dict(s="large", size=30, weight="bold"),
    "monospace": dict(s="0.0123", family="monospace"),
    "translucent": dict(s="faint", alpha=0.4),
    "translucent by its colour": dict(s="faint", color=(0.2, 0.4, 0.6, 0.5)),
    "rough": dict(s="rough", antialiased=False),
    "over the edge": dict(s="over the edge", x=0.9),
    "below the edge": dict(s="below", y=-0.01),
    "out of sight": dict(s="nowhere", x=3.0),
    "on a patch": dict(s="patch", bbox={"facecolor": "yellow", "boxstyle": "round"}),
    "cut off": dict(s="cut off by a box", clip_on=True, clip_box=matplotlib.transforms.Bbox([[0, 0], [60, 50]])),
}


def pixels(canvas_of, writing, draws=1, **figure):
    figure = Figure(figsize=(2, 1), **figure)
    canvas = canvas_of(figure)
    figure.text(**(dict(x=0.3, y=0.5) | writing))
    for _ in range(draws):
        canvas.draw()
    return np.asarray(canvas.buffer_rgba()).astype(int)


@pytest.mark.parametrize("ground", ["white", "#336699", "none"])
@pytest.mark.parametrize("writing", WRITINGS.values(), ids=WRITINGS)
def test_text_looks_as_matplotlib_draws_it(writing, ground):
    theirs = pixels(FigureCanvasAgg, writing, facecolor=ground)
    for draws in (1, 2):
        assert np.abs(pixels(Canvas, writing, draws, facecolor=ground) - theirs).max() <= 1, f"draw {draws}"


def test_a_line_is_drawn_once_and_again_only_where_it_changes(monkeypatch):
    drawn, draw_text = [], RendererAgg.draw_text
    monkeypatch.setattr(RendererAgg, "draw_text", lambda self, *args: (drawn.append(args[3]), draw_text(self, *args)))
    figure = Figure(figsize=(3, 2))
    title, label = figure.suptitle("title"), figure.text(0.1, 0.2, "one\ntwo")
    canvas = Canvas(figure)

    def drawn_after(change=None):
        if change is not None:
            change()
        drawn.clear()
        canvas.draw()
        return sorted(drawn)

    assert drawn_after() == ["one", "title", "two"]
    assert drawn_after() == []
    assert drawn_after(lambda: label.set_text("one\n2")) == ["2"]
    assert drawn_after(lambda: title.set_fontsize(15)) == ["title"]
    assert drawn_after(lambda: title.get_fontproperties().set_size(17)) == ["title"], "changed in place"
    assert drawn_after(lambda: title.set_color("red")) == ["title"]
    assert drawn_after(lambda: title.set_x(0.4)) == ["title"]
    assert drawn_after(lambda: title.set_rotation(5)) == ["title"]
    assert drawn_after(lambda: title.set_text("$title$")) == ["$title$"]
    assert drawn_after(lambda: figure.set_size_inches(2, 2)) == ["$title$", "2", "one"], "another canvas"
    assert drawn_after(lambda: figure.set_dpi(50)) == ["$title$", "2", "one"]
    assert drawn_after() == []


def test_the_pictures_kept_are_bounded():
    figure = Figure(figsize=(1, 1), dpi=20)
    canvas, text = Canvas(figure), figure.text(0, 0.5, "")
    for number in range(500):
        text.set_text(str(number))
        canvas.draw()
    assert canvas.get_renderer()._cached.cache_info().currsize == 300
