"""Data → figures: one palette for the whole course, and no pyplot, so that a figure is a value like any other."""

from matplotlib.figure import Figure

from offac_lite.plots.base import (
    ACTIONS,
    EXACT,
    MUTED,
    NEXT,
    RESAMPLED,
    STATES,
    STEADY,
    STORED,
    STYLE,
    SURROGATE,
    figure,
    png,
    short,
    show,
)
from offac_lite.plots.exact import (
    action_map,
    bias_against_age,
    cosine_against_age,
    exact_and_learned_values,
    lake_policy,
)
from offac_lite.plots.learning import (
    cart_pole_strip,
    learning_curves,
    seed_strips,
)
from offac_lite.plots.variance import (
    Plane,
    VarianceView,
    gradient_cloud,
    variance_against_k,
)

__all__ = [
    "ACTIONS",
    "EXACT",
    "MUTED",
    "NEXT",
    "RESAMPLED",
    "STATES",
    "STEADY",
    "STORED",
    "STYLE",
    "SURROGATE",
    "Figure",
    "Plane",
    "VarianceView",
    "action_map",
    "bias_against_age",
    "cart_pole_strip",
    "cosine_against_age",
    "exact_and_learned_values",
    "figure",
    "gradient_cloud",
    "lake_policy",
    "learning_curves",
    "png",
    "seed_strips",
    "short",
    "show",
    "variance_against_k",
]
