"""The exercises of notebook 04: right answers, what to observe, and the mistakes people make."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from offac_lite import equations
from offac_lite.course.checks import resampling
from offac_lite.course.checks.exercise import Exercise
from offac_lite.course.checks.observing import Observations, Observer, call, numbers, observer, same
from offac_lite.networks import Categorical

__all__ = ["expected_target", "expected_value", "mean_change", "next_action", "q_target"]


def _q_target(reward, terminated, next_q, gamma):
    if next_q.ndim > reward.ndim:
        next_q = next_q.mean(-2)
    return reward + gamma * torch.where(terminated, 0.0, next_q.detach())


_REWARD, _TERMINATED = torch.tensor([1.0, -2.0, 0.5, 3.0]), torch.tensor([False, True, False, True])
_NEXT_Q = torch.tensor([[10.0, 20.0, -4.0, 7.0], [4.0, -9.0, 6.0, 1.0], [-2.0, 3.0, 1.0, 30.0]])
_TWO_SEEDS = torch.stack([_REWARD, _REWARD + 1]), torch.stack([_TERMINATED, ~_TERMINATED])
_OVER_SEEDS = (
    "your mean runs over the seeds, for (S, B) has two axes as well: there is an axis of M only where next_q has one "
    "axis more than reward"
)
q_target = Exercise(
    "q_target",
    doc="Check notebook 04's `my_q_target(reward, terminated, next_q, gamma)`, y = r + γ (1 − d) · mean of Q(s′, a′).",
    right=equations.q_target,
    plain=_q_target,
    observe=observer(
        {
            "(M = 3)": (_REWARD, _TERMINATED, _NEXT_Q, 0.9),
            "(one a′)": (_REWARD, _TERMINATED, _NEXT_Q[0], 0.9),
            "(two seeds, one a′)": (*_TWO_SEEDS, _NEXT_Q[:2], 0.9),
            "(two seeds, M = 2)": (*_TWO_SEEDS, torch.stack([_NEXT_Q[:2], 2 * _NEXT_Q[1:]]), 0.9),
            "(a batch of one, M = 3)": (_REWARD[:1], _TERMINATED[:1], _NEXT_Q[:, :1], 0.5),
        },
        "the target",
        {2: "the gradient that reaches Q(s′, a′)"},
    ),
    mistakes={
        "torch.where(terminated, 0.0, next_q.detach()) → next_q.detach()": "you bootstrap past a terminal state: where "
        "an episode has terminated there is no next action to rate",
        ".detach() →": "the numbers are correct, but a gradient flows from the target into Q(s′, a′): the target must "
        "be a constant",
        "torch.where(terminated, 0.0, next_q.detach()) → next_q": "you bootstrap past a terminal state, and a gradient "
        "flows from the target into Q(s′, a′)",
        "gamma * →": "the discount γ is missing: Q(s′, a′) is one step away",
        "reward + → gamma * reward +": "the reward is discounted too: it comes now, only Q(s′, a′) is later",
        "reward + gamma * → gamma * reward +": "the discount is on the reward, where Q(s′, a′) should have it: the "
        "reward comes now",
        "terminated, 0.0 → ~terminated, 0.0": "the mask is inverted: you bootstrap exactly where the "
        "episode has terminated",
        "return torch.where(terminated, 0.0, reward + gamma * next_q.detach())": "the mask takes the reward away as "
        "well: the last reward of an episode is real",
        "reward + → reward -": "a sign is wrong: the next Q is added",
        ".mean(-2) → .amax(-2)": "you take the largest of the M values: that is Q-learning's target, and the Q of "
        "another policy; a sampled a′ stands for an average over π",
        ".mean(-2) → .amin(-2)": "you take the smallest of the M values: they are M draws for one average, not rival "
        "critics",
        ".mean(-2) → .sum(-2)": "you add up the M values where their mean is wanted: y would grow with M",
        ".mean(-2) → [..., 0, :]": "of the M next actions you use the first alone: the others are there to be averaged "
        "with it",
        ".mean(-2) → .mean((-2, -1)).unsqueeze(-1).expand_as(reward)": "you average over the batch of next states too: "
        "every transition has a target of its own",
        "next_q.ndim > reward.ndim → next_q.ndim > 1": _OVER_SEEDS,
        "next_q.ndim > reward.ndim → next_q.ndim == 2": _OVER_SEEDS,
        ".mean(-2) →": "with M next actions their mean is wanted: one y for each transition",
        ".mean(-2) → .mean(-1)": "with M next actions your mean runs over the last axis, the batch; the axis of M "
        "comes before it",
        ".mean(-2) → [..., -1, :]": "of the M next actions you use the last alone: the others are there to be averaged "
        "with it",
        ".mean(-2) → .mean(0)": "your mean runs over the first axis: with seeds in front that is not the axis of M",
        "return (reward + gamma * torch.where(terminated, 0.0, next_q.detach())).mean()": "you average over the batch: "
        "every transition has a target of its own",
    },
    praise="right: mask, discount, stop-gradient, and a mean over M where there is an M",
)


def _next_action(policy, old_policy, obs, next_obs, stored_next_action, generator):
    return policy(next_obs).sample(generator=generator)


def _planted_next_action(policy, old_policy, obs, next_obs, stored_next_action, generator):
    return policy(obs).sample(generator=generator)


_NOW = torch.tensor([[0.7, 0.3, 0.0, 0.0], [0.0, 0.7, 0.3, 0.0], [0.3, 0.1, 0.0, 0.6], [0.05, 0.25, 0.7, 0.0]])
_THEN = torch.tensor([[0.1, 0.1, 0.4, 0.4], [0.4, 0.1, 0.1, 0.4], [0.1, 0.4, 0.4, 0.1], [0.4, 0.1, 0.1, 0.4]])
_AT, _NEXT, _DONE = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 3]), torch.tensor([2, 0, 1])
_TIMES = 2_000  # each of three transitions stands so often in the batch that its frequencies are known to about 0.02


def _one_next_action(function: Callable, lead: tuple[int, ...]) -> Observations:
    """Observe how often each action is drawn at each of three transitions. (Any way of drawing them will do.)"""
    obs, next_obs, stored = (x.repeat(*lead, _TIMES) for x in (_AT, _NEXT, _DONE))
    policies = [lambda s, table=table: Categorical(table[s].log()) for table in (_NOW, _THEN)]
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    action = call(function, *policies, obs, next_obs, stored, generator)
    seen = {"what you return": torch.zeros(action.shape), "its dtype": torch.tensor(action.dtype == torch.int64)}
    if action.shape != obs.shape or action.dtype != torch.int64:
        return seen | {"how often you draw each action": torch.full((3, 4), -1.0)} | {_USED: torch.tensor(True)}
    often = torch.nn.functional.one_hot(action.reshape(-1, 3), 4).double().mean(0)
    used = torch.tensor(
        not torch.equal(before, generator.get_state()) and _varies(function, policies, obs, next_obs, stored)
    )
    often = torch.zeros(3, 4) if used and (often.amax(-1) == 1).all() else _known(often)  # 0: one draw for all copies
    return seen | {"how often you draw each action": often.double(), _USED: used}


def _varies(function: Callable, *arguments) -> bool:
    """Tell whether the action is another one with another seed of the generator."""
    policies, *batch = arguments
    first, *others = (function(*policies, *batch, torch.Generator().manual_seed(seed)) for seed in range(9))
    return any(not torch.equal(first, other) for other in others)


def _drawn(weights: Callable) -> Callable:
    """Draw at s′ with weights made of π's probabilities."""

    def draw(policy, old_policy, obs, next_obs, stored_next_action, generator):
        wanted = weights(policy(next_obs).probs)
        flat = torch.multinomial(wanted.reshape(-1, 4), 1, replacement=True, generator=generator)
        return flat.reshape(next_obs.shape)

    return draw


_USED = "whether the given generator is used"


def _known(often: torch.Tensor) -> torch.Tensor:
    """Return the distribution of which these may be the frequencies; the frequencies themselves where none is known."""
    at = _NOW[_NEXT].double()
    known = [at, _NOW[_AT].double(), _THEN[_NEXT].double(), _THEN[_AT].double(), torch.full((3, 4), 0.25).double()]
    known += [p / p.sum(-1, keepdim=True) for p in (at.sqrt(), at.square(), (at > 0).double(), at.exp())]
    known += [at.flip(0), at.roll(1, 0), at.roll(-1, 0)]
    known += [torch.nn.functional.one_hot(p.argmax(-1), 4).double() for p in known]
    known += [torch.nn.functional.one_hot(_DONE, 4).double()]
    return next((p for p in known if (often - p).abs().max() < 0.045 and not often[p == 0].any()), often)


def _explain_next_action(seen: Observations, right: Observations) -> str | None:
    """Say which action comes too often, where all else is in order."""
    key = "how often you draw each action (B transitions)"
    if key not in seen or seen[key].min() < 0 or not seen[key].any() or same(seen, {key: right[key]}):
        return None
    never = (right[key] == 0) & (seen[key] > 0)
    if never.any():
        return "some of these actions π never takes at s′: they have to come from π"
    at = (seen[key] - right[key]).abs().argmax()
    return (
        "the actions are not drawn with π's probabilities: one that π takes at s′ with probability "
        f"{right[key].flatten()[at]:.2f} comes with {seen[key].flatten()[at]:.2f}"
    )


next_action = Exercise(
    "next_action",
    doc="Check notebook 04's `my_next_action(policy, old_policy, obs, next_obs, stored_next_action, generator)`.",
    right=_next_action,
    observe=Observer({"(B transitions)": ((),), "(two seeds of B)": ((2,),)}, _one_next_action, probes=False),
    mistakes={
        _planted_next_action: "this action is drawn at s: that is the actor's resampled action; a′ belongs to the "
        "state in which it is taken, s′",
        "policy(next → old_policy(next": "this action is drawn from the old policy: with it Q becomes the old policy's "
        "value; a′ comes from π as it is now",
        "policy(next_obs) → old_policy(obs)": "this action is drawn at s, and from the old policy: a′ comes from π as "
        "it is now, at s′",
        "return stored_next_action": "this is what the old policy did next: with it Q becomes the old policy's value, "
        "not π's",
        "return policy(next_obs).mode()": "this is π's favourite action: it gives the value of the greedy policy, and "
        "π does not always take it; a′ has to be drawn",
        "return policy(obs).mode()": "this is π's favourite action at s: a′ has to be drawn, and at s′",
        "return torch.randint(4, next_obs.shape, generator=generator)": "some of these actions π never takes at s′: "
        "they have to come from π",
        _drawn(lambda p: (p > 0).float()): "all actions that π might take are equally frequent: draw them as often as "
        "π does",
        _drawn(torch.sqrt): "rare actions of π come too often: draw with π's probabilities themselves",
        _drawn(torch.square): "frequent actions of π come too often: draw with π's probabilities themselves",
        _drawn(torch.exp): "a softmax of probabilities is taken: they are probabilities already, so draw with them",
        "return policy(next_obs).sample(generator=generator)[..., :3].repeat(*[1] * (next_obs.ndim - 1), "
        "next_obs.shape[-1] // 3)": "the same draw serves many transitions: each of them needs a draw of its own",
        "return policy(next_obs.flip(-1)).sample(generator=generator)": "the actions are drawn at the states of other "
        "transitions: each belongs to its own s′",
        "generator=generator → generator=torch.Generator().manual_seed(0)": "the given generator is not used: one with "
        "a fixed seed draws the same numbers at every call, and without any a run cannot be repeated",
        "sample(generator → sample(1, generator": "right, but with an axis of M = 1 in front: here one action for each "
        "transition is wanted, of the shape of next_obs",
        "return policy(next_obs).sample(generator=generator).unsqueeze(-1)": "one action for each transition is (B,), "
        "and yours came as (B, 1)",
        "return policy(next_obs).sample(generator=generator).double()": "actions are whole numbers, and yours have "
        "another dtype",
        "return policy(next_obs).probs": "these are π's probabilities at s′: an action drawn with them is wanted",
    },
    generic=False,
    explain=_explain_next_action,
    praise="right: from π, now, at s′, one draw for each transition",
    planted=_planted_next_action,
)


def _expected_value(probs, q):
    return (probs * q).sum(-1)


_PROBS = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.25, 0.6, 0.15]])
_Q = torch.tensor([[1.0, 5.0, -2.0], [0.5, 3.0, 8.0], [4.0, -1.0, 2.0]])
expected_value = Exercise(
    "expected_value",
    doc="Check notebook 04's `my_expected_value(probs, q)`, V(s) = Σ_a π(a|s) Q(s, a), both (..., B, A).",
    right=_expected_value,
    observe=observer(
        {
            "(three states)": (_PROBS, _Q),
            "(a batch of one)": (_PROBS[:1], _Q[:1]),
            "(with a seed axis)": (torch.stack([_PROBS, _PROBS.flip(0)]), torch.stack([_Q, 2 * _Q])),
        },
        "the value",
    ),
    mistakes={
        **resampling.MEAN_UNDER_PI,
        ".sum(-1) → .sum(-1, keepdim=True)": "the numbers are correct, but there is an axis of 1 at the end: "
        "subtracted from a (B,) it would broadcast to (B, B)",
    },
    extras=resampling.SOFT_VALUE,
    praise="right: every action, as often as π takes it",
)


def _expected_target(probs, table, batch):
    probability, q = probs[batch.next_obs], table[batch.next_obs]
    value = (probability * q).sum(-1)
    return batch.reward + 0.99 * torch.where(batch.terminated, 0.0, value)


class _Rows(NamedTuple):
    """A batch, as the notebook's `Outcomes.sample` returns it."""

    obs: torch.Tensor
    action: torch.Tensor
    reward: torch.Tensor
    next_obs: torch.Tensor
    terminated: torch.Tensor
    next_action: torch.Tensor


def _rows(*columns: list) -> _Rows:
    return _Rows(*map(torch.tensor, columns))


_PROBS_OF_4 = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.25, 0.6, 0.15], [0.05, 0.35, 0.6]])
_Q_OF_4 = torch.tensor([[1.0, 5.0, -2.0], [0.5, 3.0, 8.0], [4.0, -1.0, 2.0], [6.0, 0.7, -3.0]])
expected_target = Exercise(
    "expected_target",
    doc="Check notebook 04's `my_expected_target(probs, table, batch)`: the target of expected SARSA, γ = 0.99.",
    right=_expected_target,
    observe=observer(
        {
            "(five transitions)": (
                _PROBS_OF_4,
                _Q_OF_4,
                _rows(
                    [0, 1, 2, 3, 1],
                    [1, 0, 2, 2, 1],
                    [1.0, -2.0, 0.5, 3.0, 0.0],
                    [2, 3, 0, 1, 0],
                    [False, True, False, False, True],
                    [0, 1, 1, 2, 0],
                ),
            ),
            "(one transition)": (_PROBS_OF_4, _Q_OF_4, _rows([0], [1], [1.0], [3], [False], [2])),
        },
        "the target",
    ),
    mistakes={
        "probs[batch.next_obs], table[batch.next_obs] → probs[batch.obs], table[batch.obs]": "this is the value of s: "
        "y needs the value of s′",
        "probs[batch.next_obs] → probs[batch.obs]": "π is that of s, and Q that of s′: both belong to s′",
        "table[batch.next_obs] → table[batch.obs]": "Q is that of s, and π that of s′: both belong to s′",
        "(probability * q).sum(-1) → q.amax(-1)": "this is the best action's Q, the target of Q-learning: weight every "
        "action by π",
        "(probability * q).sum(-1) → q.mean(-1)": "every action counts the same: weight it by π",
        "(probability * q).sum(-1) → q.gather(-1, batch.next_action.unsqueeze(-1)).squeeze(-1)": "this is Q of the "
        "stored next action: the sum over all actions is wanted",
        ".sum(-1) → .mean(-1)": "the probabilities already make it an average: dividing by the number of actions once "
        "more is too much",
        "torch.where(batch.terminated, 0.0, value) → value": "you bootstrap past a terminal state: where an episode "
        "has terminated, y is r alone",
        "torch.where(batch.terminated, 0.0, value) → torch.where(batch.terminated, value, 0.0)": "the mask is "
        "inverted: you bootstrap exactly where the episode has terminated",
        "0.99 * →": "the discount γ = 0.99 is missing",
        "batch.reward + →": "the reward is missing",
    },
    praise="right: every action at s′, weighted by π, and no value behind the end",
)


def _mean_change(share, gamma, epsilon):
    first = 2 * gamma - 1
    second = 2 * gamma * (1 - epsilon) - 2
    return share * first + 2 * (1 - share) * second


mean_change = Exercise(
    "mean_change",
    doc="Check *Stability*'s `my_mean_change(share, gamma, epsilon)`: mean change of w, over the rate and over w.",
    right=_mean_change,
    observe=numbers(
        [(0.5, 0.99, 0.1), (0.1, 0.9, 0.4), (0.9, 0.6, 0.25), (1.0, 0.8, 0.3), (0.0, 0.8, 0.3)], "the mean change"
    ),
    mistakes={
        "+ 2 * → +": "the value of the second state is 2w, so its derivative is 2: that factor is missing",
        "* (1 - epsilon) →": "from the second state the episode ends with probability ε: there you bootstrap past a "
        "terminal state",
        "return first + 2 * second": "the two states count the same here, whatever their share of the data",
        "return share * first": "the second state is missing: it is updated too",
        "return first": "this is the first state alone, as if the data held no other",
        "return -share * first - 2 * (1 - share) * second": "the sign is flipped: w moves towards y, by α (y − value)",
        ("2 * gamma - 1 → 1", "2 * gamma * → 2 *"): "the discount γ is missing",
        "return -share * first**2 - (1 - share) * ((1 - epsilon) * (2 * gamma - 2) ** 2 + 4 * epsilon)": "a gradient "
        "flows into the target: y is a constant, only the value of the state itself has a derivative",
        "return -share * first**2 - (1 - share) * second**2": "y is a constant: no derivative of it enters, only that "
        "of the state's own value",
        "share * first → 2 * share * first": "the first state's value is w: its derivative is 1",
        "1 - epsilon → epsilon": "ε is the probability of the end: you have swapped it with that of going on",
        "2 * gamma * → gamma *": "after the second state comes the second again: y in the second state holds 2w",
        "return (1 - share) * first + 2 * share * second": "the two shares are swapped",
        "2 * gamma - 1 → gamma - 1": "after the first state comes the second, whose value is 2w, not w",
        ("2 * gamma - 1 → 2 * gamma", "(1 - epsilon) - 2 → (1 - epsilon)"): "this is y alone: w moves by the distance "
        "from the value to y",
    },
    praise="right: what the first state pushes up, weighed against what the second pulls down",
)
