"""The lab of the chapter on fixed data: kept runs of AWAC at each temperature, beside both fixes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np

from offac_lite import _check, stats
from offac_lite.course import plots
from offac_lite.course.material import kept_runs
from offac_lite.course.stage.lab import Lab
from offac_lite.course.stage.question import Question

__all__ = ["FixedDataModel", "fixed_data_lab"]

PLAYS = {"most probable": "returns", "drawn": "drawn"}
"""How the agents play when they are evaluated, and where the kept runs have it."""
GOAL = 300.0


@dataclass(frozen=True, eq=False)
class FixedDataResult:
    """What the lab shows for one setting."""

    data: str
    play: str
    temperature: float  # λ; infinite for cloning
    updates: np.ndarray  # (E,)
    returns: np.ndarray  # (S, E)
    both: np.ndarray  # (S, E), of both fixes
    goal: float = GOAL

    @property
    def name(self) -> str:
        """The variant in words."""
        return "cloning" if math.isinf(self.temperature) else f"λ = {self.temperature:g}"

    def late(self, returns: np.ndarray) -> np.ndarray:
        """Average each agent's returns over the second half, (S,)."""
        return returns[:, returns.shape[1] // 2 :].mean(1)

    def above(self, returns: np.ndarray) -> int:
        """Count the agents whose mean return in the second half is at least the goal."""
        return int((self.late(returns) >= self.goal).sum())


class FixedDataModel:
    """The lab's computation: it looks the setting up in the kept runs.

    >>> model = FixedDataModel()
    >>> model.temperatures[-3:]
    (3.0, 10.0, inf)
    >>> result = model("random", "most probable", 1.0)
    >>> result.above(result.returns) > result.above(result.both)
    True
    """

    def __init__(self) -> None:
        self.runs: dict[str, Any] = kept_runs("fixed_data")
        names = [name for name in self.runs["random"] if name.startswith("AWAC")]
        self.temperatures = (*(float(name.rpartition(" ")[2]) for name in names), math.inf)

    def __call__(
        self, data: str = "random", play: str = "most probable", temperature: float = math.inf
    ) -> FixedDataResult:
        """Return the returns of AWAC, and those of both fixes. Raises `ValueError` for what was not recorded."""
        runs = self.runs[_check.one_of("data", data, [name for name in self.runs if name != "data"])]
        key = PLAYS[_check.one_of("play", play, list(PLAYS))]
        _check.one_of("temperature", temperature, self.temperatures)
        run = runs["cloning" if math.isinf(temperature) else f"AWAC, λ = {temperature:g}"]
        returns, both = np.asarray(run[key]), np.asarray(runs["both fixes"][key])
        return FixedDataResult(data, play, temperature, np.asarray(run["updates"]), returns, both)


def _at(data: str, play: str, temperature: float) -> Callable[[dict[str, Any], FixedDataResult], bool]:
    """Return whether the controls have these values."""
    return lambda on, result: (result.data, result.play, result.temperature) == (data, play, temperature)


_QUESTIONS = (
    Question(
        "Data of random play: at which λ are all 16 agents above 300?",
        lambda on, result: result.data == "random" and result.above(result.returns) == 16,
        "At λ = 1. With 0.3 there are 12, with 3 there are 7, and no clone.",
    ),
    Question(
        "Take the smallest λ. Do the agents fall as far as with both fixes?",
        _at("random", "most probable", 0.01),
        "No. 9 of 16 are above 300; of both fixes 3 are.",
    ),
    Question(
        "Take λ = 1, and let the agents draw their actions. Do they still hold the pole?",
        _at("random", "drawn", 1.0),
        "No. They hold it for about 90 steps. π stays close to random play, and only its most probable action is good.",
    ),
    Question(
        "The other data, most probable actions: how many agents are above 300 at the best λ, and at λ = 1?",
        _at("mostly right", "most probable", 0.01),
        "3 of 16 at λ = 0.01, the smallest. None at λ = 1: these agents push right, as the data does.",
    ),
)


def fixed_data_lab() -> Lab:
    """Make the lab of fixed data: how near to its data must the policy stay? Its 16 agents were trained beforehand.

    >>> lab = fixed_data_lab()
    >>> lab.set(temperature=1.0)
    >>> lab.result.name
    'λ = 1'
    """
    model = FixedDataModel()
    names = [("∞" if math.isinf(t) else f"{t:g}", t) for t in model.temperatures]
    controls = dict(
        data=ipywidgets.ToggleButtons(
            options=[("pushes at random", "random"), ("mostly pushes right", "mostly right")],
            value="random",
            description="the policy that wrote the data",
        ),
        play=ipywidgets.ToggleButtons(options=list(PLAYS), value="most probable", description="actions in evaluations"),
        temperature=ipywidgets.SelectionSlider(options=names, value=math.inf, description="λ, from greed to cloning"),
    )
    view = plots.FixedDataView(5_000, GOAL)
    return Lab(controls, model, view, _summary, questions=_QUESTIONS)


def _summary(result: FixedDataResult) -> str:
    middle, both = (float(stats.iqm(result.late(x))) for x in (result.returns, result.both))
    writer = "random play" if result.data == "random" else "a policy that mostly pushes right"
    return (
        f"Data of {writer}, evaluated with {result.play} actions, {result.name}: in the second half "
        f"{result.above(result.returns)} of {len(result.returns)} agents are above {result.goal:g}, and the middle "
        f"half averages {middle:.0f}. Both fixes: {result.above(result.both)} agents, {both:.0f}."
    )
