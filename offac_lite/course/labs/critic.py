"""The critic lab of notebook 04."""

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets
import torch

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.labs.variance import MAX_AGE
from offac_lite.course.stage.controls import selected_controls
from offac_lite.course.stage.lab import Lab
from offac_lite.exact._types import F64
from offac_lite.exact.mdp import TabularMDP
from offac_lite.exact.outcomes import Outcomes
from offac_lite.exact.td import TDPath, target_distribution, target_variance, td_path

__all__ = ["CriticModel", "critic_lab"]

LAKES = {"slippery": 5.0, "firm": 0.25}
"""Each lake's size of the natural-gradient steps from which the older policies come."""
MAX_NEXT_ACTIONS = 16
N_UPDATES = 800
GAMMA = 0.99
_SHOWN = 9, 2  # the state and action whose target is shown: beside a hole, to the right
_EDGES = torch.linspace(0, 1, 51, **F64)


@dataclass(frozen=True, eq=False)
class CriticResult:
    """What the critic lab shows for one setting. Distances are root mean squares, divided by that of Q^π or V^π."""

    lake: str
    next_action: str
    age: int
    next_action_samples: int  # M; always 1 for the stored next action
    target_histogram: torch.Tensor  # (50,), probability of y in each bin when Q is the fixed point
    target_mean: float
    exact: float  # Q^π(s, a)
    variance_world: float  # of y, from r and s′
    variance_actions: float  # of y, from a′
    distance: torch.Tensor  # (U + 1,), of Q from Q^π, bias and noise together
    bias: torch.Tensor  # (U + 1,), of the mean of Q from Q^π
    fixed_distance: float  # of the fixed point from Q^π
    value_distance: float  # from V^π, of the V that a V-critic learns from the same data


class CriticModel:
    """The critic lab's computation, exact: the same setting always gives the same result.

    The task is FrozenLake, 4x4, with γ = 0.99, slippery or firm. π is the result of 20 exact natural-gradient steps on
    that lake; the steps are larger where it is slippery. Data of age g was written by the policy g steps before π.

    >>> result = CriticModel()(next_action="stored", age=20)
    >>> round(result.fixed_distance, 2), CriticModel()(age=20).fixed_distance < 1e-12
    (0.72, True)
    """

    def __init__(self):
        self.worlds = {}
        for name, step_size in LAKES.items():
            kind = dict(map_name="4x4", is_slippery=name == "slippery")
            mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=GAMMA, **kind)
            path = torch.softmax(mdp.policy_path(MAX_AGE, step_size), -1)
            self.worlds[name] = mdp, Outcomes.from_gymnasium("FrozenLake-v1", **kind), path
        self._paths: dict[tuple, TDPath] = {}

    def __call__(
        self, lake: str = "slippery", next_action: str = "resampled", age: int = 10, next_action_samples: int = 1
    ) -> CriticResult:
        """Compute the target's distribution and Q over updates. Raises `ValueError` outside the controls' range."""
        _check.one_of("lake", lake, list(LAKES))
        _check.one_of("next_action", next_action, ["resampled", "stored"])
        _check.count("age", age, at_least=0, at_most=MAX_AGE)
        _check.count("next_action_samples", next_action_samples, at_most=MAX_NEXT_ACTIONS)
        next_action_samples = 1 if next_action == "stored" else next_action_samples
        mdp, outcomes, path = self.worlds[lake]
        pi, beta = path[-1], path[MAX_AGE - age]
        q_pi, v_pi = mdp.action_values(pi), mdp.state_values(pi)
        next_probs = beta if next_action == "stored" else pi
        q = mdp.action_values(next_probs)
        values, probability = target_distribution(outcomes, next_probs, q, GAMMA, *_SHOWN, next_action_samples)
        bins = torch.bucketize(values, _EDGES, right=True).sub(1).clamp(0, len(_EDGES) - 2)
        histogram = torch.zeros(len(_EDGES) - 1, **F64).index_add(0, bins, probability)
        world, actions = (
            v[_SHOWN].item() for v in target_variance(outcomes, next_probs, q, GAMMA, next_action_samples)
        )

        key = lake, next_action, age, next_action_samples
        if key not in self._paths:
            data = mdp.occupancy(beta)[:, None] * beta
            self._paths[key] = td_path(
                outcomes,
                data,
                next_probs,
                GAMMA,
                next_action_samples=next_action_samples,
                rate=0.04,
                batch_size=200,
                n_updates=N_UPDATES,
            )
        td = self._paths[key]
        q_length = q_pi[td.live].square().mean().sqrt()
        q_error = (q - q_pi)[td.live].square().mean().sqrt()
        v_error = (mdp.state_values(beta) - v_pi)[td.live].norm()
        return CriticResult(
            lake=lake,
            next_action=next_action,
            age=age,
            next_action_samples=next_action_samples,
            target_histogram=histogram,
            target_mean=(values @ probability).item(),
            exact=q_pi[_SHOWN].item(),
            variance_world=world,
            variance_actions=actions,
            distance=td.distance(q_pi) / q_length,
            bias=td.bias(q_pi) / q_length,
            fixed_distance=(q_error / q_length).item(),
            value_distance=(v_error / v_pi[td.live].norm()).item(),
        )


def critic_lab(controls: Sequence[str] | None = None) -> Lab:
    """Make the critic lab: the noise of a target, and the Q that TD learns from old data, against the exact Q^π.

    `controls` names those to show, from lake, next_action, age and next_action_samples; by default all.

    >>> lab = critic_lab()
    >>> lab.set(next_action="stored", age=20)
    >>> round(lab.result.fixed_distance, 2)
    0.72
    """
    toggle = ipywidgets.ToggleButtons
    all_controls = dict(
        lake=toggle(options=list(LAKES), value="slippery", description="the lake"),
        next_action=toggle(
            options=[("a′ ~ π(·|s′), now", "resampled"), ("the stored next action", "stored")],
            value="resampled",
            description="next action",
        ),
        age=ipywidgets.IntSlider(10, 0, MAX_AGE, description="age of the data, updates"),
        next_action_samples=ipywidgets.IntSlider(1, 1, MAX_NEXT_ACTIONS, description="M, next actions per target"),
    )
    view = plots.CriticView(_EDGES.numpy(), N_UPDATES)
    return Lab(selected_controls(all_controls, controls), CriticModel(), view, _summary)


def _summary(result: CriticResult) -> str:
    short = plots.short
    source = "drawn from π now" if result.next_action == "resampled" else "the stored one"
    return (
        f"Next action {source}, M = {result.next_action_samples}, data {result.age} updates old, "
        f"{result.lake} lake. y has mean "
        f"{short(result.target_mean)} (exact Q {short(result.exact)}) and variance {short(result.variance_world)} "
        f"from r and s′, {short(result.variance_actions)} from a′. The fixed point is off Q^π by "
        f"{short(result.fixed_distance)} of its length; after {len(result.distance) - 1} updates Q is off by "
        f"{short(result.distance[-1].item())}, its mean by {short(result.bias[-1].item())}."
    )
