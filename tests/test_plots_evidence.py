"""The figures of the chapter on evidence, by what is drawn."""

import pytest
import torch

from offac_lite.course import plots


def test_each_panel_draws_other_agents_and_names_the_best():
    returns = {"naive": torch.arange(8.0)[:, None] * torch.ones(1, 3), "both": torch.full((8, 3), 3.25)}
    g = torch.Generator().manual_seed(0)
    fig, best = plots.few_agents([10, 20, 30], returns, n=3, panels=6, generator=g)
    drawn = [[line.get_ydata()[-1] for line in ax.lines] for ax in fig.axes]
    assert len({naive for naive, _ in drawn}) > 2 and {both for _, both in drawn} == {3.25}
    assert best == ["naive" if naive > both else "both" for naive, both in drawn] and len(set(best)) == 2
    assert [line.get_color() for line in fig.axes[0].lines] == [plots.FIX_COLORS[name] for name in returns]


def test_all_agents_drawn_give_every_panel_the_mean_of_all():
    returns = {"naive": torch.arange(4.0)[:, None].expand(4, 2)}
    fig, _ = plots.few_agents([10, 20], returns, n=4, panels=2, generator=torch.Generator().manual_seed(0))
    assert all(ax.lines[0].get_ydata().tolist() == [1.5, 1.5] for ax in fig.axes)


def test_the_same_curves_stand_over_steps_and_over_seconds():
    steps, returns = torch.tensor([100, 200]), torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [3.0, 4.0]])
    fig = plots.steps_and_seconds({"replay": (steps, returns, 0.5), "on-policy": (steps, returns, 0.01)})
    thick = [[line for line in ax.lines if line.get_linewidth() > 2] for ax in fig.axes]
    assert [line.get_xdata().tolist() for line in thick[0]] == [[100, 200], [100, 200]]
    assert [line.get_xdata().tolist() for line in thick[1]] == [[50, 100], pytest.approx([1, 2])]
    assert all(line.get_ydata().tolist() == [2.0, 3.0] for panel in thick for line in panel)
    assert [line.get_color() for line in thick[0]] == [plots.RESAMPLED, plots.MUTED]


def test_the_strips_of_other_tasks_have_their_own_axes():
    late = {"lake": {"both": torch.rand(4)}, "Acrobot": {"both": -100 * torch.rand(4)}}
    fig = plots.strips_by_data(late, {"lake": (0, 1), "Acrobot": (-500, 0)})
    assert [ax.get_xlim() for ax in fig.axes] == [(0, 1), (-500, 0)]
    assert {ax.get_xlim() for ax in plots.strips_by_data(late).axes} == {(0, 510)}
