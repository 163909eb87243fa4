"""The repairs of notebook 07 and of More patients: right answers, what to observe, and usual mistakes. SPOILERS."""

from collections.abc import Callable

import torch

from offac_lite import equations
from offac_lite.course import clinic
from offac_lite.course.checks import resampling
from offac_lite.course.checks.exercise import Exercise
from offac_lite.course.checks.observing import Observations, Observer, Refused, observer, slopes, something, to_tensor
from offac_lite.networks import Categorical, of_actions

__all__ = [
    "patient_a",
    "patient_b",
    "patient_c",
    "patient_d",
    "patient_e",
    "patient_f",
    "patient_g",
    "patient_h",
    "wrong_rows",
]

# the bugs, as the notebooks give them
_A = clinic.patient("A").q_target
_B = clinic.patient("B").actor_loss
_C = clinic.patient("C").actor_loss
_D = clinic.patient("D").critic_loss
_E = clinic.patient("E").resample
_F = clinic.patient("F").actor_loss
_G = clinic.patient("G").next_value
_H = clinic.patient("H").ended

# ------------------------------------------------------------------------------------------------- A: the target


def _q_target(reward, ended, next_value, gamma):
    return reward + gamma * next_value * ~ended


_REWARD, _NEXT_VALUE = torch.tensor([[1.0, -0.5, 2.0], [0.25, 3.0, 0.0]]), torch.tensor([[4, 6, -1.5], [5, 0.5, 7]])
_ENDED = torch.tensor([[False, True, False], [True, False, False]])
patient_a = Exercise(
    "patient_a",
    doc="Check the repair of patient A, `my_q_target(reward, ended, next_value, gamma)`.",
    right=equations.v_target,
    plain=_q_target,
    observe=observer(
        {
            "(no end in the batch)": (_REWARD, torch.zeros_like(_ENDED), _NEXT_VALUE, 0.9),
            "(two ends in the batch)": (_REWARD, _ENDED, _NEXT_VALUE, 0.5),
        },
        "y",
    ),
    mistakes={
        _A: "y still bootstraps past the end: where d is true, nothing comes after r",
        "~ended → ended": "the mask is inverted: you bootstrap only where the episode is over",
        "return (reward + gamma * next_value) * ~ended": "the last reward is lost: the mask takes away r as well, and "
        "r was really paid",
        "return reward": "nothing is bootstrapped at all: y looks one step ahead and no further",
        "next_value * ~ended → next_value * ~ended.any()": "one end in the batch switches V(s′) off for all of it: "
        "each transition has a d of its own",
        "return gamma * (reward + next_value * ~ended)": "r is discounted too; it is paid now, only V(s′) comes later",
        "* ~ended → - ended.double()": "you subtract d itself: y is lower at the end, and the value of s′ is still in "
        "it",
    },
    praise="healed: where the episode is over, y is r and nothing else",
    planted=_A,
)


# -------------------------------------------------------------------------------------- B, C, F: the actor's loss


def _actor_loss(log_prob, q, value):
    return -(log_prob * (q - value).detach()).mean()


_LOG_PROB = torch.tensor([[-0.3, -1.2, -0.7], [-2.0, -0.1, -0.4], [-0.9, -0.6, -1.7], [-1.1, -0.2, -0.5]])
_DRAWN_Q, _VALUE = (
    torch.tensor([[1.0, 4.0, -2.0], [0.5, 3.0, 6.0], [2.5, 1.5, 0.0], [-1.0, 5.0, 3.5]]),
    torch.tensor([0.75, 2.0, 1.0]),
)
_RARER = "where it should be, good actions get rarer"
_observe_actor_loss = observer(
    {"": (_LOG_PROB, _DRAWN_Q, _VALUE), "(another batch)": (_LOG_PROB, -_DRAWN_Q, -_VALUE)},  # above zero, and below
    "the loss",
    {0: "the gradient with respect to log π", 1: "the gradient that reaches Q"},
    loss=True,
)
_ACTOR_MISTAKES = {
    _B: resampling.SIGN,
    _C: "a gradient flows into Q: the actor's loss moves the critic, which must learn from rewards alone",
    _F: "you add up over states and actions: the gradient is multiplied by the number of terms",
    ("-(log_prob → (log_prob", ".detach() →"): "the sign is flipped, and besides a gradient flows into Q",
    **resampling.WEIGHTING,
    ".mean() → .mean(0).sum()": "you add up the states of the batch where their mean is wanted: a larger batch would "
    "mean larger steps",
    "- value →": "your gradient has no baseline: V has to be subtracted from Q before log π multiplies. Without a "
    "baseline the gradient stays unbiased but gets much noisier",
    "return -(log_prob.detach() * (q - value)).mean()": "the gradient is cut at the wrong factor: it has to flow "
    "through log π, and through nothing else",
    ("-(log_prob → (log_prob", ".mean() → .mean().abs()"): f"the loss may be negative or positive, and yours is never "
    f"negative: {_RARER}",
    ".mean() → .mean().abs()": f"the loss may be negative or positive, and yours is never positive: {_RARER}",
}
patient_b, patient_c, patient_f = (
    Exercise(
        f"patient_{letter.lower()}",
        doc=f"Check the repair of patient {letter}, `my_actor_loss(log_prob, q, value)`.",
        right=clinic.actor_loss,
        plain=_actor_loss,
        observe=_observe_actor_loss,
        mistakes=_ACTOR_MISTAKES,
        only_gradients=True,
        extras={
            ".mean() → .mean() + log_prob.mean()": resampling.ENTROPY,
            "(q - value) → (q - value - log_prob)": resampling.ENTROPY,
            ".mean() → .mean() + (log_prob.exp() * log_prob).mean()": resampling.ENTROPY,
        },
        praise="healed: the sign is right, no gradient reaches the critic, and the loss is a mean",
        planted=planted,
    )
    for letter, planted in (("B", _B), ("C", _C), ("F", _F))
)


# ---------------------------------------------------------------------------------------------- D: the critic's loss


def _critic_loss(q_all, action, target):
    q = q_all.gather(-1, action.unsqueeze(-1)).squeeze(-1)
    return 0.5 * (q - target).square().mean()


def _explain_d(seen: Observations, right: Observations) -> str | None:
    """Say that the distance from y does not count, but on which side of y Q is."""
    yours, wanted = (x["the gradient with respect to Q"] for x in (seen, right))
    size = yours.abs().max()
    if size and torch.allclose(yours, size * wanted.sign()):
        return (
            "the gradient is equally large for every distance between Q and y, as with an absolute error or a Huber "
            "loss: the square of the distance is wanted"
        )
    return None


_ROWS_OF_ACTIONS = "the actions pick rows here: the rows are states, and each row needs the entry of its own action"
patient_d = Exercise(
    "patient_d",
    doc="Check the repair of patient D, `my_critic_loss(q_all, action, target)`.",
    right=clinic.critic_loss,
    plain=_critic_loss,
    observe=observer(
        {"": (resampling.Q_TABLE, torch.tensor([0, 2, 1]), torch.tensor([4.0, 1.0, 2.5]))},
        "the loss",
        {0: "the gradient with respect to Q"},
        loss=True,
    ),
    mistakes={
        _D: "one of the two has shape (B, 1) and the other (B,): they still broadcast to (B, B), and every "
        "prediction is pulled to every target",
        "0.5 * →": "the factor ½ is missing: every step is twice as long",
        "(q - → (q_all.amax(-1) -": "you train the best action's Q; y belongs to the action that was taken",
        "(q - target) → (q_all[action] - target.unsqueeze(-1))": _ROWS_OF_ACTIONS,
        "(q - target) → (q_all - target.unsqueeze(-1))": "you pull all the actions of a state to y: it belongs to one "
        "of them, the action that was taken",
        "(q - → (q_all[0, action] -": "all the actions are looked up in the first state; each row has its own",
        "(q - → (q_all[action] -": _ROWS_OF_ACTIONS,
        "(q - → (q_all[:, action] -": "every row is looked up at every action; each row has an action of its own",
        "(q - → (q_all.gather(0, action.unsqueeze(0)) -": "the action picks a row of the table here; the rows are "
        "states, and the actions stand side by side",
        ".square().mean() → .mean().square()": "you square the mean: the mean of the squares is wanted",
        ".mean() →": "one number is wanted, the mean over the batch: yours is one for each row",
        "(q - → (q.detach() -": "no gradient reaches Q",
    },
    explain=_explain_d,
    praise="healed: every prediction is compared with its own target, and with no other",
    planted=_D,
)


# ------------------------------------------------------------------------------------------ E: the resampled actions


def _resample(pi, q_all, action_samples, generator):
    action = pi.sample(action_samples, generator=generator)
    log_prob, q = pi.log_prob(action), of_actions(q_all, action)
    return log_prob, q


def _one_resample(function: Callable, k: int, size: int, lead: tuple[int, ...] = ()) -> Observations:
    logits = resampling.LOGITS[:size].expand(*lead, size, 3).clone().requires_grad_()
    q_all, rows = resampling.Q_TABLE[:size].expand_as(logits).clone(), resampling.DRAWS[:, :size]
    script = resampling.Script(2 * [torch.stack([row, (row + 1) % 3]) if lead else row for row in rows])
    pair = something(script.given_to(function, resampling.Categorical(logits, script), q_all, k))
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise Refused("two tensors are wanted: log π of the actions, and Q of the actions")
    log_prob, q = map(to_tensor, pair)
    (to_policy,) = slopes(log_prob, [logits])
    return {"log π": log_prob.detach(), "Q": q.detach(), "the gradient of log π": to_policy}


_DRAWN_IS_WANTED = "the same for all actions of a state: Q of the action that was drawn is wanted"
patient_e = Exercise(
    "patient_e",
    doc="Check the repair of patient E, `my_resample(pi, q_all, action_samples, generator)`.",
    right=clinic.resample,
    plain=_resample,
    observe=Observer(
        {"(K = 4)": (4, 3), "(K = 1)": (1, 3), "(a batch of one)": (4, 1), "(two seeds in front)": (4, 3, (2,))},
        _one_resample,
        probes=False,
    ),
    mistakes={
        _E: resampling.TWO_DRAWS,
        "pi.log_prob(action) → pi.log_prob(pi.sample(action_samples, generator=generator))": resampling.TWO_DRAWS,
        **resampling.DRAWING,
        (*resampling.ONE_DRAW, "return log_prob.expand(action_samples, -1), q.expand(action_samples, -1)"): "you draw "
        "one action per state and repeat it: K copies are not K draws",
        "return q, log_prob": "the two come back in the wrong order: log π first, then Q",
        "return log_prob, (pi.probs.detach() * q_all).sum(-1).unsqueeze(-2).expand(q.shape)": f"this is V(s), "
        f"{_DRAWN_IS_WANTED}",
        "return log_prob, q_all.amax(-1).unsqueeze(-2).expand(q.shape)": f"this is the best action's Q, "
        f"{_DRAWN_IS_WANTED}",
        "return log_prob, q - (pi.probs.detach() * q_all).sum(-1).unsqueeze(-2)": "V(s) is subtracted from Q: Q itself "
        "is wanted, for the actor's loss subtracts V(s)",
        "return log_prob, q_all": "this is Q of all the actions there are: one Q for each of the *drawn* actions is "
        "wanted",
        "pi.sample(action_samples, → pi.sample(": "the axis of the drawn actions is missing: one row for each of the K "
        "is wanted, also where K = 1",
        "return log_prob.mean(0), q.mean(0)": "you average over the drawn actions: one log π and one Q for each of "
        "them are wanted",
        "return log_prob.detach(), q": resampling.DETACHED,
    },
    praise="healed: one draw, and both factors use it",
    planted=_E,
)


# ------------------------------------------------------------------------------------------- G: the next state's value


def _next_value(policy, target_critic, next_obs, stored_next_action):
    probs, q = policy(next_obs).probs, target_critic.all_actions(next_obs)
    return (probs * q).sum(-1)


def _policy(obs: torch.Tensor) -> Categorical:
    return Categorical(resampling.LOGITS[obs])


_NEXT_OBS, _STORED = torch.tensor([[0, 1], [1, 1], [0, 0]]), torch.tensor([[1, 0], [2, 1], [0, 1]])
patient_g = Exercise(
    "patient_g",
    doc="Check the repair of patient G, `my_next_value(policy, target_critic, next_obs, stored_next_action)`.",
    right=clinic.next_value,
    plain=_next_value,
    observe=observer({"": (_policy, clinic.TableCritic(resampling.Q_TABLE), _NEXT_OBS, _STORED)}, "V(s′)"),
    mistakes={
        _G: "a′ is still the stored one: the critic would learn the value of the policies that wrote the data",
        **resampling.MEAN_UNDER_PI,
        "return of_actions(probs * q, stored_next_action)": "only the stored action is in it, weighted by π: the "
        "others are missing",
    },
    extras=resampling.SOFT_VALUE,
    praise="healed: a′ comes from π as it is now, all of it at once",
    planted=_G,
)


# --------------------------------------------------------------------------------------------------- H: the end


_TERMINATED, _TRUNCATED = torch.tensor([[False, True], [False, True]]), torch.tensor([[False, False], [True, True]])
patient_h = Exercise(
    "patient_h",
    doc="Check the repair of patient H, `my_ended(terminated, truncated)`.",
    right=clinic.ended,
    observe=observer({"": (_TERMINATED, _TRUNCATED)}, "d"),
    spoken={"terminated": "terminated"},
    mistakes={
        _H: "a time limit still counts as an end: the world would have gone on, only the recording stopped",
        "return truncated": "this is the time limit alone: falling is an end, and the limit is none",
        "return terminated & truncated": "only what ended for both reasons at once counts as an end now",
        "return terminated & ~truncated": "an episode that terminates in its last allowed step is over all the same",
        "return ~terminated": "this says where to bootstrap, which is the opposite of d",
        "return ~(terminated | truncated)": "this is the opposite of d, and the time limit still counts as an end",
        "return torch.zeros_like(terminated)": "now no episode ends at all: that was the bug of patient A",
    },
    praise="healed: d is true where nothing can follow, and there alone",
    planted=_H,
)


# --------------------------------------------------------------------------------------------- the rows of the buffer


def _wrong_rows(obs, action, next_obs):
    follows = torch.stack([obs[:, 0], obs[:, 1] + 1, action[:, 0]], 1)
    return (next_obs != follows).any(1)


_ROWS = torch.tensor(
    [  # episode, step and action of s; a; episode, step and action of s′
        [4, 0, 0.0, 0.5, 4, 1, 0.5],
        [4, 1, 0.5, -1.0, 4, 2, -1.0],
        [4, 2, -1.0, 1.5, 5, 0, 0.0],
        [7, 3, 0.25, 1.0, 7, 4, 0.5],
        [7, 2, 1.0, 0.75, 8, 3, 0.75],
        [9, 1, 0.5, -0.5, 9, 1, -0.5],
        [9, 0, 0.0, 2.0, 9, 1, 0.0],
        [9, 2, 0.0, 2.0, 9, 4, 2.0],
        [9, 4, 2.0, 2.0, 9, 5, 2.0],
    ]
)
wrong_rows = Exercise(
    "wrong_rows",
    doc="Check `my_wrong_rows(obs, action, next_obs)`: which rows of a counting world are not what happened.",
    right=clinic.wrong_rows,
    plain=_wrong_rows,
    observe=observer({"": (_ROWS[:, :3], _ROWS[:, 3:4], _ROWS[:, 4:])}, "what you return"),
    mistakes={
        "return (next_obs == follows).all(1)": "this marks the rows that are correct",
        "(next_obs != follows).any(1) → (next_obs == follows).any(1)": "this marks every row in which some number fits",
        ".any(1) → .all(1)": "a row is wrong as soon as one of its three numbers is; yours waits until all of them are",
        ".any(1) →": "one answer for each row is wanted: yours is one for each of its three numbers",
        ".any(1) → .any()": "one answer for each row is wanted: yours is one for all of them",
        "obs[:, 1] + 1 → obs[:, 1]": "in a correct row the step of s′ is one more than that of s",
        "action[:, 0] → obs[:, 2]": "the last number of s′ is the action of this row; the one in s led to s",
        "return (next_obs[:, :2] != follows[:, :2]).any(1) | (obs[:, 2] != action[:, 0])": "you compare the action "
        "with the last number of s, the action that led to s: that of this row stands in s′",
        "(next_obs != follows).any(1) → (next_obs != follows).any(1) & ((next_obs[:, 0] != obs[:, 0] + 1) | (next_obs"
        "[:, 1] != 0))": "a row whose s′ is the first state of the next episode passes: s did not lead there",
        "[obs[:, 0] → [next_obs[:, 0]": "a row whose s′ belongs to another episode passes",
        "obs[:, 1] + 1 → next_obs[:, 1]": "a row whose s′ is not the next step passes",
        "action[:, 0] → next_obs[:, 2]": "a row whose action was not executed passes",
    },
    praise="every row that is not what happened is found, and no other",
)
