"""Maps of opacity: blended, over-estimated on purpose, and kept within limits.

A missed pixel costs far more than a false one where the source was judged: it dilated opacity, and let no value be near
0 or 1.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.opacity_explain.views import Box
from inference.resized import resized

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

MARKED_FROM = 0.5
"""From which probability on a pixel is marked as opacity; our choice."""
LOWEST, HIGHEST = np.float32(10 / 255), np.float32(245 / 255)
"""Within the lungs: "no pixels value was set under 10 bits [...] nor over 245 bits", of 8 bit."""
OUTSIDE = np.float32(1 / 255)
""""1 bits outside the lungs"."""


def blended(whole: Floats, lung: Floats, box: Box, weight: float) -> Floats:
    """Lay both maps of a lung over each other.

    Parameters
    ----------
    whole : ndarray of float32, shape (rows, columns)
        Probabilities on the image's own pixels.
    lung : ndarray of float32
        Probabilities on a grid over the lung's box, of any size.
    box : Box
        Of the lung.
    weight : float
        Of the lung's own map; the other has the rest of 1.

    Returns
    -------
    ndarray of float32, shape of the box
        On the image's own pixels.
    """
    around = whole[box]
    return resized(lung, around.shape) * np.float32(weight) + around * np.float32(1.0 - weight)


def over_estimated(values: Floats, share: float, shape: tuple[int, ...]) -> Floats:
    """Return the highest value within reach along rows and along columns: a grey dilation.

    Parameters
    ----------
    values : ndarray of float32, shape (rows, columns)
        Of a lung, 0 outside it.
    share : float
        How far that reaches, of the longer side of the image.
    shape : tuple of 2 int
        Of the image.
    """
    size = 2 * round(share * max(shape)) + 1
    dilated: Floats = ndimage.maximum_filter(values, size=size, mode="constant", cval=0.0)
    return dilated


def limited(values: Floats, lungs: Mask) -> Floats:
    """Return a map, shape (rows, columns), within its limits in the lungs, and of one value outside them."""
    return np.where(lungs, values.clip(LOWEST, HIGHEST), OUTSIDE)
