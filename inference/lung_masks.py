"""What a network says of each pixel -> one whole lung on either side of a chest X-ray."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.lung_probabilities import LungProbabilities

RIGHT, LEFT = 0, 1


def lung_masks(found: LungProbabilities) -> NDArray[np.bool_]:
    """Return the lungs on the image's own pixels: of each its largest part, without holes.

    Parameters
    ----------
    found : LungProbabilities
        From `inference.lung_probabilities.probabilities`.

    Returns
    -------
    ndarray of bool, shape (2, rows, columns)
        `RIGHT` and `LEFT` lung of the patient; no pixel is of both; a lung that was not found is empty.
    """
    right, left = found.letterbox.to_image(found.values)
    background = 1.0 - right - left
    return two_lungs(right > np.maximum(left, background), left > np.maximum(right, background))


def two_lungs(right: NDArray[np.bool_], left: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return of what looks like either lung, shape (rows, columns), the largest part without holes, as above."""
    parts = [_largest_part(right), _largest_part(left)]
    filled = [_filled(part) for part in parts]
    return np.stack([filled[RIGHT] & ~parts[LEFT], filled[LEFT] & ~filled[RIGHT]])


def _largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: NDArray[np.bool_] = labels == sizes.argmax()
    return largest


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill what is not connected with the edge of the image."""
    labels, count = ndimage.label(~mask)
    outside = np.zeros(count + 1, dtype=np.bool_)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        outside[edge] = True
    outside[0] = False
    filled: NDArray[np.bool_] = ~outside[labels]
    return filled
