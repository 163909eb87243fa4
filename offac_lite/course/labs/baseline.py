"""The baseline lab of notebook 01."""

from dataclasses import dataclass

import ipywidgets
import torch

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.stage.lab import Lab
from offac_lite.exact.estimators import Estimator, GradientMoments
from offac_lite.exact.mdp import TabularMDP

MOST_STATES = 64
SHARES = tuple(0.05 * i for i in range(41))  # of V that is subtracted: 0 to 2
LATER = 20  # exact policy updates


@dataclass(frozen=True, eq=False)
class BaselineResult:
    """What the baseline lab shows for one setting of its controls. Plane coordinates are those of `plots.Plane`."""

    share: float
    moments: GradientMoments
    points: torch.Tensor  # (n, 2), estimates in the plane
    mean: torch.Tensor  # (2,), their exact mean
    exact: torch.Tensor  # (2,), ∇J
    variances: torch.Tensor  # at each of SHARES
    best: float  # the share with the least variance


class BaselineModel:
    """The baseline lab's computation: the gradient of notebook 01 with the weight Q(s, a) − c V(s), exactly.

    FrozenLake, 4x4, slippery, γ = 0.99; `batch_size` fresh transitions of π, uniform or after 20 exact policy updates.
    Whatever c is, the mean is ∇J; the variance is a parabola in c.

    >>> model = BaselineModel()
    >>> round(model(share=0.0).moments.variance / model(share=1.0).moments.variance, 1)
    12.7
    """

    def __init__(self, n_points: int = 300, seed: int = 0):
        self.mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
        path = self.mdp.policy_path(LATER, 5.0)
        self.logits = {"uniform": path[0], "after 20 updates": path[-1]}
        self.variances = {
            name: [self._estimator(name, self._weight(name, c)).moments().variance for c in (0.0, 1.0, 2.0)]
            for name in self.logits
        }
        generator = torch.Generator().manual_seed(seed)
        self.uniforms = torch.rand(2, n_points, MOST_STATES, generator=generator, dtype=torch.float64)

    def _weight(self, policy: str, share: float) -> torch.Tensor:
        pi = torch.softmax(self.logits[policy], -1)
        return self.mdp.action_values(pi) - share * self.mdp.state_values(pi)[:, None]

    def _estimator(self, policy: str, weight: torch.Tensor, batch_size: int = 1) -> Estimator:
        return Estimator(self.mdp, self.logits[policy], "resampled", batch_size=batch_size, q=weight)

    def __call__(self, policy: str = "uniform", batch_size: int = 32, share: float = 0.0) -> BaselineResult:
        """Compute the moments and the cloud. Raises `ValueError` outside the sliders."""
        _check.one_of("policy", policy, tuple(self.logits))
        _check.count("batch_size", batch_size, at_most=MOST_STATES)
        if not SHARES[0] <= _check.number("share", share) <= SHARES[-1]:
            raise ValueError(f"share must lie between {SHARES[0]:g} and {SHARES[-1]:g}, got {share}")
        weight = self._weight(policy, share)
        estimator = self._estimator(policy, weight, batch_size)
        here, at = estimator.moments(), [v / batch_size for v in self.variances[policy]]
        curve = (at[2] - 2 * at[1] + at[0]) / 2  # the parabola through three points
        slope = at[1] - at[0] - curve
        shares = torch.tensor(SHARES, dtype=torch.float64)
        states, actions = self.uniforms[:, :, :batch_size]
        estimates = estimator.from_uniforms(states, actions[..., None])
        (other,) = (theta for name, theta in self.logits.items() if name != policy)
        plane = plots.Plane(here.target, self.mdp.policy_gradient(other))
        return BaselineResult(
            share=share,
            moments=here,
            points=plane(estimates),
            mean=plane(here.mean),
            exact=plane(here.target),
            variances=at[0] + slope * shares + curve * shares.square(),
            best=-slope / (2 * curve),
        )


def baseline_lab() -> Lab:
    """Make the baseline lab: how much of V to subtract, and how many states to average over.

    >>> lab = baseline_lab()
    >>> lab.set(share=1.0, batch_size=64)
    >>> lab.result.moments.bias < 1e-12
    True
    """
    controls = dict(
        policy=ipywidgets.ToggleButtons(options=["uniform", "after 20 updates"], description="policy π"),
        share=ipywidgets.FloatSlider(0.0, min=0.0, max=2.0, step=0.05, description="c, share of V subtracted"),
        batch_size=ipywidgets.IntSlider(32, 1, MOST_STATES, description="N, transitions per batch"),
    )
    return Lab(controls, BaselineModel(), plots.BaselineView(SHARES), _in_words)


def _in_words(result: BaselineResult) -> str:
    m, short = result.moments, plots.short
    return (
        f"With the weight Q − {result.share:.2f} V the mean is off the exact gradient by {short(m.bias)}; variance "
        f"{short(m.variance)}, against {short(result.variances[0].item())} with Q and "
        f"{short(result.variances[SHARES.index(1.0)].item())} with Q − V. Least at c = {result.best:.2f}."
    )
