"""The labs of notebook 02: a buffer as it fills, and what the age of the data does to value and gradient, exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets
import torch

from offac_lite import _check
from offac_lite.buffer import ReplayBuffer
from offac_lite.course import plots
from offac_lite.course.labs.variance import AGES
from offac_lite.course.stage.lab import Lab, chosen, steps_slider
from offac_lite.exact.mdp import TabularMDP
from offac_lite.exact.replay_bias import buffer_policy, four_updates

WRITERS = ("all", "one")  # every policy of the last `age` updates; or only the one of that many updates ago


@dataclass(frozen=True)
class Compared:
    """A mean update beside the exact gradient ∇J."""

    cosine: float
    length: float  # in lengths of ∇J, as is the next
    off: float  # ‖g − ∇J‖

    @classmethod
    def of(cls, update: torch.Tensor, exact: torch.Tensor) -> "Compared":
        """Compare (S, A) with (S, A)."""
        unit, length = exact.norm(), update.norm()
        cosine = (update * exact).sum() / (length * unit) if length > 0 else torch.tensor(0.0)
        return cls(cosine.item(), (length / unit).item(), ((update - exact).norm() / unit).item())


@dataclass(frozen=True, eq=False)
class AgeResult:
    """What the age lab shows for one setting of its controls."""

    age: int
    exact: torch.Tensor  # (S,), V^π
    naive: torch.Tensor  # (S,), what the naive critic converges to: V of the buffer's policy
    return_now: float  # J(π)
    return_buffer: float  # J of the buffer's policy
    updates: dict[tuple[str, str], Compared]  # by (critic, actions), as in `replayed.four_updates`

    @property
    def value_error(self) -> float:
        """The largest error of the naive critic in any state."""
        return (self.naive - self.exact).abs().max().item()


class AgeModel:
    """The age lab's computation, exact: values and mean updates of a buffer whose oldest data is `age` updates old.

    FrozenLake, 4x4, slippery, γ = 0.99. π is the last of 20 exact natural-gradient steps. `writers` "all": each policy
    since the one of `age` steps before played equally many episodes; "one": only that one did.

    >>> result = AgeModel()(age=20)
    >>> round(result.return_buffer, 3), round(result.updates["naive", "stored"].cosine, 2)
    (0.138, 0.67)
    """

    def __init__(self):
        self.mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
        self.path = self.mdp.policy_path(AGES, 5.0)

    def behavior(self, age: int, writers: str) -> torch.Tensor:
        """Give the buffer's policy, (S, A)."""
        _check.count("age", age, at_least=0, at_most=AGES)
        _check.one_of("writers", writers, WRITERS)
        probs = torch.softmax(self.path[AGES - age :], -1)
        if writers == "one":
            return probs[0]
        return buffer_policy(probs, self.mdp.occupancy(probs))

    def __call__(self, age: int = 0, writers: str = "all", baseline: str | None = "value") -> AgeResult:
        """Solve for both values and all four updates; `baseline` "none" is None, since buttons cannot hold that."""
        baseline = None if baseline == "none" else baseline
        mdp, logits, behavior = self.mdp, self.path[-1], self.behavior(age, writers)
        pi, gradient = torch.softmax(logits, -1), mdp.policy_gradient(logits)
        updates = four_updates(mdp, logits, behavior, baseline)
        return AgeResult(
            age=age,
            exact=mdp.state_values(pi),
            naive=mdp.state_values(behavior),
            return_now=mdp.expected_return(pi).item(),
            return_buffer=mdp.expected_return(behavior).item(),
            updates={box: Compared.of(update, gradient) for box, update in updates.items()},
        )


def age_lab(controls: Sequence[str] | None = None) -> Lab:
    """Make the age lab: old data's value and gradient beside the exact ones. `controls`: age, writers, baseline.

    >>> lab = age_lab()
    >>> lab.set(age=10)
    >>> round(lab.result.value_error, 3)
    0.153
    """
    every = dict(
        age=ipywidgets.IntSlider(10, 0, AGES, description="age of the oldest data, updates"),
        writers=ipywidgets.ToggleButtons(
            options=[("every policy since then", "all"), ("only the oldest policy", "one")],
            value="all",
            description="the buffer holds",
        ),
        baseline=ipywidgets.ToggleButtons(
            options=[("r + γV(s′) − V(s)", "value"), ("r + γV(s′)", "none")], value="value", description="weight"
        ),
    )
    return Lab(chosen(every, controls), AgeModel(), plots.AgeView(), _age_in_words)


def _age_in_words(result: AgeResult) -> str:
    boxes = {
        "naive replay": ("naive", "stored"),
        "wrong value only": ("naive", "π"),
        "wrong action only": ("right", "stored"),
        "neither": ("right", "π"),
    }
    told = [
        f"{name} cosine {result.updates[box].cosine:.2f}, off by {result.updates[box].off:.2f}"
        for name, box in boxes.items()
    ]
    return (
        f"Oldest data {result.age} updates old: the naive V is wrong by up to {result.value_error:.3f}. "
        f"Distances in lengths of ∇J: {'; '.join(told)}."
    )


@dataclass(frozen=True, eq=False)
class BufferResult:
    """What the buffer lab shows of one moment of a run. n strata: the run in equal parts, by when they were written."""

    steps: int  # environment steps so far
    written: torch.Tensor  # (B,), environment steps at which each transition of the batch was written
    states: torch.Tensor  # (B, 2), position and angle of its states
    now: torch.Tensor  # (B, 2), the same of the newest transitions: where π goes now
    counts: torch.Tensor  # (n,), transitions of the batch from each stratum
    disagreement: torch.Tensor  # (n,), mean |π(a|s) − β(a|s)| over each stratum of the buffer; NaN where it is empty


class BufferModel:
    """The buffer lab's computation: one seed's buffer, cut off where it ended at the moment asked for.

    `buffer` holds the whole run of a CartPole agent with log β(a|s), and `past` is [(steps, transitions stored by each
    seed, policy)], moments of it in order. A batch is drawn with the same uniform numbers at every moment.
    """

    def __init__(self, buffer: ReplayBuffer, past: Sequence, index: int = 0, batch_size: int = 256, n_strata: int = 12):
        self.data = buffer.all(index)
        self.steps = [steps for steps, _, _ in past]
        self.stored = [lengths[index] for _, lengths, _ in past]
        self.policies = [policy.of_seed(index) for _, _, policy in past]
        if self.stored[-1] > len(self.data.reward):
            raise ValueError(f"buffer holds {len(self.data.reward)} transitions, past speaks of {self.stored[-1]}")
        self.uniforms = torch.rand(batch_size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.n_strata = n_strata
        marks = torch.tensor([0, *self.stored], dtype=torch.float64)
        rows = torch.arange(len(self.data.reward), dtype=torch.float64)
        after = torch.searchsorted(marks, rows, right=True).clamp_max(len(self.steps))
        times = torch.tensor([0, *self.steps], dtype=torch.float64)
        share = (rows - marks[after - 1]) / (marks[after] - marks[after - 1])
        self.written = times[after - 1] + share * (times[after] - times[after - 1])  # steps, between two moments linear

    @torch.no_grad()
    def __call__(self, steps: int) -> BufferResult:
        """Look at the last moment at or before `steps`. Raises `ValueError` where there is none."""
        moment = sum(at <= steps for at in self.steps) - 1
        if moment < 0:
            raise ValueError(f"steps must be at least {self.steps[0]}, got {steps}")
        stored = self.stored[moment]
        obs, action = self.data.obs[:stored], self.data.action[:stored]
        pi = self.policies[moment](obs).log_prob(action).exp()
        differ = (pi - self.data.log_prob[:stored].exp()).abs().double()
        width = self.steps[-1] / self.n_strata
        stratum = (self.written / width).long().clamp_max(self.n_strata - 1)
        total = torch.zeros(self.n_strata, dtype=torch.float64).index_add_(0, stratum[:stored], differ)
        batch = (self.uniforms * stored).long()
        look = torch.tensor([0, 2])
        return BufferResult(
            steps=self.steps[moment],
            written=self.written[batch],
            states=obs[batch][:, look],
            now=obs[-len(batch) :][:, look],
            counts=torch.bincount(stratum[batch], minlength=self.n_strata),
            disagreement=total / torch.bincount(stratum[:stored], minlength=self.n_strata),
        )


def buffer_lab(buffer: ReplayBuffer, past: Sequence, index: int = 0) -> Lab:
    """Make the buffer lab, which scrubs through a run: what is in a batch, and how far its writers are from π now.

    Arguments as in `BufferModel`.
    """
    model = BufferModel(buffer, past, index)
    slider = steps_slider(model.steps, "environment steps")
    return Lab({"steps": slider}, model, plots.BufferView(slider.max, model.n_strata), _buffer_in_words)


def _buffer_in_words(result: BufferResult) -> str:
    filled = result.disagreement[~result.disagreement.isnan()]
    newest = int((result.written > result.steps - 1000).sum())
    return (
        f"After {result.steps} steps, {newest} of the batch's {len(result.written)} transitions are from the latest "
        f"1000 steps. The policy of now and the writers differ by {filled[0]:.2f} on the oldest data, by "
        f"{filled[-1]:.2f} on the newest."
    )
