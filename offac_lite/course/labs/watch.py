"""The labs of notebook 06 that look at a trained agent: an episode step by step, and π and Q as maps, as they grew."""

import copy
from dataclasses import dataclass

import ipywidgets
import torch
from torch import nn

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.stage.lab import Lab, steps_slider
from offac_lite.envs import VectorEnv
from offac_lite.networks import Policy
from offac_lite.play import rollout
from offac_lite.run import Run

PLANES = {"angle and its speed": (2, 3), "position and its speed": (0, 1)}
"""Pairs of CartPole's coordinates (position, its speed, angle, its speed); in a map the other two are 0."""
REACH = torch.tensor([2.4, 2.5, 0.21, 2.5])
N_GRID = 41


@dataclass(frozen=True, eq=False)
class Played:
    """An episode of one agent, and what it thought of every state in it."""

    obs: torch.Tensor  # (T, 4)
    probs: torch.Tensor  # (T, 2): π(left|s), π(right|s)
    q: torch.Tensor  # (T, 2), scaled rewards
    fell: bool


class Album:
    """The checkpoints of a CartPole run with a Q-critic, and one episode of each agent at each of them.

    The actions are each agent's most probable ones. Raises `ValueError` for any other run.

    >>> from offac_lite import train
    >>> album = Album(train(seeds=2, total_steps=1600, evaluations=2, checkpoints=True, progress=False))
    >>> album.steps, len(album.episode(index=1, agent=0).obs) == len(album.episode(index=1, agent=0).q)
    (tensor([ 800, 1600]), True)
    """

    def __init__(self, run: Run, seed: int = 0):
        if run.config.env_id != "CartPole-v1" or run.config.critic != "q":
            raise ValueError(
                f'run must be of CartPole-v1 with critic="q", got {run.config.env_id} with critic="{run.config.critic}"'
            )
        if not run.checkpoints:
            raise ValueError("run holds no checkpoints: train(..., checkpoints=True) keeps them")
        self.steps, self.checkpoints, self.n_agents = run.steps, run.checkpoints, run.config.seeds
        everybody = _side_by_side([policy for policy, _ in run.checkpoints])
        env = VectorEnv("CartPole-v1", 1, n_seeds=everybody.net.n_seeds, seed=seed)
        self._played = rollout(everybody, env)
        env.close()
        self._episodes: dict[tuple[int, int], Played] = {}

    def index(self, trained: int) -> int:
        """Find the checkpoint nearest to `trained` environment steps."""
        return (self.steps - trained).abs().argmin().item()

    @torch.no_grad()
    def look_up(self, index: int, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give π(·|s) and Q(s, ·) of every agent at one checkpoint: obs (B, 4) → (S, B, 2) and (S, B, 2)."""
        policy, critic = self.checkpoints[index]
        everybody = obs.expand(self.n_agents, *obs.shape).to(policy.net.theta.device)
        return policy(everybody).probs.cpu(), critic.all_actions(everybody).cpu()

    def episode(self, index: int, agent: int) -> Played:
        """Give the episode of an agent as it was at a checkpoint."""
        agent = _check.count("agent", agent, at_least=0, at_most=self.n_agents - 1)
        if (index, agent) not in self._episodes:
            row = index * self.n_agents + agent
            obs = self._played.obs[row, : self._played.lengths[row]]
            probs, q = self.look_up(index, obs)
            self._episodes[index, agent] = Played(obs, probs[agent], q[agent], bool(self._played.terminated[row]))
        return self._episodes[index, agent]

    def controls(self) -> dict[str, ipywidgets.ValueWidget]:
        """Make the sliders that choose checkpoint and agent."""
        return dict(
            trained=steps_slider(self.steps, "trained for, steps"),
            agent=ipywidgets.IntSlider(0, 0, self.n_agents - 1, description="agent"),
        )


def _side_by_side(policies: list[Policy]) -> Policy:
    """Make one policy of all of them, whose seeds follow one another, so that they play at once."""
    together = copy.deepcopy(policies[0])
    together.net.theta = nn.Parameter(torch.cat([policy.net.theta.detach() for policy in policies]))
    together.net.n_seeds = len(together.net.theta)
    return together


@dataclass(frozen=True, eq=False)
class WatchResult:
    """One moment of an episode, and all of it."""

    trained: int  # environment steps
    agent: int
    step: int  # the moment: at most the last one
    played: Played


class WatchModel:
    """The computation of `watch_lab`: an episode with the most probable actions, and what the agent thinks in it."""

    def __init__(self, album: Album):
        self.album = album

    def __call__(self, trained: int, agent: int = 0, step: int = 0) -> WatchResult:
        """Show the agent as it was after `trained` steps; past the episode's end, `step` is its last one."""
        step, index = _check.count("step", step, at_least=0), self.album.index(trained)
        played = self.album.episode(index, agent)
        return WatchResult(self.album.steps[index].item(), agent, min(step, len(played.obs) - 1), played)


def watch_lab(album: Album) -> Lab:
    """Watch an agent play, as it was at each checkpoint: press *play*, or scrub."""
    controls = album.controls() | dict(step=ipywidgets.IntSlider(0, 0, 499, description="step of the episode"))
    return Lab(controls, WatchModel(album), plots.WatchView(), _moment_in_words, play="step")


def _moment_in_words(result: WatchResult) -> str:
    played, now = result.played, result.step
    position, _, angle, _ = played.obs[now].tolist()
    (left, right), q = played.probs[now].tolist(), played.q[now].tolist()
    end = "fell" if played.fell else "was still up when time ran out"
    return (
        f"Agent {result.agent} after {result.trained} steps of training {end} (step {len(played.obs)}). Now step "
        f"{now}: position {position:.2f} m, angle {angle:.3f} rad; π(left) {left:.2f}, π(right) {right:.2f}; "
        f"Q(left) {q[0]:.3f}, Q(right) {q[1]:.3f}."
    )


@dataclass(frozen=True, eq=False)
class MapResult:
    """π and Q of one agent over two coordinates."""

    trained: int
    agent: int
    plane: str
    right: torch.Tensor  # (N_GRID, N_GRID): π(right|s), rows are the second coordinate
    difference: torch.Tensor  # the same: Q(s, right) − Q(s, left), scaled rewards
    visited: torch.Tensor  # (T, 2): where its episode went
    length: int

    @property
    def agreement(self) -> float:
        """The share of the map in which the likelier action is the one with the higher Q."""
        return ((self.right > 0.5) == (self.difference > 0)).double().mean().item()


class MapModel:
    """The computation of `map_lab`: the networks, asked on a grid."""

    def __init__(self, album: Album):
        self.album = album
        self.grids, self._maps = {}, {}
        for name, (x, y) in PLANES.items():
            grid = torch.zeros(N_GRID, N_GRID, 4)
            grid[..., x] = torch.linspace(-REACH[x], REACH[x], N_GRID)
            grid[..., y] = torch.linspace(-REACH[y], REACH[y], N_GRID)[:, None]
            self.grids[name] = grid.reshape(-1, 4)

    def __call__(self, trained: int, agent: int = 0, plane: str = "angle and its speed") -> MapResult:
        """Look at the agent as it was after `trained` steps."""
        _check.one_of("plane", plane, list(PLANES))
        index = self.album.index(trained)
        played = self.album.episode(index, agent)
        if (index, plane) not in self._maps:
            self._maps[index, plane] = self.album.look_up(index, self.grids[plane])
        probs, q = (of_all[agent] for of_all in self._maps[index, plane])
        return MapResult(
            trained=self.album.steps[index].item(),
            agent=agent,
            plane=plane,
            right=probs[:, 1].reshape(N_GRID, N_GRID),
            difference=(q[:, 1] - q[:, 0]).reshape(N_GRID, N_GRID),
            visited=played.obs[:, PLANES[plane]],
            length=len(played.obs),
        )


def map_lab(album: Album) -> Lab:
    """See π and Q of CartPole as maps over two coordinates, and how they grew from checkpoint to checkpoint."""
    model, last = MapModel(album), album.steps[-1].item()
    scale = max(model(last, agent).difference.abs().max().item() for agent in range(album.n_agents))
    planes = ipywidgets.ToggleButtons(options=list(PLANES), description="map of")
    planes.style.button_width = "max-content"
    reach = {name: (REACH[x].item(), REACH[y].item()) for name, (x, y) in PLANES.items()}
    return Lab(album.controls() | dict(plane=planes), model, plots.MapView(reach, N_GRID, scale), _map_in_words)


def _map_in_words(result: MapResult) -> str:
    return (
        f"Agent {result.agent} after {result.trained} steps of training, {result.plane}: the likelier action is the "
        f"one with the higher Q on {100 * result.agreement:.0f}% of the map. Q(right) − Q(left) goes from "
        f"{result.difference.min():.2f} to {result.difference.max():.2f}. Its episode lasted {result.length} steps."
    )
