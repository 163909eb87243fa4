"""The colours of each fix on and off, and the number of batches until a gradient's direction shows."""

from itertools import cycle

import numpy as np

from offac_lite.course.plots.base import ACTIONS, MUTED, NEXT, RESAMPLED, STORED, SURROGATE
from offac_lite.course.plots.style import course_style

__all__ = ["FIX_COLORS", "batches_needed"]

FIX_COLORS = {"naive": STORED, "Q-critic alone": NEXT, "importance": SURROGATE, "both": RESAMPLED}
FIX_COLORS["importance, V"] = FIX_COLORS["importance"]
"""The colour of each combination of the two fixes, and of importance weights."""


@course_style()
def batches_needed(ax, steps, rows: dict, n_updates: int) -> None:
    """Draw {label: batches until the direction shows, (S, E)} over steps (E,), on a logarithmic axis.

    Rows whose label ends in " Q" have the colour of the actions' noise, the others that of resampled actions. A dotted
    line marks `n_updates`, the number of updates in the whole run.
    """
    for (label, batches), line, marker in zip(rows.items(), cycle(["-", "--", "-.", ":"]), cycle("os^v"), strict=False):
        batches, color = np.asarray(batches), ACTIONS if label.endswith(" Q") else RESAMPLED
        ax.plot(steps, batches.T, color=color, alpha=0.2, lw=0.7)
        ax.plot(steps, np.median(batches, 0), color=color, lw=2.2, ls=line, marker=marker, label=label)
    ax.axhline(n_updates, color=MUTED, ls=":", lw=1)
    ax.annotate("updates in the whole run", (steps[0], n_updates), color=MUTED, fontsize=9, va="bottom")
    ax.set(yscale="log", xlabel="environment steps per seed", ylabel="batches until the direction shows")
    ax.legend(frameon=False, fontsize=9, loc="lower right", ncols=len(rows), columnspacing=1.0, handlelength=1.6)
    low, high = ax.get_ylim()
    ax.set_ylim(low / 4, high)  # room for the legend
