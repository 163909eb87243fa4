"""The clinic's instruments for an agent of your own, which is given as two functions, a batch, and played episodes."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor

from offac_lite import _check
from offac_lite._check import Numbers
from offac_lite.networks import TanhGaussian

__all__ = ["Reading", "instruments", "play_episodes"]

Played = tuple[Numbers, Numbers, bool]
"""A finished episode: observations (T + 1, *obs_shape), the final one included, rewards (T,), and whether it ended by
termination. Where it did not, a limit has cut it."""


class Reading(dict):
    """What the instruments showed, {instrument: number}. It prints as a table; `rows` are for `plots.table`."""

    def __init__(self, numbers: dict[str, float], expected: dict[str, str]):
        super().__init__(numbers)
        self.expected = expected

    @property
    def rows(self) -> list[tuple[str, float, str]]:
        """A row for each instrument: its name, its number, and what a healthy agent shows."""
        return [(name, number, self.expected.get(name, "")) for name, number in self.items()]

    def __str__(self) -> str:
        """Return the rows as text."""
        width = max(map(len, self))
        return "\n".join(f"{name:{width}}  {number:>9.3g}  {words}".rstrip() for name, number, words in self.rows)

    __repr__ = __str__


def instruments(
    policy: Callable[[Tensor], Any],
    critic: Callable[[Tensor, Tensor], Tensor],
    batch: Sequence[Numbers],
    episodes: Sequence[Played],
    *,
    gamma: float = 0.99,
    alpha: float = 0.0,
    actor_loss: Callable[[Tensor], Tensor] | None = None,
    parameters: Iterable[Tensor] | None = None,
    draws: int = 16,
) -> Reading:
    """Read the clinic's instruments on an agent of your own, of whatever library, at one moment of its training.

    - `policy(obs)`, obs (B, *obs_shape). Discrete actions: logits (B, A); or the selected actions, integers (B,), of a
      policy without chance, such as DQN's. Continuous actions: a pair of one fresh action (B, D) and its log π (B,);
      or the actions alone, of a policy without chance. A distribution is accepted as well, one of
      `torch.distributions` or of this package.
    - `critic(obs, action)` → Q(s, a), (B,), with `action` integers (B,) or numbers (B, D); of twins the one that the
      actor follows.
    - `batch`: s (B, *obs_shape), a (B,) or (B, D), r (B,), s′, and d (B,), true where s′ is terminal, never at a time
      limit. What follows these five, as in `Transition`, is not read.
    - `episodes`: for each (observations, rewards, terminated), with T + 1 observations for T rewards.
    - `gamma`: γ. `alpha`: the weight of the entropy in a soft critic's target, as in soft actor-critic; else 0.
    - `actor_loss(obs)` → the loss that your actor's optimiser gets, (), and the `parameters` that the optimiser moves.
      Without them the three numbers about the actor's gradient are left out.
    - `draws`: actions per state, wherever a mean over continuous actions is estimated.

    *Data*: the batch comes from the replay buffer; the episodes are played by π as it is now, with drawn actions if π
    has chance. Rewards, actions and observations are those that the critic learns from: scaled, if it is given scaled
    ones.

    Returns a `Reading`. "promised" is the mean of V(s) = E_π[Q(s, a) − α log π(a|s)] over all states of the episodes,
    and "delivered" the mean of what followed there, r + γ r′ + …. Where a limit has cut an episode, the k steps that
    were left count alone: what is promised is V(s) − γᵏ V(s_T). "critic's loss" is ½ mean (Q(s, a) − y)² with y = r + γ
    (1 − d) V(s′) and no target network. "spread" is the standard deviation of V over the batch's states. "cosine" and
    "length" compare the gradient of `actor_loss` with that of −E[V(s)], over all actions, or through the drawn ones
    where they are continuous; "gradient" is its norm. "lowest Q" and "highest Q" stand beside what is possible with the
    rewards seen.

    Raises `TypeError` or `ValueError`, naming argument and shapes; nothing is broadcast. Gradients of your networks are
    left as they are.

    >>> obs, action = torch.zeros(4, 1), torch.tensor([0, 1, 1, 0])
    >>> batch = (obs, action, torch.ones(4), obs, torch.tensor([True, True, False, False]))
    >>> episodes = [(torch.zeros(3, 1), [1.0, 1.0], True)]
    >>> reading = instruments(lambda s: torch.zeros(len(s), 2), lambda s, a: 1.0 + a, batch, episodes, gamma=0.5)
    >>> reading["promised"], reading["delivered"], round(reading["entropy"], 3)
    (1.5, 1.25, 0.693)
    """
    for name, function in (("policy", policy), ("critic", critic), ("actor_loss", actor_loss)):
        if not (callable(function) or (function is None and name == "actor_loss")):
            raise TypeError(f"{name} must be a function, got {type(function).__name__}")
    gamma, alpha = _check.discount("gamma", gamma), _check.not_negative("alpha", alpha)
    rows = _rows(batch)
    agent = _Agent(policy, critic, rows, alpha, _check.count("draws", draws))
    with torch.no_grad():
        now, q = agent.look(rows.obs), agent.q(rows.obs, rows.action)
        target = rows.reward + gamma * torch.where(rows.ended, 0.0, agent.look(rows.next_obs).value)
        numbers, lowest, highest = _of_episodes(agent, episodes, gamma, rows)
    bonus = alpha * now.entropy
    low, high = lowest + min(0.0, bonus.min().item()), highest + max(0.0, bonus.max().item())
    low, high = (_in_every_step(x, gamma) if x * sign > 0 else x for x, sign in ((low, -1), (high, 1)))
    numbers |= {
        "lowest Q": q.min().item(),
        "highest Q": q.max().item(),
        "critic's loss": 0.5 * (q - target).square().mean().item(),
        "spread": now.value.std(correction=0).item(),
    }
    if (actor_loss is None) != (parameters is None):
        raise ValueError("actor_loss and parameters go together: give both, or neither")
    if actor_loss is not None and parameters is not None:
        numbers |= agent.gradients(rows.obs, actor_loss, list(parameters))
    numbers["entropy"] = now.entropy.mean().item()
    numbers |= agent.actions(rows.action, now)
    expected = {
        "promised": "about what is delivered",
        "lowest Q": f"not below {low:.3g}",
        "highest Q": f"not above {high:.3g}",
        "spread": "not 0",
        "cosine": "near 1",
        "length": "near 1",
        "entropy": f"at most {math.log(agent.n_actions):.2f}" if agent.n_actions else "",
    }
    return Reading(numbers, expected)


def play_episodes(env: gymnasium.Env, act: Callable[[np.ndarray], Any], n: int = 10, seed: int = 0) -> list[Played]:
    """Play `n` episodes in a Gymnasium environment, one after the other, for `instruments`.

    `act(obs)` returns the action for `env.step`. The first episode starts with `seed`.

    >>> env = gymnasium.make("CartPole-v1", max_episode_steps=5)
    >>> [(obs, rewards, terminated)] = play_episodes(env, lambda obs: 0, n=1)
    >>> obs.shape, rewards, terminated
    ((6, 4), [1.0, 1.0, 1.0, 1.0, 1.0], False)
    """
    played: list[Played] = []
    n, seed = _check.count("n", n), _check.count("seed", seed, at_least=0)
    for i in range(n):
        obs, _ = env.reset(seed=seed if i == 0 else None)
        seen, rewards, terminated, truncated = [np.array(obs)], [], False, False
        while not (terminated or truncated):
            obs, reward, terminated, truncated, _ = env.step(act(obs))
            seen.append(np.array(obs))
            rewards.append(float(reward))
        played.append((np.stack(seen), rewards, bool(terminated)))
    return played


class _Rows(NamedTuple):
    obs: Tensor
    action: Tensor
    reward: Tensor
    next_obs: Tensor
    ended: Tensor


class _Look(NamedTuple):
    """What policy and critic say of states: V (B,), entropy (B,), and π(a|s) (B, A) or drawn actions (K, B, D)."""

    value: Tensor
    entropy: Tensor
    actions: Tensor


class _Agent:
    """Policy and critic, whose answers are checked."""

    def __init__(self, policy: Callable, critic: Callable, rows: _Rows, alpha: float, draws: int):
        self.policy, self.critic, self.alpha, self.draws = policy, critic, alpha, draws
        self.discrete, self.action_shape = not rows.action.is_floating_point(), rows.action.shape[1:]
        self.least = int(rows.action.max()) + 1 if self.discrete else 0  # that many actions there are at least
        self.n_actions = 0
        self.generator = torch.Generator(rows.obs.device).manual_seed(0)

    def q(self, obs: Tensor, action: Tensor) -> Tensor:
        """Return Q(s, a), (B,)."""
        return _answer("critic(obs, action)", self.critic(obs, action), (len(obs),), "(B,)")

    def look(self, obs: Tensor) -> _Look:
        """Ask policy and critic about states. It carries gradient."""
        if not self.discrete:
            return self._draw(obs)
        log_probs = self._log_probs(self.policy(obs), len(obs))
        probs = log_probs.exp()
        q = torch.stack([self.q(obs, torch.full((len(obs),), a, device=obs.device)) for a in range(probs.shape[1])], 1)
        entropy = -(probs * log_probs.clamp_min(torch.finfo(probs.dtype).min)).sum(1)  # 0 where π(a|s) is 0
        return _Look((probs * q).sum(1) + self.alpha * entropy, entropy, probs)

    def _log_probs(self, answer: Any, size: int) -> Tensor:
        """Return log π(a|s), (B, A), of what a policy over discrete actions returned."""
        answer = getattr(answer, "log_probs", getattr(answer, "logits", answer))
        wanted = f"logits ({size}, A) or selected actions ({size},)"
        if not isinstance(answer, Tensor):
            raise TypeError(f"policy(obs) returned {type(answer).__name__}, wanted {wanted}")
        if answer.shape == (size,) and not answer.is_floating_point():
            self.n_actions = max(self.n_actions, self.least, int(answer.max()) + 1)
            return torch.nn.functional.one_hot(answer.long(), self.n_actions).float().log()
        if answer.ndim != 2 or len(answer) != size or answer.shape[1] < self.least or not answer.is_floating_point():
            more = f", with A ≥ {self.least}: the batch holds action {self.least - 1}" if self.least else ""
            raise ValueError(f"policy(obs) has shape {tuple(answer.shape)}, wanted {wanted}{more}")
        self.n_actions = answer.shape[1]
        return torch.log_softmax(answer, 1)

    def _draw(self, obs: Tensor) -> _Look:
        pairs = [self._pair(self.policy(obs), len(obs)) for _ in range(self.draws)]
        action, log_prob = torch.stack([a for a, _ in pairs]), torch.stack([p for _, p in pairs])
        q = torch.stack([self.q(obs, a) for a in action])
        return _Look((q - self.alpha * log_prob).mean(0), -log_prob.mean(0), action)

    def _pair(self, answer: Any, size: int) -> tuple[Tensor, Tensor]:
        """Return an action (B, D) and log π (B,) of what a policy over continuous actions returned."""
        if isinstance(answer, TanhGaussian):
            action = answer.rsample(generator=self.generator)
            answer = action, answer.log_prob(action)
        elif isinstance(answer, torch.distributions.Distribution):
            action = answer.rsample() if answer.has_rsample else answer.sample()
            log_prob = answer.log_prob(action)
            answer = action, log_prob.sum(-1) if log_prob.ndim == 2 else log_prob
        elif isinstance(answer, Tensor):
            answer = answer, torch.zeros(size, dtype=torch.float32, device=answer.device)
        if not isinstance(answer, tuple) or len(answer) != 2:
            wanted = "an action (B, D) and its log π (B,), or the action alone, for the continuous actions of the batch"
            raise TypeError(f"policy(obs) returned {type(answer).__name__}, wanted {wanted}")
        action = _answer("the action of policy(obs)", answer[0], (size, *self.action_shape), "(B, D)")
        return action, _answer("log π of policy(obs)", answer[1], (size,), "(B,)")

    def gradients(self, obs: Tensor, actor_loss: Callable, parameters: list[Tensor]) -> dict[str, float]:
        """Compare the gradient of the actor's loss with that of −mean V(s)."""
        with torch.enable_grad():
            value, loss = self.look(obs).value, _answer("actor_loss(obs)", actor_loss(obs), (), "()")
            if not value.requires_grad:
                raise ValueError(
                    "the answer of policy(obs) carries no gradient, so there is nothing to compare actor_loss with: "
                    "return logits, or actions that were drawn by rsample, outside torch.no_grad()"
                )
            exact, ours = _gradient(-value.mean(), parameters), _gradient(loss, parameters)
        norm = ours.norm().item()
        return {
            "cosine": torch.cosine_similarity(ours, exact, dim=0).item(),
            "length": norm / max(exact.norm().item(), 1e-12),
            "gradient": norm,
        }

    def actions(self, stored: Tensor, now: _Look) -> dict[str, float]:
        """Compare the actions of π with the stored ones."""
        if not self.discrete:
            largest = {"π": now.actions, "stored": stored}
            return {f"largest |a|, {name}": actions.abs().max().item() for name, actions in largest.items()}
        mean = now.actions.mean(0)
        shown = range(len(mean)) if len(mean) <= 4 else [int(mean.argmax())]
        shares = [("π", a, mean[a]) for a in shown] + [("stored", a, (stored == a).float().mean()) for a in shown]
        return {f"share of action {a}, {name}": share.item() for name, a, share in shares}


def _of_episodes(agent: _Agent, episodes: Sequence[Played], gamma: float, rows: _Rows) -> tuple[dict, float, float]:
    """Return what the episodes say, and the least and the largest reward of episodes and batch."""
    if isinstance(episodes, str) or not isinstance(episodes, Sequence):
        raise TypeError(f"episodes must be a sequence of finished episodes, got {type(episodes).__name__}")
    if not episodes:
        raise ValueError("episodes is empty, wanted at least one finished episode")
    returns, lengths, promised, delivered = [], [], [], []
    extremes = [rows.reward.min().item(), rows.reward.max().item()]
    for i, episode in enumerate(episodes):
        if not isinstance(episode, tuple | list) or len(episode) != 3:
            raise TypeError(f"episodes[{i}] must be (observations, rewards, terminated), got {type(episode).__name__}")
        reward = _array(f"the rewards of episodes[{i}]", episode[1])
        if reward.ndim != 1 or not len(reward):
            raise ValueError(f"the rewards of episodes[{i}] have shape {tuple(reward.shape)}, wanted (T,), T ≥ 1")
        obs = _array(f"the observations of episodes[{i}]", episode[0]).to(rows.obs.device, rows.obs.dtype)
        _check.shape(
            f"the observations of episodes[{i}]",
            obs,
            (len(reward) + 1, *rows.obs.shape[1:]),
            "(T + 1, *obs_shape), the final observation included",
        )
        seen = agent.look(obs)
        to_go, beyond = 0.0, 0.0 if episode[2] else seen.value[-1].item()
        steps = zip(reward.tolist(), seen.entropy.tolist(), seen.value.tolist(), strict=False)
        for r, entropy, value in reversed(list(steps)):
            to_go, beyond = r + agent.alpha * entropy + gamma * to_go, gamma * beyond
            delivered.append(to_go)
            promised.append(value - beyond)
        returns.append(reward.sum().item())
        lengths.append(len(reward))
        extremes += [reward.min().item(), reward.max().item()]
    numbers = {
        "return": float(np.mean(returns)),
        "steps": float(np.mean(lengths)),
        "promised": float(np.mean(promised)),
        "delivered": float(np.mean(delivered)),
    }
    return numbers, min(extremes), max(extremes)


def _rows(batch: Sequence[Numbers]) -> _Rows:
    """Return the first five fields of a batch as tensors, or raise for a wrong shape."""
    if isinstance(batch, Tensor | np.ndarray | str) or not isinstance(batch, Sequence) or len(batch) < 5:
        raise TypeError("batch must hold the five arrays (obs, action, reward, next_obs, terminated), in this order")
    names = ("obs", "action", "reward", "next_obs", "terminated")
    obs, action, reward, next_obs, ended = (_array(name, value) for name, value in zip(names, batch, strict=False))
    size = len(obs) if obs.ndim else 0
    if size < 2:
        raise ValueError(f"obs has shape {tuple(obs.shape)}, wanted (B, *obs_shape) with B ≥ 2")
    discrete = not action.is_floating_point()
    if len(action) != size or action.ndim != (1 if discrete else 2):
        wanted = "integers (B,)" if discrete else "numbers (B, D)"
        raise ValueError(f"action has shape {tuple(action.shape)}, wanted {wanted} with B = {size}, as in obs")
    for name, value in (("reward", reward), ("terminated", ended)):
        _check.shape(name, value, (size,), "(B,), as in obs")
    _check.shape("next_obs", next_obs, obs.shape, "(B, *obs_shape), as in obs")
    if not ((ended == 0) | (ended == 1)).all():
        raise ValueError("terminated holds other numbers than 0 and 1")
    if discrete and action.min() < 0:
        raise ValueError(f"action holds {action.min()}, wanted numbers of actions from 0 on")
    return _Rows(obs, action.long() if discrete else action, reward.float(), next_obs, ended.bool())


def _array(name: str, value: Numbers) -> Tensor:
    """Return an array as a tensor on its device, numbers with a fraction as float32."""
    try:
        tensor = value if isinstance(value, Tensor) else torch.as_tensor(value, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be an array, got {type(value).__name__}: {error}") from None
    if tensor.is_floating_point():
        tensor = tensor.float()
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} holds NaN or infinity")
    return tensor.detach()


def _answer(name: str, value: Any, shape: tuple[int, ...], meaning: str) -> Tensor:
    """Return what one of the agent's functions returned, or raise where it is no tensor of this shape."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} returned {type(value).__name__}, wanted a tensor {shape} = {meaning}")
    if value.shape != shape:
        hint = "; .squeeze(-1) removes the last axis" if value.shape == (*shape, 1) else ""
        raise ValueError(f"{name} has shape {tuple(value.shape)}, wanted {shape} = {meaning}{hint}")
    if not torch.isfinite(value).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return value


def _gradient(loss: Tensor, parameters: list[Tensor]) -> Tensor:
    """Return the gradient of a loss in one row, 0 where it does not reach."""
    if not loss.requires_grad:
        raise ValueError("actor_loss(obs) carries no gradient")
    parts = torch.autograd.grad(loss, parameters, allow_unused=True)
    pairs = zip(parts, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if part is None else part).flatten() for part, p in pairs])


def _in_every_step(reward: float, gamma: float) -> float:
    """Return r + γ r + γ² r + …"""
    return reward / (1 - gamma) if gamma < 1 else math.copysign(math.inf, reward)
