"""The exercise of the chapter on stability: the right answer, what to observe, and the mistakes people make."""

import torch

from offac_lite.course.checks.exercise import Exercise
from offac_lite.course.checks.observing import observer
from offac_lite.exact import traces

__all__ = ["retrace_coefficient"]


def _retrace_coefficient(pi, beta, lam):
    return lam * (pi / beta).clamp(max=1)


_PI = torch.tensor([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9], [0.3, 0.3, 0.4]], dtype=torch.float64)
_BETA = torch.tensor([[0.25, 0.25, 0.5], [0.6, 0.2, 0.2], [0.5, 0.2, 0.3]], dtype=torch.float64)
retrace_coefficient = Exercise(
    "retrace_coefficient",
    doc="Check the chapter on stability's `my_retrace_coefficient(pi, beta, lam)`, λ min(1, π/β), both (S, A).",
    right=traces.retrace_coefficient,
    plain=_retrace_coefficient,
    observe=observer({"(λ = 0.9)": (_PI, _BETA, 0.9), "(λ = 1)": (_PI, _BETA, 1.0)}, "the coefficient"),
    mistakes={
        ".clamp(max=1) →": "the ratio is not bounded: this is importance sampling with λ, whose products explode",
        "pi / beta → beta / pi": "the ratio is inverted: it is π over β",
        "lam * (pi / beta).clamp(max=1) → (lam * pi / beta).clamp(max=1)": "λ stands inside the minimum: outside, it "
        "also lowers the coefficients that the minimum sets to 1",
        "lam * (pi / beta).clamp(max=1) → (pi / beta).clamp(max=lam)": "λ is the upper bound here: the bound is 1, "
        "and λ multiplies the result",
        "lam * →": "λ is missing",
        "lam * (pi / beta).clamp(max=1) → lam * torch.minimum(pi, beta)": "this is λ times the smaller of π and β: the "
        "ratio π/β is limited to 1, so β has to divide",
        "lam * (pi / beta).clamp(max=1) → lam * pi": "this is the coefficient of tree backup, λ π: Retrace divides by "
        "β, so that a trace is cut less where β and π agree",
        "max=1 → min=1": "the ratio is bounded from below: the small ratios are the ones that have to stay",
        "lam * (pi / beta).clamp(max=1) → lam * torch.ones_like(pi)": "π and β are missing: this is the uncorrected "
        "trace",
        "lam * (pi / beta).clamp(max=1) → lam * torch.where(pi > beta, 1.0, 0.0)": "the ratios below 1 are set to 0: "
        "they stay as they are",
    },
    praise="right: the trace is never longer than λ, and it is cut where π would not have acted as β did",
    spoken={"pi": "π", "beta": "β", "lam": "λ"},
)
