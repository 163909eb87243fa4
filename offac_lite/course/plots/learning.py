"""Learning curves, and strips of seeds."""

import numpy as np

from offac_lite import stats
from offac_lite.course.plots.base import MUTED, RESAMPLED

__all__ = ["learning_curves", "seed_strips"]


def learning_curves(
    ax,
    steps,
    returns,
    color: str = RESAMPLED,
    label: str = "",
    goal: float | None = None,
    centre: str = "median",
    linestyle: str = "-",
) -> None:
    """Draw returns (S, E) over steps (E,): every seed as a thin line, and their centre as a thick one.

    `centre`: "median", with the middle half of the seeds shaded, or "iqm", the interquartile mean, with its 95%
    bootstrap interval. A seed that was stopped, and so ends in NaN, is left out of the median from there on, and of the
    interquartile mean altogether; the label says how many were.
    """
    steps, returns = np.asarray(steps), np.asarray(returns)
    ax.plot(steps, returns.T, color=color, alpha=0.25, linewidth=0.7)
    if centre == "median":
        low, middle, high = np.nanquantile(returns, [0.25, 0.5, 0.75], axis=0)
        name = "median"
    elif centre == "iqm":
        alive = returns[~np.isnan(returns).any(1)]
        middle, (low, high), name = stats.iqm(alive), stats.interval(alive), "interquartile mean"
    else:
        raise ValueError(f"centre must be 'median' or 'iqm', got {centre!r}")
    ax.fill_between(steps, low, high, color=color, alpha=0.15 if centre == "median" else 0.3, linewidth=0)
    n_stopped = np.isnan(returns).any(1).sum()
    label = label or f"{name} of {len(returns)} seeds" + f", without {n_stopped} that stopped" * bool(n_stopped)
    ax.plot(steps, middle, color=color, linewidth=2.2, linestyle=linestyle, label=label)
    if goal is not None:
        ax.axhline(goal, color=MUTED, linestyle=":", linewidth=1)
        ax.annotate(f"{goal:g}", (steps[-1], goal), color=MUTED, fontsize=9, ha="right", va="bottom")
    ax.set_xlabel("environment steps per seed")
    ax.set_ylabel("return of an episode")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.0, 0.95))


def seed_strips(ax, values: dict, goal: float | None = None, colors: dict | None = None) -> None:
    """Draw a row for each {name: values (S,)}: a stroke for every seed, their interquartile mean and its interval.

    `colors` is {name: color}; the default is the green of resampled actions. The first name is at the top.
    """
    for row, (name, seeds) in enumerate(values.items()):
        seeds, color = np.asarray(seeds), (colors or {}).get(name, RESAMPLED)
        low, high = stats.interval(seeds)
        ax.plot(seeds, np.full(len(seeds), row), "|", color=color, alpha=0.5, ms=11, mew=0.8)
        ax.plot([low, high], [row, row], color=color, lw=5, alpha=0.45, solid_capstyle="butt")
        ax.plot(stats.iqm(seeds), row, "o", color=color, mec="white", ms=8)
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    if goal is not None:
        ax.axvline(goal, color=MUTED, linestyle=":", linewidth=1)
