"""offac_lite: how an actor-critic learns from old data."""

from offac_lite.buffer import ReplayBuffer
from offac_lite.run import Run
from offac_lite.training import PENDULUM, train

__all__ = ["PENDULUM", "ReplayBuffer", "Run", "train"]
