"""A world of two states, in which the parts of an agent can be tested exactly."""

from dataclasses import dataclass

import torch

from offac_lite.exact.mdp import TabularMDP
from offac_lite.exact.outcomes import Transitions
from offac_lite.networks import of_actions

__all__ = ["TableCritic", "TwoStates", "two_states"]


class TableCritic:
    """A critic whose Q is a table (S, A); its observations are numbers of states."""

    def __init__(self, table: torch.Tensor):
        self.table = table

    def all_actions(self, obs: torch.Tensor) -> torch.Tensor:
        """Return Q(s, a) of every action, (..., B, A)."""
        return self.table[obs]

    def __call__(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Return Q(s, a), with the shape of `action`."""
        return of_actions(self.table[obs], action)


@dataclass(frozen=True, eq=False)
class TwoStates(Transitions):
    """Two states, two actions, and every transition that a uniform β could store, each once.

    In state 0, action 0 gives 0 and leads to state 1; action 1 gives 1 and stays. In state 1, action 0 gives 0 and
    leads to state 0; action 1 gives 2 and ends the episode. The rows hold every s, a and a′, once in the middle of an
    episode and once where a time limit ends it. So `obs`, `action`, `reward`, `next_obs`, `terminated`, `truncated`
    and `next_action` are (16,).
    """

    mdp: TabularMDP


def two_states(gamma: float = 0.9) -> TwoStates:
    """Make a small world in which a test finds most bugs.

    >>> world = two_states(gamma=0.5)
    >>> world.mdp.action_values([[0.0, 1.0], [0.0, 1.0]])
    tensor([[1., 2.],
            [1., 2.]], dtype=torch.float64)
    """
    transition = [[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]]
    mdp = TabularMDP(transition, [[0.0, 1.0], [0.0, 2.0]], [1.0, 0.0], gamma)
    obs, action, next_action, at_limit = torch.cartesian_prod(*[torch.arange(2, device="cpu")] * 4).unbind(-1)
    terminated = (obs == 1) & (action == 1)
    truncated = (at_limit == 1) & ~terminated
    next_obs = torch.where(action == 0, 1 - obs, obs)  # after the end too, where an environment still returns one
    return TwoStates(obs, action, mdp.reward[obs, action], next_obs, terminated, truncated, next_action, mdp)
