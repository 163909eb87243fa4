"""Data → figures: one palette for the whole course, and no pyplot, so that a figure is a value like any other."""

from matplotlib.figure import Figure

from offac_lite.course.plots.base import (
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
from offac_lite.course.plots.baseline import BaselineView
from offac_lite.course.plots.cart_pole import CartPole, cart_pole_strip
from offac_lite.course.plots.clinic import ClinicView, patient_chart, ward_returns
from offac_lite.course.plots.continuous import (
    PATHWISE,
    ContinuousView,
    estimates,
    policy_over_q,
    right_value_wrong_slope,
    squashed_densities,
    variance_against_std,
)
from offac_lite.course.plots.critic import (
    CriticView,
    distance_curves,
    learned_against_exact,
    target_variance_against_m,
    two_states,
)
from offac_lite.course.plots.dashboard import DashboardView
from offac_lite.course.plots.exact import (
    action_map,
    bias_against_age,
    cosine_against_age,
    exact_and_learned_values,
    lake_policy,
)
from offac_lite.course.plots.fixes import FIXES, batches_needed
from offac_lite.course.plots.learning import learning_curves, seed_strips
from offac_lite.course.plots.replay import AgeView, BufferView, values_of_old_data
from offac_lite.course.plots.variance import (
    Plane,
    VarianceView,
    gradient_cloud,
    variance_against_k,
)
from offac_lite.course.plots.watch import MapView, WatchView
from offac_lite.course.plots.weights import (
    WEIGHTED,
    WEIGHTINGS,
    WeightsView,
    clipping,
    effective_samples,
    variance_against_horizon,
    variance_against_sharpness,
)

__all__ = [
    "ACTIONS",
    "EXACT",
    "FIXES",
    "MUTED",
    "NEXT",
    "PATHWISE",
    "RESAMPLED",
    "STATES",
    "STEADY",
    "STORED",
    "STYLE",
    "SURROGATE",
    "WEIGHTED",
    "WEIGHTINGS",
    "AgeView",
    "BaselineView",
    "BufferView",
    "CartPole",
    "ClinicView",
    "ContinuousView",
    "CriticView",
    "DashboardView",
    "Figure",
    "MapView",
    "Plane",
    "VarianceView",
    "WatchView",
    "WeightsView",
    "action_map",
    "batches_needed",
    "bias_against_age",
    "cart_pole_strip",
    "clipping",
    "cosine_against_age",
    "distance_curves",
    "effective_samples",
    "estimates",
    "exact_and_learned_values",
    "figure",
    "gradient_cloud",
    "lake_policy",
    "learned_against_exact",
    "learning_curves",
    "patient_chart",
    "png",
    "policy_over_q",
    "right_value_wrong_slope",
    "seed_strips",
    "short",
    "show",
    "squashed_densities",
    "target_variance_against_m",
    "two_states",
    "values_of_old_data",
    "variance_against_horizon",
    "variance_against_k",
    "variance_against_sharpness",
    "variance_against_std",
    "ward_returns",
]
