"""The baseline lab of notebook 01."""

from dataclasses import dataclass

import ipywidgets
import torch

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.stage.lab import Lab
from offac_lite.exact._types import F64
from offac_lite.exact.estimators import Estimator, GradientMoments
from offac_lite.exact.mdp import TabularMDP

__all__ = ["BaselineModel", "baseline_lab"]

MAX_BATCH_SIZE = 64
SHARES = tuple(0.05 * i for i in range(41))
"""The shares of V that can be subtracted, 0 to 2."""
N_UPDATES = 20
"""The exact policy updates before the later policy."""


@dataclass(frozen=True, eq=False)
class BaselineResult:
    """What the baseline lab shows for one setting of its controls. Points have the coordinates of `plots.Plane`."""

    share: float
    moments: GradientMoments
    points: torch.Tensor  # (n, 2), estimates
    mean: torch.Tensor  # (2,), the exact mean of the estimates
    exact: torch.Tensor  # (2,), ∇J
    variances: torch.Tensor  # at each of SHARES
    best: float  # the share with the smallest variance


class BaselineModel:
    """The baseline lab's computation, exact: the gradient of notebook 01 with the weight Q(s, a) − c V(s).

    The task is FrozenLake, 4x4, slippery, with γ = 0.99. The batch holds `batch_size` fresh transitions of π, which is
    uniform or the result of 20 exact policy updates. The mean is ∇J for every c. The variance is a parabola in c.

    >>> model = BaselineModel()
    >>> round(model(share=0.0).moments.variance / model(share=1.0).moments.variance, 1)
    12.7
    """

    def __init__(self, n_points: int = 300, seed: int = 0):
        self.mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
        path = self.mdp.policy_path(N_UPDATES, 5.0)
        self.logits = {"uniform": path[0], "after 20 updates": path[-1]}
        self.variances = {
            name: [self._estimator(name, self._weight(name, c)).moments().variance for c in (0.0, 1.0, 2.0)]
            for name in self.logits
        }
        generator = torch.Generator().manual_seed(seed)
        self.uniforms = torch.rand(2, n_points, MAX_BATCH_SIZE, generator=generator, **F64)

    def _weight(self, policy: str, share: float) -> torch.Tensor:
        pi = torch.softmax(self.logits[policy], -1)
        return self.mdp.action_values(pi) - share * self.mdp.state_values(pi)[:, None]

    def _estimator(self, policy: str, weight: torch.Tensor, batch_size: int = 1) -> Estimator:
        return Estimator(self.mdp, self.logits[policy], "resampled", batch_size=batch_size, q=weight)

    def __call__(self, policy: str = "uniform", batch_size: int = 32, share: float = 0.0) -> BaselineResult:
        """Compute the moments and the cloud. Raises `ValueError` outside the range of the sliders."""
        _check.one_of("policy", policy, tuple(self.logits))
        _check.count("batch_size", batch_size, at_most=MAX_BATCH_SIZE)
        if not SHARES[0] <= share <= SHARES[-1]:
            raise ValueError(f"share must lie between {SHARES[0]:g} and {SHARES[-1]:g}, got {share}")
        weight = self._weight(policy, share)
        estimator = self._estimator(policy, weight, batch_size)
        moments = estimator.moments()
        at_0, at_1, at_2 = (variance / batch_size for variance in self.variances[policy])  # at c = 0, 1 and 2
        curvature = (at_2 - 2 * at_1 + at_0) / 2  # of the parabola at_0 + slope · c + curvature · c²
        slope = at_1 - at_0 - curvature
        shares = torch.tensor(SHARES, **F64)
        states, actions = self.uniforms[:, :, :batch_size]
        estimates = estimator.from_uniforms(states, actions[..., None])
        (other,) = (theta for name, theta in self.logits.items() if name != policy)
        plane = plots.Plane(moments.target, self.mdp.policy_gradient(other))
        return BaselineResult(
            share=share,
            moments=moments,
            points=plane(estimates),
            mean=plane(moments.mean),
            exact=plane(moments.target),
            variances=at_0 + slope * shares + curvature * shares.square(),
            best=-slope / (2 * curvature),
        )


def baseline_lab() -> Lab:
    """Make the baseline lab: what share of V to subtract, and how many states to average over.

    >>> lab = baseline_lab()
    >>> lab.set(share=1.0, batch_size=64)
    >>> lab.result.moments.bias < 1e-12
    True
    """
    controls = dict(
        policy=ipywidgets.ToggleButtons(options=["uniform", "after 20 updates"], description="policy π"),
        share=ipywidgets.FloatSlider(0.0, min=0.0, max=2.0, step=0.05, description="c, share of V subtracted"),
        batch_size=ipywidgets.IntSlider(32, 1, MAX_BATCH_SIZE, description="N, transitions per batch"),
    )
    return Lab(controls, BaselineModel(), plots.BaselineView(SHARES), _summary)


def _summary(result: BaselineResult) -> str:
    m, short = result.moments, plots.short
    return (
        f"With the weight Q − {result.share:.2f} V the mean is off the exact gradient by {short(m.bias)}; variance "
        f"{short(m.variance)}, against {short(result.variances[0].item())} with Q and "
        f"{short(result.variances[SHARES.index(1.0)].item())} with Q − V. Least at c = {result.best:.2f}."
    )
