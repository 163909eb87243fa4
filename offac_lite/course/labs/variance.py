"""The variance labs: what K, N, the baseline, the reward and the age of the data do to a gradient estimate."""

from collections.abc import Sequence

import ipywidgets

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.labs.buttons import baseline_buttons, have
from offac_lite.course.labs.variance_model import FRAMES, MAX_AGE, VARIANCE_KS, VarianceModel, VarianceResult
from offac_lite.course.stage.controls import log_slider, selected_controls
from offac_lite.course.stage.lab import Lab
from offac_lite.course.stage.question import Question

__all__ = ["action_lab", "reward_lab", "variance_lab"]

OFFSETS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)


def _controls(names: Sequence[str], leave_one_out: bool = True) -> dict[str, ipywidgets.ValueWidget]:
    """Make the controls of these names; not every lab has leave-one-out."""
    controls = dict(
        estimator=ipywidgets.ToggleButtons(options=["stored", "resampled"], value="stored", description="actions"),
        reward_offset=ipywidgets.SelectionSlider(options=OFFSETS, description="added to each reward"),
        action_samples=log_slider(VARIANCE_KS, 1, "K, actions per state"),
        batch_size=log_slider((8, 16, 32, 64), 32, "N, states per batch"),
        baseline=baseline_buttons(leave_one_out),
        age=ipywidgets.IntSlider(0, 0, MAX_AGE, description="age of the data, updates"),
    )
    return selected_controls(controls, names)


def _cloud_lab(policy: str, controls: dict, presets: dict[str, dict], questions: Sequence[Question]) -> Lab:
    """Make a lab whose view is the cloud."""
    model, view = VarianceModel(policy), plots.VarianceView(FRAMES[policy])
    return Lab(controls, model, view, _cloud_summary, sample="seed", presets=presets, questions=questions, pinned=True)


_K_AND_BASELINE = {
    "K = 1, Q": dict(action_samples=1, baseline="none"),
    "K = 16, Q": dict(action_samples=16, baseline="none"),
    "K = 64, Q": dict(action_samples=64, baseline="none"),
    "K = 1, Q − V": dict(action_samples=1, baseline="value"),
}
_UNTRAINED = (
    Question(
        "With Q itself, drag K until the green half circle is no larger than the dotted one.",
        lambda on, result: have(on, baseline="none") and result.cloud.distance < result.cloud.ring,
        "K = 32 does it, K = 16 does not. The exact number is 18.5.",
    ),
    Question(
        "Now reach the dotted half circle with a single action.",
        lambda on, result: have(on, baseline="value", action_samples=1),
        "Q − V reaches it: subtracting the baseline V saves more than 17 actions.",
    ),
    Question(
        "Set K = 64 with Q itself. Is any distance left?",
        lambda on, result: have(on, baseline="none", action_samples=64),
        "Yes: 1.8 lengths of ∇J. Part of the noise comes from which states are in the batch, and K cannot lower it.",
    ),
)
_HALF_TRAINED = (
    Question(
        "With Q itself, does K = 64 bring the estimates as close as the dotted half circle?",
        lambda on, result: have(on, baseline="none", action_samples=64),
        "No. For this policy it takes about 97 actions, and the slider ends at 64.",
    ),
    Question(
        "Choose Q − V. From which K on does a larger K hardly help?",
        lambda on, result: have(on, baseline="value") and on.get("action_samples", 1) >= 16,
        "From about 16 on. There the variance across actions is smaller than the variance across states.",
    ),
    Question(
        "With Q − V and K = 64, which slider still brings the estimates closer?",
        lambda on, result: have(on, baseline="value", action_samples=64, batch_size=64),
        "N. It divides both parts of the variance.",
    ),
)
_REWARD = (
    Question(
        "With nothing added and Q itself, find a K at which the green half circle is no larger than the dotted one.",
        lambda on, result: have(on, reward_offset=0.0, baseline="none") and result.cloud.distance < result.cloud.ring,
        "K = 32: K* is 18.5.",
    ),
    Question(
        "Add 1 to each reward. Can any K on the slider still do it?",
        lambda on, result: have(on, reward_offset=1.0, baseline="none", action_samples=64),
        "No: K* is 147 now. Q of every action has grown, and with it the noise of Q as a weight.",
    ),
    Question(
        "Keep the added reward and choose Q − V.",
        lambda on, result: have(on, reward_offset=1.0, baseline="value"),
        "V has grown with Q, so the baseline takes nearly all of the noise away.",
    ),
)
_ACTION = (
    Question(
        "With stored actions and Q itself, age the data until fewer than 5% of the estimates point uphill.",
        lambda on, result: have(on, estimator="stored", baseline="none") and result.cloud.uphill < 0.05,
        "At an age of about 8 updates. Stored actions with Q pull π back to the policy that wrote the data.",
    ),
    Question(
        "Leave the age, and resample the actions.",
        lambda on, result: have(on, estimator="resampled", baseline="none") and on["age"] >= 7,
        "More than half point uphill again: their mean points the right way. What is left is noise.",
    ),
    Question(
        "At an age of 20, choose Q − V. Which actions are closer to ∇J?",
        lambda on, result: have(on, estimator="resampled", baseline="value", age=20),
        "The resampled ones: 0.7 lengths of ∇J against 3.9. Most of the 0.7 is due to the buffer's states.",
    ),
)


def variance_lab(
    policy: str = "half trained", controls: Sequence[str] = ("action_samples", "batch_size", "baseline")
) -> Lab:
    """Make the variance lab: 300 gradient estimates around the exact gradient, in a frame that stays.

    `policy` as in `VarianceModel`. `controls` names those to show, from action_samples, batch_size and baseline.

    >>> lab = variance_lab("untrained")
    >>> lab.set(action_samples=16)
    >>> round(lab.result.cloud.distance, 2), round(lab.result.cloud.ring, 2)  # K* is 18.5
    (2.63, 2.5)
    """
    _check.one_of("policy", policy, list(FRAMES))
    for name in controls:
        _check.one_of("controls", name, ["action_samples", "batch_size", "baseline"])
    presets = {label: on for label, on in _K_AND_BASELINE.items() if set(on) <= set(controls)}
    shown = _controls(controls, leave_one_out=policy == "half trained")
    return _cloud_lab(policy, shown, presets, _UNTRAINED if policy == "untrained" else _HALF_TRAINED)


def reward_lab() -> Lab:
    """Make the lab of the reward: what a constant that is added to each reward does to the estimates of a new agent."""
    presets = {"nothing added": dict(reward_offset=0.0), "each reward + 1": dict(reward_offset=1.0)}
    controls = _controls(["reward_offset", "action_samples", "baseline"], leave_one_out=False)
    return _cloud_lab("untrained", controls, presets, _REWARD)


def action_lab() -> Lab:
    """Make the lab of the action: stored or resampled, on data that ages."""
    presets = {f"age {age}": dict(age=age) for age in (0, 2, 10, 20)}
    controls = _controls(["estimator", "age", "baseline"], leave_one_out=False)
    return _cloud_lab("half trained", controls, presets, _ACTION)


def _cloud_summary(result: VarianceResult) -> str:
    cloud = result.cloud
    return (
        f"{cloud.uphill:.0%} of the estimates point uphill. Their distance from ∇J is {cloud.distance:.1f} lengths of "
        f"∇J (root mean square); with a baseline and one action it is {cloud.ring:.1f}."
    )
