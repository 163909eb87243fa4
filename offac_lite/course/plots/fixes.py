"""The colours of each fix on and off, and how many batches a gradient's direction takes to show."""

import numpy as np

from offac_lite.course.plots.base import ACTIONS, MUTED, NEXT, RESAMPLED, STORED, SURROGATE

FIXES = {"naive": STORED, "Q-critic alone": NEXT, "importance, V": SURROGATE, "both": RESAMPLED}
"""The colour of each cell of the 2×2, and of importance weights."""


def batches_needed(ax, steps, rows: dict, n_updates: int) -> None:
    """Draw the batches that it takes, (S, E) each, over steps (E,), for {label: batches} on a logarithmic axis.

    Rows whose label ends in "Q" have the colour of the actions' noise, the others that of resampled actions. A dotted
    line marks `n_updates`, the updates that there are.
    """
    lines, markers = iter(("-", "--", "-.", ":")), iter("os^v")
    for label, batches in rows.items():
        batches, color = np.asarray(batches), ACTIONS if label.endswith(" Q") else RESAMPLED
        ax.plot(steps, batches.T, color=color, alpha=0.2, lw=0.7)
        ax.plot(steps, np.median(batches, 0), color=color, lw=2.2, ls=next(lines), marker=next(markers), label=label)
    ax.axhline(n_updates, color=MUTED, ls=":", lw=1)
    ax.annotate("updates in the whole run", (steps[0], n_updates), color=MUTED, fontsize=9, va="bottom")
    ax.set(yscale="log", xlabel="environment steps per seed", ylabel="batches until the direction shows")
    ax.legend(frameon=False, fontsize=9, loc="lower right", ncols=len(rows), columnspacing=1.0, handlelength=1.6)
    low, high = ax.get_ylim()
    ax.set_ylim(low / 4, high)  # room for the legend
