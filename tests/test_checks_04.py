"""The checks of notebook 04, by mutation: every wrong answer fails with its own words, right ones pass."""

import torch

from offac_lite import train
from offac_lite.course import checks
from tests.exercises import Answers

# ------------------------------------------------------------------ right answers, each in more than one way


def q_target_in_steps(reward, terminated, next_q, gamma):
    if next_q.ndim > reward.ndim:
        next_q = next_q.mean(dim=-2)
    later = gamma * next_q.detach().clone()
    later[terminated] = 0.0
    return reward + later


def q_target_with_a_product(reward, terminated, next_q, gamma):
    with torch.no_grad():
        value = next_q if next_q.shape == reward.shape else next_q.sum(-2) / next_q.shape[-2]
        return reward + (1 - terminated.float()) * gamma * value


def next_action_with_multinomial(policy, old_policy, obs, next_obs, stored_next_action, generator):
    probs = policy(next_obs).probs
    flat = torch.multinomial(probs.flatten(0, -2), 1, generator=generator)
    return flat.view(next_obs.shape)


def next_action_by_hand(policy, old_policy, obs, next_obs, stored_next_action, generator):
    u = torch.rand((*next_obs.shape, 1), generator=generator)
    return (u > policy(next_obs).probs.cumsum(-1)).sum(-1).clamp(max=3)


def next_action_from_two_draws(policy, old_policy, obs, next_obs, stored_next_action, generator):
    pi = policy(next_obs)
    return pi.sample(2, generator=generator)[..., 0, :]


def expected_value_with_einsum(probs, q):
    return torch.einsum("...a,...a->...", probs, q)


def expected_value_in_a_loop(probs, q):
    value = torch.zeros(q.shape[:-1])
    for a in range(q.shape[-1]):
        value = value + probs[..., a] * q[..., a]
    return value


def expected_target_in_steps(probs, table, batch):
    value = torch.einsum("ba,ba->b", probs[batch.next_obs], table[batch.next_obs])
    return checks.q_target.right(batch.reward, batch.terminated, value, 0.99)


def expected_target_of_all_states(probs, table, batch):
    value = (probs * table).sum(-1)
    return batch.reward + 0.99 * ~batch.terminated * value[batch.next_obs]


def mean_change_in_steps(share, gamma, epsilon):
    first = 1 * (gamma * 2 - 1)
    second = 2 * ((1 - epsilon) * (gamma * 2 - 2) + epsilon * (0 - 2))
    return share * first + (1 - share) * second


def mean_change_as_a_tensor(share, gamma, epsilon):
    return torch.tensor(share * (2 * gamma - 1) + 4 * (1 - share) * (gamma * (1 - epsilon) - 1), dtype=torch.float64)


def drawn_for_nothing(policy, old_policy, obs, next_obs, stored_next_action, generator):
    policy(next_obs).sample(generator=generator)
    return stored_next_action.clone()


def drawn_before_the_favourite(policy, old_policy, obs, next_obs, stored_next_action, generator):
    policy(next_obs).sample(generator=generator)
    return policy(next_obs).mode()


def drawn_with(weights, shared=False, **given):
    def draw(policy, old_policy, obs, next_obs, stored_next_action, generator):
        wanted = weights(policy(next_obs).probs).float()
        generator = given.get("generator", generator)
        u = torch.rand(1 if shared else (*next_obs.shape, 1), generator=generator)
        return (u > (wanted / wanted.sum(-1, keepdim=True)).cumsum(-1)).sum(-1).clamp(max=3)

    return draw


RIGHT = {
    checks.q_target: [q_target_in_steps, q_target_with_a_product],
    checks.next_action: [next_action_with_multinomial, next_action_from_two_draws, next_action_by_hand],
    checks.expected_value: [expected_value_with_einsum, expected_value_in_a_loop],
    checks.expected_target: [expected_target_in_steps, expected_target_of_all_states],
    checks.mean_change: [mean_change_in_steps, mean_change_as_a_tensor],
}


# --------------------------------------------------------------------- wrong answers, and what must be said


def m(r, q):
    return q.mean(-2) if q.ndim > r.ndim else q


def over_m(reduce):
    def target(reward, terminated, next_q, gamma):
        value = reduce(next_q) if next_q.ndim > reward.ndim else next_q
        return reward + gamma * value.detach() * ~terminated

    return target


def q_target_over_seeds(reward, terminated, next_q, gamma):
    if next_q.ndim > 1:
        next_q = next_q.mean(-2)
    return reward + gamma * next_q.detach() * ~terminated


def q_target_where_two_axes(reward, terminated, next_q, gamma):
    value = next_q.detach()
    if value.ndim == 2:
        value = value.mean(0)
    return reward + gamma * value * ~terminated


def q_target_over_batch(reward, terminated, next_q, gamma):
    if next_q.ndim > reward.ndim:
        next_q = next_q.mean(-1)
    return reward + gamma * next_q.detach() * ~terminated


def q_target_with_one_return(reward, terminated, next_q, gamma):
    if next_q.ndim == reward.ndim:
        return reward + gamma * next_q.detach() * ~terminated
    next_q = next_q.mean(-2)


def q_target_mutates(reward, terminated, next_q, gamma):
    reward += gamma * m(reward, next_q).detach() * ~terminated
    return reward


def with_value(value, mask=lambda batch: ~batch.terminated):
    def target(probs, table, batch):
        return batch.reward + 0.99 * mask(batch) * value(probs, table, batch)

    return target


def exact(probs, table, batch):
    return (probs * table).sum(-1)[batch.next_obs]


def of_stored(probs, table, batch):
    return table[batch.next_obs, batch.next_action]


def without_index(probs, table, batch):
    return checks.q_target.right(batch.reward, batch.terminated, (probs * table).sum(-1), 0.99)


Q, NA, EV, MC = checks.q_target, checks.next_action, checks.expected_value, checks.mean_change
ET = checks.expected_target
WRONG = [
    (NA, drawn_for_nothing, "this is what the old policy did next"),
    (NA, drawn_before_the_favourite, "this is π's favourite action"),
    (Q, lambda r, d, q, g: r + g * m(r, q).detach(), "bootstrap past a terminal state: where"),
    (Q, lambda r, d, q, g: r + g * m(r, q) * ~d, "the numbers are correct, but a gradient flows"),
    (Q, lambda r, d, q, g: r + g * m(r, q), "past a terminal state, and a gradient flows"),
    (Q, lambda r, d, q, g: r + m(r, q).detach() * ~d, "the discount γ is missing"),
    (Q, lambda r, d, q, g: r + m(r, q) * ~d, "the discount γ is missing.*and besides, a gradient flows"),
    (Q, lambda r, d, q, g: g * (r + m(r, q).detach() * ~d), "the reward is discounted too"),
    (Q, lambda r, d, q, g: g * r + m(r, q).detach() * ~d, "the discount is on the reward"),
    (Q, lambda r, d, q, g: r + g * m(r, q).detach() * d, "the mask is inverted"),
    (Q, lambda r, d, q, g: (r + g * m(r, q).detach()) * ~d, "takes the reward away as well"),
    (Q, lambda r, d, q, g: g * m(r, q).detach() * ~d, "the term with r is missing"),
    (Q, lambda r, d, q, g: r - g * m(r, q).detach() * ~d, "a sign is wrong"),
    (Q, over_m(lambda q: q.max(-2).values), "the largest of the M values"),
    (Q, over_m(lambda q: q.min(-2).values), "the smallest of the M values"),
    (Q, over_m(lambda q: q.sum(-2)), "add up the M values"),
    (Q, over_m(lambda q: q[..., 0, :]), "the first alone"),
    (Q, over_m(lambda q: q.mean((-2, -1), keepdim=True).squeeze(-1).expand(*q.shape[:-2], 4)), "next states too"),
    (Q, q_target_over_seeds, "your mean runs over the seeds, for"),
    (Q, lambda r, d, q, g: r + g * (q.mean(0) if q.ndim > r.ndim else q).detach() * ~d, "over the first axis"),
    (Q, lambda r, d, q, g: (r + g * m(r, q).detach() * ~d).mean(), "you average over the batch"),
    (Q, lambda r, d, q, g: r + g * q.detach() * ~d, "with M next actions their mean is wanted"),
    (Q, lambda r, d, q, g: torch.where(d, r, r + g * q.detach()), "with M next actions their mean is wanted"),
    (Q, lambda r, d, q, g: (r + g * q.detach() * ~d) + 1, r"target \(one a′\) is not|\(M = 3\) has shape.*broadcast"),
    (Q, q_target_where_two_axes, "two axes as well"),
    (Q, q_target_over_batch, "it stops with .*with M next actions your mean runs over the last axis"),
    (Q, lambda r, d, q, g: r + g * q.mean(-1).detach() * ~d, "your mean runs over the last axis"),
    (Q, lambda r, d, q, g: r[..., None] + g * m(r, q).detach() * ~d, r"shape \(4, 4\).*r has an axis too many"),
    (Q, lambda r, d, q, g: r + g * q.mean(-2).detach() * ~d, "broadcast|it stops with|has shape"),
    (Q, lambda r, d, q, g: r + g * (1 - d) * m(r, q), "it stops with .*Error: Subtraction"),
    (Q, lambda r, d, q, g: r + g * m(r, q.requires_grad_(False)) * ~d, "changes one of its arguments"),
    (Q, q_target_with_one_return, "^it returns nothing: .* in one of the branches"),
    (Q, q_target_mutates, "changes one of its arguments in place"),
    (Q, lambda r, d, q, g: 2 * r, "is missing, and besides every number is 2 times"),
    (Q, lambda r, d, q, g: r + g * (q[..., -1, :] if q.ndim > r.ndim else q).detach() * ~d, "you use the last alone"),
    (NA, lambda policy, old, s, s2, a2, gen: policy(s).sample(2, generator=gen)[1], "this action is drawn at s:"),
    (NA, lambda policy, old, s, s2, a2, gen: a2.clone(), "what the old policy did next"),
    (NA, lambda policy, old, s, s2, a2, gen: policy(s2).probs.argmax(-1), "π's favourite action: it gives"),
    (NA, lambda policy, old, s, s2, a2, gen: policy(s).probs.argmax(-1), "favourite action at s:"),
    (NA, lambda policy, old, s, s2, a2, gen: torch.randint(4, s2.shape, generator=gen), "π never takes at s′"),
    (NA, lambda policy, old, s, s2, a2, gen: policy(s2).sample(1, generator=gen), "an axis of M = 1 in front"),
    (NA, lambda policy, old, s, s2, a2, gen: torch.softmax(policy(s2).log_probs, -1), "these are π's probabilities"),
    (NA, lambda policy, old, s, s2, a2, gen: policy(s2).sample(generator=gen).float(), "actions are whole numbers"),
    (NA, lambda policy, old, s, s2, a2, gen: torch.multinomial(policy(s2).probs, 1, generator=gen), r"as \(B, 1\)"),
    (NA, lambda policy, old, s, s2, a2, gen: policy(s2).sample(generator=gen)[0], r"has shape \(\), and \(6000,\) is"),
    (NA, lambda policy, old, s, s2, a2, gen: old(s2).sample(generator=gen), "from the old policy: with it Q"),
    (NA, lambda policy, old, s, s2, a2, gen: old(s).sample(generator=gen), "at s, and from the old policy"),
    (NA, drawn_with(lambda p: p.sqrt()), "rare actions of π come too often"),
    (NA, drawn_with(lambda p: p * p), "frequent actions of π come too often"),
    (NA, drawn_with(lambda p: torch.softmax(p, -1)), "a softmax of probabilities"),
    (NA, drawn_with(lambda p: p > 1e-3), "equally frequent"),
    (NA, drawn_with(lambda p: p, shared=True), "the same draw serves many transitions"),
    (NA, lambda policy, old, s, s2, a2, gen: policy(s2.roll(1, -1)).sample(generator=gen), "π never takes at s′"),
    (NA, lambda policy, old, s, s2, a2, gen: policy(s2.flip(-1)).sample(generator=gen), "states of other transitions"),
    (NA, drawn_with(lambda p: p, generator=None), "the given generator is not used"),
    (NA, drawn_with(lambda p: p, generator=torch.Generator().manual_seed(3)), "the given generator is not used"),
    (NA, lambda policy, old, s, s2, a2, gen: policy(s2).sample(), "it stops with TypeError"),
    (EV, lambda p, q: q.max(-1).values, "the best action's Q"),
    (EV, lambda p, q: q.logsumexp(-1), "a soft maximum of Q"),
    (EV, lambda p, q: q.mean(-1), "the value of the uniform policy"),
    (EV, lambda p, q: q.sum(-1), "without π's probabilities"),
    (EV, lambda p, q: (p * q).mean(-1), "once more is too much"),
    (EV, lambda p, q: p * q, "these are the terms"),
    (EV, lambda p, q: (p * q).sum(-1, True), "an axis of 1 at the end"),
    (EV, lambda p, q: (p * q).sum(-2), "a sum is taken over the axis before the last"),
    (EV, lambda p, q: (p * q).sum(), "a sum is taken over everything"),
    (EV, lambda p, q: torch.take_along_dim(q, p.argmax(-1, keepdim=True), -1)[..., 0], "favourite action alone"),
    (EV, lambda p, q: (q.softmax(-1) * q).sum(-1), "the weights come from Q"),
    (EV, lambda p, q: (torch.log(p) * q).sum(-1), "not log π"),
    (EV, lambda p, q: p @ q.mT, "has shape"),
    (ET, with_value(lambda p, q, b: (p * q).sum(-1)[b.obs]), "this is the value of s:"),
    (ET, with_value(lambda p, q, b: (p[b.obs] * q[b.next_obs]).sum(-1)), "π is that of s, and"),
    (ET, with_value(lambda p, q, b: (p[b.next_obs] * q[b.obs]).sum(-1)), "Q is that of s, and"),
    (ET, with_value(lambda p, q, b: q[b.next_obs].max(-1).values), "the best action's Q"),
    (ET, with_value(lambda p, q, b: q[b.next_obs].mean(-1)), "every action counts the same"),
    (ET, with_value(of_stored), "Q of the stored next action"),
    (ET, with_value(lambda p, q, b: (p * q).mean(-1)[b.next_obs]), "once more is too much"),
    (ET, with_value(exact, lambda batch: 1), "bootstrap past a terminal state"),
    (ET, with_value(exact, lambda batch: batch.terminated), "the mask is inverted"),
    (ET, lambda p, q, b: b.reward + ~b.terminated * exact(p, q, b), "the discount γ = 0.99 is missing"),
    (ET, lambda p, q, b: 0.99 * ~b.terminated * exact(p, q, b), "the reward is missing"),
    (ET, without_index, r"^it stops with ValueError: next_q has shape \(4,\)"),
    (MC, lambda d, g, e: d * (2 * g - 1) + (1 - d) * 2 * (g * (1 - e) - 1), "so its derivative is 2"),
    (MC, lambda d, g, e: d * (2 * g - 1) + 4 * (1 - d) * (g - 1), "with probability ε"),
    (MC, lambda d, g, e: 2 * g - 1 + 4 * (g * (1 - e) - 1), "whatever their share"),
    (MC, lambda d, g, e: d * (g * 2 - 1), "the second state is missing"),
    (MC, lambda d, g, e: g * 2 - 1, "the first state alone"),
    (MC, lambda d, g, e: d * (1 - 2 * g) + 4 * (1 - d) * (1 - g * (1 - e)), "the sign is flipped"),
    (MC, lambda d, g, e: d * (2 - 1) - 4 * (1 - d) * e, "the discount γ is missing"),
    (
        MC,
        lambda d, g, e: -d * (2 * g - 1) ** 2 - (1 - d) * ((1 - e) * (2 * g - 2) ** 2 + e * (0 - 2) ** 2),
        "a gradient flows into the target",
    ),
    (MC, lambda d, g, e: -d * (1 - 2 * g) ** 2 - (1 - d) * 4 * (1 - g * (1 - e)) ** 2, "y is a constant: no deriv"),
    (MC, lambda d, g, e: 2 * (d * (2 * g - 1) + (1 - d) * (2 * g * (1 - e) - 2)), "the first state's value is w"),
    (MC, lambda d, g, e: d * (2 * g - 1) + 4 * (1 - d) * (g * e - 1), "you have swapped it with"),
    (MC, lambda d, g, e: d * (2 * g - 1) + (1 - d) * 2 * (g * (1 - e) - 2), "y in the second state holds 2w"),
    (MC, lambda d, g, e: (1 - d) * (2 * g - 1) + 4 * d * (g * (1 - e) - 1), "shares are swapped"),
    (MC, lambda d, g, e: d * (g - 1) + 4 * (1 - d) * (g * (1 - e) - 1), "not w"),
    (MC, lambda d, g, e: d * 2 * g + (1 - d) * 4 * g * (1 - e), "this is y alone"),
    (MC, lambda d, g, e: "up", "a tensor is wanted"),
]


def test_a_right_target_is_handed_back_and_trains_an_agent_with_m_actions_and_with_all(capsys):
    assert checks.q_target(q_target_in_steps) is q_target_in_steps
    assert "✓ q_target" in capsys.readouterr().out
    for m in (3, "all"):
        run = train(
            seeds=2,
            total_steps=1200,
            next_action_samples=m,
            q_target=q_target_in_steps,
            evaluations=1,
            eval_episodes=1,
            progress=False,
        )
        assert run.returns.shape == (2, 1) and torch.isfinite(run.returns).all()


class TestAnswers(Answers):
    NOTEBOOKS = ("04_q_critic.ipynb", "further/stability.ipynb")
    RIGHT, WRONG = RIGHT, WRONG
    REVEALING = ("detach()", "torch.where", ".mean(", ".sum(", "no_grad")
    SCOPE = {"expected_value": checks.expected_value.right, "q_target": checks.q_target.right}  # noqa: RUF012
