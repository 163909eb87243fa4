"""Play in environments: choose actions, fill a buffer, and measure how well a policy plays."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from offac_lite import _check
from offac_lite.buffer import ReplayBuffer
from offac_lite.config import Config, Prefill, SavedName
from offac_lite.envs import Spaces, Step, VectorEnv, rounding
from offac_lite.networks import Categorical, Pi

Behavior = Callable[[Tensor], Pi] | Sequence[float] | Tensor | None
"""What can act: a policy network; one probability per discrete action, in every state; None for uniform actions."""

_LIKE: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # whatever PyTorch's defaults are


def act(policy: Behavior, env: VectorEnv, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a ~ π(·|s) for every environment: a (*batch_shape, *action_shape) and log π(a|s) (*batch_shape).

    `policy` is a network, or one probability per action, the same in every state, or None for uniform actions.

    >>> env = VectorEnv("CartPole-v1", 3, n_seeds=2)
    >>> obs, generator = env.reset(), torch.Generator().manual_seed(0)
    >>> act((0.0, 1.0), env, generator)[0]
    tensor([[1, 1, 1],
            [1, 1, 1]])
    """
    if policy is None:
        return _act_uniformly(env, generator)
    device = generator.device
    with torch.no_grad():
        if callable(policy):
            pi = policy(flat(env.obs, env).to(device))
        else:
            pi = Categorical(_action_probs(policy, env).float().to(device).expand(*env.batch_shape, -1).log())
        action = pi.sample(generator=generator)
        return action.reshape(env.batch_shape + env.action_shape), pi.log_prob(action)


def _act_uniformly(env: VectorEnv, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    if env.n_actions is not None:
        action = torch.randint(env.n_actions, env.batch_shape, generator=generator, device=generator.device)
        return action, torch.full(env.batch_shape, -math.log(env.n_actions), **_LIKE)
    span = env.action_high - env.action_low
    like = _LIKE | {"device": generator.device}
    uniform = torch.rand(env.batch_shape + env.action_shape, generator=generator, **like).cpu()
    return env.action_low + span * uniform, torch.full(env.batch_shape, -span.log().sum().item(), **_LIKE)


def _action_probs(policy: Sequence[float] | Tensor, env: VectorEnv) -> Tensor:
    if env.n_actions is None:
        raise ValueError("policy with one probability per action needs discrete actions")
    return _check.distributions("policy", policy, (env.n_actions,), "(A,): one probability per action")


def flat(obs: Tensor, env: VectorEnv) -> Tensor:
    """Flatten observations to one axis of features: (*batch_shape, *obs_shape) → (*batch_shape, obs_size)."""
    return obs.reshape(*env.batch_shape, math.prod(env.obs_shape))


def store(
    buffer: ReplayBuffer, step: Step, action: Tensor, log_prob: Tensor, env: VectorEnv, valid: Tensor | None = None
) -> None:
    """Write a step of `env` into the buffer: s, a, r, s', d and log β(a|s), without the rows that only reset.

    Observations and actions of several axes are flattened to one. `valid` replaces that of the step.
    """
    obs, next_obs = flat(step.obs, env), flat(step.next_obs, env)
    action = action.reshape(*env.batch_shape, *buffer.action_shape)
    valid = step.valid if valid is None else valid
    buffer.add(obs, action, step.reward, next_obs, step.terminated, log_prob, valid=valid)


def fill(buffer: ReplayBuffer, env: VectorEnv, policy: Behavior, count: int, generator: torch.Generator) -> None:
    """Let a policy that never learns (see `act`) play until each seed has stored `count` more transitions.

    >>> env = VectorEnv("CartPole-v1", 8, n_seeds=2)
    >>> buffer = ReplayBuffer(1000, (4,), n_seeds=2)
    >>> fill(buffer, env, (0.2, 0.8), 500, torch.Generator().manual_seed(0))
    >>> buffer.lengths, 0.75 < buffer.all().action.double().mean() < 0.85
    ([500, 500], tensor(True))
    """
    count = _check.count("count", count, at_least=0)
    _check.generator("generator", generator)
    if policy is not None and not callable(policy):
        policy = _action_probs(policy, env)
    env.reset()
    left = torch.full(env.batch_shape[:-1], count, device="cpu")
    while left.any():
        action, log_prob = act(policy, env, generator)
        step = env.step(action)
        valid = step.valid & (step.valid.cumsum(-1) <= left.unsqueeze(-1))
        store(buffer, step, action, log_prob, env, valid)
        left -= valid.sum(-1)


@dataclass(frozen=True, eq=False)
class Rollout:
    """One episode of each of S agents, T steps at most: `obs` (S, T, obs_size), `action` (S, T, *shape of one).

    `lengths` (S,) are the episodes' numbers of steps. `terminated` (S,) is True where the episode ended, and False
    where it was cut off. An agent's rows from its length on have no meaning.
    """

    obs: Tensor
    action: Tensor
    lengths: Tensor
    terminated: Tensor


@torch.no_grad()
def rollout(policy: torch.nn.Module, env: VectorEnv, max_steps: int = 10_000) -> Rollout:
    """Record one episode of each agent, with its most probable actions. `env` has one environment for each agent.

    >>> from offac_lite.networks import CategoricalPolicy
    >>> policy = CategoricalPolicy(4, 2, n_seeds=3, generator=torch.Generator().manual_seed(0))
    >>> played = rollout(policy, VectorEnv("CartPole-v1", 1, n_seeds=3))
    >>> played.obs.shape[0], (played.lengths < 20).all(), played.terminated
    (3, tensor(True), tensor([True, True, True]))
    """
    _check.count("max_steps", max_steps)
    if env.n_seeds is None or env.n_envs != 1:
        raise ValueError(f"env must hold one environment for each agent, got batch_shape {env.batch_shape}")
    obs, action, steps, playing = zip(*_play(policy, env, max_steps), strict=True)
    lengths = torch.cat(playing, 1).sum(1)
    terminated = torch.cat([step.terminated & now for step, now in zip(steps, playing, strict=True)], 1).any(1)
    return Rollout(torch.cat(obs, 1), torch.cat(action, 1), lengths, terminated)


@torch.no_grad()
def evaluate(
    policy: torch.nn.Module, env: VectorEnv, max_steps: int = 10_000, generator: torch.Generator | None = None
) -> Tensor:
    """Return the undiscounted return of one episode in every environment, (*batch_shape), with most probable actions.

    With a `generator`, the actions are drawn from π instead. `policy` may be on any device. An episode that has not
    ended after `max_steps` steps is cut off there.

    >>> from offac_lite.networks import CategoricalPolicy
    >>> policy = CategoricalPolicy(4, 2, n_seeds=3, generator=torch.Generator().manual_seed(0))
    >>> evaluate(policy, VectorEnv("CartPole-v1", 20, n_seeds=3)).shape
    torch.Size([3, 20])
    """
    _check.count("max_steps", max_steps)
    if generator is not None:
        _check.generator("generator", generator)
    returns = torch.zeros(env.batch_shape, **_LIKE)
    for _, _, step, playing in _play(policy, env, max_steps, generator):
        returns += step.reward.where(playing, 0.0)
    return returns


def _play(
    policy: torch.nn.Module, env: VectorEnv, max_steps: int, generator: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor, Step, Tensor]]:
    """Play one episode in every environment with the most probable actions, or with drawn ones.

    Yields for each step: obs, action, step, and which environments were still in that episode.
    """
    device, playing = next(policy.parameters()).device, torch.ones(env.batch_shape, dtype=torch.bool, device="cpu")
    env.reset()
    env.pop_episodes()
    for _ in range(max_steps):
        obs = flat(env.obs, env)
        pi = policy(obs.to(device))
        action = pi.mode() if generator is None else pi.sample(generator=generator)
        step = env.step(action.reshape(env.batch_shape + env.action_shape))
        yield obs, action.cpu(), step, playing
        playing = playing & ~(step.terminated | step.truncated)
        if not playing.any():
            break
    env.pop_episodes()


def auto_obs_scale(env_id: str) -> tuple[float, ...]:
    """Return one factor per feature: half over its standard deviation under random play.

    A feature that hardly varies gets 1. CartPole's four factors are constants instead: its runs depend on no sample,
    and the cart's position, which varies little under random play, does not get 7.2.

    >>> auto_obs_scale("Pendulum-v1"), auto_obs_scale("CartPole-v1")
    ((0.78, 0.77, 0.15), (0.5, 0.5, 5.0, 0.5))
    """
    if env_id in _OBS_SCALES:
        return _OBS_SCALES[env_id]
    env, generator = VectorEnv(env_id, 8), torch.Generator().manual_seed(0)
    seen = [env.reset().reshape(8, -1)]
    for _ in range(250):
        seen.append(env.step(act(None, env, generator)[0]).next_obs.reshape(8, -1))
    env.close()
    spread = torch.cat(seen).double().std(0)
    return tuple(float(f"{0.5 / s:.2g}") if s > 1e-6 else 1.0 for s in spread.tolist())


_OBS_SCALES = {"CartPole-v1": (0.5, 0.5, 5.0, 0.5)}  # position, velocity, angle, angular velocity


def load_prefill(old: Prefill, buffer: ReplayBuffer, env: VectorEnv, generator: torch.Generator) -> None:
    """Fill the buffer of S seeds with old data: those of another buffer, or of a policy that never learns.

    Data of a buffer without seeds goes to every seed. Of a buffer with S seeds, each ring goes to its own seed. `env`,
    of S seeds too, is where a policy plays.

    >>> old, buffer = ReplayBuffer(10, (4,)), ReplayBuffer(100, (4,), n_seeds=3)
    >>> old.add(torch.ones(5, 4), [0] * 5, [1.0] * 5, torch.ones(5, 4), [False] * 5)
    >>> load_prefill(old, buffer, VectorEnv("CartPole-v1", 2, n_seeds=3), torch.Generator()); buffer.lengths
    [5, 5, 5]
    """
    if not isinstance(old, ReplayBuffer):
        policy, count = old
        fill(buffer, env, policy, count, generator)
        return
    n_seeds = len(buffer.lengths)
    for index in range(len(old.lengths)):
        ring = old.all(index)
        length = len(ring.reward)
        rows = [field.expand(n_seeds, *field.shape) for field in ring[:6]]
        for i, shape in ((0, buffer.obs_shape), (1, buffer.action_shape), (3, buffer.obs_shape)):
            rows[i] = rows[i].reshape(n_seeds, length, *shape)
        owners = torch.tensor([not old.n_seeds or seed == index for seed in range(n_seeds)], device="cpu")
        buffer.add(*rows, valid=owners[:, None].expand(n_seeds, length))


def check_prefill(config: Config, spaces: Spaces) -> None:
    """Raise `ValueError` or `TypeError` for old data that an environment of `spaces` could not have produced."""
    old = config.prefill
    if isinstance(old, ReplayBuffer):
        _check_buffer(config, old, spaces)
    elif isinstance(old, SavedName):
        raise TypeError(f"prefill must be a ReplayBuffer or (policy, count), got {str(old)!r}, the name of a saved one")
    elif old is not None:
        _check_policy(config, old[0], spaces)


def _check_buffer(config: Config, old: ReplayBuffer, spaces: Spaces) -> None:
    size = (math.prod(old.obs_shape), math.prod(old.action_shape))
    if size != (spaces.obs_size, math.prod(spaces.action_shape)):
        raise ValueError(
            f"prefill holds {old.obs_shape} observations and {old.action_shape} actions, "
            f"wanted ({spaces.obs_size},) and {spaces.action_shape}"
        )
    if old.n_seeds not in (None, config.seeds):
        raise ValueError(f"prefill holds {old.n_seeds} seeds, wanted {config.seeds}, or one for them all")
    if not len(old):
        raise ValueError("prefill is an empty buffer")
    discrete = spaces.n_actions is not None
    wanted = torch.int64 if discrete else torch.float32
    if old.action_dtype != wanted:
        raise TypeError(f"prefill holds actions of {old.action_dtype}, wanted {wanted}")
    for ring in map(old.all, range(len(old.lengths))):
        action = ring.action.reshape(len(ring.reward), -1).cpu()
        low, high = spaces.low, spaces.high
        if spaces.n_actions is not None:
            low, high = (0,), (spaces.n_actions - 1,)
        slack = 0.0 if discrete else torch.from_numpy(rounding(low, high))
        if not (
            (action >= torch.tensor(low, device="cpu") - slack) & (action <= torch.tensor(high, device="cpu") + slack)
        ).all():
            raise ValueError(f"prefill holds actions from {action.min():g} to {action.max():g}, wanted {low} to {high}")
        if config.action == "importance" and not torch.isfinite(ring.log_prob).all():
            raise ValueError(
                'action="importance" needs log β(a|s) of every transition: prefill was filled without log_prob'
            )


@torch.no_grad()
def _check_policy(config: Config, policy: Any, spaces: Spaces) -> None:
    if policy is None:
        return
    if isinstance(policy, SavedName):
        raise TypeError(f"the policy of prefill must be numeric or a network, got {str(policy)!r}, the name of one")
    if not callable(policy):
        if spaces.n_actions is None:
            raise ValueError("prefill with one probability per action needs discrete actions")
        if len(policy) != spaces.n_actions:
            raise ValueError(
                f"the policy of prefill has shape ({len(policy)},), wanted ({spaces.n_actions},) = (A,): one "
                "probability per action"
            )
        return
    try:
        pi = policy(torch.zeros(config.seeds, 1, spaces.obs_size, dtype=torch.float32, device=config.device))
        action = pi.sample(generator=torch.Generator(config.device).manual_seed(0))
        pi.log_prob(action)
    except Exception as error:
        raise ValueError(
            f"the policy of prefill is no policy of this environment: it raised {type(error).__name__} "
            f"for an observation: {error}"
        ) from error
    has = f"{pi.log_probs.shape[-1]} discrete" if isinstance(pi, Categorical) else f"{action.shape[-1]} continuous"
    wanted = f"{spaces.n_actions} discrete" if spaces.n_actions else f"{len(spaces.low)} continuous"
    if has != wanted:
        raise ValueError(f"the policy of prefill has {has} actions, wanted {wanted} ones")
