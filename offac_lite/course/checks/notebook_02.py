"""The exercises of notebook 02: right answers, what to observe, and the mistakes people make."""

from collections.abc import Callable

import torch

from offac_lite.course.checks.exercise import Exercise, Observations, Refused, observer, something
from offac_lite.exact import replay_bias

__all__ = ["buffer_policy", "naive_fixed_point", "old_share", "owners"]


def _old_share(n_updates, older_than, per_update, capacity):
    stored = min(n_updates * per_update, capacity)
    return max(0.0, 1 - older_than * per_update / stored)


old_share = Exercise(
    "old_share",
    doc="Check notebook 02's `my_old_share(n_updates, older_than, per_update, capacity)`.",
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
        "return 1 - older_than / n_updates": "you forget the capacity, and where no transition is that old, your share "
        "becomes negative",
        "return max(0.0, (n_updates - older_than) * per_update / stored)": "you count old transitions that the buffer "
        "has overwritten: the share can come out above 1",
        "return 1 - older_than * per_update / capacity": "you divide by the capacity even while the buffer is not full "
        "yet, and where no transition is that old, your share becomes negative",
        "max( → 100 * max(": "a share lies between 0 and 1, and yours is in percent",
    },
    praise="right: in a long run nearly everything in a batch is old, unless the buffer is small",
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
        "visits[..., None] → 1 / visits[..., None]": "your weights are inverted: a writer that visits a state more "
        "often counts less there",
        "(weight * probs).sum(0) → (weight * probs).mean(0)": "you divide by the number of writers too: in each state "
        "the probabilities have to add up to 1",
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


_TRANSITION = torch.tensor(  # three states in which the episode may end, two actions
    [[[0.1, 0.5, 0.2], [0.5, 0.2, 0.3]], [[0.0, 0.2, 0.1], [0.6, 0.1, 0.1]], [[0.3, 0.0, 0.6], [0.1, 0.4, 0.2]]],
    dtype=torch.float64,
)
_LASTING = 0.96 * _TRANSITION / _TRANSITION.sum(-1, keepdim=True)  # an episode goes on with probability 0.96
_REWARD = torch.tensor([[1.0, 0.0], [-0.5, 2.0], [0.5, -1.0]], dtype=torch.float64)
_POLICY = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]], dtype=torch.float64)
_points = observer(
    {
        "": (_TRANSITION, _REWARD, _POLICY, 0.9),
        "with another discount": (_TRANSITION, _REWARD, _POLICY, 0.5),
        "where episodes are long": (_LASTING, _REWARD, _POLICY, 0.99),
    },
    "the fixed point",
)


def _observe_points(function: Callable) -> Observations:
    try:
        seen = _points(function)
    except RuntimeError as error:
        if error.args:  # else it is the NotImplementedError of a stub
            shapes = "here transition is (S, A, S) = (3, 2, 3), reward and buffer_policy (S, A) = (3, 2)"
            error.args = (f"{error} ({shapes}; a mean over the actions takes away the axis A alone)",)
        raise
    right_dtype = seen["the fixed point"].dtype == _REWARD.dtype
    return seen | {"its dtype (that of the rewards is wanted)": torch.tensor(right_dtype)}


def _rounds(number: int, best: bool = False) -> Callable:
    """TD's mean step, V ← mean target, done only so often; or the step to the best action's target."""

    def iterate(transition, reward, buffer_policy, gamma):
        value = torch.zeros_like(reward[:, 0])
        for _ in range(number):
            target = reward + gamma * transition @ value
            value = target.amax(-1) if best else (buffer_policy * target).sum(-1)
        return value

    return iterate


_EVERY_STEP = 'torch.einsum("sa,sat->st", buffer_policy, transition) → transition.mean(1)'
_EVERY_REWARD = "(buffer_policy * reward).sum(-1) → reward.mean(-1)"
naive_fixed_point = Exercise(
    "naive_fixed_point",
    doc="Check notebook 02's `my_naive_fixed_point(transition, reward, buffer_policy, gamma)`, V = Σ_a β̄ (r + γPV).",
    right=_fixed_point,
    observe=_observe_points,
    mistakes={
        "return mean_reward": "this is the mean reward of one step: the fixed point contains γV(s′) as well",
        "return mean_reward + gamma * step @ mean_reward": "you apply the target once: at the fixed point V stands on "
        "both sides of the equation, which has to be solved",
        "gamma * step → step": "the discount γ is missing: the next value is one step away",
        "gamma * step → gamma * step.T": "your transition matrix is transposed: a row is the state where a step "
        "starts, a column the state where it leads",
        _rounds(2000, best=True): "this is the value of the best policy: a V-critic averages over the stored actions "
        "and takes no maximum",
        (_EVERY_STEP, _EVERY_REWARD): "you give every action the same weight: the weight of an action is how often the "
        "buffer holds it",
        _EVERY_REWARD: "the transitions are weighted by the buffer's policy, the rewards are not",
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
        "step, mean_reward) → step, mean_reward).float()": "the numbers are correct, but in single precision: keep the "
        "dtype of the rewards",
        **{
            _rounds(number): "you stop iterating too early: where episodes are long, V is still changing"
            for number in (5, 10, 15, 20, 25, 30, 40, 50, 60, 75, 80, 100, 120, 150)
        },
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


def _but(*numbers: int) -> Callable:
    """Swap the letters of the quantities with these numbers, counted from 0."""
    swap = {"β": "π", "π": "β"}
    return lambda: {name: swap[own] if i in numbers else own for i, (name, own) in enumerate(_OWNERS.items())}


owners = Exercise(
    "owners",
    doc="Check notebook 02's `my_owners()`, {quantity: 'β' or 'π'} of the naive update.",
    right=lambda: dict(_OWNERS),
    observe=_observe_owners,
    mistakes={
        _but(0): "s was stored with a, by the same policy: β visited it, and π may never go there",
        _but(0, 3): "s was stored with a, by the same policy. And the critic learns the value of the policy that wrote "
        "its data",
        _but(0, 1): "s and a come out of the buffer together with r and s′: the same policy wrote all four",
        _but(1): "the action in the buffer was drawn from β, when the transition was stored",
        _but(2): "r and s′ answered the stored action, so they are as old as that action",
        _but(3): "the critic averages over the stored r and s′: it learns the value of the policy that wrote them",
        _but(4): "the update changes the parameters of today's policy: its probability stands in the gradient, "
        "whichever policy chose a",
        _but(5): "the policy gradient is an expectation over the actions of the policy that is being improved",
        _but(6): "∇J weights an action by the return that follows when today's policy goes on from there",
        _but(1, 2): "all that was stored is β's: the action, and the r and s′ that answered it",
        _but(5, 6): "you describe what the update gets, not what ∇J asks for: J is the return of today's policy, and "
        "its gradient contains the actions and values of today's policy",
        _but(*range(7)): "the two letters are swapped: β wrote the buffer, π is learning now",
    },
    praise="right: four are β's and three are π's. The update is wrong where ∇J asks for π's and the buffer holds β's",
)
