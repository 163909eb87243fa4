"""Notebook 08's clinic: an off-policy actor-critic in seven parts, and agents in which one part is broken.

SPOILERS. To diagnose the patients from their charts, do the notebook before you read on: `_BROKEN`, at the end of this
file, holds each patient's bug. `admit` is the loop of notebook 06 with its parts as arguments; a patient is a letter,
and differs from the healthy agent in one part.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch.optim import Adam

from offac_lite import _check, equations, updates
from offac_lite.buffer import ReplayBuffer, Transition
from offac_lite.envs import Episode, Step, VectorEnv, latest_episodes, recent_returns, to_come
from offac_lite.exact.mdp import TabularMDP
from offac_lite.exact.outcomes import Transitions
from offac_lite.networks import Categorical, CategoricalPolicy, DiscreteQCritic, of_actions
from offac_lite.training import keep_freed_memory

GAMMA = 0.99
REWARD_SCALE = 0.1
POSSIBLE = (REWARD_SCALE, REWARD_SCALE / (1 - GAMMA))
"""No value on CartPole can lie outside: at least one reward is still to come, at most one in every step for ever."""
INSTRUMENTS = ("return", "delivered", "value", "critic_loss", "spread", "cosine", "length", "entropy")
BATCH, N_ENVS, N_RESAMPLED, FIRST_UPDATE = 64, 8, 4, 1000


def ended(terminated: torch.Tensor, truncated: torch.Tensor) -> torch.Tensor:
    """The d that goes into the buffer, (...) bool: nothing comes after s′. A time limit is no such end.

    >>> ended(torch.tensor([True, False]), torch.tensor([False, True]))
    tensor([ True, False])
    """
    return terminated


def next_value(policy, target_critic, next_obs: torch.Tensor, stored_next_action: torch.Tensor) -> torch.Tensor:
    """V^π(s′) = Σ π(a′|s′) Q̄(s′, a′) with π as it is now, (..., B); what was stored as a′ does not matter."""
    return (policy(next_obs).probs * target_critic.all_actions(next_obs)).sum(-1)


def critic_loss(q_all: torch.Tensor, action: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """½ · mean of (Q(s, a) − y)² of one agent, (): q_all (B, A) is Q of every action, `action` and y are (B,).

    >>> critic_loss(torch.tensor([[1.0, 3.0], [5.0, 7.0]]), torch.tensor([1, 0]), torch.tensor([1.0, 5.0]))
    tensor(1.)
    """
    return equations.critic_loss(q_all.gather(-1, action.unsqueeze(-1)).squeeze(-1), target)


def resample(pi: Categorical, q_all: torch.Tensor, action_samples: int, generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw aᵖ ~ π(·|s) now and give log π(aᵖ|s) and Q(s, aᵖ), both (..., K, B)."""
    action = pi.sample(action_samples, generator=generator)
    return pi.log_prob(action), of_actions(q_all, action)


def actor_loss(log_prob: torch.Tensor, q: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """−mean of log π(aᵖ|s) (Q(s, aᵖ) − V(s)) of one agent, (): log_prob and q (K, B), value (B,)."""
    return equations.policy_gradient_loss(log_prob, q - value)


@dataclass(frozen=True)
class Parts:
    """The seven parts of an agent; without arguments, the healthy ones."""

    ended: Callable = ended
    next_value: Callable = next_value
    q_target: Callable = equations.v_target
    critic_loss: Callable = critic_loss
    resample: Callable = resample
    actor_loss: Callable = actor_loss
    make_target: Callable = copy.deepcopy


HEALTHY = Parts()


def patient(letter: str) -> Parts:
    """The parts of the patient "A" to "I": the healthy ones but for one."""
    _check.one_of("letter", letter, tuple(_BROKEN))
    return replace(HEALTHY, **_BROKEN[letter])


@dataclass(frozen=True)
class Chart:
    """What the instruments showed: `steps` (E,), and each of `INSTRUMENTS` as `chart[name]`, (S, E).

    - "return": the mean of the last ten training episodes, played by π itself;
    - "delivered": the mean discounted (scaled) reward that was still to come in the states of those episodes;
    - "value": what the critic promises instead, the mean of Σ π Q over the states of the last batch;
    - "critic_loss"; "spread": the standard deviation of Σ π Q over the states of that batch;
    - "cosine" and "length": the actor's gradient against the exact one for the *same* critic and states, the sum over
      all actions: their cosine, and the quotient of their lengths;
    - "entropy": of π, in nats.
    """

    steps: torch.Tensor
    curves: dict[str, torch.Tensor]

    def __getitem__(self, name: str) -> torch.Tensor:
        """Give one curve, (S, E)."""
        return self.curves[name]

    def late(self, name: str) -> torch.Tensor:
        """Average a curve over the last fifth of the evaluations, (S,)."""
        _check.one_of("name", name, tuple(self.curves))
        return self[name][:, -max(1, len(self.steps) // 5) :].mean(1)

    def summary(self) -> str:
        """Say in a line what stands at the end of the chart, medians over seeds."""
        of = {name: self.late(name).nanmedian().item() for name in INSTRUMENTS}
        return (
            f"Late (the last fifth), medians of {len(self['return'])} seeds: return {of['return']:.0f}; "
            f"value {of['value']:.3g}, where {of['delivered']:.3g} was delivered; "
            f"critic's loss {of['critic_loss']:.2g}; spread {of['spread']:.2g}; "
            f"actor's gradient: cosine {of['cosine']:.2f}, length {of['length']:.2g}; entropy {of['entropy']:.2f}."
        )


def admit(
    parts: Parts,
    seed: int = 0,
    *,
    seeds: int = 10,
    total_steps: int = 6_720,
    evaluations: int = 24,
    max_episode_steps: int | None = None,
) -> Chart:
    """Train `seeds` agents made of `parts` on CartPole-v1 for `total_steps` each, and return their chart.

    One backward pass serves both losses, as in much published code. Same parts, same `seed`: same chart, bit for bit.

    >>> chart = admit(HEALTHY, seeds=2, total_steps=1200, evaluations=3)
    >>> chart.steps, chart["value"].shape
    (tensor([1200]), torch.Size([2, 1]))
    """
    _check.instance("parts", parts, Parts)
    _check.count("total_steps", total_steps, at_least=FIRST_UPDATE)
    _check.count("evaluations", evaluations)
    if max_episode_steps is not None:
        _check.count("max_episode_steps", max_episode_steps)
    keep_freed_memory()
    ward = _Ward(parts, seed, seeds, total_steps, max_episode_steps)
    n_rounds, steps, rows = total_steps // N_ENVS, [], []
    for t in range(1, n_rounds + 1):
        ward.collect()
        if t * N_ENVS < FIRST_UPDATE:
            continue
        batch = ward.buffer.sample(BATCH)
        loss = ward.update(batch)
        if t * evaluations % n_rounds < evaluations:
            steps.append(t * N_ENVS)
            rows.append(ward.read(batch, loss))
    ward.env.close()
    return Chart(torch.tensor(steps), {name: torch.stack([row[name] for row in rows], 1) for name in INSTRUMENTS})


class _Ward:
    """S agents of the same parts, on which the loop works."""

    def __init__(self, parts: Parts, seed: int, seeds: int, total_steps: int, max_episode_steps: int | None):
        self.parts, self.seeds = parts, _check.count("seeds", seeds)
        self.generator = torch.Generator().manual_seed(_check.count("seed", seed, at_least=0))
        nets = {"in_scale": (0.5, 0.5, 5.0, 0.5), "n_seeds": seeds, "generator": self.generator}
        self.policy = CategoricalPolicy(4, 2, (32, 32), **nets)
        self.critic = DiscreteQCritic(4, 2, (32, 32), **nets)
        self.target_critic = parts.make_target(self.critic)
        self.optimizers = [
            Adam(self.policy.parameters(), 2e-3, fused=True),
            Adam(self.critic.parameters(), 4e-3, fused=True),
        ]
        limit = {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
        self.env = VectorEnv("CartPole-v1", N_ENVS, n_seeds=seeds, seed=seed, **limit)
        self.buffer = ReplayBuffer(total_steps, (4,), (2,), n_seeds=seeds, action_dtype=torch.int64, seed=seed)
        self.env.reset()
        self.before: tuple[Step, torch.Tensor] | None = None
        self.episodes: list[Episode] = []

    def collect(self) -> None:
        """Take a step everywhere; store the step before it, now that the action which followed is known."""
        with torch.no_grad():
            action = self.policy(self.env.obs).sample(generator=self.generator)
        if self.before is not None:
            s, old = self.before
            both = torch.stack([old, action], -1)
            d = self.parts.ended(s.terminated, s.truncated)
            self.buffer.add(s.obs, both, REWARD_SCALE * s.reward, s.next_obs, d, valid=s.valid)
        self.before = self.env.step(action), action

    def update(self, batch: Transition) -> torch.Tensor:
        """Take a step of both networks; return the critic's loss (S,)."""
        action, stored_next_action = batch.action.unbind(-1)
        with torch.no_grad():
            v = self.parts.next_value(self.policy, self.target_critic, batch.next_obs, stored_next_action)
            y = self.parts.q_target(batch.reward, batch.terminated, v, GAMMA)
        pi, q_all = self.policy(batch.obs), self.critic.all_actions(batch.obs)
        critic_loss = _for_each_seed(self.parts.critic_loss, q_all, action, y)
        loss = critic_loss + self.actor_loss(pi, q_all) - 0.05 * pi.entropy().mean(-1)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.sum().backward()
        for optimizer in self.optimizers:
            optimizer.step()
        updates.polyak_update(self.target_critic, self.critic, tau=0.1)
        return critic_loss.detach()

    def actor_loss(self, pi: Categorical, q_all: torch.Tensor) -> torch.Tensor:
        """Give the actor's loss (S,)."""
        value = (pi.probs * q_all).sum(-1).detach()
        log_prob, q = self.parts.resample(pi, q_all, N_RESAMPLED, self.generator)
        return _for_each_seed(self.parts.actor_loss, log_prob, q, value)

    def read(self, batch: Transition, critic_loss: torch.Tensor) -> dict[str, torch.Tensor]:
        """Read every instrument, (S,) each."""
        with torch.no_grad():
            q_all = self.critic.all_actions(batch.obs)
        pi, theta = self.policy(batch.obs), self.policy.net.theta
        value = (pi.probs * q_all).sum(-1)
        (exact,) = torch.autograd.grad(-value.mean(-1).sum(), theta, retain_graph=True)
        (ours,) = torch.autograd.grad(self.actor_loss(pi, q_all).sum(), theta, retain_graph=True)
        self.episodes = (self.episodes + self.env.pop_episodes())[-1000 * self.seeds :]
        reading = {
            "return": recent_returns(self.episodes, self.seeds),
            "delivered": _delivered(self.episodes, self.seeds),
            "value": value.mean(-1),
            "critic_loss": critic_loss,
            "spread": value.std(-1),
            "cosine": torch.cosine_similarity(ours, exact, dim=-1),
            "length": ours.norm(dim=-1) / exact.norm(dim=-1).clamp_min(1e-12),
            "entropy": pi.entropy().mean(-1),
        }
        return {name: number.detach() for name, number in reading.items()}


def _for_each_seed(function: Callable, *arguments: torch.Tensor) -> torch.Tensor:
    """Call a function of one agent for each of the S agents: arguments (S, ...) → (S,)."""
    try:
        return torch.vmap(function)(*arguments)
    except RuntimeError:  # vmap cannot follow it; a loop can
        return torch.stack([function(*own) for own in zip(*arguments, strict=True)])


def delivered(lengths: Sequence[int], gamma: float = GAMMA) -> float:
    """Mean of (r + γ r + …) over all states of episodes of these lengths, r = 0.1 in each step that is left.

    >>> round(delivered([2], gamma=0.5), 3)  # (0.1 + 0.05 in the first state, 0.1 in the second) / 2
    0.125
    """
    return REWARD_SCALE * to_come(lengths, gamma)


def _delivered(episodes: Sequence[Episode], seeds: int, last: int = 10) -> torch.Tensor:
    latest = latest_episodes(episodes, seeds, last)
    return torch.tensor([delivered([e.length for e in own]) if own else torch.nan for own in latest])


class TableCritic:
    """Q as a table (S, A): what a critic is where states are numbers."""

    def __init__(self, table: torch.Tensor):
        self.table = table

    def all_actions(self, obs: torch.Tensor) -> torch.Tensor:
        """Look up Q(s, a) of every action, (..., B, A)."""
        return self.table[obs]

    def __call__(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Look up Q(s, a), with the shape of `action`."""
        return of_actions(self.table[obs], action)


@dataclass(frozen=True, eq=False)
class TwoStates(Transitions):
    """Two states, two actions, and every transition that a uniform β could store, each once.

    In state 0, action 0 gives 0 and leads to state 1, action 1 gives 1 and stays; in state 1, action 0 gives 0 and
    leads to state 0, action 1 gives 2 and ends the episode. `obs`, `action`, `reward`, `next_obs`, `terminated`,
    `truncated`, `next_action`: (16,), every s, a and a′, in the middle of an episode and just before a time limit.
    """

    mdp: TabularMDP


def two_states(gamma: float = 0.9) -> TwoStates:
    """Make the smallest world in which every patient can be found out.

    >>> world = two_states(gamma=0.5)
    >>> world.mdp.action_values([[0.0, 1.0], [0.0, 1.0]])
    tensor([[1., 2.],
            [1., 2.]], dtype=torch.float64)
    """
    transition = [[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]]
    mdp = TabularMDP(transition, [[0.0, 1.0], [0.0, 2.0]], [1.0, 0.0], gamma)
    obs, action, next_action, cut = torch.cartesian_prod(*[torch.arange(2)] * 4).unbind(-1)
    end = (obs == 1) & (action == 1)
    next_obs = torch.where(action == 0, 1 - obs, obs)  # after the end as well: some last observation comes back
    return TwoStates(obs, action, mdp.reward[obs, action], next_obs, end, (cut == 1) & ~end, next_action, mdp)


# ------------------------------------------------------------------------------------------- spoilers from here on


def _no_mask(reward, ended, next_value, gamma):
    return reward + gamma * next_value


def _uphill(log_prob, q, value):
    return (log_prob * (q - value).detach()).mean()


def _attached(log_prob, q, value):
    return -(log_prob * (q - value)).mean()


def _broadcast(q_all, action, target):
    q = q_all.gather(-1, action.unsqueeze(-1))
    return 0.5 * (q - target).square().mean()


def _two_draws(pi, q_all, action_samples, generator):
    log_prob = pi.log_prob(pi.sample(action_samples, generator=generator))
    return log_prob, of_actions(q_all, pi.sample(action_samples, generator=generator))


def _summed(log_prob, q, value):
    return -(log_prob * (q - value).detach()).sum()


def _stored_next_action(policy, target_critic, next_obs, stored_next_action):
    return target_critic(next_obs, stored_next_action)


def _any_end(terminated, truncated):
    return terminated | truncated


_BROKEN: dict[str, dict[str, Callable]] = {
    "A": {"q_target": _no_mask},
    "B": {"actor_loss": _uphill},
    "C": {"actor_loss": _attached},
    "D": {"critic_loss": _broadcast},
    "E": {"resample": _two_draws},
    "F": {"actor_loss": _summed},
    "G": {"next_value": _stored_next_action},
    "H": {"ended": _any_end},
    "I": {"make_target": lambda critic: critic},
}
