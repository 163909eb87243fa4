"""The exercises of notebook 05: right answers, what to look at, and the mistakes people make."""

from collections.abc import Callable

import torch

from offac_lite import updates
from offac_lite.course.checks.exercise import Exercise, Refused, call, call_loss, gradient, same, to_tensor
from offac_lite.networks import Categorical, of_actions

__all__ = ["leave_one_out", "resampled_advantage", "resampled_loss", "total_variance"]


class _Scripted(Categorical):
    """A policy whose draws are written down: one call for K actions gives what K calls for one would give."""

    def __init__(self, logits: torch.Tensor, script: list[torch.Tensor]):
        super().__init__(logits)
        self.script = script  # shared by all the policies of one exercise, and used up

    def sample(self, action_samples: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        rows = torch.stack([self.script.pop(0) for _ in range(1 if action_samples is None else action_samples)], -2)
        return rows.squeeze(-2) if action_samples is None else rows

    sample.__qualname__ = Categorical.sample.__qualname__  # as Python's own errors call it


def no_other_draws(generator: torch.Generator, function: Callable, *arguments):
    """Give what the function gives; refuse draws other than those that are written down."""
    before = generator.get_state(), torch.get_rng_state()
    result = function(*arguments)
    if not all(map(torch.equal, before, (generator.get_state(), torch.get_rng_state()))):
        raise Refused("draw the actions with .sample of the policy's distribution: the check follows no other draws")
    return result


class _Replayed:
    """A batch and a policy for which every way of getting the actions wrong gives another gradient.

    `two_seeds` puts an axis of two seeds in front of everything, each with numbers of its own.
    """

    def __init__(self, two_seeds: bool = False):
        def numbers(*rows):
            own = torch.tensor(rows)
            return torch.stack([own, own.flip(-1)]) if two_seeds else own

        self.logits = numbers([0.2, -0.4, 0.9], [1.0, 0.3, -0.2], [-0.5, 0.1, 0.4]).requires_grad_()
        self.q_table = numbers([1.0, 5.0, -2.0], [0.0, 3.0, 8.0], [4.0, -1.0, 2.0]).requires_grad_()
        self.obs, self.action = numbers(0.0, 1.0, 2.0).unsqueeze(-1), numbers(1, 2, 0)
        self.reward = numbers(0.5, -1.0, 2.0)
        draws = [0, 2, 1], [2, 0, 1], [0, 1, 2], [2, 0, 2], [0, 0, 1], [1, 1, 2], [0, 2, 0]
        self.script = 8 * [numbers(*draw) for draw in draws]

    def policy(self, obs: torch.Tensor) -> Categorical:
        return _Scripted(torch.take_along_dim(self.logits, obs.long(), -2), self.script)

    def critic(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return of_actions(torch.take_along_dim(self.q_table, obs.long(), -2), action)


def _resampled_loss(policy, critic, obs, stored_action, action_samples, generator):
    pi = policy(obs)
    action_resampled = pi.sample(action_samples, generator=generator)
    return updates.policy_gradient_loss(pi.log_prob(action_resampled), critic(obs, action_resampled))


def _observe_one_loss(function: Callable, k: int, two_seeds: bool = False) -> dict[str, torch.Tensor]:
    r, generator = _Replayed(two_seeds), torch.Generator()
    arguments = r.policy, r.critic, r.obs, r.action, k, generator
    loss = no_other_draws(generator, call_loss, function, *arguments)
    if two_seeds and loss.shape in ((), (2,)):
        loss = loss.expand(2)  # as `train` does: one number for all seeds, or one for each
    seen = {"the gradient with respect to the policy": gradient(loss, r.logits)}
    seen |= {"the gradient that reaches Q": gradient(loss, r.q_table)}
    if loss.shape == (2,):
        loss = loss.mean()
    seen |= {"the loss": loss.detach()}
    which = f"K = {k}" + two_seeds * ", with an axis of seeds in front, as in notebook 06"
    return {f"{name} ({which})": value for name, value in seen.items()}


def _observe_without_seeds(function: Callable) -> dict[str, torch.Tensor]:
    return _observe_one_loss(function, 1) | _observe_one_loss(function, 6)


def _observe_resampled_loss(function: Callable) -> dict[str, torch.Tensor]:
    """Observe it with seeds too, where it is right without them."""
    seen, right = _observe_without_seeds(function), _observe_one_loss(_resampled_loss, 6, two_seeds=True)
    if not same(seen, _observe_without_seeds(_resampled_loss)):
        return seen | {name: torch.zeros_like(value) for name, value in right.items()}
    try:
        return seen | _observe_one_loss(function, 6, two_seeds=True)
    except Exception as error:
        raise Refused(f"{_SEEDS}, and this function cannot take it: {type(error).__name__}: {error}") from error


_SEEDS = "right without seeds; but in notebook 06 an axis of seeds stands in front: obs is (S, B, …), actions (S, K, B)"


def _with_actions(choose: Callable, weigh: Callable = lambda log_prob, q: -(log_prob * q.detach()).mean()):
    def loss(policy, critic, obs, stored, k, gen):
        pi = policy(obs)
        action = choose(pi, stored, k, gen)
        return weigh(pi.log_prob(action), critic(obs, action))

    return loss


def _draw(pi, stored, k, gen):
    return pi.sample(k, generator=gen)


def _two_draws(policy, critic, obs, stored, k, gen):
    pi = policy(obs)
    log_prob = pi.log_prob(pi.sample(k, generator=gen))
    return -(log_prob * critic(obs, pi.sample(k, generator=gen)).detach()).mean()


def _stored_log_prob(policy, critic, obs, stored, k, gen):
    pi = policy(obs)
    q = critic(obs, pi.sample(k, generator=gen)).detach()
    return -(pi.log_prob(stored).expand_as(q) * q).mean()


def _stored_q(policy, critic, obs, stored, k, gen):
    pi = policy(obs)
    log_prob = pi.log_prob(pi.sample(k, generator=gen))
    return -(log_prob * critic(obs, stored).detach().expand_as(log_prob)).mean()


resampled_loss = Exercise(
    "resampled_loss",
    doc="Check notebook 05's `my_resampled_loss(policy, critic, obs, stored_action, action_samples, generator)`.",
    right=_resampled_loss,
    observe=_observe_resampled_loss,
    mistakes=[
        (
            _with_actions(lambda pi, stored, k, gen: stored),
            "you use the stored action: it was drawn from an old policy, and the policy gradient needs one from π now",
        ),
        (
            _stored_log_prob,
            "log π is of the stored action and Q of the resampled one: both factors must speak of the same action",
        ),
        (
            _stored_q,
            "Q is that of the stored action and log π of the resampled one: both factors must speak of the same action",
        ),
        (
            _with_actions(_draw, lambda lp, q: (lp * q.detach()).mean()),
            "the sign is flipped: an optimiser walks downhill, so this makes good actions rarer",
        ),
        (
            _with_actions(_draw, lambda lp, q: -(lp * q).mean()),
            "a gradient flows into Q: the actor's loss would move the critic",
        ),
        (
            _with_actions(_draw, lambda lp, q: -(lp * q.detach()).sum()),
            "you add up where the mean over states and actions is wanted",
        ),
        (
            _with_actions(_draw, lambda lp, q: -(lp * q.detach()).mean(-1)),
            "you average over the batch only: the K actions of a state are to be averaged too, down to one number",
        ),
        (
            _two_draws,
            "log π is of one draw and Q of another: draw the actions once, and use the same ones in both factors",
        ),
        (
            _with_actions(_draw, lambda lp, q: -(lp * (q - q.mean(-2, keepdim=True)).detach()).mean()),
            "you subtract a baseline that contains the action's own Q; this exercise wants Q itself as the weight",
        ),
        (
            _with_actions(
                _draw, lambda lp, q: -(lp * (q - (q.sum(-2, keepdim=True) - q) / (q.shape[-2] - 1)).detach()).mean()
            ),
            "you subtract the mean of the other actions, and with one action there is no other; this exercise wants Q "
            "itself as the weight",
        ),
        (
            _with_actions(_draw, lambda lp, q: -(lp * q.detach()).sum(-2).mean()),
            "you add up the K actions of a state where their mean is wanted: more actions would mean larger steps",
        ),
        (
            _with_actions(lambda pi, stored, k, gen: pi.sample(1, generator=gen)),
            "you draw one action per state, whatever action_samples says",
        ),
        (
            _with_actions(lambda pi, stored, k, gen: pi.mode()),
            "you take the most probable action: the gradient is an expectation, so the actions have to be *drawn*",
        ),
        (
            _with_actions(_draw, lambda lp, q: -q.detach().mean() + 0 * lp.sum()),
            "log π is missing: this loss has no gradient for the policy",
        ),
        (
            _with_actions(_draw, lambda lp, q: -(lp.detach() * q.detach()).mean()),
            "log π is detached, so no gradient reaches the policy",
        ),
        (
            _with_actions(_draw, lambda lp, q: -(lp.exp() * q.detach()).mean()),
            "this weights by π, not by log π: drawing the actions already contributes the factor π",
        ),
        (
            _with_actions(_draw, lambda lp, q: -(lp * q.detach()).mean((0, 1))),
            f"{_SEEDS}, and your mean over the first two axes leaves the states: count the axes from the end, or "
            "average over everything",
        ),
        (
            _with_actions(_draw, lambda lp, q: -(lp * q.detach()).mean(-1).mean(0)),
            f"{_SEEDS}, and your mean over the first axis is one over seeds: count the axes from the end, or average "
            "over everything",
        ),
        (
            _with_actions(_draw, lambda lp, q: -(lp * q.detach()).sum() / (lp.shape[-2] * len(lp.select(-2, 0)))),
            f"{_SEEDS}, and you divide by a number of seeds where the number of states is meant",
        ),
        (
            _with_actions(_draw, lambda lp, q: -(lp * q.detach()).sum() / (lp.shape[-1] * lp.shape[-2])),
            f"{_SEEDS}, and you add up over the seeds: the step would grow with their number",
        ),
    ],
    praise="right: K fresh actions from π at every replayed state, and Q a constant",
)


def _observe_leave_one_out(function: Callable) -> dict[str, torch.Tensor]:
    q = torch.tensor([[1.0, 10.0], [2.0, -30.0], [6.0, 50.0], [0.0, 7.0]])
    return {
        "the advantage": call(function, q).detach(),
        "the advantage of two actions": call(function, q[:2]).detach(),
        "the advantage with a seed axis": call(function, torch.stack([q, 2 * q.flip(0)])).detach(),
    }


leave_one_out = Exercise(
    "leave_one_out",
    doc="Check notebook 05's `my_leave_one_out(q)`, q (..., K, B).",
    right=updates.leave_one_out,
    observe=_observe_leave_one_out,
    mistakes=[
        (
            lambda q: q - q.mean(-2, keepdim=True),
            "your mean contains the action's own Q: that shrinks the gradient to (K − 1)/K of its length",
        ),
        (
            lambda q: q - q.mean(-1, keepdim=True),
            "you average over the batch of states: the baseline belongs to one state, so average over its K actions",
        ),
        (
            lambda q: q - q.mean(0, keepdim=True),
            "your mean runs over the first axis: with seeds that is not the K axis",
        ),
        (
            lambda q: q - (q.sum(-2, keepdim=True) - q) / q.shape[-2],
            "you leave the own Q out of the sum but still divide by K: there are K − 1 others",
        ),
        (
            lambda q: q - q.sum(-2, keepdim=True) / (q.shape[-2] - 1),
            "you divide by K − 1 but the own Q is still in the sum",
        ),
        (
            lambda q: (q.sum(-2, keepdim=True) - q) / (q.shape[-2] - 1),
            "this is the baseline; the advantage is Q minus it",
        ),
        (lambda q: -updates.leave_one_out(q), "the sign is flipped: it is Q minus the baseline"),
        (
            lambda q: q - q.roll(1, -2),
            "you subtract one other action's Q where the mean of all the others is wanted",
        ),
        (lambda q: q - q.mean(), "you average over everything: the baseline belongs to one state"),
        (
            lambda q: (q - q.mean(-2, keepdim=True)) / q.std(-2, keepdim=True),
            "you also divide by the spread of Q: that changes the direction of the gradient, not just its noise",
        ),
        (
            lambda q: q - (q.sum(-1, keepdim=True) - q) / (q.shape[-1] - 1),
            "the others in your mean are other states: the actions of one state stand along the axis before the last",
        ),
        (
            lambda q: q - (q.sum(0, keepdim=True) - q) / (q.shape[0] - 1),
            "your sum runs over the first axis: with seeds that is not the K axis",
        ),
        (
            lambda q: q - (q.sum(-2, keepdim=True) - q) / (len(q) - 1),
            "you take K from the length of the first axis: with seeds in front that is their number",
        ),
    ],
    praise="right: a baseline for free, and still unbiased",
)


def _observe_total_variance(function: Callable) -> dict[str, torch.Tensor]:
    cases = [(0.3, 5.0, 1, 1), (0.3, 5.0, 8, 1), (0.3, 5.0, 1, 4), (0.7, 11.0, 8, 4)]
    return {"the variance": torch.stack([to_tensor(function(*c)).double().reshape(()) for c in cases])}


total_variance = Exercise(
    "total_variance",
    doc="Check notebook 05's `my_total_variance(across_states, across_actions, batch_size, action_samples)`.",
    right=lambda across_states, across_actions, batch_size, action_samples: (
        (across_states + across_actions / action_samples) / batch_size
    ),
    observe=_observe_total_variance,
    mistakes=[
        (
            lambda s, a, n, k: (s + a) / (n * k),
            "K divides the states' term too: more actions tell nothing new about states",
        ),
        (lambda s, a, n, k: s / n + a / k, "N is missing from the second term: every state brings actions of its own"),
        (
            lambda s, a, n, k: s + a / (n * k),
            "N is missing from the first term: more states average the states' noise out",
        ),
        (lambda s, a, n, k: s + a / k, "N is missing: the estimate is a mean over N independent states"),
        (lambda s, a, n, k: (s + a) / n, "K is missing: the K actions of a state average their own noise out"),
        (lambda s, a, n, k: s / k + a / n, "K and N are swapped"),
        (lambda s, a, n, k: (s + a / n) / k, "K and N are swapped"),
        (lambda s, a, n, k: (s / k + a) / n, "K divides the wrong term"),
        (lambda s, a, n, k: s / n + a / n * k, "K ends up above the line: a product below a line wants its brackets"),
        (
            lambda s, a, n, k: ((s + a / k) / n) ** 0.5,
            "this is the standard deviation: the variance is wanted, before any root",
        ),
        (
            lambda s, a, n, k: (s + a / k**0.5) / n**0.5,
            "that is how a standard deviation shrinks; a variance shrinks without the root",
        ),
        (lambda s, a, n, k: (s + a / k**2) / n**2, "a mean of n independent terms has 1/n of the variance, not 1/n²"),
        (lambda s, a, n, k: s + a, "neither N nor K appears yet"),
    ],
    praise="right: K divides one term, N both",
)


def _resampled_advantage(critic, obs, action_resampled, reward, next_value, value, gamma):
    return critic(obs, action_resampled) - value


def _observe_resampled_advantage(function: Callable) -> dict[str, torch.Tensor]:
    r = _Replayed()
    action = torch.tensor([[0, 1, 2], [2, 0, 1]])
    value, next_value = torch.tensor([1.5, 4.0, 2.5]), torch.tensor([7.0, -3.0, 1.0])
    result = call(function, r.critic, r.obs, action, r.reward, next_value, value, 0.9)
    return {"the advantage": result.detach()}


def _planted_advantage(critic, obs, action_resampled, reward, next_value, value, gamma):
    return (reward + gamma * next_value - value).expand(action_resampled.shape)


resampled_advantage = Exercise(
    "resampled_advantage",
    doc="Check notebook 05's repaired `advantage(critic, obs, action_resampled, reward, next_value, value, gamma)`.",
    right=_resampled_advantage,
    observe=_observe_resampled_advantage,
    mistakes=[
        (
            lambda c, o, a, r, nv, v, g: (r + g * nv - v).expand(a.shape),
            "r and s′ belong to the stored action; what the resampled one is worth, only Q(s, aᵖ) can tell",
        ),
        (
            lambda c, o, a, r, nv, v, g: r + g * nv - v,
            "r and s′ belong to the stored action; what the resampled one is worth, only Q(s, aᵖ) can tell",
        ),
        (
            lambda c, o, a, r, nv, v, g: r + c(o, a) - v,
            "the stored reward is added on top of Q(s, aᵖ), which already contains the reward of *its* action",
        ),
        (
            lambda c, o, a, r, nv, v, g: r + g * c(o, a) - v,
            "you treat Q(s, aᵖ) as the value of s′ and pair it with the stored reward; Q(s, aᵖ) is the whole return",
        ),
        (
            lambda c, o, a, r, nv, v, g: c(o, a) - nv,
            "the baseline is V(s), the state in which the action is chosen, not V(s′)",
        ),
        (lambda c, o, a, r, nv, v, g: c(o, a), "this is Q itself; the advantage is Q minus V(s)"),
        (lambda c, o, a, r, nv, v, g: v - c(o, a), "the sign is flipped: it is Q minus V"),
        (
            lambda c, o, a, r, nv, v, g: g * c(o, a) - v,
            "Q(s, aᵖ) is not discounted here: it is the return from s itself",
        ),
        (
            lambda c, o, a, r, nv, v, g: c(o, a) - c(o, a).mean(-1, keepdim=True),
            "you average over the batch of states: the baseline is each state's own V(s)",
        ),
        (
            lambda c, o, a, r, nv, v, g: c(o, a) - c(o, a).mean(-2, keepdim=True),
            "the mean over the drawn actions contains the action's own Q; V(s) is there, and contains none of them",
        ),
        (
            lambda c, o, a, r, nv, v, g: c(o, a) - (r + g * nv),
            "r + γV(s′) is what the stored action led to, and no baseline: that is V(s)",
        ),
    ],
    praise="right: what the resampled action is worth, only Q can tell",
    planted=_planted_advantage,
)
