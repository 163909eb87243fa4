"""Automatic checks of the exercises: a tick, or what is wrong in words.

A check runs the student's function on small inputs and compares values *and gradients* with the right answer.
Where they differ, it compares them with what well-known mistakes would give, so that it can name the mistake. It
never raises for what a student wrote, and it returns a function that the notebook can go on with: the student's
where it is right, the package's own otherwise.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from offac_lite import updates
from offac_lite.networks import Categorical, of_actions

F, T = False, True


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise: the right answer, what to look at, and the mistakes that people make."""

    name: str
    right: Callable
    observe: Callable[[Callable], dict[str, torch.Tensor]]  # run a function; its values and gradients, by name
    mistakes: Sequence[tuple[Callable, str]]  # what a wrong function does, and what to say of it
    praise: str
    planted: Callable | None = None  # in "find the bug", the code as the notebook gives it


class _NotAttempted(Exception):
    pass


def _tensor(value) -> torch.Tensor:
    if value is None or value is Ellipsis or value is NotImplemented:
        raise _NotAttempted
    if isinstance(value, float | int):
        value = torch.tensor(float(value), dtype=torch.float64)
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"your function returned a {type(value).__name__}; a tensor is wanted")
    return value


def _call(function: Callable, *args) -> torch.Tensor:
    """Call, and refuse a function that writes into its arguments."""
    before = [a.detach().clone() if isinstance(a, torch.Tensor) else a for a in args]
    result = _tensor(function(*args))
    for old, new in zip(before, args, strict=True):
        if isinstance(old, torch.Tensor) and not torch.equal(old, new.detach()):
            raise ValueError("your function changes one of its arguments in place; build a new tensor instead")
    return result


def _gradient(output: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Give d(sum of output)/d(source), zero where no gradient flows."""
    if not output.requires_grad:
        return torch.zeros_like(source)
    (gradient,) = torch.autograd.grad(output.sum(), source, retain_graph=True, allow_unused=True)
    return torch.zeros_like(source) if gradient is None else gradient


def _same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(
        one[k].shape == two[k].shape and torch.allclose(one[k].double(), two[k].double(), 1e-4, 1e-6, equal_nan=True)
        for k in two
    )


def diagnose(exercise: Exercise, function: Callable) -> tuple[bool | None, str]:
    """Judge a student's function: (True, praise), (False, what is wrong), or (None, "not attempted yet …").

    >>> diagnose(V_TARGET, lambda reward, terminated, next_value, gamma: None)
    (None, 'not attempted yet (nothing is returned)')
    """
    if not callable(function):
        return False, f"a function is wanted, and this is a {type(function).__name__}"
    if _same_code(function, exercise.planted):
        return None, "not attempted yet: the bug is still there"
    right = exercise.observe(exercise.right)
    try:
        seen = exercise.observe(function)
    except (_NotAttempted, NotImplementedError):
        return None, "not attempted yet (nothing is returned)"
    except Exception as error:  # whatever the student's code does, the notebook goes on
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
        where = f" (line {lines[0]} of the cell or file)" if lines else ""
        return False, f"it stops with {type(error).__name__}: {error}{where}"
    if _same(seen, right):
        return True, exercise.praise
    constants = {k for k, wanted in right.items() if "gradient" in k and not wanted.any()}  # nothing may flow there
    for watched, also in ((right, ""), ({k: right[k] for k in right.keys() - constants}, _LEAK)):
        for wrong, words in exercise.mistakes:
            try:
                if _same(seen, {k: v for k, v in exercise.observe(wrong).items() if k in watched}):
                    return False, words + also
            except Exception:  # a mistake that cannot be made on these inputs
                continue
    for key, wanted in right.items():
        if seen[key].shape != wanted.shape:
            shapes = f"{key} has shape {tuple(seen[key].shape)}, and {tuple(wanted.shape)} is wanted"
            if seen[key].ndim > wanted.ndim and seen[key].numel() > wanted.numel() > 1:
                return False, f"{shapes}: two tensors of different shapes were broadcast against each other"
            return False, f"{shapes}: did you average over the right axes?"
    worst = next(k for k in right if not _same({k: seen[k]}, {k: right[k]}))
    return False, f"{worst} is not what it should be; compare your line with what the text asks for, term by term"


_LEAK = "; and besides, a gradient flows where a constant is wanted"


def _same_code(function: Callable, planted: Callable | None) -> bool:
    """Tell whether `function` is `planted` as it stands in the notebook, untouched."""
    codes = [getattr(f, "__code__", None) for f in (function, planted)]
    if None in codes:
        return False
    one, two = ((code.co_code, code.co_names, code.co_varnames) for code in codes)
    return one == two


def _report(exercise: Exercise, function: Callable) -> Callable:
    verdict, words = diagnose(exercise, function)
    mark = {True: "✓", False: "✗", None: "…"}[verdict]
    print(f"{mark} {exercise.name}: {words}")
    if verdict:
        return function
    print("  The notebook goes on with the package's own version.")
    return exercise.right


# ------------------------------------------------------------------------------------------------ notebook 01


def _observe_v_target(function: Callable) -> dict[str, torch.Tensor]:
    seen = {}
    for name, shape in (("one seed", (4,)), ("two seeds", (2, 4))):
        reward = torch.tensor([1.0, -2.0, 0.5, 3.0]).expand(shape).clone()
        terminated = torch.tensor([F, T, F, T]).expand(shape).clone()
        next_value = torch.tensor([10.0, 20.0, -4.0, 7.0]).expand(shape).clone().requires_grad_()
        y = _call(function, reward, terminated, next_value, 0.9)
        seen[f"the target ({name})"] = y.detach()
        seen[f"the gradient that reaches V(s′) ({name})"] = _gradient(y, next_value)
    return seen


def _mask(terminated, value):
    return torch.where(terminated, 0.0, value.detach())


V_TARGET = Exercise(
    "v_target",
    updates.v_target,
    _observe_v_target,
    [
        (
            lambda r, d, v, g: r + g * v.detach(),
            "you bootstrap past a terminal state: where an episode has terminated there is no next value to add",
        ),
        (
            lambda r, d, v, g: r + g * torch.where(d, 0.0, v),
            "the numbers are right, but a gradient flows from the target into V(s′): the target has to be a constant",
        ),
        (
            lambda r, d, v, g: r + g * v,
            "you bootstrap past a terminal state, and a gradient flows from the target into V(s′)",
        ),
        (lambda r, d, v, g: r + _mask(d, v), "the discount γ is missing: the next value is one step away"),
        (lambda r, d, v, g: g * (r + _mask(d, v)), "the reward is discounted too: it comes now, only V(s′) is later"),
        (
            lambda r, d, v, g: r + g * torch.where(d, v.detach(), 0.0),
            "the mask is the wrong way round: you bootstrap exactly where the episode has terminated",
        ),
        (
            lambda r, d, v, g: torch.where(d, 0.0, r + g * v.detach()),
            "the mask takes the reward away as well: the last reward of an episode is real",
        ),
        (lambda r, d, v, g: g * _mask(d, v), "the reward is missing"),
        (lambda r, d, v, g: r - g * _mask(d, v), "a sign is wrong: the next value is added"),
        (
            lambda r, d, v, g: (r + g * _mask(d, v)).mean(),
            "you average over the batch: every transition has a target of its own",
        ),
        (
            lambda r, d, v, g: (r + g * _mask(d, v)).sum(),
            "you add up the batch: every transition has a target of its own",
        ),
    ],
    "right, mask, discount and stop-gradient included",
)


def v_target(function: Callable) -> Callable:
    """Check notebook 01's `my_v_target(reward, terminated, next_value, gamma)`, y = r + γ (1 − d) V(s′)."""
    return _report(V_TARGET, function)


def _actor_loss(log_prob: torch.Tensor, advantage: torch.Tensor) -> torch.Tensor:
    return updates.policy_gradient_loss(log_prob.unsqueeze(-2), advantage.unsqueeze(-2))


def _observe_actor_loss(function: Callable) -> dict[str, torch.Tensor]:
    seen = {}
    for name, shape in (("one seed", (4,)), ("two seeds", (2, 4))):
        log_prob = torch.tensor([-0.3, -1.2, -2.0, -0.7]).expand(shape).clone().requires_grad_()
        advantage = torch.tensor([1.0, -2.0, 0.5, 3.0]).expand(shape).clone().requires_grad_()
        loss = _call(function, log_prob, advantage)
        seen[f"the gradient with respect to log π ({name})"] = _gradient(loss, log_prob)
        seen[f"the gradient with respect to the advantage ({name})"] = _gradient(loss, advantage)
        seen[f"the loss ({name})"] = loss.detach()
    return seen


ACTOR_LOSS = Exercise(
    "actor_loss",
    _actor_loss,
    _observe_actor_loss,
    [
        (
            lambda lp, a: (lp * a.detach()).mean(-1),
            "the sign is flipped: an optimiser walks downhill, so this loss makes good actions rarer",
        ),
        (
            lambda lp, a: -(lp * a).mean(-1),
            "a gradient flows into the advantage: the actor would train the critic to flatter it",
        ),
        (
            lambda lp, a: -(lp * a.detach()).sum(-1),
            "you add up the batch where its mean is wanted: the step would grow with the batch size",
        ),
        (lambda lp, a: -(lp * a.detach()).mean(), "your mean runs over the seeds too: average over the last axis only"),
        (
            lambda lp, a: -(lp.detach() * a).mean(-1),
            "log π is detached, so no gradient reaches the policy, and the advantage gets it instead",
        ),
        (lambda lp, a: -(lp.detach() * a.detach()).mean(-1), "log π is detached, so no gradient reaches the policy"),
        (
            lambda lp, a: -(lp.exp() * a.detach()).mean(-1),
            "this weights by π, not by log π: in a sampled gradient the sampling already contributes the factor π",
        ),
        (lambda lp, a: -lp.mean(-1), "the advantage is missing: every action is made more likely, good or bad"),
        (lambda lp, a: -(lp * a.detach()), "there is no mean over the batch yet"),
        (
            lambda lp, a: -(lp * a.detach()).sum(),
            "you add everything up, seeds included: average over the last axis only",
        ),
    ],
    "right: its gradient is minus the policy gradient, and the advantage is a constant",
)


def actor_loss(function: Callable) -> Callable:
    """Check notebook 01's `my_actor_loss(log_prob, advantage)`, −mean of log π · Â over the last axis."""
    return _report(ACTOR_LOSS, function)


def _observe_bootstraps(function: Callable) -> dict[str, torch.Tensor]:
    terminated, truncated = torch.tensor([F, T, F, T]), torch.tensor([F, F, T, T])
    result = _call(function, terminated, truncated)
    return {
        "the answer": result.detach().double(),
        "its dtype (a bool is wanted)": torch.tensor(result.dtype == torch.bool),
    }


def _planted_bootstraps(terminated, truncated):
    done = terminated | truncated
    return ~done


BOOTSTRAPS = Exercise(
    "bootstraps",
    lambda terminated, truncated: ~terminated,
    _observe_bootstraps,
    [
        (
            lambda te, tr: ~(te | tr),
            "truncation is taken for termination: a time limit stops the recording, not the world, so s′ still "
            "has a value",
        ),
        (lambda te, tr: te, "the wrong way round: you bootstrap exactly where the episode has terminated"),
        (lambda te, tr: te | tr, "the wrong way round, and truncation is taken for termination"),
        (lambda te, tr: ~tr, "you look at truncation only: what ends the future is termination"),
        (
            lambda te, tr: ~te | tr,
            "a step can be terminated and truncated at once; where it is, nothing is left to bootstrap from",
        ),
        (
            lambda te, tr: torch.ones_like(te),
            "you always bootstrap: where an episode has terminated there is no next value",
        ),
        (lambda te, tr: tr, "you look at truncation only, and the wrong way round"),
        (
            lambda te, tr: ~(te & tr),
            "an episode can end by termination alone: you forbid bootstrapping only where it is truncated as well",
        ),
        (lambda te, tr: (~te).double(), "the numbers are right, but a bool tensor is wanted"),
        (lambda te, tr: 1.0 - te.double(), "the numbers are right, but a bool tensor is wanted"),
    ],
    "right: only termination ends the future; a time limit does not",
    planted=_planted_bootstraps,
)


def bootstraps(function: Callable) -> Callable:
    """Check notebook 01's `my_bootstraps(terminated, truncated)`: where does y contain V(s′)?"""
    return _report(BOOTSTRAPS, function)


# ------------------------------------------------------------------------------------------------ notebook 05


class _Scripted(Categorical):
    """A policy whose draws are written down: one call for K actions gives what K calls for one would give."""

    def __init__(self, logits: torch.Tensor, script: list[torch.Tensor]):
        super().__init__(logits)
        self.script = script  # shared by all the policies of one exercise, and used up

    def sample(self, n_actions: int | None = None, *, generator: torch.Generator) -> torch.Tensor:
        rows = torch.stack([self.script.pop(0) for _ in range(1 if n_actions is None else n_actions)])
        return rows[0] if n_actions is None else rows


class _Replayed:
    """A batch and a policy for which every way of getting the actions wrong gives another gradient."""

    def __init__(self):
        self.logits = torch.tensor([[0.2, -0.4, 0.9], [1.0, 0.3, -0.2], [-0.5, 0.1, 0.4]], requires_grad=True)
        self.q_table = torch.tensor([[1.0, 5.0, -2.0], [0.0, 3.0, 8.0], [4.0, -1.0, 2.0]], requires_grad=True)
        self.obs, self.action = torch.arange(3), torch.tensor([1, 2, 0])
        self.reward = torch.tensor([0.5, -1.0, 2.0])
        script = torch.tensor([[0, 2, 1], [2, 0, 1], [0, 1, 2], [2, 0, 2], [0, 0, 1], [1, 1, 2], [0, 2, 0]])
        self.script = list(script.repeat(8, 1))

    def policy(self, obs: torch.Tensor) -> Categorical:
        return _Scripted(self.logits[obs], self.script)

    def critic(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return of_actions(self.q_table[obs], action)


def _resampled_loss(policy, critic, obs, stored_action, n_actions, generator):
    pi = policy(obs)
    action_resampled = pi.sample(n_actions, generator=generator)
    return updates.policy_gradient_loss(pi.log_prob(action_resampled), critic(obs, action_resampled))


def _observe_resampled_loss(function: Callable) -> dict[str, torch.Tensor]:
    seen = {}
    for k in (1, 6):
        r = _Replayed()
        loss = _call(function, r.policy, r.critic, r.obs, r.action, k, torch.Generator())
        seen[f"the gradient with respect to the policy (K = {k})"] = _gradient(loss, r.logits)
        seen[f"the gradient that reaches Q (K = {k})"] = _gradient(loss, r.q_table)
        seen[f"the loss (K = {k})"] = loss.detach()
    return seen


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


RESAMPLED_LOSS = Exercise(
    "resampled_loss",
    _resampled_loss,
    _observe_resampled_loss,
    [
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
            "a gradient flows into Q: the actor would train the critic to flatter it",
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
            _with_actions(_draw, lambda lp, q: -(lp * q.detach()).sum(-2).mean()),
            "you add up the K actions of a state where their mean is wanted: more actions would mean larger steps",
        ),
        (
            _with_actions(lambda pi, stored, k, gen: pi.sample(1, generator=gen)),
            "you draw one action per state, whatever n_actions says",
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
    ],
    "right: K fresh actions from π at every replayed state, and Q a constant",
)


def resampled_loss(function: Callable) -> Callable:
    """Check notebook 05's `my_resampled_loss(policy, critic, obs, stored_action, n_actions, generator)`."""
    return _report(RESAMPLED_LOSS, function)


def _observe_leave_one_out(function: Callable) -> dict[str, torch.Tensor]:
    q = torch.tensor([[1.0, 10.0], [2.0, -30.0], [6.0, 50.0], [0.0, 7.0]])
    return {
        "the advantage": _call(function, q).detach(),
        "the advantage of two actions": _call(function, q[:2]).detach(),
        "the advantage with a seed axis": _call(function, torch.stack([q, 2 * q.flip(0)])).detach(),
    }


LEAVE_ONE_OUT = Exercise(
    "leave_one_out",
    updates.leave_one_out,
    _observe_leave_one_out,
    [
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
    ],
    "right: a baseline for free, and still unbiased",
)


def leave_one_out(function: Callable) -> Callable:
    """Check notebook 05's `my_leave_one_out(q)`, q (..., K, B)."""
    return _report(LEAVE_ONE_OUT, function)


def _observe_total_variance(function: Callable) -> dict[str, torch.Tensor]:
    cases = [(0.3, 5.0, 1, 1), (0.3, 5.0, 8, 1), (0.3, 5.0, 1, 4), (0.7, 11.0, 8, 4)]
    return {"the variance": torch.stack([_tensor(function(*c)).double().reshape(()) for c in cases])}


TOTAL_VARIANCE = Exercise(
    "total_variance",
    lambda across_states, across_actions, n_states, n_actions: (across_states + across_actions / n_actions) / n_states,
    _observe_total_variance,
    [
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
        (lambda s, a, n, k: (s / k + a) / n, "K divides the wrong term"),
        (
            lambda s, a, n, k: (s + a / k**0.5) / n**0.5,
            "that is how a standard deviation shrinks; a variance shrinks without the root",
        ),
        (lambda s, a, n, k: (s + a / k**2) / n**2, "a mean of n independent terms has 1/n of the variance, not 1/n²"),
        (lambda s, a, n, k: s + a, "neither N nor K appears yet"),
    ],
    "right: K divides one term, N both",
)


def total_variance(function: Callable) -> Callable:
    """Check notebook 05's `my_total_variance(across_states, across_actions, n_states, n_actions)`."""
    return _report(TOTAL_VARIANCE, function)


def _resampled_advantage(critic, obs, action_resampled, reward, next_value, value, gamma):
    return critic(obs, action_resampled) - value


def _observe_resampled_advantage(function: Callable) -> dict[str, torch.Tensor]:
    r = _Replayed()
    action = torch.tensor([[0, 1, 2], [2, 0, 1]])
    value, next_value = torch.tensor([1.5, 4.0, 2.5]), torch.tensor([7.0, -3.0, 1.0])
    result = _call(function, r.critic, r.obs, action, r.reward, next_value, value, 0.9)
    return {"the advantage": result.detach()}


def _planted_advantage(critic, obs, action_resampled, reward, next_value, value, gamma):
    return (reward + gamma * next_value - value).expand(action_resampled.shape)


RESAMPLED_ADVANTAGE = Exercise(
    "resampled_advantage",
    _resampled_advantage,
    _observe_resampled_advantage,
    [
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
    ],
    "right: what the resampled action is worth, only Q can tell",
    planted=_planted_advantage,
)


def resampled_advantage(function: Callable) -> Callable:
    """Check notebook 05's repaired `advantage(critic, obs, action_resampled, reward, next_value, value, gamma)`."""
    return _report(RESAMPLED_ADVANTAGE, function)
