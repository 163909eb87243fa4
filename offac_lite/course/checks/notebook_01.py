"""The exercises of notebook 01: right answers, what to observe, and the mistakes people make."""

import torch

from offac_lite import equations
from offac_lite.course.checks.exercise import Exercise
from offac_lite.course.checks.observing import observer

__all__ = ["actor_loss", "bootstraps", "on_policy_loss", "v_target"]


def _v_target(reward, terminated, next_value, gamma):
    later = torch.where(terminated, 0.0, next_value.detach())
    return reward + gamma * later


_NUMBERS = torch.tensor([1.0, -2.0, 0.5, 3.0])
_REWARDS = torch.tensor([1.0, 2.0, -0.5, 3.0])
_STEPS = _REWARDS, torch.tensor([False, True, False, False]), torch.tensor([10.0, 20.0, -4.0, 7.0])
v_target = Exercise(
    "v_target",
    doc="Check notebook 01's `my_v_target(reward, terminated, next_value, gamma)`, y = r + γ (1 − d) V(s′).",
    right=equations.v_target,
    plain=_v_target,
    observe=observer(
        {
            "(one seed)": (*_STEPS, 0.9),
            "(two seeds)": (*(tensor.repeat(2, 1) for tensor in _STEPS), 0.9),
            "(a batch of one)": (*(tensor[:1] for tensor in _STEPS), 0.5),
        },
        "the target",
        {2: "the gradient that reaches V(s′)"},
    ),
    mistakes={
        "return reward + gamma * next_value.detach()": "you bootstrap past a terminal state: where an episode has "
        "terminated there is no next value to add",
        ".detach() →": "the numbers are correct, but a gradient flows from the target into V(s′): the target has to be "
        "a constant",
        "return reward + gamma * next_value": "you bootstrap past a terminal state, and a gradient flows from the "
        "target into V(s′)",
        "gamma * →": "the discount γ is missing: the next value is one step away",
        "reward + → gamma * reward +": "the reward is discounted too: only V(s′) comes one step later",
        "terminated, 0.0 → ~terminated, 0.0": "the mask is inverted: you bootstrap exactly where the episode has "
        "terminated",
        "return torch.where(terminated, 0.0, reward + gamma * next_value.detach())": "the mask takes the reward away "
        "as well: the last reward of an episode is real",
        "reward + → reward -": "a sign is wrong: the next value is added",
        "return (reward + gamma * later).mean()": "you average over the batch: every transition has a target of its "
        "own",
        "return (reward + gamma * later).sum()": "you add up the batch: every transition has a target of its own",
    },
    praise="right, mask, discount and stop-gradient included",
)


def _actor_loss(log_prob, advantage):
    weight = advantage.detach()
    return -(log_prob * weight).mean(-1)


_LOG_PROB = torch.tensor([-0.3, -1.2, -2.0, -0.7])
_BONUS = "a term with log π is added, as an entropy bonus: here the gradient of the return alone is wanted"
actor_loss = Exercise(
    "actor_loss",
    doc="Check notebook 01's `my_actor_loss(log_prob, advantage)`, −mean of log π · Â over the last axis.",
    right=lambda log_prob, advantage: equations.policy_gradient_loss(log_prob.unsqueeze(-2), advantage.unsqueeze(-2)),
    plain=_actor_loss,
    observe=observer(
        {
            "(one seed)": (_LOG_PROB, _NUMBERS),
            "(two seeds)": (_LOG_PROB.repeat(2, 1), torch.stack([_NUMBERS, _NUMBERS.flip(0)])),
            "(a batch of one)": (_LOG_PROB[:1], _NUMBERS[:1]),
        },
        "the loss",
        {0: "the gradient with respect to log π", 1: "the gradient with respect to the advantage"},
        loss=True,
    ),
    mistakes={
        "-( → (": "the sign is flipped: an optimiser minimises, so this loss makes good actions less probable",
        ".detach() →": "a gradient flows into the advantage: the actor's loss would train the critic",
        ".mean(-1) → .sum(-1)": "you add up the batch where its mean is wanted: the step would grow with the batch "
        "size",
        ".mean(-1) → .mean()": "your mean runs over the seeds too: average over the last axis only",
        "return -(log_prob.detach() * advantage).mean(-1)": "log π is detached, so no gradient reaches the policy: it "
        "flows into the advantage instead",
        "log_prob * → log_prob.detach() *": "log π is detached, so no gradient reaches the policy",
        "log_prob * → log_prob.exp() *": "this weights by π, for the gradient of π is π times that of log π: in "
        "a sampled gradient the sampling already contributes the factor π",
        "return -log_prob.mean(-1)": "the advantage is missing: every action is made more likely, good or bad",
        ".mean(-1) → .sum()": "you add everything up, seeds included: average over the last axis only",
        "* weight → * (weight - weight.mean(-1, True))": "you centre the advantages of the batch. Many implementations "
        "do, but here it is not asked for: the sign of an advantage should not depend on the other transitions",
        "* weight → * (weight - weight.mean(-1, True)) / weight.std(-1, keepdim=True)": "you normalise the advantages "
        "of the batch. Many implementations do, but here it is not asked for: the size and sign of an advantage should "
        "not depend on the other transitions",
    },
    only_gradients=True,
    extras={
        ".mean(-1) → .mean(-1) + log_prob.mean(-1)": _BONUS,
        ".mean(-1) → .mean(-1) + (log_prob.exp() * log_prob).mean(-1)": _BONUS,
        "* weight → * (weight - log_prob.detach())": _BONUS,
    },
    praise="right: its gradient is minus the policy gradient, and the advantage is a constant",
)


def _bootstraps(terminated, truncated):
    return ~terminated


def _planted_bootstraps(terminated, truncated):
    done = terminated | truncated
    return ~done


bootstraps = Exercise(
    "bootstraps",
    doc="Check notebook 01's `my_bootstraps(terminated, truncated)`: where does y contain V(s′)?",
    right=_bootstraps,
    observe=observer(
        {"": (torch.tensor([False, True, False, True]), torch.tensor([False, False, True, True]))}, "the answer"
    ),
    spoken={"terminated": "terminated"},
    mistakes={
        _planted_bootstraps: "truncation is taken for termination: a time limit stops the recording, not the world, so "
        "s′ still has a value",
        "return terminated": "the answer is inverted: you bootstrap exactly where the episode has terminated",
        "return terminated | truncated": "the answer is inverted, and truncation is taken for termination",
        "return ~truncated": "you check truncation, not termination: only termination ends the future",
        "return ~terminated | truncated": "a step can be terminated and truncated at once: then there is no next value",
        "return torch.ones_like(terminated)": "you always bootstrap: where an episode has terminated there is no next "
        "value",
        "return truncated": "you check truncation, not termination, and the answer is inverted",
        "return ~terminated.int()": "~ of the whole numbers 0 and 1 gives −1 and −2: invert a tensor of True and False",
        "return ~(terminated & truncated)": "an episode can end by termination alone: you forbid bootstrapping only "
        "where it is truncated as well",
    },
    praise="right: only termination ends the future; a time limit does not",
    planted=_planted_bootstraps,
)


def _right_on_policy_loss(log_prob, value, next_value, reward, terminated, gamma):
    y = equations.v_target(reward, terminated, next_value, gamma)
    advantage = (y - value).detach()
    actor = equations.policy_gradient_loss(log_prob.unsqueeze(-2), advantage.unsqueeze(-2))
    return equations.critic_loss(value, y) + actor


def _on_policy_loss(log_prob, value, next_value, reward, terminated, gamma):
    y = reward + gamma * torch.where(terminated, 0.0, next_value.detach())
    error = y - value
    critic = (0.5 * error.square()).mean(-1)
    return critic - (log_prob * error.detach()).mean(-1)


_VALUE = torch.tensor([2.0, 0.5, -1.0, 4.0])
_ALL = _LOG_PROB, _VALUE, _STEPS[2], _STEPS[0], _STEPS[1]
on_policy_loss = Exercise(
    "on_policy_loss",
    doc="Check notebook 01's `my_on_policy_loss(log_prob, value, next_value, reward, terminated, gamma)`.",
    right=_right_on_policy_loss,
    plain=_on_policy_loss,
    observe=observer(
        {
            "(one seed)": (*_ALL, 0.9),
            "(two seeds)": (*(torch.stack([tensor, tensor.flip(0)]) for tensor in _ALL), 0.5),
        },
        "the loss",
        {
            0: "the gradient with respect to log π",
            1: "the gradient with respect to V(s)",
            2: "the gradient that reaches V(s′)",
        },
        loss=True,
    ),
    mistakes={
        "return critic": "the actor's loss is missing: no gradient reaches log π",
        "error = y - value → error = (y - value).detach()": "no gradient reaches V(s), and the critic learns nothing: "
        "its loss needs the gradient of the advantage, and only the actor's loss takes the advantage as a constant",
        "return -(log_prob * error.detach()).mean(-1)": "the critic's loss is missing: no gradient reaches V(s), and "
        "the critic learns nothing",
        "critic - (log_prob → critic + (log_prob": "the actor's sign is flipped: the advantage is y − V(s), and a loss "
        "is walked down",
        "error.detach() → error": "the actor's loss trains the critic as well: there the advantage is a constant",
        "next_value.detach() → next_value": "a gradient flows from the target into V(s′): the target has to be a "
        "constant",
        "torch.where(terminated, 0.0, next_value.detach()) → next_value.detach()": "you bootstrap past a terminal "
        "state",
        "error.detach() → y": "the actor's weight is y: the advantage is y − V(s)",
        "0.5 * error.square() → error.square()": "the ½ of the critic's loss is missing",
        "0.5 * error.square() → -0.5 * error.square()": "the critic's sign is flipped: it would move V(s) away from y",
        "error.square()).mean(-1) → error.square()).sum(-1)": "the critic's loss adds up the batch where its mean is "
        "wanted",
        "error.detach()).mean(-1) → error.detach()).sum(-1)": "the actor's loss adds up the batch where its mean is "
        "wanted",
    },
    only_gradients=True,
    spoken={"error": "y − V(s)"},
    praise="right: one loss, whose gradient trains the critic through V(s) and the actor through log π",
)
