"""An Agg canvas that draws each line of text once and then copies its pixels."""

import functools

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg


class Canvas(FigureCanvasAgg):
    """Matplotlib's canvas with a cache of drawn text, since letters take the longest to draw.

    In a lab the same titles and ticks are drawn again and again.

    >>> from matplotlib.figure import Figure
    >>> figure = Figure()
    >>> title = figure.suptitle("drawn once")
    >>> for _ in range(3):
    ...     Canvas(figure).draw()
    """

    def get_renderer(self) -> RendererAgg:
        """Return the renderer of the figure's size, the same one until that size changes."""
        renderer = super().get_renderer()
        if not isinstance(renderer, _Renderer):
            self.renderer = renderer = _Renderer(renderer.width, renderer.height, renderer.dpi)
        return renderer


class _Renderer(RendererAgg):
    def __init__(self, width: float, height: float, dpi: float):
        super().__init__(width, height, dpi)
        self._sheet = RendererAgg(width, height, dpi)
        self._cached = functools.lru_cache(300)(self._picture)  # a figure has about eighty lines of text

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None) -> None:
        """Draw one line of text, as `matplotlib.backend_bases.RendererBase` specifies."""
        if gc.get_alpha() != 1 or gc.get_rgb()[3] != 1:
            return super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)
        left, bottom, picture = self._cached(x, y, s, prop.copy(), angle, ismath, gc.get_rgb(), gc.get_antialiased())
        self.draw_image(gc, left, bottom, picture)

    def _picture(self, x, y, s, prop, angle, ismath, color, antialiased) -> tuple[int, int, np.ndarray]:
        """Draw the text alone; return the pixels that it covers, after their left and bottom edge."""
        sheet, gc = self._sheet, self._sheet.new_gc()
        gc.set_foreground(color, isRGBA=True)
        gc.set_antialiased(antialiased)
        sheet.clear()
        sheet.draw_text(gc, x, y, s, prop, angle, ismath)
        pixels = np.asarray(sheet.buffer_rgba())
        rows, columns = (np.flatnonzero(pixels[..., 3].any(axis)) for axis in (1, 0))
        if not len(rows):
            return 0, 0, pixels[:1, :1].copy()
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        return int(left), int(self.height - bottom), pixels[top:bottom, left:right][::-1].copy()  # pictures start below
