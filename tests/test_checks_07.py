"""The checks of notebook 07 and More patients: wrong repairs fail with their own words, right ones pass."""

import torch
from torch.nn import functional

from offac_lite.course import checks
from offac_lite.networks import of_actions
from tests.exercises import Answers

A, B, C, D = checks.patient_a, checks.patient_b, checks.patient_c, checks.patient_d
E, F, G, H = checks.patient_e, checks.patient_f, checks.patient_g, checks.patient_h
ROWS = checks.wrong_rows

# ------------------------------------------------------------------ right answers, each in more than one way


def target_with_a_product(reward, ended, next_value, gamma):
    return reward + gamma * (1 - ended.float()) * next_value


def target_with_masked_fill(reward, ended, next_value, gamma):
    return reward + gamma * next_value.masked_fill(ended, 0.0)


def target_in_two_steps(reward, ended, next_value, gamma):
    y = reward.clone()
    y[~ended] += gamma * next_value[~ended]
    return y


def loss_without_a_graph(log_prob, q, value):
    with torch.no_grad():
        advantage = q - value
    return -(log_prob * advantage).mean()


def loss_term_by_term(log_prob, q, value):
    weight = q.detach() - value.detach()
    total = sum((-log_prob[k] * weight[k]).sum() for k in range(len(q)))
    return total / q.numel()


def loss_of_two_means(log_prob, q, value):
    return (-log_prob * (q - value).detach()).mean(0).mean()


def critic_loss_by_index(q_all, action, target):
    return 0.5 * ((q_all[torch.arange(len(action)), action] - target.detach()) ** 2).mean()


def critic_loss_by_the_library(q_all, action, target):
    q = q_all.gather(1, action[:, None])
    return functional.mse_loss(q, target[:, None]) / 2


def critic_loss_by_one_hot(q_all, action, target):
    q = (q_all * functional.one_hot(action, q_all.shape[-1])).sum(-1)
    return (q - target).pow(2).mean() / 2


def resample_by_gather(pi, q_all, action_samples, generator):
    a = pi.sample(action_samples, generator=generator)
    return pi.log_probs.gather(-1, a.mT).mT, q_all.gather(-1, a.mT).mT.detach()


def resample_in_a_loop(pi, q_all, action_samples, generator):
    draws = [pi.sample(generator=generator) for _ in range(action_samples)]
    return torch.stack([pi.log_prob(a) for a in draws], -2), torch.stack([of_actions(q_all, a) for a in draws], -2)


def next_value_with_einsum(policy, target_critic, next_obs, stored_next_action):
    return torch.einsum("...a,...a->...", policy(next_obs).probs, target_critic.all_actions(next_obs))


def next_value_in_a_loop(policy, target_critic, next_obs, stored_next_action):
    pi, total = policy(next_obs), 0.0
    for a in range(pi.probs.shape[-1]):
        action = torch.full_like(stored_next_action, a)
        total = total + pi.log_prob(action).exp() * target_critic(next_obs, action)
    return total


def rows_one_number_at_a_time(obs, action, next_obs):
    episode, step, executed = next_obs.unbind(1)
    return (episode != obs[:, 0]) | (step - obs[:, 1] != 1) | (executed != action.squeeze(1))


def rows_by_cat(obs, action, next_obs):
    return ~(torch.cat([obs[:, :2] + torch.tensor([0, 1]), action], -1) == next_obs).all(-1)


def rows_in_a_loop(obs, action, next_obs):
    rows = zip(obs.tolist(), action.tolist(), next_obs.tolist(), strict=True)
    return torch.tensor([new != [old[0], old[1] + 1, a[0]] for old, a, new in rows])


RIGHT = {
    A: [target_with_a_product, target_with_masked_fill, target_in_two_steps],
    B: [loss_without_a_graph, loss_term_by_term, loss_of_two_means],
    C: [loss_without_a_graph, loss_term_by_term, loss_of_two_means],
    D: [critic_loss_by_index, critic_loss_by_the_library, critic_loss_by_one_hot],
    E: [resample_by_gather, resample_in_a_loop],
    F: [loss_without_a_graph, loss_term_by_term, loss_of_two_means],
    G: [next_value_with_einsum, next_value_in_a_loop],
    ROWS: [rows_one_number_at_a_time, rows_by_cat, rows_in_a_loop],
    H: [lambda te, tr: te.clone(), lambda te, tr: te & (te | tr), lambda te, tr: torch.where(te, True, False)],
}


# --------------------------------------------------------------------- wrong answers, and what must be said


def wrong_target(variant):
    def q_target(reward, ended, next_value, gamma):
        go_on = 1.0 - ended.float()
        return {
            "bug": lambda: reward + gamma * torch.where(ended, next_value, next_value),
            "inverted": lambda: reward + gamma * torch.where(ended, next_value, 0.0),
            "no last reward": lambda: go_on * (reward + gamma * next_value),
            "no discount": lambda: reward + go_on * next_value,
            "no future": lambda: reward.clone(),
            "all discounted": lambda: gamma * reward + gamma * go_on * next_value,
            "sign": lambda: reward - gamma * go_on * next_value,
            "penalty": lambda: reward - ended.float() + gamma * next_value,
            "one for all": lambda: reward if ended.any() else reward + gamma * next_value,
            "minus one": lambda: torch.where(ended, -1.0, reward + gamma * next_value),
            "mean": lambda: (reward + gamma * go_on * next_value).mean(),
        }[variant]()

    return q_target


def wrong_actor(variant):
    def loss(log_prob, q, value):
        advantage = (q - value).detach()
        return {
            "sign": lambda: torch.mean(log_prob * advantage),
            "attached": lambda: torch.mean(-log_prob * (q - value)),
            "sum": lambda: torch.sum(-log_prob * advantage),
            "sign, attached": lambda: torch.mean(log_prob * (q - value)),
            "sum over K": lambda: (-log_prob * advantage).sum(-2).mean(),
            "sum over B": lambda: (-log_prob * advantage).sum(-1).mean(),
            "batch mean": lambda: (-log_prob * advantage).mean(1),
            "no baseline": lambda: (-log_prob * q.detach()).mean(),
            "no baseline in the product": lambda: (value - log_prob * q.detach()).mean(),
            "mean of the draws": lambda: (-log_prob * (q - q.mean(0)).detach()).mean(),
            "wrong factor": lambda: -(log_prob.detach() * (q - value)).mean(),
            "both cut": lambda: -(log_prob * (q - value)).detach().mean(),
            "π": lambda: -(torch.exp(log_prob) * advantage).mean(),
            "abs": lambda: (-log_prob * advantage).mean().abs(),
            "minus abs": lambda: -torch.abs((log_prob * advantage).mean()),
            "plus": lambda: -(log_prob * (q + value).detach()).mean(),
        }[variant]()

    return loss


ACTOR_WORDS = {
    "sign": "the sign is flipped.*rarer$",
    "attached": "a gradient flows into Q",
    "sum": "add up over states and actions",
    "sign, attached": "the sign is flipped, and besides a gradient",
    "sum over K": "add up the K actions",
    "sum over B": "add up the states",
    "batch mean": "over the batch only",
    "no baseline": "your gradient has no baseline",
    "no baseline in the product": "your gradient has no baseline",
    "mean of the draws": "the mean over the axis before the last is subtracted from Q",
    "wrong factor": "cut at the wrong factor",
    "both cut": "log π is detached",
    "π": "weights by π, for the gradient of π",
    "abs": "yours is never negative",
    "minus abs": "yours is never positive",
    "plus": "V.s. has the wrong sign",
}


def wrong_critic(variant):
    def loss(q_all, action, target):
        q = q_all.gather(-1, action.unsqueeze(-1)).squeeze(-1)
        return {
            "bug": lambda: ((q[:, None] - target) ** 2).mean() / 2,
            "the other way": lambda: ((q - target[:, None]) ** 2).mean() / 2,
            "sum": lambda: ((q - target) ** 2).sum() / 2,
            "no half": lambda: functional.mse_loss(q, target),
            "max": lambda: ((q_all.max(-1).values - target) ** 2).mean() / 2,
            "all actions": lambda: ((q_all - target[:, None]) ** 2).mean() / 2,
            "first row": lambda: ((q_all.gather(-1, action.unsqueeze(0)).squeeze(0) - target) ** 2).mean() / 2,
            "every action": lambda: functional.mse_loss(q_all[:, action], target.expand(len(q_all), -1)) / 2,
            "axis 0": lambda: functional.mse_loss(q_all.gather(0, action[None])[0], target) / 2,
            "no axis": lambda: functional.mse_loss(q_all.gather(-1, action), target) / 2,
            "mean first": lambda: (q - target).mean() ** 2 / 2,
            "Huber": lambda: functional.huber_loss(q, target, delta=0.1),
            "distance": lambda: (q - target).abs().mean() / 2,
            "per row": lambda: (q - target) ** 2 / 2,
            "no gradient": lambda: ((q.detach() - target) ** 2).mean() / 2,
            "number": lambda: ((q - target) ** 2).mean().item() / 2,
        }[variant]()

    return loss


def wrong_resample(variant):
    def resample(pi, q_all, action_samples, generator):
        if variant == "bug":
            q = of_actions(q_all, pi.sample(action_samples, generator=generator))
            return pi.log_prob(pi.sample(action_samples, generator=generator)), q
        if variant == "no axis":
            a = pi.sample(generator=generator)
            return pi.log_prob(a), of_actions(q_all, a)
        if variant in ("mode", "one", "copies"):
            a = pi.mode() if variant == "mode" else pi.sample(generator=generator)
            a = a.unsqueeze(0).repeat(1 if variant == "one" else action_samples, 1)
            return pi.log_prob(a), of_actions(q_all, a)
        if variant == "uniform":
            a = torch.randint(q_all.shape[-1], (action_samples, len(q_all)), generator=generator)
        elif variant == "other draws":
            a = torch.multinomial(pi.probs, action_samples, replacement=True, generator=generator).T
        elif variant == "global draws":
            a = torch.multinomial(pi.probs, action_samples, replacement=True).T
        else:
            a = pi.sample(action_samples, generator=generator)
        log_prob, q = pi.log_prob(a), of_actions(q_all, a)
        if variant in ("uniform", "other draws", "global draws"):
            return log_prob, q
        return {
            "order": lambda: (q, log_prob),
            "all actions": lambda: (log_prob, q_all),
            "V": lambda: (log_prob, (pi.probs * q_all).sum(-1).expand_as(log_prob)),
            "max": lambda: (log_prob, q_all.max(-1).values.expand_as(log_prob)),
            "less V": lambda: (log_prob, q - (pi.probs * q_all).sum(-1).unsqueeze(-2)),
            "cut": lambda: (log_prob.detach(), q),
            "π": lambda: (log_prob.exp(), q),
            "one tensor": lambda: log_prob * q,
            "mean": lambda: (log_prob.mean(0), q.mean(0)),
        }[variant]()

    return resample


def wrong_next_value(variant):
    def next_value(policy, target_critic, next_obs, stored_next_action):
        pi, q = policy(next_obs), target_critic.all_actions(next_obs)
        return {
            "bug": lambda: q.gather(-1, stored_next_action.unsqueeze(-1)).squeeze(-1),
            "max": lambda: q.max(-1).values,
            "mode": lambda: target_critic(next_obs, pi.probs.argmax(-1)),
            "uniform": lambda: q.mean(-1),
            "sum": lambda: q.sum(-1),
            "log": lambda: (pi.log_probs * q).sum(-1),
            "mean": lambda: (pi.probs * q).mean(-1),
            "soft": lambda: q.logsumexp(-1),
            "softmax of Q": lambda: (q.softmax(-1) * q).sum(-1),
            "one term": lambda: pi.log_prob(stored_next_action).exp() * target_critic(next_obs, stored_next_action),
            "no sum": lambda: pi.probs * q,
        }[variant]()

    return next_value


def wrong_row_test(variant):
    def wrong_rows(obs, action, next_obs):
        episode, step, executed = (next_obs - torch.cat([obs[:, :1], obs[:, 1:2] + 1, action], 1)).unbind(1)
        differs = torch.stack([episode, step, executed], 1) != 0
        return {
            "right rows": lambda: ~differs.any(1),
            "some number fits": lambda: (~differs).any(1),
            "all": lambda: differs.all(1),
            "per number": lambda: differs,
            "one for all": lambda: differs.any(),
            "same step": lambda: differs[:, ::2].any(1) | (next_obs[:, 1] != obs[:, 1]),
            "the action before": lambda: differs[:, :2].any(1) | (next_obs[:, 2] != obs[:, 2]),
            "the action of s": lambda: differs[:, :2].any(1) | (obs[:, 2] != action[:, 0]),
            "every row": lambda: differs.any(1) | True,
            "resets": lambda: differs.any(1) & ((next_obs[:, 0] != obs[:, 0] + 1) | (next_obs[:, 1] != 0)),
            "no episode": lambda: differs[:, 1:].any(1),
            "no step": lambda: differs[:, ::2].any(1),
            "no action": lambda: differs[:, :2].any(1),
        }[variant]()

    return wrong_rows


WRONG = [
    (ROWS, wrong_row_test("right rows"), "rows that are correct"),
    (ROWS, wrong_row_test("some number fits"), "in which some number fits"),
    (ROWS, wrong_row_test("all"), "until all of them are"),
    (ROWS, wrong_row_test("per number"), "one for each of its three numbers"),
    (ROWS, wrong_row_test("one for all"), "one for all of them"),
    (ROWS, wrong_row_test("same step"), "one more than that of s"),
    (ROWS, wrong_row_test("the action before"), "the one in s led to s"),
    (ROWS, wrong_row_test("the action of s"), "you compare the action with the last number of s"),
    (ROWS, wrong_row_test("every row"), "true everywhere, also where it should be false"),
    (ROWS, wrong_row_test("resets"), "the first state of the next episode passes"),
    (ROWS, wrong_row_test("no episode"), "belongs to another episode"),
    (ROWS, wrong_row_test("no step"), "not the next step"),
    (ROWS, wrong_row_test("no action"), "was not executed"),
    (A, wrong_target("bug"), "still bootstraps past the end"),
    (A, wrong_target("inverted"), "the mask is inverted"),
    (A, wrong_target("no last reward"), "the last reward is lost"),
    (A, wrong_target("no discount"), "γ is missing as a factor"),
    (A, wrong_target("no future"), "nothing is bootstrapped"),
    (A, wrong_target("all discounted"), "r is discounted too"),
    (A, wrong_target("sign"), "has the wrong sign"),
    (A, wrong_target("penalty"), "you subtract d itself"),
    (A, wrong_target("minus one"), "wrong exactly where d is true"),
    (A, wrong_target("mean"), r"^y .no end in the batch. has shape \(\)"),
    (A, wrong_target("one for all"), "one end in the batch switches"),
    *[(e, wrong_actor(variant), words) for e in (B, C, F) for variant, words in ACTOR_WORDS.items()],
    (D, wrong_critic("bug"), r"shape \(B, 1\)"),
    (D, wrong_critic("the other way"), r"shape \(B, 1\)"),
    (D, wrong_critic("sum"), "a sum is taken where the mean belongs"),
    (D, wrong_critic("no half"), "the factor ½"),
    (D, wrong_critic("max"), "the best action's Q"),
    (D, wrong_critic("all actions"), "all the actions of a state"),
    (D, wrong_critic("first row"), "in the first state"),
    (D, wrong_critic("every action"), "every row is looked up at every action"),
    (D, wrong_critic("axis 0"), "picks a row of the table"),
    (D, lambda q, a, y: 0.5 * (q[a] - y).square().mean(), "the actions pick rows here"),
    (D, wrong_critic("no axis"), r"RuntimeError: Index tensor .*`gather` wants an index with as many axes"),
    (D, wrong_critic("mean first"), "you square the mean"),
    (D, wrong_critic("distance"), "equally large for every distance"),
    (D, wrong_critic("Huber"), "equally large for every distance"),
    (D, lambda q, a, y: 0.5 * (q[a] - y[:, None]).square().mean(), "the actions pick rows here"),
    (D, wrong_critic("per row"), "one for each row"),
    (D, wrong_critic("no gradient"), "no gradient reaches Q"),
    (D, wrong_critic("number"), "^a plain number is returned"),
    (E, lambda pi, q_all, k, g: (pi.sample(k), q_all), r"Categorical.sample\(\) missing .* 'generator'"),
    (E, wrong_resample("bug"), "of one draw and Q of another"),
    (E, wrong_resample("mode"), "the most probable action:"),
    (E, wrong_resample("one"), "whatever action_samples says"),
    (E, wrong_resample("copies"), "repeat it"),
    (E, wrong_resample("order"), "in the wrong order"),
    (E, wrong_resample("V"), r"this is V\(s\)"),
    (E, wrong_resample("max"), "the best action's Q"),
    (E, wrong_resample("less V"), r"V.s. is subtracted from Q"),
    (E, wrong_resample("cut"), "log π is detached"),
    (E, wrong_resample("π"), "log π is exponentiated once too often"),
    (E, wrong_resample("one tensor"), "two tensors are wanted"),
    (E, wrong_resample("all actions"), r"each of the \*drawn\* actions"),
    (E, wrong_resample("no axis"), "axis of the drawn actions is missing"),
    (E, wrong_resample("mean"), "average over the drawn actions"),
    (E, wrong_resample("uniform"), r"with \.sample of the policy's distribution"),
    (E, wrong_resample("other draws"), r"with \.sample of the policy's distribution"),
    (E, wrong_resample("global draws"), r"with \.sample of the policy's distribution"),
    (G, wrong_next_value("bug"), "a′ is still the stored one"),
    (G, wrong_next_value("max"), "Q-learning"),
    (G, wrong_next_value("soft"), "a soft maximum of Q"),
    (G, wrong_next_value("softmax of Q"), "the weights come from Q"),
    (G, wrong_next_value("mode"), "favourite action alone"),
    (G, wrong_next_value("uniform"), "every action counts the same"),
    (G, wrong_next_value("sum"), "without π's probabilities"),
    (G, wrong_next_value("log"), "not log π"),
    (G, wrong_next_value("mean"), "once more is too much"),
    (G, wrong_next_value("one term"), "only the stored action"),
    (G, wrong_next_value("no sum"), "these are the terms"),
    (H, lambda te, tr: torch.logical_or(te, tr), "a time limit still counts"),
    (H, lambda te, tr: tr, "the time limit alone"),
    (H, lambda te, tr: torch.logical_and(te, tr), "both reasons at once"),
    (H, lambda te, tr: te & tr.logical_not(), "in its last allowed step"),
    (H, lambda te, tr: te.logical_not(), "the opposite of d$"),
    (H, lambda te, tr: ~te & ~tr, "the opposite of d, and"),
    (H, lambda te, tr: te & False, "no episode ends at all"),
    (H, lambda te, tr: te.float(), "float32, and bool is wanted"),
]


NAMES = ["q_target", "loss_b", "loss_c", "critic_loss", "resample", "loss_f", "next_value", "ended"]
FUNCTIONS = {patient: f"my_{name}" for patient, name in zip((A, B, C, D, E, F, G, H), NAMES, strict=True)}
FUNCTIONS[ROWS] = "my_wrong_rows"


class TestAnswers(Answers):
    NOTEBOOKS = ("07_bug_clinic.ipynb", "further/more_patients.ipynb")
    RIGHT, WRONG = RIGHT, WRONG
    REVEALING = ("detach()", ".mean(", "squeeze(", "torch.where", "probs", "torch.")
    FUNCTIONS = FUNCTIONS
    SCOPE = {"of_actions": of_actions}  # noqa: RUF012
