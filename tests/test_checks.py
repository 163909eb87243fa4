"""The exercises' checks, by mutation: every wrong answer fails with its own words, right ones pass however written.

The wrong answers here are written as students write them, apart from the ones the checks compare with.
"""

import torch

from offac_lite.course import checks
from tests.exercises import Answers

# ------------------------------------------------------------------ right answers, each in more than one way


def v_target_in_two_steps(reward, terminated, next_value, gamma):
    later = gamma * next_value.detach().clone()
    later[terminated] = 0.0
    return reward + later


def v_target_with_a_product(reward, terminated, next_value, gamma):
    with torch.no_grad():
        return reward + gamma * (1 - terminated.float()) * next_value


def actor_loss_by_negation(log_prob, advantage):
    return (-log_prob * advantage.detach()).mean(dim=-1)


def actor_loss_by_division(log_prob, advantage):
    weights = advantage.detach().clone()
    return -torch.einsum("...b,...b->...", log_prob, weights) / log_prob.shape[-1]


def resampled_loss_in_a_loop(policy, critic, obs, stored_action, action_samples, generator):
    pi, total = policy(obs), 0.0
    for _ in range(action_samples):
        a = pi.sample(generator=generator)
        with torch.no_grad():
            q = critic(obs, a)
        total = total - (pi.log_prob(a) * q).mean()
    return total / action_samples


def resampled_loss_one_policy_a_draw(policy, critic, obs, stored_action, action_samples, generator):
    losses = []
    for _ in range(action_samples):
        pi = policy(obs)
        a = pi.sample(1, generator=generator)
        losses.append(-(pi.log_prob(a) * critic(obs, a).detach()).mean())
    return torch.stack(losses).mean()


def resampled_loss_at_once(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    a = pi.sample(action_samples, generator=generator)
    return -(pi.log_prob(a) * critic(obs, a).detach()).mean()


def resampled_loss_a_number_for_each_seed(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    a = pi.sample(action_samples, generator=generator)
    terms = pi.log_prob(a) * critic(obs, a).detach()
    return -terms.mean(-1).sum(-1) / action_samples


def leave_one_out_by_sum(q):
    k = q.shape[-2]
    return q - (q.sum(-2, keepdim=True) - q) / (k - 1)


def leave_one_out_with_a_mask(q):
    k = q.shape[-2]
    others = (1 - torch.eye(k)) / (k - 1)
    return q - others @ q


def bootstraps_by_where(terminated, truncated):
    return torch.where(terminated, False, True)


RIGHT = {
    checks.v_target: [v_target_in_two_steps, v_target_with_a_product],
    checks.actor_loss: [actor_loss_by_negation, actor_loss_by_division],
    checks.bootstraps: [bootstraps_by_where, lambda te, tr: te.logical_not()],
    checks.resampled_loss: [
        resampled_loss_in_a_loop,
        resampled_loss_at_once,
        resampled_loss_one_policy_a_draw,
        resampled_loss_a_number_for_each_seed,
    ],
    checks.leave_one_out: [leave_one_out_by_sum, leave_one_out_with_a_mask],
    checks.total_variance: [
        lambda s, a, n, k: s / n + a / (n * k),
        lambda s, a, n, k: torch.tensor(s / n, dtype=torch.float64) + a / n / k,
    ],
    checks.resampled_advantage: [
        lambda critic, obs, a, r, nv, v, g: critic(obs, a).detach() - v,
        lambda critic, obs, a, r, nv, v, g: torch.stack([critic(obs, row) - v for row in a]),
    ],
}


# --------------------------------------------------------------------- wrong answers, and what must be said


def refused_by_torch(reward, terminated, next_value, gamma):
    raise NotImplementedError("Subtraction, the `-` operator, with a bool tensor is not supported.")  # 1 - d


def v_target_without_return(reward, terminated, next_value, gamma):
    y = reward + gamma * torch.where(terminated, 0.0, next_value.detach())  # noqa: F841


def v_target_mutates(reward, terminated, next_value, gamma):
    reward += gamma * torch.where(terminated, 0.0, next_value.detach())
    return reward


def wrong_resampled(variant):
    def loss(policy, critic, obs, stored_action, action_samples, generator):
        pi = policy(obs)
        if variant == "one":
            a = pi.sample(generator=generator)
            return -(pi.log_prob(a) * critic(obs, a).detach()).mean()
        a = pi.sample(action_samples, generator=generator)
        if variant == "stored":
            return -(pi.log_prob(stored_action) * critic(obs, stored_action).detach()).mean()
        if variant == "batch mean":
            return -(pi.log_prob(a) * critic(obs, a).detach()).mean(-1)
        if variant == "two draws":
            b = policy(obs).sample(action_samples, generator=generator)
            return -(pi.log_prob(a) * critic(obs, b).detach()).mean()
        if variant == "own baseline":
            q = critic(obs, a).detach()
            return -(pi.log_prob(a) * (q - q.mean(0))).mean()
        if variant == "the others":
            q = critic(obs, a).detach()
            return -(
                pi.log_prob(a) * (q * action_samples - q.sum(-2, keepdim=True)) / torch.tensor(action_samples - 1.0)
            ).mean()
        if variant == "sign, attached":
            return (pi.log_prob(a) * critic(obs, a)).mean()
        if variant == "stored log π":
            return -(pi.log_prob(stored_action) * critic(obs, a).detach()).mean()
        if variant == "stored Q":
            return -(pi.log_prob(a) * critic(obs, stored_action).detach()).mean()
        if variant == "sign":
            return (pi.log_prob(a) * critic(obs, a).detach()).mean()
        if variant == "attached":
            return -(pi.log_prob(a) * critic(obs, a)).mean()
        if variant == "sum":
            return -(pi.log_prob(a) * critic(obs, a).detach()).sum()
        if variant == "sum over K":
            return -(pi.log_prob(a) * critic(obs, a).detach()).sum(0).mean()
        if variant == "greedy":
            a = pi.probs.argmax(-1)
            return -(pi.log_prob(a) * critic(obs, a).detach()).mean()
        if variant == "detached":
            with torch.no_grad():
                return -(pi.log_prob(a) * critic(obs, a)).mean()
        if variant == "only Q":
            return -critic(obs, a).detach().mean()
        if variant == "first axes":
            return -(pi.log_prob(a) * critic(obs, a).detach()).mean(0).mean(0)
        if variant == "last, first":
            return -(pi.log_prob(a) * critic(obs, a).detach()).mean(-1).mean(0)
        if variant == "len(obs)":
            return -(pi.log_prob(a) * critic(obs, a).detach()).sum() / (action_samples * len(obs))
        if variant == "K B":
            return -(pi.log_prob(a) * critic(obs, a).detach()).sum() / (action_samples * obs.shape[-2])
        if variant == "sum of means":
            return -(pi.log_prob(a) * critic(obs, a).detach()).sum(0).mean() / action_samples
        if variant == "row by row":
            return sum(-(pi.log_prob(row) * critic(obs, row).detach()).mean() for row in a) / action_samples
        if variant == "number":
            return -(pi.log_prob(a) * critic(obs, a).detach()).mean().item()
        if variant == "multinomial":
            a = torch.multinomial(pi.probs, action_samples, replacement=True, generator=generator).T
            return -(pi.log_prob(a) * critic(obs, a).detach()).mean()
        if variant == "torch's own":
            a = torch.distributions.Categorical(pi.probs).sample((action_samples,))
            return -(pi.log_prob(a) * critic(obs, a).detach()).mean()
        if variant == "π":
            return -(pi.log_prob(a).exp() * critic(obs, a).detach()).mean()
        raise AssertionError(variant)

    return loss


def resampled_loss_first_of_one(policy, critic, obs, stored_action, action_samples, generator):
    pi, total = policy(obs), 0.0
    for _ in range(action_samples):
        a = pi.sample(1, generator=generator)[0]
        total = total - (pi.log_prob(a) * critic(obs, a).detach()).mean()
    return total / action_samples


WRONG = [
    (checks.v_target, lambda r, d, v, g: r + g * v.detach(), "bootstrap past a terminal state:"),
    (checks.v_target, lambda r, d, v, g: r + g * v * ~d, "a gradient flows from the target"),
    (checks.v_target, lambda r, d, v, g: r + g * v, "past a terminal state, and a gradient flows"),
    (checks.v_target, lambda r, d, v, g: r + v.detach() * ~d, "the discount γ is missing"),
    (checks.v_target, lambda r, d, v, g: g * (r + v.detach() * ~d), "the reward is discounted too"),
    (checks.v_target, lambda r, d, v, g: r + g * d * v.detach(), "the mask is inverted"),
    (checks.v_target, lambda r, d, v, g: r + g * (1 - d) * v.detach(), r"\. You subtract with a tensor of True and"),
    (checks.v_target, lambda r, d, v, g: r + g * (not d) * v.detach(), "ask for a single truth value"),
    (checks.v_target, lambda r, d, v, g: r + 0.9 * g * v.detach() * ~d, "exactly where d is false|γ"),
    (checks.v_target, lambda r, d, v, g: r + 0.99 * v.detach() * ~d, "the target does not depend on γ"),
    (checks.bootstraps, lambda te, tr: not (te or tr), "ask for a single truth value"),
    (checks.v_target, lambda r, d, v, g: (r + g * v.detach()) * ~d, "takes the reward away"),
    (checks.v_target, lambda r, d, v, g: g * v.detach() * ~d, "the term with r is missing"),
    (checks.v_target, lambda r, d, v, g: r - g * v.detach() * ~d, "a sign is wrong"),
    (checks.v_target, lambda r, d, v, g: (r + g * v.detach() * ~d).mean(), "average over the batch"),
    (checks.v_target, lambda r, d, v, g: (r + g * v.detach() * ~d).sum(), "add up the batch"),
    (checks.v_target, lambda r, d, v, g: r[:, None] + g * v.detach() * ~d, r"has shape \(4, 4\).*broadcast"),
    (checks.v_target, lambda r, d, v, g: r + g * (1 - d) * v, "it stops with .*Error: Subtraction"),
    (checks.v_target, refused_by_torch, "it stops with NotImplementedError: Subtraction"),
    (checks.v_target, v_target_without_return, "^it returns nothing: is a return missing"),
    (checks.v_target, v_target_mutates, "changes one of its arguments in place"),
    (checks.v_target, lambda r, d, v, g: r + g * v.requires_grad_(False) * ~d, "changes one of its .* any more"),
    (checks.v_target, lambda r, d, v, g: r + g * v.detach_() * ~d, "changes one of its .* any more"),
    (checks.v_target, lambda r, d, v, g: r + g * v.mul_(~d).detach(), "^your function changes .* in place"),
    (checks.v_target, lambda r, d, v, g: [1.0, 2.0], "returned a list; a tensor is wanted"),
    (checks.v_target, lambda r: r, "it stops with TypeError"),
    (checks.v_target, lambda r, d, v, g: 2 * r, "γ · V.s′. is missing, and besides every number is 2 times"),
    (checks.v_target, 3.0, "a function is wanted, and this is a float"),
    (checks.actor_loss, lambda lp, a: (lp * a.detach()).mean(-1), "the sign is flipped"),
    (checks.actor_loss, lambda lp, a: -(lp * a).mean(-1), "a gradient flows into the advantage"),
    (checks.actor_loss, lambda lp, a: -(lp * a.detach()).sum(-1), "add up the batch where its mean is wanted"),
    (checks.actor_loss, lambda lp, a: -(lp * a.detach()).mean(), "your mean runs over the seeds too"),
    (checks.actor_loss, lambda lp, a: -(lp.detach() * a).mean(-1), "log π is detached, .* into the advantage instead"),
    (checks.actor_loss, lambda lp, a: -(lp * a).detach().mean(-1), "log π is detached"),
    (checks.actor_loss, lambda lp, a: -(lp.exp() * a.detach()).mean(-1), "weights by π, for the gradient of π"),
    (
        checks.actor_loss,
        lambda lp, a: -(lp.exp().detach() * lp * a.detach()).mean(-1),
        "weights by π, for the gradient of π",
    ),
    (checks.actor_loss, lambda lp, a: -(lp * a.detach()).mean(-1).item(), "^a plain number is returned"),
    (checks.actor_loss, lambda lp, a: -lp.mean(-1), "the advantage is missing"),
    (checks.actor_loss, lambda lp, a: -lp * a.detach(), "the mean is missing"),
    (checks.actor_loss, lambda lp, a: -(lp * a.detach()).sum(), "seeds included"),
    (checks.actor_loss, lambda lp, a: -(lp[..., None] * a.detach()[..., None, :]).mean(-1), r"shape \(4,\).*broadcast"),
    (checks.actor_loss, lambda lp, a: -(lp * a.detach()).mean(0), "a mean is taken over the first axis"),
    (checks.actor_loss, lambda lp, a: -(lp * a.detach()).mean(-1, keepdim=True), "the last axis, which is kept"),
    (checks.actor_loss, lambda lp, a: (lp * a).mean(-1), "the sign is flipped.*and besides, a gradient flows"),
    (checks.actor_loss, lambda lp, a: (lp * (a.mean(-1, True) - a).detach()).mean(-1), "you centre the advantages"),
    (
        checks.actor_loss,
        lambda lp, a: -(lp * ((a - a.mean(-1, True)) / a.std(-1, keepdim=True)).detach()).sum(-1) / 4,
        "you normalise the advantages",
    ),
    (checks.v_target, lambda r, d, v, g: r + v * ~d, "the discount γ is missing.*and besides, a gradient flows"),
    (checks.v_target, lambda r, d, v, g: r + g * d * v, "the mask is inverted.*and besides, a gradient flows"),
    (checks.bootstraps, lambda te, tr: ~(te & tr), "an episode can end by termination alone"),
    (checks.bootstraps, lambda te, tr: tr, "truncation, not termination, and the answer is inverted"),
    (checks.bootstraps, lambda te, tr: ~(te | tr), "truncation is taken for termination"),
    (checks.bootstraps, lambda te, tr: te, "^the answer is inverted: you"),
    (checks.bootstraps, lambda te, tr: te | tr, "^the answer is inverted, and truncation"),
    (checks.bootstraps, lambda te, tr: ~tr, "you check truncation, not termination:"),
    (checks.bootstraps, lambda te, tr: ~te | tr, "terminated and truncated at once"),
    (checks.bootstraps, lambda te, tr: te == te, "you always bootstrap"),
    (checks.bootstraps, lambda te, tr: 1 - te.float(), "float32, and bool is wanted"),
    (checks.bootstraps, lambda te, tr: not te, "it stops with RuntimeError"),
    (checks.bootstraps, lambda te, tr: ~te.to(torch.uint8).char(), "gives −1 and −2"),
    (
        checks.bootstraps,
        lambda te, tr: ~te.any() & te,
        "^your answer is false everywhere, also where it should be true",
    ),
    (checks.bootstraps, lambda te, tr: 2 - te.int(), "true or false is wanted in every place, and the answer holds"),
    (checks.resampled_loss, lambda p, c, s, a, k, g: p(s).sample(k), r"Categorical.sample\(\) missing .* 'generator'"),
    (checks.resampled_loss, wrong_resampled("stored"), "you use the stored action"),
    (checks.resampled_loss, wrong_resampled("stored log π"), "log π is of the stored action"),
    (checks.resampled_loss, wrong_resampled("stored Q"), "Q is that of the stored action"),
    (checks.resampled_loss, wrong_resampled("sign"), "the sign is flipped"),
    (checks.resampled_loss, wrong_resampled("attached"), "a gradient flows into Q"),
    (checks.resampled_loss, wrong_resampled("batch mean"), "average over the batch only"),
    (checks.resampled_loss, wrong_resampled("two draws"), "one draw and Q of another"),
    (checks.resampled_loss, wrong_resampled("own baseline"), "subtract a baseline"),
    (checks.resampled_loss, wrong_resampled("the others"), "with K = 1 there are none"),
    (checks.resampled_loss, wrong_resampled("sign, attached"), "sign is flipped.*and besides"),
    (checks.resampled_loss, wrong_resampled("sum"), "add up where the mean over states and actions"),
    (checks.resampled_loss, wrong_resampled("sum over K"), "add up the K actions"),
    (checks.resampled_loss, wrong_resampled("one"), "one action per state, whatever action_samples says"),
    (checks.resampled_loss, wrong_resampled("greedy"), "the most probable action"),
    (checks.resampled_loss, wrong_resampled("detached"), "log π is detached"),
    (checks.resampled_loss, wrong_resampled("only Q"), "log π is missing|log π is detached"),
    (checks.resampled_loss, wrong_resampled("π"), "weights by π, for the gradient of π"),
    (checks.resampled_loss, resampled_loss_first_of_one, "^right .*an axis of seeds.*it stops with ValueError: action"),
    (checks.resampled_loss, wrong_resampled("row by row"), "^right .*an axis of seeds.*it stops with"),
    (checks.resampled_loss, wrong_resampled("first axes"), "^correct without seeds.*mean over the first two axes"),
    (
        checks.resampled_loss,
        wrong_resampled("last, first"),
        "^correct without seeds.*mean over the first axis is a mean over seeds",
    ),
    (checks.resampled_loss, wrong_resampled("len(obs)"), "^correct without seeds.*divide by the number of seeds"),
    (checks.resampled_loss, wrong_resampled("K B"), "^correct without seeds.*You add up over the seeds"),
    (checks.resampled_loss, wrong_resampled("sum of means"), "with an axis of seeds in front, as in notebook 06"),
    (checks.resampled_loss, wrong_resampled("number"), "^a plain number is returned, .* no gradient can flow"),
    (checks.resampled_loss, wrong_resampled("multinomial"), "draw the actions with .sample"),
    (checks.resampled_loss, wrong_resampled("torch's own"), "draw the actions with .sample"),
    (checks.leave_one_out, lambda q: q - q.mean(-2, keepdim=True), "your mean contains the action's own Q"),
    (checks.leave_one_out, lambda q: q - q.mean(-1, keepdim=True), "average over the batch of states"),
    (checks.leave_one_out, lambda q: (q - q.mean(0)) * len(q) / (len(q) - 1), "not what it should be|first axis"),
    (checks.leave_one_out, lambda q: q - q.mean(0), "first axis"),
    (
        checks.leave_one_out,
        lambda q: q - (q.sum(-2, keepdim=True) - q) / q.shape[-2],
        "still divide by K: there are K − 1 others",
    ),
    (checks.leave_one_out, lambda q: q - q.sum(-2, True) / (q.shape[-2] - 1), "own Q is still in the sum"),
    (checks.leave_one_out, lambda q: q - leave_one_out_by_sum(q), "this is the baseline"),
    (checks.leave_one_out, lambda q: -leave_one_out_by_sum(q), "the sign is flipped"),
    (checks.leave_one_out, lambda q: q - torch.cat([q[..., -1:, :], q[..., :-1, :]], -2), "one other action's Q"),
    (checks.leave_one_out, lambda q: q - q.mean(), "average over everything"),
    (checks.leave_one_out, lambda q: q - q.sum(-2, True) - q / (q.shape[-2] - 1), "brackets are missing"),
    (checks.leave_one_out, lambda q: q - (q.sum(-2, True) - q / (q.shape[-2] - 1)), "the brackets around .* are miss"),
    (
        checks.leave_one_out,
        lambda q: (q - q.mean(-2, keepdim=True)) / q.std(-2, keepdim=True),
        "divide by the spread of Q",
    ),
    (checks.leave_one_out, lambda q: q - (q.sum(-1, True) - q) / (q.size(-1) - 1), "the others.* are other states"),
    (checks.leave_one_out, lambda q: q - (q.sum(0) - q) / (q.size(0) - 1), "your sum runs over the first axis"),
    (checks.leave_one_out, lambda q: q - (q.sum(-2, True) - q) / (len(q) - 1), "from the length of the first axis"),
    (checks.total_variance, lambda s, a, n, k: s / k + a / n / k, "K and N are swapped"),
    (checks.total_variance, lambda s, a, n, k: s / n + a / n * k, "you multiply by K"),
    (checks.total_variance, lambda s, a, n, k: (s / n + a / n / k) ** 0.5, "this is the standard deviation"),
    (checks.total_variance, lambda s, a, n, k: (s + a) / n / k, "K divides the states' term too"),
    (checks.total_variance, lambda s, a, n, k: s / n + a / k, "N is missing from the second term"),
    (checks.total_variance, lambda s, a, n, k: s + a / n / k, "N is missing from the first term"),
    (checks.total_variance, lambda s, a, n, k: s + a / k, "N is missing: the estimate"),
    (checks.total_variance, lambda s, a, n, k: (s + a) / n, "K is missing"),
    (checks.total_variance, lambda s, a, n, k: s / k + a / n, "K and N are swapped"),
    (checks.total_variance, lambda s, a, n, k: (s / k + a) / n, "K divides the wrong term"),
    (checks.total_variance, lambda s, a, n, k: (s + a / k**0.5) / n**0.5, "standard deviation"),
    (checks.total_variance, lambda s, a, n, k: (s + a / k**2) / n**2, "not 1/n²"),
    (checks.total_variance, lambda s, a, n, k: s + a, "neither N nor K"),
    (checks.total_variance, lambda s, a, n, k: n * (s + k * a), "a mean over more terms has less variance"),
    (
        checks.resampled_advantage,
        lambda critic, obs, a, r, nv, v, g: torch.zeros_like(a) + r + g * nv - v,
        "r and s′ belong to the stored action",
    ),
    (checks.resampled_advantage, lambda critic, obs, a, r, nv, v, g: r + g * nv - v, "belong to the stored action"),
    (checks.resampled_advantage, lambda critic, obs, a, r, nv, v, g: r + critic(obs, a) - v, "added on top of Q"),
    (checks.resampled_advantage, lambda critic, obs, a, r, nv, v, g: r + g * critic(obs, a) - v, "as the value of s′"),
    (checks.resampled_advantage, lambda critic, obs, a, r, nv, v, g: critic(obs, a) - nv, "not V"),
    (
        checks.resampled_advantage,
        lambda critic, obs, a, r, nv, v, g: critic(obs, a) - critic(obs, a).sum(0) / len(a),
        "contains the action's own Q: the baseline here is V",
    ),
    (
        checks.resampled_advantage,
        lambda critic, obs, a, r, nv, v, g: critic(obs, a) - r - g * nv,
        "what the stored action led to: the baseline",
    ),
    (checks.resampled_advantage, lambda critic, obs, a, r, nv, v, g: critic(obs, a), "this is Q itself"),
    (checks.resampled_advantage, lambda critic, obs, a, r, nv, v, g: v - critic(obs, a), "the sign is flipped"),
    (checks.resampled_advantage, lambda critic, obs, a, r, nv, v, g: g * critic(obs, a) - v, "not discounted here"),
    (
        checks.resampled_advantage,
        lambda critic, obs, a, r, nv, v, g: critic(obs, a) - critic(obs, a).mean(-1, keepdim=True),
        "over the batch of states",
    ),
    (
        checks.resampled_advantage,
        lambda critic, obs, a, r, nv, v, g: critic(obs, a)[..., None] - v,
        "broadcast",
    ),
    (checks.v_target, lambda r, d, v, g: (2 * r)[:2], "the number of entries differs"),
]


def test_a_stub_that_raises_is_not_attempted(capsys):
    def stub(*args):
        raise NotImplementedError

    checks.leave_one_out(stub)
    assert "not attempted yet" in capsys.readouterr().out


class TestAnswers(Answers):
    NOTEBOOKS = ("01_on_policy_actor_critic.ipynb", "05_resampled_actions.ipynb")
    RIGHT, WRONG = RIGHT, WRONG
    REVEALING = ("detach()", "torch.where", ".mean(", "no_grad")
