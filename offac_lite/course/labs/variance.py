"""The variance lab of notebooks 00 and 05."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import ipywidgets
import torch

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.labs.buttons import baseline_buttons, baseline_of
from offac_lite.course.stage.lab import Lab, selected_controls
from offac_lite.exact._types import F64
from offac_lite.exact.estimators import ESTIMATORS, Estimator, GradientMoments, break_even_actions, gradient_moments
from offac_lite.exact.mdp import TabularMDP

__all__ = ["VarianceModel", "variance_lab"]

VARIANCE_KS = (1, 2, 4, 8, 16, 32, 64)
MAX_AGE = 20
"""The number of policy updates between the labs' oldest policy and π."""


@dataclass(frozen=True, eq=False)
class VarianceResult:
    """What the variance lab shows for one setting of its controls. Points have the coordinates of `plots.Plane`."""

    estimator: str
    moments: GradientMoments
    points: torch.Tensor  # (n, 2), estimates
    mean: torch.Tensor  # (2,), E[g]
    surrogate: torch.Tensor  # (2,), the exact gradient under the buffer's states
    exact: torch.Tensor  # (2,), ∇J
    scale: float  # half the edge of the left panel: a power of two, so that it seldom changes
    actions_by_k: list[float]  # the variance across actions at each K of VARIANCE_KS
    reference_variance: float  # total variance with K = 1 and the baseline V: what K* reaches without a baseline
    k_star: float  # the break-even K* of this policy, critic and buffer


class _World(NamedTuple):
    """What depends on neither the estimator nor the batch."""

    mdp: TabularMDP
    data: dict[str, torch.Tensor]  # β and the critic's Q
    plane: plots.Plane
    reference_variance: float  # for N = 1
    k_star: float


class VarianceModel:
    """The variance lab's computation: exact moments, and estimates that all come from one set of random numbers.

    The task is FrozenLake, 4x4, slippery, with γ = 0.99. `policy` "half trained" is the result of 20 exact
    natural-gradient steps; data of age g was written by the policy g steps before it. "untrained" is uniform, and so
    is every policy before it.

    >>> result = VarianceModel("untrained")(action_samples=4, batch_size=1)
    >>> round(result.moments.variance_states, 4), round(result.moments.variance_actions, 4), round(result.k_star, 1)
    (0.0024, 0.0225, 18.5)
    """

    def __init__(self, policy: str = "half trained", n_points: int = 300, seed: int = 0):
        _check.one_of("policy", policy, ("half trained", "untrained"))
        self.mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
        path = self.mdp.policy_path(MAX_AGE, 5.0)
        self.later = path[-1]
        self.path = path if policy == "half trained" else torch.zeros_like(path)
        generator = torch.Generator().manual_seed(seed)
        largest = VARIANCE_KS[-1]
        self.state_uniforms = torch.rand(n_points, largest, generator=generator, **F64)
        self.action_uniforms = torch.rand(n_points, largest, largest, generator=generator, **F64)
        self.q_noise = torch.randn(self.path[-1].shape, generator=generator, **F64)
        self.world = functools.lru_cache(maxsize=512)(self._world)

    def _world(self, reward_offset: float, q_error: float, age: int) -> "_World":
        mdp, logits = self.mdp.with_reward_offset(reward_offset), self.path[-1]
        q = mdp.action_values(torch.softmax(logits, -1))
        data = dict(behavior=torch.softmax(self.path[-1 - age], -1), q=q + q_error * q.std() * self.q_noise)
        return _World(
            mdp=mdp,
            data=data,
            plane=self.plane(mdp),
            reference_variance=gradient_moments(mdp, logits, "resampled", baseline="value", **data).variance,
            k_star=break_even_actions(mdp, logits, **data),
        )

    def plane(self, mdp: TabularMDP) -> plots.Plane:
        """Return the plane of ∇J and of the mean gradient with the oldest stored actions.

        For the untrained policy those two are the same. There the second is the gradient of a later policy.
        """
        logits, oldest = self.path[-1], self.path[0]
        if torch.equal(logits, oldest):
            return plots.Plane(mdp.policy_gradient(logits), mdp.policy_gradient(self.later))
        stored = gradient_moments(mdp, logits, "stored", baseline="value", behavior=torch.softmax(oldest, -1))
        return plots.Plane(stored.target, stored.mean)

    def __call__(
        self,
        estimator: str = "resampled",
        baseline: str | None = None,  # or "none"
        action_samples: int = 1,
        batch_size: int = 32,
        reward_offset: float = 0.0,
        q_error: float = 0.0,
        age: int = 0,
    ) -> VarianceResult:
        """Compute the moments and the cloud. `q_error` is the critic's error, divided by the spread of Q.

        Raises `ValueError` for N or K above 64, for an age outside 0 to 20, and as `gradient_moments` does.
        """
        _check.count("action_samples", action_samples, at_most=VARIANCE_KS[-1])
        _check.count("batch_size", batch_size, at_most=VARIANCE_KS[-1])
        _check.count("age", age, at_least=0, at_most=MAX_AGE)
        baseline = baseline_of(baseline)
        others = action_samples - 1 if estimator == "resampled" else 0
        if baseline == "leave-one-out" and estimator != "expected" and not others:
            raise ValueError(
                "leave-one-out averages the other K − 1 actions of a state: choose the estimator 'resampled' and a K "
                "of at least 2"
            )
        world, logits = self.world(reward_offset, q_error, age), self.path[-1]
        mdp, data, plane = world.mdp, world.data, world.plane

        def with_actions(k: int) -> Estimator:
            choice = dict(batch_size=batch_size, action_samples=k, baseline=baseline)
            return Estimator(mdp, logits, estimator, **choice, **data)

        chosen_estimator = with_actions(action_samples)
        here = chosen_estimator.moments()
        if estimator != "resampled":  # K does not matter: one stored action, or the sum over all
            by_k = [here.variance_actions for _ in VARIANCE_KS]
        elif baseline == "leave-one-out":
            by_k = [with_actions(k).moments().variance_actions if k > 1 else math.nan for k in VARIANCE_KS]
        else:
            by_k = [here.variance_actions * action_samples / k for k in VARIANCE_KS]
        actions = self.action_uniforms[:, :batch_size, : here.action_samples]
        points = plane(chosen_estimator.from_uniforms(self.state_uniforms[:, :batch_size], actions))
        mean, surrogate, exact = (plane(g) for g in (here.mean, here.surrogate, here.target))
        extent = max(points.abs().quantile(0.95), *(x.abs().max() for x in (mean, surrogate, exact)))
        return VarianceResult(
            estimator=estimator,
            moments=here,
            points=points,
            mean=mean,
            surrogate=surrogate,
            exact=exact,
            scale=2.0 ** math.ceil(math.log2(1.1 * extent)),
            actions_by_k=by_k,
            reference_variance=world.reference_variance / batch_size,
            k_star=world.k_star,
        )


def variance_lab(policy: str = "half trained", controls: Sequence[str] | None = None) -> Lab:
    """Make the variance lab: the effect of each choice on the gradient estimate, against the exact gradient.

    `policy` as in `VarianceModel`. `controls` names those to show, from estimator, baseline, action_samples,
    batch_size, reward_offset, q_error and age; by default all.

    >>> lab = variance_lab("untrained", controls=["action_samples"])
    >>> lab.set(action_samples=16)
    >>> round(lab.result.moments.variance_actions, 5)  # N = 32
    0.00018
    """
    slider, wide = ipywidgets.FloatSlider, dict(readout_format=".2f")
    all_controls = dict(
        estimator=ipywidgets.ToggleButtons(options=list(ESTIMATORS), value="resampled", description="estimator"),
        baseline=baseline_buttons(),
        action_samples=ipywidgets.IntSlider(1, 1, 64, description="K, actions per state"),
        batch_size=ipywidgets.IntSlider(32, 1, 64, description="N, states per batch"),
        reward_offset=slider(value=0.0, min=0.0, max=2.0, step=0.1, description="added to each reward", **wide),
        q_error=slider(value=0.0, min=0.0, max=1.0, step=0.05, description="error of Q / spread of Q", **wide),
        age=ipywidgets.IntSlider(0, 0, MAX_AGE, description="age of the data, updates"),
    )
    view = plots.VarianceView(VARIANCE_KS, variance_range=(1e-5, 10.0 if policy == "half trained" else 0.01))
    return Lab(selected_controls(all_controls, controls), VarianceModel(policy), view, _summary)


def _summary(result: VarianceResult) -> str:
    m, short = result.moments, plots.short
    return (
        f"The mean is off the exact gradient by {short(m.bias)}, off the one under the buffer's states by "
        f"{short(m.bias_surrogate)}; cosine {m.cosine:.3f}. Variance {short(m.variance)}: {short(m.variance_states)} "
        f"across states (the floor), {short(m.variance_actions)} across actions. Break-even K* {short(result.k_star)}."
    )
