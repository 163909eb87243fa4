"""The charts of notebook 08, each with the healthy agents' curves behind the patient's, and the clinic lab's view."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from offac_lite.course.clinic import POSSIBLE, Chart
from offac_lite.course.plots.base import EXACT, MUTED, RESAMPLED, figure
from offac_lite.course.plots.style import course_style

__all__ = ["ClinicView", "patient_chart", "patient_returns"]

RANDOM_RETURN = 22
"""The average return of uniformly random actions on CartPole."""
_TITLES = {  # the numbers are those of the questions in notebook 08, section 1
    "return": "1 · return of an episode",
    "value": "2 · mean V = Σ π Q, scaled rewards",
    "critic_loss": "3 · critic's loss",
    "spread": "3 · spread of V over states",
    "cosine": "4 · actor's gradient: cosine",
    "length": "4 · actor's gradient: length",
    "entropy": "5 · entropy of π, nats",
}


class _PaletteCanvas(FigureCanvasAgg):
    """A canvas that writes a PNG with a palette of 64 colours, to keep notebooks with many charts small."""

    def print_png(self, filename_or_obj, **_) -> None:
        """Draw, and write the file. Matplotlib's other options do not apply to a palette."""
        self.draw()
        picture = Image.fromarray(np.asarray(self.buffer_rgba())).convert("RGB")
        picture.quantize(64, dither=Image.Dither.NONE).save(filename_or_obj, "png", optimize=True)


def patient_chart(chart: Chart, healthy: Chart, name: str) -> Figure:
    """Draw seven instruments of a patient: every seed thin, their median thick, the healthy agents' median dashed."""
    margins = {"left": 0.045, "right": 0.99, "bottom": 0.1, "top": 0.94, "wspace": 0.28, "hspace": 0.32}
    fig, axes = figure(9.6, 4.4, nrows=2, ncols=4, gridspec_kw=margins)
    fig.set_layout_engine("none")  # fitting eight axes takes longer than drawing them
    _PaletteCanvas(fig)
    for ax, instrument in zip(axes, _TITLES, strict=False):
        _instrument(ax, chart, healthy, instrument)
    for ax in axes[3:7]:
        ax.set_xlabel("environment steps", fontsize=8)
    handles, labels = axes[1].get_legend_handles_labels()
    axes[7].legend(handles, labels, frameon=False, loc="center left", fontsize=8.5, title=name, alignment="left")
    axes[7].axis("off")
    return fig


def _instrument(ax, chart: Chart, healthy: Chart, name: str) -> None:
    steps, curves = np.asarray(chart.steps), np.asarray(chart[name])
    ax.plot(steps, curves.T, color=RESAMPLED, alpha=0.35, lw=0.6)
    ax.plot(healthy.steps, np.nanmedian(healthy[name], 0), color=MUTED, ls="--", lw=1.6, label="healthy agents, median")
    ax.plot(steps, np.nanmedian(curves, 0), color=RESAMPLED, lw=2.2, label=f"median of {len(curves)} agents")
    if name == "value":
        delivered = np.nanmedian(chart["delivered"], 0)
        ax.plot(steps, delivered, color=EXACT, ls=":", lw=1.6, label="delivered by them")
        _value_axis(ax, curves)
    elif name == "critic_loss":
        _log_axis(ax, np.concatenate([curves, np.asarray(healthy[name])]))
    elif name == "length":
        _log_axis(ax, np.concatenate([curves, np.asarray(healthy[name])]), low=0.05, high=20)
    elif name == "spread":
        ax.set_ylim(0, 1.6 * max(np.nanmax(np.nanmedian(c, 0)) for c in (curves, np.asarray(healthy[name]))))
    elif name == "cosine":
        ax.set_ylim(-1.1, 1.1)
        ax.axhline(0, color=MUTED, lw=0.6)
    elif name == "entropy":
        ax.set_ylim(0, 0.75)
    else:
        ax.set_ylim(bottom=0)
    ax.set_title(_TITLES[name], fontsize=9)
    ax.tick_params(labelsize=8)
    ax.set_xlim(steps[0], steps[-1])
    ax.xaxis.set_major_locator(MaxNLocator(3))


def _value_axis(ax, curves: np.ndarray) -> None:
    """Shade the values that are impossible. Use a logarithmic scale if the curves go far beyond what is possible."""
    low, high = POSSIBLE
    if np.nanmax(np.nanmedian(curves, 0)) > 5 * high:
        ax.set_yscale("symlog", linthresh=1)
        top = 3 * np.nanmax(curves)
        ax.set_yticks([0, 10, 1000, 100_000] if top > 100_000 else [0, 10, 1000])
    else:
        top = max(1.25 * high, 1.1 * np.nanmax(curves))
    bottom = min(-0.8, 1.1 * np.nanmin(curves))
    ax.axhspan(high, top, color="#DDDDDD", lw=0, label="impossible")
    ax.axhspan(bottom, low, color="#DDDDDD", lw=0)
    ax.set_ylim(bottom, top)


def _log_axis(ax, curves: np.ndarray, low: float = np.inf, high: float = 0.0) -> None:
    """Use a logarithmic scale that spans all but the outermost hundredths, and at least `low` to `high`."""
    ax.set_yscale("log")
    bounds = np.quantile(curves[np.isfinite(curves) & (curves > 0)], [0.01, 0.99])
    ax.set_ylim(min(low, bounds[0] / 2), max(high, 3 * bounds[1]))


def patient_returns(charts: dict[str, Chart], healthy: Chart) -> Figure:
    """Draw the return curves of several patients side by side, with the return of random actions."""
    fig, axes = figure(9.6, 2.6, ncols=len(charts), sharey=True)
    _PaletteCanvas(fig)
    for ax, (letter, chart) in zip(axes, charts.items(), strict=True):
        _instrument(ax, chart, healthy, "return")
        ax.axhline(RANDOM_RETURN, color=EXACT, ls=":", lw=1.2, label="random actions")
        ax.set_title(f"patient {letter}", fontsize=10)
        ax.set_xlabel("environment steps")
    axes[0].set_ylabel("return of an episode")
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    return fig


class ClinicView:
    """One instrument over time, and for each instrument how many agents it tells from healthy ones at the cursor.

    It shows a `labs.clinic.ClinicResult`.
    """

    def __init__(self, instruments: Sequence[str], n_agents: int, steps: Sequence[int]):
        self.instruments = tuple(instruments)
        self.figure, (self.chart, bars) = figure(9.4, 3.8, ncols=2, width_ratios=[1.5, 1])
        with course_style():
            self.agents = [self.chart.plot([], [], color=RESAMPLED, alpha=0.4, lw=0.7)[0] for _ in range(n_agents)]
            self.range = [self.chart.plot([], [], color=MUTED, lw=0.9, ls=":")[0] for _ in range(2)]
            self.range[0].set_label("healthy agents, range")
            (self.healthy,) = self.chart.plot([], [], color=MUTED, lw=1.8, ls="--", label="their median")
            (self.patient,) = self.chart.plot([], [], color=RESAMPLED, lw=2.4, label="the patient's, and their median")
            self.cursor = self.chart.axvline(steps[-1], color=EXACT, lw=1.0)
            self.title = self.chart.set_title("patient A")
            self.chart.set(xlabel="environment steps", xlim=(0, steps[-1]))
            rows = np.arange(len(self.instruments))
            self.bars = bars.barh(rows, 0 * rows, color=RESAMPLED, height=0.6)
            bars.set_yticks(rows, [_TITLES[name].split(", ")[0] for name in self.instruments], fontsize=9)
            self.chance = bars.axvline(0, color=EXACT, ls=":", lw=1.4, label="healthy agents, on average")
            bars.set(xlim=(0, n_agents), ylim=(len(rows) - 0.4, -0.6))
            bars.set(xlabel="of the patient's agents", title="outside the healthy range, at the line")
            lines = [*self.range[:1], self.healthy, self.patient, self.chance]
            self.figure.legend(handles=lines, loc="outside lower left", ncols=4, frameon=False, fontsize=8.5)
        lines = [*self.agents, *self.range, self.healthy, self.patient, self.cursor, self.chance]
        self.artists = [*lines, self.title, *self.bars]

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        curves, healthy = result.curves, result.healthy
        summaries = [healthy.nan_to_num(math.inf).amin(0), healthy.nan_to_num(-math.inf).amax(0)]
        summaries += [healthy.nanmedian(0).values, curves.nanmedian(0).values]
        lines = (*self.agents, *self.range, self.healthy, self.patient)
        for line, curve in zip(lines, (*curves, *summaries), strict=True):
            line.set_data(result.steps, curve)
        self.cursor.set_xdata([result.step, result.step])
        self.chance.set_xdata([result.by_chance, result.by_chance])
        for bar, name in zip(self.bars, self.instruments, strict=True):
            bar.set_width(result.outside[name])
        self.title.set_text(f"patient {result.patient}: {_TITLES[result.instrument][4:]}")
        scale, limits = _range_of(result.instrument, torch.cat([curves, healthy]).numpy())
        if self.chart.get_yscale() != scale:
            options = {"linthresh": 1} if scale == "symlog" else {}
            self.chart.set_yscale(scale, **options)
        if self.chart.get_ylim() != limits:
            self.chart.set_ylim(limits)


def _range_of(instrument: str, curves: np.ndarray) -> tuple[str, tuple[float, float]]:
    """Return the scale for the curves of one instrument, and its limits."""
    if instrument == "cosine":
        return "linear", (-1.1, 1.1)
    if instrument == "entropy":
        return "linear", (0.0, 0.75)
    if instrument in ("critic_loss", "length"):
        low, high = np.quantile(curves[np.isfinite(curves) & (curves > 0)], [0.01, 0.99])
        return "log", (10.0 ** np.floor(np.log10(low)), 10.0 ** np.ceil(np.log10(high)))
    top = np.nanmax(curves)
    bottom = min(0.0, 1.1 * np.nanmin(curves))
    if instrument != "return" and top > 100:
        return "symlog", (bottom, 3 * top)
    return "linear", (bottom, 1.1 * top)
