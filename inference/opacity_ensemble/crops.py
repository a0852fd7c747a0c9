"""Where the masks of the segmenters lie -> crops of the image for the refinement, and its map on the whole image.

The source says that connected components of the joined masks are processed by a network that was trained on crops;
how large a crop is, and what becomes of specks and of places in two crops, is this project's choice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]
Crop = tuple[slice, slice]
"""Rows and columns of an image."""

MARGIN = 0.25
"""Around a component on every side, of its longer side."""
LEAST_MARGIN = 1 / 32
"""Of the image's longer side: a small component is to be seen with what is around it."""
LEAST_SHARE = 1e-4
"""Of the image, that a component covers; what is smaller is a speck, and not refined."""
MOST_CROPS = 16
"""The largest components; without a limit, masks of noise would keep a job busy for hours."""

_TOUCHING = np.ones((3, 3), dtype=np.bool_)
"""Pixels that meet at a corner belong together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Crops:
    """What is refined.

    Attributes
    ----------
    places : tuple of Crop
        Of the largest component first.
    left_out : int
        Components that are no specks, and not among the largest.
    """

    places: tuple[Crop, ...] = ()
    left_out: int = 0


def crops(union: Mask) -> Crops:
    """Cut the joined masks, shape (rows, columns), into a crop around each of their connected components."""
    labels, _ = ndimage.label(union, structure=_TOUCHING)
    sizes = np.bincount(labels.ravel())[1:]
    boxes = ndimage.find_objects(labels)
    least = LEAST_SHARE * union.size
    by_size = [index for index in np.argsort(-sizes, kind="stable") if sizes[index] >= least]
    return Crops(
        places=tuple(_with_margin(boxes[index], union.shape) for index in by_size[:MOST_CROPS]),
        left_out=max(0, len(by_size) - MOST_CROPS),
    )


def pasted(shape: tuple[int, ...], places: Sequence[Crop], maps: Iterator[Floats]) -> Floats:
    """Lay what was found in crops on the whole image.

    Parameters
    ----------
    shape : tuple of 2 int
        Of the image.
    places : sequence of Crop
        Of `crops`.
    maps : iterator of ndarray of float32
        Probabilities in each crop; as many are taken as there are places.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        0 outside the crops; where two overlap, the higher value.
    """
    whole = np.zeros(shape, dtype=np.float32)
    for place in places:
        here = whole[place]
        np.maximum(here, next(maps), out=here)
    return whole


def _with_margin(box: Crop, shape: tuple[int, ...]) -> Crop:
    longer = max(side.stop - side.start for side in box)
    margin = round(max(MARGIN * longer, LEAST_MARGIN * max(shape)))
    rows, columns = _widened(box, margin, shape)
    return rows, columns


def _widened(box: Crop, margin: int, shape: tuple[int, ...]) -> Iterator[slice]:
    for side, length in zip(box, shape, strict=True):
        yield slice(max(0, side.start - margin), min(length, side.stop + margin))
