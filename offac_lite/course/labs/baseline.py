"""The baseline lab of notebook 01."""

from dataclasses import dataclass

import ipywidgets
import torch

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.stage.controls import log_slider
from offac_lite.course.stage.lab import Lab
from offac_lite.course.stage.question import Question
from offac_lite.exact._types import F64
from offac_lite.exact.estimators import Estimator
from offac_lite.exact.mdp import TabularMDP

__all__ = ["BaselineModel", "baseline_lab"]

BATCH_SIZES = (4, 8, 16, 32, 64)
SHARES = tuple(0.05 * i for i in range(41))
"""The shares of V that can be subtracted, 0 to 2."""
N_UPDATES = 20
"""The exact policy updates before the later policy."""
N_POINTS = 300
"""The estimates in a cloud."""


@dataclass(frozen=True, eq=False)
class BaselineResult:
    """What the baseline lab shows. Points have the coordinates of `plots.Plane`, in lengths of ∇J.

    Variances are divided by the variance of Q itself with 64 transitions.
    """

    share: float
    batch_size: int
    points: torch.Tensor  # (n, 2), estimates
    reference: torch.Tensor  # (n, 2), estimates with Q itself and 64 transitions
    mean: torch.Tensor  # (2,), the exact mean of the estimates
    bias: float  # the distance of that mean from ∇J, in all dimensions
    variance: float
    variances: torch.Tensor  # at each of SHARES
    best: float  # the share with the smallest variance


class BaselineModel:
    """The baseline lab's computation, exact: the gradient of notebook 01 with the weight Q(s, a) − c V(s).

    The task is FrozenLake, 4x4, slippery, with γ = 0.99. The batch holds `batch_size` fresh transitions of π, which is
    uniform or the result of 20 exact policy updates. The mean is ∇J for every c. The variance is a parabola in c.

    >>> model = BaselineModel()
    >>> round(model(share=0.0).variance / model(share=1.0).variance, 1)
    12.7
    """

    def __init__(self) -> None:
        self.mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
        path = self.mdp.policy_path(N_UPDATES, 5.0)
        self.logits = {"uniform": path[0], "after 20 updates": path[-1]}
        self.variances = {
            name: [self._estimator(name, c).moments().variance for c in (0.0, 1.0, 2.0)] for name in self.logits
        }
        generator = torch.Generator().manual_seed(0)
        self.uniforms = torch.rand(2, N_POINTS, BATCH_SIZES[-1], generator=generator, **F64)

    def _estimator(self, policy: str, share: float, batch_size: int = 1) -> Estimator:
        pi = torch.softmax(self.logits[policy], -1)
        weight = self.mdp.action_values(pi) - share * self.mdp.state_values(pi)[:, None]
        return Estimator(self.mdp, self.logits[policy], "resampled", batch_size=batch_size, q=weight)

    def __call__(self, share: float = 0.0, batch_size: int = 64, policy: str = "uniform") -> BaselineResult:
        """Compute the moments and the clouds. Raises `ValueError` outside the range of the controls."""
        _check.one_of("policy", policy, tuple(self.logits))
        _check.one_of("batch_size", batch_size, BATCH_SIZES)
        if not SHARES[0] <= share <= SHARES[-1]:
            raise ValueError(f"share must lie between {SHARES[0]:g} and {SHARES[-1]:g}, got {share}")
        estimator = self._estimator(policy, share, batch_size)
        moments = estimator.moments()
        at_0, at_1, at_2 = self.variances[policy]  # with one transition, at c = 0, 1 and 2
        unit = at_0 / BATCH_SIZES[-1]
        curvature = (at_2 - 2 * at_1 + at_0) / 2  # of the parabola at_0 + slope · c + curvature · c²
        slope = at_1 - at_0 - curvature
        shares, length = torch.tensor(SHARES, **F64), moments.target.norm()
        (other,) = (theta for name, theta in self.logits.items() if name != policy)
        plane = plots.Plane(moments.target, self.mdp.policy_gradient(other))
        return BaselineResult(
            share=share,
            batch_size=batch_size,
            points=plane(self._estimates(estimator, batch_size)) / length,
            reference=plane(self._estimates(self._estimator(policy, 0.0, BATCH_SIZES[-1]), BATCH_SIZES[-1])) / length,
            mean=plane(moments.mean) / length,
            bias=moments.bias,
            variance=moments.variance / unit,
            variances=(at_0 + slope * shares + curvature * shares.square()) / batch_size / unit,
            best=-slope / (2 * curvature),
        )

    def _estimates(self, estimator: Estimator, batch_size: int) -> torch.Tensor:
        states, actions = self.uniforms[:, :, :batch_size]
        return estimator.from_uniforms(states, actions[..., None])


_QUESTIONS = (
    Question(
        "Drag c from 0 to 2. What happens to the cloud, and what to the circle, its exact mean?",
        lambda on, result: on["share"] == 2.0,
        "The cloud shrinks until c is about 1, and grows again. Its mean stays at ∇J.",
    ),
    Question(
        "With Q − V, which is the smallest N with a variance below 1, that of Q with 64 transitions?",
        lambda on, result: on == dict(share=1.0, batch_size=8),
        "N = 8: V saves about as much as twelve times more data, without an environment step.",
    ),
)


def baseline_lab() -> Lab:
    """Make the baseline lab: what share of V to subtract from Q, and how many transitions to average over.

    >>> lab = baseline_lab()
    >>> lab.set(share=1.0)
    >>> lab.result.bias < 1e-12, round(lab.result.variance, 2)
    (True, 0.08)
    """
    controls = dict(
        share=ipywidgets.FloatSlider(0.0, min=0.0, max=2.0, step=0.05, description="c, share of V subtracted"),
        batch_size=log_slider(BATCH_SIZES, 64, "N, transitions per batch"),
    )
    presets = {"Q itself": dict(share=0.0), "Q − V": dict(share=1.0)}
    view = plots.BaselineView(SHARES)
    return Lab(controls, BaselineModel(), view, _summary, presets=presets, questions=_QUESTIONS)


def _summary(result: BaselineResult) -> str:
    return (
        f"With the weight Q − {result.share:.2f} V and {result.batch_size} transitions the exact mean of the estimates "
        f"is {plots.short(result.bias)} away from ∇J. Their variance is {plots.short(result.variance)} times that of Q "
        f"itself with 64 transitions."
    )
