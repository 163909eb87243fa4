"""The off-policy actor-critic in one file: one seed, ordinary torch.nn, no checks. It learns CartPole in a minute.

    python examples/one_file.py [SEED [STEPS]]

`offac_lite.train` has the same settings, for many seeds at once. It sums over all a′; this file draws one.
"""

import copy
import sys

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

GAMMA, TAU, BATCH, ACTION_SAMPLES, N_ENVS, RANDOM_STEPS = 0.99, 0.1, 128, 4, 8, 1000
ACTOR_LR, CRITIC_LR, ENTROPY_BONUS, REWARD_SCALE = 3e-4, 4e-3, 0.05, 0.1
OBS_SCALE = torch.tensor([0.5, 0.5, 5.0, 0.5])  # position, velocity, angle, angular velocity: now similar in size


def network(obs_size: int, out_size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(obs_size, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, out_size))


class ReplayBuffer:
    """All past transitions (s, a, r, s′, d), whichever policy wrote them; the oldest is overwritten first."""

    def __init__(self, capacity: int, obs_size: int):
        like = torch.zeros(obs_size), torch.tensor(0), torch.tensor(0.0), torch.zeros(obs_size), torch.tensor(0.0)
        self.fields = [one.expand(capacity, *one.shape).clone() for one in like]
        self.capacity, self.added = capacity, 0

    def add(self, *transitions: torch.Tensor):
        rows = torch.arange(self.added, self.added + len(transitions[0])) % self.capacity
        for field, new in zip(self.fields, transitions, strict=True):
            field[rows] = new
        self.added += len(rows)

    def sample(self, n: int) -> list[torch.Tensor]:
        rows = torch.randint(min(self.added, self.capacity), (n,))
        return [field[rows] for field in self.fields]


class TwinCritic(nn.Module):
    """Two Q-critics. Both are trained; the value that is used is the smaller one."""

    def __init__(self, obs_size: int, n_actions: int):
        super().__init__()
        self.both = nn.ModuleList(network(obs_size, n_actions) for _ in range(2))

    def forward(self, obs):
        return torch.minimum(*(critic(obs) for critic in self.both))  # Q(s, ·), (B, A)


class OffPolicyActorCritic:
    """One agent. `step()` acts in each of 8 environments; after the random steps it also learns."""

    def __init__(self, total_steps: int = 40_000, seed: int = 0):
        torch.manual_seed(seed)
        self.env = gymnasium.make_vec("CartPole-v1", num_envs=N_ENVS)
        self.policy, self.critic = network(4, 2), TwinCritic(4, 2)
        for parameter in self.policy[-1].parameters():
            parameter.data.mul_(0.01)  # start close to the uniform policy
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.policy.parameters(), ACTOR_LR)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), CRITIC_LR)
        self.buffer = ReplayBuffer(total_steps, 4)
        self.total_steps, self.steps, self.resetting = total_steps, 0, np.zeros(N_ENVS, bool)
        self.obs = OBS_SCALE * torch.from_numpy(self.env.reset(seed=seed)[0])

    def step(self):
        self.collect()
        if self.steps >= RANDOM_STEPS:
            for optimizer, lr in ((self.optimizer, ACTOR_LR), (self.critic_optimizer, CRITIC_LR)):
                optimizer.param_groups[0]["lr"] = lr * (1 - self.steps / self.total_steps)  # falls linearly to 0
            batch = self.buffer.sample(BATCH)  # old states, old actions
            self.critic_step(*batch)
            self.actor_step(batch[0])
            with torch.no_grad():  # the target network follows slowly
                for old, new in zip(self.target_critic.parameters(), self.critic.parameters(), strict=True):
                    old.lerp_(new, TAU)
        self.steps += N_ENVS

    @torch.no_grad()
    def collect(self):
        """Act with the current policy, and store what happened."""
        if self.steps < RANDOM_STEPS:
            action = torch.randint(2, (N_ENVS,))
        else:
            action = Categorical(logits=self.policy(self.obs)).sample()
        next_obs, reward, terminated, truncated, _ = self.env.step(action.numpy())
        next_obs, reward = OBS_SCALE * torch.from_numpy(next_obs), REWARD_SCALE * torch.from_numpy(reward).float()
        d = torch.from_numpy(terminated).float()  # termination only: after a time limit the target still bootstraps
        valid = torch.from_numpy(~self.resetting)  # in the step after its end an environment only resets itself
        self.buffer.add(self.obs[valid], action[valid], reward[valid], next_obs[valid], d[valid])
        self.obs, self.resetting = next_obs, terminated | truncated

    def critic_step(self, obs, action, reward, next_obs, terminated):
        """Fix 1. Regress Q(s, a) on y = r + γ (1 − d) Q̄(s′, a′), with a′ ~ π(·|s′) drawn now."""
        with torch.no_grad():
            next_action = Categorical(logits=self.policy(next_obs)).sample()  # never the stored next action
            next_q = self.target_critic(next_obs).gather(-1, next_action.unsqueeze(-1)).squeeze(-1)
            y = reward + GAMMA * (1 - terminated) * next_q
        q = [critic(obs).gather(-1, action.unsqueeze(-1)).squeeze(-1) for critic in self.critic.both]
        loss = sum(0.5 * (prediction - y).square().mean() for prediction in q)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()

    def actor_step(self, obs):
        """Fix 2. Ascend mean ∇log π(aᵖ|s) (Q(s, aᵖ) − V(s)), with K actions aᵖ ~ π(·|s) resampled at replayed s."""
        pi = Categorical(logits=self.policy(obs))
        action_resampled = pi.sample((ACTION_SAMPLES,))  # (K, B), drawn now; the stored actions are not used
        with torch.no_grad():
            q_all = self.critic(obs)
            value = (pi.probs * q_all).sum(-1, keepdim=True)  # V(s)
            advantage = (q_all - value).gather(-1, action_resampled.T).T
        loss = -(pi.log_prob(action_resampled) * advantage).mean() - ENTROPY_BONUS * pi.entropy().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    @torch.no_grad()
    def greedy_return(self, env, episodes: int = 20) -> float:
        """Play one episode in each of `episodes` environments with the most probable actions; average the returns."""
        obs, returns, playing = env.reset(seed=1)[0], np.zeros(episodes), np.ones(episodes, bool)
        while playing.any():
            action = self.policy(OBS_SCALE * torch.from_numpy(obs)).argmax(-1)
            obs, reward, terminated, truncated, _ = env.step(action.numpy())
            returns += playing * reward
            playing &= ~(terminated | truncated)
        return float(returns.mean())


def main(seed: int = 0, steps: int = 40_000) -> list[float]:
    """Train one agent, and print its greedy return every 4,000 steps."""
    agent, test_env, returns = OffPolicyActorCritic(steps, seed), gymnasium.make_vec("CartPole-v1", num_envs=20), []
    while agent.steps < steps:
        agent.step()
        if agent.steps % 4000 == 0:
            returns.append(agent.greedy_return(test_env))
            print(f"{agent.steps:6d} steps: greedy return {returns[-1]:.0f} of 500", flush=True)
    return returns


if __name__ == "__main__":
    torch.set_num_threads(1)  # these networks are small: a second thread costs more than it gains
    main(*map(int, sys.argv[1:]))
