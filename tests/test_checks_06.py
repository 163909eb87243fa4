"""The checks of notebook 06, by mutation: wrong answers fail with their own words, right ones pass however written."""

import copy

import torch

from offac_lite.course import checks
from offac_lite.networks import DiscreteQCritic, TwinQCritic
from tests.exercises import Answers


@torch.no_grad()
def polyak_by_lerp(target, source, tau):
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.lerp_(new, tau)


def polyak_through_data(target, source, tau):
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.data = (1 - tau) * old.data + tau * new.data


def polyak_by_state(target, source, tau):
    new = source.state_dict()
    target.load_state_dict({name: (1 - tau) * old + tau * new[name] for name, old in target.state_dict().items()})


def deep_copy(critic):
    return copy.deepcopy(critic).requires_grad_(False)


def same_start(critic):
    target = copy.deepcopy(critic)
    for old, new in zip(target.parameters(), critic.parameters(), strict=True):
        old.data = new.detach().clone()
    return target


RIGHT = {
    checks.polyak_update: [polyak_by_lerp, polyak_through_data, polyak_by_state],
    checks.make_target: [deep_copy, same_start],
    checks.replays: [lambda u, b, n: u * b / n, lambda u, b, n: torch.tensor(u * b / n)],
}


def pairs(target, source):
    return zip(target.parameters(), source.parameters(), strict=True)


@torch.no_grad()
def swapped(target, source, tau):
    for old, new in pairs(target, source):
        old.lerp_(new, 1 - tau)


def rebound(target, source, tau):
    for old, new in pairs(target, source):
        old = (1 - tau) * old + tau * new


def nothing_done(target, source, tau):
    for _, _ in pairs(target, source):
        pass


def copy_without_return(critic):
    target = copy.deepcopy(critic)  # noqa: F841


def copied(target, source, tau):
    target.load_state_dict(source.state_dict())


@torch.no_grad()
def other_way(target, source, tau):
    for old, new in pairs(target, source):
        new.lerp_(old, tau)


@torch.no_grad()
def into_the_source(target, source, tau):
    for old, new in pairs(target, source):
        new.mul_(tau).add_((1 - tau) * old)


@torch.no_grad()
def added(target, source, tau):
    for old, new in pairs(target, source):
        old += tau * new


@torch.no_grad()
def shrunk(target, source, tau):
    for old, _ in pairs(target, source):
        old *= 1 - tau


@torch.no_grad()
def away(target, source, tau):
    for old, new in pairs(target, source):
        old += tau * (old - new)


@torch.no_grad()
def only_first(target, source, tau):
    for old, new in pairs(target, source):
        old.lerp_(new, tau)
        return


@torch.no_grad()
def both_moved(target, source, tau):
    for old, new in pairs(target, source):
        old.lerp_(new, tau)
        new.copy_(old)


def without_no_grad(target, source, tau):
    for old, new in pairs(target, source):
        old.mul_(1 - tau).add_(tau * new)


def frozen(critic):
    target = copy.deepcopy(critic)
    for p in critic.parameters():
        p.requires_grad = False
    return target


WRONG = [
    (checks.polyak_update, swapped, "τ and 1 − τ are swapped"),
    (checks.polyak_update, rebound, "keeps its old numbers"),
    (checks.polyak_update, nothing_done, "keeps its old numbers"),
    (checks.polyak_update, copied, "you copy the network, whatever τ is"),
    (checks.polyak_update, other_way, "towards its target"),
    (checks.polyak_update, into_the_source, "the source has changed"),
    (checks.polyak_update, added, "kept whole"),
    (checks.polyak_update, shrunk, "nothing of the network is added"),
    (checks.polyak_update, away, "the sign is flipped"),
    (checks.polyak_update, only_first, "some of the target's parameters move"),
    (checks.polyak_update, both_moved, "the network itself is changed too"),
    (checks.polyak_update, without_no_grad, "autograd watches the parameters"),
    (checks.make_target, lambda critic: critic, "under a second name: whatever"),
    (checks.make_target, copy_without_return, "^it returns nothing"),
    (checks.make_target, copy.copy, "shares its parameters"),
    (checks.make_target, frozen, "the critic itself has been frozen"),
    (checks.make_target, lambda critic: critic.requires_grad_(False), "and now the critic cannot learn"),
    (checks.make_target, lambda critic: critic.state_dict(), "returned a .*Dict; a network is wanted"),
    (
        checks.make_target,
        lambda critic: TwinQCritic(
            lambda n_seeds: DiscreteQCritic(2, 2, (3,), n_seeds=n_seeds, generator=torch.Generator()), 2
        ),
        "starts from other numbers",
    ),
    (checks.replays, lambda u, b, n: u * b, "n_envs is missing"),
    (checks.replays, lambda u, b, n: u * b * n, "n_envs must divide"),
    (checks.replays, lambda u, b, n: u / n, "size of the batch is missing"),
    (checks.replays, lambda u, b, n: b / n, "updates_per_step is missing"),
    (checks.replays, lambda u, b, n: n / u / b, "your fraction is inverted"),
    (checks.replays, lambda u, b, n: b / u / n, "must multiply"),
    (checks.replays, lambda u, b, n: (u * b) // n, "rounded down"),
    (checks.replays, lambda u, b, n: u, "this counts updates"),
]


class TestAnswers(Answers):
    NOTEBOOKS = ("06_off_policy_actor_critic.ipynb",)
    RIGHT, WRONG = RIGHT, WRONG
    REVEALING = ("lerp", "deepcopy", "copy_", "no_grad", "* b")
    ALSO = (checks.q_target, checks.leave_one_out, checks.resampled_loss)
