"""The exercises of notebook 05: right answers, what to observe, and the mistakes people make."""

from collections.abc import Callable

import torch

from offac_lite import equations
from offac_lite.course.checks import resampling
from offac_lite.course.checks.exercise import Exercise
from offac_lite.course.checks.observing import Observer, numbers, observer
from offac_lite.networks import of_actions

__all__ = ["leave_one_out", "own_loss", "resampled_advantage", "resampled_loss", "total_variance"]


def _right_resampled_loss(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action_resampled = pi.sample(action_samples, generator=generator)
    return equations.policy_gradient_loss(pi.log_prob(action_resampled), critic(obs, action_resampled))


def _resampled_loss(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action = pi.sample(action_samples, generator=generator)
    log_prob, q = pi.log_prob(action), critic(obs, action)
    return -(log_prob * q.detach()).mean()


def _critic(q_table: torch.Tensor) -> Callable:
    return lambda obs, action: of_actions(torch.take_along_dim(q_table, obs.long(), -2), action)


def _of_tables(function: Callable) -> Callable:
    """Turn a loss of a policy and a critic into a loss of their tables, and of the actions to draw."""

    def of_tables(logits, q_table, states, stored_action, draws, action_samples):
        def policy(obs):
            return resampling.Categorical(torch.take_along_dim(logits, obs.long(), -2), script)

        script, obs = resampling.Script(8 * list(draws.unbind(-2))), states.unsqueeze(-1)
        loss = script.given_to(function, policy, _critic(q_table), obs, stored_action, action_samples)
        one_for_each_seed = states.ndim == 2 and loss.shape == states.shape[:1]
        return loss.mean() if one_for_each_seed else loss  # train takes both

    return of_tables


_BATCH = resampling.LOGITS, resampling.Q_TABLE, torch.arange(3.0), torch.tensor([1, 2, 0]), resampling.DRAWS
_TWO_SEEDS = [torch.stack([table, table.flip(-1)]) for table in _BATCH]
_WITH_SEEDS = "(with an axis of seeds in front, as in notebook 06: obs is (S, B, …), actions are (S, K, B))"
_losses = observer(
    {
        "(K = 6)": (*_BATCH, 6),
        "(K = 1)": (*_BATCH, 1),
        "(a batch of one)": (*(x[..., :1] if x.ndim == 1 else x for x in _BATCH[:-1]), resampling.DRAWS[:, :1], 6),
        _WITH_SEEDS: (*_TWO_SEEDS, 6),
    },
    "the loss",
    {0: "the gradient with respect to the policy", 1: "the gradient that reaches Q"},
    loss=True,
)
_NAMES = None, "Q", "the states", "the stored action", "the draws", "K"
_SEEDS = "correct without seeds, but notebook 06 puts an axis of seeds in front"
_COUNT = "count the axes from the end, or average over everything"
resampled_loss = Exercise(
    "resampled_loss",
    doc="Check notebook 05's `my_resampled_loss(policy, critic, obs, stored_action, action_samples, generator)`.",
    right=_right_resampled_loss,
    plain=_resampled_loss,
    observe=Observer(_losses.cases, lambda function, *given: _losses.one(_of_tables(function), *given), names=_NAMES),
    extras={
        "q.detach() → (q - log_prob).detach()": resampling.ENTROPY,
        ".mean() → .mean() + (log_prob.exp() * log_prob).mean()": resampling.ENTROPY,
        ".mean() → .mean() + log_prob.mean()": resampling.ENTROPY,
    },
    mistakes={
        "pi.sample(action_samples, generator=generator) → stored_action": "you use the stored action: it was drawn "
        "from an old policy, and the policy gradient needs one from π now",
        "pi.log_prob(action) → pi.log_prob(stored_action)": "log π is of the stored action and Q of the resampled one: "
        "both factors must be of the same action",
        "critic(obs, action) → critic(obs, stored_action)": "Q is that of the stored action and log π of the resampled "
        "one: both factors must be of the same action",
        "-(log_prob → (log_prob": resampling.SIGN,
        ".detach() →": "a gradient flows into Q: the actor's loss would move the critic",
        ".mean() → .sum()": resampling.SUM,
        "critic(obs, action) → critic(obs, pi.sample(action_samples, generator=generator))": resampling.TWO_DRAWS,
        "pi.log_prob(action) → pi.log_prob(pi.sample(action_samples, generator=generator))": resampling.TWO_DRAWS,
        "q.detach() → (q - q.mean(-2, keepdim=True)).detach()": "you subtract a baseline that contains the action's "
        "own Q. This exercise wants Q itself as the weight",
        "q.detach() → (q - (q.sum(-2, keepdim=True) - q) / (q.shape[-2] - 1)).detach()": "you subtract the mean of the "
        "other actions, and with K = 1 there are none. This exercise wants Q itself as the weight",
        "return -q.detach().mean()": "log π is missing: this loss has no gradient for the policy",
        **resampling.DRAWING,
        **resampling.WEIGHTING,
        ".mean() → .mean((0, 1))": f"{_SEEDS}. Your mean over the first two axes leaves the states: {_COUNT}",
        ".mean() → .mean(-1).mean(0)": f"{_SEEDS}. Your mean over the first axis is a mean over seeds: {_COUNT}",
        ".mean() → .sum() / (action_samples * len(obs))": f"{_SEEDS}. You divide by the number of seeds where the "
        "number of states is meant",
        ".mean() → .sum() / (action_samples * obs.shape[-2])": f"{_SEEDS}. You add up over the seeds: the step would "
        "grow with their number",
    },
    only_gradients=True,
    praise="right: K fresh actions from π at every replayed state, and Q a constant",
)


def _leave_one_out(q):
    others = (q.sum(-2, keepdim=True) - q) / (q.shape[-2] - 1)
    return q - others


_Q = torch.tensor([[1.0, 10.0], [2.0, -30.0], [6.0, 50.0], [0.0, 7.0]])
leave_one_out = Exercise(
    "leave_one_out",
    doc="Check notebook 05's `my_leave_one_out(q)`, q (..., K, B).",
    right=equations.leave_one_out,
    plain=_leave_one_out,
    observe=observer(
        {
            "(K = 4)": (_Q,),
            "(K = 2)": (_Q[:2],),
            "(with a seed axis)": (torch.stack([_Q, 2 * _Q.flip(0)]),),
            "(a batch of one)": (_Q[:, :1],),
        },
        "the advantage",
    ),
    mistakes={
        "return q - q.mean(-2, keepdim=True)": resampling.OWN_Q,
        "return q - q.mean(-1, keepdim=True)": "you average over the batch of states: the baseline belongs to one "
        "state, so average over its K actions",
        "return q - q.mean(0, keepdim=True)": "your mean runs over the first axis: with seeds that is not the K axis",
        "(q.shape[-2] - 1) → q.shape[-2]": "you leave the own Q out of the sum but still divide by K: there are K − 1 "
        "others",
        "(q.sum(-2, keepdim=True) - q) → q.sum(-2, keepdim=True)": "you divide by K − 1 but the own Q is still in the "
        "sum",
        "return others": "this is the baseline; the advantage is Q minus it",
        "return others - q": "the sign is flipped: it is Q minus the baseline",
        "return q - q.sum(-2, keepdim=True) - q / (q.shape[-2] - 1)": "brackets are missing: the sum of the others is "
        "a difference, which as a whole is divided by K − 1, and as a whole subtracted from Q",
        "return q - q.roll(1, -2)": "you subtract one other action's Q where the mean of all the others is wanted",
        "return q - q.mean()": "you average over everything: the baseline belongs to one state",
        "return (q - q.mean(-2, keepdim=True)) / q.std(-2, keepdim=True)": "you also divide by the spread of Q: that "
        "changes the direction of the gradient, not just its noise",
        ("sum(-2 → sum(-1", "shape[-2] → shape[-1]"): "the others in your mean are other states: the actions of one "
        "state stand along the axis before the last",
        ("sum(-2 → sum(0", "shape[-2] → shape[0]"): "your sum runs over the first axis: with seeds that is not the K "
        "axis",
        "q.shape[-2] - 1 → len(q) - 1": "you take K from the length of the first axis: with seeds in front that is "
        "their number",
    },
    praise="right: a baseline for free, and still unbiased",
)


def _right_own_loss(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action_resampled = pi.sample(action_samples, generator=generator)
    weight = equations.leave_one_out(critic(obs, action_resampled))
    return equations.policy_gradient_loss(pi.log_prob(action_resampled), weight)


def _own_loss(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action = pi.sample(action_samples, generator=generator)
    log_prob, q = pi.log_prob(action), critic(obs, action).detach()
    others = (q.sum(-2, keepdim=True) - q) / (q.shape[-2] - 1)
    return -(log_prob * (q - others)).mean()


_OTHER_DRAWS = (
    "your baseline is the mean of actions that are drawn once more: it is that of the K − 1 others in the same draw"
)
_WITH_OTHERS = {
    "(K = 6)": (*_BATCH, 6),
    "(K = 2)": (*_BATCH, 2),
    "(a batch of one)": _losses.cases["(a batch of one)"],
    _WITH_SEEDS: (*_TWO_SEEDS, 6),
}
own_loss = Exercise(
    "own_loss",
    doc="Check notebook 05's `my_own_loss(policy, critic, obs, stored_action, action_samples, generator)`.",
    right=_right_own_loss,
    plain=_own_loss,
    observe=Observer(_WITH_OTHERS, lambda function, *given: _losses.one(_of_tables(function), *given), names=_NAMES),
    mistakes={
        "q - others → q": "the weight is still Q itself: subtract the mean of the other actions, as your leave-one-out "
        "does",
        ".detach() →": "a gradient flows into Q: the actor's loss would move the critic. Detach Q, as in Exercise 1",
        "(q.sum(-2, keepdim=True) - q) / (q.shape[-2] - 1) → q.mean(-2, keepdim=True)": resampling.OWN_Q,
        "(q.sum(-2, keepdim=True) - q) / (q.shape[-2] - 1) → q.mean(-1, keepdim=True)": "you average over the batch of "
        "states: the baseline belongs to one state, so average over its K actions",
        "(q.shape[-2] - 1) → q.shape[-2]": "you leave the own Q out of the sum but still divide by K: there are K − 1 "
        "others",
        ("sum(-2 → sum(-1", "shape[-2] → shape[-1]"): "the others in your mean are other states: the actions of one "
        "state stand along the axis before the last",
        "(q.sum(-2, keepdim=True) - q) / (q.shape[-2] - 1) → critic(obs, stored_action).detach().unsqueeze(-2)": "your "
        "baseline is Q of the stored action: the mean of the other drawn actions is wanted",
        "(q.sum(-2, keepdim=True) - q) / (q.shape[-2] - 1) → critic(obs, pi.sample(action_samples - 1, "
        "generator=generator)).detach().mean(-2, keepdim=True)": _OTHER_DRAWS,
        "(q.sum(-2, keepdim=True) - q) / (q.shape[-2] - 1) → critic(obs, pi.sample(action_samples, "
        "generator=generator)).detach().mean(-2, keepdim=True)": _OTHER_DRAWS,
        "(q - others) → others": "the weight is the baseline: it has to be Q minus the baseline",
        "(q - others) → (others - q)": resampling.SIGN,
        "critic(obs, action) → critic(obs, pi.sample(action_samples, generator=generator))": resampling.TWO_DRAWS,
        "pi.log_prob(action) → pi.log_prob(pi.sample(action_samples, generator=generator))": resampling.TWO_DRAWS,
        ".mean() → .sum()": resampling.SUM,
        **resampling.WEIGHTING,
        "return -(q - others).mean()": "the mean of leave-one-out alone is 0. Either log π is missing, or you take "
        "leave-one-out of the whole product: take it of Q, and multiply by log π",
    },
    only_gradients=True,
    praise="right: fresh actions, log π and leave-one-out in one loss",
)


def _total_variance(across_states, across_actions, batch_size, action_samples):
    s, a, n, k = across_states, across_actions, batch_size, action_samples
    return (s + a / k) / n


total_variance = Exercise(
    "total_variance",
    doc="Check notebook 05's `my_total_variance(across_states, across_actions, batch_size, action_samples)`.",
    right=_total_variance,
    spoken={"across_states": "the states' term", "across_actions": "the actions' term"},
    observe=numbers(
        [(0.3, 5.0, 1, 1), (0.3, 5.0, 8, 1), (0.3, 5.0, 1, 4), (0.7, 11.0, 8, 4), (7.0, 2.0, 4, 8)], "the variance"
    ),
    mistakes={
        "return (s + a) / (n * k)": "K divides the states' term too: more actions tell nothing new about states",
        "return s / n + a / k": "N is missing from the second term: every state brings actions of its own",
        "return s + a / (n * k)": "N is missing from the first term: more states average the states' noise out",
        "return s + a / k": "N is missing: the estimate is a mean over N independent states",
        "return (s + a) / n": "K is missing: the K actions of a state average their own noise out",
        "return s / k + a / n": "K and N are swapped",
        "return (s + a / n) / k": "K and N are swapped",
        "return (s / k + a) / n": "K divides the wrong term",
        "return s / n + a / n * k": "you multiply by K: a product in a denominator needs brackets",
        "return ((s + a / k) / n) ** 0.5": "this is the standard deviation: the variance is wanted, before any root",
        "return (s + a / k**0.5) / n**0.5": "that is how a standard deviation shrinks; a variance shrinks without the "
        "root",
        "return (s + a / k**2) / n**2": "a mean of n independent terms has 1/n of the variance, not 1/n²",
        "return s * n + a * n * k": "you multiply by N and K: a mean over more terms has less variance, so they divide",
        "return s + a": "neither N nor K appears yet",
    },
    praise="right: K divides one term, N both",
)


def _resampled_advantage(critic, obs, action_resampled, reward, next_value, value, gamma):
    return critic(obs, action_resampled) - value


def _planted_advantage(critic, obs, action_resampled, reward, next_value, value, gamma):
    return (reward + gamma * next_value - value).expand(action_resampled.shape)


_OLD_REWARD = "r and s′ belong to the stored action: only Q(s, aᵖ) knows what the resampled action is worth"
_ACTIONS, _REWARD = torch.tensor([[0, 1, 2], [2, 0, 1]]), torch.tensor([0.5, -1.0, 2.0])
_VALUE, _NEXT_VALUE = torch.tensor([-1.5, 4.0, 1.5]), torch.tensor([7.0, -3.0, 1.0])
resampled_advantage = Exercise(
    "resampled_advantage",
    doc="Check notebook 05's repaired `advantage(critic, obs, action_resampled, reward, next_value, value, gamma)`.",
    right=_resampled_advantage,
    observe=observer(
        {"": (_critic(resampling.Q_TABLE), torch.arange(3.0)[:, None], _ACTIONS, _REWARD, _NEXT_VALUE, _VALUE, 0.9)},
        "the advantage",
    ),
    mistakes={
        _planted_advantage: _OLD_REWARD,
        "return reward + gamma * next_value - value": _OLD_REWARD,
        "critic( → reward + critic(": "the stored reward is added on top of Q(s, aᵖ), which already contains the "
        "reward of *its* action",
        "critic( → reward + gamma * critic(": "you treat Q(s, aᵖ) as the value of s′ and pair it with the stored "
        "reward; Q(s, aᵖ) is the whole return",
        "- value → - next_value": "the baseline is V(s), the state in which the action is chosen, not V(s′)",
        "- value →": "this is Q itself; the advantage is Q minus V(s)",
        "return value - critic(obs, action_resampled)": "the sign is flipped: it is Q minus V",
        "critic( → gamma * critic(": "Q(s, aᵖ) is not discounted here: it is the return from s itself",
        "- value → - critic(obs, action_resampled).mean(-1, keepdim=True)": "you average over the batch of states: the "
        "baseline is each state's own V(s)",
        "- value → - critic(obs, action_resampled).mean(-2, keepdim=True)": "your mean over the drawn actions contains "
        "the action's own Q: the baseline here is V(s)",
        "- value → - (reward + gamma * next_value)": "r + γV(s′) is what the stored action led to: the baseline is "
        "V(s)",
    },
    praise="right: what the resampled action is worth, only Q can tell",
    planted=_planted_advantage,
)
