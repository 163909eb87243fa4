"""The lab of continuous actions: a Gaussian policy over one action, and the noise of its two gradients."""

import math
from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.labs.buttons import baseline_buttons, baseline_of, need_others
from offac_lite.course.stage.lab import Lab
from offac_lite.exact._types import F64
from offac_lite.exact.gaussian import Moments, break_even_actions, expected, gaussian_moments, quadratic, two_humps

__all__ = ["ContinuousModel", "continuous_lab"]

LANDSCAPES = {"one peak": quadratic, "two humps": two_humps}
STDS = tuple(float(f"{10**x:.4g}") for x in np.linspace(-2, 0.5, 26))
ACTIONS = torch.linspace(-3, 3, 301, **F64)


@dataclass(frozen=True, eq=False)
class ContinuousResult:
    """What the lab shows for one setting of its controls."""

    mean: float  # μ
    std: float  # σ
    q: torch.Tensor  # Q on ACTIONS, offset included
    density: torch.Tensor  # π on ACTIONS
    value: float  # V = E[Q(a)]
    q_at_mean: float  # Q(μ)
    gradient: float  # ∂J/∂μ, exact
    score: Moments  # of the score function with K actions and the selected weight
    pathwise: Moments  # of one action
    score_by_std: torch.Tensor  # variances at STDS
    pathwise_by_std: torch.Tensor
    k_star: float  # the K at which Q itself has the variance of one action with V
    scale: float  # half the height of the left panel: a power of two, so that it seldom changes

    @property
    def ratio(self) -> float:
        """The variance of the score function, divided by that of the pathwise gradient."""
        return self.score.variance / self.pathwise.variance if self.pathwise.variance else math.inf


class ContinuousModel:
    """The lab's computation. Every number is exact: a sum from `offac_lite.exact.gaussian`.

    >>> result = ContinuousModel()(std=0.1, offset=10.0)
    >>> round(result.score.variance, 1), round(result.pathwise.variance, 3), round(result.k_star)
    (8998.5, 0.01, 4444)
    """

    def __call__(
        self,
        landscape: str = "one peak",
        baseline: str | None = None,  # or "none"
        std: float = 0.5,
        mean: float = 0.0,
        action_samples: int = 1,
        offset: float = 0.0,
    ) -> ContinuousResult:
        """Compute both variances at `std` and at every σ of STDS. Raises as `gaussian_moments` does."""
        _check.one_of("landscape", landscape, list(LANDSCAPES))
        baseline = baseline_of(baseline)
        need_others(baseline, action_samples - 1)
        shape = LANDSCAPES[landscape]

        def q(action: torch.Tensor) -> torch.Tensor:
            return shape(action) + offset

        options = dict(action_samples=action_samples, baseline=baseline)
        pathwise = gaussian_moments(q, mean, std, "pathwise")
        density = torch.exp(-0.5 * ((ACTIONS - mean) / std).square())
        q_on_axis = q(ACTIONS)
        return ContinuousResult(
            mean=mean,
            std=std,
            q=q_on_axis,
            density=density,
            value=offset + expected(shape, mean, std),
            q_at_mean=q(torch.tensor(mean, **F64)).item(),
            gradient=pathwise.mean,
            score=gaussian_moments(q, mean, std, **options),
            pathwise=pathwise,
            score_by_std=gaussian_moments(q, mean, STDS, **options).variance,
            pathwise_by_std=gaussian_moments(q, mean, STDS, "pathwise").variance,
            k_star=break_even_actions(q, mean, std),
            scale=2.0 ** math.ceil(math.log2(q_on_axis.abs().max().item())),
        )


def continuous_lab() -> Lab:
    """Make the lab: how σ, K, the offset of Q and the weight change the noise of both gradients.

    >>> lab = continuous_lab()
    >>> lab.set(offset=50.0)
    >>> round(lab.result.k_star)
    3678
    """
    controls = dict(
        landscape=ipywidgets.ToggleButtons(options=list(LANDSCAPES), value="one peak", description="Q"),
        baseline=baseline_buttons(),
        std=ipywidgets.FloatLogSlider(
            value=0.5, base=10, min=-2, max=0.5, step=0.02, description="σ of the policy", readout_format=".3g"
        ),
        mean=ipywidgets.FloatSlider(
            value=0.0, min=-2.0, max=2.0, step=0.1, description="μ, its mean", readout_format=".1f"
        ),
        action_samples=ipywidgets.IntSlider(1, 1, 64, description="K, actions of the score function"),
        offset=ipywidgets.FloatSlider(
            value=0.0, min=0.0, max=100.0, step=1.0, description="offset, added to Q", readout_format=".0f"
        ),
    )
    return Lab(controls, ContinuousModel(), plots.ContinuousView(STDS, ACTIONS), _summary)


def _summary(result: ContinuousResult) -> str:
    short = plots.short
    return (
        f"At σ = {short(result.std)} around μ = {short(result.mean)} the exact gradient is {short(result.gradient)}. "
        f"The score function's variance is {short(result.score.variance)}, the pathwise one's "
        f"{short(result.pathwise.variance)}. Break-even K* {short(result.k_star)}."
    )
