"""Step 4, second half: of each lung its largest part, less what is no air on a slice."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

from inference.balaitous.scan import Scan
from inference.resampled_ct import LEFT, RIGHT

Mask = NDArray[np.bool_]
HU_THRESHOLD = -100
PERCENTILE = 5


def clean_lungs(scan: Scan) -> Scan:
    """Keep the largest component of each lung, and of that on each slice the components that hold air.

    Components touch by faces, edges or corners. One whose 5th percentile lies above -100 HU goes.

    Parameters
    ----------
    scan : Scan
        With labels.

    Returns
    -------
    Scan
        With a mask of both lungs; it may be empty.
    """
    lungs = _largest(scan.lungs == RIGHT) | _largest(scan.lungs == LEFT)
    for index in np.flatnonzero(lungs.any(axis=(0, 1))):
        lungs[..., index] &= ~_airless(scan.hounsfield[..., index], lungs[..., index])
    return Scan(hounsfield=scan.hounsfield, lungs=lungs)


def _largest(mask: Mask) -> Mask:
    """Return the largest component, of equal ones the first in the order of the axes."""
    found = np.zeros(mask.shape, dtype=np.bool_)
    for box in ndimage.find_objects(mask.view(np.uint8)):
        labels = measure.label(mask[box])
        found[box] = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    return found


def _airless(hounsfield: NDArray[np.generic], mask: Mask) -> Mask:
    labels = measure.label(mask)
    dense = [
        label
        for label, box in enumerate(ndimage.find_objects(labels), start=1)
        if np.percentile(hounsfield[box][labels[box] == label], PERCENTILE) > HU_THRESHOLD
    ]
    return np.isin(labels, dense)
