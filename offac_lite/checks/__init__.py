"""Automatic checks of the exercises, a module for each notebook.

A check runs the student's function on small inputs and compares values *and gradients* with the right answer.
Where they differ, it compares them with what well-known mistakes would give, so that it can name the mistake. It
never raises for what a student wrote, and it returns a function that the notebook can go on with: the student's
where it is right, the package's own otherwise.
"""

from offac_lite.checks.exercise import Exercise, diagnose
from offac_lite.checks.notebook_01 import ACTOR_LOSS, BOOTSTRAPS, V_TARGET, actor_loss, bootstraps, v_target
from offac_lite.checks.notebook_05 import (
    LEAVE_ONE_OUT,
    RESAMPLED_ADVANTAGE,
    RESAMPLED_LOSS,
    TOTAL_VARIANCE,
    leave_one_out,
    resampled_advantage,
    resampled_loss,
    total_variance,
)
from offac_lite.checks.notebook_06 import (
    MAKE_TARGET,
    POLYAK_UPDATE,
    REPLAY_RATIO,
    make_target,
    polyak_update,
    replay_ratio,
)

__all__ = [
    "ACTOR_LOSS",
    "BOOTSTRAPS",
    "LEAVE_ONE_OUT",
    "MAKE_TARGET",
    "POLYAK_UPDATE",
    "REPLAY_RATIO",
    "RESAMPLED_ADVANTAGE",
    "RESAMPLED_LOSS",
    "TOTAL_VARIANCE",
    "V_TARGET",
    "Exercise",
    "actor_loss",
    "bootstraps",
    "diagnose",
    "leave_one_out",
    "make_target",
    "polyak_update",
    "replay_ratio",
    "resampled_advantage",
    "resampled_loss",
    "total_variance",
    "v_target",
]
