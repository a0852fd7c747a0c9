"""Where the lungs are, by the mean grey of rows and columns: what lies beyond is cut off before the network looks.

The source says no more than that lungs are found by these means, and that two fifths of the pixels go. How is this
project's choice: the shape of the means was fitted to 83 images whose lungs are known, so that less is cut, and less of
the lungs. Lungs are dark between a bright spine and a bright chest wall, and between shoulders and abdomen.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Floats = NDArray[np.float32]
Crop = tuple[slice, slice]
"""Rows and columns of an image."""

MARGIN = 0.03
"""Kept on every side beyond what the means say; of the image's rows or columns."""
_SMOOTHED = 0.02
_LEAST_RISE = 0.04
"""Of grey, from 0 to 1: flatter means show no lung."""
_MIDDLE_ROWS, _SPINE, _LUNG_ROWS = (0.25, 0.75), (0.35, 0.65), (0.2, 0.7)
_AIR = 0.2
"""Of the spine's grey: what is darker is beside the body."""
_TO_SHOULDERS, _TO_WALL, _TO_ABDOMEN = 0.9, 1.0, 0.95
"""How far up from the dark of the lungs to the brightest beyond them the crop reaches."""


def lung_crop(image: Floats) -> Crop | None:
    """Find the lungs.

    Parameters
    ----------
    image : ndarray of float32, shape (rows, columns)
        Upright, in [0, 1], bright is dense.

    Returns
    -------
    tuple of 2 slice, or None
        None where the means do not look like those of lungs, so that nothing may be cut.
    """
    across = _across(image)
    down = None if across is None else _down(image[:, slice(*across)])
    if across is None or down is None:
        return None
    rows, columns = (_with_margin(ends, length) for ends, length in zip((down, across), image.shape, strict=True))
    return rows, columns


def widened(crop: Crop, mask: NDArray[np.bool_]) -> Crop:
    """Return the smallest crop that holds a crop and everything that a mask, shape (rows, columns), marks."""
    marked = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    rows, columns = (
        slice(min(side.start, int(at[0])), max(side.stop, int(at[-1]) + 1)) if at.size else side
        for side, at in zip(crop, marked, strict=True)
    )
    return rows, columns


def _across(image: Floats) -> tuple[int, int] | None:
    """Return first and last column between the chest walls."""
    means = _means(image[_part(_MIDDLE_ROWS, len(image))], axis=0)
    middle = _part(_SPINE, len(means))
    spine = middle.start + int(means[middle].argmax())
    walls = [_wall(means[spine::step]) for step in (-1, 1)]
    if walls[0] is None or walls[1] is None:
        return None
    return spine - walls[0], spine + walls[1] + 1


def _wall(outwards: NDArray[Any]) -> int | None:
    """Return how far from the spine a lung may reach: to the brightest of the wall, else to where the body ends."""
    darkest = np.minimum.accumulate(outwards)
    is_beyond = (outwards - darkest >= _LEAST_RISE) & (outwards[0] - darkest >= _LEAST_RISE)
    if is_beyond.any():
        lung = int(outwards[: int(is_beyond.argmax())].argmin())
        return lung + _risen(outwards[lung:], _TO_WALL)
    if outwards[0] - darkest[-1] < _LEAST_RISE:
        return None
    return int(np.flatnonzero(outwards >= _AIR * outwards[0])[-1])


def _down(between_walls: Floats) -> tuple[int, int] | None:
    """Return first and last row between shoulders and abdomen."""
    means = _means(between_walls, axis=1)
    middle = _part(_LUNG_ROWS, len(means))
    lung = middle.start + int(means[middle].argmin())
    above, below = means[lung::-1], means[lung:]
    if below.max() - means[lung] < _LEAST_RISE:
        return None
    top = lung - _risen(above, _TO_SHOULDERS) if above.max() - means[lung] >= _LEAST_RISE else 0
    return top, lung + _risen(below, _TO_ABDOMEN) + 1


def _risen(means: NDArray[Any], share: float) -> int:
    """Return where means first rise that far from their first to their highest."""
    return int(np.argmax(means >= means[0] + share * (means.max() - means[0])))


def _means(image: Floats, axis: int) -> NDArray[Any]:
    means = image.mean(axis=axis, dtype=np.float64)
    smoothed: NDArray[Any] = gaussian_filter1d(means, _SMOOTHED * len(means))
    return smoothed


def _part(shares: Sequence[float], length: int) -> slice:
    first, last = (round(share * length) for share in shares)
    return slice(first, last)


def _with_margin(ends: tuple[int, int], length: int) -> slice:
    margin = round(MARGIN * length)
    return slice(max(0, ends[0] - margin), min(length, ends[1] + margin))
