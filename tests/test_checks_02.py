"""The checks of notebook 02, by mutation: wrong answers fail with their own words, right ones pass however written."""

import torch

from offac_lite.course import checks
from tests.exercises import Answers

NAMES = list(checks.owners.right())

# ------------------------------------------------------------------ right answers, each in more than one way


def old_share_by_counting(n_updates, older_than, per_update, capacity):
    rounds = [round_ for round_ in range(n_updates) for _ in range(per_update)]
    kept = rounds[-capacity:]
    return sum(round_ < n_updates - older_than for round_ in kept) / len(kept)


def old_share_with_tensors(n_updates, older_than, per_update, capacity):
    stored = torch.tensor(float(n_updates * per_update)).clamp_max(capacity)
    return (1 - older_than * per_update / stored).clamp_min(0)


def buffer_policy_by_einsum(probs, visits):
    joint = torch.einsum("ns,nsa->sa", visits, probs)
    return joint / joint.sum(-1, keepdim=True)


def buffer_policy_in_loops(probs, visits):
    mixed = torch.zeros_like(probs[0])
    for writer in range(len(probs)):
        for state in range(probs.shape[1]):
            mixed[state] += visits[writer, state] / visits[:, state].sum() * probs[writer, state]
    return mixed


def fixed_point_by_iteration(transition, reward, buffer_policy, gamma):
    value = torch.zeros(len(reward), dtype=reward.dtype)
    for _ in range(300):
        value = (buffer_policy * (reward + gamma * transition @ value)).sum(-1)
    return value


def fixed_point_by_inverse(transition, reward, buffer_policy, gamma):
    step = torch.einsum("sa,sat->st", buffer_policy, transition)
    return (torch.eye(len(step)) - gamma * step).inverse() @ (buffer_policy * reward).sum(1)


def owners_in_words():
    return dict(zip(NAMES, ["beta"] * 4 + ["pi"] * 3, strict=True))


def owners_in_capitals():
    return {name: "B" if i < 4 else " π " for i, name in enumerate(NAMES)}


RIGHT = {
    checks.old_share: [old_share_by_counting, old_share_with_tensors],
    checks.ring_rows: [
        lambda n, new, cap: torch.tensor([(n + i) % cap for i in range(new)]),
        lambda n, new, cap: torch.arange(n, n + new).remainder(cap),
        lambda n, new, cap: torch.arange(cap).roll(-(n % cap))[:new],
    ],
    checks.buffer_policy: [buffer_policy_by_einsum, buffer_policy_in_loops],
    checks.naive_fixed_point: [fixed_point_by_iteration, fixed_point_by_inverse],
    checks.owners: [owners_in_words, owners_in_capitals],
}


# --------------------------------------------------------------------- wrong answers, and what must be said


def share(variant):
    def my_old_share(n_updates, older_than, per_update, capacity):
        stored = min(n_updates * per_update, capacity)
        young = min(older_than * per_update, stored)
        return {
            "no capacity": lambda: 1 - min(older_than, n_updates) / n_updates,
            "no capacity, negative": lambda: (n_updates - older_than) / n_updates,
            "young": lambda: young / stored,
            "negative": lambda: 1 - older_than * per_update / stored,
            "count": lambda: stored - young,
            "updates": lambda: 1 - min(older_than / stored, 1),
            "over capacity": lambda: max(0, capacity - older_than * per_update) / capacity,
            "mixed units": lambda: max(0, 1 - older_than / min(n_updates, capacity)),
            "of all": lambda: (stored - young) / (n_updates * per_update),
            "overwritten": lambda: max(0, (n_updates - older_than) * per_update) / stored,
            "capacity, negative": lambda: 1 - older_than * per_update / capacity,
            "percent": lambda: round(100 * (stored - young) / stored, 3),
            "integers": lambda: (stored - young) // stored,
        }[variant]()

    return my_old_share


def mixed(variant):
    def my_buffer_policy(probs, visits):
        weight = visits.unsqueeze(-1)
        if variant == "plain":
            return probs.sum(0) / len(probs)
        if variant == "no axis":
            return (visits * probs).sum(0) / visits.sum(0)
        if variant == "no axis below":
            return (weight * probs).sum(0) / visits.sum(0)
        if variant == "not normalised":
            return (weight * probs).sum(0)
        if variant == "mean":
            return (weight * probs).mean(0)
        if variant == "all states":
            return (weight * probs).sum(0) / weight.sum()
        if variant == "one weight":
            share = visits.sum(1) / visits.sum()
            return torch.einsum("n,nsa->sa", share, probs)
        if variant == "rows":
            return (probs * (visits / visits.sum(1, keepdim=True)).unsqueeze(-1)).sum(0)
        if variant == "equally long":
            weight = (visits / visits.sum(1, keepdim=True)).unsqueeze(-1)
            return (probs * weight).sum(0) / weight.sum(0)
        if variant == "over states":
            return (probs * weight).sum(0) / (probs * weight).sum((0, 1))
        if variant == "softmax of counts":
            return (weight * probs).sum(0).softmax(-1)
        if variant == "softmax of means":
            return (weight * probs).mean(0).softmax(-1)
        if variant == "winner":
            return probs[visits.argmax(0), torch.arange(probs.shape[1])]
        if variant == "logarithms":
            product = ((weight / weight.sum(0)) * probs.log()).sum(0).exp()
            return product / product.sum(-1, keepdim=True)
        if variant == "reciprocal":
            return (probs / weight).sum(0) / (1 / weight).sum(0)
        if variant == "mean over sum":
            return (probs * weight).mean(0) / weight.sum(0)
        if variant == "softmax":
            return torch.einsum("ns,nsa->sa", visits.softmax(0), probs)
        if variant == "in place":
            probs *= weight
            return probs.sum(0) / weight.sum(0)
        if variant == "broadcast":
            return visits * probs
        raise AssertionError(variant)

    return my_buffer_policy


def point(variant):
    def my_naive_fixed_point(transition, reward, buffer_policy, gamma):
        eye = torch.eye(len(reward), dtype=reward.dtype)
        r = (buffer_policy * reward).sum(-1)
        p = torch.einsum("sa,sat->st", buffer_policy, transition)
        if variant == "reward":
            return r
        if variant == "once":
            return r + gamma * p @ r
        if variant == "no discount":
            return torch.linalg.solve(eye - p, r)
        if variant == "transposed":
            return torch.linalg.solve(eye - gamma * p.T, r)
        if variant == "best":
            value = torch.zeros_like(r)
            for _ in range(500):
                value = torch.max(reward + gamma * transition @ value, dim=-1).values
            return value
        if variant == "uniform":
            return torch.linalg.solve(eye - gamma * transition.mean(1), reward.mean(1))
        if variant in ("mean", "mean reward", "mean step"):
            step = (buffer_policy[..., None] * transition).mean(1) if variant != "mean reward" else p
            mean_reward = (buffer_policy * reward).mean(1) if variant != "mean step" else r
            return torch.linalg.solve(eye - gamma * step, mean_reward)
        if variant == "plain reward":
            return torch.linalg.solve(eye - gamma * p, reward.mean(1))
        if variant == "plain step":
            return torch.linalg.solve(eye - gamma * transition.mean(1), r)
        if variant == "multiplied":
            return (eye - gamma * p) @ r
        if variant == "sign":
            return torch.linalg.solve(eye + gamma * p, r)
        if variant == "late reward":
            return torch.linalg.solve(eye - gamma * p, gamma * r)
        if variant == "filled":
            return torch.linalg.solve(eye - gamma * p / p.sum(1, keepdim=True), r)
        if variant == "q":
            return reward + gamma * transition @ torch.linalg.solve(eye - gamma * p, r)
        if variant == "favourite":
            states, a = torch.arange(len(reward)), buffer_policy.argmax(-1)
            return torch.linalg.solve(eye - gamma * transition[states, a], reward[states, a])
        if variant == "reward added up":
            return torch.linalg.solve(eye - gamma * p, reward.sum(1))
        if variant == "single precision":
            return torch.linalg.solve((eye - gamma * p).float(), r.float())
        if variant == "sign and precision":
            return torch.linalg.solve(eye + gamma * p, r).float()
        if isinstance(variant, int):
            value = torch.zeros_like(r)
            for _ in range(variant):
                value = r + gamma * p @ value
            return value
        if variant == "no new axis":
            p = (buffer_policy * transition).sum(1)
        if variant == "last axis":
            p = (buffer_policy.unsqueeze(-1) * transition).sum(-1)
        if variant == "first axis":
            p = (buffer_policy.unsqueeze(-1) * transition).sum(0)
        if variant == "reward, first axis":
            r = (buffer_policy * reward).sum(0)
        if variant in ("no new axis", "last axis", "first axis", "reward, first axis"):
            return (eye - gamma * p).inverse() @ r
        if variant == "summed":
            return torch.linalg.solve(eye - gamma * p, r).sum()
        raise AssertionError(variant)

    return my_naive_fixed_point


def marked(*wrong, **unlike):
    def my_owners():
        answers = dict(checks.owners.right())
        for number in wrong:
            answers[NAMES[number]] = {"β": "π", "π": "β"}[answers[NAMES[number]]]
        return answers | unlike

    return my_owners


def owners_without_return():
    answers = dict.fromkeys(NAMES, "β")  # noqa: F841


WRONG = [
    (checks.ring_rows, lambda n, new, cap: torch.arange(n, n + new), "past the end of the memory"),
    (checks.ring_rows, lambda n, new, cap: torch.arange(n, n + new).clamp(max=cap - 1), "you stay in the last row"),
    (checks.ring_rows, lambda n, new, cap: torch.arange(new), "n_added is missing"),
    (
        checks.ring_rows,
        lambda n, new, cap: torch.arange(new) + (n % cap if n % cap + new <= cap else 0),
        "you move all of them to the front",
    ),
    (checks.ring_rows, lambda n, new, cap: cap - new + torch.arange(new), "these are the last rows"),
    (checks.ring_rows, lambda n, new, cap: torch.full((new,), n % cap), "all new transitions go to one row"),
    (checks.ring_rows, lambda n, new, cap: (n - 1 - torch.arange(new)) % cap, "you overwrite the newest"),
    (checks.ring_rows, lambda n, new, cap: (n + 1 + torch.arange(new)) % cap, "one too (large|small)"),
    (checks.ring_rows, lambda n, new, cap: (n + torch.arange(new)) % (cap - 1), "capacity is one too small|stops"),
    (checks.ring_rows, lambda n, new, cap: (n + torch.arange(new)) % new, "n_new stands where capacity belongs"),
    (checks.ring_rows, lambda n, new, cap: (n + torch.arange(new)) / 1 % cap, "float32, and int64 is wanted"),
    (checks.ring_rows, lambda n, new, cap: n % cap, "has shape"),
    (checks.ring_rows, lambda n, new, cap: (n * new + torch.arange(new)) % cap, "counts transitions already"),
    (
        checks.ring_rows,
        lambda n, new, cap: (min(n, cap) + torch.arange(new)) % cap,
        "once the buffer is full you begin at row 0",
    ),
    (checks.ring_rows, lambda n, new, cap: (n + torch.arange(new)) // cap, "the quotient stands for the remainder"),
    (checks.ring_rows, lambda n, new, cap: torch.linspace(n, n + new, new) % cap, "yours is 4.333 where 4 is wanted"),
    (checks.old_share, share("no capacity"), "forget the capacity: a full"),
    (checks.old_share, share("no capacity, negative"), "^you forget the capacity, and where no"),
    (checks.old_share, share("young"), "the share of the young transitions"),
    (checks.old_share, share("negative"), "the share is 0: yours becomes negative"),
    (checks.old_share, share("count"), "this is the number of older transitions"),
    (checks.old_share, share("updates"), "take updates for transitions"),
    (checks.old_share, share("over capacity"), "while the buffer is not full yet$"),
    (checks.old_share, share("mixed units"), "same unit"),
    (checks.old_share, share("of all"), "all that was ever collected"),
    (checks.old_share, share("overwritten"), "that the buffer has overwritten"),
    (checks.old_share, share("capacity, negative"), "while the buffer is not full yet, .* becomes negative"),
    (checks.old_share, share("percent"), "in percent"),
    (checks.old_share, share("integers"), "^every number is 0: is it rounded down"),
    (
        checks.old_share,
        lambda n, old, per, cap: old / n,
        "the share of young transitions in a buffer that holds everything",
    ),
    (checks.old_share, lambda n: n, "it stops with TypeError"),
    (checks.buffer_policy, mixed("plain"), "every writer counts the same"),
    (checks.buffer_policy, mixed("not normalised"), "add up to 1$"),
    (checks.buffer_policy, mixed("mean"), "a mean over the writers does not"),
    (checks.buffer_policy, mixed("all states"), "visits to all states together"),
    (checks.buffer_policy, mixed("one weight"), "the same in every state: it should be"),
    (checks.buffer_policy, mixed("rows"), "each writer's total over the states"),
    (checks.buffer_policy, mixed("equally long"), "equally many episodes"),
    (checks.buffer_policy, mixed("winner"), "only the most frequent visitor"),
    (checks.buffer_policy, mixed("over states"), "add up to 1 over the states, for each action"),
    (checks.buffer_policy, mixed("softmax of counts"), "a softmax of counts"),
    (checks.buffer_policy, mixed("softmax of means"), "a softmax of counts"),
    (checks.buffer_policy, mixed("logarithms"), "average the log-probabilities"),
    (checks.buffer_policy, mixed("reciprocal"), "your weights are inverted"),
    (checks.buffer_policy, mixed("mean over sum"), "divide by the number of writers too"),
    (checks.buffer_policy, mixed("softmax"), "the softmax of the visits"),
    (checks.buffer_policy, mixed("in place"), "changes one of its arguments in place"),
    (checks.buffer_policy, mixed("broadcast"), "it stops with RuntimeError"),
    (checks.buffer_policy, mixed("no axis"), "the weights have no axis for the actions"),
    (checks.buffer_policy, mixed("no axis below"), "is an axis of length 1 missing in one of them"),
    (checks.naive_fixed_point, point("reward"), "the mean reward of one step"),
    (checks.naive_fixed_point, point("once"), "you apply the target once"),
    (checks.naive_fixed_point, point("no discount"), "the discount γ is missing"),
    (checks.naive_fixed_point, point("transposed"), "transposed"),
    (checks.naive_fixed_point, point("best"), "the best policy"),
    (checks.naive_fixed_point, point("uniform"), "every action the same weight"),
    (
        checks.naive_fixed_point,
        point("mean"),
        "you average over the actions: β̄ already is the weight of an action",
    ),
    (checks.naive_fixed_point, point("mean reward"), "you average the rewards over the actions"),
    (checks.naive_fixed_point, point("mean step"), "you average the transitions over the actions"),
    (checks.naive_fixed_point, point("favourite"), "the action that the buffer holds most often, alone"),
    (checks.naive_fixed_point, point("plain reward"), "the rewards are not"),
    (checks.naive_fixed_point, point("plain step"), "the transitions are not"),
    (checks.naive_fixed_point, point("sign"), "a sign is wrong"),
    (checks.naive_fixed_point, point("late reward"), "the reward is discounted too"),
    (checks.naive_fixed_point, point("filled"), "fill the rows up to 1"),
    (checks.naive_fixed_point, point("q"), "a value for every action"),
    (checks.naive_fixed_point, point("reward added up"), "rewards of all actions are added up"),
    (checks.naive_fixed_point, point("single precision"), "float32, and float64 is wanted"),
    (checks.naive_fixed_point, point("sign and precision"), "a sign is wrong"),
    *[(checks.naive_fixed_point, point(rounds), "you stop iterating too early") for rounds in (10, 20, 30, 50, 100)],
    (checks.naive_fixed_point, point(70), "you stop iterating too early"),
    (checks.naive_fixed_point, point("multiplied"), "you multiply by I − γP where you should solve"),
    *[
        (checks.naive_fixed_point, point(variant), r"In the first case transition is \(4, 3, 4\)")
        for variant in ("no new axis", "last axis", "first axis", "reward, first axis")
    ],
    (checks.naive_fixed_point, point("summed"), r"has shape \(\), and \(4,\) is wanted"),
    (checks.owners, marked(0), "s was stored with a, by the same policy: β"),
    (checks.owners, marked(0, 3), "by the same policy: .*the critic averages"),
    (checks.owners, marked(0, 1), "β visited it.* drawn from β"),
    (checks.owners, marked(1), "the action in the buffer was drawn"),
    (checks.owners, marked(2), "answered the stored action"),
    (checks.owners, marked(3), "the policy that wrote them"),
    (checks.owners, marked(4), "its probability stands in the gradient"),
    (checks.owners, marked(5), "is being improved"),
    (checks.owners, marked(6), "goes on from there"),
    (checks.owners, marked(1, 2), "drawn from β.* they are as old"),
    (checks.owners, marked(5, 6), "2 of 7 are wrong: the policy gradient is an expectation"),
    (checks.owners, marked(*range(7)), "the two letters are swapped"),
    (checks.owners, marked(0, 4), "2 of 7 are wrong: s was stored"),
    (checks.owners, marked(**{"the state s": "?"}), r"you say '\?' for the state s"),
    (checks.owners, lambda: {"the state s": "β"}, "the action a is missing"),
    (checks.owners, owners_without_return, "^it returns nothing"),
    (checks.owners, lambda: "β" * 7, "returned a str; a dictionary is wanted"),
]


class TestAnswers(Answers):
    NOTEBOOKS = ("02_replay_breaks_it.ipynb", "further/stability.ipynb")
    RIGHT, WRONG = RIGHT, WRONG
    REVEALING = ("min(", "max(", ".sum(", "einsum", "linalg", "solve(")
