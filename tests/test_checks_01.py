"""The check of notebook 01 that assembles: wrong answers fail with their own words, right ones pass however written."""

import torch

from offac_lite.course import checks
from tests.exercises import Answers

v_target, actor_loss = checks.v_target.right, checks.actor_loss.right

# ------------------------------------------------------------------ right answers, each in more than one way


def by_pieces(log_prob, value, next_value, reward, terminated, gamma):
    advantage = v_target(reward, terminated, next_value, gamma) - value
    return 0.5 * (advantage**2).mean(-1) + actor_loss(log_prob, advantage)


def without_gradients(log_prob, value, next_value, reward, terminated, gamma):
    with torch.no_grad():
        y = reward + gamma * next_value * ~terminated
        weight = y - value
    return (0.5 * (value - y).square() - log_prob * weight).mean(-1)


def step_by_step(log_prob, value, next_value, reward, terminated, gamma):
    y = v_target(reward, terminated, next_value, gamma)
    critic = torch.nn.functional.mse_loss(value, y, reduction="none").sum(-1) / (2 * value.shape[-1])
    actor = actor_loss(log_prob, y - value.detach())
    return actor + critic


# --------------------------------------------------------------------- wrong answers, and what must be said


def wrong(
    actor=1.0, critic=1.0, weight=lambda y, value: (y - value).detach(), y_of=v_target, mean=lambda x: x.mean(-1)
):
    def loss(log_prob, value, next_value, reward, terminated, gamma):
        y = y_of(reward, terminated, next_value, gamma)
        return critic * 0.5 * (y - value).square().mean(-1) - actor * (log_prob * weight(y, value)).mean(-1)

    return loss


def detached_once_for_both(log_prob, value, next_value, reward, terminated, gamma):
    advantage = (v_target(reward, terminated, next_value, gamma) - value).detach()
    return 0.5 * advantage.square().mean(-1) + actor_loss(log_prob, advantage)


def detached_and_not_halved(log_prob, value, next_value, reward, terminated, gamma):
    advantage = (v_target(reward, terminated, next_value, gamma) - value).detach()
    return advantage.square().mean(-1) + actor_loss(log_prob, advantage)


def at_the_same_state(log_prob, value, next_value, reward, terminated, gamma):
    advantage = reward + gamma * value * ~terminated - value
    return 0.5 * advantage.square().mean(-1) + actor_loss(log_prob, advantage)


def without_a_return(log_prob, value, next_value, reward, terminated, gamma):
    advantage = v_target(reward, terminated, next_value, gamma) - value  # noqa: F841


RIGHT = {checks.on_policy_loss: [by_pieces, without_gradients, step_by_step]}
WRONG = [
    (checks.on_policy_loss, function, words)
    for function, words in [
        (wrong(actor=0.0), "the actor's loss is missing"),
        (wrong(critic=0.0), "the critic's loss is missing"),
        (detached_once_for_both, "no gradient reaches .*: its loss needs the gradient of the advantage"),
        (detached_and_not_halved, "its loss needs the gradient of the advantage"),
        (at_the_same_state, r"does not depend on V\(s′\): it should"),
        (wrong(y_of=lambda r, d, v, g: r + 0.99 * v.detach() * ~d), "does not depend on γ"),
        (wrong(actor=-1.0), "the actor's sign is flipped"),
        (wrong(critic=-1.0), "the critic's sign is flipped"),
        (wrong(critic=2.0), "the ½ of the critic's loss is missing"),
        (wrong(weight=lambda y, value: y - value), "the actor's loss trains the critic as well"),
        (wrong(weight=lambda y, value: y), "the actor's weight is y"),
        (wrong(y_of=lambda r, d, v, g: r + g * v * ~d), "a gradient flows from the target into V"),
        (wrong(y_of=lambda r, d, v, g: r + g * v.detach()), "past a terminal state"),
        (
            lambda lp, v, nv, r, d, g: (
                0.5 * (v_target(r, d, nv, g) - v).square().sum(-1) + actor_loss(lp, v_target(r, d, nv, g) - v)
            ),
            "the critic's loss adds up the batch",
        ),
        (
            lambda lp, v, nv, r, d, g: (
                0.5 * (v_target(r, d, nv, g) - v).square().mean(-1) + 4 * actor_loss(lp, v_target(r, d, nv, g) - v)
            ),
            "the actor's loss adds up the batch",
        ),
        (without_a_return, "^it returns nothing"),
        (lambda lp, v, nv, r, d, g: 1.0, "a plain number is returned"),
    ]
]


class TestAnswers(Answers):
    NOTEBOOKS = ("01_on_policy_actor_critic.ipynb",)
    RIGHT, WRONG = RIGHT, WRONG
    REVEALING = ("detach()", "torch.where", ".mean(", "no_grad")
    SCOPE = {"v_target": v_target, "actor_loss": actor_loss}  # noqa: RUF012
