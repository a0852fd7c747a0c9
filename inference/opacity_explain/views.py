"""Upright image -> what the networks look at: the whole, and either lung by itself.

Training cuts and scales images by these very functions. The source gives the sizes and the range; that proportions are
not kept follows from them. How closely a lung is cut out is this project's choice.
"""

import numpy as np
from numpy.typing import NDArray

from inference.lung_masks import two_lungs
from inference.resized import resized

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]
Box = tuple[slice, slice]
"""Rows and columns of an image."""

WHOLE = (512, 512)
LUNG = (512, 320)
"""Rows and columns of what the networks look at."""
MARGIN = 1 / 20
"""Around a lung on every side, of its own rows and columns."""
LUNG_FROM = 0.5
"""From which probability on a pixel is lung."""
LEAST_LUNG = 1 / 200
"""Of the image; what is smaller is no lung that could be judged by itself."""


def whole_view(image: Floats) -> Floats:
    """Return a whole image, of any size and in [0, 1], as `WHOLE` in [-1, 1]."""
    return _scaled(image, WHOLE)


def lung_view(image: Floats, box: Box) -> Floats:
    """Return what lies in the box of a lung as `LUNG` in [-1, 1]; what is around the lung in it stays."""
    return _scaled(image[box], LUNG)


def lung_box(lung: Mask) -> Box:
    """Return the box around a lung that is not empty, with a margin, within the image; shape (rows, columns)."""
    rows, columns = (_widened(np.flatnonzero(lung.any(axis=axis)), lung.shape[1 - axis]) for axis in (1, 0))
    return rows, columns


def lungs_of(probabilities: Floats, shape: tuple[int, ...]) -> Mask:
    """Return both lungs on the image's own pixels, each whole; one that was not found is empty.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (2, *WHOLE)
        Of right and left lung.
    shape : tuple of 2 int
        Rows and columns of the image.

    Returns
    -------
    ndarray of bool, shape (2, rows, columns)
        No pixel is of both.
    """
    right, left = resized(probabilities, shape)
    found = two_lungs((right >= LUNG_FROM) & (right >= left), (left >= LUNG_FROM) & (left > right))
    found[found.mean(axis=(1, 2)) < LEAST_LUNG] = False
    return found


def _scaled(image: Floats, size: tuple[int, int]) -> Floats:
    return resized(image, size) * np.float32(2.0) - np.float32(1.0)


def _widened(marked: NDArray[np.intp], length: int) -> slice:
    first, last = int(marked[0]), int(marked[-1]) + 1
    margin = round(MARGIN * (last - first))
    return slice(max(0, first - margin), min(length, last + margin))
