"""The exercises of notebook 02: right answers, what to observe, and the mistakes people make."""

from collections.abc import Callable

import torch

from offac_lite.course.checks.exercise import Exercise
from offac_lite.course.checks.observing import Observations, Refused, observer, same, something
from offac_lite.exact import replay_bias

__all__ = ["buffer_policy", "naive_fixed_point", "old_share", "owners", "ring_rows"]


def _old_share(n_updates, older_than, per_update, capacity):
    stored = min(n_updates * per_update, capacity)
    return max(0.0, 1 - older_than * per_update / stored)


old_share = Exercise(
    "old_share",
    doc="Check *Stability*'s `my_old_share(n_updates, older_than, per_update, capacity)`.",
    right=_old_share,
    observe=observer(
        {
            "in a buffer that holds everything": (1500, 100, 8, 100_000),
            "in a buffer that has overwritten its oldest data": (1500, 100, 8, 4000),
            "in a run that is younger than what is asked for": (50, 100, 8, 100_000),
            "in a capacity below what is asked for": (1500, 100, 8, 500),
            "in other numbers": (40, 10, 2, 50),
        },
        "the share",
    ),
    mistakes={
        "return max(0.0, 1 - older_than / n_updates)": "you forget the capacity: a full buffer has overwritten its "
        "oldest transitions",
        "return min(1.0, older_than * per_update / stored)": "this is the share of the young transitions: the share of "
        "the older ones is wanted",
        "return 1 - older_than * per_update / stored": "where no transition is that old, the share is 0: yours becomes "
        "negative",
        "return max(0.0, stored - older_than * per_update)": "this is the number of older transitions: the share is "
        "that number divided by the number stored",
        "older_than * per_update → older_than": "you take updates for transitions: with each update, several "
        "transitions are stored",
        "/ stored → / capacity": "you divide by the capacity even while the buffer is not full yet",
        "return max(0.0, 1 - older_than / min(n_updates, capacity))": "the capacity counts transitions, not updates: "
        "convert both to the same unit before you compare them",
        "return max(0.0, (stored - older_than * per_update) / (n_updates * per_update))": "you divide by all that was "
        "ever collected: a batch is drawn from what is still stored",
        "return older_than / n_updates": "this is the share of young transitions in a buffer that holds everything: "
        "the share of the older ones is wanted, in a buffer with a capacity",
        "return 1 - older_than / n_updates": "you forget the capacity, and where no transition is that old, your share "
        "becomes negative",
        "return max(0.0, (n_updates - older_than) * per_update / stored)": "you count old transitions that the buffer "
        "has overwritten: the share can come out above 1",
        "return 1 - older_than * per_update / capacity": "you divide by the capacity even while the buffer is not full "
        "yet, and where no transition is that old, your share becomes negative",
    },
    praise="right: in a long run nearly everything in a batch is old, unless the buffer is small",
)


def _ring_rows(n_added, n_new, capacity):
    return (n_added + torch.arange(n_new)) % capacity


ring_rows = Exercise(
    "ring_rows",
    doc="Check notebook 02's `my_ring_rows(n_added, n_new, capacity)`: the rows of the next transitions.",
    right=_ring_rows,
    observe=observer(
        {
            "(after the first round)": (13, 4, 10),
            "(past the last row)": (8, 5, 10),
            "(long after)": (47, 6, 11),
            "(an empty buffer)": (0, 3, 5),
            "(one transition)": (8, 1, 4),
            "(all rows at once)": (13, 5, 5),
        },
        "the rows",
    ),
    mistakes={
        "% capacity →": "the rows go past the end of the memory: after the last row comes row 0",
        "return (n_added + torch.arange(n_new)).clamp(max=capacity - 1)": "past the end you stay in the last row: "
        "after it comes row 0, whose transition is the oldest",
        "n_added + torch.arange(n_new) → torch.arange(n_new)": "n_added is missing: you begin at row 0 each time, and "
        "overwrite what was just stored",
        "return torch.arange(n_new) + n_added % capacity * (n_added % capacity + n_new <= capacity)": "where the new "
        "transitions do not fit before the end you move all of them to the front: fill the rows up to the end first",
        "return torch.arange(capacity - n_new, capacity)": "these are the last rows, whichever holds the oldest",
        "n_added + torch → n_added * n_new + torch": "n_added counts transitions already: nothing has to be multiplied "
        "by n_new",
        "n_added + torch → min(n_added, capacity) + torch": "once the buffer is full you begin at row 0 each time: "
        "after the oldest transition comes the next oldest",
        "+ torch.arange(n_new) → + 0 * torch.arange(n_new)": "all new transitions go to one row: each needs its own",
        "return (n_added - 1 - torch.arange(n_new)) % capacity": "you overwrite the newest transitions: the oldest "
        "have to go",
    },
    praise="right: a remainder makes a ring of a list",
)


def _buffer_policy(probs, visits):
    weight = visits[..., None]
    return (weight * probs).sum(0) / weight.sum(0)


def _planted_buffer_policy(probs, visits):
    return probs.mean(0)


_PROBS = [
    [[0.5, 0.5], [0.2, 0.8], [1.0, 0.0]],
    [[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]],
    [[0.5, 0.5], [0.8, 0.2], [0.0, 1.0]],
]
_WRITERS = torch.tensor(_PROBS, dtype=torch.float64)
_VISITS = torch.tensor([[1.0, 3.0, 0.5], [4.0, 1.0, 0.5], [2.0, 2.0, 7.0]], dtype=torch.float64)
buffer_policy = Exercise(
    "buffer_policy",
    doc="Check notebook 02's repaired `my_buffer_policy(probs, visits)`, β̄ (S, A) of probs (n, S, A), visits (n, S).",
    right=replay_bias.buffer_policy,
    plain=_buffer_policy,
    observe=observer(
        {
            "of two writers": (_WRITERS[:2], _VISITS[:2]),
            "of three writers": (_WRITERS, _VISITS),
            "of a single writer": (_WRITERS[1:2], _VISITS[1:2]),
        },
        "the policy",
    ),
    mistakes={
        _planted_buffer_policy: "every writer counts the same in every state: a writer that visits a state more often "
        "has stored more actions there",
        "return (weight * probs).sum(0)": "these are numbers of visits, not probabilities: in each state they have to "
        "add up to 1",
        "return (weight * probs).mean(0)": "these are numbers of visits, not probabilities: a mean over the writers "
        "does not make them add up to 1 in each state",
        "/ weight.sum(0) → / weight.sum()": "you divide by the visits to all states together: each state has its own "
        "total",
        "visits[..., None] → visits.sum(-1)[:, None, None]": "your weight of a writer is the same in every state: it "
        "should be the number of its visits to that state",
        "return (weight / weight.sum(1, keepdim=True) * probs).sum(0)": "you divide by each writer's total over the "
        "states: divide by each state's total over the writers",
        "visits[..., None] → (visits / visits.sum(-1, keepdim=True))[..., None]": "every writer counts as if it had "
        "stored equally many steps: the writers played equally many episodes, and longer episodes store more steps",
        "return probs[visits.argmax(0), range(len(visits[0]))]": "you take only the most frequent visitor of each "
        "state: the other writers have stored actions there too",
        "return torch.softmax((weight * probs.log()).sum(0) / weight.sum(0), -1)": "you average the log-probabilities: "
        "the buffer holds counts of actions, so average the probabilities",
        "weight = visits[..., None] → weight = visits": "the weights have no axis for the actions: visits is (n, S), "
        "and the probabilities are (n, S, A)",
        "visits[..., None] → 1 / visits[..., None]": "your weights are inverted: a writer that visits a state more "
        "often counts less there",
        "(weight * probs).sum(0) → (weight * probs).mean(0)": "you divide by the number of writers too: in each state "
        "the probabilities have to add up to 1",
        "/ weight.sum(0) → / (weight * probs).sum((0, 1))": "your numbers add up to 1 over the states, for each "
        "action: they have to add up to 1 over the actions, in each state",
        "return torch.softmax((weight * probs).sum(0), -1)": "you take a softmax of counts: they are counts already, "
        "so divide them by their sum",
        "return torch.softmax((weight * probs).mean(0), -1)": "you take a softmax of counts: they are counts already, "
        "so divide them by their sum",
        "visits[..., None] → visits.softmax(0)[..., None]": "you take the softmax of the visits: they are weights "
        "already, and have only to be divided by their sum",
    },
    praise="right: in each state, a writer's weight is the number of its visits",
    planted=_planted_buffer_policy,
)


def _fixed_point(transition, reward, buffer_policy, gamma):
    step = torch.einsum("sa,sat->st", buffer_policy, transition)
    mean_reward = (buffer_policy * reward).sum(-1)
    return torch.linalg.solve(torch.eye(len(reward), dtype=reward.dtype) - gamma * step, mean_reward)


_TRANSITION = torch.tensor(  # four states in which the episode may end, three actions
    [
        [[0.1, 0.5, 0.2, 0.0], [0.5, 0.2, 0.1, 0.2], [0.0, 0.3, 0.3, 0.2]],
        [[0.0, 0.2, 0.1, 0.4], [0.6, 0.1, 0.1, 0.0], [0.2, 0.2, 0.0, 0.5]],
        [[0.3, 0.0, 0.6, 0.0], [0.1, 0.4, 0.2, 0.1], [0.0, 0.5, 0.1, 0.1]],
        [[0.2, 0.1, 0.0, 0.3], [0.0, 0.4, 0.3, 0.2], [0.7, 0.0, 0.1, 0.1]],
    ],
    dtype=torch.float64,
)
_LASTING = 0.96 * _TRANSITION / _TRANSITION.sum(-1, keepdim=True)  # an episode goes on with probability 0.96
_REWARD = torch.tensor([[1.0, 0.0, 0.5], [-0.5, 2.0, 1.0], [0.5, -1.0, 0.2], [0.0, 1.5, -0.3]], dtype=torch.float64)
_POLICY = torch.tensor([[0.8, 0.1, 0.1], [0.3, 0.5, 0.2], [0.6, 0.1, 0.3], [0.2, 0.2, 0.6]], dtype=torch.float64)
_POINTS = {
    "": (_TRANSITION, _REWARD, _POLICY, 0.9),
    "with another discount": (_TRANSITION, _REWARD, _POLICY, 0.5),
    "where episodes are long": (_LASTING, _REWARD, _POLICY, 0.99),
}


def _explain_points(seen: Observations, right: Observations) -> str | None:
    """Find the number of rounds of V ← mean target, or V ← best target, after which V is what was seen."""
    stopped = "you stop iterating too early: where episodes are long, V is still changing"
    best = "this is the value of the best policy: a V-critic averages over the stored actions and takes no maximum"
    for words, over in ((stopped, lambda target: (_POLICY * target).sum(-1)), (best, lambda target: target.amax(-1))):
        values = {f"the fixed point {case}".strip(): torch.zeros(4, dtype=torch.float64) for case in _POINTS}
        for _ in range(2000):
            for key, (transition, reward, _, gamma) in zip(values, _POINTS.values(), strict=True):
                values[key] = over(reward + gamma * transition @ values[key])
            if same(seen, values):
                return words
    return None


_MEAN_STEP = 'torch.einsum("sa,sat->st", buffer_policy, transition) → (buffer_policy[..., None] * transition).mean(1)'
_MEAN_REWARD = "(buffer_policy * reward).sum(-1) → (buffer_policy * reward).mean(-1)"
_ALREADY = "β̄ already is the weight of an action: sum"
_EVERY_STEP = 'torch.einsum("sa,sat->st", buffer_policy, transition) → transition.mean(1)'
_FAVOURITE = "[range(len(reward)), buffer_policy.argmax(-1)]"
_FAVOURITE_STEP = f'torch.einsum("sa,sat->st", buffer_policy, transition) → transition{_FAVOURITE}'
_FAVOURITE_REWARD = f"(buffer_policy * reward).sum(-1) → reward{_FAVOURITE}"
_EVERY_REWARD = "(buffer_policy * reward).sum(-1) → reward.mean(-1)"
naive_fixed_point = Exercise(
    "naive_fixed_point",
    doc="Check notebook 02's `my_naive_fixed_point(transition, reward, buffer_policy, gamma)`, V = Σ_a β̄ (r + γPV).",
    right=_fixed_point,
    observe=observer(_POINTS, "the fixed point"),
    explain=_explain_points,
    mistakes={
        "return mean_reward": "this is the mean reward of one step: the fixed point contains γV(s′) as well",
        "return mean_reward + gamma * step @ mean_reward": "you apply the target once: at the fixed point V stands on "
        "both sides of the equation, which has to be solved",
        "gamma * step → step": "the discount γ is missing: the next value is one step away",
        "gamma * step → gamma * step.T": "your transition matrix is transposed: a row is the state where a step "
        "starts, a column the state where it leads",
        (_EVERY_STEP, _EVERY_REWARD): "you give every action the same weight: the weight of an action is how often the "
        "buffer holds it",
        (_FAVOURITE_STEP, _FAVOURITE_REWARD): "you take the action that the buffer holds most often, alone: the others "
        "count as often as it holds them",
        _EVERY_REWARD: "the transitions are weighted by the buffer's policy, the rewards are not",
        (_MEAN_STEP, _MEAN_REWARD): f"you average over the actions: {_ALREADY}",
        _MEAN_STEP: f"you average the transitions over the actions: {_ALREADY}",
        _MEAN_REWARD: f"you average the rewards over the actions: {_ALREADY}",
        _EVERY_STEP: "the rewards are weighted by the buffer's policy, the transitions are not",
        "- gamma * step → + gamma * step": "a sign is wrong: γPV is added to the mean reward, so it is subtracted on "
        "the other side of the equation",
        "step, mean_reward → step, gamma * mean_reward": "the reward is discounted too: only V(s′) comes one step "
        "later",
        "gamma * step → gamma * step / step.sum(-1, keepdim=True)": "you fill the rows up to 1: the missing part is "
        "the probability that the episode terminates",
        "torch.linalg.solve → reward + gamma * transition @ torch.linalg.solve": "this is a value for every action: V "
        "is its average over the stored actions of a state",
        "(buffer_policy * reward).sum(-1) → reward.sum(-1)": "the rewards of all actions are added up: the weight of a "
        "reward is how often the buffer holds its action",
        "return mean_reward - gamma * step @ mean_reward": "you multiply by I − γP where you should solve with it: "
        "(I − γP)V is the mean reward",
    },
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


def _observe_owners(function: Callable) -> Observations:
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


_WHY = {
    "the state s": "s was stored with a, by the same policy: β visited it, and π may never go there",
    "the action a": "the action in the buffer was drawn from β, when the transition was stored",
    "the reward r and the next state s′": "r and s′ answered the stored action, so they are as old as that action",
    "the V that the critic converges to": "the critic averages over the stored r and s′: it learns the value of the "
    "policy that wrote them",
    "the probability in ∇log π(a|s)": "the update changes the parameters of today's policy: its probability stands in "
    "the gradient, whichever policy chose a",
    "the action that ∇J asks for": "the policy gradient is an expectation over the actions of the policy that is being "
    "improved",
    "the value that ∇J asks for": "∇J weights an action by the return that follows when today's policy goes on from "
    "there",
}


def _but(*names: str) -> Callable:
    """Swap the letters of these quantities."""
    return lambda: {name: {"β": "π", "π": "β"}[own] if name in names else own for name, own in _OWNERS.items()}


def _explain_owners(seen: Observations, right: Observations) -> str:
    wrong = [name for name in _OWNERS if not same(seen, {name: right[name]})]
    return f"{len(wrong)} of 7 are wrong: {'; '.join(_WHY[name] for name in wrong)}"


owners = Exercise(
    "owners",
    doc="Check notebook 02's `my_owners()`, {quantity: 'β' or 'π'} of the naive update.",
    right=lambda: dict(_OWNERS),
    observe=_observe_owners,
    mistakes=[(_but(name), why) for name, why in _WHY.items()]
    + [(_but(*_OWNERS), "the two letters are swapped: β wrote the buffer, π is learning now")],
    explain=_explain_owners,
    praise="right: four are β's and three are π's. The update is wrong where ∇J asks for π's and the buffer holds β's",
)
