"""A heatmap as a person sees it: over the image in colour, with a bar that says what the colours mean.

The colours are told apart by the colour-blind, and brighter always means more.

References
----------
van der Walt and Smith, A Better Default Colormap for Matplotlib, SciPy 2015.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicom_out.drawing import SMALL, fitted, text, width_of
from dicom_out.resampling import resampled
from inference.findings import Heatmap
from inference.radiograph import Radiograph
from inference.wording import unit_shown

_MOST_OPAQUE = 0.6
_TRANSPARENT_BELOW = 0.25
"""Of the range: from there down the colours fade, and the image itself is seen."""
_FINEST = 1024
_BAR_HEIGHT, _GAP = 16, 8

Floats = NDArray[np.float32]


def heat(heatmap: Heatmap, radiograph: Radiograph, picture: Image.Image) -> Image.Image:
    """Return a picture of an upright radiograph with a heatmap over it."""
    share = Image.fromarray(_upright(heatmap, radiograph)).resize(picture.size, Image.Resampling.BILINEAR)
    low, high = heatmap.value_range
    values = ((np.asarray(share) - low) / (high - low)).clip(0, 1)
    opaque = _MOST_OPAQUE * (values / _TRANSPARENT_BELOW).clip(0, 1)
    mask = Image.fromarray((255 * opaque).astype(np.uint8))
    return Image.composite(Image.fromarray(_coloured(values)), picture, mask)


def colour_bar(draw: ImageDraw.ImageDraw, picture: Image.Image, heatmap: Heatmap, place: tuple[int, int, int]) -> None:
    """Draw what the colours of a heatmap mean, at a left edge and a base line, in a width."""
    left, base, width = place
    unit = unit_shown(heatmap.unit.value)
    low, high = (f"{value:g}" for value in heatmap.value_range)
    high = f"{high} {unit}".rstrip()
    room = width // 3
    bar = Image.fromarray(_coloured(np.linspace(0, 1, room, dtype=np.float32)[np.newaxis].repeat(_BAR_HEIGHT, 0)))
    words = fitted(heatmap.label, width - room - 3 * _GAP - width_of(low) - width_of(high))
    text(draw, (left, base), words)
    x = left + width_of(words) + _GAP
    text(draw, (x, base), low)
    x += width_of(low) + _GAP
    picture.paste(bar, (round(x), base - SMALL + 6))
    text(draw, (x + room + _GAP, base), high)


def _upright(heatmap: Heatmap, radiograph: Radiograph) -> Floats:
    """Return the values of a heatmap on the upright radiograph, no finer than they can be drawn."""
    shape = radiograph.pixel_array.shape[1:]
    step = max(1, max(shape) // _FINEST)
    slice_mm, row, column = radiograph.geometry.spacing_mm
    x, y, z = radiograph.geometry.origin_mm
    geometry = replace(
        radiograph.geometry,
        origin_mm=(x + (step - 1) / 2 * column, y + (step - 1) / 2 * row, z),
        spacing_mm=(slice_mm, row * step, column * step),
    )
    (plane,) = resampled(heatmap, geometry, (1, *(size // step for size in shape)))
    return np.ascontiguousarray(radiograph.upright.turn(plane))


def _coloured(values: Floats) -> NDArray[np.uint8]:
    """Return RGB, shape (rows, columns, 3), of values in [0, 1]."""
    # Slow to import, and few results show a heatmap.
    from matplotlib import colormaps

    rgba: NDArray[np.uint8] = colormaps["inferno"](values, bytes=True)
    return np.ascontiguousarray(rgba[..., :3])
