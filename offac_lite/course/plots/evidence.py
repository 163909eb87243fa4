"""Where many agents of each method end, how little a few of them say, and what a curve costs."""

from collections.abc import Mapping, Sequence

import matplotlib.ticker
import numpy as np
import torch
from matplotlib.figure import Figure

from offac_lite.course.plots.base import MUTED, RESAMPLED, figure
from offac_lite.course.plots.fixes import FIX_COLORS
from offac_lite.course.plots.learning import learning_curves, seed_strips
from offac_lite.course.plots.style import course_style

__all__ = ["few_agents", "steps_and_seconds", "strips_by_data"]


def strips_by_data(
    late: Mapping[str, Mapping[str, torch.Tensor]], limits: Mapping[str, tuple[float, float]] | None = None
) -> Figure:
    """Draw a panel for each kind of data and in it a strip for each method: the mean returns of its agents, (S,).

    A method "naive, …" has the colour of "naive". `limits` holds the ends of each panel's axis; without it every axis
    goes from 0 to 510, for CartPole.
    """
    size = {"nrows": (len(late) + 1) // 2, "ncols": 2, "sharex": limits is None}
    fig, axes = figure(9.5, 2.2 * size["nrows"], **size)
    for ax, (data, methods) in zip(axes, late.items(), strict=False):
        colors = {name: FIX_COLORS.get(name, FIX_COLORS.get(name.partition(",")[0], MUTED)) for name in methods}
        seed_strips(ax, dict(methods), colors=colors)
        ax.set(title=data, xlim=(0, 510) if limits is None else limits[data])
    for ax in axes[-2:]:
        ax.set_xlabel("mean return of each agent, second half")
    return fig


@course_style()
def few_agents(
    steps: Sequence[float], returns: Mapping[str, torch.Tensor], n: int, panels: int, generator: torch.Generator
) -> tuple[Figure, list[str]]:
    """Draw `panels` figures of the kind that a paper shows: the mean of `n` agents of each method, drawn anew in each.

    `returns` is {method: (S, E)}, over steps (E,). The figure comes with the method whose mean return in
    the second half is higher in each panel.

    >>> g = torch.Generator().manual_seed(0)
    >>> few_agents([1, 2], {"naive": torch.zeros(4, 2), "both": torch.ones(4, 2)}, n=2, panels=3, generator=g)[1]
    ['both', 'both', 'both']
    """
    fig, axes = figure(10.5, 2.6, ncols=panels, sharey=True)
    best = []
    for ax in axes:
        second_half = {}
        for (name, of_all), line in zip(returns.items(), ("-", "--", ":", "-."), strict=False):
            drawn = of_all[torch.randperm(len(of_all), generator=generator)[:n]]
            ax.plot(steps, drawn.mean(0), color=FIX_COLORS.get(name, MUTED), lw=2.2, ls=line, label=name)
            second_half[name] = drawn[:, drawn.shape[1] // 2 :].mean().item()
        best.append(max(second_half, key=second_half.__getitem__))
        ax.set(
            xlabel="environment steps", xticks=[steps[0], steps[-1]], xticklabels=[f"{steps[0]:,}", f"{steps[-1]:,}"]
        )
    axes[0].set_ylabel(f"return, mean of {n} agents")
    axes[-1].legend(frameon=False, loc="lower right", fontsize=9)
    return fig, best


@course_style()
def steps_and_seconds(runs: Mapping[str, tuple[Sequence[float], torch.Tensor, float]]) -> Figure:
    """Draw the same learning curves over environment steps, and over seconds of computing.

    `runs` is {name: (steps (E,), returns (S, E), seconds for each step)}. The first has the colour of resampled
    actions, a second one is grey and dashed.
    """
    fig, axes = figure(9.5, 3.2, ncols=2, sharey=True)
    for (name, (steps, returns, cost)), color, line in zip(runs.items(), (RESAMPLED, MUTED), ("-", "--"), strict=False):
        look = {"color": color, "label": name, "centre": "iqm", "linestyle": line}
        learning_curves(axes[0], steps, returns, **look)
        learning_curves(axes[1], cost * np.asarray(steps), returns, **look)
    axes[0].get_legend().remove()
    axes[0].xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
    axes[1].legend(frameon=False, loc="lower right")
    axes[1].set(xlabel="seconds of computing", ylabel="")
    return fig
