"""Step 7, before the networks: lungs alone, the window of the lung, and ImageNet's mean and deviation."""

import numpy as np
from numpy.typing import NDArray

from inference.balaitous.framing import OUTSIDE_HU
from inference.balaitous.scan import Scan

LOW_HU, HIGH_HU = -1024, 600
_MEAN = np.array([0.485, 0.456, 0.406])
_DEVIATION = np.array([0.229, 0.224, 0.225])
"""Of ImageNet's red, green and blue, as torchvision has them."""


def lungs_only(scan: Scan) -> Scan:
    """Set what is no lung to -1024 HU."""
    return Scan(
        hounsfield=np.where(scan.lungs, scan.hounsfield, np.array(OUTSIDE_HU, dtype=scan.hounsfield.dtype)),
        lungs=scan.lungs,
    )


def windowed(scan: Scan) -> NDArray[np.float32]:
    """Return images for the networks.

    Returns
    -------
    ndarray of float32, shape (slices, 3, rows, columns)
        [-1024, 600] HU scaled to [0, 1], three times, each with the mean and deviation of its colour.
    """
    clipped = np.clip(scan.hounsfield.transpose(2, 0, 1), LOW_HU, HIGH_HU)
    scaled = (clipped - LOW_HU) / (HIGH_HU - LOW_HU)
    colours = [(scaled - mean) / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)]
    return np.stack(colours, axis=1, dtype=np.float32, casting="same_kind")
