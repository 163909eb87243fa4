"""The widget that shows a picture on the page, and how a drawn figure becomes a PNG."""

import io
from collections.abc import Iterable
from pathlib import Path

import anywidget
import numpy as np
import PIL.Image
import traitlets

Box = tuple[int, int, int, int]
_FOLDER = Path(__file__).parent
STYLE = f"<style>{(_FOLDER / 'stage.css').read_text(encoding='utf-8')}</style>"

BACKGROUND, FOREGROUND = 0x11 / 255, 0xE6 / 255  # white and black on a dark page
STRONG = 0.12  # the strength in Oklab from which on a colour is not taken as a pale one


_TO_CONES = np.array(  # from linear sRGB
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_OKLAB = np.array(  # from the cube roots of those
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


class Picture(anywidget.AnyWidget):
    """A picture on the page. Its script, stage.js, shows `value` and reports the `page` that it is on.

    `page` is empty until the script runs. Then it holds "width" (of the place for the picture, in CSS pixels),
    "ratio" (device pixels per CSS pixel) and "dark" (whether the background of the page is dark).
    """

    _esm = (_FOLDER / "stage.js").read_text(encoding="utf-8")

    value = traitlets.Bytes().tag(sync=True)  # a PNG
    alt = traitlets.Unicode().tag(sync=True)  # the picture in words
    width = traitlets.Float().tag(sync=True)  # in CSS pixels
    page = traitlets.Dict().tag(sync=True)


def png(
    pixels: memoryview, size: tuple[int, int], ratio: float = 1, dark: bool = False, maps: Iterable[Box] = ()
) -> bytes:
    """Encode a canvas's RGBA pixels with a palette of 256 colours, in the colours for a dark page if `dark`.

    A palette takes a third of the time and bytes of full colours, which it matches to a few of 256 shades. At a pixel
    `ratio` of 2 or more it is chosen from the pixels of a smaller picture, because that takes a quarter of the time.
    `maps` are the places of colour maps, (left, top, right, bottom).
    """
    picture, maps = PIL.Image.frombuffer("RGBA", size, pixels, "raw", "RGBA", 0, 1).convert("RGB"), list(maps)
    n_colors = 128 if dark and maps else 256
    if ratio >= 2:
        small = picture.resize([int(edge / ratio) for edge in size], PIL.Image.Resampling.NEAREST)
        palette = small.quantize(n_colors, PIL.Image.Quantize.FASTOCTREE)
        picture = picture.quantize(palette=palette, dither=PIL.Image.Dither.NONE)
    else:
        picture = picture.quantize(n_colors, PIL.Image.Quantize.FASTOCTREE, dither=PIL.Image.Dither.NONE)
    if dark:
        colors = np.reshape(picture.getpalette(), (-1, 3)) / 255
        colors[colors.min(1) > 0.96] = 1  # the palette's white is a mean of light colours
        n_colors = len(colors)
        for box in maps:
            picture.paste(picture.crop(box).point(lambda index: min(index + n_colors, 255)), box)
        colors = np.concatenate([on_dark(colors), reverse_lightness(colors)])[:256]
        picture.putpalette(np.rint(255 * colors).astype(np.uint8).tobytes())
    file = io.BytesIO()
    picture.save(file, "png", compress_level=1)
    return file.getvalue()


def on_dark(colors: np.ndarray) -> np.ndarray:
    """Map colours (n, 3) from 0 to 1, as drawn on white, to colours for a dark background.

    A pale colour, such as the edge of a line or a faint dot, is taken as an ink that covers white in part; the dark
    background replaces the white. Inks keep their hue: the lightness of greys is reversed, and strong colours become a
    little lighter.

    >>> np.rint(255 * on_dark(np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])))
    array([[ 17.,  17.,  17.],
           [230., 230., 230.]])
    """
    strength = np.hypot(*_to_oklab(colors).T[1:]) / STRONG
    cover = np.clip(np.maximum(strength, 1 - colors.min(1)), 1e-6, 1)[:, None]
    oklab = _to_oklab(np.clip(1 - (1 - colors) / cover, 0, 1))
    lightness, strength = oklab[:, 0].copy(), np.minimum(np.hypot(*oklab.T[1:]) / STRONG, 1)
    background, foreground = _to_oklab(np.array([[BACKGROUND] * 3, [FOREGROUND] * 3]))[:, 0]
    grey = background + (foreground - background) * (1 - lightness)
    oklab[:, 0] = grey + strength * (1 - 0.75 * (1 - lightness) - grey)
    return np.clip(BACKGROUND + cover * (_from_oklab(oklab) - BACKGROUND), 0, 1)


def reverse_lightness(colors: np.ndarray) -> np.ndarray:
    """Map the colours of a colour map, (n, 3), to those for a dark background: what was lightest becomes darkest."""
    oklab = _to_oklab(colors)
    background, foreground = _to_oklab(np.array([[BACKGROUND] * 3, [FOREGROUND] * 3]))[:, 0]
    oklab[:, 0] = background + (foreground - background) * (1 - oklab[:, 0])
    return _from_oklab(oklab)


def _to_oklab(colors: np.ndarray) -> np.ndarray:
    """Map sRGB colours (n, 3) to lightness and two coordinates of hue and strength (Ottosson 2020)."""
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_CONES.T) @ _TO_OKLAB.T


def _from_oklab(oklab: np.ndarray) -> np.ndarray:
    linear = np.clip((oklab @ np.linalg.inv(_TO_OKLAB).T) ** 3 @ np.linalg.inv(_TO_CONES).T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
