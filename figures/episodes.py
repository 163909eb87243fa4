"""An agent before it has learned, and after: train it and keep what it does: `python -m figures.episodes`.

A few minutes. The episodes are kept in `figures/episodes.json`, from which `python -m figures` draws.
"""

import argparse
import json
from pathlib import Path

import torch

from figures.ablations import BOTH, NAIVE, OLD, SEED
from offac_lite.envs import VectorEnv
from offac_lite.networks import Policy
from offac_lite.training import Learner

HERE = Path(__file__).parent


def play(policy: Policy, n_frames: int) -> list[list[float]]:
    """Let one agent take its most probable actions, episode after episode: [position, angle, falls so far] a step."""
    env = VectorEnv("CartPole-v1", 1, seed=SEED)
    env.reset()
    frames, falls = [], 0
    for _ in range(n_frames):
        position, _, angle, _ = env.obs[0].tolist()
        frames.append([round(position, 3), round(angle, 3), falls])
        with torch.no_grad():
            step = env.step(policy(env.obs).mode())
        falls += int(step.terminated)
    env.close()
    return frames


def before_and_after(seeds: int = 8, total_steps: int = 40_000, n_frames: int = 150) -> dict[str, list]:
    """Train naive replay and both fixes from the same old data; play the median agent of each, and an untrained one.

    Of the agents the one is shown whose last evaluation is the lower median.
    """
    played = {}
    for name, options in {"naive replay": NAIVE, "both fixes": BOTH}.items():
        learner = Learner(seeds=seeds, total_steps=total_steps, seed=SEED, **options, **OLD)
        played.setdefault("untrained", play(learner.agent.policy.of_seed(0), n_frames))
        for _ in learner:
            pass
        median = learner.run.returns[:, -1].argsort()[(seeds - 1) // 2].item()
        played[name] = play(learner.agent.policy.of_seed(median), n_frames)
        learner.close()
    return played


def main() -> None:
    """Train, play, and write the episodes."""
    argparse.ArgumentParser(prog="python -m figures.episodes", description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    text = json.dumps(before_and_after(), separators=(",", ":"))
    (HERE / "episodes.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
