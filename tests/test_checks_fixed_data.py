"""The check of the chapter on fixed data, by mutation: wrong answers fail with their own words, right ones pass."""

import torch

from offac_lite.course import checks
from offac_lite.updates import expected_q
from tests.exercises import Answers


def advantages(policy, critic, obs, stored_action):
    pi = policy(obs)
    return pi, critic(obs, stored_action) - (pi.probs * critic.all_actions(obs)).sum(-1)


def with_exponentials(policy, critic, obs, stored_action, temperature):
    pi, advantage = advantages(policy, critic, obs, stored_action)
    weight = (advantage.detach() / temperature).exp()
    return -(weight * pi.log_prob(stored_action)).sum(-1) / weight.sum(-1)


def without_gradient(policy, critic, obs, stored_action, temperature):
    pi = policy(obs)
    with torch.no_grad():
        value = expected_q(pi, critic.all_actions(obs))
        weight = torch.softmax((critic(obs, stored_action) - value) / temperature, dim=-1)
    return (-weight * pi.log_prob(stored_action)).sum(dim=-1)


def of_all_seeds(policy, critic, obs, stored_action, temperature):
    return without_gradient(policy, critic, obs, stored_action, temperature).mean()


def wrong(weigh, finish=lambda weight, log_prob: -(weight * log_prob).sum(-1)):
    """Make a loss of the weights for (advantage, λ) and of what is done with them and log π."""

    def loss(policy, critic, obs, stored_action, temperature):
        pi, advantage = advantages(policy, critic, obs, stored_action)
        return finish(weigh(advantage, temperature), pi.log_prob(stored_action))

    return loss


def soft(advantage, temperature):
    return torch.softmax(advantage.detach() / temperature, -1)


def with_q(policy, critic, obs, stored_action, temperature):
    weight = torch.softmax(critic(obs, stored_action).detach() / temperature, -1)
    return -(weight * policy(obs).log_prob(stored_action)).sum(-1)


def favourite(policy, critic, obs, stored_action, temperature):
    pi, advantage = advantages(policy, critic, obs, stored_action)
    return -(soft(advantage, temperature) * pi.log_prob(pi.mode())).sum(-1)


def with_value(value_of):
    """Make a loss with another V, of the Q of all actions."""

    def loss(policy, critic, obs, stored_action, temperature):
        advantage = critic(obs, stored_action) - value_of(critic.all_actions(obs))
        return -(soft(advantage, temperature) * policy(obs).log_prob(stored_action)).sum(-1)

    return loss


def without_log(policy, critic, obs, stored_action, temperature):
    _, advantage = advantages(policy, critic, obs, stored_action)
    return -(soft(advantage, temperature) * critic(obs, stored_action)).sum(-1)


def drawn(policy, critic, obs, stored_action, temperature):
    pi, advantage = advantages(policy, critic, obs, stored_action)
    action = pi.sample(generator=torch.Generator())
    return -(soft(advantage, temperature) * pi.log_prob(action)).sum(-1)


def drawn_anyhow(policy, critic, obs, stored_action, temperature):
    pi, advantage = advantages(policy, critic, obs, stored_action)
    return -(soft(advantage, temperature) * pi.log_prob(pi.sample())).sum(-1)


def outside(policy, critic, obs, stored_action, temperature):
    return without_gradient(policy, critic, obs, stored_action, 1.0) / temperature


AL = checks.awac_loss
RIGHT = {AL: [with_exponentials, without_gradient, of_all_seeds]}
WRONG = [
    (AL, wrong(lambda a, t: torch.softmax(a / t, -1)), "the weights are not constant"),
    (AL, wrong(soft, lambda w, log_prob: (w * log_prob).sum(-1)), "the sign is flipped"),
    (AL, wrong(lambda a, t: soft(a, 1 / t)), "you multiply by λ"),
    (AL, wrong(lambda a, t: soft(a, 1)), "λ is missing"),
    (AL, with_q, "the weight has Q itself"),
    (AL, wrong(lambda a, t: soft(-a, t)), "the advantage has the wrong sign"),
    (AL, wrong(soft, lambda w, log_prob: -(w * log_prob).mean(-1)), "the weights add up to 1 already"),
    (AL, wrong(lambda a, t: (a.detach() / t).exp()), "do not add up to 1: divide by their sum"),
    (
        AL,
        wrong(lambda a, t: (a.detach() / t).exp(), lambda w, log_prob: -(w * log_prob).mean(-1)),
        "do not add up to 1, and the mean does not do that either",
    ),
    (AL, wrong(lambda a, t: a.detach() / t), "this is the advantage itself"),
    (AL, wrong(soft, lambda w, log_prob: -log_prob.mean(-1)), "this is behaviour cloning"),
    (AL, wrong(soft, lambda w, log_prob: -(w * log_prob.exp()).sum(-1)), "this weights π itself"),
    (AL, wrong(soft, lambda w, log_prob: -(w * log_prob.detach()).sum(-1)), "log π is detached"),
    (AL, with_value(lambda q: q.mean(-1)), "yours counts every action the same"),
    (AL, with_value(lambda q: q.amax(-1)), "yours is the best action's Q"),
    (AL, outside, "λ divides the loss"),
    (AL, without_log, "log π is missing"),
    (AL, favourite, "π's own favourite action"),
    (AL, wrong(lambda a, t: torch.softmax(a.detach() / t, 0)), "your softmax runs over the seeds"),
    (AL, wrong(soft, lambda w, log_prob: -(w * log_prob).sum()), "adds the losses of all seeds"),
    (AL, drawn, r"you draw an action: \(F.1\) has the stored action"),
    (AL, drawn_anyhow, r"you draw an action: \(F.1\) has the stored action"),
    (AL, lambda policy: policy, "it stops with TypeError"),
]


class TestAnswers(Answers):
    NOTEBOOKS = ("further/fixed_data.ipynb",)
    RIGHT, WRONG = RIGHT, WRONG
    REVEALING = ("softmax(", ".detach()", ".sum(")
