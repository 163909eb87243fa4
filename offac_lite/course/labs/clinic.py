"""The lab of notebook 08: every patient beside the healthy agents, and which instrument finds whom, and when."""

from collections.abc import Mapping
from dataclasses import dataclass

import ipywidgets
import torch

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.clinic import INSTRUMENTS, Chart
from offac_lite.course.stage.lab import Lab, steps_slider

READ = tuple(name for name in INSTRUMENTS if name != "delivered")  # no instrument of its own: it goes with the value


@dataclass(frozen=True, eq=False)
class ClinicResult:
    """What the lab shows for one setting of its controls."""

    patient: str
    instrument: str
    steps: torch.Tensor  # (E,)
    index: int  # the reading at the cursor
    curves: torch.Tensor  # (S, E), the chosen instrument of the patient
    healthy: torch.Tensor  # (S_healthy, E)
    medians: dict[str, tuple[float, float]]  # instrument → patient, healthy, at the cursor
    outside: dict[str, int]  # instrument → how many of the patient's agents lie outside the healthy ones' range there
    by_chance: float  # how many would, on average, if they were healthy

    @property
    def step(self) -> int:
        """The environment steps at the cursor."""
        return self.steps[self.index].item()


class ClinicModel:
    """The lab's computation: charts that were taken before, read at one time.

    `charts`: name → `Chart` of a patient; `healthy`: the chart beside which they are read, taken at the same steps.
    An agent that is like S_healthy others has the chance 2 / (S_healthy + 1) to lie outside their range.

    >>> from offac_lite.course.clinic import HEALTHY, admit, patient
    >>> healthy, b = (admit(parts, seeds=3, total_steps=1600, evaluations=8) for parts in (HEALTHY, patient("B")))
    >>> result = ClinicModel({"B": b}, healthy)(patient="B", step=1600)
    >>> result.outside["cosine"], result.by_chance
    (3, 1.5)
    """

    def __init__(self, charts: Mapping[str, Chart], healthy: Chart):
        if not charts:
            raise ValueError("charts must hold at least one chart")
        for name, chart in charts.items():
            if not torch.equal(chart.steps, healthy.steps):
                raise ValueError(
                    f"chart {name!r} was read after steps {chart.steps.tolist()}, the healthy one after "
                    f"{healthy.steps.tolist()}: they must be the same"
                )
        self.charts, self.healthy, self.steps = dict(charts), healthy, healthy.steps

    def __call__(self, patient: str, instrument: str = "return", step: int | None = None) -> ClinicResult:
        """Read every instrument after `step` environment steps, or at the reading nearest to it; None is the end."""
        _check.one_of("patient", patient, list(self.charts))
        _check.one_of("instrument", instrument, READ)
        index = len(self.steps) - 1 if step is None else (self.steps - step).abs().argmin().item()
        chart, outside, medians = self.charts[patient], {}, {}
        for name in READ:
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
    """Make the clinic lab: one instrument of one patient over time, and at the cursor, what every instrument says.

    Arguments as in `ClinicModel`.
    """
    model = ClinicModel(charts, healthy)
    n_agents = {len(chart["return"]) for chart in charts.values()}
    if len(n_agents) > 1:
        raise ValueError(f"the charts must be of equally many agents, and they are of {sorted(n_agents)}")
    controls = dict(
        patient=ipywidgets.ToggleButtons(options=list(charts), description="patient"),
        instrument=ipywidgets.ToggleButtons(options=[(_said(name), name) for name in READ], description="instrument"),
        step=steps_slider(model.steps, "environment steps"),
    )
    for row in (controls["patient"], controls["instrument"]):
        row.style.button_width = "max-content"
    return Lab(controls, model, plots.ClinicView(READ, n_agents.pop(), model.steps.tolist()), _in_words)


def _said(instrument: str) -> str:
    return instrument.replace("_", "'s ")


def _in_words(result: ClinicResult) -> str:
    own, healthy = result.medians[result.instrument]
    n = len(result.curves)
    told = ", ".join(f"{_said(name)} {count}" for name, count in result.outside.items())
    return (
        f"Patient {result.patient} after {result.step} steps: {_said(result.instrument)} "
        f"{plots.short(own)}, of the healthy agents {plots.short(healthy)} (medians). Outside the healthy agents' "
        f"range, of {n}: {told}. By chance it would be {plots.short(result.by_chance)}."
    )
