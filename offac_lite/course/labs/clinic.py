"""The clinic lab: each patient's chart beside that of the healthy agents."""

from collections.abc import Mapping
from dataclasses import dataclass

import ipywidgets
import torch

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.clinic import INSTRUMENTS, Chart
from offac_lite.course.stage.controls import steps_slider
from offac_lite.course.stage.lab import Lab
from offac_lite.course.stage.question import Question

__all__ = ["ClinicModel", "clinic_lab"]

SHOWN = tuple(name for name in INSTRUMENTS if name != "delivered")  # which only goes with the value


@dataclass(frozen=True, eq=False)
class ClinicResult:
    """What the lab shows for one setting of its controls."""

    patient: str
    instrument: str
    steps: torch.Tensor  # (E,)
    index: int  # of the evaluation at the cursor
    curves: torch.Tensor  # (S, E), the selected instrument of the patient
    healthy: torch.Tensor  # (S_healthy, E)
    medians: dict[str, tuple[float, float]]  # instrument → patient, healthy, at the cursor
    outside: dict[str, int]  # instrument → how many of the patient's agents lie outside the healthy ones' range there
    by_chance: float  # how many healthy agents would lie outside on average

    @property
    def step(self) -> int:
        """The environment steps at the cursor."""
        return self.steps[self.index].item()


class ClinicModel:
    """The lab's computation, on charts that exist already.

    `charts`: name → `Chart` of a patient; `healthy`: the chart to compare with, taken at the same steps. An agent
    lies outside the range of S_healthy agents of its own kind with probability 2 / (S_healthy + 1).

    >>> from offac_lite.course.clinic import HEALTHY, patient, train_patient
    >>> short = dict(seeds=3, total_steps=1600, evaluations=8)
    >>> healthy, b = (train_patient(parts, **short) for parts in (HEALTHY, patient("B")))
    >>> result = ClinicModel({"B": b}, healthy)(patient="B", step=1600)
    >>> result.outside["cosine"], result.by_chance
    (3, 1.5)
    """

    def __init__(self, charts: Mapping[str, Chart], healthy: Chart):
        for name, chart in charts.items():
            if not torch.equal(chart.steps, healthy.steps):
                raise ValueError(
                    f"chart {name!r} has the steps {chart.steps.tolist()}, the healthy one {healthy.steps.tolist()}: "
                    "they must be the same"
                )
        self.charts, self.healthy, self.steps = dict(charts), healthy, healthy.steps

    def __call__(self, patient: str, instrument: str = "return", step: int | None = None) -> ClinicResult:
        """Compare every instrument at the evaluation nearest to `step` environment steps; None means the last one."""
        _check.one_of("patient", patient, list(self.charts))
        _check.one_of("instrument", instrument, SHOWN)
        index = len(self.steps) - 1 if step is None else (self.steps - step).abs().argmin().item()
        chart, outside, medians = self.charts[patient], {}, {}
        for name in SHOWN:
            own, healthy = chart[name][:, index], self.healthy[name][:, index]
            known = healthy[~healthy.isnan()]
            outside[name] = int(((own < known.min()) | (own > known.max())).sum()) if len(known) else 0
            medians[name] = own.nanmedian().item(), healthy.nanmedian().item()
        return ClinicResult(
            patient=patient,
            instrument=instrument,
            steps=self.steps,
            index=index,
            curves=chart[instrument],
            healthy=self.healthy[instrument],
            medians=medians,
            outside=outside,
            by_chance=2 * len(chart[instrument]) / (len(self.healthy[instrument]) + 1),
        )


def clinic_lab(charts: Mapping[str, Chart], healthy: Chart) -> Lab:
    """Make the clinic lab: one instrument of one patient over time, and what every instrument shows at the cursor.

    Arguments as in `ClinicModel`.
    """
    model = ClinicModel(charts, healthy)
    n_agents = {len(chart["return"]) for chart in charts.values()}
    if len(n_agents) != 1:
        raise ValueError(f"every chart must have the same number of agents, got {sorted(n_agents)}")
    controls = dict(
        patient=ipywidgets.ToggleButtons(options=list(charts), description="patient"),
        instrument=ipywidgets.ToggleButtons(options=[(_label(name), name) for name in SHOWN], description="instrument"),
        step=steps_slider(model.steps, "environment steps"),
    )
    for row in (controls["patient"], controls["instrument"]):
        row.style.button_width = "max-content"
    ranges = plots.clinic_ranges(dict(charts) | {"healthy": healthy}, SHOWN)
    view = plots.ClinicView(ranges, n_agents.pop(), model.steps.tolist())
    about = {frozenset("ABDH"): _questions_of_four, frozenset("CEFG"): _questions_of_more}.get(frozenset(charts))
    questions = about(*model.steps[[0, -1]].tolist()) if about else ()
    return Lab(controls, model, view, _summary, questions=questions)


def _questions_of_four(first: int, last: int) -> list[Question]:
    """Return the questions about the four patients of notebook 07."""
    return [
        Question(
            "At the end, which two patients have the same return?",
            lambda on, result: (on["patient"], on["instrument"], on["step"]) == ("A", "return", last),
            "A and B. The return does not tell them apart.",
        ),
        Question(
            "Find an instrument that tells these two apart at the end.",
            lambda on, result: on["patient"] == "A" and on["step"] == last and on["instrument"] != "return",
            "Every other one does. Value, spread and entropy tell all twenty agents apart.",
        ),
    ]


def _questions_of_more(first: int, last: int) -> list[Question]:
    """Return the questions about the four patients of the chapter on more patients."""
    return [
        Question(
            "At the end of training, go through the patients. Which one does the value not find?",
            lambda on, result: (on["patient"], on["instrument"], on["step"]) == ("F", "value", last),
            "F: its value is no further from the healthy agents' than those are from each other.",
        ),
        Question(
            "Back at the first reading: in which patient has no instrument found all ten agents yet?",
            lambda on, result: (on["patient"], on["step"]) == ("G", first),
            "G. Its targets are wrong, but its values differ only later.",
        ),
    ]


def _label(instrument: str) -> str:
    return instrument.replace("_", "'s ")


def _summary(result: ClinicResult) -> str:
    own, healthy = result.medians[result.instrument]
    n = len(result.curves)
    counts = ", ".join(f"{_label(name)} {count}" for name, count in result.outside.items())
    return (
        f"Patient {result.patient} after {result.step} steps: {_label(result.instrument)} "
        f"{plots.short(own)}, of the healthy agents {plots.short(healthy)} (medians). Outside the healthy agents' "
        f"range, of {n}: {counts}. By chance it would be {plots.short(result.by_chance)}."
    )
