"""Data → figures: one palette for the whole course, and no pyplot, so that a figure is a value like any other."""

import io
import math
from collections.abc import Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

# One colour per quantity (Okabe & Ito, 2008), always with a line style or a marker of its own.
EXACT = "#000000"  # exact ∇J, exact values
STORED = "#E69F00"  # the stored action
NEXT = "#56B4E9"  # a′, sampled now for the critic's target
RESAMPLED = "#009E73"  # aᵖ, sampled now for the actor
SURROGATE = "#CC79A7"  # the exact gradient under the buffer's states
STATES = "#0072B2"  # variance across states: the floor
ACTIONS = "#D55E00"  # variance across actions: what K lowers
MUTED = "#6E6E6E"

STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "figure.dpi": 110,
}


def figure(width: float = 9.0, height: float = 3.4, **subplots) -> tuple[Figure, np.ndarray]:
    """Make a figure of width × height inches with its own Agg canvas, and a 1-D array of axes.

    `subplots` are keyword arguments of `Figure.subplots`, such as `ncols=2`.

    >>> fig, (left, right) = figure(ncols=2)
    """
    with matplotlib.rc_context(STYLE):
        fig = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(fig)
        axes = fig.subplots(**({"squeeze": False} | subplots))
    return fig, np.ravel(axes)


def png(fig: Figure) -> bytes:
    """Render a figure to the bytes of a PNG: the same figure, the same bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        fig.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def show(fig: Figure, summary: str) -> None:
    """Display a figure in a notebook, and print under it, in words and numbers, what it shows.

    `summary` is also the picture's alternative text and what stands in for it where no picture can be shown.
    """
    from IPython.display import display

    bundle = {"image/png": png(fig), "text/plain": summary}
    display(bundle, raw=True, metadata={"image/png": {"alt": summary}})
    print(summary)


def learning_curves(
    ax,
    steps,
    returns,
    color: str = RESAMPLED,
    label: str = "",
    goal: float | None = None,
    centre: str = "median",
    linestyle: str = "-",
) -> None:
    """Draw returns (S, E) over steps (E,): every seed thin, and thick in front of them what they show together.

    `centre`: "median", with the middle half of the seeds shaded, or "iqm", the interquartile mean, with its 95%
    bootstrap interval. NaN, where a seed was stopped, is left out of both.
    """
    steps, returns = np.asarray(steps), np.asarray(returns)
    ax.plot(steps, returns.T, color=color, alpha=0.25, linewidth=0.7)
    if centre == "median":
        low, middle, high = np.nanquantile(returns, [0.25, 0.5, 0.75], axis=0)
        name = "median"
    elif centre == "iqm":
        from offac_lite import stats  # here, because SciPy's statistics take long to import

        alive = returns[~np.isnan(returns).any(1)]
        middle, (low, high), name = stats.iqm(alive), stats.interval(alive), "interquartile mean"
    else:
        raise ValueError(f"centre must be 'median' or 'iqm', got {centre!r}")
    ax.fill_between(steps, low, high, color=color, alpha=0.15 if centre == "median" else 0.3, linewidth=0)
    label = label or f"{name} of {len(returns)} seeds"
    ax.plot(steps, middle, color=color, linewidth=2.2, linestyle=linestyle, label=label)
    if goal is not None:
        ax.axhline(goal, color=MUTED, linestyle=":", linewidth=1)
        ax.annotate(f"{goal:g}", (steps[-1], goal), color=MUTED, fontsize=9, ha="right", va="bottom")
    ax.set_xlabel("environment steps per seed")
    ax.set_ylabel("return of an episode")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.0, 0.95))


def seed_strips(ax, values: dict, goal: float | None = None, colors: dict | None = None) -> None:
    """Draw a row for each {name: values (S,)}: every seed a thin stroke, their interquartile mean with its interval.

    `colors` {name: color} is the green of resampled actions where it says nothing. Names run from top to bottom.
    """
    from offac_lite import stats  # here, because SciPy's statistics take long to import

    for row, (name, seeds) in enumerate(values.items()):
        seeds, color = np.asarray(seeds), (colors or {}).get(name, RESAMPLED)
        low, high = stats.interval(seeds)
        ax.plot(seeds, np.full(len(seeds), row), "|", color=color, alpha=0.5, ms=11, mew=0.8)
        ax.plot([low, high], [row, row], color=color, lw=5, alpha=0.45, solid_capstyle="butt")
        ax.plot(stats.iqm(seeds), row, "o", color=color, mec="white", ms=8)
    ax.set_yticks(range(len(values)), list(values))
    ax.set_ylim(len(values) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    if goal is not None:
        ax.axvline(goal, color=MUTED, linestyle=":", linewidth=1)


def cart_pole_strip(observations, n_frames: int = 8, seconds_per_step: float = 0.02) -> Figure:
    """Draw an episode of CartPole as a strip of frames, from its observations (T, 4).

    Position in metres, angle in radians, as the environment gives them; the pole is drawn to scale (1 m), and the
    shaded edges are where the episode ends (|position| > 2.4 m).
    """
    observations = np.asarray(observations)
    fig, axes = figure(9.6, 1.15, ncols=n_frames, sharey=True)
    for ax, t in zip(axes, np.linspace(0, len(observations) - 1, n_frames).astype(int), strict=True):
        x, _, angle, _ = observations[t]
        ax.add_patch(Rectangle((-3, -0.5), 0.6, 2, color="#DDDDDD"))
        ax.add_patch(Rectangle((2.4, -0.5), 0.6, 2, color="#DDDDDD"))
        ax.plot([-3, 3], [0, 0], color=MUTED, linewidth=1)
        ax.add_patch(Rectangle((x - 0.35, 0.0), 0.7, 0.3, color=EXACT))
        pole = ([x, x + math.sin(angle)], [0.3, 0.3 + math.cos(angle)])
        ax.plot(*pole, color=ACTIONS, linewidth=4, solid_capstyle="round")
        ax.set(xlim=(-3, 3), ylim=(-0.3, 1.6), aspect="equal", xticks=[], yticks=[])
        ax.set_title(f"{t * seconds_per_step:.1f} s", fontsize=9, loc="center")
        ax.spines[:].set_visible(False)
    return fig


def lake_policy(ax, probs, rows: Sequence[str], title: str = "") -> None:
    """Draw a FrozenLake policy (S, A): in each square, an arrow per action as long as it is probable.

    `rows` is the map, as in `("SFFF", "FHFH", "FFFH", "HFFG")`: S start, F frozen, H hole, G goal.
    """
    colors = {"S": "#F4F4F4", "F": "#F4F4F4", "H": "#9AA5B1", "G": "#BFE3D0"}
    probs = np.asarray(probs)
    for i, row in enumerate(rows):
        for j, letter in enumerate(row):
            ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=colors[letter], edgecolor="white"))
            if letter in "HG":
                ax.text(j, i, {"H": "hole", "G": "goal"}[letter], ha="center", va="center", fontsize=8)
                continue
            for probability, (dx, dy) in zip(probs[i * len(row) + j], [(-1, 0), (0, 1), (1, 0), (0, -1)], strict=True):
                end = (j + 0.45 * probability * dx, i + 0.45 * probability * dy)
                ax.add_patch(FancyArrowPatch((j, i), end, mutation_scale=7, color=RESAMPLED, shrinkA=0, shrinkB=0))
    ax.set(xlim=(-0.5, len(rows[0]) - 0.5), ylim=(len(rows) - 0.5, -0.5), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title(title)


def action_map() -> Figure:
    """Draw where each action of the algorithm comes from: the stored one, a′, and the resampled one."""
    fig, (ax,) = figure(9.0, 3.7)
    ax.set(xlim=(0, 12), ylim=(0, 5), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)

    def box(x, y, width, text, color, **kwargs):
        ax.add_patch(
            FancyBboxPatch((x, y), width, 0.9, boxstyle="round,pad=0.1", facecolor="white", edgecolor=color, lw=2)
        )
        ax.text(x + width / 2, y + 0.45, text, ha="center", va="center", **kwargs)

    def arrow(start, end, color, style="-"):
        ax.add_patch(
            FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=14, color=color, lw=2, linestyle=style)
        )

    box(0.2, 2.0, 2.6, "buffer R\n(s, a, r, s′, d)", EXACT)
    box(9.2, 3.6, 2.6, "critic\nQ(s, a) → y", EXACT)
    box(9.2, 0.4, 2.6, "actor\n∇log π · Q", EXACT)
    box(4.6, 3.9, 2.6, "stored a", STORED)
    box(4.6, 2.1, 2.6, "a′ ~ π(·|s′) now", NEXT)
    box(4.6, 0.3, 2.6, "aᵖ ~ π(·|s) now", RESAMPLED)
    arrow((2.9, 2.8), (4.45, 4.3), STORED)
    arrow((2.9, 2.45), (4.45, 2.5), NEXT, "--")
    arrow((2.9, 2.1), (4.45, 0.8), RESAMPLED, (0, (1, 1)))
    arrow((7.3, 4.35), (9.05, 4.2), STORED)
    arrow((7.3, 2.6), (9.05, 3.75), NEXT, "--")
    arrow((7.3, 0.75), (9.05, 0.85), RESAMPLED, (0, (1, 1)))
    ax.text(3.3, 3.95, "with its own r, s′", color=MUTED, fontsize=9, ha="right")
    ax.text(3.75, 2.6, "s′ only", color=MUTED, fontsize=9, ha="center")
    ax.text(3.3, 1.1, "s only", color=MUTED, fontsize=9, ha="right")
    ax.text(8.15, 4.5, "which Q(s, a)", color=MUTED, fontsize=9, ha="center")
    ax.text(8.5, 2.75, "the target\ny = r + γ(1−d)Q(s′, a′)", color=MUTED, fontsize=9, ha="left", va="center")
    ax.text(8.15, 1.0, "which way\nto push π", color=MUTED, fontsize=9, ha="center", va="bottom")
    return fig


def variance_against_k(ks, exact, sampled, *, floor: float, reference: float, k_star: float) -> Figure:
    """Draw a variance that falls with K towards its floor: exact as a line, sampled as dots, K* where it crosses.

    `reference` is the variance with one action and a baseline, which the curve reaches at `k_star`.
    """
    fig, (ax,) = figure(7.0, 3.6)
    ax.plot(ks, exact, color=RESAMPLED, lw=2.4, label="Q itself, exact")
    ax.plot(ks, sampled, "o", color=RESAMPLED, mec="white", ms=8, label="Q itself, sampled")
    ax.axhline(reference, color=EXACT, ls=":", label="one action with the baseline V")
    ax.axhline(floor, color=STATES, ls="-.", label="the floor: variance across states")
    ax.axvline(k_star, color=MUTED, lw=1)
    ax.annotate(f" K* = {k_star:.1f}", (k_star, max(exact)), color=MUTED, va="top")
    ax.set(
        xscale="log", yscale="log", xlabel="K, resampled actions per state", ylabel="variance of an estimate (trace)"
    )
    ax.set_xticks(ks, [f"{k}" for k in ks])
    ax.minorticks_off()
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def bias_against_age(ages, resampled, stored) -> Figure:
    """Draw ‖E[g] − ∇J‖ / ‖∇J‖ against the age of the data, for resampled and for stored actions."""
    fig, (ax,) = figure(7.0, 3.2)
    ax.plot(ages, stored, color=STORED, lw=2, marker="s", ms=4, label="stored actions, Q − V")
    ax.plot(ages, resampled, color=RESAMPLED, lw=2.4, marker="o", ms=4, label="resampled actions")
    ax.axhline(1, color=MUTED, ls=":", lw=1)
    ax.annotate("as far off as taking no step at all", (ages[-1], 1), color=MUTED, fontsize=9, ha="right", va="bottom")
    ax.set_xticks(ages[::2])
    ax.set(xlabel="age of the data, policy updates", ylabel="distance from ∇J, in lengths of ∇J", ylim=(0, None))
    ax.legend(frameon=False, loc="upper left")
    return fig


def cosine_against_age(ages, without_baseline, with_baseline) -> Figure:
    """Draw the cosine between the stored-action gradient and ∇J against the age of the data."""
    fig, (ax,) = figure(7.0, 3.2)
    ax.axhline(0, color=MUTED, lw=1)
    ax.plot(ages, with_baseline, color=STORED, lw=2.2, marker="s", ms=4, label="stored actions, Q − V")
    ax.plot(ages, without_baseline, color=STORED, lw=2.2, ls="--", marker="v", ms=4, label="stored actions, Q")
    ax.annotate("below 0: downhill", (ages[-1], -0.04), color=MUTED, fontsize=9, ha="right", va="top")
    ax.set_xticks(ages[::2])
    ax.set(xlabel="age of the data, policy updates", ylabel="cosine with ∇J", ylim=(-1.05, 1.3))
    ax.legend(frameon=False, loc="upper right")
    return fig


def exact_and_learned_values(exact, learned) -> Figure:
    """Draw learned values V(s) beside the exact ones, a state each; both (S,)."""
    fig, (ax,) = figure(7.0, 2.9)
    states = np.arange(len(exact))
    ax.plot(states, exact, "_", color=EXACT, ms=16, mew=2.5, label="exact V")
    ax.plot(states, learned, "o", color=RESAMPLED, ms=6, label="learned by TD")
    ax.set(xlabel="state", ylabel="V(s), reward units", xticks=states)
    ax.legend(frameon=False, loc="upper left")
    return fig


class Plane:
    """The plane in which the course looks at gradients: along ∇J, and along what the buffer's states add to it.

    Axis 1 is `target` (S, A), normalised; axis 2 is the part of `other` that is at right angles to it. Calling the
    plane on gradients (..., S, A) gives coordinates (..., 2).

    >>> plane = Plane(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 1.0]]))
    >>> plane(torch.tensor([[3.0, 4.0]]))
    tensor([3., 4.])
    """

    def __init__(self, target: torch.Tensor, other: torch.Tensor):
        first = target.flatten() / target.norm()
        rest = other.flatten() - (other.flatten() @ first) * first
        self.axes = torch.stack([first, rest / rest.norm()])

    def __call__(self, gradients: torch.Tensor) -> torch.Tensor:
        """Project gradients (..., S, A) to coordinates (..., 2)."""
        return gradients.flatten(-2) @ self.axes.T


def gradient_cloud(ax, points, exact, mean, *, color: str = RESAMPLED, title: str = "") -> None:
    """Draw estimates (n, 2) around their `mean` (2,) and the arrow of the exact gradient `exact` (2,)."""
    points, exact, mean = (np.asarray(x) for x in (points, exact, mean))
    ax.scatter(*points.T, s=5, color=color, alpha=0.35, linewidth=0, label="one estimate each")
    ax.annotate(
        "", exact, (0, 0), arrowprops={"arrowstyle": "-|>", "color": EXACT, "lw": 2, "shrinkA": 0, "shrinkB": 0}
    )
    ax.plot([], [], color=EXACT, lw=2, label="exact ∇J")
    ax.plot(*mean, marker="X", markersize=9, color=color, markeredgecolor="white", linestyle="", label="their mean")
    ax.axhline(0, color=MUTED, linewidth=0.5)
    ax.axvline(0, color=MUTED, linewidth=0.5)
    ax.set(xlabel="along ∇J", ylabel="at right angles to ∇J", title=title)


STEADY = 9  # digits drawn of a computed number: the last bits of a linear solve depend on where its memory lies


class VarianceView:
    """The variance lab's figure: the cloud of estimates, the variance against K with its floor, and the numbers.

    `update(result)` takes a `labs.VarianceResult` and changes the artists in place. `figure` is the Matplotlib
    figure and `artists` are all that changes in it.
    """

    def __init__(self, ks: Sequence[int]):
        self.ks = np.asarray(ks)
        self.figure, (cloud, self.curve, numbers) = figure(9.8, 4.0, ncols=3, width_ratios=[1, 1.1, 0.62])
        with matplotlib.rc_context(STYLE):
            self._build_cloud(cloud)
            self._build_curve(self.curve)
            numbers.set_axis_off()
            text = dict(va="top", fontsize=9, family="monospace", transform=numbers.transAxes)
            self.numbers = numbers.text(0, 1, "", linespacing=1.5, **text)
        self.artists = [self.points, self.surrogate, self.mean, self.exact, self.scale]
        self.artists += [self.actions, self.floor, self.total, self.reference, self.here, self.numbers]

    def _build_cloud(self, ax) -> None:
        ax.axhline(0, color=MUTED, linewidth=0.5)
        ax.axvline(0, color=MUTED, linewidth=0.5)
        dot = dict(linestyle="", markeredgecolor="white")
        (self.points,) = ax.plot([], [], ".", color=RESAMPLED, alpha=0.4, ms=4, mew=0, label="estimates")
        (self.exact,) = ax.plot([], [], color=EXACT, lw=2.5, marker="o", markevery=[-1], ms=5, label="exact ∇J")
        (self.surrogate,) = ax.plot([], [], "D", color=SURROGATE, ms=8, **dot, label="exact, buffer's states")
        (self.mean,) = ax.plot([], [], "X", color=RESAMPLED, ms=9, **dot, label="their exact mean")
        self.scale = ax.set_title("")
        ax.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(-1, 1), xlabel="along ∇J →", ylabel="at right angles to ∇J")
        where = dict(loc="outside lower left", ncols=2, fontsize=8.5, frameon=False)
        self.cloud_legend = self.figure.legend(*ax.get_legend_handles_labels(), **where)

    def _build_curve(self, ax) -> None:
        (self.total,) = ax.plot([], [], "-", color=RESAMPLED, lw=2.4, label="total")
        (self.actions,) = ax.plot([], [], "--", color=ACTIONS, lw=1.8, label="across actions")
        (self.floor,) = ax.plot([], [], "-.", color=STATES, lw=1.8, label="across states: the floor")
        (self.reference,) = ax.plot([], [], ":", color=EXACT, lw=1.4, label="total with V at K = 1")
        (self.here,) = ax.plot([], [], "o", color=RESAMPLED, ms=9, mec="black", label="you are here")
        ax.set(xscale="log", yscale="log", xlim=(0.9, 1.1 * self.ks[-1]), ylim=(1e-5, 1e3))
        ax.set_xticks(self.ks, [f"{k}" for k in self.ks])
        ax.minorticks_off()
        ax.set(xlabel="K, resampled actions per state", title="variance of one estimate (trace)")
        where = dict(loc="outside lower right", ncols=3, fontsize=8.5, frameon=False)
        self.curve_legend = self.figure.legend(*ax.get_legend_handles_labels(), **where)

    def update(self, result) -> None:
        """Move every artist to where `result` says."""
        m, unit = result.moments, result.scale
        origin = torch.zeros(2, dtype=torch.float64)
        for artist, xy in (
            (self.points, result.points),
            (self.mean, result.mean[None]),
            (self.surrogate, result.surrogate[None]),
            (self.exact, torch.stack([origin, result.exact])),
        ):
            artist.set_data(*np.round((xy / unit).T.numpy(), STEADY))
        self.scale.set_text(f"gradients (edge: ±{unit:g})")
        self._color(STORED if result.estimator in ("stored", "importance") else RESAMPLED)
        below = 1e-12  # where the logarithmic axis no longer reaches
        floor = np.full(len(self.ks), max(m.variance_states, below))
        actions = np.maximum(result.actions_by_k, below)
        floor, actions = (10 ** np.round(np.log10(variance), STEADY) for variance in (floor, actions))
        self.floor.set_data(self.ks, floor)
        self.actions.set_data(self.ks, actions)
        self.total.set_data(self.ks, floor + actions)
        self.reference.set_data(self.ks, np.full(len(self.ks), max(result.reference_variance, below)))
        self.here.set_data([m.n_actions], [max(m.variance, below)])
        low = min(x for x in (*floor, actions[-1] + floor[-1], result.reference_variance) if x > below)
        limits = (10 ** math.floor(math.log10(low / 2)), 10 ** math.ceil(math.log10(2 * np.nanmax(floor + actions))))
        if limits != self.curve.get_ylim():  # whole decades, so that they seldom change: that redraws everything
            self.curve.set_ylim(limits)
            self.curve.minorticks_off()
        rows = [
            ("the mean is off", None),
            (" exact ∇J by", m.bias),
            (" buffer's ◆ by", m.bias_surrogate),
            ("length of ∇J", m.target.norm().item()),
            ("cosine", m.cosine),
            ("", None),
            ("variance", m.variance),
            (" across states", m.variance_states),
            (" across actions", m.variance_actions),
            ("", None),
            ("break-even K*", result.k_star),
        ]
        self.numbers.set_text("\n".join(name if x is None else f"{name:15s}{short(x):>9s}" for name, x in rows))

    def _color(self, color: str) -> None:
        """Give the estimates the colour of the action they use, in the panels and in both legends."""
        if color == self.points.get_color():
            return
        (cloud, _, _, mean), (total, _, _, _, here) = self.cloud_legend.legend_handles, self.curve_legend.legend_handles
        for line in (self.points, self.mean, self.total, self.here, cloud, mean, total, here):
            line.set_color(color)
            line.set_markerfacecolor(color)


def short(number: float) -> str:
    """Write a number with three digits, and what is only rounding error as 0.

    >>> short(0.00012345), short(97.21), short(3e-17)
    ('0.000123', '97.2', '0')
    """
    return "0" if abs(number) < 1e-12 else f"{number:.3g}"
