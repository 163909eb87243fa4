"""The exercises of notebook 03: right answers, what to look at, and the mistakes people make."""

import math
from collections.abc import Callable

import torch

from offac_lite import equations
from offac_lite.course.checks.exercise import Exercise, call, gradient
from offac_lite.exact import trajectories

__all__ = ["causal_weights", "clipped_ratio", "effective_sample_size"]


def _observe_effective_sample_size(function: Callable) -> dict[str, torch.Tensor]:
    log_weight = torch.tensor([[0.5, -1.0, 2.0, 0.1, -0.7], [-2.0, 1.5, 1.2, -torch.inf, 0.3]], dtype=torch.float64)
    return {
        "the size (one set of weights)": call(function, log_weight[0]).detach(),
        "the size (two sets, one of them with a weight of 0)": call(function, log_weight).detach(),
    }


def _total(w: torch.Tensor) -> torch.Tensor:
    return w.exp().sum(-1)


effective_sample_size = Exercise(
    "effective_sample_size",
    doc="Check notebook 03's `my_effective_sample_size(log_weight)`, (Σw)² / Σw² along the last axis.",
    right=trajectories.effective_sample_size,
    observe=_observe_effective_sample_size,
    mistakes=[
        (
            lambda w: (2 * w).exp().sum(-1) / _total(w).square(),
            "upside down: this is small where the sample is large",
        ),
        (
            lambda w: _total(w).square() / _total(w),
            "the weights below the line are not squared: what is left is only their sum",
        ),
        (
            lambda w: _total(w) / (2 * w).exp().sum(-1),
            "the sum above the line is not squared: this changes when all weights are doubled, and it must not",
        ),
        (
            lambda w: (2 * w).exp().sum(-1) / (2 * w).exp().sum(-1),
            "above the line stands the square of the sum, not the sum of the squares: yours are the same and cancel",
        ),
        (
            lambda w: w.exp().mean(-1).square() / (2 * w).exp().mean(-1),
            "with means in both places this is the share of the sample that is left; the size is n times as much",
        ),
        (
            lambda w: _total(w).square() / (2 * w).exp().mean(-1),
            "a mean below the line and a sum above it: n is counted once too often",
        ),
        (
            lambda w: w.exp().mean(-1).square() / (2 * w).exp().sum(-1),
            "a mean above the line and a sum below it: you divide by n twice",
        ),
        (
            lambda w: w.sum(-1).square() / w.square().sum(-1),
            "these are the logarithms of the weights: they have to be exponentiated first",
        ),
        (
            lambda w: 1 / (2 * w).exp().sum(-1),
            "one over the sum of squares is right for weights that sum to 1, and these do not",
        ),
        (
            lambda w: 1 / (w.exp() / w.exp().sum(-1, keepdim=True)).amax(-1),
            "this looks at the largest weight alone; all of them count, squared",
        ),
        (
            lambda w: w.exp().sum().square() / (2 * w).exp().sum(),
            "you put all sets of weights together: each has a size of its own, along the last axis",
        ),
        (
            lambda w: w.shape[-1] / (2 * w).exp().mean(-1),
            "that holds only if the mean weight is 1; yours need not be",
        ),
    ],
    praise="right, and a weight of 0 counts for nothing (and what does yours give where every log w is near −1,000, as "
    "after a few hundred steps?)",
)


def _log_probs(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """log π and log β of made-up actions, of which log π could carry gradient."""
    generator = torch.Generator().manual_seed(1)
    pi, beta = (0.1 + 0.85 * torch.rand(shape, generator=generator) for _ in range(2))
    return pi.log().requires_grad_(), beta.log()


def _observe_causal_weights(function: Callable) -> dict[str, torch.Tensor]:
    seen = {}
    for name, shape in (("three trajectories of four steps", (3, 4)), ("with an axis of seeds", (2, 3, 4))):
        log_prob, behavior_log_prob = _log_probs(shape)
        weight = call(function, log_prob, behavior_log_prob)
        seen[f"the weights ({name})"] = weight.detach()
        seen[f"the gradient that flows through the weights ({name})"] = gradient(weight, log_prob)
    return seen


causal_weights = Exercise(
    "causal_weights",
    doc="Check notebook 03's `my_causal_weights(log_prob, behavior_log_prob)`, both (..., T).",
    right=trajectories.causal_weights,
    observe=_observe_causal_weights,
    mistakes=[
        (
            lambda p, b: (p - b).detach().sum(-1, keepdim=True).exp().expand(p.shape),
            "this is the whole trajectory's product, for every reward: the actions taken after a reward cannot have "
            "changed it, so their ratios can go",
        ),
        (
            lambda p, b: (p - b).detach().sum(-1).exp(),
            "one weight for each trajectory, the whole product: every reward has a weight of its own",
        ),
        (
            lambda p, b: ((p - b).cumsum(-1) - (p - b)).detach().exp(),
            "the step's own ratio is missing: the action taken at step k has a part in the reward r_k",
        ),
        (
            lambda p, b: trajectories.to_go((p - b).detach()).exp(),
            "your product runs from the reward to the end; what brought the reward about came before it",
        ),
        (
            lambda p, b: (b - p).detach().cumsum(-1).exp(),
            "the ratio is upside down: it is π over β, so that actions which π likes better count more",
        ),
        (
            lambda p, b: (p - b).detach().exp().cumsum(-1),
            "you add the ratios up; they have to be multiplied, which is a sum of their logarithms",
        ),
        (
            lambda p, b: (p - b).detach().exp(),
            "this is each step's own ratio; the weight of a reward is the product of the ratios so far",
        ),
        (lambda p, b: (p - b).detach().cumsum(-1), "these are the logarithms of the weights"),
        (
            lambda p, b: (p - b).detach().cumsum(-2).exp(),
            "your product runs across the trajectories; time is the last axis",
        ),
        (
            lambda p, b: (p - b).detach().cumsum(1).exp(),
            "your product runs along the second axis; with an axis of seeds in front, that is not time",
        ),
        (
            lambda p, b: (p - b).detach().cumsum(0).exp(),
            "your product runs along the first axis; time is the last one",
        ),
        (lambda p, b: p.detach().cumsum(-1).exp(), "β is missing: this is how likely the actions are under π"),
        (
            lambda p, b: (p - b).cumsum(-1).exp(),
            "the numbers are right, but a gradient flows through the weights: the policy would learn to weigh its data",
        ),
    ],
    praise="right: each reward is weighted by what led to it, and the weights are constants",
)


def _observe_clipped_ratio(function: Callable) -> dict[str, torch.Tensor]:
    seen = {}
    log_prob = torch.tensor([0.9, 0.6, 0.9, 0.08, 0.5]).log()
    behavior_log_prob = torch.tensor([0.05, 0.4, 0.3, 0.4, 0.5]).log()  # ratios 18, 1.5, 3, 0.2, 1
    for clip in (2.0, 0.5):
        attached = log_prob.clone().requires_grad_()
        ratio = call(function, attached, behavior_log_prob, clip)
        seen[f"the ratio (c = {clip:g})"] = ratio.detach()
        seen[f"the gradient that flows through the ratio (c = {clip:g})"] = gradient(ratio, attached)
    return seen


def _planted_clipped_ratio(log_prob, behavior_log_prob, clip):
    log_ratio = (log_prob - behavior_log_prob).detach()
    return log_ratio.clamp(max=clip).exp()


def _ratio(p, b):
    return (p - b).detach().exp()


clipped_ratio = Exercise(
    "clipped_ratio",
    doc="Check notebook 03's repaired `my_clipped_ratio(log_prob, behavior_log_prob, clip)`, min(c, π/β).",
    right=equations.importance_ratio,
    observe=_observe_clipped_ratio,
    mistakes=[
        (
            _planted_clipped_ratio,
            "the logarithm is clipped at c, so the ratio itself may still be as large as e to the power of c",
        ),
        (
            lambda p, b, c: _ratio(p, b).clamp(min=c),
            "you clip from below: the large weights, which make the noise, stay as they are",
        ),
        (
            lambda p, b, c: (p - b).exp().clamp(max=c),
            "the numbers are right, but a gradient flows through the ratio: the weight has to be a constant",
        ),
        (
            lambda p, b, c: _ratio(b, p).clamp(max=c),
            "the ratio is upside down: it is π over β",
        ),
        (
            lambda p, b, c: torch.maximum(torch.minimum(_ratio(p, b), torch.tensor(c)), torch.tensor(1 / c)),
            "you clip on both sides; a small weight makes no noise, and raising it only adds bias",
        ),
        (
            lambda p, b, c: _ratio(p, b).clamp(1 / c, c),
            "small weights are raised too: only the large ones are cut",
        ),
        (
            lambda p, b, c: (p - b).detach().clamp(-c, c).exp(),
            "it is the logarithm that you clip, and small weights are raised too: only the large ones are cut, at c",
        ),
        (
            lambda p, b, c: (p - b).detach().clamp(max=math.exp(c)).exp(),
            "the bound went the wrong way: the logarithm of c is needed, not its exponential",
        ),
        (
            lambda p, b, c: _ratio(p, b).clamp(1 - c, 1 + c),
            "an interval around 1 is another method's; here c itself is the largest weight allowed",
        ),
        (
            lambda p, b, c: torch.where(_ratio(p, b) > c, 0.0, _ratio(p, b)),
            "large weights become 0: that throws away the very actions which π likes best; they are lowered to c",
        ),
        (
            lambda p, b, c: torch.where(_ratio(p, b) > c, 1.0, _ratio(p, b)),
            "large weights become 1 where they should become c",
        ),
        (lambda p, b, c: _ratio(p, b), "nothing is clipped"),
        (lambda p, b, c: _ratio(p, b).clamp(max=c).log(), "this is the logarithm of the clipped ratio"),
        (
            lambda p, b, c: (p - b).detach().clamp(max=c),
            "this is the logarithm of the ratio, clipped at c; wanted is the ratio itself, clipped",
        ),
    ],
    praise="right: no weight above c, and the others as they were",
    planted=_planted_clipped_ratio,
)
