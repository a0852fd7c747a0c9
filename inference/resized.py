"""Images brought to another size: linear, without aliasing, pixel centres where they belong."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate


def resized(values: NDArray[np.float32], size: Sequence[int]) -> NDArray[np.float32]:
    """Scale an image, or several of one size.

    Parameters
    ----------
    values : ndarray of float32, shape (rows, columns) or (n, rows, columns)
        Any finite values.
    size : sequence of 2 int
        Rows and columns wanted; proportions may change.

    Returns
    -------
    ndarray of float32, shape (*size) or (n, *size)
        Within the range of the values.
    """
    stacked = values.reshape(1, -1, *values.shape[-2:])
    tensor = torch.from_numpy(np.ascontiguousarray(stacked, dtype=np.float32))
    scaled = interpolate(tensor, size=tuple(size), mode="bilinear", antialias=True, align_corners=False)
    array: NDArray[np.float32] = scaled.numpy().reshape(*values.shape[:-2], *size)
    return array
