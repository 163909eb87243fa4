"""Critics outside their data, and learning curves at several replay ratios."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure

from offac_lite.course.plots.base import EXACT, MUTED, STATES, figure
from offac_lite.course.plots.learning import learning_curves

__all__ = ["outside_the_data", "replay_ratio_curves"]

_NORM = ((False, MUTED, "-", "plain"), (True, STATES, "--", "layer norm"))


def outside_the_data(x: torch.Tensor, fits: Mapping[bool, torch.Tensor], wanted: torch.Tensor) -> Figure:
    """Draw networks fitted between −1 and 1 over x (n,): `fits` maps layer_norm to values (S, n); `wanted` is (n,)."""
    fig, axes = figure(8.4, 3.2, ncols=2, sharey=True)
    for ax, (layer_norm, color, _, name) in zip(axes, _NORM, strict=True):
        ax.axvspan(-1, 1, color=MUTED, alpha=0.15, lw=0)
        ax.plot(x, fits[layer_norm].T, color=color, lw=0.9, alpha=0.7)
        inside = x.abs() <= 1
        ax.plot(x[inside], wanted[inside], color=EXACT, lw=2.4)
        ax.set(title=name, xlabel="input x; the data lies in the grey band", xlim=(x[0].item(), x[-1].item()))
    axes[0].set_ylabel("output of each network")
    return fig


def replay_ratio_curves(runs: Mapping[str, Mapping], names: Mapping[str, str], goal: float) -> Figure:
    """Draw a panel for each of `names`, {run: title}: the returns of `run`, and those of "`run`, layer norm"."""
    fig, axes = figure(2.6 * len(names) + 0.8, 3.2, ncols=len(names), sharey=True)
    for ax, (name, title) in zip(axes, names.items(), strict=True):
        for layer_norm, color, style, label in _NORM:
            run = runs[f"{name}, layer norm" if layer_norm else name]
            last = goal if layer_norm else None
            learning_curves(ax, run["steps"], run["returns"], color, label, last, centre="iqm", linestyle=style)
        ax.set(title=title, xlabel="environment steps", ylabel="")
        ax.set_xticks(np.arange(0, run["steps"][-1] + 1, 4000))
        ax.get_legend().remove()
    axes[0].set_ylabel("return, interquartile mean")
    axes[-2].legend(frameon=False, loc="lower right")
    return fig
