"""The view of the baseline lab."""

import math

import numpy as np
import torch

from offac_lite.course.plots.base import EXACT, RESAMPLED, figure, legend_below, rounded, zero_lines
from offac_lite.course.plots.style import course_style

__all__ = ["BaselineView"]


class BaselineView:
    """A cloud of gradient estimates around ∇J, and their variance against the share of V that is subtracted.

    It shows a `labs.baseline.BaselineResult`.
    """

    def __init__(self, shares):
        self.shares = np.asarray(shares)
        self.figure, (cloud, self.curve) = figure(9.8, 3.9, ncols=2)
        with course_style():
            zero_lines(cloud)
            (self.points,) = cloud.plot([], [], ".", color=RESAMPLED, alpha=0.4, ms=4, mew=0, label="estimates")
            (self.exact,) = cloud.plot([], [], color=EXACT, lw=2.5, marker="o", markevery=[-1], ms=5, label="exact ∇J")
            (self.mean,) = cloud.plot([], [], "X", color=RESAMPLED, ms=9, mec="white", label="their exact mean")
            self.scale = cloud.set_title("")
            cloud.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(-1, 1))
            cloud.set(xlabel="along ∇J →", ylabel="at right angles to ∇J")
            (self.variance,) = self.curve.plot([], [], color=RESAMPLED, lw=2.4, label="variance, exact")
            (self.here,) = self.curve.plot([], [], "o", color=RESAMPLED, ms=9, mec="black", label="you are here")
            self.curve.set(yscale="log", xlim=(-0.05, 2.05), xlabel="c, share of V in the weight Q(s, a) − c V(s)")
            self.curve.set_title("variance of one estimate (trace)")
            self.curve.set_ylim(1e-5, 1e2)
            legend_below(cloud, "left", ncols=3)
            legend_below(self.curve, "right", ncols=3)
        self.artists = [self.points, self.exact, self.mean, self.scale, self.variance, self.here]

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        spread = max(result.points.abs().quantile(0.95).item(), result.exact.abs().max().item())
        unit = 2.0 ** math.ceil(math.log2(1.1 * spread))
        for artist, xy in (
            (self.points, result.points),
            (self.exact, torch.stack([torch.zeros_like(result.exact), result.exact])),
            (self.mean, result.mean[None]),
        ):
            artist.set_data(*rounded((xy / unit).T))
        self.scale.set_text(f"gradients (edge: ±{unit:g})")
        self.variance.set_data(self.shares, result.variances.numpy())
        self.here.set_data([result.share], [result.moments.variance])
