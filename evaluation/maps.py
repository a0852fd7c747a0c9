"""A map of probabilities against a mask, pixel by pixel: a missed pixel weighs more than a false one.

References
----------
The map score of the MIDRC XAI challenge (2024), in which a missed opacity pixel weighs about thirty times a false one.
The weight is told by participants, not published by the organisers. Normalised by the sum of weights, as
`sklearn.metrics.log_loss` does, image by image: our choice.
"""

import numpy as np
from numpy.typing import NDArray

from evaluation.overlap import Mask

MISSED_WEIGHT = 30.0
FLOOR = 0.5 / 255
"""Nearest that a probability comes to 0 and 1: half a step of 8 bits, in which that challenge's maps were handed in."""


def weighted_log_loss(
    values: NDArray[np.floating], truth: Mask, *, missed_weight: float = MISSED_WEIGHT, floor: float = FLOOR
) -> float:
    """Return the weighted mean over pixels of the negative logarithm of the probability given to the truth.

    Parameters
    ----------
    values : ndarray of float
        Probability of opacity.
    truth : ndarray of bool, same shape
        Where opacity is.
    missed_weight : float
        Of a pixel with opacity; one without weighs 1.
    floor : float
        Probabilities are taken as at least this far from 0 and 1.
    """
    marked = np.clip(values[truth].astype(np.float64), floor, 1 - floor)
    free = np.clip(values[~truth].astype(np.float64), floor, 1 - floor)
    lost = missed_weight * -np.log(marked).sum() - np.log1p(-free).sum()
    return float(lost / (missed_weight * marked.size + free.size))
