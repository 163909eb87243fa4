"""Automatic checks of the exercises, a module for each notebook.

A check runs the student's function on small inputs and compares values *and gradients* with the right answer.
Where they differ, it compares them with what well-known mistakes would give, so that it can name the mistake. It
never raises for what a student wrote, and it returns a function that the notebook can go on with: the student's
where it is right, the package's own otherwise.
"""

from offac_lite.checks.exercise import Exercise, diagnose
from offac_lite.checks.notebook_01 import ACTOR_LOSS, BOOTSTRAPS, V_TARGET, actor_loss, bootstraps, v_target
from offac_lite.checks.notebook_02 import (
    BUFFER_POLICY,
    NAIVE_FIXED_POINT,
    OLD_SHARE,
    OWNERS,
    buffer_policy,
    naive_fixed_point,
    old_share,
    owners,
)
from offac_lite.checks.notebook_03 import (
    CAUSAL_WEIGHTS,
    CLIPPED_RATIO,
    EFFECTIVE_SAMPLE_SIZE,
    causal_weights,
    clipped_ratio,
    effective_sample_size,
)
from offac_lite.checks.notebook_04 import (
    EXPECTED_VALUE,
    MEAN_CHANGE,
    NEXT_ACTION,
    Q_TARGET,
    expected_value,
    mean_change,
    next_action,
    q_target,
)
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
from offac_lite.checks.notebook_07 import (
    REPARAMETERIZED_LOSS,
    SCORE_FUNCTION_LOSS,
    SQUASHED_LOG_PROB,
    reparameterized_loss,
    score_function_loss,
    squashed_log_prob,
)

__all__ = [
    "ACTOR_LOSS",
    "BOOTSTRAPS",
    "BUFFER_POLICY",
    "CAUSAL_WEIGHTS",
    "CLIPPED_RATIO",
    "EFFECTIVE_SAMPLE_SIZE",
    "EXPECTED_VALUE",
    "LEAVE_ONE_OUT",
    "MAKE_TARGET",
    "MEAN_CHANGE",
    "NAIVE_FIXED_POINT",
    "NEXT_ACTION",
    "OLD_SHARE",
    "OWNERS",
    "POLYAK_UPDATE",
    "Q_TARGET",
    "REPARAMETERIZED_LOSS",
    "REPLAY_RATIO",
    "RESAMPLED_ADVANTAGE",
    "RESAMPLED_LOSS",
    "SCORE_FUNCTION_LOSS",
    "SQUASHED_LOG_PROB",
    "TOTAL_VARIANCE",
    "V_TARGET",
    "Exercise",
    "actor_loss",
    "bootstraps",
    "buffer_policy",
    "causal_weights",
    "clipped_ratio",
    "diagnose",
    "effective_sample_size",
    "expected_value",
    "leave_one_out",
    "make_target",
    "mean_change",
    "naive_fixed_point",
    "next_action",
    "old_share",
    "owners",
    "polyak_update",
    "q_target",
    "reparameterized_loss",
    "replay_ratio",
    "resampled_advantage",
    "resampled_loss",
    "score_function_loss",
    "squashed_log_prob",
    "total_variance",
    "v_target",
]
