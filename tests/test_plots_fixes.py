"""The figure of the batches that a direction takes to show, by what is drawn."""

import torch

from offac_lite.course import plots


def test_batches_needed_draws_medians_in_the_colour_of_their_noise():
    _, (ax,) = plots.figure()
    rows = {"K = 1, Q": torch.tensor([[1.0, 10.0], [3.0, 30.0], [2.0, 20.0]]), "K = 1, Q − V": torch.ones(3, 2)}
    plots.batches_needed(ax, [100, 200], rows, n_updates=50)
    thick = [line for line in ax.lines if line.get_linewidth() > 2]
    assert [line.get_ydata().tolist() for line in thick] == [[2.0, 20.0], [1.0, 1.0]]
    assert [line.get_color() for line in thick] == [plots.ACTIONS, plots.RESAMPLED]
    assert ax.get_yscale() == "log"
