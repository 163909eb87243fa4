"""The charts of notebook 07, each with the healthy agents' curves behind the patient's, and the clinic lab's view."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from PIL import Image

from offac_lite.course.clinic import INSTRUMENTS, POSSIBLE, Chart
from offac_lite.course.plots.base import EXACT, MUTED, RESAMPLED, apart, figure, short
from offac_lite.course.plots.cloud import arrange_axes
from offac_lite.course.plots.style import course_style

__all__ = ["ClinicView", "clinic_ranges", "patient_chart", "patient_words"]

_TITLES = {  # the numbers are those of the questions in notebook 07, section 2
    "return": "1 · return of an episode",
    "value": "2 · mean V = Σ π Q, scaled rewards",
    "critic_loss": "3 · critic's loss",
    "spread": "3 · spread of V over states",
    "cosine": "4 · actor's gradient: cosine",
    "length": "4 · actor's gradient: length",
    "entropy": "5 · entropy of π, nats",
}


_WORDS = {"critic_loss": "critic's loss"}


class _PaletteCanvas(FigureCanvasAgg):
    """A canvas that writes a PNG with a palette of 64 colours, to keep notebooks with many charts small."""

    def print_png(self, filename_or_obj, **_) -> None:
        """Draw, and write the file. Matplotlib's other options do not apply to a palette."""
        self.draw()
        picture = Image.fromarray(np.asarray(self.buffer_rgba())).convert("RGB")
        picture.quantize(64, dither=Image.Dither.NONE).save(filename_or_obj, "png", optimize=True)


@course_style()
def patient_chart(chart: Chart, healthy: Chart, name: str, line: str = "patient") -> Figure:
    """Draw seven instruments of a patient: each agent thin, their median thick, the healthy agents' median dashed.

    `name` stands beside the instruments, and `line` at the thick lines.
    """
    margins = {"left": 0.045, "right": 0.99, "bottom": 0.1, "top": 0.94, "wspace": 0.28, "hspace": 0.32}
    fig, axes = figure(9.6, 4.4, nrows=2, ncols=4, gridspec_kw=margins)
    fig.set_layout_engine("none")  # fitting eight axes takes longer than drawing them
    _PaletteCanvas(fig)
    for ax, instrument in zip(axes, _TITLES, strict=False):
        _instrument(ax, chart, healthy, instrument, line)
    for ax in axes[3:7]:
        ax.set_xlabel("environment steps", fontsize=8)
    axes[7].axis("off")
    axes[7].text(0.05, 0.8, name, fontsize=11, fontweight="bold", va="top")
    words = f"thin: each of {len(chart['return'])} agents\nthick: their median\ndashed: the healthy median"
    axes[7].text(0.05, 0.62, words, fontsize=8.5, linespacing=1.6, va="top")
    return fig


def patient_words(chart: Chart, healthy: Chart) -> str:
    """Return what `patient_chart` shows in numbers: medians over the agents, at the first and at the last reading.

    Those of the healthy agent stand in brackets behind a patient's.

    >>> from offac_lite.course.clinic import HEALTHY, train_patient
    >>> chart = train_patient(HEALTHY, seeds=2, total_steps=1200, evaluations=3)
    >>> patient_words(chart, chart).split("; ")[-1]
    'entropy 0.693 to 0.693.'
    """

    def of(name: str) -> str:
        ends = ([np.nanmedian(c[name][:, at]) for at in (0, -1)] for c in (chart, healthy))
        own, other = (f"{short(float(first))} to {short(float(last))}" for first, last in ends)
        return f"{_WORDS.get(name, name)} {own}" + (f" (healthy {other})" if chart is not healthy else "")

    return f"Medians of {len(chart['return'])} agents, first to last reading: {'; '.join(map(of, INSTRUMENTS))}."


def _instrument(ax, chart: Chart, healthy: Chart, name: str, line: str) -> None:
    """Draw one instrument. On those of return and value the lines are named."""
    steps, curves = np.asarray(chart.steps), np.asarray(chart[name])
    median, reference = np.nanmedian(curves, 0), np.nanmedian(healthy[name], 0)
    ax.plot(steps, curves.T, color=RESAMPLED, alpha=0.35, lw=0.6)
    ax.plot(steps, median, color=RESAMPLED, lw=2.8)
    lines = {"median": (median, RESAMPLED)}
    if chart is not healthy:
        ax.plot(healthy.steps, reference, color="#333333", ls=(0, (4, 3)), lw=1.1)  # above the patient's, to be seen
        lines = {line: (median, RESAMPLED), "healthy": (reference, "#333333")}
    if name == "value":
        delivered = np.nanmedian(chart["delivered"], 0)
        ax.plot(steps, delivered, color=EXACT, ls=":", lw=1.6)
        _value_axis(ax, curves)
        lines = {"delivered": (delivered, EXACT)}
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
        ax.set_ylim(0, 1.18 * np.nanmax([np.nanmax(curves), reference.max()]))
    ax.set_title(_TITLES[name], loc="left", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.set_xlim(steps[0], steps[-1])
    ax.xaxis.set_major_locator(MaxNLocator(3))
    if name in ("return", "value"):
        _name_lines(ax, lines)


def _name_lines(ax, lines: dict[str, tuple[np.ndarray, str]]) -> None:
    """Write the names of lines {name: (values, color)} above their right ends, apart from each other."""
    ax.get_ylim()  # the limits are computed now, and the transforms follow them
    ends = [ax.transData.transform((0, values[-1]))[1] for values, _ in lines.values()]
    bottom, top = (ax.transAxes.transform((0, y))[1] for y in (0, 1))
    shares = apart([(end - bottom) / (top - bottom) + 0.05 for end in ends], 0.12)
    over = max(0.0, max(shares) - 0.9)
    for (name, (_, color)), share in zip(lines.items(), shares, strict=True):
        place = dict(transform=ax.transAxes, ha="right", va="bottom", fontsize=8.5, color=color)
        text = ax.text(0.99, share - over, name, fontweight="bold" if color == RESAMPLED else "normal", **place)
        text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


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
    ax.axhspan(high, top, color="#DDDDDD", lw=0)
    ax.axhspan(bottom, low, color="#DDDDDD", lw=0)
    ax.set_ylim(bottom, top)
    ax.annotate(
        "impossible", (0, 1), (3, -3), xycoords="axes fraction", textcoords="offset points", va="top", fontsize=8.5
    )


def _log_axis(ax, curves: np.ndarray, low: float = np.inf, high: float = 0.0) -> None:
    """Use a logarithmic scale that spans all but the outermost hundredths, and at least `low` to `high`."""
    ax.set_yscale("log")
    bounds = np.quantile(curves[np.isfinite(curves) & (curves > 0)], [0.01, 0.99])
    ax.set_ylim(min(low, bounds[0] / 2), max(high, 3 * bounds[1]))


class ClinicView:
    """One instrument over time, and for each instrument how many agents it tells from healthy ones at the cursor.

    It shows a `labs.clinic.ClinicResult`. `ranges` is {instrument: (scale, limits)}, the same for all patients: see
    `clinic_ranges`.
    """

    def __init__(self, ranges: Mapping[str, tuple[str, tuple[float, float]]], n_agents: int, steps: Sequence[int]):
        self.ranges, self.instruments = ranges, tuple(ranges)
        self.figure, (self.chart, self.table) = figure(8.6, 3.4, ncols=2)
        with course_style():
            self._build_chart(self.chart, n_agents, steps)
            self._build_bars(self.table, n_agents)
        lines = [*self.agents, *self.range, self.patient, self.healthy, *self.names]
        self.artists = [*lines, self.cursor, self.chance, self.chance_name, self.title, *self.bars]
        self.arrange(narrow=False)

    def _build_chart(self, ax, n_agents: int, steps: Sequence[int]) -> None:
        self.agents = [ax.plot([], [], color=RESAMPLED, alpha=0.4, lw=0.7)[0] for _ in range(n_agents)]
        self.range = [ax.plot([], [], color=MUTED, lw=0.9, ls=":")[0] for _ in range(2)]
        (self.patient,) = ax.plot([], [], color=RESAMPLED, lw=2.8)
        (self.healthy,) = ax.plot([], [], color="#333333", lw=1.3, ls=(0, (4, 3)))
        self.cursor = ax.axvline(steps[-1], color=EXACT, lw=1.0)
        self.title = ax.set_title("patient A")
        ax.set(xlabel="environment steps", xlim=(0, steps[-1]))
        look = dict(fontsize=9, va="center", transform=ax.transAxes)
        self.names = [ax.text(1.02, 0, "patient", color="#00785A", fontweight="bold", **look)]
        self.names.append(ax.text(1.02, 0, "healthy", color="#333333", **look))

    def _build_bars(self, ax, n_agents: int) -> None:
        rows = np.arange(len(self.instruments))
        self.bars = ax.barh(rows, 0 * rows, color=RESAMPLED, height=0.6)
        ax.set_yticks(rows, [_TITLES[name].split(", ")[0].split(" = ")[0] for name in self.instruments], fontsize=9)
        self.chance = ax.axvline(0, color=EXACT, ls=":", lw=1.4)
        self.chance_name = ax.text(0, -0.5, " by chance", fontsize=9, va="bottom")
        ax.set(xlim=(0, n_agents), ylim=(len(rows) - 0.4, -0.6), xlabel="of the patient's agents")
        ax.set_title("agents outside the healthy range", loc="right", pad=16)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    def arrange(self, narrow: bool) -> None:
        """Put the panels side by side, or one below the other."""
        self.title.set_x(-0.16 if narrow else 0)
        if narrow:
            arrange_axes(self.figure, (390, 660), {self.chart: (60, 26, 254, 230), self.table: (200, 350, 170, 260)})
        else:
            arrange_axes(self.figure, (960, 372), {self.chart: (64, 26, 372, 290), self.table: (716, 44, 226, 272)})

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        curves, healthy = result.curves, result.healthy
        summaries = [healthy.nan_to_num(math.inf).amin(0), healthy.nan_to_num(-math.inf).amax(0)]
        summaries += [curves.nanmedian(0).values, healthy.nanmedian(0).values]
        lines = (*self.agents, *self.range, self.patient, self.healthy)
        for line, curve in zip(lines, (*curves, *summaries), strict=True):
            line.set_data(result.steps, curve)
        self.cursor.set_xdata([result.step, result.step])
        self.chance.set_xdata([result.by_chance, result.by_chance])
        self.chance_name.set_x(result.by_chance)
        for bar, name in zip(self.bars, self.instruments, strict=True):
            bar.set_width(result.outside[name])
        self.title.set_text(f"patient {result.patient}: {_TITLES[result.instrument][4:]}")
        scale, limits = self.ranges[result.instrument]
        if self.chart.get_yscale() != scale:
            options = {"linthresh": 1} if scale == "symlog" else {}
            self.chart.set_yscale(scale, **options)
        if self.chart.get_ylim() != limits:
            self.chart.set_ylim(limits)
        self._place_names([curve[-1].item() for curve in summaries[2:]])

    def _place_names(self, ends: list[float]) -> None:
        """Write the names of both medians beside their right ends."""
        transform = self.chart.transScale + self.chart.transLimits
        shares = [transform.transform((1.0, 0.0 if math.isnan(end) else end))[1] for end in ends]
        shares = apart([min(max(share, 0.03), 0.9) for share in shares], 0.07)
        for name, share, end in zip(self.names, shares, ends, strict=True):
            name.set(y=share, visible=not math.isnan(end))


@course_style()
def clinic_ranges(
    charts: Mapping[str, Chart], instruments: Sequence[str]
) -> dict[str, tuple[str, tuple[float, float]]]:
    """Return {instrument: (scale, limits)} of the vertical axis that holds its curves in all charts."""
    return {
        name: _range_of(name, np.concatenate([np.ravel(chart[name]) for chart in charts.values()]))
        for name in instruments
    }


def _range_of(instrument: str, curves: np.ndarray) -> tuple[str, tuple[float, float]]:
    """Return the scale for the numbers of one instrument, and its limits."""
    curves = curves[np.isfinite(curves)]
    if instrument == "cosine":
        return "linear", (-1.1, 1.1)
    if instrument == "entropy":
        return "linear", (0.0, 0.75)
    if instrument in ("critic_loss", "length"):
        low, high = np.quantile(curves[curves > 0], [0.01, 0.99])
        return "log", (10.0 ** np.floor(np.log10(low)), 10.0 ** np.ceil(np.log10(high)))
    top = curves.max()
    bottom = min(0.0, 1.1 * curves.min())
    if instrument != "return" and top > 100:
        return "symlog", (bottom, 3 * top)
    return "linear", (bottom, 1.1 * top)
