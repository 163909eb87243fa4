"""The weights labs: what a product of ratios costs, and what one ratio does instead."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch

from offac_lite import _check
from offac_lite.course import plots
from offac_lite.course.labs.buttons import baseline_of
from offac_lite.course.stage.controls import selected_controls, set_control
from offac_lite.course.stage.lab import Lab
from offac_lite.course.stage.question import Question
from offac_lite.exact._types import F64
from offac_lite.exact.trajectories import corridor
from offac_lite.exact.weightings import WeightedMoments, weighting_moments

__all__ = ["WeightsModel", "one_ratio_lab", "weights_lab"]

HORIZONS = tuple(range(1, 21))
RIGHT = 0.7
"""The probability with which π walks right."""
COUNTS = (1, 10, 100, 1_000, 10_000, 100_000)


@dataclass(frozen=True, eq=False)
class WeightsResult:
    """What the weights lab shows for one setting of its controls. Lengths are in units of ‖∇J‖."""

    weighting: str
    horizon: int
    n: int
    edges: np.ndarray  # (m + 1,), edges of bins of log10 of one weight drawn at random
    data_mass: np.ndarray  # (m,), the probability of each bin under β
    wanted_mass: np.ndarray  # (m,), the same times the weight: the bin's share of the weighted mean
    share: float  # (E w)² / E w²: the effective sample size, as a share of n
    sampled_share: float | None  # what a student's function says of n sampled weights
    largest: float  # the largest weight that can occur
    bias: float
    standard_error: float
    errors: dict[str, np.ndarray]  # {weighting: √(bias² + variance / n) at each horizon}
    parts: dict[str, tuple[float, float]]  # {weighting: bias and standard error}

    @property
    def error(self) -> float:
        """√(bias² + standard error²) of the selected weighting."""
        return math.hypot(self.bias, self.standard_error)


class WeightsModel:
    """The weights lab's computation. Every number is exact; nothing is sampled.

    The task is the corridor of `trajectories.corridor`. π walks right with probability 0.7 in every square, β with
    probability `right`. So the logarithm of a product of k ratios is k log(0.3/(1 − right)) plus a binomial number of
    equal steps.

    `effective_sample_size`, a function as in notebook 03, is called with the logarithms of n sampled weights.

    >>> result = WeightsModel()("whole", horizon=8, right=0.3)
    >>> round(result.share, 4)  # 1 / E[ρ²]⁸ = 1.7619⁻⁸
    0.0108
    """

    def __init__(self, effective_sample_size: Callable[[torch.Tensor], torch.Tensor] | None = None):
        self.effective_sample_size = effective_sample_size
        self.mdp = corridor()
        self.logits = self._walker(RIGHT).log()
        self.moments = functools.lru_cache(maxsize=512)(self._moments)

    def _walker(self, right: float) -> torch.Tensor:
        return torch.tensor([1 - right, right], **F64).expand(self.mdp.n_states, 2)

    def _moments(self, weighting: str, right: float, clip: float | None, baseline: str | None) -> WeightedMoments:
        options = dict(behavior=self._walker(right), clip=clip, baseline=baseline)
        return weighting_moments(self.mdp, self.logits, weighting, HORIZONS[-1], **options)

    def __call__(
        self,
        weighting: str = "whole",
        baseline: str | None = None,  # or "none"
        horizon: int = 8,
        right: float = 0.3,
        clip: float = 1.5,
        n: int = 100,
    ) -> WeightsResult:
        """Compute the distribution of the weights, and the errors of the four weightings.

        `clip` applies to "clipped" alone. Raises `ValueError` for a horizon outside 1 to 20, and for a probability
        `right` that is not strictly between 0 and 1.
        """
        _check.one_of("weighting", weighting, ("whole", "causal", "single", "clipped"))
        _check.count("horizon", horizon, at_most=HORIZONS[-1])
        if not 0 < right < 1:
            raise ValueError(f"right must lie strictly between 0 and 1, got {right}")
        n, right = _check.count("n", n), round(right, 10)
        baseline = baseline_of(baseline)
        unclipped = ("whole", "causal", "single", "resampled")
        by_name = {name: self.moments(name, right, None, baseline) for name in unclipped}
        by_name["clipped"] = self.moments("single", right, clip, baseline)
        here, at = by_name[weighting], horizon - 1
        length = here.target[at].norm().item()
        parts = {
            name: (m.bias[at].item() / length, math.sqrt(m.variance[at].item() / n) / length)
            for name, m in by_name.items()
        }
        log_weight, probability = weight_atoms(weighting, horizon, right, clip)
        weight = np.exp(log_weight)
        mean, square = probability @ weight, probability @ weight**2
        steps = horizon if weighting in ("whole", "causal") else 0
        edges, masses = _binned(log_weight / math.log(10), (probability, probability * weight), right, steps)
        return WeightsResult(
            weighting=weighting,
            horizon=horizon,
            n=n,
            edges=edges,
            data_mass=masses[0],
            wanted_mass=masses[1],
            share=float(mean**2 / square),
            sampled_share=self._sampled_share(log_weight, probability, n),
            largest=float(weight.max()),
            bias=parts[weighting][0],
            standard_error=parts[weighting][1],
            errors={name: m.error(n).numpy() for name, m in by_name.items()},
            parts=parts,
        )

    def _sampled_share(self, log_weight: np.ndarray, probability: np.ndarray, n: int) -> float | None:
        if self.effective_sample_size is None:
            return None
        drawn = np.random.default_rng(0).choice(log_weight, n, p=probability / probability.sum())
        return float(self.effective_sample_size(torch.tensor(drawn, **F64))) / n


def weight_atoms(weighting: str, horizon: int, right: float, clip: float) -> tuple[np.ndarray, np.ndarray]:
    """Return every value that log w can have under β, and its probability. For "causal", w is a random reward's weight.

    >>> weight_atoms("single", 8, 0.5, 2.0)
    (array([-0.51082562,  0.33647224]), array([0.5, 0.5]))
    """
    left_step, right_step = math.log((1 - RIGHT) / (1 - right)), math.log(RIGHT / right)
    if weighting in ("single", "clipped"):
        largest = math.log(clip) if weighting == "clipped" else math.inf
        return np.minimum([left_step, right_step], largest), np.array([1 - right, right])
    lengths = [horizon] if weighting == "whole" else range(1, horizon + 1)
    values, chances = [], []
    for k in lengths:
        rights = np.arange(k + 1)
        ways = np.array([math.comb(k, i) for i in rights], dtype=float)
        values.append((k - rights) * left_step + rights * right_step)
        chances.append(ways * right**rights * (1 - right) ** (k - rights) / len(lengths))
    return np.concatenate(values), np.concatenate(chances)


def _binned(log10_weight, masses, right: float, steps: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the edges of bins, and each of `masses` summed over the bins.

    The atoms of a product of `steps` ratios are evenly spaced: they become the centres of the bins. A single ratio
    (`steps` 0) has two atoms, and its bins are narrow.
    """
    left_step = math.log10((1 - RIGHT) / (1 - right))
    width = abs(math.log10(RIGHT / right) - left_step) if steps else 0.3
    width, offset = (width, steps * left_step) if width > 1e-9 else (0.3, 0.0)
    number = np.round((log10_weight - offset) / width).astype(int)
    first = number.min() - 1
    size = number.max() - first + 2
    edges = offset + width * (first + np.arange(size + 1) - 0.5)
    return edges, [np.bincount(number - first, mass, minlength=size) for mass in masses]


def _at(on, **wanted) -> bool:
    """Say whether the controls have these values; weights and the clip are looked at only where they are named."""
    start = dict(baseline="none", horizon=8, right=0.3, n=100)
    return all(
        on[name] == value if isinstance(value, str) else abs(on[name] - value) < 1e-6
        for name, value in (start | wanted).items()
    )


_QUESTIONS = (
    Question(
        "Whole product, T = 8: read the effective sample size. What does T = 16 make of it?",
        lambda on, result: _at(on, weighting="whole", horizon=16),
        "Its square: from 1.08% to 0.0116% of n. The two histograms move apart.",
    ),
    Question(
        "T = 8 again: from which n on do causal products have a smaller error than one ratio?",
        lambda on, result: _at(on, n=on["n"]) and result.errors["causal"][7] < result.errors["single"][7],
        "From 1,000 on. With T = 16 it takes 100,000.",
    ),
    Question(
        "Minus V, n = 100: move β to 0.60. Which error is the smallest now?",
        lambda on, result: _at(on, baseline="value", right=0.6),
        "That of the whole product. β is close to π, so eight ratios make little noise, and they have no bias.",
    ),
    Question(
        "β = 0.90, c = 1.5: does clipping the ratio help? Compare the return with minus V.",
        lambda on, result: _at(on, baseline="value", right=0.9, clip=1.5),
        "With the return it harms: 1.22 instead of 0.68. With minus V it helps: 0.38 instead of 0.58.",
    ),
)


def weights_lab() -> Lab:
    """Make the weights lab: the error of each way to weight old trajectories, against horizon and policy gap.

    >>> lab = weights_lab()
    >>> lab.set(right=0.7)  # β = π
    >>> round(lab.result.share, 6), round(lab.result.largest, 6)
    (1.0, 1.0)
    """
    controls = dict(
        weighting=ipywidgets.ToggleButtons(
            options=[(plots.LANES[name], name) for name in ("whole", "causal", "single", "clipped")],
            value="whole",
            description="weights",
        ),
        baseline=ipywidgets.ToggleButtons(
            options=[("return, Q itself", "none"), ("minus V", "value")], value="none", description="times"
        ),
        **_sliders("horizon", "right", "clip", "n"),
    )
    start = dict(baseline="none", horizon=8, right=0.3, n=100, clip=1.5)
    presets = {
        "T = 8, β = 0.30": start,
        "T = 16": start | dict(horizon=16),
        "β = 0.60, minus V": start | dict(right=0.6, baseline="value"),
        "β = 0.90": start | dict(right=0.9),
    }
    options = dict(presets=presets, questions=_QUESTIONS, pinned=True)
    return Lab(controls, WeightsModel(), plots.WeightsView(), _summary, **options)


_ONE_RATIO = (
    Question(
        "Whole product, T = 8: read the effective sample size. What does T = 16 make of it?",
        lambda on, result: on["weighting"] == "whole" and on["horizon"] == 16 and abs(on["right"] - 0.3) < 1e-6,
        "Its square: from 1.08% to 0.0116% of n.",
    ),
    Question(
        "T = 8, n = 100: move β to 0.60. Which error is the smallest now?",
        lambda on, result: on["horizon"] == 8 and on["n"] == 100 and abs(on["right"] - 0.6) < 1e-6,
        "That of the whole product. β is close to π, so eight ratios make little noise, and they have no bias.",
    ),
)
_OWN = (
    Question(
        "Raise n to 100,000. Does your function come closer to the exact share?",
        lambda on, result: on["horizon"] == 16 and on["n"] == 100_000 and abs(on["right"] - 0.3) < 1e-6,
        "It comes closer, from 75 times too much to seven times. Even 100,000 weights miss many of the large ones.",
    ),
)


def one_ratio_lab(
    effective_sample_size: Callable[[torch.Tensor], torch.Tensor] | None = None, horizon: int = 8, n: int = 100
) -> Lab:
    """Make the short weights lab: the product of a trajectory's ratios, one ratio, and resampling, all minus V.

    `effective_sample_size` is a function as in notebook 03; the lab says what it returns for n sampled weights.
    The lab starts with `horizon` and `n`. Raises `ValueError` for one that its sliders do not take.

    >>> lab = one_ratio_lab()
    >>> lab.set(horizon=16)
    >>> round(100 * lab.result.share, 4)  # percent
    0.0116
    """
    lanes = ("whole", "single", "resampled")
    controls = dict(
        weighting=ipywidgets.ToggleButtons(
            options=[("whole product", "whole"), ("one ratio", "single")], value="whole", description="weights"
        ),
        **_sliders("horizon", "right", "n"),
    )
    set_control(controls, "horizon", horizon)
    set_control(controls, "n", n)
    start = dict(horizon=8, right=0.3, n=n)
    presets = {
        "T = 8, β = 0.30": start,
        "T = 16, β = 0.30": start | dict(horizon=16),
        "T = 8, β = 0.60": start | dict(right=0.6),
    }
    compute = functools.partial(WeightsModel(effective_sample_size), baseline="value")
    summary = functools.partial(_summary, lanes=lanes)
    questions = _ONE_RATIO if effective_sample_size is None else _OWN
    options = dict(presets=presets, questions=questions, pinned=True)
    return Lab(controls, compute, plots.WeightsView(lanes), summary, **options)


def _sliders(*names: str) -> dict[str, ipywidgets.ValueWidget]:
    """Make the sliders of these names."""
    slider = functools.partial(ipywidgets.FloatSlider, readout_format=".2f")
    sliders = dict(
        horizon=ipywidgets.IntSlider(8, 1, HORIZONS[-1], description="T, steps"),
        right=slider(value=0.3, min=0.05, max=0.95, step=0.05, description="β walks right (π: 0.70)"),
        clip=slider(value=1.5, min=0.5, max=6.0, step=0.25, description="c of the clipped ratio"),
        n=ipywidgets.SelectionSlider(options=[(f"{n:,}", n) for n in COUNTS], value=100, description="n, trajectories"),
    )
    return selected_controls(sliders, names)


def _summary(result: WeightsResult, lanes: tuple[str, ...] = tuple(plots.LANES)) -> str:
    r, short, names = result, plots.short, plots.LANES
    others = {name: r.errors[name][r.horizon - 1] for name in lanes if name != r.weighting}
    sampled = "" if r.sampled_share is None else f" Your function, from a sample: {short(100 * r.sampled_share)}%."
    return (
        f"T = {r.horizon}, {names[r.weighting]}: the weights leave {100 * r.share:.3g}% of the sample, the largest is "
        f"{short(r.largest)}. The mean of n = {r.n:,} estimates is off by {short(r.error)} lengths of ∇J: bias "
        f"{short(r.bias)}, standard error {short(r.standard_error)}. The others: "
        f"{', '.join(f'{names[name]} {short(error)}' for name, error in others.items())}.{sampled}"
    )
