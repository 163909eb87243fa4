"""offac_lite: how an actor-critic learns from old data."""

from offac_lite.buffer import ReplayBuffer
from offac_lite.mdp import TabularMDP

__all__ = ["ReplayBuffer", "TabularMDP"]
