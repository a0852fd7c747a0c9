"""The least that a map says in and around the lungs: a missed pixel costs far more than a false one.

Values are those of the source's three submissions; how far the lungs are dilated is this project's choice.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

DILATION = 1 / 40
"""Of the image's longer side: about 1 cm on an adult's chest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Floor:
    """Least values in the dilated lungs, and outside them."""

    lung: float
    background: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Floors:
    """Those of images with and without opacity."""

    positive: Floor
    negative: Floor

    def of(self, *, positive: bool) -> Floor:
        """Return the floor of one image."""
        return self.positive if positive else self.negative


HIGH = Floors(positive=Floor(lung=0.3, background=0.05), negative=Floor(lung=0.1, background=0.05))
"""Of submissions 1 and 2: "0.3 on positive samples, 0.1 on negative samples, background is always 0.05"."""
LOW = Floors(positive=Floor(lung=0.15, background=0.05), negative=Floor(lung=0.05, background=0.0))
"""Of submission 3: "0.15 on positive samples, 0.05 on negative samples, background is 0.05 [...] and 0"."""


def dilated(lungs: Mask) -> Mask:
    """Return what lies within `DILATION` of a lung along rows and along columns; shape (rows, columns)."""
    reach = max(1, round(DILATION * max(lungs.shape)))
    grown: NDArray[np.uint8] = ndimage.maximum_filter(lungs.view(np.uint8), size=2 * reach + 1, mode="constant", cval=0)
    return grown.view(np.bool_)


def lifted(values: Floats, near_lungs: Mask, floor: Floor) -> Floats:
    """Return a map, shape (rows, columns), that is nowhere below its floor, and as it was elsewhere."""
    least: Floats = np.where(near_lungs, np.float32(floor.lung), np.float32(floor.background))
    return np.maximum(values, least)
