"""The clinic's method as a picture: five questions, and what each wrong answer points to."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from offac_lite.course.plots.base import ACTIONS, EXACT, MUTED, figure
from offac_lite.course.plots.style import course_style

__all__ = ["decision_tree"]

_STEPS = (  # question, the answer that goes on, the other answer, what it points to
    ("1  return: better than random actions?", "whatever it says: go on", None, None),
    (
        "2  value: possible?\nnear what is delivered?",
        "yes",
        "impossible, or far from\nwhat is delivered",
        "a wrong target:\nthe flag, whose a′, γ, target network",
    ),
    (
        "3  critic's loss and spread:\ndoes V differ between states?",
        "yes",
        "one number for all",
        "a wrong loss of the critic:\nshapes, a learning rate of 0",
    ),
    (
        "4  cosine and length:\ndoes the actor follow its critic?",
        "yes",
        "cosine −1, about 0,\nor a wrong length",
        "a wrong loss of the actor:\nsign, two draws for one, sum for mean",
    ),
    ("5  entropy: can it still change?", "yes", "0, or log A throughout", "the bonus, a collapse, no learning"),
    (
        "a unit test with exact answers:\nthe two states",
        "passes",
        "fails",
        "what curves cannot show:\ntime limits, a rare branch",
    ),
)


@course_style()
def decision_tree() -> Figure:
    """Draw the questions of the clinic from top to bottom, each with what a wrong answer points to at its right.

    >>> len(decision_tree().axes[0].texts) > 15
    True
    """
    fig, (ax,) = figure(9.5, 6.4)
    ax.set(xlim=(0, 10), ylim=(-len(_STEPS) + 0.45, 0.55))
    ax.axis("off")
    for row, (question, on, other, suspects) in enumerate(_STEPS):
        _box(ax, 1.9, -row, question, EXACT)
        if row + 1 < len(_STEPS):
            ax.annotate("", (1.9, -row - 0.76), (1.9, -row - 0.24), arrowprops={"arrowstyle": "->", "color": MUTED})
            ax.text(2.0, -row - 0.5, on, va="center", color=MUTED)
        if suspects is not None:
            ax.annotate("", (6.45, -row), (3.3, -row), arrowprops={"arrowstyle": "->", "color": ACTIONS})
            ax.text(4.9, -row + 0.08, other, ha="center", va="bottom", color=ACTIONS, fontsize=9)
            _box(ax, 8.0, -row, suspects, ACTIONS)
    return fig


def _box(ax: Axes, x: float, y: float, words: str, color: str) -> None:
    box = {"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": color}
    ax.text(x, y, words, ha="center", va="center", fontsize=9.5, bbox=box)
