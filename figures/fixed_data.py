"""What is learned from a buffer that never grows? Train and keep what came out: `python -m figures.fixed_data`.

About half an hour on one core; what the file holds already is not trained again.
`figures/fixed_data.json` keeps, for each of 16 fresh seeds and each evaluation: the returns of most probable actions,
of drawn ones, and of those with the largest Q; how episodes ended; and what the critic believes beside what the policy
then earns. The chapter on fixed data reads it.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch

from figures.ablations import NAIVE
from figures.keeping import held, rounded, write
from offac_lite import equations
from offac_lite.config import CARTPOLE, Config
from offac_lite.networks import Policy
from offac_lite.training import Learner
from offac_lite.updates import expected_q

FILE = Path(__file__).parent / "fixed_data.json"
SEED, N_SEEDS = 8000, 16  # no setting was chosen on these seeds
TEMPERATURES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
ENTROPY_BONUSES = (1.0, 0.3, 3.0)  # those of both fixes; 0.05 is the default
DATA = {
    "random": None,
    "mostly right": (0.2, 0.8),
}  # the probabilities of both actions in the play that fills the buffer
EDGES = [round(0.3 * i, 1) for i in range(9)]  # bins of the distance from the middle; the track ends at 2.4
STEPS = 600  # what follows later counts less than 0.003


class Played(NamedTuple):
    """One episode of each agent from each state, (S, B) each."""

    discounted: torch.Tensor  # return, in scaled rewards
    edge: torch.Tensor  # whether the cart left the track
    fell: torch.Tensor  # whether the pole fell
    length: torch.Tensor
    obs: torch.Tensor  # the state before each step, (S, T, B, 4)
    playing: torch.Tensor  # whether the episode still went on there, (S, T, B)


def awac(temperature: float) -> Callable[..., torch.Tensor]:
    """Return AWAC's loss as `train` takes it. With λ = ∞ it clones the behaviour policy."""

    def loss(policy: Any, critic: Any, obs: torch.Tensor, stored_action: torch.Tensor, *_: Any) -> torch.Tensor:
        pi = policy(obs)
        advantage = critic(obs, stored_action) - expected_q(pi, critic.all_actions(obs))
        return equations.awac_loss(pi.log_prob(stored_action), advantage, temperature)

    return loss


def variants() -> dict[str, dict[str, Any]]:
    """Return the options of each variant."""
    stored = {f"AWAC, λ = {t:g}": {"resampled_loss": awac(t), "entropy_bonus": 0.0} for t in TEMPERATURES}
    cloning = {"cloning": {"resampled_loss": awac(1e9), "entropy_bonus": 0.0}}
    entropy = {f"both fixes, α = {alpha:g}": {"entropy_bonus": alpha} for alpha in ENTROPY_BONUSES}
    return {"both fixes": {}} | cloning | stored | entropy | {"naive": NAIVE}


Act = Callable[[torch.Tensor], torch.Tensor]
"""From states (S, B, 4) to actions (S, B)."""


@torch.no_grad()
def play(act: Act, obs: torch.Tensor, steps: int, config: Config) -> Played:
    """Play CartPole from given states (S, B, 4), for so many steps at most."""
    shape = obs.shape[:2]
    env: Any = gymnasium.make_vec("CartPole-v1", num_envs=shape.numel(), max_episode_steps=steps + 1)
    env.reset(seed=SEED)
    env.unwrapped.state = obs.reshape(-1, 4).numpy().T.astype(np.float32)
    playing = torch.ones(shape, dtype=torch.bool)
    edge, fell, length, discounted = playing & False, playing & False, torch.zeros(shape), torch.zeros(shape)
    passed = []
    for step in range(steps):
        passed.append((obs, playing))
        after, _, ended, _, _ = env.step(act(obs).flatten().numpy())
        obs, done = torch.from_numpy(np.array(after)).view(*shape, 4), torch.from_numpy(np.array(ended)).view(shape)
        length += playing
        discounted += playing * config.reward_scale * config.gamma**step
        off = obs[..., 0].abs() > 2.4
        edge, fell, playing = edge | (playing & done & off), fell | (playing & done & ~off), playing & ~done
        if not playing.any():
            break
    env.close()
    seen = [torch.stack(rows, 1) for rows in zip(*passed, strict=True)]
    return Played(discounted, edge, fell, length, *seen)


@torch.no_grad()
def believed(policy: Policy, critic: Any, obs: torch.Tensor) -> torch.Tensor:
    """Return what the critic believes each state is worth, E_π[Q(s, a)] or V(s), (S, B)."""
    return expected_q(policy(obs), critic.all_actions(obs)) if hasattr(critic, "all_actions") else critic(obs)


def stored_states(learner: Learner) -> dict[str, torch.Tensor]:
    """Return s, s′ and d of each seed's whole buffer, (S, n, ...)."""
    rings = [learner.buffer.all(seed) for seed in range(N_SEEDS)]
    return {name: torch.stack([getattr(ring, name) for ring in rings]) for name in ("obs", "next_obs", "terminated")}


def about(data: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Describe the data of all seeds: how far from the middle it reaches, and how its episodes ended."""
    far, after = data["obs"][..., 0].abs(), data["next_obs"][..., 0].abs()
    shares = torch.histogram(far, torch.tensor(EDGES)).hist / far.numel()
    ended = data["terminated"]
    return {
        "edges": EDGES,
        "shares": [round(share, 6) for share in shares.tolist()],
        "farthest": round(after.max().item(), 2),
        "beyond 1": round((far > 1).double().mean().item(), 6),
        "episodes": int(ended.sum()),
        "ended at the edge": int((ended & (after > 2.4)).sum()),
        "mean length": round(ended.numel() / ended.sum().item(), 1),
    }


def measure(learner: Learner, states: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Play in three ways, see how episodes end, and compare belief and truth at 32 stored states; (S,) each."""
    policy, critic, c = learner.agent.policy, learner.agent.critic, learner.config
    start = torch.empty(N_SEEDS, 20, 4).uniform_(-0.05, 0.05, generator=generator)
    greedy, drawn = play(lambda obs: policy(obs).mode(), start, 500, c), play(drawing(policy, generator), start, 500, c)
    seen = {
        "drawn": drawn.length,
        "edge": greedy.edge,
        "fell": greedy.fell,
        "believed": believed(policy, critic, states),
    }
    seen["earned"] = play(drawing(policy, generator), states, STEPS, c).discounted
    if c.critic == "q":
        seen["largest Q"] = play(lambda obs: critic.all_actions(obs).argmax(-1), start, 500, c).length
    return {name: values.double().mean(1) for name, values in seen.items()}


def drawing(policy: Policy, generator: torch.Generator) -> Act:
    """Return what draws actions from the policy."""
    return lambda obs: policy(obs).sample(generator=generator)


@torch.no_grad()
def on_the_track(learner: Learner, generator: torch.Generator) -> dict[str, list[list[float | None]]]:
    """Compare belief and truth at the states that the policy itself visits, by their distance from the middle, (S, X).

    20 episodes of each agent, with drawn actions. The states are those of the first 500 steps; what follows each is
    summed over at least 500 more. None: never visited.
    """
    policy, critic, c = learner.agent.policy, learner.agent.critic, learner.config
    start = torch.empty(N_SEEDS, 20, 4).uniform_(-0.05, 0.05, generator=generator)
    played = play(drawing(policy, generator), start, 1_000, c)
    earned = torch.zeros(played.playing.shape)
    for step in reversed(range(played.playing.shape[1])):
        later = earned[:, step + 1] if step + 1 < played.playing.shape[1] else 0.0
        earned[:, step] = played.playing[:, step] * (c.reward_scale + c.gamma * later)
    obs, here, earned = played.obs[:, :500], played.playing[:, :500], earned[:, :500]
    belief = believed(policy, critic, obs.flatten(1, 2)).view(here.shape)
    place = torch.bucketize(obs[..., 0].abs(), torch.tensor(EDGES[1:]))
    kept: dict[str, list[list[float | None]]] = {"visits": [], "believed there": [], "earned there": []}
    for seed in range(N_SEEDS):
        inside = [here[seed] & (place[seed] == i) for i in range(len(EDGES) - 1)]
        kept["visits"].append([round(x.sum().item() / here[seed].sum().item(), 4) for x in inside])
        for name, values in (("believed there", belief), ("earned there", earned)):
            kept[name].append([round(values[seed][x].mean().item(), 2) if x.any() else None for x in inside])
    return kept


def train_variant(data: str, options: dict[str, Any]) -> dict[str, Any]:
    """Train one variant on one kind of data, and measure it at every evaluation."""
    fixed = replace(CARTPOLE, prefill=(DATA[data], 20_000), collect=False, seeds=N_SEEDS, seed=SEED, evaluations=10)
    learner, generator = Learner(fixed, **options), torch.Generator().manual_seed(SEED)
    stored = stored_states(learner)
    states, seen = stored["obs"][:, torch.randperm(20_000, generator=generator)[:32]], []
    for _ in learner:
        if len(learner.run.steps) > len(seen):
            seen.append(measure(learner, states, generator))
    run = learner.run
    kept: dict[str, Any] = {"updates": (run.steps // learner.config.n_envs).tolist(), "returns": rounded(run.returns)}
    kept["entropy"] = rounded(run.log["entropy"], 3)
    for name in seen[0]:
        kept[name] = rounded(torch.stack([row[name] for row in seen], 1), 1 if name in ("drawn", "largest Q") else 2)
    kept |= on_the_track(learner, generator)
    learner.close()
    return kept | {"data": about(stored)}


def main() -> None:
    """Train what is missing, and write it down as it comes."""
    argparse.ArgumentParser(prog="python -m figures.fixed_data", description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    kept: dict[str, Any] = held(FILE)
    parts = {data: {name: partial(train_variant, data, o) for name, o in variants().items()} for data in DATA}
    for data, of_data in parts.items():
        group = kept.setdefault(data, {})
        for name, part in of_data.items():
            if name not in group:
                result = part()
                kept.setdefault("data", {})[data] = result.pop("data")
                group[name] = result
                write(FILE, kept)
                print(data, name, "is kept", flush=True)


if __name__ == "__main__":
    main()
