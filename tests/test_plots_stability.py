"""The figures of the chapter on stability draw what they are given, the same each time."""

import torch

from offac_lite.course import plots


def two_figures():
    x = torch.linspace(-2, 2, 5)
    fits = {False: torch.stack([x, 2 * x]), True: torch.stack([0 * x, x.tanh()])}
    yield plots.outside_the_data(x, fits, x)
    run = {"steps": [2000, 4000], "returns": [[1.0, 2.0], [3.0, 400.0], [3.0, 500.0], [3.0, 500.0]]}
    runs = {"1": run, "1, layer norm": run, "4": run, "4, layer norm": run}
    yield plots.replay_ratio_curves(runs, {"1": "one", "4": "four"}, 500)


def test_the_same_figures_have_the_same_bytes_and_hold_every_curve():
    for one, two in zip(two_figures(), two_figures(), strict=True):
        assert plots.png(one) == plots.png(two)
    outside, curves = two_figures()
    plain, normed = outside.axes
    assert [line.get_ydata().tolist() for line in plain.lines[:2]] == [[-2, -1, 0, 1, 2], [-4, -2, 0, 2, 4]]
    assert plain.lines[2].get_xdata().tolist() == [-1, 0, 1], "the wanted values are drawn where the data lies"
    assert plain.get_ylim() == normed.get_ylim()
    assert [ax.get_title(loc="left") for ax in curves.axes] == ["one", "four"]
    assert all(len(ax.lines) == 2 * (4 + 1) + 1 for ax in curves.axes), "each seed, two centres and the goal"
