"""The off-policy actor-critic as one would write it for one seed: nn.Sequential, Adam, a tensor for each field.

The same recipe as `train` with its defaults on CartPole: two critics, of which the smaller is believed; the sum over
a′ in the target; K = 4 resampled actions with the baseline Σ π Q; an entropy bonus; a Polyak average; learning rates
that fall linearly. No checks, no seeds side by side: what `bench_training` compares `train` with. It learns:

    python -m tests.benchmarks.ordinary --seeds 3
"""

import argparse
import copy
import time

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.nn import functional

GAMMA, TAU, ENTROPY_BONUS, REWARD_SCALE, N_ACTIONS = 0.99, 0.1, 0.05, 0.1, 4
ACTOR_LR, CRITIC_LR, BATCH, RANDOM_STEPS, N_ENVS = 3e-4, 4e-3, 128, 1000, 8
OBS_SCALE = (0.5, 0.5, 5.0, 0.5)


class ReplayBuffer:
    """A tensor for each field; the oldest row is overwritten first."""

    def __init__(self, capacity: int, obs_size: int):
        self.obs, self.next_obs = torch.zeros(capacity, obs_size), torch.zeros(capacity, obs_size)
        self.action = torch.zeros(capacity, dtype=torch.int64)
        self.reward, self.terminated = torch.zeros(capacity), torch.zeros(capacity)
        self.capacity, self.added = capacity, 0

    def add(self, obs, action, reward, next_obs, terminated):
        rows = torch.arange(self.added, self.added + len(reward)) % self.capacity
        self.obs[rows], self.action[rows], self.reward[rows] = obs, action, reward
        self.next_obs[rows], self.terminated[rows] = next_obs, terminated
        self.added += len(reward)

    def sample(self, n):
        rows = torch.randint(min(self.added, self.capacity), (n,))
        return self.obs[rows], self.action[rows], self.reward[rows], self.next_obs[rows], self.terminated[rows]


def network(obs_size: int, out_size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(obs_size, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, out_size))


class Twin(nn.Module):
    """Two critics; `forward` gives both tables Q(s, ·)."""

    def __init__(self, obs_size: int, n_actions: int):
        super().__init__()
        self.first, self.second = network(obs_size, n_actions), network(obs_size, n_actions)

    def forward(self, obs):
        return self.first(obs), self.second(obs)

    def smaller(self, obs):
        return torch.minimum(*self(obs))


class OffPolicyActorCritic:
    """One agent. `step()` takes a step in each of 8 environments and, once there is data, a critic and an actor step.

    It draws from the global random stream, which `seed` sets.
    """

    def __init__(self, total_steps: int = 40_000, seed: int = 0, env_id: str = "CartPole-v1"):
        torch.manual_seed(seed)
        self.env = gymnasium.make_vec(env_id, num_envs=N_ENVS)
        obs_size, self.n_actions = self.env.single_observation_space.shape[0], int(self.env.single_action_space.n)
        self.scale = torch.tensor(OBS_SCALE)
        self.policy, self.critic = network(obs_size, self.n_actions), Twin(obs_size, self.n_actions)
        with torch.no_grad():  # start close to uniform
            self.policy[-1].weight.mul_(0.01)
            self.policy[-1].bias.mul_(0.01)
        self.target = copy.deepcopy(self.critic).requires_grad_(False)
        self.actor_optimizer = torch.optim.Adam(self.policy.parameters(), ACTOR_LR)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), CRITIC_LR)
        self.buffer = ReplayBuffer(total_steps, obs_size)
        self.total_steps, self.steps = total_steps, 0
        self.obs = self.scale * torch.from_numpy(self.env.reset(seed=seed)[0])
        self.resetting = np.zeros(N_ENVS, bool)

    def step(self):
        self.act()
        if self.steps >= RANDOM_STEPS:
            left = 1 - self.steps / self.total_steps
            self.actor_optimizer.param_groups[0]["lr"] = left * ACTOR_LR
            self.critic_optimizer.param_groups[0]["lr"] = left * CRITIC_LR
            batch = self.buffer.sample(BATCH)
            self.critic_step(*batch)
            self.actor_step(batch[0])
            with torch.no_grad():
                for old, new in zip(self.target.parameters(), self.critic.parameters(), strict=True):
                    old.lerp_(new, TAU)
        self.steps += N_ENVS

    def act(self):
        if self.steps < RANDOM_STEPS:
            action = torch.randint(self.n_actions, (N_ENVS,))
        else:
            with torch.no_grad():
                action = torch.multinomial(functional.softmax(self.policy(self.obs), -1), 1).squeeze(-1)
        obs, reward, terminated, truncated, _ = self.env.step(action.numpy())
        obs = self.scale * torch.from_numpy(obs)
        kept = torch.from_numpy(~self.resetting)  # a finished environment only resets itself in the next step
        reward, terminal = torch.from_numpy(reward).float(), torch.from_numpy(terminated).float()
        self.buffer.add(self.obs[kept], action[kept], REWARD_SCALE * reward[kept], obs[kept], terminal[kept])
        self.obs, self.resetting = obs, terminated | truncated

    def critic_step(self, obs, action, reward, next_obs, terminated):
        with torch.no_grad():
            next_value = (functional.softmax(self.policy(next_obs), -1) * self.target.smaller(next_obs)).sum(-1)
            target = reward + GAMMA * (1 - terminated) * next_value
        predictions = [q.gather(-1, action.unsqueeze(-1)).squeeze(-1) for q in self.critic(obs)]
        loss = sum(0.5 * functional.mse_loss(prediction, target) for prediction in predictions)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()

    def actor_step(self, obs):
        log_probs = functional.log_softmax(self.policy(obs), -1)
        probs = log_probs.exp()
        action = torch.multinomial(probs.detach(), N_ACTIONS, replacement=True)
        with torch.no_grad():
            q = self.critic.smaller(obs)
            advantage = (q - (probs * q).sum(-1, keepdim=True)).gather(-1, action)
        entropy = -(probs * log_probs).sum(-1).mean()
        loss = -(log_probs.gather(-1, action) * advantage).mean() - ENTROPY_BONUS * entropy
        self.actor_optimizer.zero_grad()
        loss.backward()
        self.actor_optimizer.step()

    @torch.no_grad()
    def act_greedily(self, obs: np.ndarray) -> np.ndarray:
        return self.policy(self.scale * torch.from_numpy(obs)).argmax(-1).numpy()


def greedy_return(act, env, episodes: int = 20) -> float:
    """Play one episode in each of `episodes` environments by act(obs) -> actions, and average the returns."""
    obs, _ = env.reset()
    returns, playing = np.zeros(episodes), np.ones(episodes, bool)
    while playing.any():
        obs, reward, terminated, truncated, _ = env.step(act(obs))
        returns += playing * reward
        playing &= ~(terminated | truncated)
    return float(returns.mean())


def main():
    """Train some seeds one after the other, and print their greedy returns."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    exam = gymnasium.make_vec("CartPole-v1", num_envs=20)
    exam.reset(seed=12345)
    for seed in range(options.seeds):
        agent, returns, start = OffPolicyActorCritic(options.steps, seed), [], time.perf_counter()
        while agent.steps < options.steps:
            agent.step()
            if agent.steps % 4000 == 0:
                returns.append(greedy_return(agent.act_greedily, exam))
        seconds = time.perf_counter() - start
        print(f"seed {seed}, {seconds:.0f} s, every 4000 steps:", *(f"{value:.0f}" for value in returns), flush=True)


if __name__ == "__main__":
    main()
