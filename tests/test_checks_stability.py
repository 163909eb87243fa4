"""The check of the chapter on stability, by mutation: wrong answers fail with their own words, right ones pass."""

import torch

from offac_lite.course import checks
from tests.exercises import Answers


def with_minimum(pi, beta, lam):
    return lam * torch.minimum(pi / beta, torch.tensor(1.0))


def with_where(pi, beta, lam):
    ratio = pi / beta
    return torch.where(ratio > 1, lam, lam * ratio)


RC = checks.retrace_coefficient
RIGHT = {RC: [with_minimum, with_where]}
WRONG = [
    (RC, lambda pi, beta, lam: lam * pi / beta, "this is importance sampling with λ"),
    (RC, lambda pi, beta, lam: lam * (beta / pi).clamp(max=1), "the ratio is inverted: it is π over β"),
    (RC, lambda pi, beta, lam: (lam * pi / beta).clamp(max=1), "λ stands inside the minimum"),
    (RC, lambda pi, beta, lam: torch.minimum(torch.tensor(lam), pi / beta), "λ is the upper bound here"),
    (RC, lambda pi, beta, lam: (pi / beta).clamp(max=1), "λ is missing"),
    (RC, lambda pi, beta, lam: lam * pi, "this is the coefficient of tree backup"),
    (RC, lambda pi, beta, lam: lam * (pi / beta).clamp(min=1), "bounded from below"),
    (RC, lambda pi, beta, lam: lam * torch.ones(3, 3, dtype=torch.float64), "this is the uncorrected trace"),
    (RC, lambda pi, beta, lam: lam * (pi > beta).double(), "the ratios below 1 are set to 0"),
    (RC, lambda pi, beta, lam: lam * torch.minimum(pi, beta), "λ times the smaller of π and β"),
    (RC, lambda pi, beta, lam: lam * (c := (pi / beta).clamp(max=1)) / c.sum(-1, True), "divided by its own sum"),
    (RC, lambda pi: pi, "it stops with TypeError"),
]


class TestAnswers(Answers):
    NOTEBOOKS = ("further/stability.ipynb",)
    RIGHT, WRONG = RIGHT, WRONG
    REVEALING = ("clamp(", "minimum(", "min(")
