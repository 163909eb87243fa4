"""The single outcomes (r, s′, d) of each state and action, and data played with them.

`TabularMDP` knows expected rewards. The noise of a target y needs the single outcomes, and so does data.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import gymnasium
import torch

from offac_lite import _check
from offac_lite.exact._types import Probs
from offac_lite.exact.tables import read_table


@dataclass(frozen=True, eq=False)
class Transitions:
    """Transitions (s, a, r, s′, d), each with its next action, and whether a time limit cut the episode there.

    Every field is (n,). `next_action` is the action of the same policy at s′, also where the recording stopped at s′.
    """

    obs: torch.Tensor
    action: torch.Tensor
    reward: torch.Tensor
    next_obs: torch.Tensor
    terminated: torch.Tensor
    truncated: torch.Tensor
    next_action: torch.Tensor

    def __len__(self) -> int:
        """Count the transitions."""
        return len(self.obs)

    def sample(self, shape: int | tuple[int, ...], generator: torch.Generator) -> "Transitions":
        """Draw transitions with replacement, of the given shape, such as 64 or (seeds, 64)."""
        shape = (shape,) if isinstance(shape, int) else shape
        _check.generator("generator", generator)
        index = torch.randint(len(self), shape, generator=generator, device=generator.device)
        return Transitions(*(getattr(self, field.name)[index] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The outcomes of each (s, a): O triples (r, s′, d) with their probabilities. Also the distribution of s₀.

    `probability` and `reward` (float64), `next_obs` (int64) and `terminated` (bool) are (S, A, O); `initial` (float64)
    is (S,). An (s, a) with fewer than O outcomes is filled up with outcomes of probability 0.

    >>> lake = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4")
    >>> lake.next_obs[14, 2], lake.reward[14, 2], lake.terminated[14, 2]  # from 14 to the right: slip down, go, slip up
    (tensor([14, 15, 10]), tensor([0., 1., 0.], dtype=torch.float64), tensor([False,  True, False]))
    """

    probability: torch.Tensor
    reward: torch.Tensor
    next_obs: torch.Tensor
    terminated: torch.Tensor
    initial: torch.Tensor

    def __post_init__(self) -> None:
        """Check the tables."""
        shape = _check.tensor("probability", self.probability).shape
        if len(shape) != 3 or 0 in shape:
            raise ValueError(f"probability has shape {tuple(shape)}, wanted (S, A, O)")
        for name, dtype in (("reward", torch.float64), ("next_obs", torch.int64), ("terminated", torch.bool)):
            value = _check.tensor(name, getattr(self, name))
            _check.shape(name, value, shape, "(S, A, O) of probability")
            if value.dtype != dtype:
                raise TypeError(f"{name} has dtype {value.dtype}, wanted {dtype}")
        _check.finite_tensor("reward", self.reward)
        _check.distributions("probability", self.probability, shape, "(S, A, O)")
        if not ((self.next_obs >= 0) & (self.next_obs < shape[0])).all():
            low, high = self.next_obs.min(), self.next_obs.max()
            raise ValueError(f"next_obs holds states from {low} to {high}, wanted 0 to {shape[0] - 1}")
        _check.distributions("initial", _check.tensor("initial", self.initial), shape[:1], "(S,)")

    @classmethod
    def from_gymnasium(cls, env: str | gymnasium.Env, **kwargs: Any) -> "Outcomes":
        """Read the table `P` of a Gymnasium environment, such as FrozenLake. Equal outcomes of an (s, a) are merged.

        `env` is an environment, or an id with `**kwargs` for `gymnasium.make`. Raises the errors of
        `tables.read_table`.
        """
        rows, initial = read_table(env, **kwargs)
        merged: list[list[dict[tuple[int, float, bool], float]]] = [[{} for _ in actions] for actions in rows]
        for s, actions in enumerate(rows):
            for a, outcomes in enumerate(actions):
                for outcome in outcomes:
                    merged[s][a][outcome[1:]] = merged[s][a].get(outcome[1:], 0.0) + outcome.probability
        most = max(len(cell) for row in merged for cell in row)
        empty = (0, 0.0, False), 0.0
        padded = [[[*cell.items(), *[empty] * (most - len(cell))] for cell in row] for row in merged]

        def table(pick: Callable[[tuple[int, float, bool], float], float], dtype: torch.dtype) -> torch.Tensor:
            numbers = [[[pick(*item) for item in cell] for cell in row] for row in padded]
            return torch.tensor(numbers, dtype=dtype, device="cpu")

        return cls(
            table(lambda outcome, p: p, torch.float64),
            table(lambda outcome, p: outcome[1], torch.float64),
            table(lambda outcome, p: outcome[0], torch.int64),
            table(lambda outcome, p: outcome[2], torch.bool),
            initial,
        )

    @property
    def size(self) -> tuple[int, int]:
        """(S, A)."""
        n_states, n_actions = self.probability.shape[:2]
        return n_states, n_actions

    def play(self, probs: Probs, episodes: int, generator: torch.Generator, max_steps: int = 100) -> Transitions:
        """Play so many episodes with the policy `probs` (S, A), each truncated after `max_steps`.

        >>> lake = Outcomes.from_gymnasium("FrozenLake-v1", map_name="4x4")
        >>> data = lake.play(torch.full((16, 4), 0.25), 1000, torch.Generator().manual_seed(0))
        >>> 6_000 < len(data) < 9_000, bool((data.reward[~data.terminated] == 0).all())
        (True, True)
        """
        probs = _check.distributions("probs", probs, self.size, "(S, A)")
        _check.generator("generator", generator)
        episodes, max_steps = _check.count("episodes", episodes), _check.count("max_steps", max_steps)
        obs = torch.multinomial(self.initial, episodes, replacement=True, generator=generator)
        action = _draw(probs[obs], generator)
        rows = []
        for step in range(max_steps):
            which = _draw(self.probability[obs, action], generator)
            at = obs, action, which
            reward, next_obs, terminated = self.reward[at], self.next_obs[at], self.terminated[at]
            next_action = _draw(probs[next_obs], generator)
            truncated = ~terminated & (step == max_steps - 1)
            rows.append((obs, action, reward.float(), next_obs, terminated, truncated, next_action))
            obs, action = next_obs[~terminated], next_action[~terminated]
            if not len(obs):
                break
        return Transitions(*(torch.cat(column) for column in zip(*rows, strict=True)))


def _draw(probs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.multinomial(probs, 1, generator=generator)[:, 0]
