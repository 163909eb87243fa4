"""The exercises of notebook 01: right answers, what to look at, and the mistakes people make."""

from collections.abc import Callable

import torch

from offac_lite import equations
from offac_lite.course.checks.exercise import Exercise, call, call_loss, gradient

__all__ = ["actor_loss", "bootstraps", "v_target"]

F, T = False, True


def _observe_v_target(function: Callable) -> dict[str, torch.Tensor]:
    seen = {}
    for name, shape in (("one seed", (4,)), ("two seeds", (2, 4))):
        reward = torch.tensor([1.0, -2.0, 0.5, 3.0]).expand(shape).clone()
        terminated = torch.tensor([F, T, F, T]).expand(shape).clone()
        next_value = torch.tensor([10.0, 20.0, -4.0, 7.0]).expand(shape).clone().requires_grad_()
        y = call(function, reward, terminated, next_value, 0.9)
        seen[f"the target ({name})"] = y.detach()
        seen[f"the gradient that reaches V(s′) ({name})"] = gradient(y, next_value)
    return seen


def _mask(terminated, value):
    return torch.where(terminated, 0.0, value.detach())


v_target = Exercise(
    "v_target",
    doc="Check notebook 01's `my_v_target(reward, terminated, next_value, gamma)`, y = r + γ (1 − d) V(s′).",
    right=equations.v_target,
    observe=_observe_v_target,
    mistakes=[
        (
            lambda r, d, v, g: r + g * v.detach(),
            "you bootstrap past a terminal state: where an episode has terminated there is no next value to add",
        ),
        (
            lambda r, d, v, g: r + g * torch.where(d, 0.0, v),
            "the numbers are right, but a gradient flows from the target into V(s′): the target has to be a constant",
        ),
        (
            lambda r, d, v, g: r + g * v,
            "you bootstrap past a terminal state, and a gradient flows from the target into V(s′)",
        ),
        (lambda r, d, v, g: r + _mask(d, v), "the discount γ is missing: the next value is one step away"),
        (lambda r, d, v, g: g * (r + _mask(d, v)), "the reward is discounted too: it comes now, only V(s′) is later"),
        (
            lambda r, d, v, g: r + g * torch.where(d, v.detach(), 0.0),
            "the mask is the wrong way round: you bootstrap exactly where the episode has terminated",
        ),
        (
            lambda r, d, v, g: torch.where(d, 0.0, r + g * v.detach()),
            "the mask takes the reward away as well: the last reward of an episode is real",
        ),
        (lambda r, d, v, g: g * _mask(d, v), "the reward is missing"),
        (lambda r, d, v, g: r - g * _mask(d, v), "a sign is wrong: the next value is added"),
        (
            lambda r, d, v, g: (r + g * _mask(d, v)).mean(),
            "you average over the batch: every transition has a target of its own",
        ),
        (
            lambda r, d, v, g: (r + g * _mask(d, v)).sum(),
            "you add up the batch: every transition has a target of its own",
        ),
    ],
    praise="right, mask, discount and stop-gradient included",
)


def _actor_loss(log_prob: torch.Tensor, advantage: torch.Tensor) -> torch.Tensor:
    return equations.policy_gradient_loss(log_prob.unsqueeze(-2), advantage.unsqueeze(-2))


def _observe_actor_loss(function: Callable) -> dict[str, torch.Tensor]:
    seen = {}
    for name, shape in (("one seed", (4,)), ("two seeds", (2, 4))):
        log_prob = torch.tensor([-0.3, -1.2, -2.0, -0.7]).expand(shape).clone().requires_grad_()
        advantage = torch.tensor([1.0, -2.0, 0.5, 3.0]).expand(shape).clone().requires_grad_()
        loss = call_loss(function, log_prob, advantage)
        seen[f"the gradient with respect to log π ({name})"] = gradient(loss, log_prob)
        seen[f"the gradient with respect to the advantage ({name})"] = gradient(loss, advantage)
        seen[f"the loss ({name})"] = loss.detach()
    return seen


actor_loss = Exercise(
    "actor_loss",
    doc="Check notebook 01's `my_actor_loss(log_prob, advantage)`, −mean of log π · Â over the last axis.",
    right=_actor_loss,
    observe=_observe_actor_loss,
    mistakes=[
        (
            lambda lp, a: (lp * a.detach()).mean(-1),
            "the sign is flipped: an optimiser walks downhill, so this loss makes good actions rarer",
        ),
        (
            lambda lp, a: -(lp * a).mean(-1),
            "a gradient flows into the advantage: the actor's loss would move the critic",
        ),
        (
            lambda lp, a: -(lp * a.detach()).sum(-1),
            "you add up the batch where its mean is wanted: the step would grow with the batch size",
        ),
        (lambda lp, a: -(lp * a.detach()).mean(), "your mean runs over the seeds too: average over the last axis only"),
        (
            lambda lp, a: -(lp.detach() * a).mean(-1),
            "log π is detached, so no gradient reaches the policy, and the advantage gets it instead",
        ),
        (lambda lp, a: -(lp.detach() * a.detach()).mean(-1), "log π is detached, so no gradient reaches the policy"),
        (
            lambda lp, a: -(lp.exp() * a.detach()).mean(-1),
            "this weights by π, not by log π: in a sampled gradient the sampling already contributes the factor π",
        ),
        (lambda lp, a: -lp.mean(-1), "the advantage is missing: every action is made more likely, good or bad"),
        (lambda lp, a: -(lp * a.detach()), "there is no mean over the batch yet"),
        (
            lambda lp, a: -(lp * a.detach()).sum(),
            "you add everything up, seeds included: average over the last axis only",
        ),
        (
            lambda lp, a: -(lp * (a - a.mean(-1, keepdim=True)).detach()).mean(-1),
            "you centre the advantages of the batch: often done, but not what is asked; an action that was good stays "
            "good, however good the others were",
        ),
        (
            lambda lp, a: -(lp * ((a - a.mean(-1, keepdim=True)) / a.std(-1, keepdim=True)).detach()).mean(-1),
            "you normalise the advantages of the batch: often done, but not what is asked; their size and sign belong "
            "to the estimate",
        ),
    ],
    praise="right: its gradient is minus the policy gradient, and the advantage is a constant",
)


def _observe_bootstraps(function: Callable) -> dict[str, torch.Tensor]:
    terminated, truncated = torch.tensor([F, T, F, T]), torch.tensor([F, F, T, T])
    result = call(function, terminated, truncated)
    return {
        "the answer": result.detach().double(),
        "its dtype (a bool is wanted)": torch.tensor(result.dtype == torch.bool),
    }


def _planted_bootstraps(terminated, truncated):
    done = terminated | truncated
    return ~done


bootstraps = Exercise(
    "bootstraps",
    doc="Check notebook 01's `my_bootstraps(terminated, truncated)`: where does y contain V(s′)?",
    right=lambda terminated, truncated: ~terminated,
    observe=_observe_bootstraps,
    mistakes=[
        (
            lambda te, tr: ~(te | tr),
            "truncation is taken for termination: a time limit stops the recording, not the world, so s′ still "
            "has a value",
        ),
        (lambda te, tr: te, "the wrong way round: you bootstrap exactly where the episode has terminated"),
        (lambda te, tr: te | tr, "the wrong way round, and truncation is taken for termination"),
        (lambda te, tr: ~tr, "you look at truncation only: what ends the future is termination"),
        (
            lambda te, tr: ~te | tr,
            "a step can be terminated and truncated at once; where it is, nothing is left to bootstrap from",
        ),
        (
            lambda te, tr: torch.ones_like(te),
            "you always bootstrap: where an episode has terminated there is no next value",
        ),
        (lambda te, tr: tr, "you look at truncation only, and the wrong way round"),
        (
            lambda te, tr: ~(te & tr),
            "an episode can end by termination alone: you forbid bootstrapping only where it is truncated as well",
        ),
        (lambda te, tr: (~te).double(), "the numbers are right, but a bool tensor is wanted"),
        (lambda te, tr: 1.0 - te.double(), "the numbers are right, but a bool tensor is wanted"),
    ],
    praise="right: only termination ends the future; a time limit does not",
    planted=_planted_bootstraps,
)
