"""Step 4, first half: the resampled CT in the axes of the package, which are those the networks saw."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.resampled_ct import ResampledCT


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scan:
    """A volume with its lungs, in the order of axes of the package.

    Attributes
    ----------
    hounsfield : ndarray of int16 or float32, shape (rows, columns, slices)
        In Hounsfield units; rows run to the front, columns to the patient's left, slices to the head.
    lungs : ndarray of uint8 or bool, shape (rows, columns, slices)
        As R231 labels them (1 right, 2 left), or both at once.
    """

    hounsfield: NDArray[np.generic]
    lungs: NDArray[Any]


def to_scan(ct: ResampledCT) -> Scan:
    """Turn (slices, rows, columns) into (rows, columns, slices), and reverse the rows."""
    return Scan(hounsfield=_turned(ct.hounsfield), lungs=_turned(ct.labels))


def from_scan(lungs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Turn a mask back to (slices, rows, columns), with rows to the back."""
    return np.ascontiguousarray(lungs[::-1].transpose(2, 0, 1))


def _turned(array: NDArray[np.generic]) -> NDArray[np.generic]:
    return array.transpose(1, 2, 0)[::-1]
