"""The computation of the variance labs: exact moments of a gradient estimator, and a cloud of its estimates."""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from offac_lite import _check
from offac_lite.course.labs.buttons import baseline_of, need_others
from offac_lite.course.labs.cloud import Cloud, along_and_across
from offac_lite.exact._types import F64
from offac_lite.exact.estimators import Estimator, GradientMoments, break_even_actions, gradient_moments
from offac_lite.exact.mdp import TabularMDP

__all__ = ["FRAMES", "VarianceModel"]

VARIANCE_KS = (1, 2, 4, 8, 16, 32, 64)
MAX_AGE = 20
"""The number of policy updates between the labs' oldest policy and π."""
FRAMES = {"untrained": (-9.0, 11.0, 20.0), "half trained": (-17.0, 19.0, 20.0)}
"""What the picture shows, in lengths of ∇J: from, to along ∇J; up to across. It depends on the policy alone."""


@dataclass(frozen=True, eq=False)
class VarianceResult:
    """What the variance labs show for one setting of their controls."""

    estimator: str
    moments: GradientMoments
    cloud: Cloud
    reference_variance: float  # total variance with K = 1 and the baseline V: what K* reaches without a baseline
    k_star: float  # the break-even K* of this policy, critic and buffer


class _World(NamedTuple):
    """What depends on neither the estimator nor the batch."""

    mdp: TabularMDP
    data: dict[str, torch.Tensor]  # β and the critic's Q
    reference: GradientMoments  # for N = K = 1 and the baseline V
    k_star: float


class VarianceModel:
    """The variance labs' computation: exact moments, and estimates that all come from one set of random numbers.

    The task is FrozenLake, 4x4, slippery, with γ = 0.99. `policy` "half trained" is the result of 20 exact
    natural-gradient steps; data of age g was written by the policy g steps before it. "untrained" is uniform, and so
    is every policy before it.

    >>> result = VarianceModel("untrained")(action_samples=4, batch_size=1)
    >>> round(result.moments.variance_states, 4), round(result.moments.variance_actions, 4), round(result.k_star, 1)
    (0.0024, 0.0225, 18.5)
    """

    def __init__(self, policy: str = "half trained", n_points: int = 300):
        _check.one_of("policy", policy, ("half trained", "untrained"))
        self.mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
        path = self.mdp.policy_path(MAX_AGE, 5.0)
        self.path = path if policy == "half trained" else torch.zeros_like(path)
        self.n_points = n_points
        generator = torch.Generator().manual_seed(0)
        self.q_noise = torch.randn(self.path[-1].shape, generator=generator, **F64)
        self.world = functools.lru_cache(maxsize=512)(self._world)
        self.uniforms = functools.lru_cache(maxsize=2)(self._uniforms)

    def _uniforms(self, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the random numbers for the states (n, N) and the actions (n, N, K) of the largest batch."""
        shape, generator = (self.n_points, VARIANCE_KS[-1]), torch.Generator().manual_seed(seed)
        states = torch.rand(shape, generator=generator, **F64)
        return states, torch.rand((*shape, VARIANCE_KS[-1]), generator=generator, **F64)

    def _world(self, reward_offset: float, q_error: float, age: int) -> "_World":
        mdp, logits = self.mdp.with_reward_offset(reward_offset), self.path[-1]
        q = mdp.action_values(torch.softmax(logits, -1))
        data = dict(behavior=torch.softmax(self.path[-1 - age], -1), q=q + q_error * q.std() * self.q_noise)
        return _World(
            mdp=mdp,
            data=data,
            reference=gradient_moments(mdp, logits, "resampled", baseline="value", **data),
            k_star=break_even_actions(mdp, logits, **data),
        )

    def __call__(
        self,
        estimator: str = "resampled",
        baseline: str | None = None,  # or "none"
        action_samples: int = 1,
        batch_size: int = 32,
        reward_offset: float = 0.0,
        q_error: float = 0.0,
        age: int = 0,
        seed: int = 0,
    ) -> VarianceResult:
        """Compute the moments and the cloud. `q_error` is the critic's error, divided by the spread of Q.

        Raises `ValueError` for N or K above 64, for an age outside 0 to 20, and as `gradient_moments` does.
        """
        _check.count("action_samples", action_samples, at_most=VARIANCE_KS[-1])
        _check.count("batch_size", batch_size, at_most=VARIANCE_KS[-1])
        _check.count("age", age, at_least=0, at_most=MAX_AGE)
        baseline = baseline_of(baseline)
        if estimator != "expected":
            need_others(baseline, action_samples - 1 if estimator == "resampled" else 0)
        world, logits = self.world(reward_offset, q_error, age), self.path[-1]
        choice = dict(batch_size=batch_size, action_samples=action_samples, baseline=baseline)
        chosen_estimator = Estimator(world.mdp, logits, estimator, **choice, **world.data)
        here = chosen_estimator.moments()
        states, actions = self.uniforms(seed)
        actions = actions[:, :batch_size, : here.action_samples]
        gradients = chosen_estimator.from_uniforms(states[:, :batch_size], actions)
        reference_variance, length = world.reference.variance / batch_size, here.target.norm().item()
        cloud = Cloud(
            points=along_and_across(gradients, here.target),
            distance=math.hypot(here.variance**0.5, here.bias) / length,
            ring=math.hypot(reference_variance**0.5, world.reference.bias) / length,
        )
        return VarianceResult(
            estimator=estimator,
            moments=here,
            cloud=cloud,
            reference_variance=reference_variance,
            k_star=world.k_star,
        )
