"""The picture of a lab, by value: layouts, sizes, pixel ratios and themes of pages, and whose settings it follows."""

import io

import matplotlib.style
import numpy as np
import PIL.Image
import pytest

from offac_lite.course import plots
from offac_lite.course.plots import lake
from offac_lite.course.stage.picture import on_dark
from offac_lite.course.stage.screen import Screen
from tests.browser import made
from tests.demo_lab import demo_lab
from tests.test_lab import drawn, pixels, redrawn
from tests.test_stage import ghost_lab

LIGHT = {"width": 5000, "ratio": 1, "dark": False}


def size(lab):
    return PIL.Image.open(io.BytesIO(lab.png)).size


@pytest.mark.slow
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


def test_words_on_the_lake_are_readable_on_white_and_on_dark():
    grounds = [lake.ICE, lake.WATER, lake.GOAL, *lake.TINTS(np.linspace(0, 1, 21))]
    colors = np.array([matplotlib.colors.to_rgb(color) for color in [plots.EXACT, *grounds]])
    for words, *mapped in (colors, on_dark(colors)):
        assert min(contrast(words, ground) for ground in mapped) > 4.5


def test_a_dark_page_gets_a_dark_picture_and_the_notebook_keeps_a_light_one():
    lab = demo_lab()
    light = lab.png
    lab.screen.picture.page = LIGHT | {"dark": True}
    assert (pixels(lab.png)[3, 3] == 0x11).all() and lab.screen._still() == light
    assert (pixels(lab.png)[3, 3] == 0x11).all()
    lab.screen.picture.page = LIGHT
    assert lab.png == light


@pytest.mark.parametrize("name", ["variance", "age"])
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("dark", [False, True])
def test_the_half_that_points_downhill_is_grey(name, ratio, dark):
    lab = made(name)
    lab.screen.picture.page = {"width": 1000, "ratio": ratio, "dark": dark}
    picture = PIL.Image.open(io.BytesIO(lab.png)).convert("RGB")
    figure = lab._view.figure
    (ax,) = (ax for ax in figure.axes if any("downhill" in text.get_text() for text in ax.texts))
    low, high, bottom, top = *ax.get_xlim(), *ax.get_ylim()
    shades = []
    for x in (0.97 * low, 0.97 * high):
        right, up = figure.transFigure.inverted().transform(ax.transData.transform((x, bottom + 0.5 * (top - bottom))))
        shades.append(picture.getpixel((int(right * picture.width), int((1 - up) * picture.height)))[0])
    assert abs(shades[0] - shades[1]) > 8


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["variance", "critic", "map"])
def test_the_settings_of_the_reader_do_not_reach_a_lab(name):
    changes = {"variance": {"batch_size": 8}, "critic": {"age": 3}, "map": {"agent": 1}}[name]
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
