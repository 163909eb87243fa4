"""A view's figure on the page: its picture, a line of words that describes it, and a place for errors."""

import html
import io
import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import ipywidgets
import PIL.Image
import traitlets
from IPython.display import display
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from offac_lite.course.stage import threads
from offac_lite.course.stage.canvas import Canvas

# A live lab hides the two outputs that `Lab.show` puts before it: the still picture and its line of text.
_STYLE = """<style>
.jp-OutputArea-child:has(+ .jp-OutputArea-child .offac-lab),
.jp-OutputArea-child:has(+ .jp-OutputArea-child + .jp-OutputArea-child .offac-lab) {display: none}
.offac-lab .widget-toggle-buttons {display: flex; align-items: baseline}
.offac-lab .widget-toggle-buttons .widget-label {flex: none; text-align: right; margin: 0 8px 0 0}
.offac-lab-notice {white-space: pre-wrap; color: var(--jp-error-color1, #a00000); margin: 0.3em 0; line-height: 1.3}
.offac-lab-summary {line-height: 1.4}
</style>"""


class View(Protocol):
    """A figure that follows a result.

    `figure` is a `matplotlib.figure.Figure`, never one of pyplot's. `artists` holds every artist that `update` changes
    in place. `update` may change other things too (axis limits, a tick label, a new artist): they are drawn, in about
    twice the time. A change inside a legend is not noticed by itself: set `legend.stale = True`. An Axes with artists
    in `artists` must not lie over another one (no twin axes).
    """

    figure: Figure
    artists: Sequence[Artist]

    def update(self, result: Any) -> None:
        """Move the artists to where `result` says."""


class Screen:
    """A view's figure as a picture on the page, redrawn artist by artist.

    `draw()` returns the figure in its present state, as a PNG; `publish` puts it on the page. `width` is the largest
    width of the picture, in pixels.
    """

    def __init__(self, view: View):
        if view.figure.canvas.manager is not None:
            raise TypeError("a lab's figure must be a matplotlib.figure.Figure, not one that pyplot manages")
        threads.protect_cells()
        self._view, self._background = view, None
        self._moving_axes: set[Axes] = set()  # axes that have changed in more than the view's artists
        Canvas(view.figure).draw()
        view.figure.set_layout_engine("none")  # the layout is computed once, so that nothing jumps later
        self.width, height = (round(pixels) for pixels in view.figure.bbox.size)
        self.picture = _Picture(
            width=self.width,  # width and height set the proportions, the layout sets the size
            height=height,
            layout={"width": "100%", "max_width": f"{self.width}px", "height": "auto"},
        )
        self.line, self.notice = ipywidgets.HTML(), ipywidgets.HTML()

    def box(self, controls: Sequence[ipywidgets.Widget]) -> ipywidgets.VBox:
        """Return the live lab: the controls, the picture, its line of words and the notice, one below the other."""
        box = ipywidgets.VBox([ipywidgets.HTML(_STYLE), *controls, self.picture, self.line, self.notice])
        box.add_class("offac-lab")
        return box

    def draw(self) -> bytes:
        """Redraw the artists over the background, and the background where it changed. Return the PNG."""
        figure = self._view.figure
        canvas = figure.canvas
        with getattr(figure, "_render_lock", nullcontext()):  # a cell may draw text at the same time
            # neither an animated artist nor a legend makes its figure stale
            changed = {child for child in figure.get_children() if child.stale and not child.get_animated()}
            if self._background is None or figure.stale or changed:
                self._draw_background(figure, changed)
            else:
                canvas.restore_region(self._background)
            for artist in self._foreground:
                artist.draw(canvas.get_renderer())
            for drawn in (*figure.get_children(), figure):
                drawn.stale = False
            buffer, size, file = canvas.buffer_rgba(), canvas.get_width_height(), io.BytesIO()
            picture = PIL.Image.frombuffer("RGBA", size, buffer, "raw", "RGBA", 0, 1).convert("RGB")
        # a palette takes a third of the time and bytes; its colours are off by a few of 256 shades, too few to see
        picture = picture.quantize(256, PIL.Image.Quantize.FASTOCTREE, dither=PIL.Image.Dither.NONE)
        picture.save(file, "png", compress_level=1)
        return file.getvalue()

    def _draw_background(self, figure: Figure, changed: set[Artist]) -> None:
        """Redraw all that is not in the foreground; only the moving axes, if nothing else has changed."""
        canvas = figure.canvas
        self._foreground = _foreground(figure, self._view.artists)
        draw_all = self._background is None or not changed or not changed <= self._moving_axes
        if draw_all and self._background is not None and changed <= set(figure.axes):
            self._moving_axes |= changed
        moving = [axes for axes in figure.axes if axes in self._moving_axes and axes.get_visible()]
        if draw_all:
            for axes in moving:
                axes.set_visible(False)
            canvas.draw()
            self._fixed = canvas.copy_from_bbox(figure.bbox)
            for axes in moving:
                axes.set_visible(True)
        else:
            canvas.restore_region(self._fixed)
        for axes in moving:
            axes.draw(canvas.get_renderer())
        self._background = canvas.copy_from_bbox(figure.bbox)

    def publish(self, png: bytes, text: str, error: str | None = None) -> None:
        """Put a picture on the page, with the line that describes it, and an error message if there is one."""
        with self.picture.hold_sync():
            self.picture.value, self.picture.tooltip = png, text
        self.text = text
        self.line.value = f'<div class="offac-lab-summary" role="status">{html.escape(text)}</div>'
        notice = f'<pre class="offac-lab-notice" role="alert">{html.escape(error or "")}</pre>'
        self.notice.value = notice if error else ""
        self.notice.layout.display = None if error else "none"

    def show(self, widget: ipywidgets.Widget) -> None:
        """Display the picture, its line of words, and below them `widget`, the live lab, which hides the other two.

        The first two are ordinary outputs, which remain where there is no kernel. The third holds only the live view.
        So a notebook that was saved without it still compares equal, output by output.
        """
        picture = {"image/png": bytes(self.picture.value), "text/plain": self.text}
        display(picture, metadata={"image/png": {"alt": self.text}}, raw=True)
        display({"text/plain": self.text}, raw=True)
        view = "application/vnd.jupyter.widget-view+json"
        display({view: widget._repr_mimebundle_()[view]}, raw=True)


class _Picture(ipywidgets.Image):
    """An image whose tooltip becomes its title on the page: the name that a screen reader says."""

    description = traitlets.Unicode("").tag(sync=True)  # the page's code for tooltips needs one


def _foreground(figure: Figure, changing: Iterable[Artist]) -> list[Artist]:
    """Mark as animated, and return in drawing order, the `changing` artists and everything drawn above them.

    What is above includes legend and spines: drawn a second time over themselves, their edges would become darker.
    Grid and ticks are first put below everything, so that they can stay in the background.
    """
    for artist in figure.findobj():
        artist.set_animated(False)
    changing, front = set(changing), []
    shown = [axes for axes in figure.axes if axes.get_visible()]
    for parent in (*sorted(shown, key=lambda axes: axes.zorder), figure):
        excluded = {parent.patch, *figure.axes}  # drawn by other means, or not at all
        if isinstance(parent, Axes) and changing.intersection(parent.get_children()):
            parent.set_axisbelow(True)
            if not parent.axison:
                excluded |= {parent.xaxis, parent.yaxis}
            if not (parent.axison and parent.get_frame_on()):
                excluded |= set(parent.spines.values())
        children = [child for child in parent.get_children() if child not in excluded]
        lowest = min((child.zorder for child in changing.intersection(children)), default=math.inf)
        front += sorted((child for child in children if child.zorder >= lowest), key=lambda child: child.zorder)
    for artist in front:
        for part in artist.findobj() if not isinstance(artist, Axes) else [artist]:
            part.set_animated(True)
    return front
