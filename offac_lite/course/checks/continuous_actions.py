"""The exercises of the chapter on continuous actions: right answers, what to observe, and the mistakes people make."""

import itertools
import math
from collections.abc import Callable

import torch

from offac_lite import equations, networks, updates
from offac_lite.buffer import Transition
from offac_lite.course.checks import resampling
from offac_lite.course.checks.exercise import Exercise
from offac_lite.course.checks.observing import Observations, Observer, Refused, call_loss, observer, slopes, something
from offac_lite.equations import critic_loss, entropy_weight_loss, leave_one_out, q_target

__all__ = [
    "discrete_sac_loss",
    "reparameterized_loss",
    "sac_losses",
    "score_function_loss",
    "soft_q",
    "squashed_log_prob",
]


def _right_log_prob(action, mean, log_std, mid, half):
    return networks.TanhGaussian(mean, log_std, mid - half, mid + half).log_prob(action)


def _log_prob(action, mean, log_std, mid, half):
    t = (action - mid) / half
    u = torch.atanh(t)
    std = log_std.exp()
    z = (u - mean) / std
    gaussian = -0.5 * z.square() - std.log() - 0.5 * math.log(2 * math.pi)
    slope = 1 - torch.tanh(u).square()
    return (gaussian - slope.log() - half.log()).sum(-1)


def _stub_log_prob(action, mean, log_std, mid, half):
    u = torch.atanh((action - mid) / half)
    gaussian = torch.distributions.Normal(mean, log_std.exp()).log_prob(u)  # noqa: F841


def _doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


_MEAN, _LOG_STD = _doubles([0.3, -0.8], [0.0, 0.5], [-0.4, 0.1]), _doubles([-0.5, 0.2], [-1.0, -0.3], [0.1, -0.7])
_MID, _HALF = _doubles(0.5, -1.0), _doubles(2.0, 3.0)
_ACTION = _MID + _HALF * torch.tanh(_doubles([0.9, -0.2], [-0.3, 1.1], [0.6, 0.4]))
_BATCH = _ACTION, _MEAN, _LOG_STD
_FORMULAS = {
    "- slope.log() - half.log() →": "this is the density of u: squashing changes a density, and log π has to account "
    "for that",
    "- slope.log() - half.log() → + slope.log() + half.log()": "the correction has the wrong sign: where the squashing "
    "is steep the probability is spread thin, so log π gets smaller",
    "- slope.log() → + slope.log()": "the slope of tanh has the wrong sign: where tanh is steep the probability is "
    "spread thin, so log π gets smaller",
    "- half.log() →": "the scale of the action is missing: a = mid + half · tanh u also stretches by half",
    "- half.log() → + half.log()": "the scale of the action has the wrong sign: a wider range means a lower density",
    "- slope.log() →": "the scale is there, the slope of tanh is missing: it is 1 − tanh² u",
}
_SUM_MISSING = (
    "there is one number per dimension left: the dimensions are independent, so their log densities add up to one "
    "number per action"
)
squashed_log_prob = Exercise(
    "squashed_log_prob",
    doc="Check `my_log_prob(action, mean, log_std, mid, half)`: log π(a|s) of a squashed action.",
    right=_right_log_prob,
    plain=_log_prob,
    observe=observer(
        {
            "(one seed)": (*_BATCH, _MID, _HALF),
            "(two seeds)": (*(tensor.expand(2, 3, 2) for tensor in _BATCH), _MID, _HALF),
        },
        "log π",
        {i: f"the gradient with respect to {what}" for i, what in ((1, "the mean"), (2, "log σ"), (0, "the action"))},
    ),
    mistakes={
        **_FORMULAS,
        **{(formula, ".sum(-1) →"): f"{words}; and {_SUM_MISSING}" for formula, words in _FORMULAS.items()},
        ".sum(-1) → .sum(-2)": "you add up over the batch: the dimensions of *one* action belong together, and they "
        "are the last axis",
        ".sum(-1) →": _SUM_MISSING,
        ".sum(-1) → .mean(-1)": "you average over the dimensions of the action: densities multiply, so their "
        "logarithms add up",
        ".sum(-1) → .sum()": "you add everything up, the batch too: each action has a log density of its own",
        "torch.tanh(u) → torch.tanh(t)": "you take tanh of a number to which tanh has been applied already: the slope "
        "is that of tanh at u",
        "torch.tanh(u) → torch.tanh(action)": "you take tanh of the action itself: the slope is that of tanh at u",
        "std = log_std.exp() → std = torch.distributions.Normal(mean, log_std).scale": "log σ stands where σ belongs: "
        "a standard deviation is positive",
        "1 - torch.tanh(u).square() → (1 - action.square()).abs()": "a is not tanh u, but mid + half · tanh u: the "
        "slope of tanh is 1 − tanh² u",
        "1 - torch.tanh(u).square() → (1 - torch.tanh(u)).square()": "the square of the difference stands where the "
        "difference of the squares belongs: the slope of tanh is 1 − tanh² u",
        "tanh(u).square() → tanh(u)": "the square is missing: the slope of tanh is 1 − tanh² u",
        "- slope.log() - half.log() → - slope * half": "you subtract the slope itself: log π needs its *logarithm*",
        ".sum(-1) → .sum(-1).exp()": "this is the density: its logarithm is wanted",
        ".sum(-1) → .sum(-1).detach()": "the value is correct, but no gradient reaches the mean or log σ: an actor "
        "could not learn from it",
    },
    praise="right: the Gaussian of u, the slope of tanh and the scale, one number per action",
    stub=_stub_log_prob,
)


_OBS, _STORED = _doubles(0.0, 1.0, 2.0)[:, None], _doubles(1.5, -0.4, 0.2)[:, None]
_PARAMETERS = _doubles([0.3, -0.6, 0.1], [-0.7, -0.2, -1.0])
_NOISE = _doubles(
    [0.4, -1.1, 0.3],
    [1.2, 0.2, -0.8],
    [-0.5, 0.9, 1.4],
    [-1.3, -0.1, 0.7],
    [0.6, 1.6, -0.2],
    [0.1, -0.9, -1.5],
    [-0.7, 0.5, 1.1],
)


def _one_loss(function: Callable, action_samples: int, sign: int, marked: bool, lead: tuple[int, ...]) -> Observations:
    """Observe a loss for states (*lead, 3); each of two seeds has parameters and noise of its own."""
    turned = _doubles(1.0, -0.5)[: lead[0], None] if lead else 1.0
    parameters = [(turned * x).clone().requires_grad_() for x in _PARAMETERS]
    critic = resampling.ContinuousQCritic(sign)
    script = resampling.Script(8 * [(turned * noise)[..., None] for noise in _NOISE])

    def policy(obs: torch.Tensor) -> resampling.TanhGaussian:
        of_obs = [torch.take_along_dim(x, obs[..., 0].long(), -1)[..., None] for x in parameters]
        return resampling.TanhGaussian(*of_obs, script, marked)

    obs, stored = (x.expand(*lead, 3, 1).clone() for x in (_OBS, _STORED))
    loss = call_loss(lambda *a: script.given_to(function, policy, critic, *a), obs, stored, action_samples)
    if not critic.weights.requires_grad:
        raise Refused("your function freezes the critic and leaves it frozen: after it, the critic learns no more")
    loss = loss.mean() if lead and loss.shape == lead else loss  # train takes one number for each seed, too
    *of_policy, of_critic = slopes(loss, [*parameters, critic.weights])
    return {
        "the gradient with respect to the policy": torch.stack(of_policy),
        "the gradient that reaches Q": of_critic,
        "the loss": loss.detach(),
    }


def _losses(samples: tuple[int, int], marked: bool) -> Observer:
    """Observe a loss for some numbers of actions, with Q and with −Q, and with seeds."""
    many, few = samples
    return Observer(
        {
            f"(K = {many})": (many, 1, marked, ()),
            f"(K = {few})": (few, 1, marked, ()),
            f"(K = {many}, another critic)": (many, -1, marked, ()),
            f"(K = {few}, another critic)": (few, -1, marked, ()),
            f"(K = {many}, {_WITH_SEEDS})": (many, 1, marked, (2,)),
        },
        _one_loss,
        probes=False,
    )


_WITH_SEEDS = "with an axis of seeds in front, as in the training below: obs is (S, B, …), actions are (S, K, B, D)"
_reparameterized_losses = _losses((6, 1), marked=True)


def _of_the_policy(function: Callable, *given) -> Observations:
    """Leave out the gradient that reaches Q: nobody takes a step along it."""
    seen = _reparameterized_losses.one(function, *given)
    return {what: tensor for what, tensor in seen.items() if "reaches" not in what}


def _reparameterized_loss(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action = pi.rsample(action_samples, generator=generator)
    q = critic(obs, action)
    return -q.mean()


_NOT_IN_IT = "log π does not belong in this loss"
_ONE_SIGN = "the loss may be negative or positive, and yours is never"
reparameterized_loss = Exercise(
    "reparameterized_loss",
    doc="Check `my_reparameterized_loss(policy, critic, obs, stored_action, action_samples, generator)`.",
    right=_reparameterized_loss,
    observe=Observer(_reparameterized_losses.cases, _of_the_policy, probes=False),
    mistakes={
        "-q → q": "the sign is flipped: an optimiser walks downhill, so this makes Q smaller",
        ".mean() → .detach().mean()": "the value is correct, but no gradient reaches the policy: it has to flow from Q "
        "*through* the action, and somewhere on the way it is cut",
        "rsample → sample": "the actions come from sample, which gives plain numbers: the gradient ends there and "
        "never reaches the policy",
        ("rsample → sample", "return -(pi.log_prob(action) * q.detach()).mean()"): "this is the score-function loss: "
        "this exercise wants the gradient that flows through the action into Q",
        "return -(pi.log_prob(action) * q).mean()": f"{_NOT_IN_IT}: the gradient comes from Q alone, through the "
        "action",
        "return -(pi.log_prob(action) * q.detach()).mean()": f"{_NOT_IN_IT}, and Q must not be a constant: its slope "
        "is what is wanted",
        "pi.rsample(action_samples, generator=generator) → pi.mode()": "you take the middle of the policy instead of "
        "drawing: that is the gradient of a deterministic policy, and σ gets none",
        "pi.rsample(action_samples, generator=generator) → stored_action": "you use the stored action: it does not "
        "depend on the policy at all",
        ".mean() → .sum()": resampling.SUM,
        **resampling.AVERAGING,
        **resampling.ONE_DRAW,
        "return -leave_one_out(q).mean()": "a baseline that carries a gradient cancels that of Q: here none is "
        "needed, and with K = 1 there is none",
        "return -(q - q.mean(-2, keepdim=True)).mean()": "your baseline carries a gradient too, and it cancels that of "
        "Q: a baseline has to be a constant (and here it does nothing)",
        ".mean() → .mean().abs()": f"{_ONE_SIGN} positive: where Q is negative, it goes the wrong way",
        "return q.mean().abs()": f"{_ONE_SIGN} negative: where Q is positive, it goes the wrong way",
    },
    only_gradients=True,
    extras={
        "return -q.mean() + pi.log_prob(action).mean()": resampling.ENTROPY,
        "return -q.mean() + pi.log_prob(action.detach()).mean()": resampling.ENTROPY,
        "return -q.mean() + pi.log_std.mean()": resampling.ENTROPY,
    },
    praise="right: the gradient goes through the action, into the policy",
)


def _score_loss(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action = pi.sample(action_samples, generator=generator)
    log_prob, q = pi.log_prob(action), critic(obs, action).detach()
    return -(log_prob * leave_one_out(q)).mean()


def _planted_score_loss(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action_resampled = pi.rsample(action_samples, generator=generator)
    q = critic(obs, action_resampled)
    return -(pi.log_prob(action_resampled.detach()) * leave_one_out(q)).mean()


_THROUGH_Q = (
    "a gradient still flows through the action into Q, where it is multiplied by log π: in the score function log π "
    "alone carries the gradient, and its weight is a constant"
)
_THROUGH = (
    "a gradient still flows through the action into log π: for the score function an action is a plain number, and "
    "only the policy's parameters are varied"
)
_CANCELS = (
    "no gradient reaches the policy: the leave-one-out weights of a state add up to zero, and here everything cancels. "
    "That happens where log π is missing, where it is that of the stored action, and where the K actions are one draw"
)
_ATTACHED = "pi.sample → pi.rsample", ".detach() →"
_score_losses = _losses((6, 2), marked=False)
score_function_loss = Exercise(
    "score_function_loss",
    doc="Check the repaired `my_score_loss(policy, critic, obs, stored_action, action_samples, generator)`.",
    right=_score_loss,
    observe=Observer(_score_losses.cases, _of_the_policy, probes=False),
    mistakes={
        _planted_score_loss: _THROUGH_Q,
        "pi.sample → pi.rsample": _THROUGH,
        _ATTACHED: f"{_THROUGH}; and another through Q",
        (*_ATTACHED, "return -q.mean()"): "this is the reparameterised loss: its gradient is correct too, but the "
        "exercise wants the score function",
        "leave_one_out(q) → q": "the bug is gone, and so is the baseline: keep the leave-one-out weight",
        "leave_one_out(q) → (q - q.mean(-2, keepdim=True))": resampling.OWN_Q,
        "-(log_prob → (log_prob": resampling.SIGN,
        ".mean() → .sum()": resampling.SUM,
        **resampling.WEIGHTING,
        "return -leave_one_out(q).mean()": _CANCELS,
        "pi.log_prob(action) → pi.log_prob(pi.sample(action_samples, generator=generator))": resampling.TWO_DRAWS,
        "critic(obs, action).detach() → critic(obs, pi.sample(action_samples, generator=generator)).detach()": (
            resampling.TWO_DRAWS
        ),
        ".mean() → .mean().abs()": f"{_ONE_SIGN} positive: where it should be, it goes the wrong way",
        ("-(log → (log", ".mean() → .mean().abs()"): f"{_ONE_SIGN} negative: where it should be, it goes the wrong way",
    },
    only_gradients=True,
    extras={
        ".mean() → .mean() + log_prob.mean()": resampling.ENTROPY,
        "leave_one_out(q) → (leave_one_out(q) - log_prob.detach())": resampling.ENTROPY,
        "leave_one_out(q) → leave_one_out(q - log_prob.detach())": resampling.ENTROPY,
    },
    praise="right: log π alone carries the gradient",
    planted=_planted_score_loss,
)


def _soft_q(next_q, next_log_prob, alpha):
    return (next_q - alpha * next_log_prob).detach()


_NEXT_Q, _NEXT_LOG_PROB = _doubles([3.0, -1.0, 4.0], [0.5, 2.0, -2.5]), _doubles([-1.5, 0.4, -0.7], [0.9, -1.8, -0.3])
soft_q = Exercise(
    "soft_q",
    doc="Check `my_soft_q(next_q, next_log_prob, alpha)`: Q(s′, a′) − α log π(a′|s′), without gradient.",
    right=equations.soft_q,
    plain=_soft_q,
    observe=observer(
        {
            "(one seed, α a number)": (_NEXT_Q[0], _NEXT_LOG_PROB[0], 0.3),
            "(two seeds, each with its own α)": (_NEXT_Q, _NEXT_LOG_PROB, _doubles([0.3], [0.8])),
        },
        "the soft Q",
        {0: "the gradient with respect to Q(s′, a′)", 1: "the gradient with respect to log π(a′|s′)"},
    ),
    mistakes={
        "- alpha → + alpha": "the sign of log π is wrong: an unlikely action has a very negative log π, and must "
        "*raise* the value",
        "- alpha * next_log_prob →": "this is the hard Q: the term with log π is missing",
        "alpha * next_log_prob → next_log_prob": "α is missing: it says how many rewards one nat of entropy is worth",
        "next_q - alpha * next_log_prob → alpha * (next_q - next_log_prob)": "α multiplies Q as well: it belongs to "
        "log π alone",
        "alpha * next_log_prob → alpha * next_log_prob.exp()": "this subtracts π, not log π",
        "alpha * next_log_prob → alpha * next_log_prob.exp() * next_log_prob": "log π is weighted by π: a′ is drawn "
        "from π, which already contributes this factor",
        "alpha * next_log_prob → next_log_prob / alpha": "you divide by α where you should multiply: the more a nat is "
        "worth, the larger the term",
        "return (next_q - alpha * next_log_prob).mean(-1).detach()": "you average over the batch: each transition "
        "needs its own target",
        "alpha * next_log_prob → alpha * next_log_prob.mean(-1, keepdim=True)": "log π is averaged over the batch: "
        "each action counts with its own log π",
        ".detach() →": "the numbers are correct, but a gradient flows into the policy and the target network: a target "
        "is a constant",
    },
    praise="right: a surprising action is worth more, and the target is a constant",
    spoken={"next_log_prob": "log π(a′|s′)", "alpha": "α"},
)


def _sac_losses(policy, critic, target_critic, log_alpha, batch, generator):
    alpha, gamma, target_entropy = log_alpha.exp().detach(), 0.99, math.log(2) - 1
    with torch.no_grad():
        next_pi = policy(batch.next_obs)
        next_action = next_pi.sample(generator=generator)
        next_q = target_critic(batch.next_obs, next_action)
        soft = equations.soft_q(next_q, next_pi.log_prob(next_action), alpha)
        y = q_target(batch.reward, batch.terminated, soft, gamma)
    loss_of_critic = sum(critic_loss(q, y) for q in critic.each(batch.obs, batch.action))
    pi = policy(batch.obs)
    action = pi.rsample(generator=generator)
    log_prob = pi.log_prob(action)
    loss_of_actor = (alpha * log_prob - critic(batch.obs, action)).mean(-1)
    loss_of_alpha = entropy_weight_loss(log_alpha, -log_prob, target_entropy)
    return loss_of_critic, loss_of_actor, loss_of_alpha


class _PolicyOfStates:
    """A policy of six numbered states, whose noise belongs to the state, in whatever order the draws are asked for."""

    def __init__(self, seeds: torch.Tensor):
        self.parameters_ = (seeds[:, None, None] * _SAC_PARAMETERS).requires_grad_()
        self.generator = torch.Generator()

    def __call__(self, obs: torch.Tensor) -> "TanhGaussian":
        mean, log_std = (torch.take_along_dim(x, obs[..., 0].long(), -1) for x in self.parameters_.unbind(1))
        return TanhGaussian(mean[..., None], log_std[..., None], _SAC_NOISE[obs.long()], self.generator)


class TanhGaussian(networks.TanhGaussian):
    def __init__(self, mean, log_std, noise, generator):
        super().__init__(mean, log_std, _doubles(-2.0), _doubles(2.0))
        self.noise, self.right_generator = noise, generator

    def rsample(self, action_samples: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        if generator is not self.right_generator:
            raise Refused("use the generator you are given: without it the run cannot be repeated")
        action = self.mid + self.half * torch.tanh(self.mean + self.log_std.exp() * self.noise)
        return action if action_samples is None else torch.stack([action] * action_samples, -3)


class _Twins(torch.nn.Module):
    """Two critics; the smaller value counts."""

    def __init__(self, shift: float):
        super().__init__()
        self.weights = torch.nn.Parameter(_doubles([0.8, -0.3], [-0.5, -0.4]) + shift)

    def each(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return torch.stack([h * (action - b - 0.3 * _like(obs, action)).square()[..., 0] for b, h in self.weights])

    def forward(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.each(obs, action).amin(0)


def _like(obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
    return obs.unsqueeze(-3) if action.ndim > obs.ndim else obs


_SAC_PARAMETERS = _doubles([0.3, -0.6, 0.1, 0.5, -0.2, 0.4], [-0.7, -0.2, -1.0, -0.4, -0.9, 0.1])
_SAC_NOISE = _doubles(0.4, -1.1, 0.3, 1.2, -0.8, 0.6)


def _three_losses(function: Callable, factors: tuple[float, ...]) -> Observations:
    """Observe where the gradients of three losses go, for seeds that differ by a factor of the parameters."""
    seeds = _doubles(*factors)
    policy, critic, target_critic = _PolicyOfStates(seeds), _Twins(0.0), _Twins(-0.2)
    log_alpha = (0.5 * seeds[:, None] - 1).requires_grad_()
    rows = [x.expand(len(seeds), *x.shape) for x in (_doubles([0.0], [1.0], [2.0]), _doubles([1.5], [-0.4], [0.2]))]
    reward, ended = seeds[:, None] * _doubles(1.0, -2.0, 0.5), torch.tensor([False, True, False])
    batch = Transition(rows[0], rows[1], reward, rows[0] + 3, ended.expand(len(seeds), 3), log_prob=None, age=None)
    losses = something(function(policy, critic, target_critic, log_alpha, batch, policy.generator))
    if not isinstance(losses, tuple | list) or len(losses) != 3:
        raise Refused("return three losses: the critic's, the actor's and that of α, in this order")
    of_critic, of_actor, of_alpha = (call_loss(lambda loss=loss: loss) for loss in losses)
    to_critic, to_policy, to_alpha = slopes(of_critic, [critic.weights, policy.parameters_, log_alpha])
    actor_to_policy, actor_to_alpha = slopes(of_actor, [policy.parameters_, log_alpha])
    return {
        "the gradient of the critic's loss": to_critic,
        "the gradient of the critic's loss that reaches the policy": to_policy,
        "the gradient of the critic's loss that reaches α": to_alpha,
        "the gradient of the actor's loss": actor_to_policy,
        "the gradient of the actor's loss that reaches α": actor_to_alpha,
        "the gradient of α's loss": slopes(of_alpha, [log_alpha])[0],
        "the actor's loss": of_actor.detach().sum(),
    }


def _stub_sac_losses(policy, critic, target_critic, log_alpha, batch, generator):
    alpha, gamma, target_entropy = log_alpha.exp().detach(), 0.99, math.log(2) - 1  # noqa: F841
    next_pi, pi = policy(batch.next_obs), policy(batch.obs)  # noqa: F841
    next_action = next_pi.sample(generator=generator)  # noqa: F841


_NO_Q = "no gradient comes from Q in the actor's loss: Q is missing, or what stands there does not depend on the policy"
_THREE = "loss_of_critic", "loss_of_actor", "loss_of_alpha"
_ORDER = "the three losses come back in another order: the critic's, the actor's and that of α are wanted"
_STORED_ACTION = "the actor looks at the stored action: it learns from its own, drawn now"
_ONE_TWIN = "the actor follows one of the two critics: the smaller value of the two counts"
sac_losses = Exercise(
    "sac_losses",
    doc="Check `my_sac_losses(policy, critic, target_critic, log_alpha, batch, generator)`: the three losses of SAC.",
    right=_sac_losses,
    observe=Observer({"(one seed)": ((1.0,),), "(two seeds)": ((1.0, -0.5),)}, _three_losses, probes=False),
    mistakes={
        "batch.terminated, soft, gamma) → batch.terminated, next_q, gamma)": (
            "the critic's target does not count the entropy of a′: put the soft Q into it"
        ),
        "target_critic(batch.next_obs → critic(batch.next_obs": "the target comes from the critic that learns: the "
        "target network belongs there",
        "policy(batch.next_obs) → policy(batch.obs)": "a′ is drawn from π at s: it belongs to s′",
        "critic.each(batch.obs, batch.action) → [critic(batch.obs, batch.action)]": "only the smaller of the two "
        "critics learns: both learn from the same y",
        "rsample → sample": "the actor's action is a plain number: the gradient of Q has to go through it",
        "log_alpha.exp().detach() → log_alpha.exp()": "a gradient of the actor's loss reaches α: there α is a "
        "constant, and only the third loss trains it",
        "(alpha * log_prob - critic(batch.obs, action)) → (critic(batch.obs, action) - alpha * log_prob)": "the sign "
        "of the actor's loss is flipped: an optimiser walks downhill",
        "alpha * log_prob - critic(batch.obs, action) → alpha * log_prob + critic(batch.obs, action)": "the actor "
        "makes Q smaller: the sign of Q in its loss is wrong",
        "(alpha * log_prob - critic(batch.obs, action)) → (alpha * log_prob)": _NO_Q,
        "(alpha * log_prob → (log_prob": "α is missing in the actor's loss: it says how many rewards one nat of "
        "entropy is worth",
        "critic(batch.obs, action)).mean(-1) → critic(batch.obs, action)).mean()": "the actor's loss: the mean runs "
        "over the seeds, too. Each seed has a loss of its own",
        "critic(batch.obs, action)).mean(-1) → critic(batch.obs, action)).sum(-1)": "the actor's loss adds up over the "
        "states where their mean is wanted",
        "(alpha * log_prob - critic(batch.obs, action)) → (-critic(batch.obs, action))": "the actor's loss does not "
        "count the entropy: the term with α log π is missing",
        "(alpha * log_prob - critic(batch.obs, action)) → (-alpha * log_prob - critic(batch.obs, action))": "the "
        "actor's loss makes likely actions likelier still: the sign of its term with log π is wrong",
        "- critic(batch.obs, action)) → - critic.each(batch.obs, action)[0])": _ONE_TWIN,
        "- critic(batch.obs, action)) → - critic.each(batch.obs, action)[1])": _ONE_TWIN,
        **{f"return {', '.join(order)}": _ORDER for order in list(itertools.permutations(_THREE))[1:]},
        "- critic(batch.obs, action)) → - critic(batch.obs, batch.action))": _STORED_ACTION,
        "(alpha * log_prob - critic(batch.obs, action)) → (alpha * pi.log_prob(batch.action) - critic(batch.obs, "
        "batch.action))": _STORED_ACTION,
        "entropy_weight_loss(log_alpha, -log_prob → entropy_weight_loss(log_alpha, log_prob": "the loss of α is given "
        "log π: the entropy is the mean of −log π",
    },
    only_gradients=True,
    generic=False,
    stub=_stub_sac_losses,
    praise="right: this is one update of soft actor-critic",
)


def _right_discrete_sac_loss(policy, critic, obs, alpha):
    pi, nothing_is_drawn = policy(obs), torch.Generator()
    given = {"action_samples": "all", "entropy_bonus": alpha, "generator": nothing_is_drawn}
    return updates.resampled_actor_loss(pi, critic, obs, **given)


def _discrete_sac_loss(policy, critic, obs, alpha):
    pi, q = policy(obs), critic.all_actions(obs)
    log_prob = (pi.probs * pi.log_probs).sum(-1)
    expected_q = (pi.probs * q).sum(-1)
    return (alpha * log_prob - expected_q).mean(-1)


class Categorical(networks.Categorical):
    """π of discrete actions, from which nothing is to be drawn."""

    def sample(self, action_samples: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        raise Refused("you draw an action: with few actions every π(a|s) is known, and the expectation is a sum")

    def rsample(self, action_samples: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        raise Refused("a discrete action has no derivative: no gradient goes through it. The expectation is a sum")


class _TableCritic(torch.nn.Module):
    """Q of every state and action."""

    def __init__(self, table: torch.Tensor):
        super().__init__()
        self.table = torch.nn.Parameter(table.clone())

    def all_actions(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.take_along_dim(self.table, obs.long(), -2)

    def forward(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return networks.of_actions(self.all_actions(obs), action)


def _sum_over_actions(function: Callable, logits, q_table, states, alpha) -> Observations:
    """Observe the gradient that reaches the policy's logits; the critic's is not looked at, for nobody follows it."""
    learned = logits.clone().requires_grad_()

    def policy(obs: torch.Tensor) -> Categorical:
        return Categorical(torch.take_along_dim(learned, obs.long(), -2))

    loss = call_loss(lambda *given: function(policy, _TableCritic(q_table), *given), states.unsqueeze(-1), alpha)
    told_apart = loss * torch.arange(1.0, loss.numel() + 1).reshape(loss.shape)  # the seeds' losses
    (to_policy,) = slopes(told_apart, [learned])
    return {"the gradient with respect to the policy": to_policy, "the loss": loss.detach()}


# 0.5: else the Qs of π's favourite actions add up to 0, as if Q were missing
_TABLES = resampling.LOGITS.double(), resampling.Q_TABLE.double() + 0.5, _doubles(0.0, 1.0, 2.0)
_TABLES_OF_SEEDS = [torch.stack([x, x.flip(-1), x.roll(1, -1)]) for x in _TABLES]  # as many as states: see the last
discrete_sac_loss = Exercise(
    "discrete_sac_loss",
    doc="Check `my_discrete_sac_loss(policy, critic, obs, alpha)`: the actor's loss of SAC as a sum over actions.",
    right=_right_discrete_sac_loss,
    plain=_discrete_sac_loss,
    observe=Observer(
        {
            "(one seed, α a number)": (*_TABLES, 0.7),
            "(three seeds, each with its own α)": (*_TABLES_OF_SEEDS, _doubles([0.3], [2.0], [0.7])),
        },
        _sum_over_actions,
        probes=False,
    ),
    mistakes={
        "(alpha * log_prob - expected_q) → (expected_q - alpha * log_prob)": resampling.SIGN,
        "alpha * log_prob - expected_q → -alpha * log_prob - expected_q": "this makes likely actions likelier still: "
        "the sign of the term with log π is wrong",
        "alpha * log_prob - expected_q → -expected_q": "this does not count the entropy: the term with α log π is "
        "missing",
        "alpha * log_prob - expected_q → alpha * log_prob": "no gradient comes from Q: it is missing, or what stands "
        "there does not depend on π",
        "alpha * log_prob → log_prob": "α is missing: it says how many rewards one nat of entropy is worth",
        "(alpha * log_prob - expected_q) → (alpha * (log_prob - expected_q))": "α multiplies Q as well: it belongs to "
        "log π alone",
        (
            "log_prob = (pi.probs * pi.log_probs) → log_prob = (pi.log_probs)",
            "expected_q = (pi.probs * q) → expected_q = (q)",
        ): "the weights π(a|s) are missing in both sums",
        "log_prob = (pi.probs * pi.log_probs) → log_prob = (pi.log_probs)": "log π is added up over the actions "
        "without the weights π(a|s)",
        "expected_q = (pi.probs * q) → expected_q = (q)": "the Qs are added up without π's probabilities: so they give "
        "the policy no gradient",
        "expected_q = (pi.probs * q) → expected_q = (pi.log_probs * q)": "Q is weighted by log π: in the sum over all "
        "actions the weights are π itself",
        "expected_q = (pi.probs * q).sum(-1) → expected_q = critic(obs, pi.mode())": "this is the Q of π's favourite "
        "action alone: the others are taken too, as often as π says",
        "expected_q = (pi.probs * q).sum(-1) → expected_q = q.amax(-1)": "this is the best action's Q: it does not "
        "depend on π, so it gives the policy no gradient",
        "expected_q = (pi.probs * q) → expected_q = (pi.probs.detach() * q)": "π is a constant in the term with Q: "
        "here the gradient goes through the probabilities",
        "log_prob = (pi.probs * pi.log_probs) → log_prob = (pi.probs.detach() * pi.log_probs)": "the weights of log π "
        "are constants: then its gradient is a mean of ∇log π under π, which is 0, and the entropy is not rewarded",
        (
            "log_prob = (pi.probs * pi.log_probs) → log_prob = (pi.probs.detach() * pi.log_probs)",
            "expected_q = (pi.probs * q) → expected_q = (pi.probs.detach() * q)",
        ): "the weights π(a|s) are constants in both sums, and through them alone the gradient gets anywhere",
        (
            "log_prob = (pi.probs * pi.log_probs).sum(-1) → log_prob = (pi.probs * pi.log_probs).mean(-1)",
            "(pi.probs * q).sum(-1) → (pi.probs * q).mean(-1)",
        ): "the probabilities already make it an average: dividing by the number of actions once more is too much",
        ".mean(-1) → .mean()": "the mean runs over the seeds, too: each seed has a loss of its own",
        "alpha * log_prob - expected_q → alpha * log_prob + expected_q": "the sign of Q is wrong: this makes good "
        "actions rarer",
        ".mean(-1) → .sum(-1)": "you add up over the states where their mean is wanted",
        ("(pi.probs * pi.log_probs) → (alpha * pi.probs * pi.log_probs)", "(alpha * log_prob → (log_prob"): "α is "
        "(S, 1) and meets (S, B, A), so that it is counted along the states: add up over the actions first",
    },
    only_gradients=True,
    praise="right: two sums over the actions, and no draw",
    spoken={"log_prob": "the expectation of log π", "expected_q": "the expectation of Q", "alpha": "α"},
)
