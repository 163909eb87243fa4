"""The critic lab of notebook 04."""

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets
import torch

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.labs.variance import AGES
from offac_lite.course.stage.lab import Lab, chosen
from offac_lite.exact.mdp import TabularMDP
from offac_lite.exact.outcomes import Outcomes
from offac_lite.exact.td import TDPath, target_distribution, target_variance, td_path

LAKES = {"slippery": 5.0, "firm": 0.25}  # how large the natural-gradient steps of the history are on each
MOST_NEXT = 16
N_UPDATES = 800
GAMMA = 0.99
_SHOWN = 9, 2  # the state and the action whose target is shown: beside a hole, to the right
_EDGES = torch.linspace(0, 1, 51, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class CriticResult:
    """What the critic lab shows for one setting. Distances are root mean squares, over that of Q^π or V^π itself."""

    lake: str
    next_action: str
    age: int
    next_action_samples: int  # the M in force: 1 for the stored next action, of which there is only one
    target_histogram: torch.Tensor  # (50,), probability of y in each bin, once Q is its fixed point
    target_mean: float
    exact: float  # Q^π(s, a)
    variance_world: float  # of y, from r and s′
    variance_actions: float  # of y, from a′
    distance: torch.Tensor  # (U + 1,), of Q from Q^π, bias and noise
    bias: torch.Tensor  # (U + 1,), of the mean of Q from Q^π
    fixed_distance: float  # of the fixed point from Q^π
    value_distance: float  # of the V that the same data teaches from V^π


class CriticModel:
    """The critic lab's computation; everything is exact, so the same setting always gives the same result.

    FrozenLake, 4x4, γ = 0.99, slippery or firm. π is the last of 20 exact natural-gradient steps on that lake (longer
    ones where it is slippery); the data of age g was written by the policy g steps before it.

    >>> result = CriticModel()(next_action="stored", age=20)
    >>> round(result.fixed_distance, 2), CriticModel()(age=20).fixed_distance < 1e-12
    (0.72, True)
    """

    def __init__(self):
        self.worlds = {}
        for name, step_size in LAKES.items():
            kind = dict(map_name="4x4", is_slippery=name == "slippery")
            mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=GAMMA, **kind)
            path = torch.softmax(mdp.policy_path(AGES, step_size), -1)
            self.worlds[name] = mdp, Outcomes.from_gymnasium("FrozenLake-v1", **kind), path
        self._paths: dict[tuple, TDPath] = {}

    def __call__(
        self, lake: str = "slippery", next_action: str = "resampled", age: int = 10, next_action_samples: int = 1
    ) -> CriticResult:
        """Compute the target's distribution and Q's way. Raises `ValueError` for what the controls do not offer."""
        _check.one_of("lake", lake, list(LAKES))
        _check.one_of("next_action", next_action, ["resampled", "stored"])
        _check.count("age", age, at_least=0, at_most=AGES)
        _check.count("next_action_samples", next_action_samples, at_most=MOST_NEXT)
        next_action_samples = 1 if next_action == "stored" else next_action_samples
        mdp, outcomes, path = self.worlds[lake]
        pi, beta = path[-1], path[AGES - age]
        q_pi, v_pi = mdp.action_values(pi), mdp.state_values(pi)
        next_probs = beta if next_action == "stored" else pi
        q = mdp.action_values(next_probs)
        values, probability = target_distribution(outcomes, next_probs, q, GAMMA, *_SHOWN, next_action_samples)
        bins = torch.bucketize(values, _EDGES, right=True).sub(1).clamp(0, len(_EDGES) - 2)
        histogram = torch.zeros(len(_EDGES) - 1, dtype=torch.float64).index_add(0, bins, probability)
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
        way = self._paths[key]
        length, off = q_pi[way.live].square().mean().sqrt(), (q - q_pi)[way.live].square().mean().sqrt()
        v_off = (mdp.state_values(beta) - v_pi)[way.live]
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
            distance=way.distance(q_pi) / length,
            bias=way.bias(q_pi) / length,
            fixed_distance=(off / length).item(),
            value_distance=(v_off.norm() / v_pi[way.live].norm()).item(),
        )


def critic_lab(controls: Sequence[str] | None = None) -> Lab:
    """Make the critic lab: how noisy a target is, and where TD on old data leads Q, against the exact Q^π.

    `controls` names the ones to show (all by default), in the order of lake, next_action, age, next_action_samples.

    >>> lab = critic_lab()
    >>> lab.set(next_action="stored", age=20)
    >>> round(lab.result.fixed_distance, 2)
    0.72
    """
    toggle = ipywidgets.ToggleButtons
    every = dict(
        lake=toggle(options=list(LAKES), value="slippery", description="the lake"),
        next_action=toggle(
            options=[("a′ ~ π(·|s′), now", "resampled"), ("the stored next action", "stored")],
            value="resampled",
            description="next action",
        ),
        age=ipywidgets.IntSlider(10, 0, AGES, description="age of the data, updates"),
        next_action_samples=ipywidgets.IntSlider(1, 1, MOST_NEXT, description="M, next actions per target"),
    )
    view = plots.CriticView(_EDGES.numpy(), N_UPDATES)
    return Lab(chosen(every, controls), CriticModel(), view, _in_words)


def _in_words(result: CriticResult) -> str:
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
