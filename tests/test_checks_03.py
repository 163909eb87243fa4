"""The checks of notebook 03, by mutation: every wrong answer fails with its own words, right ones pass.

The wrong answers here are written as students write them, apart from the ones the checks compare with.
"""

import torch

from offac_lite.course import checks
from tests.exercises import Answers

# ------------------------------------------------------------------ right answers, each in more than one way


def ess_as_written(log_weight):
    w = torch.exp(log_weight)
    return w.sum(-1) ** 2 / (w**2).sum(-1)


def ess_of_normalised_weights(log_weight):
    p = torch.softmax(log_weight, dim=-1)
    return 1 / (p * p).sum(dim=-1)


def ess_less_the_largest(log_weight):
    w = (log_weight - log_weight.max(-1, keepdim=True).values).exp()
    return w.sum(-1).square() / w.square().sum(-1)


def ess_in_logarithms(log_weight):
    return (2 * torch.logsumexp(log_weight, -1) - torch.logsumexp(2 * log_weight, -1)).exp()


def causal_by_product(log_prob, behavior_log_prob):
    with torch.no_grad():
        return (log_prob.exp() / behavior_log_prob.exp()).cumprod(-1)


def causal_in_a_loop(log_prob, behavior_log_prob):
    weight, weights = 1.0, []
    for t in range(log_prob.shape[-1]):
        weight = weight * torch.exp(log_prob[..., t] - behavior_log_prob[..., t]).detach()
        weights.append(weight)
    return torch.stack(weights, -1)


def clipped_by_minimum(log_prob, behavior_log_prob, clip):
    ratio = torch.exp(log_prob.detach() - behavior_log_prob)
    return torch.minimum(ratio, torch.full_like(ratio, clip))


def clipped_in_logarithms(log_prob, behavior_log_prob, clip):
    most = torch.tensor(clip).log()
    return torch.minimum(log_prob.detach() - behavior_log_prob, most).exp()


def one_ratio_by_indices(ratio, q, probs, action):
    i, t = torch.arange(len(action))[:, None], torch.arange(action.shape[1])
    return ratio * (q[i, t, action] - (probs * q).sum(-1))


def one_ratio_by_einsum(ratio, q, probs, action):
    advantage = q - torch.einsum("...a,...a->...", probs, q)[..., None]
    return ratio * torch.take_along_dim(advantage, action[..., None], -1).squeeze(-1)


RIGHT = {
    checks.one_ratio: [one_ratio_by_indices, one_ratio_by_einsum],
    checks.effective_sample_size: [
        ess_as_written,
        ess_of_normalised_weights,
        ess_less_the_largest,
        ess_in_logarithms,
    ],
    checks.causal_weights: [causal_by_product, causal_in_a_loop],
    checks.clipped_ratio: [
        clipped_by_minimum,
        clipped_in_logarithms,
        lambda lp, blp, c: (lp - blp).detach().exp().clamp_max(c),
    ],
}


# --------------------------------------------------------------------- wrong answers, and what must be said


def ratios_in_place(log_prob, behavior_log_prob):
    behavior_log_prob *= -1
    return (log_prob.detach() + behavior_log_prob).cumsum(-1).exp()


def normalised_but_not_squared(log_weight):
    p = torch.softmax(log_weight, -1)
    return 1 / p.sum(-1)


def shifted_but_not_squared(log_weight):
    w = (log_weight - log_weight.amax(-1, keepdim=True)).exp()
    return w.sum(-1) / w.square().sum(-1)


def whole_product(log_prob, behavior_log_prob):
    ratio = torch.exp(log_prob - behavior_log_prob).detach()
    return ratio.prod(-1, keepdim=True) * torch.ones_like(ratio)


def later_product(log_prob, behavior_log_prob):
    ratio = (log_prob - behavior_log_prob).detach()
    return torch.exp(ratio.sum(-1, keepdim=True) - ratio.cumsum(-1) + ratio)


def without_own(log_prob, behavior_log_prob):
    products = (log_prob - behavior_log_prob).detach().exp().cumprod(-1)
    return torch.cat([torch.ones_like(products[..., :1]), products[..., :-1]], -1)


def ppo_clip(log_prob, behavior_log_prob, clip):
    return torch.clip(torch.exp(log_prob - behavior_log_prob).detach(), 1 - clip, 1 + clip)


def both_sides(log_prob, behavior_log_prob, clip):
    ratio = torch.exp(log_prob - behavior_log_prob).detach()
    return ratio.clamp(max=clip).clamp(min=1 / clip)


def coefficient(variant):
    def my_one_ratio(ratio, q, probs, action):
        v, taken = (probs * q).sum(-1), q.gather(-1, action[..., None])[..., 0]
        return {
            "no baseline": lambda: ratio * taken,
            "no ratio": lambda: taken - v,
            "whole": lambda: ratio.prod(-1, keepdim=True) * (taken - v),
            "so far": lambda: ratio.cumprod(-1) * (taken - v),
            "V divided": lambda: taken - v / ratio,
            "Q alone": lambda: ratio * taken - v,
            "mean": lambda: ratio * (taken - (probs * q).mean(-1)),
            "uniform": lambda: ratio * (taken - q.sum(-1) / q.shape[-1]),
            "best V": lambda: ratio * (taken - q.max(-1).values),
            "V": lambda: ratio * v,
            "sign": lambda: ratio * (v - taken),
            "inverted": lambda: (taken - v) / ratio,
            "best Q": lambda: ratio * (q.max(-1).values - v),
            "all actions": lambda: ratio.unsqueeze(-1) * (q - v.unsqueeze(-1)),
            "sum": lambda: (ratio * (taken - v)).sum(1),
            "π twice": lambda: ratio * torch.take_along_dim(probs, action[..., None], -1)[..., 0] * (taken - v),
            "π weights Q": lambda: ratio * (torch.take_along_dim(probs * q, action[..., None], -1)[..., 0] - v),
            "near 1": lambda: ratio.clamp(0.8, 1.2) * (taken - v),
            "an axis too many": lambda: ratio * (q.gather(-1, action[..., None]) - v),
        }[variant]()

    return my_one_ratio


ESS, CAUSAL, CLIPPED = checks.effective_sample_size, checks.causal_weights, checks.clipped_ratio
ONE = checks.one_ratio
WRONG = [
    (ONE, coefficient("no baseline"), r"V\(s\) is not subtracted: the mean of the estimate stays"),
    (ONE, coefficient("no ratio"), "ρ is missing"),
    (ONE, coefficient("whole"), "the whole product"),
    (ONE, coefficient("so far"), "the product up to this step"),
    (ONE, coefficient("V divided"), r"ρ divides V\(s\)"),
    (ONE, coefficient("Q alone"), "ρ weights Q alone"),
    (ONE, coefficient("mean"), "you average over the actions: π already is the weight, so sum"),
    (ONE, coefficient("uniform"), "every action the same weight"),
    (ONE, coefficient("best V"), "your V is the largest Q"),
    (ONE, coefficient("V"), "this is V alone"),
    (ONE, coefficient("sign"), "the sign is flipped"),
    (ONE, coefficient("inverted"), "the ratio is inverted"),
    (ONE, coefficient("best Q"), "you take the largest Q"),
    (ONE, coefficient("all actions"), "a number for every action"),
    (ONE, coefficient("π twice"), "ρ = π/β already contains it"),
    (ONE, coefficient("π weights Q"), "Q of the stored action is weighted by π"),
    (ONE, coefficient("near 1"), "ρ is clipped to 0.8 … 1.2"),
    (ONE, coefficient("sum"), "you add up the steps"),
    (ONE, coefficient("an axis too many"), "axes do not match"),
    (ESS, lambda lw: (lw.exp() ** 2).sum(-1) / lw.exp().sum(-1) ** 2, "your fraction is inverted"),
    (ESS, lambda lw: lw.exp().sum(-1) ** 2 / lw.exp().sum(-1), "not squared: what is left is only their sum"),
    (ESS, lambda lw: lw.exp().sum(-1), "not squared: what is left is only their sum"),
    (ESS, lambda lw: lw.exp().sum(-1) / (lw.exp() ** 2).sum(-1), "the sum in the numerator is not squared"),
    (ESS, shifted_but_not_squared, "the size is a square divided by a sum of squares"),
    (ESS, lambda lw: (lw.exp() ** 2).sum(-1) / (lw.exp() ** 2).sum(-1), "the square of the sum"),
    (ESS, normalised_but_not_squared, "the square of the sum"),
    (ESS, lambda lw: lw.exp().mean(-1) ** 2 / (lw.exp() ** 2).mean(-1), "the size as a share of n"),
    (ESS, lambda lw: lw.exp().sum(-1) ** 2 / (lw.exp() ** 2).mean(-1), "n times too large"),
    (ESS, lambda lw: lw.exp().mean(-1) ** 2 / (lw.exp() ** 2).sum(-1), "you divide by n twice"),
    (ESS, lambda lw: lw.sum(-1) ** 2 / (lw**2).sum(-1), "the logarithms of the weights"),
    (ESS, lambda lw: 1 / lw.exp().square().sum(-1), "weights that sum to 1"),
    (ESS, lambda lw: 1 / torch.softmax(lw, -1).max(-1).values, "only the largest weight"),
    (ESS, lambda lw: lw.exp().sum() ** 2 / (lw.exp() ** 2).sum(), "over all sets of weights together"),
    (ESS, lambda lw: lw.shape[-1] / (lw.exp() ** 2).mean(-1), "only if the mean weight is 1"),
    (ESS, lambda lw: torch.softmax(lw, 0).square().sum(0).pow(-1), r"has shape \(5,\).* is done along the first axis"),
    (ESS, lambda lw: torch.special.entr(lw.softmax(-1)).sum(-1).exp(), "the exponential of the entropy"),
    (ESS, lambda lw: lw.shape[-1], "not what it should be|has shape"),
    (ESS, lambda lw: (lw.exp() > 0).double().sum(-1), "only the sign of the exponential of log w counts"),
    (
        ESS,
        lambda lw: lw.exp().sum(-1, keepdim=True) ** 2 / (lw.exp() ** 2).sum(-1, True),
        "an axis of 1 too many at the end",
    ),
    (CAUSAL, whole_product, "the whole trajectory's product, for every reward"),
    (CAUSAL, lambda lp, blp: (lp - blp).detach().exp().prod(-1), "one weight for each trajectory"),
    (CAUSAL, without_own, "the step's own ratio is missing"),
    (CAUSAL, later_product, "from the reward to the end"),
    (CAUSAL, lambda lp, blp: (blp.exp() / lp.detach().exp()).cumprod(-1), "the ratio is inverted"),
    (CAUSAL, lambda lp, blp: (lp.detach().exp() / blp.exp()).cumsum(-1), "you add the ratios:"),
    (CAUSAL, lambda lp, blp: lp.detach().exp() / blp.exp(), "the ratio of each step alone"),
    (CAUSAL, lambda lp, blp: (lp.detach() - blp).cumsum(-1), "the exponential of .* is missing"),
    (CAUSAL, lambda lp, blp: (lp.detach() - blp).exp().cumprod(-2), "across the trajectories"),
    (CAUSAL, lambda lp, blp: (lp.detach() - blp).exp().cumprod(1), "along the second axis"),
    (CAUSAL, lambda lp, blp: (lp.detach() - blp).exp().cumprod(0), "along the first axis"),
    (CAUSAL, lambda lp, blp: lp.detach().exp().cumprod(-1), "β is missing"),
    (CAUSAL, lambda lp, blp: (lp - blp).exp().cumprod(-1), "a gradient flows through the weights"),
    (CAUSAL, lambda lp, blp: (lp - blp).exp(), "ratio of each step alone.*and besides, a gradient flows"),
    (CAUSAL, lambda lp, blp: (blp - lp).cumsum(-1).exp(), "the ratio is inverted.*and besides, a gradient flows"),
    (CAUSAL, ratios_in_place, "changes one of its arguments in place"),
    (CAUSAL, lambda lp, blp: (lp / blp).detach().cumprod(-1), "compare your line with"),
    (CLIPPED, lambda lp, blp, c: torch.exp(torch.clamp(lp - blp, max=c)).detach(), "the logarithm is clipped at c"),
    (CLIPPED, lambda lp, blp, c: torch.exp(torch.clamp(lp - blp, max=c)), "logarithm is clipped.*and besides"),
    (CLIPPED, lambda lp, blp, c: torch.exp(lp - blp).clamp(c).detach(), "you clip from below"),
    (CLIPPED, lambda lp, blp, c: torch.exp(lp - blp).clamp(max=c), "a gradient flows through the ratio"),
    (CLIPPED, lambda lp, blp, c: torch.exp(blp - lp).clamp(max=c).detach(), "the ratio is inverted"),
    (CLIPPED, both_sides, "you clip on both sides"),
    (CLIPPED, lambda lp, blp, c: torch.exp(lp - blp).detach().clip(1 / c, c), "^small weights are raised too"),
    (CLIPPED, lambda lp, blp, c: torch.clip(lp - blp, -c, c).exp().detach(), "^you clip the logarithm, and small"),
    (CLIPPED, lambda lp, blp, c: (lp - blp).detach().clamp(max=torch.e**c).exp(), "logarithm is the exponential"),
    (CLIPPED, lambda lp, blp, c: (lp - blp).detach().clamp(max=1 / c).exp(), "largest weight is 1.65 where c = 2"),
    (CLIPPED, lambda lp, blp, c: (lp - blp).detach().clamp(max=c / 2).exp(), "and 1.28 where c = 0.5: it has to be c"),
    (CLIPPED, lambda lp, blp, c: (lp - blp).detach().clamp(max=c**2).exp(), "is 18 where c = 2.*the logarithm of c"),
    (CLIPPED, lambda lp, blp, c: (lp - blp).clamp(max=1 / c).exp(), "it has to be c;.*and besides, a gradient"),
    (CLIPPED, ppo_clip, "an interval around 1"),
    (CLIPPED, lambda lp, blp, c: (r := (lp - blp).exp().detach()) * (r <= c), "large weights become 0 where"),
    (CLIPPED, lambda lp, blp, c: (r := (lp - blp).exp().detach()).where(r <= c, 1.0), "large weights become 1"),
    (
        CLIPPED,
        lambda lp, blp, c: (r := (lp - blp).exp().detach().clamp(max=c)) / r.mean(),
        "by its mean over everything",
    ),
    (CLIPPED, lambda lp, blp, c: torch.exp(lp - blp).detach(), "the limit is missing"),
    (CLIPPED, lambda lp, blp, c: torch.exp(lp - blp).clamp(max=c).log().detach(), "the logarithm of the result"),
    (CLIPPED, lambda lp, blp, c: torch.clamp(lp - blp, max=c).detach(), "the logarithm of the ratio, clipped at c"),
]


CHAPTER = "further/variance_and_learning.ipynb"


class TestAnswers(Answers):
    NOTEBOOKS = ("03_importance_weights.ipynb", CHAPTER)
    RIGHT, WRONG = RIGHT, WRONG
    REVEALING = ("detach()", "cumsum", "clamp", ".sum(", "softmax", "no_grad", "exp()")
