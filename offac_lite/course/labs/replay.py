"""The labs of notebook 02: a buffer as it fills, and the effect of the data's age on value and gradient."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
import torch

from offac_lite import _check
from offac_lite.buffer import ReplayBuffer
from offac_lite.course import plots
from offac_lite.course.labs.buttons import baseline_of
from offac_lite.course.labs.variance import MAX_AGE
from offac_lite.course.stage.controls import selected_controls, steps_slider
from offac_lite.course.stage.lab import Lab
from offac_lite.course.stage.question import Question
from offac_lite.exact._types import F64
from offac_lite.exact.mdp import TabularMDP
from offac_lite.exact.replay_bias import buffer_policy, four_updates
from offac_lite.networks import CategoricalPolicy

__all__ = ["AgeModel", "BufferModel", "age_lab", "buffer_lab"]

WRITERS = ("all", "one")
"""Who wrote the data: every policy of the last `age` updates, or only the oldest of them."""
FixedPoint = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
"""`fixed_point(transition, reward, buffer_policy, gamma)`: the V of a critic that has converged on the buffer, (S,)."""


@dataclass(frozen=True)
class Comparison:
    """A mean update g compared with the exact gradient ∇J."""

    cosine: float
    length: float  # ‖g‖ / ‖∇J‖
    distance: float  # ‖g − ∇J‖ / ‖∇J‖

    @classmethod
    def of(cls, update: torch.Tensor, exact: torch.Tensor) -> "Comparison":
        """Compare two gradients, (S, A) each."""
        unit, length = exact.norm(), update.norm()
        cosine = (update * exact).sum() / (length * unit) if length > 0 else torch.tensor(0.0)
        return cls(cosine.item(), (length / unit).item(), ((update - exact).norm() / unit).item())


@dataclass(frozen=True, eq=False)
class AgeResult:
    """What the age lab shows for one setting of its controls."""

    age: int
    exact: torch.Tensor  # (S,), V^π
    naive: torch.Tensor  # (S,), the fixed point of the naive critic: V of the buffer's policy
    return_now: float  # J(π)
    return_buffer: float  # J of the buffer's policy
    updates: dict[tuple[str, str], Comparison]  # by (critic, actions), as in `replay_bias.four_updates`

    @property
    def value_error(self) -> float:
        """The largest error of the naive critic in any state."""
        return (self.naive - self.exact).abs().max().item()


class AgeModel:
    """The age lab's computation, exact: values and mean updates of a buffer whose oldest data is `age` updates old.

    The task is FrozenLake, 4x4, slippery, with γ = 0.99. π is the result of 20 exact natural-gradient steps. With
    `writers` "all", π and each of the `age` policies before it played equally many episodes; with "one", only the
    oldest of them played. `fixed_point` computes the naive V, by default as V of the buffer's policy.

    >>> result = AgeModel()(age=20)
    >>> round(result.return_buffer, 3), round(result.updates["naive", "stored"].cosine, 2)
    (0.138, 0.67)
    """

    def __init__(self, fixed_point: FixedPoint | None = None):
        self.mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
        self.path = self.mdp.policy_path(MAX_AGE, 5.0)
        self.fixed_point = fixed_point

    def behavior(self, age: int, writers: str) -> torch.Tensor:
        """Return the buffer's policy, (S, A)."""
        _check.count("age", age, at_least=0, at_most=MAX_AGE)
        _check.one_of("writers", writers, WRITERS)
        probs = torch.softmax(self.path[MAX_AGE - age :], -1)
        if writers == "one":
            return probs[0]
        return buffer_policy(probs, self.mdp.occupancy(probs))

    def __call__(self, age: int = 0, writers: str = "all", baseline: str | None = "value") -> AgeResult:
        """Compute both values and all four updates. The baseline "none" is the same as None."""
        baseline = baseline_of(baseline)
        mdp, logits, behavior = self.mdp, self.path[-1], self.behavior(age, writers)
        pi, gradient = torch.softmax(logits, -1), mdp.policy_gradient(logits)
        own = self.fixed_point
        naive = own(mdp.transition, mdp.reward, behavior, mdp.gamma) if own else mdp.state_values(behavior)
        updates = four_updates(mdp, logits, behavior, baseline, naive)
        return AgeResult(
            age=age,
            exact=mdp.state_values(pi),
            naive=naive,
            return_now=mdp.expected_return(pi).item(),
            return_buffer=mdp.expected_return(behavior).item(),
            updates={box: Comparison.of(update, gradient) for box, update in updates.items()},
        )


_AGE_QUESTIONS = (
    Question(
        "Raise the age. Which update is the first that is further from ∇J than no step at all?",
        lambda on, result: _all_with_v(on) and result.updates["right", "stored"].distance > 1,
        "The wrong action with the exact V, from age 8 on. To repair the value alone makes the update worse.",
    ),
)


def _all_with_v(on: Mapping[str, Any]) -> bool:
    return on.get("writers", "all") == "all" and on.get("baseline", "value") == "value"


def age_lab(fixed_point: FixedPoint | None = None, controls: Sequence[str] | None = None) -> Lab:
    """Make the age lab: the value and gradient of old data against the exact ones.

    `fixed_point` as in `AgeModel`, for example the student's. `controls` names those to show, from age, writers and
    baseline; by default all.

    >>> lab = age_lab()
    >>> lab.set(age=10)
    >>> round(lab.result.value_error, 3)
    0.153
    """
    all_controls = dict(
        age=ipywidgets.IntSlider(4, 0, MAX_AGE, description="age of the oldest data, updates"),
        writers=ipywidgets.ToggleButtons(
            options=[("every policy since then", "all"), ("only the oldest policy", "one")],
            value="all",
            description="the buffer holds",
        ),
        baseline=ipywidgets.ToggleButtons(
            options=[("r + γV(s′) − V(s)", "value"), ("r + γV(s′)", "none")], value="value", description="weight"
        ),
    )
    shown = selected_controls(all_controls, controls)
    questions = _AGE_QUESTIONS if controls is None else ()
    return Lab(shown, AgeModel(fixed_point), plots.AgeView(), _age_summary, questions=questions, pinned=True)


def _age_summary(result: AgeResult) -> str:
    boxes = {
        "naive replay": ("naive", "stored"),
        "wrong value only": ("naive", "π"),
        "wrong action only": ("right", "stored"),
        "neither": ("right", "π"),
    }
    parts = [
        f"{name} cosine {result.updates[box].cosine:.2f}, off by {result.updates[box].distance:.2f}"
        for name, box in boxes.items()
    ]
    return (
        f"Oldest data {result.age} updates old: the naive V is wrong by up to {result.value_error:.3f}. "
        f"Distances in lengths of ∇J: {'; '.join(parts)}."
    )


@dataclass(frozen=True, eq=False)
class BufferResult:
    """What the buffer lab shows of one moment of a run. The n strata are equal parts of the run, in its order."""

    steps: int  # environment steps so far
    written: torch.Tensor  # (B,), environment steps at which each transition of the batch was written
    states: torch.Tensor  # (B, 2), position and angle of its states
    now: torch.Tensor  # (B, 2), the same of the newest transitions, which the current π visited
    counts: torch.Tensor  # (n,), transitions of the batch from each stratum
    disagreement: torch.Tensor  # (n,), mean |π(a|s) − β(a|s)| over each stratum of the buffer; NaN if it is empty


class BufferModel:
    """The buffer lab's computation: one seed's buffer as it was at a moment of the run.

    `buffer` holds the whole run of a CartPole agent with log β(a|s). `past` lists moments of the run in order:
    [(steps, transitions stored by each seed, policy)]. Every moment draws a batch with the same uniform numbers.
    """

    def __init__(
        self,
        buffer: ReplayBuffer,
        past: Sequence[tuple[int, Sequence[int], CategoricalPolicy]],
        index: int = 0,
        batch_size: int = 256,
        n_strata: int = 12,
    ):
        self.data = buffer.all(index)
        self.steps = [steps for steps, _, _ in past]
        self.stored = [lengths[index] for _, lengths, _ in past]
        self.policies = [policy.of_seed(index) for _, _, policy in past]
        if self.stored[-1] > len(self.data.reward):
            raise ValueError(f"buffer holds {len(self.data.reward)} transitions, but past names {self.stored[-1]}")
        self.uniforms = torch.rand(batch_size, generator=torch.Generator().manual_seed(0), **F64)
        self.n_strata = n_strata
        marks = torch.tensor([0, *self.stored], **F64)
        rows = torch.arange(len(self.data.reward), **F64)
        after = torch.searchsorted(marks, rows, right=True).clamp_max(len(self.steps))
        times = torch.tensor([0, *self.steps], **F64)
        share = (rows - marks[after - 1]) / (marks[after] - marks[after - 1])
        self.written = times[after - 1] + share * (times[after] - times[after - 1])  # interpolated between moments

    @torch.no_grad()
    def __call__(self, steps: int) -> BufferResult:
        """Show the last moment at or before `steps`. Raises `ValueError` if there is none."""
        moment = sum(at <= steps for at in self.steps) - 1
        if moment < 0:
            raise ValueError(f"steps must be at least {self.steps[0]}, got {steps}")
        stored = self.stored[moment]
        obs, action = self.data.obs[:stored], self.data.action[:stored]
        pi = self.policies[moment](obs).log_prob(action).exp()
        difference = (pi - self.data.log_prob[:stored].exp()).abs().double()
        width = self.steps[-1] / self.n_strata
        stratum = (self.written / width).long().clamp_max(self.n_strata - 1)
        total = torch.zeros(self.n_strata, **F64).index_add_(0, stratum[:stored], difference)
        batch = (self.uniforms * stored).long()
        position_and_angle = torch.tensor([0, 2])
        return BufferResult(
            steps=self.steps[moment],
            written=self.written[batch],
            states=obs[batch][:, position_and_angle],
            now=obs[-len(batch) :][:, position_and_angle],
            counts=torch.bincount(stratum[batch], minlength=self.n_strata),
            disagreement=total / torch.bincount(stratum[:stored], minlength=self.n_strata),
        )


def buffer_lab(
    buffer: ReplayBuffer, past: Sequence[tuple[int, Sequence[int], CategoricalPolicy]], index: int = 0
) -> Lab:
    """Make the buffer lab: at any moment of a run, what a batch holds, and how far its writers are from the current π.

    Arguments as in `BufferModel`.
    """
    model = BufferModel(buffer, past, index)
    slider = steps_slider(model.steps, "environment steps")
    questions = (
        Question(
            "Move to 2,000 steps. How many of the 256 are from the latest 1,000? And at the end?",
            lambda on, result: on["steps"] <= 2_000,
            "The same 1,000 steps are half of the batch at 2,000, and a smaller share in every later batch.",
        ),
        Question(
            "Play the run from there. What happens to the disagreement on the oldest data, and on the newest?",
            lambda on, result: on["steps"] == slider.max,
            "On the oldest data it grows while π learns. On the newest it stays small: π has just written it.",
        ),
    )
    view = plots.BufferView(slider.max, model.n_strata)
    return Lab({"steps": slider}, model, view, _buffer_summary, play="steps", questions=questions)


def _buffer_summary(result: BufferResult) -> str:
    filled = result.disagreement[~result.disagreement.isnan()]
    newest = int((result.written > result.steps - 1000).sum())
    return (
        f"After {result.steps} steps, {newest} of the batch's {len(result.written)} transitions are from the latest "
        f"1000 steps. The policy of now and the writers differ by {filled[0]:.2f} on the oldest data, by "
        f"{filled[-1]:.2f} on the newest."
    )
