"""The lab of notebook 00: agents that learn from old data, with the action that the student's function chooses."""

import traceback
from collections.abc import Callable, Iterator

import torch

from offac_lite.course import plots
from offac_lite.course.labs.learning import N_STEPS, FixesModel, LearningResult
from offac_lite.course.stage.controls import log_slider
from offac_lite.course.stage.lab import Lab
from offac_lite.course.stage.question import Question
from offac_lite.equations import policy_gradient_loss
from offac_lite.exact.agents import learn, resampled_loss
from offac_lite.networks import Categorical

__all__ = ["OldDataModel", "old_data_lab"]

Choose = Callable[[Categorical, torch.Tensor, int, torch.Generator], torch.Tensor]
"""`choose(pi, stored_action, K, generator)`: the action of the actor's loss; pi is π(·|s) at each replayed state."""


class OldDataModel(FixesModel):
    """The computation of `old_data_lab`: 24 agents on FrozenLake learn from what the uniform policy has written.

    The critic is the exact Q of each agent's own policy (fix 1), and the weight is Q itself. `choose` returns the
    actions of the actor's loss. The reference are the same agents with actions drawn from their own policies.

    >>> *_, result = OldDataModel(lambda pi, stored_action, K, generator: stored_action, n_steps=50)(16)
    >>> result.stored, result.learning.median < result.reference.median
    (True, True)
    """

    def __init__(self, choose: Choose, n_steps: int = N_STEPS, first_seed: int = 0):
        super().__init__(n_steps)
        self.choose, self.first_seed = choose, first_seed

    def __call__(self, action_samples: int = 16, seed: int = 0) -> Iterator[LearningResult]:
        """Let the agents learn, and yield the curves so far, ten times."""
        stored = []  # whether each batch was used with the stored actions
        counts = []  # and how many actions there were in each state

        def loss(policy, critic, obs, stored_action, K, generator):
            pi = policy(obs)
            action = self.choose(pi, stored_action, K, generator)
            _check_actions(action, stored_action, pi.log_probs.shape[-1])
            action = action.unsqueeze(-2) if action.ndim == stored_action.ndim else action
            counts.append(action.shape[-2])
            stored.append(bool((action == stored_action.unsqueeze(-2)).all()))
            return policy_gradient_loss(pi.log_prob(action), critic(obs, action))

        options = dict(action_samples=action_samples, batch_size=8, seed=self.first_seed + seed, n_steps=self.n_steps)
        options["behavior"] = torch.softmax(self.uniform, -1)
        runs = zip(*(learn(self.mdp, each, **options) for each in (loss, resampled_loss)), strict=True)
        for learning, reference in runs:
            yield LearningResult(
                setting=(action_samples, seed),
                words=f"K = {action_samples}, {_actions(all(stored), counts[-1], action_samples)}",
                learning=learning,
                done=learning.steps[-1].item() == self.n_steps,
                reference=reference,
                reference_words="the package's function",
                stored=all(stored),
                actions=counts[-1],
            )


def _actions(stored: bool, count: int, wanted: int) -> str:
    """Say which actions were used, and how many in each state where these are not as many as are wanted."""
    if stored:
        return "stored actions"
    return "your actions" if count == wanted else f"your actions, {count} per state and not K"


def _check_actions(action: torch.Tensor, stored_action: torch.Tensor, n_actions: int) -> None:
    if not isinstance(action, torch.Tensor):
        raise TypeError(f"your function must return a tensor of actions, got {type(action).__name__}")
    if action.shape != stored_action.shape and action.shape[:-2] + action.shape[-1:] != stored_action.shape:
        raise ValueError(
            f"your actions have shape {tuple(action.shape)}; wanted is one action for each stored one, "
            f"{tuple(stored_action.shape)}, or K of them on an axis before the last"
        )
    if action.dtype != torch.int64 or not ((0 <= action) & (action < n_actions)).all():
        raise ValueError(
            f"your actions must be integers (torch.int64) from 0 to {n_actions - 1}, got {action.dtype}, "
            f"{action.min():g} to {action.max():g}"
        )


_STORED = Question(
    "With the stored action, drag K. Does it help?",
    lambda on, result: result.stored and on["action_samples"] != 16,
    "No: there is only one stored action in each state, however large K is.",
)
_DRAWN = Question(
    "With your own line, set K = 1. Do the agents still learn?",
    lambda on, result: not result.stored and on["action_samples"] == 1 and result.learning.median > 0.05,
    "Yes, but they end at less than half the J that K = 16 reaches: one action in each state is noisy.",
)


def old_data_lab(choose: Choose, seed: int = 0) -> Lab:
    """Make the lab of the one line: 24 agents learn from old data, with the actions that `choose` returns.

    `seed` is that of the first sample; each other sample has the next one. `choose` is first tried once, and a line
    says whether it is right. If it fails there, the lab goes on with the stored action.

    >>> def my_action(pi, stored_action, K, generator):
    ...     return pi.sample(K, generator=generator)
    >>> lab = old_data_lab(my_action)
    ✓ my_action: right. Your agents are exactly the grey ones, so they hide them.
    >>> lab.result.learning.median == lab.result.reference.median > 0.3
    True
    """
    try:
        *_, tried = OldDataModel(choose, n_steps=1)()
    except Exception as error:
        print(f"✗ {_failed(choose, error)}\n  The lab goes on with the stored action.")
        return old_data_lab(_stored_action, seed)
    model = OldDataModel(choose, first_seed=seed)
    controls = dict(action_samples=log_slider((1, 2, 4, 8, 16, 32, 64), 16, "K, actions per state"))
    view = plots.LearningView(None, N_STEPS, model.best)
    print(_judged(getattr(choose, "__name__", "your function"), tried), end="")
    question = _STORED if tried.stored else _DRAWN
    return Lab(controls, model, view, _summary, sample="seed", questions=[question])


def _judged(name: str, tried: LearningResult) -> str:
    """Say of a student's function, tried once, whether it is right; nothing of the stored action."""
    if tried.stored:
        return ""
    if torch.equal(tried.learning.probs, tried.reference.probs):
        return f"✓ {name}: right. Your agents are exactly the grey ones, so they hide them.\n"
    if tried.setting[0] != tried.actions:
        return f"✗ {name}: {tried.actions} per state and not K. Ask `pi.sample` for K of them.\n"
    return f"… {name}: these are not the actions that `pi.sample` draws. Compare your agents with the grey ones.\n"


def _stored_action(pi, stored_action, K, generator):
    return stored_action


def _failed(choose: Choose, error: Exception) -> str:
    """Say what is wrong with a student's function, and in which line if an exception went through it."""
    code, name = getattr(choose, "__code__", None), getattr(choose, "__name__", "your function")
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code is code]
    if not lines:
        return f"{name}: {error}"
    text = str(error).split("\n")[0]
    return f"{name} stops with {type(error).__name__}{text and f': {text}'} (line {lines[0]})"


def _summary(result: LearningResult) -> str:
    learning, reference = result.learning, result.reference
    return (
        f"{result.words}: after {learning.steps[-1]} steps on old data the median J of {len(learning.returns)} agents "
        f"is {learning.median:.2f}; with actions drawn from their own policies it is {reference.median:.2f}."
    )
