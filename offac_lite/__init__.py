"""offac_lite: how an actor-critic learns from old data."""

from offac_lite.buffer import ReplayBuffer
from offac_lite.mdp import TabularMDP
from offac_lite.training import train

__all__ = ["ReplayBuffer", "TabularMDP", "train"]
