"""Exact answers on small problems, in float64: values, visits, policy gradients, and the noise of their estimates."""

from offac_lite.exact.estimators import (
    Estimator,
    GradientMoments,
    break_even_actions,
    gradient_moments,
    sample_gradients,
)
from offac_lite.exact.mdp import TabularMDP

__all__ = [
    "Estimator",
    "GradientMoments",
    "TabularMDP",
    "break_even_actions",
    "gradient_moments",
    "sample_gradients",
]
