"""Figures of exact results: values, gradients against the age of the data; and the map of the actions."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from offac_lite.course.plots.base import EXACT, MUTED, NEXT, RESAMPLED, STORED, figure
from offac_lite.course.plots.style import course_style

__all__ = ["action_map", "bias_against_age", "cosine_against_age", "exact_and_learned_values"]


@course_style()
def action_map() -> Figure:
    """Draw the source of each action in the algorithm: the stored one, a′, and the resampled one."""
    fig, (ax,) = figure(9.0, 3.7)
    ax.set(xlim=(0, 12), ylim=(0, 5), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)

    def box(x, y, width, text, color, **kwargs):
        ax.add_patch(
            FancyBboxPatch((x, y), width, 0.9, boxstyle="round,pad=0.1", facecolor="white", edgecolor=color, lw=2)
        )
        ax.text(x + width / 2, y + 0.45, text, ha="center", va="center", **kwargs)

    def arrow(start, end, color, style="-"):
        ax.add_patch(
            FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, color=color, lw=2, linestyle=style)
        )

    box(0.2, 2.0, 2.6, "buffer R\n(s, a, r, s′, d)", EXACT)
    box(9.2, 3.6, 2.6, "critic\nQ(s, a) → y", EXACT)
    box(9.2, 0.4, 2.6, "actor\n∇log π · Q", EXACT)
    box(4.6, 3.9, 2.6, "stored a", STORED)
    box(4.6, 2.1, 2.6, "a′ ~ π(·|s′) now", NEXT)
    box(4.6, 0.3, 2.6, "aᵖ ~ π(·|s) now", RESAMPLED)
    arrow((2.9, 2.8), (4.45, 4.3), STORED)
    arrow((2.9, 2.45), (4.45, 2.5), NEXT, "--")
    arrow((2.9, 2.1), (4.45, 0.8), RESAMPLED, (0, (1, 1)))
    arrow((7.3, 4.35), (9.05, 4.2), STORED)
    arrow((7.3, 2.6), (9.05, 3.75), NEXT, "--")
    arrow((7.3, 0.75), (9.05, 0.85), RESAMPLED, (0, (1, 1)))
    ax.text(3.3, 3.95, "with its own r, s′", color=MUTED, fontsize=9, ha="right")
    ax.text(3.75, 2.6, "s′ only", color=MUTED, fontsize=9, ha="center")
    ax.text(3.3, 1.1, "s only", color=MUTED, fontsize=9, ha="right")
    ax.text(8.15, 4.5, "which Q(s, a)", color=MUTED, fontsize=9, ha="center")
    ax.text(8.5, 2.75, "the target\ny = r + γ(1−d)Q(s′, a′)", color=MUTED, fontsize=9, ha="left", va="center")
    ax.text(8.15, 1.0, "which way\nto push π", color=MUTED, fontsize=9, ha="center", va="bottom")
    return fig


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


def exact_and_learned_values(exact, learned) -> Figure:
    """Draw learned and exact values V(s) of each state; both are (S,)."""
    fig, (ax,) = figure(7.0, 2.9)
    states = np.arange(len(exact))
    ax.plot(states, exact, "_", color=EXACT, ms=16, mew=2.5, label="exact V")
    ax.plot(states, learned, "o", color=RESAMPLED, ms=6, label="learned by TD")
    ax.set(xlabel="state", ylabel="V(s), reward units", xticks=states)
    ax.legend(frameon=False, loc="upper left")
    return fig
