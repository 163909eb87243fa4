"""What the dashboard shows: a training so far, a cart at play, and the questions that the training answers."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from offac_lite.course.labs.history import History
from offac_lite.course.stage.question import Question
from offac_lite.envs import VectorEnv
from offac_lite.play import act


@dataclass(frozen=True, eq=False)
class Scene:
    """What the dashboard shows."""

    history: History
    band: History | None  # of the package's agents
    started: bool
    done: bool  # trained to the end
    cart: tuple[float, float]  # position in metres, angle in radians
    cart_step: int
    cart_ended: bool
    hint: tuple[str, ...]  # what is broken, and what to look at

    def against_band(self, name: str) -> float:
        """Return the median agent's value at the last look, divided by that of the band at the same step."""
        if self.band is None or not self.history.steps:
            return float("nan")
        return self.history.last(name) / self.band.at(self.history.steps[-1], name)

    @property
    def broken(self) -> str:
        """What was broken at all looks, one of `BREAKS`; "" where that changed."""
        found = set(self.history.broken)
        return found.pop() if len(found) == 1 else ""


QUESTIONS = (
    Question(
        "With nothing broken: does V promise more than is delivered at the end, or less?",
        lambda on, scene: scene.broken == "nothing" and scene.done and _promise(scene) < 0.9,
        "Less. V is read on replayed states, which are worse than today's, and Q lags behind a policy that improves.",
    ),
    Question(
        "Drop the terminal flag. What does V promise, and what do the agents do?",
        lambda on, scene: on["broken"] == "flag" and _promise(scene) > 5 and _held(scene) < 15,
        "V rises far above what is delivered, and they let the pole fall: nothing tells Q that rewards end there.",
    ),
    Question(
        "Reverse the sign of the actor's loss. Is the critic wrong about these agents?",
        lambda on, scene: on["broken"] == "sign" and _held(scene) < 12 and 0.7 < _promise(scene) < 1.5,
        "No. It is right about agents that choose the worse action.",
    ),
    Question(
        "Put the stored a′ into the target, from the start. What becomes of V, and of the return?",
        lambda on, scene: scene.broken == "stored" and scene.against_band("value") < 0.75,
        "V stays below the band: it is the value of older policies. The agents still learn, for this data is young.",
    ),
    Question(
        "While it learns with nothing broken, move K from 4 to 16. Which of the two variances falls?",
        lambda on, scene: (
            scene.broken == "nothing" and {4, 16} <= {settings["action_samples"] for settings in scene.history.settings}
        ),
        "Only the one across actions, to a quarter.",
    ),
)


def _promise(scene: Scene) -> float:
    return scene.history.last("value") / scene.history.last("delivered")


def _held(scene: Scene) -> float:
    return scene.history.last("exploring_return")


class Cart:
    """A cart of its own, on which a policy plays. It changes nothing in a training."""

    def __init__(self, seed: int):
        self._env, self._generator = VectorEnv("CartPole-v1", 1, n_seeds=1, seed=seed), torch.Generator()
        self.step, self.ended, self.place = 0, True, (0.0, 0.0)

    def play(self, policy: Callable, steps: int = 5) -> None:
        """Take up to so many steps, drawn from the policy as while it learns; stop where an episode ends."""
        if self.ended:
            self._env.reset()
            self.step, self.ended = 0, False
        for _ in range(steps):
            step = self._env.step(act(policy, self._env, self._generator)[0])
            self.step, self.ended = self.step + 1, bool(step.terminated | step.truncated)
            if self.ended:
                break
        position, _, angle, _ = self._env.obs.flatten().tolist()
        self.place = position, angle


def in_words(history: History) -> str:
    """Say how a training stands, in a line."""
    names = ("exploring_return", "value", "delivered", "entropy", "states", "actions")
    held, value, delivered, entropy, states, actions = (history.last(name) for name in names)
    return (
        f"After {history.steps[-1]} steps the median of {history.seeds} agents holds the pole for {held:.0f} steps; "
        f"V {value:.2f} promised, {delivered:.2f} delivered; entropy {entropy:.2f}; gradient variance {states:.1e} "
        f"across states, {actions:.1e} across actions."
    )
