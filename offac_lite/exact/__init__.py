"""What is solved instead of learned: values, visits, gradients and their noise on small problems, in float64."""

from offac_lite.exact.estimators import (
    GradientMoments,
    break_even_actions,
    gradient_moments,
    gradients_from_uniforms,
    sample_gradients,
)
from offac_lite.exact.mdp import TabularMDP

__all__ = [
    "GradientMoments",
    "TabularMDP",
    "break_even_actions",
    "gradient_moments",
    "gradients_from_uniforms",
    "sample_gradients",
]
