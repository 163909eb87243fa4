"""A view's figure on the page: its picture, a line of words that describes it, and a place for errors."""

import html
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import ipywidgets
from IPython.display import display
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from offac_lite.course.plots.style import course_style
from offac_lite.course.stage import lifetime, picture, threads
from offac_lite.course.stage.canvas import Canvas

NARROW = 600
"""Width of a page's place for the picture, in CSS pixels, below which a view is arranged for a narrow page."""


class View(Protocol):
    """A figure that follows a result.

    `figure` is a `matplotlib.figure.Figure`, never one of pyplot's. `artists` holds every artist that `update` changes
    in place. `update` may change other things too (axis limits, a tick label, a new artist): they are drawn, in about
    twice the time. A change inside a legend is not noticed by itself: set `legend.stale = True`. An Axes with artists
    in `artists` must not lie over another one (no twin axes).

    A view may have two more methods. `arrange(narrow: bool)` sets the figure's size in inches and the places of its
    axes, side by side or stacked. It is called before the first drawing and when the layout of the page changes. A
    view without it keeps its one layout, scaled. `pin(result | None)` draws a result as a grey ghost, or removes it.
    """

    figure: Figure
    artists: Sequence[Artist]

    def update(self, result: Any) -> None:
        """Move the artists to where `result` says."""


class Screen:
    """A view's figure as a picture on the page, redrawn artist by artist.

    `draw()` draws the figure in its present state; `png` is what was drawn last, and `publish` puts a picture on the
    page. The picture has the size, the pixel ratio and the theme of its page, once the page has told them. `lock`
    guards all of a lab.
    """

    def __init__(self, view: View):
        if view.figure.canvas.manager is not None:
            raise TypeError("a lab's figure must be a matplotlib.figure.Figure, not one that pyplot manages")
        threads.protect_cells()
        lifetime.collect()
        self.lock = threading.RLock()  # messages from the page arrive on another thread than the cells'
        self._view, self._dpi = view, view.figure.get_dpi()
        self._narrow: bool | None = None
        self.png, self.text = b"", ""
        Canvas(view.figure)
        self._fit({})
        self.width, height = (round(pixels) for pixels in view.figure.bbox.size)
        self.picture = picture.Picture(width=self.width)
        self.picture.observe(lifetime.weak(self._on_page), names="page")
        size = {"width": "100%", "max_width": f"{self.width}px", "height": "auto"}
        self.plain = ipywidgets.Image(width=self.width, height=height, layout=size)  # until the script runs
        self.plain.add_class("offac-plain")
        self.line, self.notice, self.questions = (ipywidgets.HTML() for _ in range(3))

    def box(self, controls: Sequence[ipywidgets.Widget]) -> ipywidgets.VBox:
        """Return the live lab: the controls, the picture and the words, one below the other."""
        stage = ipywidgets.VBox([self.picture])
        stage.add_class("offac-stage")
        style, words = ipywidgets.HTML(picture.STYLE), [self.line, self.notice, self.questions]
        box = ipywidgets.VBox([style, *controls, stage, self.plain, *words])
        box.add_class("offac-lab")
        threads.answer_beside_cells(box)
        return box

    @course_style()
    def _arrange(self, narrow: bool) -> None:
        """Lay the figure out, once for each layout, so that nothing jumps later."""
        figure, self._narrow = self._view.figure, narrow
        self._background = None
        self._moving_axes: set[Axes] = set()  # axes that have changed in more than the view's artists
        figure.set_dpi(self._dpi)
        if hasattr(self._view, "arrange"):
            self._view.arrange(narrow)
        for artist in figure.findobj():
            artist.set_animated(False)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")

    def _fit(self, page: dict[str, Any]) -> None:
        """Set layout, size and colours for a page; for an empty one the view's own size, on white."""
        width, ratio = page.get("width", math.inf), page.get("ratio", 1)
        self._ratio, self._dark = ratio, page.get("dark", False)
        narrow = width < NARROW and hasattr(self._view, "arrange")
        if narrow != self._narrow:
            self._arrange(narrow)
        figure = self._view.figure
        inches = figure.get_size_inches()[0]
        pixels = int(min(max(width, 100), inches * self._dpi) * ratio + 1e-6)
        figure.set_dpi((pixels + 1e-6) / inches)  # no pixel is lost in rounding
        self._css_width, self._background = pixels / ratio, None

    def _on_page(self, _change=None) -> None:
        with self.lock:
            self._fit(self.picture.page)
            self.draw()
            with self.picture.hold_sync():
                self.picture.width, self.picture.value = self._css_width, self.png

    def _still(self) -> bytes:
        """Return the picture as it is without a page: a notebook is stored in one look, whatever the student's page."""
        with self.lock:
            shown = self.png
            self._fit({})
            still, self.png = self.draw(), shown
            self._fit(self.picture.page)
        return still

    @course_style()
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
            size, maps = canvas.get_width_height(), _maps(figure)
            self.png = picture.png(canvas.buffer_rgba(), size, self._ratio, self._dark, maps)
        return self.png

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
            self.picture.value, self.picture.alt = png, text
        if not self.picture.page:
            self.plain.value = png
        self.text = text
        self.line.value = f'<div class="offac-lab-summary" role="status">{html.escape(text)}</div>'
        notice = f'<pre class="offac-lab-notice" role="alert">{html.escape(error or "")}</pre>'
        self.notice.value = notice if error else ""
        self.notice.layout.display = None if error else "none"

    def show(self, widget: ipywidgets.Widget, owner: Any) -> None:
        """Display the picture, its line of words, and below them `widget`, the live lab, which hides the other two.

        The first two are ordinary outputs, which remain where there is no kernel. The third holds only the live view.
        So a notebook that was saved without it still compares equal, output by output. `owner`, the lab, lives as long
        as the cell shows it.
        """
        lifetime.hold(owner)
        png = self._still() if self.picture.page else self.picture.value
        bundle = {"image/png": bytes(png), "text/plain": self.text}
        display(bundle, metadata={"image/png": {"alt": self.text}}, raw=True)
        display({"text/plain": self.text}, raw=True)
        view = {"model_id": widget.model_id, "version_major": 2, "version_minor": 0}
        display({"application/vnd.jupyter.widget-view+json": view}, raw=True)


def _maps(figure: Figure) -> Iterator[picture.Box]:
    """Yield the places of colour maps and their colour bars, in pixels from the upper left corner."""
    height = int(figure.bbox.height)
    for axes in figure.axes:
        if axes.get_visible() and (axes.images or any(isinstance(one, QuadMesh) for one in axes.collections)):
            left, bottom, right, top = (round(edge) for edge in axes.bbox.extents)
            yield left, height - top, right, height - bottom


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
