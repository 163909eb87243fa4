"""The exercises of notebook 07: right answers, what to look at, and the mistakes people make."""

import itertools
from collections.abc import Callable

import torch

from offac_lite import updates
from offac_lite.course.checks.exercise import Exercise, call, call_loss, gradient
from offac_lite.networks import TanhGaussian

__all__ = ["reparameterized_loss", "score_function_loss", "squashed_log_prob"]


def _squashed_log_prob(action, mean, log_std, mid, half):
    return TanhGaussian(mean, log_std, mid - half, mid + half).log_prob(action)


def _observe_squashed_log_prob(function: Callable) -> dict[str, torch.Tensor]:
    seen = {}
    for name, lead in (("one seed", ()), ("two seeds", (2,))):
        mean = torch.tensor([[0.3, -0.8], [0.0, 0.5], [-0.4, 0.1]], dtype=torch.float64)
        log_std = torch.tensor([[-0.5, 0.2], [-1.0, -0.3], [0.1, -0.7]], dtype=torch.float64)
        mid, half = torch.tensor([0.5, -1.0], dtype=torch.float64), torch.tensor([2.0, 3.0], dtype=torch.float64)
        u = torch.tensor([[0.9, -0.2], [-0.3, 1.1], [0.6, 0.4]], dtype=torch.float64)
        action = mid + half * torch.tanh(u)
        action, mean, log_std = (x.expand(*lead, 3, 2).clone().requires_grad_() for x in (action, mean, log_std))
        log_prob = call(function, action, mean, log_std, mid, half)
        seen[f"log π ({name})"] = log_prob.detach()
        for what, source in (("the mean", mean), ("log σ", log_std), ("the action", action)):
            seen[f"the gradient with respect to {what} ({name})"] = gradient(log_prob, source)
    return seen


def _by_parts(put_together: Callable) -> Callable:
    """Make a wrong answer from the parts of the right one: log N(u) and the squashed action, each (..., B, D)."""

    def log_prob(action, mean, log_std, mid, half):
        squashed = (action - mid) / half
        u = torch.atanh(squashed)
        return put_together(torch.distributions.Normal(mean, log_std.exp()).log_prob(u), squashed, u, half)

    return log_prob


def _slope(squashed):
    return torch.log(1 - squashed.square())


def _tanh_of_the_action(action, mean, log_std, mid, half):
    n = torch.distributions.Normal(mean, log_std.exp()).log_prob(torch.atanh((action - mid) / half))
    return (n - torch.log(1 - torch.tanh(action).square()) - torch.log(half)).sum(-1)


def _stub_log_prob(action, mean, log_std, mid, half):
    u = torch.atanh((action - mid) / half)
    gaussian = torch.distributions.Normal(mean, log_std.exp()).log_prob(u)  # noqa: F841


_SUM_MISSING = (
    "there is one number per dimension left: the dimensions are independent, so their log densities add up to one "
    "number per action"
)
_FORMULAS = [
    (
        lambda n, t, h: n,
        "this is the density of u: squashing packs the same probability into less room, and that has to be "
        "accounted for",
    ),
    (
        lambda n, t, h: n + _slope(t) + h.log(),
        "the correction has the wrong sign: where the squashing is steep the probability is spread thin, so log π "
        "gets smaller",
    ),
    (
        lambda n, t, h: n + _slope(t) - h.log(),
        "the slope of tanh has the wrong sign: where tanh is steep the probability is spread thin, so log π gets "
        "smaller",
    ),
    (
        lambda n, t, h: n - _slope(t),
        "the scale of the action is missing: a = mid + half · tanh u also stretches by half",
    ),
    (
        lambda n, t, h: n - _slope(t) + h.log(),
        "the scale of the action has the wrong sign: a wider range means a lower density",
    ),
    (lambda n, t, h: n - h.log(), "the scale is there, the slope of tanh is missing: it is 1 − tanh² u"),
]


def _wrong_formulas() -> list[tuple[Callable, str]]:
    """Each wrong formula, summed over the dimensions and not."""
    summed = [(_by_parts(lambda n, t, u, h, f=f: f(n, t, h).sum(-1)), words) for f, words in _FORMULAS]
    unsummed = [
        (_by_parts(lambda n, t, u, h, f=f: f(n, t, h)), f"{words}; and {_SUM_MISSING}") for f, words in _FORMULAS
    ]
    return summed + unsummed


squashed_log_prob = Exercise(
    "squashed_log_prob",
    doc="Check notebook 07's `my_log_prob(action, mean, log_std, mid, half)`: log π(a|s) of a squashed action.",
    right=_squashed_log_prob,
    observe=_observe_squashed_log_prob,
    mistakes=[
        *_wrong_formulas(),
        (
            _by_parts(lambda n, t, u, h: (n - _slope(t) - h.log()).sum(-2)),
            "you add up over the batch: the dimensions of *one* action belong together, and they are the last axis",
        ),
        (
            _by_parts(lambda n, t, u, h: n - _slope(t) - h.log()),
            _SUM_MISSING,
        ),
        (
            _by_parts(lambda n, t, u, h: (n - _slope(t) - h.log()).mean(-1)),
            "you average over the dimensions of the action: densities multiply, so their logarithms add up",
        ),
        (
            _by_parts(lambda n, t, u, h: (n - _slope(t) - h.log()).sum()),
            "you add everything up, the batch too: each action has a log density of its own",
        ),
        (
            _by_parts(lambda n, t, u, h: (n - torch.log(1 - torch.tanh(t).square()) - h.log()).sum(-1)),
            "tanh is applied to the action, which has been through it already: the slope belongs to u",
        ),
        (
            _tanh_of_the_action,
            "this is tanh of the action itself, mid and half and all: the slope is that of tanh at u",
        ),
        (
            _by_parts(lambda n, t, u, h: (n - torch.log(1 - t) - h.log()).sum(-1)),
            "the square is missing: the slope of tanh is 1 − tanh² u",
        ),
        (
            _by_parts(lambda n, t, u, h: (n - (1 - t.square()) * h).sum(-1)),
            "the slope is subtracted as it is: a factor of a density becomes a summand of its *logarithm*",
        ),
        (
            _by_parts(lambda n, t, u, h: (n - _slope(t) - h.log()).sum(-1).exp()),
            "this is the density: its logarithm is wanted",
        ),
        (
            _by_parts(lambda n, t, u, h: (n - _slope(t) - h.log()).sum(-1).detach()),
            "the value is right, but no gradient arrives, neither at the mean nor at log σ: an actor could not learn "
            "from it",
        ),
    ],
    praise="right: the Gaussian of u, the slope of tanh and the scale, one number per action",
    stub=_stub_log_prob,
)


class _Scripted(TanhGaussian):
    """A policy whose noise is written down: one call for K actions gives what K calls for one would give.

    With `marked`, actions from `sample` come from other noise than those from `rsample`, so that one can tell.
    """

    def __init__(self, mean, log_std, script: list[torch.Tensor], marked: bool):
        half = torch.tensor([2.0], dtype=mean.dtype)
        super().__init__(mean, log_std, -half, half)
        self.script, self.marked = script, marked  # the script is shared by all the policies of one exercise

    def rsample(self, action_samples: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        rows = torch.stack([self.script.pop(0) for _ in range(1 if action_samples is None else action_samples)])
        noise = rows[0] if action_samples is None else rows
        return self.mid + self.half * torch.tanh(self.mean + self.log_std.exp() * noise)

    def sample(self, action_samples: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        if self.marked:
            self.script[:] = [-row for row in self.script]
        with torch.no_grad():
            return self.rsample(action_samples, generator=generator)

    sample.__qualname__ = TanhGaussian.sample.__qualname__  # as Python's own errors call it
    rsample.__qualname__ = TanhGaussian.rsample.__qualname__


class _Critic(torch.nn.Module):
    """A critic whose parameters one may freeze; `sign` −1 turns Q round, and with it the sign of most losses."""

    def __init__(self, sign: int):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.tensor([0.8, -0.3, 1.1], dtype=torch.float64))
        self.sign = sign

    def forward(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        best, height, width = self.weights
        where = (action - best - 0.5 * obs)[..., 0]
        return self.sign * (7 + height * where.square() + torch.sin(2 * width * where))


class _Replayed:
    """A batch of three states, a policy and a critic for which every mistake gives other numbers."""

    def __init__(self, marked: bool, sign: int):
        def numbers(*values):
            return torch.tensor(values, dtype=torch.float64)

        self.parameters = torch.stack([numbers(0.3, -0.6, 0.1), numbers(-0.7, -0.2, -1.0)]).requires_grad_()
        self.critic = _Critic(sign)
        self.obs, self.stored = numbers(0.0, 1.0, 2.0)[:, None], numbers(1.5, -0.4, 0.2)[:, None]
        self.marked = marked
        rows = numbers(0.4, -1.1, 0.3, 1.2, 0.2, -0.8, -0.5, 0.9, 1.4, -1.3, -0.1, 0.7, 0.6, 1.6, -0.2, 0.1, -0.9, -1.5)
        self.script = list(rows.view(6, 3, 1).repeat(8, 1, 1))

    def policy(self, obs: torch.Tensor) -> TanhGaussian:
        mean, log_std = self.parameters[:, obs[:, 0].long(), None]
        return _Scripted(mean, log_std, self.script, self.marked)


def _observe_loss(function: Callable, ks: tuple[int, ...], marked: bool, watch_critic: bool) -> dict[str, torch.Tensor]:
    seen = {}
    for k, sign in itertools.product(ks, (1, -1)):
        r, which = _Replayed(marked, sign), f"K = {k}" + ("" if sign == 1 else ", another critic")
        loss = call_loss(function, r.policy, r.critic, r.obs, r.stored, k, torch.Generator())
        seen[f"the gradient with respect to the policy ({which})"] = gradient(loss, r.parameters)
        if watch_critic:  # whoever freezes the critic lets none arrive
            seen[f"the gradient that reaches Q ({which})"] = gradient(loss, r.critic.weights.requires_grad_())
        seen[f"the loss ({which})"] = loss.detach()
    return seen


def _observe_reparameterized(function: Callable) -> dict[str, torch.Tensor]:
    """Observe the loss too, but not beside the right gradient: a constant more or less is no mistake there."""
    seen = _observe_loss(function, (1, 6), marked=True, watch_critic=False)
    right = _observe_loss(_pathwise_loss, (1, 6), marked=True, watch_critic=False)
    if all(torch.allclose(seen[key], right[key], 1e-4, 1e-6) for key in right if "gradient" in key):
        seen |= {key: torch.zeros_like(seen[key]) for key in right if "gradient" not in key}
    return seen


def _drawn(draw: Callable, weigh: Callable) -> Callable:
    """Make a loss of a way to draw actions and a way to weigh log π and Q."""

    def loss(policy, critic, obs, stored, k, gen):
        pi = policy(obs)
        action = draw(pi, stored, k, gen)
        return weigh(pi.log_prob(action), critic(obs, action))

    return loss


def _rsample(pi, stored, k, gen):
    return pi.rsample(k, generator=gen)


def _sample(pi, stored, k, gen):
    return pi.sample(k, generator=gen)


def _mean_q(log_prob, q):
    return -q.mean()


_pathwise_loss = _drawn(_rsample, _mean_q)

reparameterized_loss = Exercise(
    "reparameterized_loss",
    doc="Check notebook 07's `my_reparameterized_loss(policy, critic, obs, stored_action, action_samples, generator)`.",
    right=_pathwise_loss,
    observe=_observe_reparameterized,
    mistakes=[
        (
            _drawn(_rsample, lambda lp, q: q.mean()),
            "the sign is flipped: an optimiser walks downhill, so this makes Q smaller",
        ),
        (
            _drawn(_rsample, lambda lp, q: -q.detach().mean()),
            "the value is right, but no gradient reaches the policy: it has to flow from Q *through* the action, and "
            "somewhere on the way it is cut",
        ),
        (
            _drawn(_sample, _mean_q),
            "the actions come from sample, which gives plain numbers: the gradient ends there and never reaches the "
            "policy",
        ),
        (
            _drawn(_sample, lambda lp, q: -(lp * q.detach()).mean()),
            "this is the score-function loss: here the gradient is wanted that goes through the action into Q",
        ),
        (
            _drawn(_rsample, lambda lp, q: -(lp * q).mean()),
            "log π does not appear in this loss: Q alone, through the action, says where to go",
        ),
        (
            _drawn(_rsample, lambda lp, q: -(lp * q.detach()).mean()),
            "log π does not appear in this loss, and Q must not be a constant: its slope is what is wanted",
        ),
        (
            _drawn(lambda pi, stored, k, gen: pi.mode().expand(k, -1, -1), _mean_q),
            "you take the middle of the policy instead of drawing: that is the gradient of a deterministic policy, "
            "and σ gets none",
        ),
        (
            _drawn(lambda pi, stored, k, gen: stored, _mean_q),
            "you use the stored action: it does not depend on the policy at all",
        ),
        (
            _drawn(_rsample, lambda lp, q: -q.sum()),
            "you add up where the mean over states and actions is wanted",
        ),
        (
            _drawn(_rsample, lambda lp, q: -q.mean(-1)),
            "you average over the batch only: the K actions of a state are to be averaged too, down to one number",
        ),
        (
            _drawn(_rsample, lambda lp, q: -q.sum(-2).mean()),
            "you add up the K actions of a state where their mean is wanted: more actions would mean larger steps",
        ),
        (
            _drawn(lambda pi, stored, k, gen: pi.rsample(1, generator=gen), _mean_q),
            "you draw one action per state, whatever action_samples says",
        ),
        (
            _drawn(_rsample, lambda lp, q: -(q - q.mean(-2, keepdim=True)).mean()),
            "what you subtract carries the gradient of Q too, and takes all of it away: a baseline has to be a "
            "constant (and here it does nothing)",
        ),
        (
            _drawn(_rsample, lambda lp, q: -q.mean().abs()),
            "the loss may be negative or positive, and yours is never positive: where Q is negative, it goes the "
            "wrong way",
        ),
        (
            _drawn(_rsample, lambda lp, q: q.mean().abs()),
            "the loss may be negative or positive, and yours is never negative: where Q is positive, it goes the "
            "wrong way",
        ),
    ],
    praise="right: the gradient goes through the action, into the policy",
)


def _score_loss(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action_resampled = pi.sample(action_samples, generator=generator)
    q = critic(obs, action_resampled).detach()
    return -(pi.log_prob(action_resampled) * updates.leave_one_out(q)).mean()


def _planted_score_loss(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action_resampled = pi.rsample(action_samples, generator=generator)
    q = critic(obs, action_resampled).detach()
    return -(pi.log_prob(action_resampled) * leave_one_out(q)).mean()


leave_one_out = updates.leave_one_out


def _observe_score_loss(function: Callable) -> dict[str, torch.Tensor]:
    return _observe_loss(function, (2, 6), marked=False, watch_critic=True)


def _advantage(q):
    return updates.leave_one_out(q).detach()


_THROUGH = (
    "a gradient still flows through the action into log π: for the score function an action is a plain number, and "
    "only the policy's parameters are varied"
)

score_function_loss = Exercise(
    "score_function_loss",
    doc="Check notebook 07's repaired `my_score_loss(policy, critic, obs, stored_action, action_samples, generator)`.",
    right=_score_loss,
    observe=_observe_score_loss,
    mistakes=[
        (_drawn(_rsample, lambda lp, q: -(lp * _advantage(q)).mean()), _THROUGH),
        (
            _drawn(_rsample, lambda lp, q: -(lp * updates.leave_one_out(q)).mean()),
            f"{_THROUGH}; and another through Q",
        ),
        (
            _drawn(_sample, lambda lp, q: -(lp * updates.leave_one_out(q)).mean()),
            "the action is a plain number now, but a gradient flows into Q: the actor's loss would move the critic",
        ),
        (
            _drawn(_rsample, lambda lp, q: -q.mean()),
            "this is the reparameterised loss: a right gradient, but the exercise wants the score function",
        ),
        (
            _drawn(_sample, lambda lp, q: -(lp * q.detach()).mean()),
            "the bug is gone, and so is the baseline: keep the leave-one-out weight",
        ),
        (
            _drawn(_sample, lambda lp, q: -(lp * (q - q.mean(-2, keepdim=True)).detach()).mean()),
            "the baseline contains the action's own Q: that shrinks the gradient to (K − 1)/K of its length",
        ),
        (
            _drawn(_sample, lambda lp, q: (lp * _advantage(q)).mean()),
            "the sign is flipped: an optimiser walks downhill, so this makes good actions rarer",
        ),
        (
            _drawn(_sample, lambda lp, q: -(lp.detach() * _advantage(q)).mean()),
            "log π is detached, so no gradient reaches the policy at all",
        ),
        (
            _drawn(_sample, lambda lp, q: -(lp * _advantage(q)).sum()),
            "you add up where the mean over states and actions is wanted",
        ),
        (
            _drawn(_sample, lambda lp, q: -(lp.exp() * _advantage(q)).mean()),
            "this weights by π, not by log π: drawing the actions already contributes the factor π",
        ),
        (
            _drawn(_rsample, lambda lp, q: -updates.leave_one_out(q).mean()),
            "log π is missing: the leave-one-out weights of a state add up to zero, and so do their gradients",
        ),
        (
            _drawn(_sample, lambda lp, q: -(lp * _advantage(q)).mean().abs()),
            "the loss may be negative or positive, and yours is never positive: where it should be, it goes the wrong "
            "way",
        ),
        (
            _drawn(_sample, lambda lp, q: (lp * _advantage(q)).mean().abs()),
            "the loss may be negative or positive, and yours is never negative: where it should be, it goes the wrong "
            "way",
        ),
    ],
    praise="right: the action is a plain number, and log π alone carries the gradient",
    planted=_planted_score_loss,
)
