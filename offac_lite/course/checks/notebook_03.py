"""The exercises of notebook 03: right answers, what to observe, and the mistakes people make."""

import torch

from offac_lite import equations
from offac_lite.course.checks.exercise import LEAK, Exercise
from offac_lite.course.checks.observing import observer
from offac_lite.exact import trajectories

__all__ = ["causal_weights", "clipped_ratio", "effective_sample_size", "one_ratio"]


def _effective_sample_size(log_weight):
    w = log_weight.exp()
    return w.sum(-1).square() / w.square().sum(-1)


_LOG_WEIGHT = torch.tensor([[0.5, -1.0, 2.0, 0.1, -0.7], [-2.0, 1.5, 1.2, -torch.inf, 0.3]], dtype=torch.float64)
effective_sample_size = Exercise(
    "effective_sample_size",
    doc="Check notebook 03's `my_effective_sample_size(log_weight)`, (Σw)² / Σw² along the last axis.",
    right=trajectories.effective_sample_size,
    plain=_effective_sample_size,
    observe=observer(
        {"(one set of weights)": (_LOG_WEIGHT[0],), "(two sets, one of them with a weight of 0)": (_LOG_WEIGHT,)},
        "the size",
    ),
    mistakes={
        "return w.square().sum(-1) / w.sum(-1).square()": "your fraction is inverted: it is small where the effective "
        "sample is large",
        "w.square().sum → w.sum": "the weights in the denominator are not squared: what is left is only their sum",
        "w.sum(-1).square() → w.sum(-1)": "the sum in the numerator is not squared: your result changes when all "
        "weights are doubled, and the size does not",
        "return (w / w.amax(-1, True)).sum(-1) / (w / w.amax(-1, True)).square().sum(-1)": "the sum in the numerator "
        "is not squared: the size is a square divided by a sum of squares",
        "w.sum(-1).square() → w.square().sum(-1)": "the numerator is the square of the sum, not the sum of the "
        "squares: your numerator and denominator cancel",
        "return w.mean(-1).square() / w.square().mean(-1)": "with a mean in both places this is the size as a share of "
        "n: the size itself is n times as large",
        "w.square().sum → w.square().mean": "the mean of the squares stands where their sum belongs: your result is n "
        "times too large",
        "w.sum(-1).square → w.mean(-1).square": "a mean in the numerator and a sum in the denominator: you divide by n "
        "twice",
        "log_weight.exp() → log_weight": "these are the logarithms of the weights: exponentiate them first",
        "w.sum(-1).square() → 1": "one over the sum of squares is the size for weights that sum to 1: these weights do "
        "not",
        "return w.sum(-1) / w.amax(-1)": "this uses only the largest weight: the squares of all weights count",
        "return torch.special.entr(w / w.sum(-1, True)).sum(-1).exp()": "this is the exponential of the entropy of the "
        "weights: another effective number, and not the one of the squares",
        "return w.sum().square() / w.square().sum()": "you sum over all sets of weights together: each set, along the "
        "last axis, has its own size",
        "return w.shape[-1] / w.square().mean(-1)": "this is the size only if the mean weight is 1: here it need not "
        "be",
    },
    praise="right, also with a weight of 0. Where every log w is near −1,000, as after a few hundred steps, all "
    "exponentials are 0 and the size is 0/0. A softmax avoids that: it subtracts the largest log w first",
)


def _causal_weights(log_prob, behavior_log_prob):
    log_ratio = (log_prob - behavior_log_prob).detach()
    return log_ratio.cumsum(-1).exp()


def _log_probs(*shape: int) -> list[torch.Tensor]:
    """log π and log β of made-up actions."""
    generator = torch.Generator().manual_seed(1)
    return [(0.1 + 0.85 * torch.rand(shape, generator=generator)).log() for _ in range(2)]


causal_weights = Exercise(
    "causal_weights",
    doc="Check *Variance and learning*'s `my_causal_weights(log_prob, behavior_log_prob)`, both (..., T).",
    right=trajectories.causal_weights,
    plain=_causal_weights,
    observe=observer(
        {"(three trajectories of four steps)": _log_probs(3, 4), "(with an axis of seeds)": _log_probs(2, 3, 4)},
        "the weights",
        {0: "the gradient that flows through the weights"},
    ),
    mistakes={
        ".cumsum(-1) → .sum(-1, keepdim=True).expand_as(log_ratio)": "this is the whole trajectory's product, for "
        "every reward: the actions taken after a reward cannot have changed it, so leave out their ratios",
        ".cumsum(-1) → .sum(-1)": "one weight for each trajectory, the whole product: every reward has its own weight",
        "return (log_ratio.cumsum(-1) - log_ratio).exp()": "the step's own ratio is missing: the action taken at step "
        "k affects the reward r_k",
        ".cumsum(-1) → .flip(-1).cumsum(-1).flip(-1)": "your product runs from the reward to the end: it has to run "
        "from the start to the reward",
        "log_prob - behavior_log_prob → behavior_log_prob - log_prob": "the ratio is inverted: it is π over β, so that "
        "actions which π prefers count more",
        "return log_ratio.exp().cumsum(-1)": "you add the ratios: they have to be multiplied",
        ".cumsum(-1) →": "this is the ratio of each step alone: the weight of a reward is the product of the ratios so "
        "far",
        ".cumsum(-1) → .cumsum(-2)": "your product runs across the trajectories: time is the last axis",
        ".cumsum(-1) → .cumsum(1)": "your product runs along the second axis: with an axis of seeds in front, the "
        "second axis is not time",
        ".cumsum(-1) → .cumsum(0)": "your product runs along the first axis: time is the last axis",
        "- behavior_log_prob →": "β is missing: this is how likely the actions are under π",
        ".detach() →": "the numbers are correct, but a gradient flows through the weights: they have to be constants",
    },
    praise="right: each reward is weighted by what led to it, and the weights are constants",
)


def _clipped_ratio(log_prob, behavior_log_prob, clip):
    ratio = (log_prob - behavior_log_prob).detach().exp()
    return ratio.clamp(max=clip)


def _planted_clipped_ratio(log_prob, behavior_log_prob, clip):
    log_ratio = (log_prob - behavior_log_prob).detach()
    return log_ratio.clamp(max=clip).exp()


_PROBS = torch.tensor([[0.9, 0.6, 0.9, 0.08, 0.5], [0.05, 0.4, 0.3, 0.4, 0.5]])  # π and β: ratios 18, 1.5, 3, 0.2, 1


def _another_bound(seen, right):
    """Say which bound is in place of c, where there is one: often a wrong one on the logarithm."""
    ratio, largest = _PROBS[0] / _PROBS[1], []
    for weights in (seen.get(f"the ratio (c = {c})") for c in ("2", "0.5")):
        if weights is None or weights.shape != ratio.shape:
            return None
        if not torch.allclose(weights.double(), ratio.clamp(max=weights.max().item()).double(), rtol=1e-4):
            return None
        largest.append(weights.max().item())
    if abs(largest[0] - largest[1]) < 1e-3:
        return None  # no bound, or one that does not depend on c
    words = (
        f"your largest weight is {largest[0]:.3g} where c = 2, and {largest[1]:.3g} where c = 0.5: it has to be c; and "
        "if you limit the logarithm, its limit is the logarithm of c"
    )
    leaks = any(values.any() for what, values in seen.items() if "gradient" in what)
    return words + LEAK * leaks


clipped_ratio = Exercise(
    "clipped_ratio",
    doc="Check *Variance and learning*'s repaired `my_clipped_ratio(log_prob, behavior_log_prob, clip)`, min(c, π/β).",
    right=equations.importance_ratio,
    plain=_clipped_ratio,
    observe=observer(
        {"(c = 2)": (*_PROBS.log(), 2.0), "(c = 0.5)": (*_PROBS.log(), 0.5)},
        "the ratio",
        {0: "the gradient that flows through the ratio"},
    ),
    mistakes={
        _planted_clipped_ratio: "the logarithm is clipped at c, so the ratio itself can still be as large as e to the "
        "power of c",
        "max=clip → min=clip": "you clip from below: the large weights, which make the noise, stay as they are",
        ".detach() →": "the numbers are correct, but a gradient flows through the ratio: the weight has to be a "
        "constant",
        "log_prob - behavior_log_prob → behavior_log_prob - log_prob": "the ratio is inverted: it is π over β",
        "return ratio.clamp(max=clip).clamp(min=1 / clip)": "you clip on both sides: a small weight adds no noise, and "
        "raising it only adds bias",
        "max=clip → 1 / clip, clip": "small weights are raised too: clip only the large ones",
        "return ratio.log().clamp(-clip, clip).exp()": "you clip the logarithm, and small weights are raised too: clip "
        "only the weights above c",
        "return ratio.log().clamp(max=torch.e**clip).exp()": "your bound on the logarithm is the exponential of c: the "
        "logarithm of c is needed",
        "max=clip → 1 - clip, 1 + clip": "you clip to an interval around 1, as PPO does: here c itself is the largest "
        "weight",
        "return torch.where(ratio > clip, 0.0, ratio)": "large weights become 0 where they should become c: this drops "
        "the actions that π prefers most, compared with β",
        "return torch.where(ratio > clip, 1.0, ratio)": "large weights become 1 where they should become c",
        "return ratio.log().clamp(max=clip)": "this is the logarithm of the ratio, clipped at c: the ratio itself, "
        "clipped, is wanted",
    },
    praise="right: no weight is above c, and the others are unchanged",
    planted=_planted_clipped_ratio,
    explain=_another_bound,
)


def _one_ratio(ratio, q, probs, action):
    value = (probs * q).sum(-1)
    taken = q.gather(-1, action[..., None])[..., 0]
    return ratio * (taken - value)


def _steps(n: int, horizon: int, n_actions: int) -> tuple[torch.Tensor, ...]:
    """Made-up ratios, values, probabilities and actions of n trajectories."""
    generator = torch.Generator().manual_seed(n)
    random = dict(generator=generator, dtype=torch.float64)
    probs = torch.rand(n, horizon, n_actions, **random).softmax(-1)
    action = torch.randint(n_actions, (n, horizon), generator=generator)
    return 0.3 + 2 * torch.rand(n, horizon, **random), torch.randn(n, horizon, n_actions, **random), probs, action


one_ratio = Exercise(
    "one_ratio",
    doc="Check notebook 03's `my_one_ratio(ratio, q, probs, action)`: c_t = ρ_t (Q(s_t, a_t) − V(s_t)) of every step.",
    right=_one_ratio,
    observe=observer(
        {"(three trajectories of four steps)": _steps(3, 4, 3), "(two actions)": _steps(5, 2, 2)}, "the coefficient"
    ),
    spoken={"ratio": "ρ", "taken": "Q", "probs": "π"},
    mistakes={
        "(taken - value) → taken": "V(s) is not subtracted: the mean of the estimate stays the same, and its variance "
        "grows",
        "ratio * →": "ρ is missing: the stored actions came from β",
        "ratio * → ratio.prod(-1, keepdim=True) *": "your weight is the whole product: only the ratio of the step "
        "itself is wanted",
        "ratio * → ratio.cumprod(-1) *": "your weight is the product up to this step: only the ratio of the step "
        "itself is wanted",
        "taken = q.gather → taken = (probs * q).gather": "Q of the stored action is weighted by π: only in V(s), the "
        "mean over all actions, π is the weight",
        "ratio * → ratio * probs.gather(-1, action[..., None])[..., 0] *": "π(a|s) is in it twice: ρ = π/β already "
        "contains it",
        "return taken - value / ratio": "ρ divides V(s): it weights the whole difference",
        "return ratio * taken - value": "ρ weights Q alone: it weights the whole difference",
        "(probs * q).sum(-1) → (probs * q).mean(-1)": "you average over the actions: π already is the weight, so sum",
        "(probs * q).sum(-1) → q.mean(-1)": "your V gives every action the same weight: V is the mean of Q under π",
        "(probs * q).sum(-1) → q.amax(-1)": "your V is the largest Q: V is the mean of Q under π",
        "return ratio * value": "Q of the stored action is missing: this is V alone",
        "(taken - value) → (value - taken)": "the sign is flipped: an action better than V(s) has a positive weight",
        "ratio * → 1 / ratio *": "the ratio is inverted: ρ is π over β, and it multiplies",
        "taken = q.gather(-1, action[..., None])[..., 0] → taken = q.amax(-1)": "you take the largest Q: the Q of the "
        "stored action is wanted",
        "return ratio[..., None] * (q - value[..., None])": "there is a number for every action: only the stored one "
        "counts",
        "return (ratio * (taken - value)).sum(-1)": "you add up the steps: each step has its own coefficient, for its "
        "own gradient",
    },
    praise="right: one ratio for the action, and the baseline V(s)",
)
