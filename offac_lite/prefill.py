"""Old data to start from: what the option `prefill` of a training may be, and how it gets into the buffer."""

import math
from collections.abc import Mapping, Sequence

import torch

from offac_lite import _check
from offac_lite.buffer import ReplayBuffer
from offac_lite.envs import VectorEnv
from offac_lite.networks import Categorical
from offac_lite.play import fill


def settle(config: dict, spaces: Mapping) -> int:
    """Check `config["prefill"]`, settle its form in place, and return how many transitions each seed will have of it.

    Raises `TypeError` or `ValueError` for old data that the run of `config`, in an environment of `spaces` (see
    `config.describe`), could not use.

    >>> config = {"prefill": ((0.25, 0.75), 500)}
    >>> settle(config, {"n_actions": 2}), config
    (500, {'prefill': [[0.25, 0.75], 500]})
    """
    old = config["prefill"]
    if old is None:
        return 0
    if isinstance(old, ReplayBuffer):
        _check_buffer(config, old, spaces)
        return len(old)
    if not isinstance(old, Sequence) or len(old) != 2:
        raise TypeError(f"prefill must be a ReplayBuffer or (policy, count), got {old!r}")
    policy, count = old[0], _check.count("the count of prefill", old[1])
    if callable(policy):
        _check_policy(config, policy, spaces)
    elif policy is not None:
        if spaces["n_actions"] is None:
            raise ValueError("prefill with one probability per action needs discrete actions")
        size, meaning = (spaces["n_actions"],), "(A,): one probability per action"
        policy = _check.distributions("the policy of prefill", policy, size, meaning).tolist()
    config["prefill"] = [policy, count]
    return count


def most(old) -> int:
    """Return how many transitions the fullest ring will hold of the old data `settle` has settled."""
    return 0 if old is None else max(old.lengths) if isinstance(old, ReplayBuffer) else old[1]


def pour(old, buffer: ReplayBuffer, env: VectorEnv, generator: torch.Generator) -> None:
    """Put the old data into the buffer of S seeds: what a buffer holds, or what a policy does that never learns.

    Data of a buffer without seeds goes to every seed; of one with seeds, each ring to its own. `env`, of S seeds too,
    is where a policy plays.

    >>> old, buffer = ReplayBuffer(10, (4,)), ReplayBuffer(100, (4,), n_seeds=3)
    >>> old.add(torch.ones(5, 4), [0] * 5, [1.0] * 5, torch.ones(5, 4), [False] * 5)
    >>> pour(old, buffer, VectorEnv("CartPole-v1", 2, n_seeds=3), torch.Generator()); buffer.lengths
    [5, 5, 5]
    """
    _check.instance("buffer", buffer, ReplayBuffer)
    if not isinstance(old, ReplayBuffer):
        if isinstance(old, str) or not isinstance(old, Sequence) or len(old) != 2:
            raise TypeError(f"old must be a ReplayBuffer or (policy, count), got {old!r}")
        policy, count = old
        fill(buffer, env, policy, count, generator)
        return
    n_seeds = buffer.n_seeds
    for index in range(old.n_seeds or 1):
        ring = old.all(index)
        length = len(ring.reward)
        rows = [field.expand(n_seeds, *field.shape) for field in ring[:6]]
        for i, shape in ((0, buffer.obs_shape), (1, buffer.action_shape), (3, buffer.obs_shape)):
            rows[i] = rows[i].reshape(n_seeds, length, *shape)
        owners = torch.arange(n_seeds) == index if old.n_seeds else torch.ones(n_seeds, dtype=torch.bool)
        buffer.add(*rows, valid=owners[:, None].expand(n_seeds, length))


def _check_buffer(config: Mapping, old: ReplayBuffer, spaces: Mapping) -> None:
    """Raise `ValueError` or `TypeError` for a buffer whose actions this run could not have taken, or not weigh."""
    size = (math.prod(old.obs_shape), math.prod(old.action_shape))
    if size != (spaces["obs_size"], math.prod(spaces["action_shape"])):
        raise ValueError(
            f"prefill holds {old.obs_shape} observations and {old.action_shape} actions, "
            f"wanted ({spaces['obs_size']},) and {tuple(spaces['action_shape'])}"
        )
    if old.n_seeds not in (None, config["seeds"]):
        raise ValueError(f"prefill holds {old.n_seeds} seeds, wanted {config['seeds']}, or one for them all")
    if not len(old):
        raise ValueError("prefill is an empty buffer")
    discrete = spaces["n_actions"] is not None
    wanted = torch.int64 if discrete else torch.float32
    if old.action_dtype != wanted:
        raise TypeError(f"prefill holds actions of {old.action_dtype}, wanted {wanted}")
    for ring in map(old.all, range(old.n_seeds or 1)):
        action = ring.action.reshape(len(ring.reward), -1).cpu()
        low, high = ([0], [spaces["n_actions"] - 1]) if discrete else (spaces["low"], spaces["high"])
        slack = 0 if discrete else 1e-5  # what rounding may put outside
        if not ((action >= torch.tensor(low) - slack) & (action <= torch.tensor(high) + slack)).all():
            raise ValueError(f"prefill holds actions from {action.min():g} to {action.max():g}, wanted {low} to {high}")
        if config["action"] == "importance" and not torch.isfinite(ring.log_prob).all():
            raise ValueError(
                'action="importance" needs log β(a|s) of every transition: prefill was filled without log_prob'
            )


@torch.no_grad()
def _check_policy(config: Mapping, policy, spaces: Mapping) -> None:
    """Raise `ValueError` for a network, or function, that does not give π(·|s) of the right actions."""
    try:
        pi = policy(torch.zeros(config["seeds"], 1, spaces["obs_size"], device=config["device"]))
        action = pi.sample(generator=torch.Generator(config["device"]).manual_seed(0))
        pi.log_prob(action)
    except Exception as error:
        raise ValueError(
            f"the policy of prefill is no policy of this environment: it raised {type(error).__name__} "
            f"for an observation: {error}"
        ) from error
    has = f"{pi.log_probs.shape[-1]} discrete" if isinstance(pi, Categorical) else f"{action.shape[-1]} continuous"
    wanted = f"{spaces['n_actions']} discrete" if spaces["n_actions"] else f"{len(spaces['low'])} continuous"
    if has != wanted:
        raise ValueError(f"the policy of prefill has {has} actions, wanted {wanted} ones")
