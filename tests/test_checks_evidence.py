"""The check of the chapter on evidence, by mutation: wrong answers fail with their own words, right ones pass."""

import torch
from scipy import stats

from offac_lite.course import checks
from tests.exercises import Answers


def by_loops(better, worse):
    ahead = 0.0
    for one in better.tolist():
        for other in worse.tolist():
            ahead += 1.0 if other > one else 0.5 if other == one else 0.0
    return ahead / (len(better) * len(worse))


def by_ranks(better, worse):
    return float(stats.mannwhitneyu(worse, better).statistic) / (len(better) * len(worse))


def by_signs(better, worse):
    return 0.5 + 0.5 * torch.sign(worse[:, None] - better).mean()


def pairs(better, worse):
    return worse - better[:, None]


RIGHT = {checks.share_reversed: [by_loops, by_ranks, by_signs]}
E = checks.share_reversed
WRONG = [
    (E, lambda b, w: (pairs(b, w) > 0).float().mean(), "a tie counts as if the better method were ahead"),
    (E, lambda b, w: (pairs(b, w) >= 0).float().mean(), "a tie counts as if the worse method were ahead"),
    (E, lambda b, w: 1 - by_signs(b, w), "the \\*better\\* method is ahead"),
    (E, lambda b, w: 0.5 + 0.5 * torch.sign(w.mean() - b.mean()), "the means of all agents"),
    (E, lambda b, w: 0.5 + 0.5 * torch.sign(w.median() - b.median()), "the medians of all agents"),
    (E, lambda b, w: by_signs(b, w) * len(b) * len(w), "this counts pairs"),
    (E, lambda b, w: 0.5 + 0.5 * torch.sign(pairs(b, w)).mean(0), "each agent of the worse method"),
    (E, lambda b, w: 0.5 + 0.5 * torch.sign(pairs(b, w)).mean(1), "each agent of the better method"),
    (
        E,
        lambda b, w: 0.5 + 0.5 * torch.sign(w[: min(len(b), len(w))] - b[: min(len(b), len(w))]).mean(),
        "the order of the agents means nothing",
    ),
    (E, lambda b, w: w.mean() - b.mean(), "the mean difference of the returns"),
    (E, lambda b, w: torch.tensor(0.5), "^every number is 0.5, in all cases"),
    (E, lambda b, w: (pairs(b, w) > 0).double().mean() - (pairs(b, w) == 0).double().mean() / 2, "a tie is subtracted"),
    (E, lambda b, w: (pairs(b, w) < 0).double().mean(), "ahead, and a tie does not count at all"),
    (E, lambda b, w: (pairs(b, w) > 0).sum(), "this counts pairs: .* in which a tie counts half"),
    (E, lambda b, w: by_signs(b, w) * len(w), "you divide by the number of agents of one method alone"),
    (E, lambda b, w: by_signs(b, w) * len(b), "you divide by the number of agents of one method alone"),
    (E, lambda b, w: 0.5 + 0.5 * torch.sign(w - b.mean()).mean(), "you compare with the mean of the better agents"),
    (E, lambda b, w: 0.5 + 0.5 * torch.sign(w.mean() - b).mean(), "you compare with the mean of the worse agents"),
]


class TestAnswers(Answers):
    NOTEBOOKS = ("further/evidence.ipynb",)
    RIGHT, WRONG = RIGHT, WRONG
    REVEALING = (".mean(", ".double()", "torch.", "[:, None]")
