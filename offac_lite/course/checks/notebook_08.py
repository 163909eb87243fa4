"""The repairs of notebook 08: right answers, what to look at, and the mistakes people make. SPOILERS."""

from collections.abc import Callable

import torch

from offac_lite import updates
from offac_lite.course import clinic
from offac_lite.course.checks import resampling
from offac_lite.course.checks.exercise import Exercise, Refused, call, call_loss, gradient, something, to_tensor
from offac_lite.networks import Categorical, of_actions

__all__ = ["patient_a", "patient_b", "patient_c", "patient_d", "patient_e", "patient_f", "patient_g", "patient_h"]

# ------------------------------------------------------------------------------------------------- A: the target


def _observe_q_target(function: Callable) -> dict[str, torch.Tensor]:
    reward = torch.tensor([[1.0, -0.5, 2.0], [0.25, 3.0, 0.0]])
    ended = torch.tensor([[False, True, False], [True, False, False]])
    later = torch.tensor([[4.0, 6.0, -1.5], [5.0, 0.5, 7.0]])
    return {"y": call(function, reward, ended, later, 0.9).detach()}


def _planted_a(reward, ended, next_value, gamma):
    return reward + gamma * next_value


patient_a = Exercise(
    "patient A",
    doc="Check the repair of patient A, `my_q_target(reward, ended, next_value, gamma)`.",
    right=updates.v_target,
    observe=_observe_q_target,
    mistakes=[
        (_planted_a, "y still bootstraps past the end: where d is true, nothing comes after r"),
        (
            lambda r, d, v, gamma: r + gamma * v * d,
            "the mask is the wrong way round: you bootstrap only where the episode is over",
        ),
        (
            lambda r, d, v, gamma: (r + gamma * v) * ~d,
            "the last reward is lost: the mask takes away r as well, and r was really paid",
        ),
        (lambda r, d, v, gamma: r + v * ~d, "the discount is missing"),
        (lambda r, d, v, gamma: r, "nothing is bootstrapped at all: y looks one step ahead and no further"),
        (lambda r, d, v, gamma: gamma * (r + v * ~d), "r is discounted too; it is paid now, only V(s′) comes later"),
        (lambda r, d, v, gamma: r - gamma * v * ~d, "the future is subtracted"),
        (
            lambda r, d, v, gamma: r + gamma * v - d.double(),
            "you subtract d itself: the end costs a number, and the value after it is still there",
        ),
    ],
    praise="healed: where the episode is over, y is r and nothing else",
    planted=_planted_a,
)


# -------------------------------------------------------------------------------------- B, C, F: the actor's loss


def _observe_actor_loss(function: Callable) -> dict[str, torch.Tensor]:
    seen = {}
    for batch, sign in (("", 1), (", another batch", -1)):  # a loss above zero, and one below
        log_prob = torch.tensor([[-0.3, -1.2, -0.7], [-2.0, -0.1, -0.4]], requires_grad=True)
        q = (sign * torch.tensor([[1.0, 4.0, -2.0], [0.5, 3.0, 6.0]])).requires_grad_()
        loss = call_loss(function, log_prob, q, sign * torch.tensor([0.75, 2.0, 1.0]))
        seen[f"the gradient with respect to log π{batch}"] = gradient(loss, log_prob)
        seen[f"the gradient that reaches Q{batch}"] = gradient(loss, q)
        seen[f"the loss{batch}"] = loss.detach()
    return seen


def _planted_b(log_prob, q, value):
    return (log_prob * (q - value).detach()).mean()


def _planted_c(log_prob, q, value):
    return -(log_prob * (q - value)).mean()


def _planted_f(log_prob, q, value):
    return -(log_prob * (q - value).detach()).sum()


_ACTOR_MISTAKES = [
    (_planted_b, "the sign is flipped: an optimiser walks downhill, so this makes good actions rarer"),
    (_planted_c, "a gradient flows into Q: the actor's loss moves the critic, which must listen to rewards alone"),
    (_planted_f, "you add up over states and actions: the gradient is as many times too long as there are terms"),
    (
        lambda lp, q, v: (lp * (q - v)).mean(),
        "the sign is flipped, and besides a gradient flows into Q",
    ),
    (
        lambda lp, q, v: -(lp * (q - v).detach()).sum(0).mean(),
        "you add up the K actions of a state where their mean is wanted: more actions would mean larger steps",
    ),
    (
        lambda lp, q, v: -(lp * (q - v).detach()).mean(0).sum(),
        "you add up the states of the batch where their mean is wanted: a larger batch would mean larger steps",
    ),
    (
        lambda lp, q, v: -(lp * (q - v).detach()).mean(-1),
        "you average over the batch only: the K actions are to be averaged too, down to one number",
    ),
    (
        lambda lp, q, v: -(lp * q.detach()).mean(),
        "the baseline is gone: right on average and much noisier; the weight was Q − V, and that was not the bug",
    ),
    (
        lambda lp, q, v: -(lp.detach() * (q - v)).mean(),
        "the gradient is cut at the wrong factor: it has to flow through log π, and through nothing else",
    ),
    (
        lambda lp, q, v: -(lp.detach() * (q - v).detach()).mean(),
        "both factors are cut off: no gradient reaches the policy",
    ),
    (
        lambda lp, q, v: -(lp.exp() * (q - v).detach()).mean(),
        "this weights by π, not by log π: drawing the actions already contributes the factor π",
    ),
    (
        lambda lp, q, v: (lp * (q - v).detach()).mean().abs(),
        "the loss may be negative or positive, and yours is never negative: where it should be, good actions get rarer",
    ),
    (
        lambda lp, q, v: -(lp * (q - v).detach()).mean().abs(),
        "the loss may be negative or positive, and yours is never positive: where it should be, good actions get rarer",
    ),
]
_ACTOR_PRAISE = "healed: uphill for the policy, nothing for the critic, and a mean"
patient_b, patient_c, patient_f = (
    Exercise(
        f"patient {letter}",
        doc=f"Check the repair of patient {letter}, `my_actor_loss(log_prob, q, value)`.",
        right=clinic.actor_loss,
        observe=_observe_actor_loss,
        mistakes=_ACTOR_MISTAKES,
        praise=_ACTOR_PRAISE,
        planted=planted,
    )
    for letter, planted in (("B", _planted_b), ("C", _planted_c), ("F", _planted_f))
)


# ---------------------------------------------------------------------------------------------- D: the critic's loss


def _observe_critic_loss(function: Callable) -> dict[str, torch.Tensor]:
    q_all = torch.tensor([[1.0, 5.0, -2.0], [0.5, 3.0, 8.0], [4.0, -1.0, 2.0]], requires_grad=True)
    loss = call_loss(function, q_all, torch.tensor([0, 2, 1]), torch.tensor([4.0, 1.0, 2.5]))
    return {"the gradient with respect to Q": gradient(loss, q_all), "the loss": loss.detach()}


def _planted_d(q_all, action, target):
    q = q_all.gather(-1, action.unsqueeze(-1))
    return 0.5 * (q - target).square().mean()


def _taken(q_all, action):
    return q_all.gather(-1, action.unsqueeze(-1)).squeeze(-1)


patient_d = Exercise(
    "patient D",
    doc="Check the repair of patient D, `my_critic_loss(q_all, action, target)`.",
    right=clinic.critic_loss,
    observe=_observe_critic_loss,
    mistakes=[
        (
            _planted_d,
            "one of the two has shape (B, 1) and the other (B,): they still broadcast to (B, B), and every prediction "
            "is pulled to every target",
        ),
        (
            lambda q, a, y: 0.5 * (_taken(q, a) - y).square().sum(),
            "you add up over the batch where the mean is wanted",
        ),
        (lambda q, a, y: (_taken(q, a) - y).square().mean(), "the factor ½ is missing: every step is twice as long"),
        (
            lambda q, a, y: 0.5 * (q.amax(-1) - y).square().mean(),
            "you train the best action's Q; y belongs to the action that was taken",
        ),
        (
            lambda q, a, y: 0.5 * (q - y.unsqueeze(-1)).square().mean(),
            "you pull all the actions of a state to y; it belongs to the action that was taken alone",
        ),
        (
            lambda q, a, y: 0.5 * (q[0, a] - y).square().mean(),
            "all the actions are looked up in the first state; each row has its own",
        ),
        (
            lambda q, a, y: 0.5 * (q[:, a] - y).square().mean(),
            "every row is looked up at every action; each row has an action of its own",
        ),
        (
            lambda q, a, y: 0.5 * (q.gather(0, a.unsqueeze(0)) - y).square().mean(),
            "the action picks a row of the table here; the rows are states, and the actions stand side by side",
        ),
        (lambda q, a, y: 0.5 * (_taken(q, a) - y).mean().square(), "mean and square are the wrong way round"),
        (lambda q, a, y: 0.5 * (_taken(q, a) - y).abs().mean(), "this is the distance, and its square is wanted"),
        (
            lambda q, a, y: 0.5 * (_taken(q, a) - y).square(),
            "one number is wanted, the mean over the batch: yours is one for each row",
        ),
        (lambda q, a, y: 0.5 * (_taken(q, a).detach() - y).square().mean(), "no gradient reaches Q"),
    ],
    praise="healed: every prediction is compared with its own target, and with no other",
    planted=_planted_d,
)


# ------------------------------------------------------------------------------------------ E: the resampled actions


def _observe_resample(function: Callable) -> dict[str, torch.Tensor]:
    seen = {}
    for k in (1, 4):
        logits = torch.tensor([[0.2, -0.4, 0.9], [1.0, 0.3, -0.2], [-0.5, 0.1, 0.4]], requires_grad=True)
        q_all = torch.tensor([[1.0, 5.0, -2.0], [0.5, 3.0, 8.0], [4.0, -1.0, 2.0]])
        rows = torch.tensor([[0, 2, 1], [2, 0, 1], [0, 1, 2], [2, 0, 0], [0, 0, 1], [1, 1, 2], [0, 2, 0], [1, 0, 1]])
        pi = resampling.Categorical(logits, list(rows))
        pair = something(resampling.with_generator(function, pi, q_all, k))
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise Refused("two tensors are wanted: log π of the actions, and Q of the actions")
        log_prob, q = map(to_tensor, pair)
        seen[f"log π (K = {k})"] = log_prob.detach()
        seen[f"Q (K = {k})"] = q.detach()
        seen[f"the gradient of log π (K = {k})"] = gradient(log_prob, logits)
    return seen


def _planted_e(pi, q_all, action_samples, generator):
    log_prob = pi.log_prob(pi.sample(action_samples, generator=generator))
    q = of_actions(q_all, pi.sample(action_samples, generator=generator))
    return log_prob, q


def _q_first(pi, q_all, action_samples, generator):
    q = of_actions(q_all, pi.sample(action_samples, generator=generator))
    return pi.log_prob(pi.sample(action_samples, generator=generator)), q


def _drawn(use: Callable) -> Callable:
    def resample(pi, q_all, action_samples, generator):
        action = pi.sample(action_samples, generator=generator)
        return use(pi, q_all, action)

    return resample


_TWO_DRAWS = "log π still speaks of one draw and Q of another: what is rated is not what is reinforced"
patient_e = Exercise(
    "patient E",
    doc="Check the repair of patient E, `my_resample(pi, q_all, action_samples, generator)`.",
    right=clinic.resample,
    observe=_observe_resample,
    mistakes=[
        (_planted_e, _TWO_DRAWS),
        (_q_first, _TWO_DRAWS),
        (
            lambda pi, q, k, g: (lambda a: (pi.log_prob(a), of_actions(q, a)))(pi.mode().expand(k, -1)),
            "these are the most probable actions: the gradient is an expectation, so they have to be *drawn*",
        ),
        (
            lambda pi, q, k, g: (lambda a: (pi.log_prob(a), of_actions(q, a)))(pi.sample(1, generator=g)),
            "you draw one action per state, whatever action_samples says",
        ),
        (
            lambda pi, q, k, g: (lambda a: (pi.log_prob(a).expand(k, -1), of_actions(q, a).expand(k, -1)))(
                pi.sample(1, generator=g)
            ),
            "you draw one action per state and repeat it: K copies are no K draws",
        ),
        (
            _drawn(lambda pi, q, a: (of_actions(q, a), pi.log_prob(a))),
            "the two come back in the wrong order: log π first, then Q",
        ),
        (
            _drawn(lambda pi, q, a: (pi.log_prob(a), (pi.probs.detach() * q).sum(-1).expand(a.shape))),
            "this is V(s), the same for all actions of a state: Q of the action that was drawn is wanted",
        ),
        (
            _drawn(lambda pi, q, a: (pi.log_prob(a), q.amax(-1).expand(a.shape))),
            "this is the best action's Q, the same for all actions of a state: Q of the one that was drawn is wanted",
        ),
        (
            _drawn(lambda pi, q, a: (pi.log_prob(a), q)),
            "this is Q of all the actions there are: one Q for each of the *drawn* actions is wanted",
        ),
        (
            lambda pi, q, k, g: (lambda a: (pi.log_prob(a), of_actions(q, a)))(pi.sample(generator=g)),
            "the axis of the drawn actions is missing: one row for each of the K is wanted, also where K = 1",
        ),
        (
            _drawn(lambda pi, q, a: (pi.log_prob(a).mean(0), of_actions(q, a).mean(0))),
            "you average over the drawn actions: one log π and one Q for each of them are wanted",
        ),
        (_drawn(lambda pi, q, a: (pi.log_prob(a).detach(), of_actions(q, a))), "log π is cut off: no gradient"),
        (_drawn(lambda pi, q, a: (pi.log_prob(a).exp(), of_actions(q, a))), "this is π, and log π is wanted"),
    ],
    praise="healed: one draw, and both factors speak of it",
    planted=_planted_e,
)


# ------------------------------------------------------------------------------------------- G: the next state's value


def _observe_next_value(function: Callable) -> dict[str, torch.Tensor]:
    logits = torch.tensor([[0.2, -0.4, 0.9], [1.0, 0.3, -0.2]])
    critic = clinic.TableCritic(torch.tensor([[1.0, 5.0, -2.0], [0.5, 3.0, 8.0]]))
    next_obs, stored = torch.tensor([[0, 1], [1, 1], [0, 0]]), torch.tensor([[1, 0], [2, 1], [0, 1]])
    return {"V(s′)": call(function, lambda s: Categorical(logits[s]), critic, next_obs, stored).detach()}


def _planted_g(policy, target_critic, next_obs, stored_next_action):
    return target_critic(next_obs, stored_next_action)


patient_g = Exercise(
    "patient G",
    doc="Check the repair of patient G, `my_next_value(policy, target_critic, next_obs, stored_next_action)`.",
    right=clinic.next_value,
    observe=_observe_next_value,
    mistakes=[
        (_planted_g, "a′ is still the stored one: the critic would learn the value of whoever wrote the data"),
        (
            lambda policy, critic, s, a: critic.all_actions(s).amax(-1),
            "this is the best action's Q: it makes Q-learning's target, the value of the greedy policy and not of π",
        ),
        (
            lambda policy, critic, s, a: critic(s, policy(s).mode()),
            "this is Q of π's most probable action; the mean over all that π might do is wanted",
        ),
        (
            lambda policy, critic, s, a: critic.all_actions(s).mean(-1),
            "all actions count alike: each is to be weighted by its probability under π",
        ),
        (lambda policy, critic, s, a: critic.all_actions(s).sum(-1), "the actions are added up without π's weights"),
        (
            lambda policy, critic, s, a: (policy(s).log_probs * critic.all_actions(s)).sum(-1),
            "you weight by log π, and a mean under π is weighted by π",
        ),
        (
            lambda policy, critic, s, a: (policy(s).probs * critic.all_actions(s)).mean(-1),
            "you average the weighted values, which divides by the number of actions once too often: add them up",
        ),
        (
            lambda policy, critic, s, a: policy(s).log_prob(a).exp() * critic(s, a),
            "only the stored action is in it, weighted by π: the others are missing",
        ),
        (
            lambda policy, critic, s, a: policy(s).probs * critic.all_actions(s),
            "the sum over actions is missing: one number for each state is wanted",
        ),
    ],
    praise="healed: a′ comes from π as it is now, all of it at once",
    planted=_planted_g,
)


# --------------------------------------------------------------------------------------------------- H: the end


def _observe_ended(function: Callable) -> dict[str, torch.Tensor]:
    terminated, truncated = torch.tensor([[False, True], [False, True]]), torch.tensor([[False, False], [True, True]])
    d = call(function, terminated, truncated)
    if d.dtype != torch.bool:
        raise Refused("d is a yes or a no, and yours holds numbers")
    return {"d": d.double()}


def _planted_h(terminated, truncated):
    return terminated | truncated


patient_h = Exercise(
    "patient H",
    doc="Check the repair of patient H, `my_ended(terminated, truncated)`.",
    right=clinic.ended,
    observe=_observe_ended,
    mistakes=[
        (_planted_h, "a time limit still counts as an end: the world would have gone on, only the recording stopped"),
        (
            lambda terminated, truncated: truncated,
            "this is the time limit alone: falling is an end, and the limit is none",
        ),
        (
            lambda terminated, truncated: terminated & truncated,
            "only what ended for both reasons at once counts as an end now",
        ),
        (
            lambda terminated, truncated: terminated & ~truncated,
            "an episode that really ends in its very last allowed step is over all the same",
        ),
        (
            lambda terminated, truncated: ~terminated,
            "this says where to bootstrap, which is the opposite of d",
        ),
        (
            lambda terminated, truncated: ~(terminated | truncated),
            "this is the opposite of d, and the time limit still counts as an end",
        ),
        (
            lambda terminated, truncated: torch.zeros_like(terminated),
            "now nothing ends at all: the next reader of this chart will meet patient A",
        ),
    ],
    praise="healed: d is true where nothing can follow, and there alone",
    planted=_planted_h,
)
