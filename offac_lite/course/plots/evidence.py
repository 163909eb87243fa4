"""Where many agents of each method end, in several situations."""

from collections.abc import Mapping

import torch
from matplotlib.figure import Figure

from offac_lite.course.plots.base import figure
from offac_lite.course.plots.fixes import FIX_COLORS
from offac_lite.course.plots.learning import seed_strips

__all__ = ["strips_by_data"]


def strips_by_data(late: Mapping[str, Mapping[str, torch.Tensor]]) -> Figure:
    """Draw a panel for each kind of data and in it a strip for each method: the mean returns of its agents, (S,)."""
    fig, axes = figure(9.5, 2.2 * ((len(late) + 1) // 2), nrows=(len(late) + 1) // 2, ncols=2, sharex=True)
    for ax, (data, methods) in zip(axes, late.items(), strict=False):
        seed_strips(ax, dict(methods), colors=FIX_COLORS)
        ax.set(title=data, xlim=(0, 510))
    for ax in axes[-2:]:
        ax.set_xlabel("mean return of each agent, second half")
    return fig
