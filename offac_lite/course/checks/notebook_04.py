"""The exercises of notebook 04: right answers, what to look at, and the mistakes people make."""

from collections.abc import Callable

import torch

from offac_lite import equations
from offac_lite.course.checks.exercise import Exercise, Refused, call, gradient, report, to_tensor
from offac_lite.networks import Categorical

F, T = False, True


def _observe_q_target(function: Callable) -> dict[str, torch.Tensor]:
    seen = {}
    reward, terminated = torch.tensor([1.0, -2.0, 0.5, 3.0]), torch.tensor([F, T, F, T])
    next_q = torch.tensor([[10.0, 20.0, -4.0, 7.0], [4.0, -9.0, 6.0, 1.0], [-2.0, 3.0, 1.0, 30.0]])
    for name, r, d, q in (
        ("one a′", reward, terminated, next_q[0]),
        ("M = 3", reward, terminated, next_q),
        ("two seeds, one a′", torch.stack([reward, reward + 1]), torch.stack([terminated, ~terminated]), next_q[:2]),
        (
            "two seeds, M = 2",
            torch.stack([reward, reward + 1]),
            torch.stack([terminated, ~terminated]),
            torch.stack([next_q[:2], 2 * next_q[1:]]),
        ),
    ):
        q = q.clone().requires_grad_()
        try:
            y = call(function, r.clone(), d.clone(), q, 0.9)
        except RuntimeError as error:
            if q.ndim > r.ndim and _averages_over_the_batch(function):
                raise Refused(
                    "with M next actions your mean runs over the last axis, the batch; the axis of M comes before it"
                ) from error
            raise
        seen[f"the target ({name})"] = y.detach()
        seen[f"the gradient that reaches Q(s′, a′) ({name})"] = gradient(y, q)
    return seen


def _averages_over_the_batch(function: Callable) -> bool:
    """Tell whether M values are averaged along the wrong axis, which only M = B lets pass without an error."""
    going_on = torch.zeros(3, dtype=torch.bool)
    next_q = torch.tensor([[1.0, 5.0, 0.0], [2.0, 9.0, 7.0], [3.0, 1.0, 2.0]])
    try:
        y = call(function, torch.zeros(3), going_on, next_q, 0.9)
    except Exception:
        return False
    return y.shape == (3,) and torch.allclose(y.detach(), 0.9 * next_q.mean(-1))


def _over_m(reward: torch.Tensor, next_q: torch.Tensor, reduce: Callable) -> torch.Tensor:
    return reduce(next_q) if next_q.ndim > reward.ndim else next_q


def _mean_m(reward: torch.Tensor, next_q: torch.Tensor) -> torch.Tensor:
    return _over_m(reward, next_q, lambda q: q.mean(-2))


def _with(reduce: Callable) -> Callable:
    return lambda r, d, q, g: equations.v_target(r, d, _over_m(r, q, reduce), g)


def _masked(reward, terminated, next_q):
    return torch.where(terminated, 0.0, _mean_m(reward, next_q).detach())


Q_TARGET = Exercise(
    "q_target",
    equations.q_target,
    _observe_q_target,
    [
        (
            lambda r, d, q, g: r + g * _mean_m(r, q).detach(),
            "you bootstrap past a terminal state: where an episode has terminated there is no next action to rate",
        ),
        (
            lambda r, d, q, g: r + g * torch.where(d, 0.0, _mean_m(r, q)),
            "the numbers are right, but a gradient flows from the target into Q(s′, a′): the target must be a constant",
        ),
        (
            lambda r, d, q, g: r + g * _mean_m(r, q),
            "you bootstrap past a terminal state, and a gradient flows from the target into Q(s′, a′)",
        ),
        (lambda r, d, q, g: r + _masked(r, d, q), "the discount γ is missing: Q(s′, a′) is one step away"),
        (
            lambda r, d, q, g: g * (r + _masked(r, d, q)),
            "the reward is discounted too: it comes now, only Q(s′, a′) is later",
        ),
        (
            lambda r, d, q, g: g * r + _masked(r, d, q),
            "the discount is on the reward, where Q(s′, a′) should have it: the reward comes now",
        ),
        (
            lambda r, d, q, g: r + g * torch.where(d, _mean_m(r, q).detach(), 0.0),
            "the mask is the wrong way round: you bootstrap exactly where the episode has terminated",
        ),
        (
            lambda r, d, q, g: torch.where(d, 0.0, r + g * _mean_m(r, q).detach()),
            "the mask takes the reward away as well: the last reward of an episode is real",
        ),
        (lambda r, d, q, g: g * _masked(r, d, q), "the reward is missing"),
        (lambda r, d, q, g: r - g * _masked(r, d, q), "a sign is wrong: the next Q is added"),
        (
            _with(lambda q: q.amax(-2)),
            "you take the largest of the M values: that is Q-learning's target, and the Q of another policy; "
            "a sampled a′ stands for an average over π",
        ),
        (
            _with(lambda q: q.amin(-2)),
            "you take the smallest of the M values: they are M draws for one average, not rival critics",
        ),
        (
            _with(lambda q: q.sum(-2)),
            "you add up the M values where their mean is wanted: y would grow with M",
        ),
        (
            _with(lambda q: q[..., 0, :]),
            "of the M next actions you use the first alone: the others are there to be averaged with it",
        ),
        (
            _with(lambda q: q.mean(-1, keepdim=True).mean(-2).expand(*q.shape[:-2], q.shape[-1])),
            "you average over the batch of next states too: every transition has a target of its own",
        ),
        *[
            (
                lambda r, d, q, g, with_m=with_m: (
                    r + g * torch.where(d, 0.0, (q.mean(-2) if with_m(q.ndim) else q).detach())
                ),
                "your mean runs over the seeds, for (S, B) has two axes as well: there is an axis of M only where "
                "next_q has one axis more than reward",
            )
            for with_m in (lambda axes: axes > 1, lambda axes: axes == 2)
        ],
        (
            lambda r, d, q, g: r + g * torch.where(d, 0.0, q.detach()),
            "with M next actions their mean is wanted: one y for each transition",
        ),
        (
            lambda r, d, q, g: r + g * torch.where(d, 0.0, (q.mean(0) if q.ndim > r.ndim else q).detach()),
            "your mean runs over the first axis: with seeds in front that is not the axis of M",
        ),
        (
            lambda r, d, q, g: (r + g * _masked(r, d, q)).mean(),
            "you average over the batch: every transition has a target of its own",
        ),
    ],
    "right: mask, discount, stop-gradient, and a mean over M where there is an M",
)


def q_target(function: Callable) -> Callable:
    """Check notebook 04's `my_q_target(reward, terminated, next_q, gamma)`, y = r + γ (1 − d) · mean of Q(s′, a′)."""
    return report(Q_TARGET, function)


def _next_action(policy, obs, next_obs, stored_next_action, generator):
    return policy(next_obs).sample(generator=generator)


def _planted_next_action(policy, obs, next_obs, stored_next_action, generator):
    return policy(obs).sample(generator=generator)


def _observe_next_action(function: Callable) -> dict[str, torch.Tensor]:
    """Call it 100 times: which actions ever occur at each of the transitions? (Any way of drawing them will do.)"""
    table = torch.tensor([[0.7, 0.3, 0.0, 0.0], [0.0, 0.7, 0.3, 0.0], [0.3, 0.0, 0.0, 0.7], [0.0, 0.3, 0.7, 0.0]])
    obs, next_obs, stored = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 3]), torch.tensor([2, 0, 1])
    generator, occurs = torch.Generator().manual_seed(0), torch.zeros(3, 4)
    for _ in range(100):
        action = call(function, lambda s: Categorical(table[s].log()), obs, next_obs, stored, generator)
        if action.shape != obs.shape or action.dtype != torch.int64:
            break
        occurs += torch.nn.functional.one_hot(action, 4)
    return {
        "what you return": torch.zeros(action.shape),
        "its dtype (whole numbers are wanted)": torch.tensor(action.dtype == torch.int64),
        "the set of actions that you draw": occurs > 0,
    }


NEXT_ACTION = Exercise(
    "next_action",
    _next_action,
    _observe_next_action,
    [
        (
            lambda policy, s, s2, stored, gen: policy(s).sample(generator=gen),
            "this action is drawn at s: that is the actor's resampled action; a′ belongs to the state in which it is "
            "taken, s′",
        ),
        (
            lambda policy, s, s2, stored, gen: stored,
            "this is what the old policy did next: with it Q becomes the old policy's value, not π's",
        ),
        (
            lambda policy, s, s2, stored, gen: policy(s2).mode(),
            "this is π's favourite action: it gives the value of the greedy policy, and π does not always take it; "
            "a′ has to be drawn",
        ),
        (
            lambda policy, s, s2, stored, gen: policy(s).mode(),
            "this is π's favourite action at s: a′ has to be drawn, and at s′",
        ),
        (
            lambda policy, s, s2, stored, gen: torch.randint(4, s2.shape, generator=gen),
            "some of these actions π never takes at s′: they have to come from π",
        ),
        (
            lambda policy, s, s2, stored, gen: policy(s2).sample(1, generator=gen),
            "right, but with an axis of M = 1 in front: here one action for each transition is wanted, of shape (B,)",
        ),
        (
            lambda policy, s, s2, stored, gen: policy(s2).sample(generator=gen).unsqueeze(-1),
            "one action for each transition is (B,), and yours came as (B, 1)",
        ),
        (
            lambda policy, s, s2, stored, gen: policy(s2).sample(generator=gen).double(),
            "actions are whole numbers, and yours have another dtype",
        ),
        (
            lambda policy, s, s2, stored, gen: policy(s2).probs,
            "these are π's probabilities at s′: an action drawn with them is wanted",
        ),
    ],
    "right: from π, now, at s′",
    planted=_planted_next_action,
)


def next_action(function: Callable) -> Callable:
    """Check notebook 04's repaired `my_next_action(policy, obs, next_obs, stored_next_action, generator)`."""
    return report(NEXT_ACTION, function)


def _expected_value(probs: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return (probs * q).sum(-1)


def _observe_expected_value(function: Callable) -> dict[str, torch.Tensor]:
    probs = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.25, 0.6, 0.15]])
    q = torch.tensor([[1.0, 5.0, -2.0], [0.0, 3.0, 8.0], [4.0, -1.0, 2.0]])
    seeds = torch.stack([q, 2 * q])
    return {
        "the value": call(function, probs, q).detach(),
        "the value of a batch of 2": call(function, probs[:2], q[:2]).detach(),
        "the value with a seed axis": call(function, torch.stack([probs, probs.flip(0)]), seeds).detach(),
    }


EXPECTED_VALUE = Exercise(
    "expected_value",
    _expected_value,
    _observe_expected_value,
    [
        (
            lambda p, q: q.amax(-1),
            "this is the best action's Q, the target of Q-learning: π does not always take the best action",
        ),
        (lambda p, q: q.mean(-1), "every action counts the same: that is the value of the uniform policy, not of π"),
        (lambda p, q: q.sum(-1), "the Qs are added up without π's probabilities"),
        (
            lambda p, q: (p * q).mean(-1),
            "the probabilities already make it an average: dividing by the number of actions once more is too much",
        ),
        (lambda p, q: p * q, "these are the terms; their sum over the actions is wanted"),
        (
            lambda p, q: (p * q).sum(-1, keepdim=True),
            "the numbers are right, but there is an axis of 1 at the end: subtracted from a (B,) it would broadcast to "
            "(B, B)",
        ),
        (lambda p, q: (p * q).sum(-2), "you add up the states of the batch: the sum runs over the actions"),
        (lambda p, q: (p * q).sum(), "you add up everything: every state has a value of its own"),
        (
            lambda p, q: q.gather(-1, p.argmax(-1, keepdim=True)).squeeze(-1),
            "this is the Q of π's favourite action alone: the others are taken too, as often as π says",
        ),
        (
            lambda p, q: (torch.softmax(q, -1) * q).sum(-1),
            "the weights come from Q, and they have to be π's",
        ),
        (lambda p, q: (p.log() * q).sum(-1), "the weights are π itself, not log π"),
    ],
    "right: every action, as often as π takes it",
)


def expected_value(function: Callable) -> Callable:
    """Check notebook 04's `my_expected_value(probs, q)`, V(s) = Σ_a π(a|s) Q(s, a), both (..., B, A)."""
    return report(EXPECTED_VALUE, function)


def _mean_change(share: float, gamma: float, epsilon: float) -> float:
    return share * (2 * gamma - 1) + 2 * (1 - share) * (2 * gamma * (1 - epsilon) - 2)


def _observe_mean_change(function: Callable) -> dict[str, torch.Tensor]:
    cases = [(0.5, 0.99, 0.1), (0.1, 0.9, 0.4), (0.9, 0.6, 0.25), (1.0, 0.8, 0.3), (0.0, 0.8, 0.3)]
    return {"the mean change": torch.stack([to_tensor(function(*c)).double().reshape(()) for c in cases])}


MEAN_CHANGE = Exercise(
    "mean_change",
    _mean_change,
    _observe_mean_change,
    [
        (
            lambda d, g, e: d * (2 * g - 1) + (1 - d) * (2 * g * (1 - e) - 2),
            "the value of the second state is 2w, so its derivative is 2: that factor is missing",
        ),
        (
            lambda d, g, e: d * (2 * g - 1) + 2 * (1 - d) * (2 * g - 2),
            "from the second state the episode ends with probability ε: there you bootstrap past a terminal state",
        ),
        (
            lambda d, g, e: (2 * g - 1) + 2 * (2 * g * (1 - e) - 2),
            "the two states count the same here, whatever their share of the data",
        ),
        (lambda d, g, e: d * (2 * g - 1), "the second state is missing: it is updated too"),
        (lambda d, g, e: 2 * g - 1, "this is the first state alone, as if the data held no other"),
        (lambda d, g, e: -_mean_change(d, g, e), "the sign is flipped: w moves towards y, by α (y − value)"),
        (lambda d, g, e: d + 2 * (1 - d) * (2 * (1 - e) - 2), "the discount γ is missing"),
        (
            lambda d, g, e: -(d * (2 * g - 1) ** 2 + (1 - d) * ((1 - e) * (2 * g - 2) ** 2 + 4 * e)),
            "a gradient flows into the target: y is a constant, only the value of the state itself has a derivative",
        ),
        (
            lambda d, g, e: -(d * (2 * g - 1) ** 2 + (1 - d) * (2 * g * (1 - e) - 2) ** 2),
            "y is a constant: no derivative of it enters, only that of the state's own value",
        ),
        (
            lambda d, g, e: 2 * d * (2 * g - 1) + 2 * (1 - d) * (2 * g * (1 - e) - 2),
            "the first state's value is w: its derivative is 1",
        ),
        (
            lambda d, g, e: d * (2 * g - 1) + 2 * (1 - d) * (2 * g * e - 2),
            "ε is the probability of the end: you have swapped it with that of going on",
        ),
        (
            lambda d, g, e: d * (2 * g - 1) + 2 * (1 - d) * (g * (1 - e) - 2),
            "after the second state comes the second again: y in the second state holds 2w",
        ),
        (lambda d, g, e: _mean_change(1 - d, g, e), "the two shares are swapped"),
        (
            lambda d, g, e: d * (g - 1) + 2 * (1 - d) * (2 * g * (1 - e) - 2),
            "after the first state comes the second, whose value is 2w, not w",
        ),
        (
            lambda d, g, e: d * 2 * g + 2 * (1 - d) * 2 * g * (1 - e),
            "this is y alone: w moves by the distance from the value to y",
        ),
    ],
    "right: what the first state pushes up, weighed against what the second pulls down",
)


def mean_change(function: Callable) -> Callable:
    """Check notebook 04's `my_mean_change(share, gamma, epsilon)`: mean change of w, over the rate and over w."""
    return report(MEAN_CHANGE, function)
