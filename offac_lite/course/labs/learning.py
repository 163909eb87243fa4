"""The learning labs: agents that learn on the lake while one watches, with the estimator that one has chosen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ipywidgets
import torch

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.labs.buttons import baseline_buttons, baseline_of, have
from offac_lite.course.labs.cloud import Cloud, along_and_across
from offac_lite.course.labs.variance_model import FRAMES
from offac_lite.course.stage.controls import log_slider, selected_controls
from offac_lite.course.stage.lab import Lab
from offac_lite.course.stage.question import Question
from offac_lite.exact import TabularMDP, gradient_moments
from offac_lite.exact._types import F64
from offac_lite.exact.agents import Learning, Loss, gradient_estimates, learn, resampled_loss, stored_loss
from offac_lite.exact.groups import GROUP_WEIGHTS, group_moments

__all__ = ["FixesModel", "GroupModel", "LearningModel", "fixes_lab", "group_lab", "learning_lab", "own_loss_lab"]

N_STEPS = 400
N_ESTIMATES = 300
FIXES = {  # whose Q the critic is, the actor's loss, the words for both
    "none": ("buffer", stored_loss, "naive replay"),
    "fix 1": ("π", stored_loss, "fix 1"),
    "both": ("π", resampled_loss, "both fixes"),
}
FIX_BUTTONS = [("none: naive replay", "none"), ("fix 1: Q-critic", "fix 1"), ("both: and resampled actions", "both")]


@dataclass(frozen=True, eq=False)
class LearningResult:
    """What the learning labs show: estimates at the first step, and the agents so far."""

    setting: tuple  # of the controls: equal settings belong to one run
    words: str  # the setting in words
    learning: Learning
    done: bool
    cloud: Cloud | None = None  # None where the first estimates say nothing of the setting
    reference: Learning | None = None  # the same agents with the package's loss, where the student's is at work
    reference_words: str = ""  # what the reference is
    stored: bool = False  # whether the gradient uses the stored actions
    actions: int = 0  # in each state, where a student's function chooses them

    @property
    def policy(self) -> torch.Tensor:
        """The policy of the agent with the middle J, (S, A)."""
        last = self.learning.returns[:, -1]
        return self.learning.probs[last.argsort()[len(last) // 2]]


class _Lake:
    """The task, and what the models have in common."""

    def __init__(self, n_steps: int = N_STEPS):
        self.n_steps = n_steps
        self.mdp = TabularMDP.from_gymnasium("FrozenLake-v1", gamma=0.99, map_name="4x4")
        self.uniform = torch.zeros(16, 4, **F64)
        self.best = (self.mdp.optimal_values() @ self.mdp.initial).item()
        self.target = self.mdp.policy_gradient(self.uniform)

    def estimates(self, loss: Loss, seed: int, batch_size: int, **options) -> Cloud:
        """Draw estimates of the uniform policy's gradient, with which every agent begins."""
        logits, generator = self.uniform.expand(N_ESTIMATES, 16, 4), torch.Generator().manual_seed(seed)
        gradients = gradient_estimates(self.mdp, logits, loss, batch_size=batch_size, generator=generator, **options)
        points = along_and_across(gradients, self.target)
        ring = gradient_moments(self.mdp, self.uniform, "resampled", baseline="value", batch_size=batch_size).variance
        distance = (points - torch.tensor([1.0, 0.0], **F64)).square().sum(-1).mean().sqrt().item()
        return Cloud(points, distance, ring**0.5 / self.target.norm().item())


class LearningModel(_Lake):
    """The computation of `learning_lab`: 24 agents on FrozenLake, each with its own batch of N states at each step.

    Slippery 4x4 lake, γ = 0.99, 400 steps of size 5 from the uniform policy, exact Q. The data is fresh: states and
    stored actions are those of the agents' own policies now, so that nothing but the estimator's noise is to blame.
    `loss` is a function as in notebook 05, by default the package's `resampled_loss`. `weight` names the weight that
    it gives to ∇log π where that is not its critic's value.

    >>> *_, result = LearningModel(n_steps=50)(action_samples=16)
    >>> result.learning.returns.shape, result.done
    (torch.Size([24, 6]), True)
    """

    def __init__(self, loss: Loss | None = None, n_steps: int = N_STEPS, weight: str | None = None):
        super().__init__(n_steps)
        self.loss, self.weight = loss, weight

    def __call__(
        self, action_samples: int = 1, baseline: str | None = None, batch_size: int = 8, seed: int = 0
    ) -> Iterator[LearningResult]:
        """Let the agents learn, and yield the curves so far, ten times."""
        weight = baseline_of(baseline)
        named = "Q" if weight is None else "Q − V"
        options = dict(action_samples=action_samples, batch_size=batch_size, baseline=weight, seed=seed)
        loss = resampled_loss if self.loss is None else self.loss
        runs = [learn(self.mdp, each, n_steps=self.n_steps, **options) for each in (loss, resampled_loss)]
        cloud = self.estimates(loss, **options)
        for learning in runs[0]:
            yield LearningResult(
                setting=tuple(options.values()),
                words=f"K = {action_samples}, {self.weight or named}, N = {batch_size}",
                learning=learning,
                done=learning.steps[-1].item() == self.n_steps,
                cloud=cloud,
                reference=None if self.loss is None else next(runs[1]),
                reference_words="the package's function" if self.weight is None else f"{named} itself",
            )


class FixesModel(_Lake):
    """The computation of `fixes_lab`: the same agents with none, one or both of the two fixes, on fresh or old data.

    Fresh data comes from each agent's own policy now. Old data comes from one policy that never changes, the uniform
    one. Naive replay's critic is the Q of the policy that wrote the data, to which V with stored actions converges.

    >>> *_, result = FixesModel(n_steps=50)("both", data="old")
    >>> result.stored, result.words
    (False, 'both fixes, old data, Q')
    """

    def __call__(
        self, fixes: str = "none", data: str = "fresh", baseline: str | None = None, seed: int = 0
    ) -> Iterator[LearningResult]:
        """Let the agents learn, and yield the curves so far, ten times."""
        weight, (critic_of, loss, words) = baseline_of(baseline), FIXES[fixes]
        options = dict(
            batch_size=8,
            seed=seed,
            baseline=weight,
            critic_of=critic_of,
            behavior=torch.softmax(self.uniform, -1) if data == "old" else None,
        )
        for learning in learn(self.mdp, loss, n_steps=self.n_steps, **options):
            yield LearningResult(
                setting=(fixes, data, weight, seed),
                words=f"{words}, {data} data, {'Q' if weight is None else 'Q − V'}",
                learning=learning,
                done=learning.steps[-1].item() == self.n_steps,
                stored=loss is stored_loss,
            )


class GroupModel(_Lake):
    """The computation of `group_lab`: the same agents with one of the four `GROUP_WEIGHTS`, K = 4, N = 8, fresh data.

    Every weight is scaled so that for the uniform policy, with which all agents begin, its mean gradient is as long as
    ∇J. `step` multiplies the steps of size 5.

    >>> *_, result = GroupModel(n_steps=50)("GRPO", step=4)
    >>> result.words, round(GroupModel().length("GRPO"))
    ('GRPO, steps × 4', 185)
    """

    def length(self, weight: str) -> float:
        """Return the length of the weight's mean gradient for the uniform policy, divided by that of ∇J."""
        probs = torch.softmax(self.uniform, -1)
        mean, _ = group_moments(probs, self.mdp.action_values(probs), weight, 4)
        return ((self.mdp.occupancy(probs)[:, None] * mean).norm() / self.target.norm()).item()

    def __call__(self, weight: str = "RLOO", step: float = 1, seed: int = 0) -> Iterator[LearningResult]:
        """Let the agents learn, and yield the curves so far, ten times."""
        _check.one_of("weight", weight, list(GROUP_WEIGHTS))

        def loss(policy, critic, *given):
            return resampled_loss(policy, lambda obs, action: GROUP_WEIGHTS[weight](critic(obs, action)), *given)

        step_size = 5 * _check.positive("step", step) / self.length(weight)
        options = dict(batch_size=8, action_samples=4, step_size=step_size, seed=seed)
        for learning in learn(self.mdp, loss, n_steps=self.n_steps, **options):
            yield LearningResult(
                setting=(weight, step, seed),
                words=f"{weight}, steps × {step:g}",
                learning=learning,
                done=learning.steps[-1].item() == self.n_steps,
            )


_LEARNING = (
    Question(
        "With Q itself and N = 8, find a K with which the median agent gets above 0.5.",
        lambda on, result: have(on, baseline="none") and on.get("batch_size", 8) == 8 and result.learning.median > 0.5,
        "K = 64 does it, K = 16 does not.",
    ),
    Question(
        "Now get there with a single action per state.",
        lambda on, result: have(on, baseline="value", action_samples=1) and result.learning.median > 0.5,
        "Q − V does it. The baseline does the work of dozens of actions.",
    ),
)
_STATES = Question(
    "With Q itself and K = 1, take four times the states: N = 32. Compare with K = 4 and N = 8.",
    (
        lambda on, result: have(on, baseline="none", action_samples=1, batch_size=32),
        lambda on, result: have(on, baseline="none", action_samples=4, batch_size=8),
    ),
    "Over several samples they learn about as well: at K = 1 nearly all noise comes from the actions, and both have "
    "32 of them.",
)
_FIXES = (
    Question(
        "On old data with Q as the weight, which agents learn?",
        (
            lambda on, result: have(on, data="old", baseline="none", fixes="fix 1"),
            lambda on, result: have(on, data="old", baseline="none", fixes="both"),
        ),
        "Only those with both fixes, and slowly. The others follow the policy that wrote the data.",
    ),
    Question(
        "On old data with Q − V, which agents end highest?",
        lambda on, result: have(on, data="old", baseline="value", fixes="fix 1"),
        "Those with fix 1 alone. Their update weights each action by β(a|s) = 1/4, where both fixes weight it by "
        "π(a|s). Naive replay stops after a single improvement.",
    ),
)
_GROUP = (
    Question(
        "Steps × 1: choose RLOO, then GRPO. Which agents end higher?",
        lambda on, result: have(on, weight="GRPO", step=1),
        "Those with RLOO. GRPO's first steps are as long, but its later ones are shorter.",
    ),
    Question(
        "Stay with GRPO. Find steps with which its median agent ends above 0.5.",
        lambda on, result: have(on, weight="GRPO") and result.learning.median > 0.5,
        "× 4 is enough. With longer steps GRPO's agents reach the goal as well.",
    ),
    Question(
        "Keep these steps, and choose Q itself.",
        lambda on, result: have(on, weight="Q itself") and on["step"] >= 4,
        "The agents settle on poor policies after some noisy steps, and stay there.",
    ),
)


def learning_lab(
    resampled_loss: Loss | None = None, controls: Sequence[str] = ("action_samples", "baseline", "batch_size")
) -> Lab:
    """Make the learning lab: 24 agents learn on the lake with the chosen K, baseline and N.

    `resampled_loss` is a function as in notebook 05; the agents learn with it, and those of the package are grey.

    >>> lab = learning_lab(controls=["action_samples", "baseline"])
    >>> lab.set(baseline="value")
    >>> lab.result.learning.median > 0.5
    True
    """
    made = dict(
        action_samples=log_slider((1, 2, 4, 8, 16, 32, 64), 1, "K, actions per state"),
        baseline=baseline_buttons(leave_one_out=False),
        batch_size=log_slider((2, 4, 8, 16, 32), 8, "N, states per batch"),
    )
    presets = {
        "K = 1, Q": dict(action_samples=1, baseline="none"),
        "K = 64, Q": dict(action_samples=64, baseline="none"),
        "K = 1, Q − V": dict(action_samples=1, baseline="value"),
    }
    presets = {label: on for label, on in presets.items() if set(on) <= set(controls)}
    model = LearningModel(resampled_loss)
    questions = [_STATES] if "batch_size" in controls else _LEARNING
    view = plots.LearningView(FRAMES["untrained"], N_STEPS, model.best)
    shown = selected_controls(made, controls)
    return Lab(shown, model, view, _summary, sample="seed", presets=presets, questions=questions)


def own_loss_lab(actor_loss: Loss) -> Lab:
    """Make the lab of a student's loss with another weight: its agents, and in grey those with Q itself.

    `actor_loss` has the arguments of notebook 05's losses. K is at least 2.

    >>> lab = own_loss_lab(resampled_loss)
    >>> lab.result.learning.median == lab.result.reference.median
    True
    """
    question = Question(
        "Set K = 4. Do your agents end higher than the grey ones?",
        lambda on, result: have(on, action_samples=4) and result.learning.median > 0.05 + result.reference.median,
        "Yes: as high as with Q − V, and without a V.",
    )
    shown = dict(action_samples=log_slider((2, 4, 8, 16, 32, 64), 2, "K, actions per state"))
    model = LearningModel(actor_loss, weight="own_loss")
    view = plots.LearningView(FRAMES["untrained"], N_STEPS, model.best)
    return Lab(shown, model, view, _summary, sample="seed", questions=[question])


def fixes_lab() -> Lab:
    """Make the lab of the two fixes: the same agents with none, one or both, on fresh or on old data."""
    controls = dict(
        fixes=ipywidgets.ToggleButtons(options=FIX_BUTTONS, value="none", description="fixes"),
        data=ipywidgets.ToggleButtons(options=["fresh", "old"], value="fresh", description="data"),
        baseline=baseline_buttons(leave_one_out=False),
    )
    controls["fixes"].style.button_width = "max-content"
    model = FixesModel()
    view = plots.LearningView(None, N_STEPS, model.best)
    return Lab(controls, model, view, _summary, sample="seed", questions=_FIXES)


def group_lab() -> Lab:
    """Make the lab of the four weights of a group of K = 4 actions: agents that learn with each.

    >>> lab = group_lab()
    >>> lab.set(weight="GRPO")
    >>> lab.result.learning.median < 0.4
    True
    """
    controls = dict(
        weight=ipywidgets.ToggleButtons(options=list(GROUP_WEIGHTS), value="RLOO", description="weight"),
        step=log_slider((1, 2, 4, 8, 16), 1, "steps, longer by a factor of"),
    )
    model = GroupModel()
    view = plots.LearningView(None, N_STEPS, model.best)
    return Lab(controls, model, view, _summary, sample="seed", questions=_GROUP)


def _summary(result: LearningResult) -> str:
    learning, cloud = result.learning, result.cloud
    words = (
        f"{result.words}: after {learning.steps[-1]} steps the median J of {len(learning.returns)} agents is "
        f"{learning.median:.2f}."
    )
    return (
        words if cloud is None else f"{words} {cloud.uphill:.0%} of {len(cloud.points)} first estimates point uphill."
    )
