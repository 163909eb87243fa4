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
from offac_lite.course.stage.lab import Lab, chosen
from offac_lite.exact.estimators import ESTIMATORS, Estimator, GradientMoments, break_even_actions, gradient_moments
from offac_lite.exact.mdp import TabularMDP


@dataclass(frozen=True, eq=False)
class VarianceResult:
    """What the variance lab shows for one setting of its controls. Plane coordinates are those of `plots.Plane`."""

    estimator: str
    moments: GradientMoments
    points: torch.Tensor  # (n, 2), estimates in the plane
    mean: torch.Tensor  # (2,), E[g] in the plane
    surrogate: torch.Tensor  # (2,), the exact gradient under the buffer's states, in the plane
    exact: torch.Tensor  # (2,), ∇J in the plane
    scale: float  # half the edge of the picture: a power of two, so that it seldom jumps
    actions_by_k: list[float]  # the variance across actions at each K of VARIANCE_KS
    reference_variance: float  # total variance with K = 1 and the baseline V: what K has to win back
    k_star: float  # the break-even K* of this policy, critic and buffer


VARIANCE_KS = (1, 2, 4, 8, 16, 32, 64)
AGES = 20  # how many policy updates ago the oldest policy of the labs was


class _World(NamedTuple):
    """What neither estimator nor batch changes."""

    mdp: TabularMDP
    data: dict[str, torch.Tensor]  # β and the critic's Q
    plane: plots.Plane
    reference_variance: float  # of one state
    k_star: float


class VarianceModel:
    """The variance lab's computation: exact moments, and one set of random numbers that every setting transforms.

    FrozenLake, 4x4, slippery, γ = 0.99. `policy` "half trained": the last of 20 exact natural-gradient steps; the
    data of age g was written by the policy g steps before it. "untrained": uniform, and so was every policy before.

    >>> result = VarianceModel("untrained")(action_samples=4, batch_size=1)
    >>> round(result.moments.variance_states, 4), round(result.moments.variance_actions, 4), round(result.k_star, 1)
    (0.0024, 0.0225, 18.5)
    """

    def __init__(self, policy: str = "half trained", n_points: int = 300, seed: int = 0):
        _check.one_of("policy", policy, ("half trained", "untrained"))
        self.mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
        path = self.mdp.policy_path(AGES, 5.0)
        self.later = path[-1]
        self.path = path if policy == "half trained" else torch.zeros_like(path)
        generator = torch.Generator().manual_seed(seed)
        most = VARIANCE_KS[-1]
        self.state_uniforms = torch.rand(n_points, most, generator=generator, dtype=torch.float64)
        self.action_uniforms = torch.rand(n_points, most, most, generator=generator, dtype=torch.float64)
        self.q_noise = torch.randn(self.path[-1].shape, generator=generator, dtype=torch.float64)
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
        """Span the plane of the picture by ∇J and, across it, by the mean of the oldest stored actions.

        Those of the untrained policy are not old: there it is the gradient of a later policy.
        """
        logits, oldest = self.path[-1], self.path[0]
        if torch.equal(logits, oldest):
            return plots.Plane(mdp.policy_gradient(logits), mdp.policy_gradient(self.later))
        stored = gradient_moments(mdp, logits, "stored", baseline="value", behavior=torch.softmax(oldest, -1))
        return plots.Plane(stored.target, stored.mean)

    def __call__(
        self,
        estimator: str = "resampled",
        baseline: str | None = None,  # or "none", since a button's value None would mean that no button is pressed
        action_samples: int = 1,
        batch_size: int = 32,
        reward_offset: float = 0.0,
        q_error: float = 0.0,
        age: int = 0,
    ) -> VarianceResult:
        """Compute the moments and the cloud; `q_error` is the critic's error over the spread of Q itself.

        Raises `ValueError` for N or K above 64 (so many random numbers are kept), an age outside 0 to 20, and as
        `gradient_moments` does.
        """
        _check.count("action_samples", action_samples, at_most=VARIANCE_KS[-1])
        _check.count("batch_size", batch_size, at_most=VARIANCE_KS[-1])
        _check.count("age", age, at_least=0, at_most=AGES)
        baseline = None if baseline == "none" else baseline
        if baseline == "leave-one-out" and estimator != "expected" and (estimator != "resampled" or action_samples < 2):
            raise ValueError(
                "leave-one-out averages the other K − 1 actions of a state: choose the estimator 'resampled' and a K "
                "of at least 2"
            )
        reward_offset, q_error = _check.number("reward_offset", reward_offset), _check.number("q_error", q_error)
        world, logits = self.world(reward_offset, q_error, age), self.path[-1]
        mdp, data, plane = world.mdp, world.data, world.plane

        def with_actions(k: int) -> Estimator:
            choice = dict(batch_size=batch_size, action_samples=k, baseline=baseline)
            return Estimator(mdp, logits, estimator, **choice, **data)

        chosen_estimator = with_actions(action_samples)
        here = chosen_estimator.moments()
        if estimator != "resampled":  # one stored action, or all
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
    """Make the variance lab: what each choice does to the gradient estimate, against the exact gradient.

    `policy` as in `VarianceModel`; `controls` names the ones to show (all by default), in the order of

    estimator, baseline, action_samples, batch_size, reward_offset, q_error, age.

    >>> lab = variance_lab("untrained", controls=["action_samples"])
    >>> lab.set(action_samples=16)
    >>> round(lab.result.moments.variance_actions, 5)  # N = 32
    0.00018
    """
    slider, wide = ipywidgets.FloatSlider, dict(readout_format=".2f")
    every = dict(
        estimator=ipywidgets.ToggleButtons(options=list(ESTIMATORS), value="resampled", description="estimator"),
        baseline=ipywidgets.ToggleButtons(
            options=[("Q itself", "none"), ("Q − V", "value"), ("leave-one-out", "leave-one-out")],
            value="none",
            description="weight",
        ),
        action_samples=ipywidgets.IntSlider(1, 1, 64, description="K, actions per state"),
        batch_size=ipywidgets.IntSlider(32, 1, 64, description="N, states per batch"),
        reward_offset=slider(value=0.0, min=0.0, max=2.0, step=0.1, description="added to each reward", **wide),
        q_error=slider(value=0.0, min=0.0, max=1.0, step=0.05, description="error of Q / spread of Q", **wide),
        age=ipywidgets.IntSlider(0, 0, AGES, description="age of the data, updates"),
    )
    view = plots.VarianceView(VARIANCE_KS, steady=(1e-5, 10.0 if policy == "half trained" else 0.01))
    return Lab(chosen(every, controls), VarianceModel(policy), view, _in_words)


def _in_words(result: VarianceResult) -> str:
    m, short = result.moments, plots.short
    return (
        f"The mean is off the exact gradient by {short(m.bias)}, off the one under the buffer's states by "
        f"{short(m.bias_surrogate)}; cosine {m.cosine:.3f}. Variance {short(m.variance)}: {short(m.variance_states)} "
        f"across states (the floor), {short(m.variance_actions)} across actions. Break-even K* {short(result.k_star)}."
    )
