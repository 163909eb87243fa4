"""Figures of exact gradients against the age of the data."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from offac_lite.course.plots.base import EXACT, MUTED, RESAMPLED, STORED, figure
from offac_lite.course.plots.style import course_style

__all__ = ["bias_against_age", "cosine_against_distance"]


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
def cosine_against_distance(distances, without_baseline, with_baseline, ages: Mapping[int, int]) -> Figure:
    """Draw the cosine between the stored-action gradient and ∇J against the distance between the two policies.

    The distances, in total variation, rise. `ages` names some of the points: index → age in policy updates.
    """
    fig, (ax,) = figure(7.6, 3.4)
    ax.axhline(0, color=MUTED, lw=1)
    for cosines, style in ((with_baseline, dict(marker="s")), (without_baseline, dict(marker="v", ls="--"))):
        ax.plot(distances, cosines, color=STORED, lw=2.2, ms=5, markevery=list(ages), **style)
    for cosines, words, dy in ((with_baseline, "weight Q − V", 8), (without_baseline, "weight Q", -9)):
        place = dict(textcoords="offset points", ha="right", va="bottom" if dy > 0 else "top", fontsize=10)
        ax.annotate(words, (distances[-1], cosines[-1]), (-16, dy), color=EXACT, **place)
    for index, age in ages.items():
        place = dict(textcoords="offset points", ha="center", fontsize=9)
        ax.annotate(f"{age}", (distances[index], with_baseline[index]), (0, 7), **place)
    ax.annotate("below 0: downhill", (distances[-1], -0.05), color=MUTED, fontsize=9, ha="right", va="top")
    ax.set(xlabel="total variation distance between the policy that wrote the data and π", ylabel="cosine with ∇J")
    ax.set(ylim=(-1.2, 1.25), yticks=[-1, -0.5, 0, 0.5, 1])
    ax.set_title("numbers: the age of the data in policy updates", loc="left", color=MUTED, fontsize=9.5)
    return fig
