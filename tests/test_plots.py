"""Figures: what is drawn is the data, the same data gives the same bytes, and pyplot is never touched."""

import itertools
import subprocess
import sys
import threading

import matplotlib
import numpy as np
import pytest
import torch
from colorspacious import cspace_convert, deltaE
from matplotlib.colors import to_rgb

from offac_lite import stats
from offac_lite.course import plots
from tests.hostile import RC_PARAMS


def figures():
    fig, (ax,) = plots.figure()
    plots.learning_curves(ax, [0, 1, 2], np.array([[1.0, 2, 3], [2, 3, 4], [0, np.nan, 5]]), goal=5)
    yield fig
    yield plots.data_flow("on-policy", "naive replay", "fix 1", "both fixes")
    fig, (ax,) = plots.figure()
    plots.lake_policy(ax, np.full((16, 4), 0.25), "the uniform policy")
    yield fig
    yield plots.variance_against_k([1, 2], [2.0, 1.0], [2.1, 0.9], floor=0.5, reference=1.5, k_star=1.3)
    yield plots.bias_against_age([0, 1], [0.0, 0.1], [0.0, 0.5])
    yield plots.cosine_against_distance([0.0, 0.1], [1.0, -0.5], [1.0, 0.5], {1: 1})
    yield plots.lake_values({"V": np.linspace(0, 1, 16), "error": np.linspace(-0.5, 0.5, 16)})
    fig, (ax,) = plots.figure()
    plots.seed_strips(ax, {"one": np.arange(8.0), "two": np.arange(8.0) ** 2}, goal=40, colors={"one": plots.STORED})
    yield fig
    there_and_back = [
        ("a", "b", "there"),
        ("b", "a", "back"),
        ("b", "b", "stay"),
        ("b", "end", "left"),
        ("b", "end", ""),
    ]
    yield plots.small_mdp({"a": (0, 0), "b": (2, 0), "end": (4, 0)}, there_and_back, {"a": "w"})
    yield plots.states_and_actions([(8, 1), (8, 4)])


def views():
    yield plots.BaselineView([0.0, 1.0])
    yield plots.ContinuousView([0.1, 1.0], [-1.0, 0.0, 1.0])
    yield plots.VarianceView([1, 2, 4])
    yield plots.WatchView()
    yield plots.DashboardView(2, 100)


def all_drawn():
    return [plots.png(fig) for fig in (*figures(), *(view.figure for view in views()))]


@pytest.fixture(scope="module")
def pngs():
    return all_drawn()


@pytest.mark.slow
@pytest.mark.parametrize("settings", RC_PARAMS)
def test_a_reader_s_settings_change_no_figure_of_the_course(settings, pngs):
    assert all(png.startswith(b"\x89PNG") and len(png) > 3_000 for png in pngs)
    with matplotlib.rc_context(RC_PARAMS[settings]):
        assert [one == two for one, two in zip(pngs, all_drawn(), strict=True)] == [True] * len(pngs)


@pytest.mark.parametrize("settings", RC_PARAMS)
def test_what_a_cell_adds_to_a_figure_of_the_course_looks_like_the_rest(settings):
    def drawn():
        fig, (left, right) = plots.figure(ncols=2)
        left.plot([0, 1], [0, 1], label="a line")
        left.legend()
        left.set_title("$x^2$")
        right.set(title="and", xlabel="more", xticks=[0, 1])
        right.annotate("here", (0.5, 0.5))
        fig.suptitle("both")
        return plots.png(fig)

    wanted = drawn()
    with matplotlib.rc_context(RC_PARAMS[settings]):
        assert drawn() == wanted


def test_the_course_s_settings_are_seen_by_one_thread_and_change_none_of_the_reader_s():
    with matplotlib.rc_context({"font.size": 17}), plots.course_style():
        assert matplotlib.rcParams["font.size"] == 10
        seen = []
        thread = threading.Thread(target=lambda: seen.append(matplotlib.rcParams["font.size"]))
        thread.start()
        thread.join()
        assert seen == [17]
        with matplotlib.rc_context({"lines.linewidth": 3}):
            pass
    assert matplotlib.rcParams["font.size"] == 10  # Matplotlib's own; rc_context has put back what was set before
    with matplotlib.rc_context({"font.size": 17}):
        with plots.course_style(), matplotlib.rc_context({"lines.linewidth": 3}):
            pass
        assert matplotlib.rcParams["font.size"] == 17 and matplotlib.rcParams["lines.linewidth"] == 1.5


def test_learning_curves_with_the_interquartile_mean_and_its_interval():
    returns = np.random.default_rng(0).normal(size=(12, 3))
    _, (ax,) = plots.figure()
    plots.learning_curves(ax, [1, 2, 3], returns, centre="iqm")
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), stats.iqm(returns))
    _, (stopped,) = plots.figure()
    plots.learning_curves(stopped, [1, 2, 3], np.vstack([returns, [[0.0, np.nan, np.nan]]]), centre="iqm")
    np.testing.assert_allclose(stopped.lines[-1].get_ydata(), stats.iqm(returns))
    labels = [axes.lines[-1].get_label() for axes in (ax, stopped)]
    assert labels == ["interquartile mean of 12 seeds", "interquartile mean of 13 seeds, without 1 that stopped"]
    with pytest.raises(ValueError, match="centre must be 'median' or 'iqm'"):
        plots.learning_curves(ax, [1, 2, 3], returns, centre="mean")


def test_learning_curves_draw_every_seed_and_their_median():
    _, (ax,) = plots.figure()
    returns = np.array([[1.0, 2.0], [3.0, 6.0], [8.0, 7.0]])
    plots.learning_curves(ax, [10, 20], returns)
    drawn = [line.get_ydata().tolist() for line in ax.lines]
    assert drawn == [*returns.tolist(), [3.0, 6.0]]


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_lakes_have_a_number_in_each_square_on_which_one_can_walk_and_one_scale():
    values = np.linspace(0, 0.3, 16)
    fig = plots.lake_values({"V": values, "error": -2 * values})
    numbers = [f"{v:.2f}" for v, letter in zip(values, "SFFFFHFHFFFHHFFG", strict=True) if letter in "SF"]
    written = [[word for word in words(ax) if word[-1].isdigit()] for ax in fig.axes]
    assert written[0] == numbers and written[1][1:] == [f"−{2 * float(v):.2f}" for v in numbers[1:]]
    _, (ax,) = plots.figure()
    lake = plots.LakeValues(ax, top=0.6)
    colors = []
    for value in (0.0, 0.3, 0.3 + 1e-12, 0.6, 5.0, -0.6):
        lake.update(np.full(16, value))
        colors.append(lake.tiles[0].get_facecolor())
    assert colors[1] == colors[2] and colors[3] == colors[4] and len(set(colors)) == 4
    lake.update(np.full(16, -0.001))
    assert lake.words[0].get_text() == "0.00"
    _, (ax,) = plots.figure()
    assert len(plots.LakeValues(ax, 1.0, shown=np.arange(16) < 6).words) == 5, "square 5 is a hole"


def test_each_data_flow_has_one_thick_arrow_which_the_one_before_it_has_not():
    names = ("on-policy", "naive replay", "fix 1", "both fixes")
    axes = plots.data_flow(*names).axes
    thick = [[patch for patch in ax.patches if patch.get_linewidth() > 3] for ax in axes]
    assert [len(patches) for patches in thick] == [0, 1, 1, 1]
    wanted = [to_rgb(color) for color in (plots.STORED, plots.NEXT, plots.RESAMPLED)]
    assert [patches[0].get_edgecolor()[:3] for patches in thick[1:]] == wanted
    n_patches = [len(ax.patches) for ax in axes]
    assert np.diff(n_patches).tolist() == [2, 1, 1], "the old policies are a box, too"
    assert "aᵖ ~ π(·|s)" in words(axes[3]) and "aᵖ ~ π(·|s)" not in words(axes[2])
    with pytest.raises(ValueError, match="names must be of on-policy"):
        plots.data_flow("off-policy")


def test_a_batch_has_a_dot_for_each_state_and_for_each_action():
    fig = plots.states_and_actions([(8, 1), (8, 4)])
    assert [[len(line.get_xdata()) for line in ax.lines] for ax in fig.axes] == [[8, 8], [8, 32]]


def test_plane_keeps_lengths_in_the_plane_and_puts_the_target_on_the_first_axis():
    gen = torch.Generator().manual_seed(0)
    target, other = torch.randn(2, 5, 3, generator=gen)
    plane = plots.Plane(target, other)
    assert plane(target).tolist() == pytest.approx([target.norm().item(), 0.0], abs=1e-5)
    assert plane(other).norm().item() == pytest.approx(other.norm().item(), rel=1e-5)


@pytest.mark.slow
def test_pyplot_is_never_imported():
    draw = "from offac_lite.course import plots; plots.png(plots.data_flow('on-policy'))"
    code = f"import sys; {draw}; print('matplotlib.pyplot' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


QUANTITIES = ("EXACT", "STORED", "NEXT", "RESAMPLED", "SURROGATE", "STATES", "ACTIONS", "MUTED")


@pytest.mark.parametrize("vision", [None, "deuteranomaly", "protanomaly", "tritanomaly"])
def test_the_colours_of_the_course_stay_apart_for_colour_blind_readers(vision):
    colors = np.array([to_rgb(getattr(plots, name)) for name in QUANTITIES])
    if vision is not None:  # simulated after Machado, Oliveira & Fernandes (2009), the whole of it missing
        colors = cspace_convert(colors, {"name": "sRGB1+CVD", "cvd_type": vision, "severity": 100}, "sRGB1").clip(0, 1)
    for (one, a), (other, b) in itertools.combinations(zip(QUANTITIES, colors, strict=True), 2):
        assert deltaE(a, b, input_space="sRGB1") > 10, f"{one} and {other}"  # 1 can just be seen, side by side


def luminance(color):
    """WCAG's relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


def test_all_but_two_colours_stand_out_from_white():
    names = ("EXACT", "STORED", "NEXT", "RESAMPLED", "SURROGATE", "STATES", "ACTIONS", "MUTED")
    contrast = {name: 1.05 / (luminance(getattr(plots, name)) + 0.05) for name in names}
    assert luminance("white") == pytest.approx(1) and contrast["EXACT"] == pytest.approx(21)
    assert {name for name, ratio in contrast.items() if ratio < 3} == {"STORED", "NEXT"}
    assert min(contrast.values()) > 2
