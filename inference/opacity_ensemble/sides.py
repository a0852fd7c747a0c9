"""Which lung an opacity belongs to, on an upright image."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def by_side(opacity: Mask, lungs: Mask) -> Mask | None:
    """Split opacity between the patient's right and left lung.

    A pixel within a lung is that lung's. One outside, where a dense lung was not recognised as lung, goes by the
    line halfway between the lungs' middles.

    Parameters
    ----------
    opacity : ndarray of bool, shape (rows, columns)
        Upright, the patient's right at the left.
    lungs : ndarray of bool, shape (2, rows, columns)
        Right and left; no pixel is of both.

    Returns
    -------
    ndarray of bool, shape (2, rows, columns), or None
        None where a lung was not found, so that nobody knows where the middle is.
    """
    if not lungs.any(axis=(1, 2)).all():
        return None
    columns = np.arange(opacity.shape[1])
    right, left = (float(np.average(columns, weights=lung.sum(axis=0))) for lung in lungs)
    is_right = (columns < (right + left) / 2)[np.newaxis, :] & ~lungs[1] | lungs[0]
    return np.stack([opacity & is_right, opacity & ~is_right])
