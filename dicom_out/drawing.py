"""What the key images are drawn with: text that fits, outlines that can be seen on any gray, a scale bar.

Text has the sizes of a picture of 1024 pixels and is read at half of that.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import uniform_filter1d

from dicom_out.colours import RGB
from dicom_out.plain import plain

BLACK, WHITE, GRAY, YELLOW = (0, 0, 0), (255, 255, 255), (185, 185, 185), (255, 214, 0)
SMALL, MEDIUM, LARGE = 22, 26, 30
"""Sizes of text in pixels: at half the size of the picture the smallest is 11 pixels high."""

_FINER = 2
_STEP_PIXELS = 1.0
_SMOOTHED_PIXELS = 2.5
_LEAST_PIXELS = 5.0
"""Across an outline: what is smaller is drawn larger than it is, rather than not seen."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Outline:
    """A line around a part of a region.

    Attributes
    ----------
    points : ndarray of float64, shape (k, 2)
        Closed: first equal to last; (column, row) from the corner of the first pixel of the plane.
    rgb : tuple of 3 int
        Its colour.
    width : float
        In pixels of the picture.
    """

    points: NDArray[np.float64]
    rgb: RGB
    width: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Plane:
    """A plane of an image, ready to be scaled and drawn.

    Attributes
    ----------
    gray : ndarray of uint8, shape (rows, columns)
        As it is to be looked at.
    spacing : tuple of 2 float
        Between rows and columns: in mm, or their ratio where their size is not known.
    outlines : tuple of Outline
        In the order of drawing.
    """

    gray: NDArray[np.uint8]
    spacing: tuple[float, float]
    outlines: tuple[Outline, ...]

    def scale(self, room: tuple[int, int]) -> float:
        """Return how many pixels a unit of the spacing takes where the plane just fits into a width and height."""
        (rows, columns), (row, column) = self.gray.shape, self.spacing
        return float(min(room[0] / (columns * column), room[1] / (rows * row)))

    def size(self, room: tuple[int, int]) -> tuple[int, int]:
        """Return the width and height that the plane takes of a room, with its true aspect."""
        (rows, columns), (row, column), scale = self.gray.shape, self.spacing, self.scale(room)
        return max(1, round(columns * column * scale)), max(1, round(rows * row * scale))


def drawn(plane: Plane, room: tuple[int, int]) -> Image.Image:
    """Draw a plane with its outlines as large as it fits into a width and height."""
    width, height = plane.size(room)
    fine = (width * _FINER, height * _FINER)
    picture = Image.fromarray(np.ascontiguousarray(plane.gray)).resize(fine, Image.Resampling.BICUBIC).convert("RGB")
    draw = ImageDraw.Draw(picture)
    scale = np.array(fine) / plane.gray.shape[::-1]
    lines = [(outline, _smooth(outline.points * scale)) for outline in plane.outlines]
    for outline, points in lines:
        draw.line(points, fill=BLACK, width=round((outline.width + 1.5) * _FINER), joint="curve")
    for outline, points in lines:
        draw.line(points, fill=outline.rgb, width=round(outline.width * _FINER), joint="curve")
    return picture.reduce(_FINER)


def _smooth(points: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return a closed line that can be seen, without the steps of the pixels that it runs around."""
    centre, extent = points.mean(axis=0), float(np.ptp(points, axis=0).max())
    points = centre + (points - centre) * max(1.0, _LEAST_PIXELS * _FINER / extent)
    steps = np.hypot(*np.diff(points, axis=0).T)
    points, length = points[:-1], float(steps.sum())
    window = min(len(points) * _SMOOTHED_PIXELS * _FINER / max(length, 1e-9), len(points) / 8)
    smoothed = uniform_filter1d(points, max(1, round(window)), axis=0, mode="wrap")
    keep = np.diff(np.floor(np.cumsum(steps) / (_STEP_PIXELS * _FINER)), prepend=-1) > 0
    kept = smoothed[keep]
    return [(float(x), float(y)) for x, y in np.concatenate([kept, kept[:1]])]


def text(
    draw: ImageDraw.ImageDraw,
    position: tuple[float, float],
    words: str,
    size: int = SMALL,
    colour: RGB = WHITE,
    anchor: str = "ls",
) -> None:
    """Write words with a dark edge, so that they can be read on any gray; `anchor` is Pillow's."""
    draw.text(position, words, font=_font(size), fill=colour, anchor=anchor, stroke_width=2, stroke_fill=BLACK)


def width_of(words: str, size: int = SMALL) -> float:
    """Return the width of words in pixels."""
    return _font(size).getlength(words)


def fitted(words: str, width: float, size: int = SMALL, ending: str = "") -> str:
    """Return words cut to a width in pixels; the ending is always kept."""
    words = plain(words)
    if width_of(words + ending, size) <= width:
        return words + ending
    while words and width_of(f"{words}...{ending}", size) > width:
        words = words[:-1].rstrip()
    return f"{words}...{ending}"


def wrapped(words: str, width: float, size: int = SMALL) -> list[str]:
    """Return words in lines of at most a width in pixels."""
    lines: list[str] = []
    for word in plain(words).split():
        if lines and width_of(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(fitted(word, width, size))
    return lines


def scale_bar(draw: ImageDraw.ImageDraw, right: tuple[float, float], length: float) -> None:
    """Draw a bar that ends at a point."""
    x, y = right
    for colour, width in ((BLACK, 7), (WHITE, 3)):
        draw.line([(x - length, y), (x, y)], fill=colour, width=width)
        for end in (x - length, x):
            draw.line([(end, y - 7), (end, y + 7)], fill=colour, width=width)


def swatch(draw: ImageDraw.ImageDraw, left: tuple[float, float], rgb: RGB) -> None:
    """Draw a square of a colour whose left edge has its middle at a point."""
    x, y = left
    draw.rectangle([x, y - 9, x + 18, y + 9], fill=rgb)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType.")
    return font
