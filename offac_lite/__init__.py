"""offac_lite: how an actor-critic learns from old data."""

from importlib.metadata import version

from offac_lite.buffer import ReplayBuffer
from offac_lite.config import CARTPOLE, PENDULUM, SAC_PENDULUM, Config
from offac_lite.run import Run
from offac_lite.training import train

__version__ = version("offac-lite")

__all__ = ["CARTPOLE", "PENDULUM", "SAC_PENDULUM", "Config", "ReplayBuffer", "Run", "train"]
