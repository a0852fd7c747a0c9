"""The maps of four experts -> one map: by zones, or as a weighted sum.

Experts come in the order in which they run: ConvNeXt, nnU-Net at 336, nnU-Net at 768, refinement.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

MARKED = 0.5
"""From which probability on an expert marks a pixel; our choice."""


def marked(values: Floats) -> Mask:
    """Return where an expert marks opacity."""
    mask: Mask = values >= MARKED
    return mask


def zones(maps: Sequence[Floats], values: Sequence[float]) -> Floats:
    """Give each pixel the value of its zone.

    Every run that marks a pixel lifts it by one zone. The source speaks of "the regions marked by the four
    consecutive runs of the four models", and no more.

    Parameters
    ----------
    maps : sequence of ndarray of float32, shape (rows, columns)
        Probabilities of each expert, in the order in which they run.
    values : sequence of float
        Of the first zone, marked by one expert, to the last, marked by all; one for each expert.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        0 where nobody marks anything.
    """
    if len(values) != len(maps):
        raise ValueError(f"{len(values)} zones for {len(maps)} experts")
    lifted = np.zeros(maps[0].shape, dtype=np.uint8)
    for expert in maps:
        lifted += marked(expert)
    by_zone: Floats = np.array([0.0, *values], dtype=np.float32)
    return by_zone[lifted]


def weighted(maps: Sequence[Floats], weights: Sequence[float]) -> Floats:
    """Return the sum of maps, each times its weight; weights are scaled to a sum of 1.

    Parameters
    ----------
    maps : sequence of ndarray of float32, shape (rows, columns)
        Probabilities of each expert, in the order in which they run.
    weights : sequence of float
        One for each expert, none negative, not all 0.
    """
    if len(weights) != len(maps):
        raise ValueError(f"{len(weights)} weights for {len(maps)} experts")
    whole = sum(weights)
    blend = np.zeros(maps[0].shape, dtype=np.float32)
    for expert, weight in zip(maps, weights, strict=True):
        blend += expert * np.float32(weight / whole)
    return blend.clip(0.0, 1.0, out=blend)


def weights_of(losses: Sequence[float]) -> tuple[float, ...]:
    """Return weights in inverse proportion to each expert's weighted log loss on a calibration set; their sum is 1.

    Raises
    ------
    ValueError
        If a loss is not positive: no weight is in inverse proportion to 0.
    """
    if not losses or min(losses) <= 0 or not np.isfinite(losses).all():
        raise ValueError(f"a weighted log loss is a positive number: {list(losses)}")
    inverse = [1 / loss for loss in losses]
    return tuple(value / sum(inverse) for value in inverse)
