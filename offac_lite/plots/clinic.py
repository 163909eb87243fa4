"""The charts of notebook 08: every instrument of a patient, with the healthy agent behind it."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from offac_lite.clinic import POSSIBLE, Chart
from offac_lite.plots.base import EXACT, MUTED, RESAMPLED, figure

RANDOM_RETURN = 22
"""What uniformly random actions reach on CartPole, on average."""
_TITLES = {  # the numbers are those of the questions in notebook 08, section 1
    "return": "1 · return of an episode",
    "value": "2 · mean V = Σ π Q, scaled rewards",
    "critic_loss": "3 · critic's loss",
    "spread": "3 · spread of V over states",
    "cosine": "4 · actor's gradient: cosine",
    "length": "4 · actor's gradient: length",
    "entropy": "5 · entropy of π, nats",
}


class _FewColours(FigureCanvasAgg):
    """Writes a PNG with a palette of 64 colours: a third of the size, for notebooks with many charts."""

    def print_png(self, filename_or_obj, **_) -> None:
        """Draw, and write the file; what else Matplotlib asks for has no meaning here."""
        self.draw()
        picture = Image.fromarray(np.asarray(self.buffer_rgba())).convert("RGB")
        picture.quantize(64, dither=Image.Dither.NONE).save(filename_or_obj, "png", optimize=True)


def patient_chart(chart: Chart, healthy: Chart, name: str) -> Figure:
    """Draw seven instruments: each seed of the patient thin, their median thick, the healthy agents' median dashed."""
    fig, axes = figure(9.6, 4.4, nrows=2, ncols=4)
    _FewColours(fig)
    for ax, instrument in zip(axes, _TITLES, strict=False):
        _instrument(ax, chart, healthy, instrument)
    for ax in axes[3:7]:
        ax.set_xlabel("environment steps", fontsize=8)
    handles, labels = axes[1].get_legend_handles_labels()
    axes[7].legend(handles, labels, frameon=False, loc="center left", fontsize=9, title=name, alignment="left")
    axes[7].axis("off")
    return fig


def _instrument(ax, chart: Chart, healthy: Chart, name: str) -> None:
    steps, curves = np.asarray(chart.steps), np.asarray(chart[name])
    ax.plot(steps, curves.T, color=RESAMPLED, alpha=0.35, lw=0.6)
    ax.plot(healthy.steps, np.nanmedian(healthy[name], 0), color=MUTED, ls="--", lw=1.6, label="healthy agents, median")
    ax.plot(steps, np.nanmedian(curves, 0), color=RESAMPLED, lw=2.2, label=f"median of {len(curves)} agents")
    if name == "value":
        due = np.nanmedian(chart["delivered"], 0)
        ax.plot(steps, due, color=EXACT, ls=":", lw=1.6, label="delivered by them")
        _value_axis(ax, curves)
    elif name in ("critic_loss", "length"):
        _log_axis(ax, np.concatenate([curves, np.asarray(healthy[name])]), *((0.05, 20) if name == "length" else ()))
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
    ax.set_xticks([2000, 8000] if steps[-1] == 8000 else [steps[0], steps[-1]])


def _value_axis(ax, curves: np.ndarray) -> None:
    """Shade what is impossible; where the values leave all bounds, take a scale that holds them."""
    low, high = POSSIBLE
    if np.nanmax(np.nanmedian(curves, 0)) > 5 * high:
        ax.set_yscale("symlog", linthresh=1)
        top = 3 * np.nanmax(curves)
        ax.set_yticks([0, 10, 1000, 100_000][: 3 + (top > 100_000)])
    else:
        top = max(1.25 * high, 1.1 * np.nanmax(curves))
    bottom = min(-0.8, 1.1 * np.nanmin(curves))
    ax.axhspan(high, top, color="#DDDDDD", lw=0, label="impossible")
    ax.axhspan(bottom, low, color="#DDDDDD", lw=0)
    ax.set_ylim(bottom, top)


def _log_axis(ax, curves: np.ndarray, low: float = np.inf, high: float = 0.0) -> None:
    """Take a logarithmic scale that holds all but the wildest hundredth, and at least `low` to `high`."""
    ax.set_yscale("log")
    bounds = np.quantile(curves[np.isfinite(curves) & (curves > 0)], [0.01, 0.99])
    ax.set_ylim(min(low, bounds[0] / 2), max(high, 3 * bounds[1]))


def ward_returns(charts: dict[str, Chart], healthy: Chart) -> Figure:
    """Draw the return curves of several patients side by side, with what random actions reach."""
    fig, axes = figure(9.6, 2.6, ncols=len(charts), sharey=True)
    _FewColours(fig)
    for ax, (letter, chart) in zip(axes, charts.items(), strict=True):
        _instrument(ax, chart, healthy, "return")
        ax.axhline(RANDOM_RETURN, color=EXACT, ls=":", lw=1.2, label="random actions")
        ax.set_title(f"patient {letter}", fontsize=10)
        ax.set_xlabel("environment steps")
    axes[0].set_ylabel("return of an episode")
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    return fig
