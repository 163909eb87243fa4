"""The checks of continuous actions, by mutation: wrong answers fail with their own words, right ones pass."""

import math

import torch
from torch.distributions import Normal, TransformedDistribution
from torch.distributions.transforms import AffineTransform, TanhTransform

from offac_lite import equations
from offac_lite.course import checks
from offac_lite.equations import critic_loss, entropy_weight_loss, leave_one_out, q_target, soft_q
from tests.exercises import Answers

# ------------------------------------------------------------------ right answers, each in more than one way


def log_prob_by_hand(action, mean, log_std, mid, half):
    squashed = (action - mid) / half
    z = (torch.atanh(squashed) - mean) / torch.exp(log_std)
    per_dimension = -0.5 * z**2 - log_std - 0.5 * math.log(2 * math.pi) - torch.log(half * (1 - squashed**2))
    return per_dimension.sum(dim=-1)


def log_prob_with_softplus(action, mean, log_std, mid, half):
    u = torch.atanh((action - mid) / half)
    slope = 2 * (math.log(2) - u - torch.nn.functional.softplus(-2 * u))
    return Normal(mean, log_std.exp()).log_prob(u).sum(-1) - slope.sum(-1) - half.log().sum()


def log_prob_by_the_library(action, mean, log_std, mid, half):
    pi = TransformedDistribution(Normal(mean, log_std.exp()), [TanhTransform(), AffineTransform(mid, half)])
    return pi.log_prob(action).sum(-1)


def through_the_action(policy, critic, obs, stored_action, action_samples, generator):
    action = policy(obs).rsample(action_samples, generator=generator)
    return -critic(obs, action).mean()


def through_the_action_in_a_loop(policy, critic, obs, stored_action, action_samples, generator):
    total = 0.0
    for _ in range(action_samples):
        a = policy(obs).rsample(generator=generator)
        total += critic(obs, a).mean()
    return -total / action_samples


def through_the_action_minus_a_number(policy, critic, obs, stored_action, action_samples, generator):
    q = critic(obs, policy(obs).rsample(action_samples, generator=generator))
    return -(q - q.detach().mean(0, keepdim=True)).mean()


def through_the_action_of_a_frozen_critic(policy, critic, obs, stored_action, action_samples, generator):
    for p in critic.parameters():
        p.requires_grad_(False)
    return -critic(obs, policy(obs).rsample(action_samples, generator=generator)).mean()


def score_with_a_frozen_critic(policy, critic, obs, stored_action, action_samples, generator):
    pi, q_of = policy(obs), critic.requires_grad_(False)
    a = pi.sample(action_samples, generator=generator)
    return -(pi.log_prob(a) * leave_one_out(q_of(obs, a))).mean()


def score_with_sample(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    a = pi.sample(action_samples, generator=generator)
    q = critic(obs, a).detach()
    return -(pi.log_prob(a) * leave_one_out(q)).mean()


def score_with_detached_action(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    a = pi.rsample(action_samples, generator=generator).detach()
    with torch.no_grad():
        q = critic(obs, a)
        advantage = q - (q.sum(-2, keepdim=True) - q) / (action_samples - 1)
    return -(pi.log_prob(a) * advantage).mean()


def score_with_a_gradient_into_q(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    a = pi.sample(action_samples, generator=generator)
    return -(pi.log_prob(a) * leave_one_out(critic(obs, a))).mean()


def score_without_a_graph(policy, critic, obs, stored_action, action_samples, generator):
    with torch.no_grad():
        a = policy(obs).rsample(action_samples, generator=generator)
        weight = leave_one_out(critic(obs, a))
    return (-policy(obs).log_prob(a) * weight).mean(-1).mean()


def soft_q_of_detached(next_q, next_log_prob, alpha):
    return next_q.detach() - alpha * next_log_prob.detach()


@torch.no_grad()
def soft_q_with_entropy(next_q, next_log_prob, alpha):
    surprise = -next_log_prob
    return torch.add(next_q, alpha * surprise)


def sac_losses_in_turn(policy, critic, target_critic, log_alpha, batch, generator):
    pi, alpha = policy(batch.obs), torch.exp(log_alpha.detach())
    a = pi.rsample(generator=generator)
    log_prob = pi.log_prob(a)
    actor = -(critic(batch.obs, a) - alpha * log_prob).mean(-1)
    weight = -(log_alpha * (log_prob.detach() + math.log(2) - 1)).mean(-1)
    next_pi = policy(batch.next_obs)
    next_a = next_pi.rsample(generator=generator)
    soft = target_critic(batch.next_obs, next_a) - alpha * next_pi.log_prob(next_a)
    y = (batch.reward + 0.99 * (1 - batch.terminated.double()) * soft).detach()
    first, second = critic.each(batch.obs, batch.action)
    return 0.5 * (first - y).square().mean(-1) + 0.5 * (second - y).square().mean(-1), actor, weight


def sac_losses_with_an_axis_of_actions(policy, critic, target_critic, log_alpha, batch, generator):
    alpha = log_alpha.exp().detach()
    next_pi, pi = policy(batch.next_obs), policy(batch.obs)
    next_a, a = next_pi.sample(1, generator=generator), pi.rsample(1, generator=generator)
    soft = soft_q(target_critic(batch.next_obs, next_a), next_pi.log_prob(next_a), alpha)
    y = q_target(batch.reward, batch.terminated, soft, 0.99)
    both = critic.each(batch.obs, batch.action)
    q, log_prob = critic(batch.obs, a), pi.log_prob(a)
    actor = equations.reparameterized_loss(q - alpha[..., None] * log_prob)
    return (
        critic_loss(both, y.expand(both.shape)).sum(0),
        actor,
        entropy_weight_loss(log_alpha, -log_prob.squeeze(-2), math.log(2) - 1),
    )


def discrete_sac_with_the_entropy(policy, critic, obs, alpha):
    pi = policy(obs)
    with torch.no_grad():
        q = critic.all_actions(obs)
    return -(torch.einsum("...a,...a->...", pi.probs, q) + alpha * pi.entropy()).mean(dim=-1)


def discrete_sac_in_one_sum(policy, critic, obs, alpha):
    pi, q = policy(obs), critic.all_actions(obs)
    alpha = torch.as_tensor(alpha).reshape(-1, 1, 1) if isinstance(alpha, torch.Tensor) else alpha
    return (pi.probs * (alpha * pi.log_probs - q)).sum(-1).mean(-1)


def discrete_sac_by_the_score(policy, critic, obs, alpha):
    pi, q = policy(obs), critic.all_actions(obs).detach()
    weights = pi.probs.detach() * pi.log_probs
    per_state = -(weights * q).sum(-1) + alpha * (weights * pi.log_probs.detach()).sum(-1)
    return per_state.mean(-1)


RIGHT = {
    checks.discrete_sac_loss: [
        discrete_sac_with_the_entropy,
        discrete_sac_in_one_sum,
        discrete_sac_by_the_score,
    ],
    checks.soft_q: [equations.soft_q, soft_q_of_detached, soft_q_with_entropy],
    checks.sac_losses: [sac_losses_in_turn, sac_losses_with_an_axis_of_actions],
    checks.squashed_log_prob: [log_prob_by_hand, log_prob_with_softplus, log_prob_by_the_library],
    checks.reparameterized_loss: [
        through_the_action,
        through_the_action_in_a_loop,
        through_the_action_minus_a_number,
    ],
    checks.score_function_loss: [
        score_with_sample,
        score_with_detached_action,
        score_with_a_gradient_into_q,
        score_without_a_graph,
    ],
}


# --------------------------------------------------------------------- wrong answers, and what must be said


def log_prob_without_return(action, mean, log_std, mid, half):
    u = torch.atanh((action - mid) / half)
    log_prob = Normal(mean, log_std.exp()).log_prob(u).sum(-1)
    log_prob = log_prob - torch.log(half * (1 - torch.tanh(u) ** 2)).sum(-1)


def wrong_log_prob(variant):
    def log_prob(action, mean, log_std, mid, half):
        t = (action - mid) / half
        u = torch.atanh(t)
        gaussian = Normal(mean, log_std.exp()).log_prob(u)
        slope = 1 - torch.tanh(u) ** 2
        return {
            "none": lambda: gaussian.sum(-1),
            "sign": lambda: (gaussian + torch.log(half * slope)).sum(-1),
            "tanh sign": lambda: (gaussian + slope.log() - half.log()).sum(-1),
            "tanh of the action": lambda: (gaussian - torch.log(half * (1 - torch.tanh(action) ** 2))).sum(-1),
            "none, per dimension": lambda: gaussian,
            "sign, per dimension": lambda: gaussian + torch.log(half * slope),
            "tanh sign, per dimension": lambda: gaussian + torch.log(slope / half),
            "no scale, per dimension": lambda: gaussian - torch.log(1 - t**2),
            "scale sign, per dimension": lambda: gaussian - torch.log(slope / half),
            "only scale, per dimension": lambda: gaussian - half.log(),
            "detached": lambda: (gaussian - torch.log(half * slope)).sum(-1).detach(),
            "scale": lambda: (gaussian - slope.log()).sum(-1),
            "scale sign": lambda: (gaussian - torch.log(slope / half)).sum(-1),
            "only scale": lambda: (gaussian - half.log()).sum(-1),
            "batch": lambda: (gaussian - torch.log(half * slope)).sum(-2),
            "per dimension": lambda: gaussian - torch.log(half * slope),
            "mean": lambda: (gaussian - torch.log(half * slope)).mean(-1),
            "all": lambda: (gaussian - torch.log(half * slope)).sum(),
            "twice": lambda: (gaussian - torch.log(half * (1 - torch.tanh(t) ** 2))).sum(-1),
            "square": lambda: (gaussian - torch.log(half * (1 - torch.tanh(u)))).sum(-1),
            "square of the difference": lambda: (gaussian - torch.log(half * (1 - torch.tanh(u)) ** 2)).sum(-1),
            "slope at the action": lambda: (gaussian - torch.log(half * (1 - action**2).abs())).sum(-1),
            "no log": lambda: (gaussian - half * slope).sum(-1),
            "density": lambda: (gaussian.exp() / (half * slope)).prod(-1),
            "half summed": lambda: gaussian.sum(-1) - torch.log(half * slope),
        }[variant]()

    return log_prob


def wrong_reparameterized(variant):
    def loss(policy, critic, obs, stored_action, action_samples, generator):
        pi = policy(obs)
        if variant == "stored":
            return -critic(obs, stored_action).mean()
        if variant == "mode":
            return -critic(obs, pi.mode()).mean()
        if variant == "one":
            return -critic(obs, pi.rsample(generator=generator)).mean()
        if variant in ("sample", "score"):
            a = pi.sample(action_samples, generator=generator)
            q = critic(obs, a)
            return -q.mean() if variant == "sample" else -(pi.log_prob(a) * q.detach()).mean()
        a = pi.rsample(action_samples, generator=generator)
        if variant == "detached action":
            return -critic(obs, a.detach()).mean()
        q = critic(obs, a)
        return {
            "sign": lambda: q.mean(),
            "own mean": lambda: (q.mean(0) - q).mean(),
            "minus abs": lambda: -torch.abs(q.mean()),
            "abs": lambda: (-q.mean()).abs(),
            "detached": lambda: -q.detach().mean(),
            "log π, attached": lambda: -(pi.log_prob(a) * q).mean(),
            "log π": lambda: -(pi.log_prob(a) * q.detach()).mean(),
            "sum": lambda: -q.sum(),
            "batch mean": lambda: -q.mean(dim=-1),
            "leave-one-out": lambda: -leave_one_out(q).mean(),
            "sum over K": lambda: -q.sum(0).mean(),
        }[variant]()

    return loss


def wrong_score(variant):
    def loss(policy, critic, obs, stored_action, action_samples, generator):
        pi = policy(obs)
        if variant in ("bug", "through log π", "bug, attached", "reparameterised", "no log π"):
            a = pi.rsample(action_samples, generator=generator)
        else:
            a = pi.sample(action_samples, generator=generator)
        log_prob, q = pi.log_prob(a), critic(obs, a)
        weight = leave_one_out(q.detach())
        return {
            "bug": lambda: -(pi.log_prob(a.detach()) * leave_one_out(q)).mean(),
            "through log π": lambda: -(log_prob * weight).mean(),
            "bug, attached": lambda: -(log_prob * leave_one_out(q)).mean(),
            "reparameterised": lambda: -q.mean(),
            "no baseline": lambda: -(log_prob * q.detach()).mean(),
            "own baseline": lambda: -(log_prob * (q - q.mean(0)).detach()).mean(),
            "sign": lambda: (log_prob * weight).mean(),
            "no log π": lambda: -leave_one_out(q).mean(),
            "abs": lambda: (-log_prob * weight).mean().abs(),
            "minus abs": lambda: -(log_prob * weight).mean().abs(),
            "detached": lambda: -(log_prob.detach() * weight).mean(),
            "sum": lambda: -(log_prob * weight).sum(),
            "batch mean": lambda: -(log_prob * weight).mean(dim=-1),
            "two draws": lambda: -(pi.log_prob(pi.sample(action_samples, generator=generator)) * weight).mean(),
            "stored": lambda: -(pi.log_prob(stored_action) * weight.movedim(-2, 0)).mean(),
            "sum over K": lambda: -(log_prob * weight).sum(0).mean(),
            "π": lambda: -(log_prob.exp() * weight).mean(),
        }[variant]()

    return loss


def wrong_soft_q(variant):
    def soft(next_q, next_log_prob, alpha):
        return {
            "sign": lambda: (next_q + alpha * next_log_prob).detach(),
            "hard": lambda: next_q.detach(),
            "no α": lambda: (next_q - next_log_prob).detach(),
            "α on both": lambda: (alpha * (next_q - next_log_prob)).detach(),
            "π": lambda: (next_q - alpha * next_log_prob.exp()).detach(),
            "π log π": lambda: (next_q - alpha * next_log_prob.exp() * next_log_prob).detach(),
            "1 − α": lambda: ((1 - alpha) * next_q - alpha * next_log_prob).detach(),
            "divided": lambda: (next_q - next_log_prob / alpha).detach(),
            "batch mean": lambda: (next_q - alpha * next_log_prob).mean(-1).detach(),
            "mean of log π": lambda: (next_q - alpha * next_log_prob.mean(-1, keepdim=True)).detach(),
            "attached": lambda: next_q - alpha * next_log_prob,
            "Q attached": lambda: next_q - alpha * next_log_prob.detach(),
        }[variant]()

    return soft


def wrong_sac_losses(variant):
    def losses(policy, critic, target_critic, log_alpha, batch, generator):
        alpha = log_alpha.exp() if variant == "α" else log_alpha.exp().detach()
        with torch.no_grad():
            next_pi = policy(batch.obs if variant == "a′ at s" else batch.next_obs)
            next_a = next_pi.sample(generator=generator)
            next_q = (critic if variant == "no target network" else target_critic)(batch.next_obs, next_a)
            soft = next_q if variant == "hard" else soft_q(next_q, next_pi.log_prob(next_a), alpha)
            y = q_target(batch.reward, batch.terminated, soft, 0.99)
        both = critic.each(batch.obs, batch.action)
        of_critic = critic_loss(both.amin(0), y) if variant == "smaller" else sum(critic_loss(q, y) for q in both)
        pi = policy(batch.obs)
        a = (pi.sample if variant == "sample" else pi.rsample)(generator=generator)
        log_prob = pi.log_prob(a)
        q = critic(batch.obs, batch.action if variant == "stored" else a)
        if variant in ("first", "second"):
            q = critic.each(batch.obs, a)[int(variant == "second")]
        of_actor = {
            "sign": q - alpha * log_prob,
            "no entropy": -q,
            "stored, log π too": alpha * pi.log_prob(batch.action) - critic(batch.obs, batch.action),
            "sign of log π": -alpha * log_prob - q,
            "sign of Q": alpha * log_prob + q,
            "no Q": alpha * log_prob,
            "Q detached": alpha * log_prob - q.detach(),
            "no α": log_prob - q,
        }.get(variant, alpha * log_prob - q)
        of_actor = {"all": of_actor.mean(), "sum": of_actor.sum(-1)}.get(variant, of_actor.mean(-1))
        entropy = log_prob if variant == "log π" else -log_prob
        of_alpha = entropy_weight_loss(log_alpha, entropy, math.log(2) - 1)
        if variant == "one sum":
            return of_critic + of_actor + of_alpha
        three = of_critic, of_actor, of_alpha
        return [three[i] for i in variant] if isinstance(variant, tuple) else three

    return losses


def wrong_discrete_sac(variant):
    def loss(policy, critic, obs, alpha):
        pi, q = policy(obs), critic.all_actions(obs)
        if variant in ("draw", "rdraw"):
            draw = pi.sample if variant == "draw" else pi.rsample
            a = draw(generator=torch.Generator())
            return (alpha * pi.log_prob(a) - critic(obs, a)).mean(-1)
        log_prob, expected_q = (pi.probs * pi.log_probs).sum(-1), (pi.probs * q).sum(-1)
        constant = pi.probs.detach()
        per_state = {
            "sign": lambda: expected_q - alpha * log_prob,
            "sign of log π": lambda: alpha * pi.entropy() - expected_q,
            "no entropy": lambda: -expected_q,
            "no α": lambda: log_prob - expected_q,
            "α on both": lambda: alpha * (log_prob - expected_q),
            "log π unweighted": lambda: alpha * pi.log_probs.sum(-1) - expected_q,
            "Q unweighted": lambda: alpha * log_prob - q.sum(-1),
            "unweighted": lambda: alpha * pi.log_probs.sum(-1) - q.sum(-1),
            "Q by log π": lambda: alpha * log_prob - (pi.log_probs * q).sum(-1),
            "no Q": lambda: alpha * log_prob,
            "Q of a constant": lambda: alpha * log_prob - 2 * expected_q.detach(),
            "sign of Q": lambda: alpha * log_prob + expected_q,
            "mode": lambda: alpha * log_prob - critic(obs, pi.probs.argmax(-1)),
            "best": lambda: alpha * log_prob - q.max(-1).values,
            "π constant at Q": lambda: alpha * log_prob - (constant * q).sum(-1),
            "π constant at log π": lambda: alpha * (constant * pi.log_probs).sum(-1) - expected_q,
            "π constant": lambda: (alpha * (constant * pi.log_probs).sum(-1)) - (constant * q).sum(-1),
            "divided": lambda: (alpha * log_prob - expected_q) / q.shape[-1],
        }.get(variant, lambda: alpha * log_prob - expected_q)()
        if variant == "α along the states":
            return (pi.probs * (alpha * pi.log_probs - q)).sum(-1).mean(-1)
        return {
            "one number": lambda: per_state.mean(),
            "sum": lambda: per_state.sum(-1),
            "per state": lambda: per_state,
            "plain number": lambda: per_state.mean().item(),
        }.get(variant, lambda: per_state.mean(-1))()

    return loss


WRONG = [
    (checks.discrete_sac_loss, wrong_discrete_sac("draw"), "you draw an action"),
    (checks.discrete_sac_loss, wrong_discrete_sac("rdraw"), "a discrete action has no derivative"),
    (checks.discrete_sac_loss, wrong_discrete_sac("sign"), "the sign is flipped"),
    (checks.discrete_sac_loss, wrong_discrete_sac("sign of log π"), "makes likely actions likelier still"),
    (checks.discrete_sac_loss, wrong_discrete_sac("no entropy"), "does not count the entropy"),
    (checks.discrete_sac_loss, wrong_discrete_sac("no α"), "α is missing"),
    (checks.discrete_sac_loss, wrong_discrete_sac("α on both"), "α multiplies Q as well"),
    (checks.discrete_sac_loss, wrong_discrete_sac("log π unweighted"), r"without the weights π\(a\|s\)"),
    (checks.discrete_sac_loss, wrong_discrete_sac("Q unweighted"), "added up without π's probabilities"),
    (checks.discrete_sac_loss, wrong_discrete_sac("unweighted"), "missing in both sums"),
    (checks.discrete_sac_loss, wrong_discrete_sac("Q by log π"), "Q is weighted by log π"),
    (checks.discrete_sac_loss, wrong_discrete_sac("no Q"), "no gradient comes from Q: it is missing"),
    (checks.discrete_sac_loss, wrong_discrete_sac("Q of a constant"), "what stands there does not depend on π"),
    (checks.discrete_sac_loss, wrong_discrete_sac("sign of Q"), "the sign of Q is wrong"),
    (checks.discrete_sac_loss, wrong_discrete_sac("mode"), "Q of π's favourite"),
    (checks.discrete_sac_loss, wrong_discrete_sac("best"), "the best action's Q"),
    (checks.discrete_sac_loss, wrong_discrete_sac("π constant at Q"), "a constant in the term with Q"),
    (checks.discrete_sac_loss, wrong_discrete_sac("π constant at log π"), "the weights of log π are constants"),
    (checks.discrete_sac_loss, wrong_discrete_sac("π constant"), "constants in both sums"),
    (checks.discrete_sac_loss, wrong_discrete_sac("divided"), "already make it an average"),
    (checks.discrete_sac_loss, wrong_discrete_sac("α along the states"), "it is counted along the states"),
    (checks.discrete_sac_loss, wrong_discrete_sac("one number"), "the mean runs over the seeds, too"),
    (checks.discrete_sac_loss, wrong_discrete_sac("sum"), "you add up over the states"),
    (checks.discrete_sac_loss, wrong_discrete_sac("per state"), "the mean is missing"),
    (checks.discrete_sac_loss, wrong_discrete_sac("plain number"), "a plain number is returned"),
    (checks.soft_q, wrong_soft_q("sign"), "sign of log π is wrong"),
    (checks.soft_q, wrong_soft_q("hard"), "this is the hard Q"),
    (checks.soft_q, wrong_soft_q("no α"), "α is missing"),
    (checks.soft_q, wrong_soft_q("α on both"), "α multiplies Q as well"),
    (checks.soft_q, wrong_soft_q("π"), "subtracts π, not log π"),
    (checks.soft_q, wrong_soft_q("divided"), "you divide by α"),
    (checks.soft_q, wrong_soft_q("batch mean"), "average over the batch"),
    (checks.soft_q, wrong_soft_q("mean of log π"), "log π is averaged over the batch"),
    (checks.soft_q, wrong_soft_q("attached"), "a target is a constant"),
    (checks.soft_q, wrong_soft_q("Q attached"), r"respect to Q\(s′, a′\) .* is not zero: a constant is wanted$"),
    (checks.soft_q, wrong_soft_q("π log π"), "log π is weighted by π"),
    (checks.soft_q, wrong_soft_q("1 − α"), r"Q\(s′, a′\) is multiplied by 1 − α as well"),
    (checks.sac_losses, wrong_sac_losses("hard"), "does not count the entropy of a′"),
    (checks.sac_losses, wrong_sac_losses("no target network"), "the critic that learns"),
    (checks.sac_losses, wrong_sac_losses("a′ at s"), "drawn from π at s: it belongs to s′"),
    (checks.sac_losses, wrong_sac_losses("smaller"), "only the smaller of the two"),
    (checks.sac_losses, wrong_sac_losses("sample"), "is a plain number"),
    (checks.sac_losses, wrong_sac_losses("sign"), "sign of the actor's loss is flipped"),
    (checks.sac_losses, wrong_sac_losses("no entropy"), "α log π is missing"),
    (checks.sac_losses, wrong_sac_losses("sign of log π"), "makes likely actions likelier"),
    (checks.sac_losses, wrong_sac_losses("sign of Q"), "the sign of Q in its loss is wrong"),
    (checks.sac_losses, wrong_sac_losses("no Q"), "no gradient comes from Q in the actor's loss: Q is missing"),
    (checks.sac_losses, wrong_sac_losses("Q detached"), "what stands there does not depend on the policy"),
    (checks.sac_losses, wrong_sac_losses("no α"), "α is missing in the actor's loss"),
    (checks.sac_losses, wrong_sac_losses("all"), "the mean runs over the seeds, too"),
    (checks.sac_losses, wrong_sac_losses("sum"), "adds up over the states"),
    (checks.sac_losses, wrong_sac_losses("stored"), "looks at the stored action"),
    (checks.sac_losses, wrong_sac_losses("stored, log π too"), "stored action"),
    (checks.sac_losses, wrong_sac_losses("log π"), "is given log π"),
    (checks.sac_losses, wrong_sac_losses("α"), "a gradient of the actor's loss reaches α"),
    (checks.sac_losses, wrong_sac_losses("first"), "the actor follows one of the two critics"),
    (checks.sac_losses, wrong_sac_losses("second"), "the actor follows one of the two critics"),
    (checks.sac_losses, wrong_sac_losses((1, 0, 2)), "the three losses come back in another order"),
    (checks.sac_losses, wrong_sac_losses((2, 0, 1)), "the three losses come back in another order"),
    (checks.sac_losses, wrong_sac_losses("one sum"), "return three losses"),
    (checks.reparameterized_loss, through_the_action_of_a_frozen_critic, "freezes the critic and leaves it frozen"),
    (checks.score_function_loss, score_with_a_frozen_critic, "freezes the critic and leaves it frozen"),
    (
        checks.squashed_log_prob,
        lambda a, mean, log_std, *bounds: torch.distributions.Normal(mean, log_std).log_prob(a),
        "it stops with ValueError: .*log σ stands where σ belongs",
    ),
    (checks.squashed_log_prob, wrong_log_prob("none"), "this is the density of u"),
    (checks.squashed_log_prob, wrong_log_prob("sign"), "the correction has the wrong sign"),
    (checks.squashed_log_prob, wrong_log_prob("scale"), "the scale of the action is missing"),
    (checks.squashed_log_prob, wrong_log_prob("scale sign"), "the scale of the action has the wrong sign"),
    (checks.squashed_log_prob, wrong_log_prob("only scale"), "the slope of tanh is missing"),
    (checks.squashed_log_prob, wrong_log_prob("batch"), "add up over the batch"),
    (checks.squashed_log_prob, wrong_log_prob("per dimension"), "one number per dimension left"),
    (checks.squashed_log_prob, wrong_log_prob("mean"), "average over the dimensions"),
    (checks.squashed_log_prob, wrong_log_prob("all"), "the batch too"),
    (checks.squashed_log_prob, wrong_log_prob("twice"), "to which tanh has been applied already"),
    (checks.squashed_log_prob, wrong_log_prob("square"), "the square is missing"),
    (checks.squashed_log_prob, wrong_log_prob("square of the difference"), "the square of the difference stands"),
    (checks.squashed_log_prob, wrong_log_prob("slope at the action"), "a is not tanh u"),
    (checks.squashed_log_prob, wrong_log_prob("no log"), "needs its .logarithm"),
    (checks.squashed_log_prob, wrong_log_prob("density"), "its logarithm is wanted"),
    (checks.squashed_log_prob, wrong_log_prob("half summed"), "it stops with RuntimeError"),
    (checks.squashed_log_prob, wrong_log_prob("tanh sign"), "the slope of tanh has the wrong sign"),
    (checks.squashed_log_prob, wrong_log_prob("tanh of the action"), "tanh of the action itself"),
    (checks.squashed_log_prob, wrong_log_prob("none, per dimension"), "the density of u.*one number per dimension"),
    (checks.squashed_log_prob, wrong_log_prob("sign, per dimension"), "the correction has.*one number per dimension"),
    (checks.squashed_log_prob, wrong_log_prob("tanh sign, per dimension"), "the slope of tanh has.*per dimension"),
    (checks.squashed_log_prob, wrong_log_prob("no scale, per dimension"), "scale of the action is.*per dimension"),
    (checks.squashed_log_prob, wrong_log_prob("scale sign, per dimension"), "scale of the action has.*per dimension"),
    (checks.squashed_log_prob, wrong_log_prob("only scale, per dimension"), "slope of tanh is missing.*per dimension"),
    (checks.squashed_log_prob, wrong_log_prob("detached"), "no gradient reaches the mean or log σ"),
    (checks.squashed_log_prob, log_prob_without_return, "^it returns nothing"),
    (
        checks.reparameterized_loss,
        lambda p, c, s, a, k, g: p(s).sample(k),
        r"TanhGaussian.sample\(\) missing .* 'generator'",
    ),
    (checks.reparameterized_loss, wrong_reparameterized("own mean"), "it cancels that of Q"),
    (checks.reparameterized_loss, wrong_reparameterized("minus abs"), "where Q is negative"),
    (checks.reparameterized_loss, wrong_reparameterized("abs"), "where Q is positive"),
    (checks.reparameterized_loss, wrong_reparameterized("sign"), "the sign is flipped"),
    (checks.reparameterized_loss, wrong_reparameterized("detached"), "somewhere on the way it is cut"),
    (checks.reparameterized_loss, wrong_reparameterized("detached action"), "somewhere on the way it is cut"),
    (checks.reparameterized_loss, wrong_reparameterized("sample"), "the actions come from sample"),
    (checks.reparameterized_loss, wrong_reparameterized("score"), "this is the score-function loss"),
    (
        checks.reparameterized_loss,
        wrong_reparameterized("log π, attached"),
        "log π does not belong in this loss: .* Q alone",
    ),
    (checks.reparameterized_loss, wrong_reparameterized("log π"), "Q must not be a constant"),
    (checks.reparameterized_loss, wrong_reparameterized("mode"), "the middle of the policy"),
    (checks.reparameterized_loss, wrong_reparameterized("stored"), "you use the stored action"),
    (checks.reparameterized_loss, wrong_reparameterized("sum"), "add up where the mean"),
    (checks.reparameterized_loss, wrong_reparameterized("batch mean"), "average over the batch only"),
    (checks.reparameterized_loss, wrong_reparameterized("sum over K"), "add up the K actions"),
    (checks.reparameterized_loss, wrong_reparameterized("one"), "one action per state"),
    (checks.reparameterized_loss, wrong_reparameterized("leave-one-out"), "a baseline that carries a gradient"),
    (checks.score_function_loss, wrong_score("bug"), "flows through the action into Q"),
    (checks.score_function_loss, wrong_score("through log π"), "flows through the action into log π.*varied$"),
    (checks.score_function_loss, wrong_score("bug, attached"), "through the action into log π.*another through Q"),
    (checks.score_function_loss, wrong_score("reparameterised"), "this is the reparameterised loss"),
    (checks.score_function_loss, wrong_score("no baseline"), "and so is the baseline"),
    (checks.score_function_loss, wrong_score("own baseline"), "contains the action's own Q"),
    (checks.score_function_loss, wrong_score("sign"), "the sign is flipped"),
    (checks.score_function_loss, wrong_score("no log π"), "everything cancels.* where log π is missing"),
    (checks.score_function_loss, wrong_score("stored"), "everything cancels.* that of the stored action"),
    (checks.score_function_loss, wrong_score("two draws"), "log π is of one draw and Q of another"),
    (checks.score_function_loss, wrong_score("abs"), "yours is never negative"),
    (checks.score_function_loss, wrong_score("minus abs"), "yours is never positive"),
    (checks.score_function_loss, wrong_score("detached"), "log π is detached"),
    (checks.score_function_loss, wrong_score("sum"), "add up where the mean"),
    (checks.score_function_loss, wrong_score("batch mean"), "average over the batch only"),
    (checks.score_function_loss, wrong_score("sum over K"), "add up the K actions"),
    (checks.score_function_loss, wrong_score("π"), "weights by π, for the gradient of π"),
]


class TestAnswers(Answers):
    NOTEBOOKS = ("further/continuous_actions.ipynb",)
    RIGHT, WRONG = RIGHT, WRONG
    REVEALING = ("detach()", ".mean(", "no_grad", "rsample(", "torch.")
    FUNCTIONS = {checks.squashed_log_prob: "my_log_prob", checks.score_function_loss: "my_score_loss"}  # noqa: RUF012
    SCOPE = {  # noqa: RUF012
        "critic_loss": critic_loss,
        "entropy_weight_loss": entropy_weight_loss,
        "leave_one_out": leave_one_out,
        "math": math,
        "q_target": q_target,
        "soft_q": soft_q,
    }
