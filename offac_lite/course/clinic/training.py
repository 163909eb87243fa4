"""The training of agents made of parts, and the chart of what the instruments show meanwhile."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.optim import Adam

from offac_lite import _check, updates
from offac_lite._check import Numbers
from offac_lite.buffer import ReplayBuffer, Transition
from offac_lite.course.clinic.parts import Parts
from offac_lite.course.clinic.storing import Storing
from offac_lite.envs import Episode, Step, VectorEnv, recent_returns, recently_delivered
from offac_lite.networks import Categorical, CategoricalPolicy, DiscreteQCritic
from offac_lite.training import due, keep_freed_memory

__all__ = ["INSTRUMENTS", "POSSIBLE", "REWARD_SCALE", "Chart", "Trained", "train_patient"]

GAMMA = 0.99
REWARD_SCALE = 0.1
POSSIBLE = (REWARD_SCALE, REWARD_SCALE / (1 - GAMMA))
"""The least and the largest value that a state of CartPole can have: one reward, and one in every step without end."""
INSTRUMENTS = ("return", "value", "delivered", "critic_loss", "spread", "cosine", "length", "entropy")
BATCH_SIZE, N_ENVS, ACTION_SAMPLES = 64, 8, 4
FIRST_UPDATE = 1000
"""The environment steps before the first update."""


@dataclass(frozen=True, eq=False)
class Trained:
    """One agent at the end of its training: its policy, its critic and its buffer's rows, with rewards times 0.1."""

    policy: CategoricalPolicy
    critic: DiscreteQCritic
    rows: Transition

    def batch(self, n: int = 512, seed: int = 0) -> Transition:
        """Draw `n` stored transitions, uniformly and with replacement, (n, ...)."""
        generator = torch.Generator().manual_seed(_check.count("seed", seed, at_least=0))
        _check.count("n", n)
        at = torch.randint(len(self.rows.reward), (n,), generator=generator, device="cpu")
        return Transition(*(values[at] for values in self.rows))

    def act(self, obs: Numbers, generator: torch.Generator | None = None) -> int | np.ndarray:
        """Return the most probable action, or with a generator a drawn one."""
        return self.policy.act(obs, generator=generator)


@dataclass(frozen=True)
class Chart:
    """What the instruments showed: `steps` (E,), and each of `INSTRUMENTS` as `chart[name]`, (S, E).

    - "return": the mean of the last ten training episodes, with actions drawn from π;
    - "delivered": the mean discounted sum of scaled rewards that followed the states of those episodes;
    - "value": the critic's estimate of the same, the mean of Σ π Q over the states of the last batch;
    - "critic_loss": the critic's loss on that batch;
    - "spread": the standard deviation of Σ π Q over the states of that batch;
    - "cosine": of the actor's gradient with the exact one for the *same* critic and states, the sum over all actions;
    - "length": of the actor's gradient, divided by that of the exact one;
    - "entropy": of π, in nats.

    `agent(i)` is the i-th agent as it was at the end.
    """

    steps: torch.Tensor
    curves: dict[str, torch.Tensor]
    agents: "_Agents | None" = field(default=None, repr=False, compare=False)

    def agent(self, index: int) -> Trained:
        """Return a copy of one agent at the end of its training.

        >>> from offac_lite.course.clinic import HEALTHY
        >>> agent = train_patient(HEALTHY, seeds=2, total_steps=1040, evaluations=1).agent(1)
        >>> agent.batch(3).obs.shape, agent.critic(torch.zeros(5, 4), torch.ones(5, dtype=torch.int64)).shape
        (torch.Size([3, 4]), torch.Size([5]))
        """
        if self.agents is None:
            raise ValueError("this chart was made without agents: train_patient makes one that keeps them")
        return self.agents.alone(_check.index("index", index, self.agents.seeds))

    def __getitem__(self, name: str) -> torch.Tensor:
        """Return one curve, (S, E)."""
        return self.curves[name]

    def late(self, name: str) -> torch.Tensor:
        """Return the mean of a curve over the last fifth of the evaluations, (S,)."""
        _check.one_of("name", name, tuple(self.curves))
        return self[name][:, -max(1, len(self.steps) // 5) :].mean(1)


def train_patient(
    parts: Parts,
    seed: int = 0,
    *,
    seeds: int = 10,
    total_steps: int = 6_720,
    evaluations: int = 24,
    max_episode_steps: int | None = None,
) -> Chart:
    """Train `seeds` agents made of `parts` on CartPole-v1 for `total_steps` each, and return their chart.

    This is the loop of notebook 06, with one backward pass for both losses. The same parts and `seed` give the same
    chart, bit for bit.

    >>> from offac_lite.course.clinic import HEALTHY
    >>> chart = train_patient(HEALTHY, seeds=2, total_steps=1200, evaluations=3)
    >>> chart.steps, chart["value"].shape
    (tensor([1200]), torch.Size([2, 1]))
    """
    _check.count("total_steps", total_steps, at_least=FIRST_UPDATE)
    _check.count("evaluations", evaluations)
    keep_freed_memory()
    agents = _Agents(parts, seed, seeds, total_steps, max_episode_steps)
    n_rounds, steps, rows = total_steps // N_ENVS, [], []
    for t in range(1, n_rounds + 1):
        agents.collect()
        if t * N_ENVS < FIRST_UPDATE:
            continue
        batch = agents.buffer.sample(BATCH_SIZE)
        loss = agents.update(batch)
        if due(t, n_rounds, evaluations):
            steps.append(t * N_ENVS)
            rows.append(agents.measure(batch, loss))
    agents.env.close()
    curves = {name: torch.stack([row[name] for row in rows], 1) for name in INSTRUMENTS}
    return Chart(torch.tensor(steps, device="cpu"), curves, agents)


class _Agents:
    """S agents made of the same parts, which learn side by side."""

    def __init__(self, parts: Parts, seed: int, seeds: int, total_steps: int, max_episode_steps: int | None):
        self.parts, self.seeds = parts, _check.count("seeds", seeds)
        limit = {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
        seed = _check.count("seed", seed, at_least=0)
        env_seed, batch_seed, own_seed = np.random.SeedSequence(seed).generate_state(3).tolist()  # a stream for each
        self.env = VectorEnv("CartPole-v1", N_ENVS, n_seeds=seeds, seed=env_seed, **limit)
        self.buffer = ReplayBuffer(total_steps, (4,), (2,), n_seeds=seeds, action_dtype=torch.int64, seed=batch_seed)
        self.generator = torch.Generator().manual_seed(own_seed)
        nets = {"in_scale": (0.5, 0.5, 5.0, 0.5), "n_seeds": seeds, "generator": self.generator}
        self.policy = CategoricalPolicy(4, 2, (32, 32), **nets)
        self.critic = DiscreteQCritic(4, 2, (32, 32), **nets)
        self.target_critic = parts.make_target(self.critic)
        self.optimizers = [
            Adam(self.policy.parameters(), 2e-3, fused=True),
            Adam(self.critic.parameters(), 4e-3, fused=True),
        ]
        self.env.reset()
        self.store = Storing(parts, self.buffer)
        self.previous: tuple[Step, torch.Tensor] | None = None
        self.episodes: list[Episode] = []

    def collect(self) -> None:
        """Take a step in every environment, and store the step before it: its next action is known only now."""
        with torch.no_grad():
            action = self.policy(self.env.obs).sample(generator=self.generator)
        if self.previous is not None:
            step, previous_action = self.previous
            action_and_next = torch.stack([previous_action, action], -1)
            self.store(step._replace(reward=REWARD_SCALE * step.reward), action_and_next)
        self.previous = self.env.step(self.parts.executed(action)), action

    @torch.enable_grad()  # whatever torch.set_grad_enabled says
    def update(self, batch: Transition) -> torch.Tensor:
        """Take a step of both networks and return the critic's loss, (S,)."""
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

    def alone(self, index: int) -> Trained:
        """Return a copy of one agent, without the axis of seeds."""
        critic = copy.deepcopy(self.critic)
        critic.net.n_seeds = None
        critic.net.theta = torch.nn.Parameter(self.critic.net.theta.detach()[index].clone())
        rows = self.buffer.all(index)
        return Trained(self.policy.of_seed(index), critic, rows._replace(action=rows.action[:, 0]))

    def actor_loss(self, pi: Categorical, q_all: torch.Tensor) -> torch.Tensor:
        """Return the actor's loss, (S,)."""
        value = (pi.probs * q_all).sum(-1).detach()
        log_prob, q = self.parts.resample(pi, q_all, ACTION_SAMPLES, self.generator)
        return _for_each_seed(self.parts.actor_loss, log_prob, q, value)

    @torch.enable_grad()
    def measure(self, batch: Transition, critic_loss: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what every instrument shows now, (S,) each."""
        with torch.no_grad():
            q_all = self.critic.all_actions(batch.obs)
        pi, theta = self.policy(batch.obs), self.policy.net.theta
        value = (pi.probs * q_all).sum(-1)
        (exact,) = torch.autograd.grad(-value.mean(-1).sum(), theta, retain_graph=True)
        (ours,) = torch.autograd.grad(self.actor_loss(pi, q_all).sum(), theta, retain_graph=True)
        self.episodes = (self.episodes + self.env.pop_episodes())[-1000 * self.seeds :]
        reading = {
            "return": recent_returns(self.episodes, self.seeds),
            "delivered": REWARD_SCALE * recently_delivered(self.episodes, self.seeds, GAMMA),
            "value": value.mean(-1),
            "critic_loss": critic_loss,
            "spread": value.std(-1),
            "cosine": torch.cosine_similarity(ours, exact, dim=-1),
            "length": ours.norm(dim=-1) / exact.norm(dim=-1).clamp_min(1e-12),
            "entropy": pi.entropy().mean(-1),
        }
        return {name: number.detach() for name, number in reading.items()}


def _for_each_seed(function: Callable[..., torch.Tensor], *arguments: torch.Tensor) -> torch.Tensor:
    """Call a function of one agent for each of the S agents: arguments (S, ...) → (S,)."""
    try:
        return torch.vmap(function)(*arguments)
    except RuntimeError:  # vmap does not support everything that a student may write, such as .item()
        return torch.stack([function(*own) for own in zip(*arguments, strict=True)])
