"""The exercises of notebook 02: right answers, what to look at, and the mistakes people make."""

from collections.abc import Callable

import torch

from offac_lite.course.checks.exercise import Exercise, Refused, call, something, to_tensor
from offac_lite.exact import replay_bias as replayed

__all__ = ["buffer_policy", "naive_fixed_point", "old_share", "owners"]


def _old_share(n_updates, older_than, per_update, capacity):
    stored = min(n_updates * per_update, capacity)
    return max(0.0, 1 - older_than * per_update / stored)


def _observe_old_share(function: Callable) -> dict[str, torch.Tensor]:
    cases = {
        "a buffer that holds everything": (1500, 100, 8, 100_000),
        "a buffer that has overwritten its oldest data": (1500, 100, 8, 4000),
        "a run that is younger than what is asked for": (50, 100, 8, 100_000),
        "a capacity below what is asked for": (1500, 100, 8, 500),
        "other numbers": (40, 10, 2, 50),
    }
    return {
        f"the share in {name}": to_tensor(function(*case)).detach().double().reshape(()) for name, case in cases.items()
    }


old_share = Exercise(
    "old_share",
    doc="Check notebook 02's `my_old_share(n_updates, older_than, per_update, capacity)`.",
    right=_old_share,
    observe=_observe_old_share,
    mistakes=[
        (
            lambda n, k, m, c: max(0.0, 1 - k / n),
            "you forget the capacity: a full buffer has overwritten its oldest transitions",
        ),
        (
            lambda n, k, m, c: 1 - _old_share(n, k, m, c),
            "this is the share of the young ones; the older ones are the rest",
        ),
        (
            lambda n, k, m, c: 1 - k * m / min(n * m, c),
            "where nothing is that old the share is 0; yours becomes negative",
        ),
        (
            lambda n, k, m, c: max(0.0, min(n * m, c) - k * m),
            "this counts transitions; the share is that number over all that are stored",
        ),
        (
            lambda n, k, m, c: max(0.0, 1 - k / min(n * m, c)),
            "you take updates for transitions: each update comes with several of them",
        ),
        (
            lambda n, k, m, c: max(0.0, 1 - k * m / c),
            "you divide by the capacity even while the buffer is not full yet",
        ),
        (
            lambda n, k, m, c: max(0.0, 1 - k / min(n, c)),
            "the capacity counts transitions, not updates: put both into the same unit before you compare them",
        ),
        (
            lambda n, k, m, c: max(0.0, (min(n * m, c) - k * m) / (n * m)),
            "you divide by all that was ever collected; a batch is drawn from what is still stored",
        ),
        (lambda n, k, m, c: 1 - k / n, "you forget the capacity, and where nothing is that old yours becomes negative"),
        (
            lambda n, k, m, c: max(0.0, (n - k) * m / min(n * m, c)),
            "you count old transitions that the buffer has overwritten: the share can come out above 1",
        ),
        (
            lambda n, k, m, c: 1 - k * m / c,
            "a buffer that is not yet full holds fewer transitions than its capacity; and where nothing is that old, "
            "yours becomes negative",
        ),
        (lambda n, k, m, c: 100 * _old_share(n, k, m, c), "a share lies between 0 and 1, and yours is in percent"),
    ],
    praise="right: in a long run nearly everything in a batch is old, unless the buffer is small",
)


def _writers() -> tuple[torch.Tensor, torch.Tensor]:
    probs = torch.tensor(
        [[[0.5, 0.5], [0.2, 0.8], [1.0, 0.0]], [[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]]], dtype=torch.float64
    )
    return probs, torch.tensor([[1.0, 3.0, 0.5], [4.0, 1.0, 0.5]], dtype=torch.float64)


def _observe_buffer_policy(function: Callable) -> dict[str, torch.Tensor]:
    probs, visits = _writers()
    three = torch.cat([probs, probs[:1].flip(-1)]), torch.cat([visits, torch.tensor([[2.0, 2.0, 7.0]])])
    return {
        "the policy of two writers": call(function, probs, visits).detach(),
        "the policy of three writers": call(function, *three).detach(),
        "the policy of a single writer": call(function, probs[1:], visits[1:]).detach(),
    }


def _planted_buffer_policy(probs, visits):
    return probs.mean(0)


buffer_policy = Exercise(
    "buffer_policy",
    doc="Check notebook 02's repaired `my_buffer_policy(probs, visits)`, β̄ (S, A) of probs (n, S, A), visits (n, S).",
    right=replayed.buffer_policy,
    observe=_observe_buffer_policy,
    mistakes=[
        (
            lambda p, v: p.mean(0),
            "every writer counts the same in every state: one that is there more often has stored more of its actions",
        ),
        (
            lambda p, v: (v[..., None] * p).sum(0),
            "these are numbers of visits, not probabilities: in each state they have to add up to 1",
        ),
        (
            lambda p, v: (v[..., None] * p).mean(0),
            "these are numbers of visits, not probabilities: in each state they have to add up to 1 (a mean over the "
            "writers does not see to that)",
        ),
        (
            lambda p, v: (v[..., None] * p).sum(0) / v.sum(),
            "you divide by the visits to all states together; each state has a total of its own",
        ),
        (
            lambda p, v: (v.sum(-1)[:, None, None] * p).sum(0) / v.sum(),
            "your weight of a writer is the same in every state: it should be its visits to that state",
        ),
        (
            lambda p, v: ((v / v.sum(-1, keepdim=True))[..., None] * p).sum(0),
            "you divide by each writer's own total, over states; divide by the state's total, over writers",
        ),
        (
            lambda p, v: (
                ((v / v.sum(-1, keepdim=True))[..., None] * p).sum(0) / (v / v.sum(-1, keepdim=True)).sum(0)[:, None]
            ),
            "you make the writers equally long before you mix them; here they played equally many episodes, and one "
            "with longer episodes has stored more",
        ),
        (
            lambda p, v: p.gather(0, v.argmax(0)[None, :, None].expand(1, -1, p.shape[-1]))[0],
            "you take the most frequent visitor alone; the others have written here too",
        ),
        (
            lambda p, v: torch.softmax((v[..., None] * p.log()).sum(0) / v.sum(0)[:, None], -1),
            "you mix the logarithms: what the buffer holds are counts, and counts add up as probabilities do",
        ),
        (
            lambda p, v: (p / v[..., None]).sum(0) / (1 / v).sum(0)[:, None],
            "your weights are the wrong way round: who is there more often counts for less",
        ),
        (
            lambda p, v: (v[..., None] * p).mean(0) / v.sum(0)[:, None],
            "you divide by the number of writers too: in each state the probabilities have to add up to 1",
        ),
        (
            lambda p, v: (torch.softmax(v, 0)[..., None] * p).sum(0),
            "a softmax makes weights of scores, and visits are weights already: each counts in proportion",
        ),
    ],
    praise="right: in each state a writer counts as often as it has been there",
    planted=_planted_buffer_policy,
)


def _fixed_point(transition, reward, buffer_policy, gamma):
    step = torch.einsum("sa,sat->st", buffer_policy, transition)
    mean_reward = (buffer_policy * reward).sum(-1)
    return torch.linalg.solve(torch.eye(len(reward), dtype=reward.dtype) - gamma * step, mean_reward)


def _small_world() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three states in which the episode may end, two actions, and a buffer that prefers one of them."""
    transition = torch.tensor(
        [[[0.1, 0.5, 0.2], [0.5, 0.2, 0.3]], [[0.0, 0.2, 0.1], [0.6, 0.1, 0.1]], [[0.3, 0.0, 0.6], [0.1, 0.4, 0.2]]],
        dtype=torch.float64,
    )
    reward = torch.tensor([[1.0, 0.0], [-0.5, 2.0], [0.5, -1.0]], dtype=torch.float64)
    return transition, reward, torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], dtype=torch.float64)


def _observe_fixed_point(function: Callable) -> dict[str, torch.Tensor]:
    transition, reward, policy = _small_world()
    lasting = 0.96 * transition / transition.sum(-1, keepdim=True)  # an episode goes on with probability 0.96
    try:
        point = call(function, transition, reward, policy, 0.9).detach()
    except RuntimeError as error:
        if not error.args:  # the NotImplementedError of a stub
            raise
        error.args = (
            f"{error} (here transition is (S, A, S) = (3, 2, 3), reward and buffer_policy (S, A) = (3, 2); "
            "a mean over the actions takes away the axis A alone)",
        )
        raise
    return {
        "the fixed point": point,
        "the fixed point with another discount": call(function, transition, reward, policy, 0.5).detach(),
        "the fixed point where episodes are long": call(function, lasting, reward, policy, 0.99).detach(),
        "its dtype (that of the rewards is wanted)": torch.tensor(point.dtype == reward.dtype),
    }


def _solve(step, reward, gamma):
    return torch.linalg.solve(torch.eye(len(step), dtype=torch.float64) - gamma * step, reward)


def _mixed(transition, policy):
    return (policy[..., None] * transition).sum(1)


def _rounds(number: int) -> Callable:
    """TD's mean step, V ← mean target, done only so often."""

    def iterate(transition, reward, buffer_policy, gamma):
        value = torch.zeros(len(reward), dtype=torch.float64)
        for _ in range(number):
            value = (buffer_policy * (reward + gamma * transition @ value)).sum(-1)
        return value

    return iterate


def _best(transition, reward, gamma):
    value = torch.zeros(len(reward), dtype=torch.float64)
    for _ in range(2000):
        value = (reward + gamma * transition @ value).max(-1).values
    return value


naive_fixed_point = Exercise(
    "naive_fixed_point",
    doc="Check notebook 02's `my_naive_fixed_point(transition, reward, buffer_policy, gamma)`, V = Σ_a β̄ (r + γPV).",
    right=_fixed_point,
    observe=_observe_fixed_point,
    mistakes=[
        (
            lambda t, r, b, g: (b * r).sum(-1),
            "this is the mean reward of one step; the fixed point contains γV(s′) as well",
        ),
        (
            lambda t, r, b, g: (b * (r + g * t @ (b * r).sum(-1))).sum(-1),
            "you apply the target once; at the fixed point V stands on both sides, so the equation has to be solved",
        ),
        (
            lambda t, r, b, g: _solve(_mixed(t, b), (b * r).sum(-1), 1.0),
            "the discount γ is missing: the next value is one step away",
        ),
        (
            lambda t, r, b, g: _solve(_mixed(t, b).T, (b * r).sum(-1), g),
            "your transition matrix is transposed: rows are where a step starts, columns where it leads",
        ),
        (
            lambda t, r, b, g: _best(t, r, g),
            "this is the value of the best policy: a V-critic averages over the stored actions and takes no maximum",
        ),
        (
            lambda t, r, b, g: _solve(t.mean(1), r.mean(-1), g),
            "you give every action the same weight; the buffer holds them as often as its policy took them",
        ),
        (
            lambda t, r, b, g: _solve(_mixed(t, b), r.mean(-1), g),
            "the transitions are weighted by the buffer's policy, the rewards are not",
        ),
        (
            lambda t, r, b, g: _solve(t.mean(1), (b * r).sum(-1), g),
            "the rewards are weighted by the buffer's policy, the transitions are not",
        ),
        (
            lambda t, r, b, g: _solve(-_mixed(t, b), (b * r).sum(-1), g),
            "a sign is wrong: what follows s′ is added, so it is subtracted once it stands on the other side",
        ),
        (
            lambda t, r, b, g: _solve(_mixed(t, b), g * (b * r).sum(-1), g),
            "the reward is discounted too: it comes now, only V(s′) is later",
        ),
        (
            lambda t, r, b, g: _solve(_mixed(t, b) / _mixed(t, b).sum(-1, keepdim=True), (b * r).sum(-1), g),
            "you fill the rows up to 1: the missing part is where the episode terminates, and nothing comes after it",
        ),
        (
            lambda t, r, b, g: r + g * t @ _fixed_point(t, r, b, g),
            "this is a value for every action; V averages it once more over the stored actions of a state",
        ),
        (
            lambda t, r, b, g: _solve(_mixed(t, b), r.sum(-1), g),
            "the rewards of all actions are added up; each counts as often as the buffer holds its action",
        ),
        (
            lambda t, r, b, g: _fixed_point(t, r, b, g).float(),
            "the numbers are right, but in single precision: keep the dtype of the rewards",
        ),
        *[
            (_rounds(number), "you stop going round too early: where episodes are long, V still moves")
            for number in (5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 80, 100, 120, 150)
        ],
    ],
    praise="right: the naive target has V of the buffer's policy as its fixed point",
)


_OWNERS = {
    "the state s": "β",
    "the action a": "β",
    "the reward r and the next state s′": "β",
    "the V that the critic converges to": "β",
    "the probability in ∇log π(a|s)": "π",
    "the action that ∇J asks for": "π",
    "the value that ∇J asks for": "π",
}
_LETTERS = {"β": 1.0, "beta": 1.0, "b": 1.0, "π": -1.0, "pi": -1.0, "p": -1.0}


def _observe_owners(function: Callable) -> dict[str, torch.Tensor]:
    answers = something(function())
    if not isinstance(answers, dict):
        raise Refused(f"your function returned a {type(answers).__name__}; a dictionary is wanted")
    if missing := [name for name in _OWNERS if name not in answers]:
        raise Refused(f"{missing[0]} is missing from your dictionary")
    given = {name: str(answers[name]).strip().lower() for name in _OWNERS}
    if set(given.values()) == {"?"}:
        raise NotImplementedError
    if unknown := [f"{answers[name]!r} for {name}" for name, letter in given.items() if letter not in _LETTERS]:
        raise Refused(f"one of the two letters 'β' and 'π' is wanted, and you say {unknown[0]}")
    return {name: torch.tensor(_LETTERS[letter]) for name, letter in given.items()}


def _but(*names: str) -> Callable:
    swap = {"β": "π", "π": "β"}
    return lambda: {name: swap[owner] if name in names else owner for name, owner in _OWNERS.items()}


owners = Exercise(
    "owners",
    doc="Check notebook 02's `my_owners()`, {quantity: 'β' or 'π'} of the naive update.",
    right=lambda: dict(_OWNERS),
    observe=_observe_owners,
    mistakes=[
        (
            _but("the state s"),
            "s was stored with a: whoever wrote a, wrote s; it is where β went, not where π goes now",
        ),
        (
            _but("the state s", "the V that the critic converges to"),
            "s was stored with a, so whoever wrote a, wrote s; and the critic learns the value of what it is shown",
        ),
        (
            _but("the state s", "the action a"),
            "s and a come out of the buffer together with r and s′: whoever wrote those, wrote these",
        ),
        (_but("the action a"), "the action in the buffer was drawn when the transition was written: from β"),
        (
            _but("the reward r and the next state s′"),
            "r and s′ answered the stored action, so they are as old as it is",
        ),
        (
            _but("the V that the critic converges to"),
            "the critic averages over the r and s′ it is shown: it learns the value of whoever wrote them",
        ),
        (
            _but("the probability in ∇log π(a|s)"),
            "the parameters that are updated are those of today's policy: its probability stands in the gradient, "
            "whoever chose a",
        ),
        (
            _but("the action that ∇J asks for"),
            "the policy gradient is an expectation over the actions of the policy that is to get better",
        ),
        (
            _but("the value that ∇J asks for"),
            "∇J rates an action by what follows when today's policy goes on from there",
        ),
        (
            _but("the action a", "the reward r and the next state s′"),
            "all that was stored is β's: the action, and the r and s′ that answered it",
        ),
        (
            _but("the action that ∇J asks for", "the value that ∇J asks for"),
            "you describe what the update gets, not what ∇J asks for: the gradient of J of today's policy speaks of "
            "today's policy alone",
        ),
        (_but(*_OWNERS), "it is the other way round: β wrote the buffer, π is learning now"),
    ],
    praise="right: four are β's, three are π's, and where the two meet, the update goes wrong",
)
