"""Figures of exact gradients against the age of the data."""

from matplotlib.figure import Figure

from offac_lite.course.plots.base import MUTED, RESAMPLED, STORED, figure
from offac_lite.course.plots.style import course_style

__all__ = ["bias_against_age", "cosine_against_age"]


@course_style()
def bias_against_age(ages, resampled, stored) -> Figure:
    """Draw ‖E[g] − ∇J‖ / ‖∇J‖ against the age of the data, for resampled and for stored actions."""
    fig, (ax,) = figure(7.0, 3.2)
    ax.plot(ages, stored, color=STORED, lw=2, marker="s", ms=4, label="stored actions, Q − V")
    ax.plot(ages, resampled, color=RESAMPLED, lw=2.4, marker="o", ms=4, label="resampled actions")
    ax.axhline(1, color=MUTED, ls=":", lw=1)
    ax.annotate("as far off as taking no step at all", (ages[-1], 1), color=MUTED, fontsize=9, ha="right", va="bottom")
    ax.set_xticks(ages[::2])
    ax.set(xlabel="age of the data, policy updates", ylabel="distance from ∇J, in lengths of ∇J", ylim=(0, None))
    ax.legend(frameon=False, loc="upper left")
    return fig


@course_style()
def cosine_against_age(ages, without_baseline, with_baseline) -> Figure:
    """Draw the cosine between the stored-action gradient and ∇J against the age of the data."""
    fig, (ax,) = figure(7.0, 3.2)
    ax.axhline(0, color=MUTED, lw=1)
    ax.plot(ages, with_baseline, color=STORED, lw=2.2, marker="s", ms=4, label="stored actions, Q − V")
    ax.plot(ages, without_baseline, color=STORED, lw=2.2, ls="--", marker="v", ms=4, label="stored actions, Q")
    ax.annotate("below 0: downhill", (ages[-1], -0.04), color=MUTED, fontsize=9, ha="right", va="top")
    ax.set_xticks(ages[::2])
    ax.set(xlabel="age of the data, policy updates", ylabel="cosine with ∇J", ylim=(-1.05, 1.3))
    ax.legend(frameon=False, loc="upper right")
    return fig
