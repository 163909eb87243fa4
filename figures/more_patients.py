"""Train the patients whose bug lies outside the loss, and keep what came out: `python -m figures.more_patients`.

About ten minutes on one core; what the file holds already is not trained again. `figures/more_patients.json` keeps, for
each of 16 fresh seeds, the returns, and at the end what was promised and delivered. The chapter on more patients reads
it.
"""

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.wrappers import TransformReward

from figures.keeping import held, rounded, write
from offac_lite import CARTPOLE, PENDULUM, train
from offac_lite.buffer import ReplayBuffer
from offac_lite.config import Config
from offac_lite.course.clinic import instruments, play_episodes
from offac_lite.envs import VectorEnv
from offac_lite.play import evaluate, fill
from offac_lite.run import Run

FILE = Path(__file__).parent / "more_patients.json"
SEED, N_SEEDS = 7000, 16  # no setting was chosen on these seeds


class ScaledTwice(gymnasium.ActionWrapper):
    """Patient L: the policy's torque is within the bounds already, and is halved once more on its way."""

    def action(self, action: np.ndarray) -> np.ndarray:
        """Return the action that is executed."""
        return (0.5 * action).astype(np.float32)


class FirstOfNext(gymnasium.Wrapper):
    """At a time limit the next state is the first observation of a new episode, as after a reset in the same step."""

    def step(self, action: np.ndarray) -> tuple[Any, ...]:
        """Replace the final observation."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        if truncated:
            angle, speed = self.np_random.uniform([-np.pi, -1.0], [np.pi, 1.0])  # as Pendulum starts
            obs = np.array([np.cos(angle), np.sin(angle), speed], np.float32)
        return obs, reward, terminated, truncated, info


VARIANTS: dict[str, tuple[str, type[gymnasium.Wrapper] | None]] = {
    "healthy": ("Pendulum-v1", None),
    "patient L": ("offac_lite/PendulumScaledTwice-v0", ScaledTwice),
    "first observation as s′": ("offac_lite/PendulumFirstOfNext-v0", FirstOfNext),
}


def make(wrapper: type[gymnasium.Wrapper] | None = None, **_: Any) -> gymnasium.Env:
    """Make Pendulum, with its time limit inside the wrapper."""
    env = gymnasium.make("Pendulum-v1")
    return env if wrapper is None else wrapper(env)


for name, wrapper in VARIANTS.values():
    if wrapper is not None:
        gymnasium.register(name, make, kwargs={"wrapper": wrapper}, order_enforce=False, disable_env_checker=True)


def at_the_end(run: Run, wrapper: type[gymnasium.Wrapper] | None) -> dict[str, list[float]]:
    """Read what was promised and delivered of each seed, from five episodes in the world that the agent plays in."""
    reading: dict[str, list[float]] = {"promised": [], "delivered": []}
    scale = run.config.reward_scale
    buffer = ReplayBuffer(64, (3,), (1,), action_dtype=torch.float32)
    fill(buffer, VectorEnv("Pendulum-v1", 4, seed=SEED), None, 64, torch.Generator().manual_seed(SEED))
    batch = buffer.all()._replace(reward=scale * buffer.all().reward)
    own = wrapper if wrapper is ScaledTwice else None  # a stored row is not what happens
    for seed in range(run.config.seeds):
        policy, generator = run.policy.of_seed(seed), torch.Generator().manual_seed(seed)
        env = TransformReward(make(own), lambda reward: scale * reward)
        episodes = play_episodes(env, lambda obs, p=policy, g=generator: p.act(obs, generator=g), 5, SEED + seed)

        def critic(obs: torch.Tensor, action: torch.Tensor, seed: int = seed) -> torch.Tensor:
            stacked = (x.expand(run.config.seeds, *x.shape) for x in (obs, action))
            return run.critic(*stacked)[seed]

        numbers = instruments(policy, critic, batch, episodes)
        for name, values in reading.items():
            values.append(round(numbers[name], 3))
    return reading


@torch.no_grad()
def drawn_returns(run: Run) -> torch.Tensor:
    """Evaluate every checkpoint with drawn actions instead of the most probable ones: the mean return of each seed."""
    c = run.config
    env = VectorEnv(c.env_id, c.eval_episodes, n_seeds=c.seeds, seed=SEED + 1)
    generator = torch.Generator().manual_seed(SEED)
    return torch.stack([evaluate(policy, env, generator=generator).mean(1) for policy, _ in run.checkpoints], 1)


def trained(config: Config) -> Run:
    """Train `N_SEEDS` fresh seeds."""
    return train(config, seeds=N_SEEDS, seed=SEED, progress=False)


def compare_evaluations() -> dict[str, Any]:
    """Train on CartPole, and evaluate with the most probable and with drawn actions."""
    run = trained(replace(CARTPOLE, total_steps=16_000, evaluations=8, checkpoints=True))
    returns = {"most probable": run.returns, "drawn": drawn_returns(run), "training": run.log["exploring_return"]}
    return {"steps": run.steps.tolist(), **{name: rounded(curves) for name, curves in returns.items()}}


def train_variant(env_id: str, wrapper: type[gymnasium.Wrapper] | None) -> dict[str, Any]:
    """Train on one form of Pendulum."""
    run = trained(replace(PENDULUM, env_id=env_id, evaluations=10, obs_scale=(0.78, 0.77, 0.15)))
    return {"steps": run.steps.tolist(), "returns": rounded(run.returns), **at_the_end(run, wrapper)}


def main() -> None:
    """Train what is missing, and write it down as it comes."""
    argparse.ArgumentParser(prog="python -m figures.more_patients", description=__doc__.splitlines()[0]).parse_args()
    kept: dict[str, Any] = held(FILE)
    parts = {"evaluation": compare_evaluations}
    parts |= {name: partial(train_variant, *variant) for name, variant in VARIANTS.items()}
    for name, part in parts.items():
        if name not in kept:
            kept[name] = part()
            write(FILE, kept)
            print(name, "is kept", flush=True)


if __name__ == "__main__":
    main()
