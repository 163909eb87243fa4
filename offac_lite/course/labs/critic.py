"""The labs of notebook 04: two exact critics on old data, and the noise of a critic with M next actions."""

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets
import torch

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.labs.variance import MAX_AGE
from offac_lite.course.stage.controls import log_slider, selected_controls
from offac_lite.course.stage.lab import Lab
from offac_lite.course.stage.question import Question
from offac_lite.exact._types import F64
from offac_lite.exact.mdp import TabularMDP
from offac_lite.exact.outcomes import Outcomes
from offac_lite.exact.td import TDPath, target_distribution, target_variance, td_path

__all__ = ["CriticModel", "TwoCriticsModel", "critic_lab", "two_critics_lab"]

LAKES = {"slippery": 5.0, "firm": 0.25}
"""Each lake's size of the natural-gradient steps from which the older policies come."""
MAX_NEXT_ACTIONS = 16
N_UPDATES = 800
TWO_CRITICS_UPDATES, TWO_CRITICS_RATE = 400, 0.02
GAMMA = 0.99
RATE, BATCH_SIZE = 0.04, 200
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
                rate=RATE,
                batch_size=BATCH_SIZE,
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


_QUESTIONS = (
    Question(
        "Slippery lake, a′ from π: does the fixed point depend on the age? At which age does Q end closest?",
        lambda on, result: result.lake == "slippery" and result.next_action == "resampled" and result.age in (18, 19),
        "The fixed point is at 0 for every age. Q ends closest at 18 or 19: younger data holds few of the actions that "
        "π avoids, and uniform data falls into a hole early.",
    ),
    Question(
        "Take the stored next action. At which age is its fixed point Q^π?",
        lambda on, result: result.next_action == "stored" and result.age == 0,
        "Only at 0, where β is π. At every other age the target follows the old policy.",
    ),
)


def critic_lab(controls: Sequence[str] | None = None) -> Lab:
    """Make the critic lab: the noise of a target, and the Q that TD learns from old data, against the exact Q^π.

    `controls` names those to show, from lake, next_action, age and next_action_samples; by default all.

    >>> lab = critic_lab()
    >>> lab.set(lake="slippery", next_action="stored", age=20)
    >>> round(lab.result.fixed_distance, 2)
    0.72
    """
    toggle = ipywidgets.ToggleButtons
    all_controls = dict(
        lake=toggle(options=list(LAKES), value="firm", description="the lake"),
        next_action=toggle(
            options=[("a′ ~ π(·|s′), now", "resampled"), ("the stored next action", "stored")],
            value="resampled",
            description="next action",
        ),
        age=ipywidgets.IntSlider(10, 0, MAX_AGE, description="age of the data, updates"),
        next_action_samples=log_slider((1, 2, 4, 8, 16), 1, "M, next actions per target"),
    )
    shown, view = selected_controls(all_controls, controls), plots.CriticView(_EDGES.numpy(), N_UPDATES, *_SHOWN)
    return Lab(shown, CriticModel(), view, _summary, questions=_QUESTIONS if controls is None else (), pinned=True)


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


@dataclass(frozen=True, eq=False)
class TwoCriticsResult:
    """What the lab of two critics shows: the mean of both critics after some updates, over all random batches."""

    age: int
    updates: int
    v: torch.Tensor  # (S,), of the V-critic
    q: torch.Tensor  # (S,), Σ_a π(a|s) Q(s, a) of the Q-critic
    v_start: torch.Tensor  # (U + 1,), the V-critic's value of the start after 0, 1, …, U updates
    q_start: torch.Tensor  # (U + 1,), the Q-critic's


class TwoCriticsModel:
    """The computation of `two_critics_lab`, exact: two critics hold V^π and Q^π, and are trained on old data.

    The task is slippery FrozenLake, 4x4, with γ = 0.99. π is the result of 20 exact natural-gradient steps. The data
    was written by the policy `age` steps before π. One update moves each value by 0.02 (y − value) for each of its
    transitions in a batch of 200; shown is the mean over all batches.

    >>> model = TwoCriticsModel()
    >>> result = model(updates=400, age=20)
    >>> round(result.v[0].item(), 2), round(result.q[0].item(), 2), round(model.v_pi[0].item(), 2)
    (0.01, 0.37, 0.37)
    """

    def __init__(self) -> None:
        self.mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=GAMMA, map_name="4x4")
        self.policies = torch.softmax(self.mdp.policy_path(MAX_AGE, LAKES["slippery"]), -1)
        self.pi = self.policies[-1]
        self.v_pi, self.q_pi = self.mdp.state_values(self.pi), self.mdp.action_values(self.pi)
        self._paths: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def path(self, age: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean of V and of Σ_a π(a|s) Q(s, a) after 0, 1, …, U updates, each (U + 1, S)."""
        if age not in self._paths:
            beta = self.policies[MAX_AGE - age]
            visits = self.mdp.occupancy(beta)
            data = visits[:, None] * beta / visits.sum()
            v, q, path = self.v_pi, self.q_pi, [(self.v_pi, self.v_pi)]
            for _ in range(TWO_CRITICS_UPDATES):
                y_for_v = self.mdp.reward + GAMMA * self.mdp.transition @ v
                y_for_q = self.mdp.reward + GAMMA * self.mdp.transition @ (self.pi * q).sum(-1)
                v = v + TWO_CRITICS_RATE * BATCH_SIZE * (data * (y_for_v - v[:, None])).sum(-1)
                q = q + TWO_CRITICS_RATE * BATCH_SIZE * data * (y_for_q - q)
                path.append((v, (self.pi * q).sum(-1)))
            v_path, q_path = (torch.stack(values) for values in zip(*path, strict=True))
            self._paths[age] = v_path, q_path
        return self._paths[age]

    def __call__(self, updates: int = 0, age: int = MAX_AGE) -> TwoCriticsResult:
        """Compute both critics. Raises `ValueError` outside the controls' range."""
        _check.count("updates", updates, at_least=0, at_most=TWO_CRITICS_UPDATES)
        _check.count("age", age, at_least=0, at_most=MAX_AGE)
        v, q = self.path(age)
        return TwoCriticsResult(age, updates, v[updates], q[updates], v[:, 0], q[:, 0])


_TWO_CRITICS_QUESTIONS = (
    Question(
        "Train both critics to the end on data 20 updates old, the uniform policy's. Where does V of the start go?",
        lambda on, result: (result.updates, result.age) == (TWO_CRITICS_UPDATES, MAX_AGE),
        "Close to 0.012, the value of the uniform policy. The Q-critic has not moved.",
    ),
    Question(
        "Stay at the end, and make the data younger. At which age does V stay exact as well?",
        lambda on, result: (result.updates, result.age) == (TWO_CRITICS_UPDATES, 0),
        "Only at 0, where π itself has written the data.",
    ),
)


def two_critics_lab() -> Lab:
    """Make the lab of two critics: both are exact at first, and both are trained on old data.

    >>> lab = two_critics_lab()
    >>> lab.set(updates=400)
    >>> round(lab.result.v[0].item(), 2), round(lab.result.q[0].item(), 2)
    (0.01, 0.37)
    """
    model = TwoCriticsModel()
    controls = dict(
        updates=ipywidgets.IntSlider(0, 0, TWO_CRITICS_UPDATES, 10, description="training updates"),
        age=ipywidgets.IntSlider(MAX_AGE, 0, MAX_AGE, description="age of the data, updates"),
    )
    view = plots.TwoCriticsView(model.v_pi.max().item(), model.v_pi[0].item(), TWO_CRITICS_UPDATES)
    return Lab(controls, model, view, _two_critics_summary, play="updates", questions=_TWO_CRITICS_QUESTIONS)


def _two_critics_summary(result: TwoCriticsResult) -> str:
    return (
        f"After {result.updates} updates on data that is {result.age} updates old, the value of the start is "
        f"{result.v[0]:.3f} for the V-critic and {result.q[0]:.3f} for the Q-critic; the exact value is "
        f"{result.v_start[0]:.3f}."
    )
