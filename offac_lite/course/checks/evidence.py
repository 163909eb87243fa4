"""The exercise of the chapter on evidence: the right answer, what to observe, and the mistakes people make."""

import torch

from offac_lite import stats
from offac_lite.course.checks.exercise import Exercise
from offac_lite.course.checks.observing import observer

__all__ = ["share_reversed"]


def _share_reversed(better, worse):
    difference = worse - better[:, None]
    return ((difference > 0).double() + 0.5 * (difference == 0)).mean()


def _in_order(better, worse):
    n = min(len(better), len(worse))
    return 0.5 + 0.5 * torch.sign(worse[:n] - better[:n]).mean()


def _doubles(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


_CASES = {
    "(5 agents against 3)": (_doubles(500, 400, 500, 90, 300), _doubles(500, 350, 90)),
    "(3 agents against 3)": (_doubles(5, 2, 7), _doubles(3, 2, 6)),
    "(2 agents against 4)": (_doubles(-150, -80), _doubles(-500, -100, -70, -80)),
    "(all alike)": (_doubles(500, 500), _doubles(500, 500, 500)),
}
_PAIRS = "you divide by the number of agents of one method alone: there are as many pairs as the product of the two"
share_reversed = Exercise(
    "share_reversed",
    doc="Check `my_share_reversed(better, worse)`: how often one agent of the worse method is ahead.",
    right=stats.share_reversed,
    plain=_share_reversed,
    observe=observer(_CASES, "the share"),
    mistakes={
        "+ 0.5 * (difference == 0) →": "a tie counts as if the better method were ahead: it counts half",
        "0.5 * (difference == 0) → (difference == 0)": "a tie counts as if the worse method were ahead: it counts half",
        "difference > 0 → difference < 0": "this is the share in which the *better* method is ahead",
        "return (worse.mean() > better.mean()).double() + 0.5 * (worse.mean() == better.mean())": "you compare the "
        "means of all agents: compare one agent with one agent, for every pair",
        "return (worse.median() > better.median()).double() + 0.5 * (worse.median() == better.median())": "you compare "
        "the medians of all agents: compare one agent with one agent, for every pair",
        ("difference > 0 → difference < 0", "+ 0.5 * (difference == 0) →"): "this is the share in which the *better* "
        "method is ahead, and a tie does not count at all: it counts half",
        ("+ 0.5 * (difference == 0) →", ".mean() → .sum()"): "this counts pairs: wanted is their share, a number "
        "between 0 and 1, in which a tie counts half",
        "+ 0.5 * → - 0.5 *": "a tie is subtracted: it counts half, and is added",
        ".mean() → .sum() / len(better)": _PAIRS,
        ".mean() → .sum() / len(worse)": _PAIRS,
        "difference = worse - better[:, None] → difference = worse - better.mean()": "you compare with the mean of the "
        "better agents: compare one agent with one agent, for every pair",
        "difference = worse - better[:, None] → difference = worse.mean() - better": "you compare with the mean of the "
        "worse agents: compare one agent with one agent, for every pair",
        ".mean() → .sum()": "this counts pairs: wanted is their share, a number between 0 and 1",
        ".mean() → .mean(0)": "there is a number for each agent of the worse method: average over all pairs",
        ".mean() → .mean(1)": "there is a number for each agent of the better method: average over all pairs",
        _in_order: "you compare the first agent with the first, the second with the second: the order of the agents "
        "means nothing, so compare each with each",
        "((difference > 0).double() + 0.5 * (difference == 0)) → difference": "this is the mean difference of the "
        "returns: count who is ahead, whatever the distance",
    },
    praise="right: every agent of one method against every agent of the other, a tie counts half",
)
