"""The exercises of notebook 06: right answers, what to observe, and the mistakes people make."""

import copy
import functools
from collections.abc import Callable

import torch

from offac_lite import updates
from offac_lite.course.checks.exercise import Exercise
from offac_lite.course.checks.observing import Observations, Observer, Refused, numbers, same, something, words_of
from offac_lite.course.checks.stub import empty, untouched
from offac_lite.networks import DiscreteQCritic, TwinQCritic, VCritic

__all__ = ["make_target", "polyak_update", "replays"]


def _critic(seed: int, n_seeds: int = 2) -> DiscreteQCritic:
    return DiscreteQCritic(2, 2, (3,), n_seeds=n_seeds, generator=torch.Generator().manual_seed(seed))


def _pair(seed: int) -> torch.nn.ModuleList:
    return torch.nn.ModuleList([_critic(seed), VCritic(2, (3,), generator=torch.Generator().manual_seed(seed + 10))])


def _numbers(network) -> torch.Tensor:
    if not isinstance(network, torch.nn.Module):
        raise Refused(f"your function returned a {type(network).__name__}; a network is wanted")
    if not list(network.parameters()):
        raise Refused(f"your function returned a {type(network).__name__}, which has no parameters")
    return torch.cat([p.detach().flatten().clone() for p in network.parameters()])


def _polyak_update(target, source, tau):
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.data = (1 - tau) * old.data + tau * new.data


def _one_polyak(function: Callable, tau: float, times: int) -> Observations:
    target, source = _pair(1), _pair(2)
    for _ in range(times):
        try:
            if function(target, source, tau) is Ellipsis:
                raise NotImplementedError
        except RuntimeError as error:
            if "leaf" in words_of(error):
                raise Refused(_WATCHED) from error
            raise
    seen = {"the target network": _numbers(target), "the network itself": _numbers(source)}
    return seen | {"what still learns of the network": torch.tensor([p.requires_grad for p in source.parameters()])}


_WATCHED = (
    "autograd watches the parameters, so PyTorch refuses to change them in place: let it look away during the update"
)


def _observe_polyak(function: Callable) -> Observations:
    if untouched(function, empty):
        raise NotImplementedError
    return _polyaks(function)


_polyaks = Observer(
    {"(τ = 0.1)": (0.1, 1), "(τ = 1)": (1.0, 1), "(τ = 0.5, two steps)": (0.5, 2)}, _one_polyak, probes=False
)


def _explain_polyak(seen: Observations, right: Observations) -> str | None:
    """Say how far each tensor of parameters moved, as a share of its way to the network's."""
    if any(not torch.equal(seen[f"the network itself {case}"], _numbers(_pair(2))) for case in _polyaks.cases):
        return "the network itself is changed too: it must learn from its loss alone"
    old, new, moved = _numbers(_pair(1)), _numbers(_pair(2)), {}
    for case in list(_polyaks.cases)[:2]:
        at = seen[f"the target network {case}"]
        share = ((at - old) / (new - old)).split([p.numel() for p in _pair(1).parameters()])
        if not all(torch.allclose(x, x[0], atol=1e-2) for x in share):
            return None
        moved[case] = [x[0].item() for x in share]
    (some, _), (all_, _) = ((m, 0) for m in moved.values())
    if max(some) - min(some) > 0.01:
        return "some of the target's parameters move, others stay or move otherwise: each has to move a fraction τ"
    if abs(some[0] - all_[0]) < 0.01:
        return f"each number of the target moves {some[0]:.3g} of its way, whatever τ is: it has to move a fraction τ"
    if abs(some[0] - 0.19) < 1e-3:
        return "each number of the target moves 0.19 of its way where τ = 0.1: the update is done twice in one call"
    return f"each number of the target moves {some[0]:.3g} of its way where τ = 0.1, and {all_[0]:.3g} where τ = 1"


polyak_update = Exercise(
    "polyak_update",
    doc="Check notebook 06's `my_polyak_update(target, source, tau)`, θ̄ ← (1 − τ) θ̄ + τ θ in place.",
    right=updates.polyak_update,
    plain=_polyak_update,
    observe=_observe_polyak,
    spoken={"old": "the target's number", "new": "the network's number"},
    explain=_explain_polyak,
    mistakes={
        "(1 - tau) * old.data + tau * → tau * old.data + (1 - tau) *": "τ and 1 − τ are swapped: with a small τ your "
        "target network follows nearly at once",
        "(1 - tau) * old.data + tau * → 1.0 *": "you copy the network, whatever τ is: each number of the target moves "
        "only a fraction τ of the way",
        "old.data = → unused =": "the target network keeps its old numbers: if you computed new tensors, they were "
        "never stored in its parameters",
        "old, new in → new, old in": "you move the network towards its target: the target has to move",
        "old.data = → new.data =": "the correct numbers are stored in the wrong network: the source has changed, and "
        "the target has not",
        "(1 - tau) * →": "the old numbers are kept whole and the new ones added: multiply the old numbers by 1 − τ "
        "first",
        "+ tau * new.data →": "the old numbers shrink, and nothing of the network is added",
        ("1 - tau → 1 + tau", "+ tau * new → - tau * new"): "the sign is flipped: the target moves away from the "
        "network",
        "old.data = → new.data = old.data =": "the network itself is changed too: it must learn from its loss alone",
    },
    praise="right: every parameter of the target moves a fraction τ of its way, in place",
)


def _make_target(critic):
    return copy.deepcopy(critic)


def _planted_make_target(critic):
    target_critic = critic
    return target_critic


def _observe_make_target(function: Callable) -> Observations:
    critic = TwinQCritic(functools.partial(_critic, 1), 2)  # as in the notebook
    target = something(function(critic))
    seen = {
        "the target network at first": _numbers(target),
        "whether the two names stand for one object": torch.tensor(target is critic),
    }
    for p in critic.parameters():
        p.data += 1.0
    return seen | {
        "the target network after the critic has learned": _numbers(target),
        "whether the critic can still learn": torch.tensor([p.requires_grad for p in critic.parameters()]),
    }


def _explain_make_target(seen: Observations, right: Observations) -> str | None:
    """Say that the target starts, or ends, with other numbers than it should."""
    first, later = (f"the target network {when}" for when in ("at first", "after the critic has learned"))
    if not same(seen, {first: right[first]}):
        return "the target network starts from other numbers than the critic"
    if not same(seen, {later: right[later]}):
        return "some parameters are shared with the critic: what the critic learns changes y at once"
    return None


make_target = Exercise(
    "make_target",
    doc="Check notebook 06's `my_make_target(critic)`: a target network that starts as the critic's equal.",
    right=_make_target,
    observe=_observe_make_target,
    explain=_explain_make_target,
    mistakes={
        _planted_make_target: "the target network *is* the critic, under a second name: whatever the critic learns "
        "changes y at once",
        "copy.deepcopy → copy.copy": "this makes a new shell that shares its parameters with the critic: whatever the "
        "critic learns changes y at once",
        "return (copy.deepcopy(critic), critic.requires_grad_(False))[0]": "the critic itself has been frozen: it "
        "cannot learn any more",
        "return critic.requires_grad_(False)": "the target network *is* the critic, under a second name, and now the "
        "critic cannot learn any more",
    },
    praise="right: a separate network, which starts with the critic's numbers",
    planted=_planted_make_target,
)


def _replays(updates_per_step, batch_size, n_envs):
    return updates_per_step * batch_size / n_envs


replays = Exercise(
    "replays",
    doc="Check notebook 06's `my_replays(updates_per_step, batch_size, n_envs)`: replays per transition.",
    right=_replays,
    observe=numbers([(1, 128, 8), (4, 128, 8), (2, 100, 3), (3, 32, 1), (1 / 8, 64, 8), (0.5, 4, 8)], "the number"),
    mistakes={
        "/ n_envs →": "n_envs is missing: one step of the loop collects n_envs transitions, not one",
        "/ n_envs → * n_envs": "more environments collect more, so they lower the number: n_envs must divide",
        "* batch_size →": "the size of the batch is missing: this is the replay ratio, gradient updates per step; "
        "here every update replays a whole batch",
        "updates_per_step * →": "updates_per_step is missing: each of the updates replays a batch of its own",
        "return n_envs / (updates_per_step * batch_size)": "your fraction is inverted: it counts transitions collected "
        "for each one replayed",
        "return batch_size / (updates_per_step * n_envs)": "more updates replay more: updates_per_step must multiply",
        "/ n_envs → // n_envs": "the number need not be whole: yours is rounded down",
        "return updates_per_step": "this counts updates: wanted are transitions, replayed for each one collected",
    },
    praise="right: this is how often each transition is used, on average, before training ends",
)
