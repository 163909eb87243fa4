"""The exercises of notebook 06: right answers, what to look at, and the mistakes people make."""

import copy
from collections.abc import Callable

import torch

from offac_lite import updates
from offac_lite.course.checks.exercise import Exercise, Refused, empty, something, to_tensor, untouched
from offac_lite.networks import DiscreteQCritic, VCritic

__all__ = ["make_target", "polyak_update", "replay_ratio"]


def _critic(seed: int) -> DiscreteQCritic:
    return DiscreteQCritic(2, 2, (3,), n_seeds=2, generator=torch.Generator().manual_seed(seed))


def _numbers(network) -> torch.Tensor:
    if not isinstance(network, torch.nn.Module):
        raise Refused(f"your function returned a {type(network).__name__}; a network is wanted")
    return torch.cat([p.detach().flatten().clone() for p in network.parameters()])


class _Pair(torch.nn.Module):
    """A network of two tensors, so that one who updates only the first is found out."""

    def __init__(self, seed: int):
        super().__init__()
        self.one, self.two = _critic(seed), VCritic(2, (3,), generator=torch.Generator().manual_seed(seed + 10))


def _observe_polyak(function: Callable) -> dict[str, torch.Tensor]:
    if untouched(function, empty):
        raise NotImplementedError
    seen = {}
    for tau in (0.1, 1.0):
        target, source = _Pair(1), _Pair(2)
        if function(target, source, tau) is Ellipsis:
            raise NotImplementedError
        seen[f"the target network (τ = {tau:g})"] = _numbers(target)
        seen[f"the network itself (τ = {tau:g})"] = _numbers(source)
    function(target, source, 0.5)
    seen["the target network after one more step"] = _numbers(target)
    return seen


def _each(change: Callable) -> Callable:
    @torch.no_grad()
    def mistake(target, source, tau):
        for old, new in zip(target.parameters(), source.parameters(), strict=True):
            change(old, new, tau)

    return mistake


@torch.no_grad()
def _first_only(target, source, tau):
    old, new = next(target.parameters()), next(source.parameters())
    old.copy_((1 - tau) * old + tau * new)


polyak_update = Exercise(
    "polyak_update",
    doc="Check notebook 06's `my_polyak_update(target, source, tau)`, θ̄ ← (1 − τ) θ̄ + τ θ in place.",
    right=updates.polyak_update,
    observe=_observe_polyak,
    mistakes=[
        (
            _each(lambda old, new, tau: old.copy_(tau * old + (1 - tau) * new)),
            "τ and 1 − τ are swapped: your target network follows nearly at once, and holds still only where τ = 1",
        ),
        (
            _each(lambda old, new, tau: old.copy_(new)),
            "you copy the network whatever τ says: the target would jump, not follow",
        ),
        (
            _each(lambda old, new, tau: None),
            "the target network keeps its old numbers: new tensors were made, perhaps, but they never came into it",
        ),
        (
            _each(lambda old, new, tau: new.copy_((1 - tau) * new + tau * old)),
            "you move the network towards its target; it is the target that has to follow",
        ),
        (
            _each(lambda old, new, tau: new.copy_((1 - tau) * old + tau * new)),
            "the right numbers arrive in the wrong network: the source has changed, and the target has not",
        ),
        (
            _each(lambda old, new, tau: old.add_(tau * new)),
            "the old numbers are kept whole and the new ones added: they have to shrink by 1 − τ first",
        ),
        (_each(lambda old, new, tau: old.mul_(1 - tau)), "the old numbers shrink, and nothing of the network is added"),
        (
            _each(lambda old, new, tau: old.copy_(old - tau * (new - old))),
            "the sign is flipped: the target runs away from the network",
        ),
        (_first_only, "you update the first tensor of parameters and leave the others behind"),
        (
            _each(lambda old, new, tau: (old.lerp_(new, tau), new.copy_(old))),
            "the network itself is changed too: it must learn from its loss alone",
        ),
    ],
    praise="right: every parameter of the target moves the share τ of its way, in place",
)


def _observe_make_target(function: Callable) -> dict[str, torch.Tensor]:
    critic = _critic(1)
    target = something(function(critic))
    seen = {"the target network at first": _numbers(target)}
    seen["whether the two names stand for one object"] = torch.tensor(float(target is critic))
    with torch.no_grad():
        for p in critic.parameters():
            p.add_(1.0)
    seen["the target network after the critic has learned"] = _numbers(target)
    seen["whether the critic can still learn"] = torch.tensor([p.requires_grad for p in critic.parameters()]).double()
    return seen


def _planted_make_target(critic):
    target_critic = critic
    return target_critic


def _frozen(critic):
    target = copy.deepcopy(critic)
    critic.requires_grad_(False)
    return target


def _other_start(critic):
    return _critic(5)


make_target = Exercise(
    "make_target",
    doc="Check notebook 06's `my_make_target(critic)`: a target network that starts as the critic's equal.",
    right=copy.deepcopy,
    observe=_observe_make_target,
    mistakes=[
        (
            _planted_make_target,
            "the target network *is* the critic, under a second name: whatever the critic learns is in y at once",
        ),
        (
            copy.copy,
            "this makes a new shell that shares its parameters with the critic: whatever the critic learns is in y at "
            "once",
        ),
        (_frozen, "the critic itself has been frozen: it cannot learn any more"),
        (_other_start, "the target network starts from other numbers than the critic"),
        (
            lambda critic: critic.requires_grad_(False),
            "the target network is the critic under a second name, and now neither of them can learn",
        ),
    ],
    praise="right: a network of its own, which starts as the critic's equal",
    planted=_planted_make_target,
)


def _replay_ratio(updates_per_step, batch_size, n_envs):
    return updates_per_step * batch_size / n_envs


def _observe_replay_ratio(function: Callable) -> dict[str, torch.Tensor]:
    cases = [(1, 128, 8), (4, 128, 8), (2, 100, 3), (1, 64, 16), (3, 32, 1)]
    return {"the replay ratio": torch.stack([to_tensor(function(*c)).double().reshape(()) for c in cases])}


replay_ratio = Exercise(
    "replay_ratio",
    doc="Check notebook 06's `my_replay_ratio(updates_per_step, batch_size, n_envs)`: replayed over collected.",
    right=_replay_ratio,
    observe=_observe_replay_ratio,
    mistakes=[
        (lambda u, b, n: u * b, "n_envs is missing: one step of the loop collects that many transitions, not one"),
        (lambda u, b, n: u * b * n, "more environments collect more, so they lower the ratio: n_envs must divide"),
        (lambda u, b, n: u / n, "the size of the batch is missing: every update replays a whole batch"),
        (lambda u, b, n: b / n, "updates_per_step is missing: each of the updates replays a batch of its own"),
        (lambda u, b, n: n / (u * b), "this is the other way round: transitions collected for each one replayed"),
        (lambda u, b, n: b / (u * n), "more updates replay more: updates_per_step must multiply"),
        (lambda u, b, n: u * b // n * 1.0, "the ratio need not be a whole number: yours is rounded down"),
        (lambda u, b, n: u, "this counts updates, and the ratio counts transitions: replayed over collected"),
    ],
    praise="right: so many times is each transition used, on average, before training ends",
)
