"""The labs of the chapter Evidence about a trained agent: its episodes step by step, and its π and Q as maps."""

import copy
from dataclasses import dataclass

import ipywidgets
import torch
from torch import nn

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.stage.controls import steps_slider
from offac_lite.course.stage.lab import Lab
from offac_lite.envs import VectorEnv
from offac_lite.networks import Policy
from offac_lite.play import rollout
from offac_lite.run import Run

__all__ = ["Album", "MapModel", "WatchModel", "map_lab", "watch_lab"]

PLANES = {"angle and its speed": (2, 3), "position and its speed": (0, 1)}
"""Pairs of CartPole's coordinates (position, its speed, angle, its speed). In a map the other two are 0."""
REACH = (2.4, 2.5, 0.21, 2.5)
N_GRID = 41


@dataclass(frozen=True, eq=False)
class PlayedEpisode:
    """An episode of one agent, with its π and Q in every state."""

    obs: torch.Tensor  # (T, 4)
    probs: torch.Tensor  # (T, 2): π(left|s), π(right|s)
    q: torch.Tensor  # (T, 2), scaled rewards
    fell: bool

    @property
    def difference(self) -> torch.Tensor:
        """Q(s, right) − Q(s, left), (T,)."""
        return self.q[:, 1] - self.q[:, 0]

    @property
    def goes_right(self) -> torch.Tensor:
        """Whether right is the more probable action, (T,) bool. The agent takes it then."""
        return self.probs[:, 1] > self.probs[:, 0]

    @property
    def agrees(self) -> torch.Tensor:
        """Whether the more probable action has the higher Q, (T,) bool."""
        return self.goes_right == (self.difference > 0)


class Album:
    """The checkpoints of a CartPole run with a Q-critic, and one episode of each agent at each checkpoint.

    The agents take their most probable actions. Raises `ValueError` for any other run.

    >>> from offac_lite import train
    >>> album = Album(train(seeds=2, total_steps=1600, evaluations=2, checkpoints=True, progress=False))
    >>> album.steps, len(album.episode(index=1, agent=0).obs) == len(album.episode(index=1, agent=0).q)
    (tensor([ 800, 1600]), True)
    """

    def __init__(self, run: Run):
        if run.config.env_id != "CartPole-v1" or run.config.critic != "q":
            raise ValueError(
                f'run must be a run of CartPole-v1 with critic="q", got {run.config.env_id} with '
                f'critic="{run.config.critic}"'
            )
        if not run.checkpoints:
            raise ValueError("run has no checkpoints: train with train(..., checkpoints=True)")
        self.steps, self.checkpoints, self.n_agents = run.steps, run.checkpoints, run.config.seeds
        policies = _stacked([policy for policy, _ in run.checkpoints])
        env = VectorEnv("CartPole-v1", 1, n_seeds=policies.net.n_seeds)
        self._rollout = rollout(policies, env)
        env.close()
        self._episodes: dict[tuple[int, int], PlayedEpisode] = {}

    def index(self, trained: int) -> int:
        """Return the index of the checkpoint nearest to `trained` environment steps."""
        return (self.steps - trained).abs().argmin().item()

    @torch.no_grad()
    def probs_and_q(self, index: int, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return π(·|s) and Q(s, ·) of every agent at one checkpoint: obs (B, 4) → (S, B, 2) and (S, B, 2)."""
        policy, critic = self.checkpoints[index]
        for_each_agent = obs.expand(self.n_agents, *obs.shape).to(policy.net.theta.device)
        return policy(for_each_agent).probs.cpu(), critic.all_actions(for_each_agent).cpu()

    def episode(self, index: int, agent: int) -> PlayedEpisode:
        """Return the episode that an agent played at a checkpoint."""
        agent = _check.count("agent", agent, at_least=0, at_most=self.n_agents - 1)
        if (index, agent) not in self._episodes:
            row = index * self.n_agents + agent
            obs = self._rollout.obs[row, : self._rollout.lengths[row]]
            probs, q = self.probs_and_q(index, obs)
            fell = bool(self._rollout.terminated[row])
            self._episodes[index, agent] = PlayedEpisode(obs, probs[agent], q[agent], fell)
        return self._episodes[index, agent]

    def controls(self) -> dict[str, ipywidgets.ValueWidget]:
        """Make the sliders for checkpoint and agent."""
        return dict(
            trained=steps_slider(self.steps, "trained for, steps"),
            agent=ipywidgets.IntSlider(0, 0, self.n_agents - 1, description="agent"),
        )


def _stacked(policies: list[Policy]) -> Policy:
    """Return one policy whose seeds are those of all `policies`, one after the other, so that all play at once."""
    stacked = copy.deepcopy(policies[0])
    stacked.net.theta = nn.Parameter(torch.cat([policy.net.theta.detach() for policy in policies]))
    stacked.net.n_seeds = len(stacked.net.theta)
    return stacked


@dataclass(frozen=True, eq=False)
class WatchResult:
    """One step of an episode, and the whole episode."""

    trained: int  # environment steps
    agent: int
    step: int  # of the episode, at most its last
    played: PlayedEpisode


class WatchModel:
    """The computation of `watch_lab`: an episode with the most probable actions, and the agent's π and Q in it."""

    def __init__(self, album: Album):
        self.album = album

    def __call__(self, trained: int, agent: int = 0, step: int = 0) -> WatchResult:
        """Show the agent after `trained` steps of training. After the episode's end, `step` is its last one."""
        index = self.album.index(trained)
        played = self.album.episode(index, agent)
        return WatchResult(self.album.steps[index].item(), agent, min(step, len(played.obs) - 1), played)


def watch_lab(album: Album) -> Lab:
    """Make the watch lab: an agent's episode at each checkpoint, step by step. Press *play*, or move the slider."""
    controls = album.controls() | dict(step=ipywidgets.IntSlider(0, 0, 499, description="step of the episode"))
    return Lab(controls, WatchModel(album), plots.WatchView(), _moment_summary, play="step")


def _moment_summary(result: WatchResult) -> str:
    played, now = result.played, result.step
    position, _, angle, _ = played.obs[now].tolist()
    end = "fell" if played.fell else "was still up when time ran out"
    difference, agreement = played.difference, 100 * played.agrees.double().mean()
    return (
        f"Agent {result.agent} after {result.trained} steps of training {end} (step {len(played.obs)}). In "
        f"{agreement:.0f}% of its steps the likelier action has the higher Q. Q is {played.q.mean():.2f} on average, "
        f"and the two differ by {difference.abs().median():.3f} (median). Now step {now}: position {position:.2f} m, "
        f"angle {angle:.3f} rad; π(right) {played.probs[now, 1]:.2f}, Q(right) − Q(left) {difference[now]:.3f}."
    )


@dataclass(frozen=True, eq=False)
class MapResult:
    """π and Q of one agent over two coordinates."""

    trained: int
    agent: int
    plane: str
    right: torch.Tensor  # (N_GRID, N_GRID): π(right|s), rows are the second coordinate
    difference: torch.Tensor  # the same: Q(s, right) − Q(s, left), scaled rewards
    visited: torch.Tensor  # (T, 2): the states of its episode
    length: int

    @property
    def agreement(self) -> float:
        """The share of the map where the more probable action is the one with the higher Q."""
        return ((self.right > 0.5) == (self.difference > 0)).double().mean().item()


class MapModel:
    """The computation of `map_lab`: π and Q on a grid of states."""

    def __init__(self, album: Album):
        self.album = album
        self.grids, self._maps, like = {}, {}, {"dtype": torch.float32, "device": "cpu"}
        for name, (x, y) in PLANES.items():
            grid = torch.zeros(N_GRID, N_GRID, 4, **like)
            grid[..., x] = torch.linspace(-REACH[x], REACH[x], N_GRID, **like)
            grid[..., y] = torch.linspace(-REACH[y], REACH[y], N_GRID, **like)[:, None]
            self.grids[name] = grid.reshape(-1, 4)

    def __call__(self, trained: int, agent: int = 0, plane: str = "angle and its speed") -> MapResult:
        """Compute the maps of an agent after `trained` steps of training."""
        _check.one_of("plane", plane, list(PLANES))
        index = self.album.index(trained)
        played = self.album.episode(index, agent)
        if (index, plane) not in self._maps:
            self._maps[index, plane] = self.album.probs_and_q(index, self.grids[plane])
        probs, q = (of_all_agents[agent] for of_all_agents in self._maps[index, plane])
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
    """Make the map lab: π and Q of CartPole as maps over two coordinates, at each checkpoint."""
    model, last = MapModel(album), album.steps[-1].item()
    scale = max(model(last, agent).difference.abs().max().item() for agent in range(album.n_agents))
    planes = ipywidgets.ToggleButtons(options=list(PLANES), description="map of")
    planes.style.button_width = "max-content"
    reach = {name: (REACH[x], REACH[y]) for name, (x, y) in PLANES.items()}
    return Lab(album.controls() | dict(plane=planes), model, plots.MapView(reach, N_GRID, scale), _map_summary)


def _map_summary(result: MapResult) -> str:
    return (
        f"Agent {result.agent} after {result.trained} steps of training, {result.plane}: the likelier action is the "
        f"one with the higher Q on {100 * result.agreement:.0f}% of the map. Q(right) − Q(left) goes from "
        f"{result.difference.min():.2f} to {result.difference.max():.2f}. Its episode lasted {result.length} steps."
    )
