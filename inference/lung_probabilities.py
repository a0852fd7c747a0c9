"""Image -> probabilities of right and left lung: what is done before and after the network of `lung-fields`.

``image -> Letterbox.to_grid -> equalised -> LungFieldsNet -> LungProbabilities -> lung_masks``. `training.lung_fields`
makes the network's weights, and judges them, through the very same functions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.letterbox import Letterbox
from inference.networks.lung_fields import OUTPUTS, SIDE

_PERCENTILES = (0.5, 99.5)
_BINS = 256
_SIDES_CHANGED = [0, 2, 1]
"""Of `OUTPUTS`: what is right on an image is left on its mirror image."""
_MOST_OF_A_BIN = 3.0
"""Of the mean bin. A black border, or a clipped window, fills one bin, and must not use up the scale of greys."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LungProbabilities:
    """What the network says of an image.

    Attributes
    ----------
    values : ndarray of float32, shape (2, SIDE, SIDE)
        Probability of right and left lung, in [0, 1]; beyond the image 0.
    letterbox : Letterbox
        How the image lies on that grid.
    """

    values: NDArray[np.float32]
    letterbox: Letterbox


def probabilities(network: Callable[[Tensor], Tensor], image: NDArray[np.float32]) -> LungProbabilities:
    """Run the network on an image and its mirror image, and take the mean of both.

    Parameters
    ----------
    network : callable
        A `LungFieldsNet` with weights, for inference, on the CPU; or what computes one elsewhere, such as
        `inference.batches.Batches`.
    image : ndarray of float32, shape (rows, columns)
        Upright, the patient's right at the left; bright is dense. Any range: it is equalised here.

    Returns
    -------
    LungProbabilities
    """
    letterbox = Letterbox(rows=image.shape[0], columns=image.shape[1], side=SIDE)
    grid = torch.from_numpy(equalised(letterbox.to_grid(image)))[None, None]
    with torch.inference_mode():
        logits = network(torch.cat([grid, grid.flip(-1)]))
    seen, mirrored = logits.softmax(1)
    both = (seen + mirrored[_SIDES_CHANGED].flip(-1)) / 2
    values = np.zeros((len(OUTPUTS) - 1, SIDE, SIDE), dtype=np.float32)
    inside = (slice(None), *letterbox.inside)
    values[inside] = both[1:].numpy()[inside]
    return LungProbabilities(values=values, letterbox=letterbox)


def equalised(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give every image about the same histogram, whatever its window, its gamma and its bits.

    Histogram equalisation with a limit: a bin counts for three mean bins at most.

    Parameters
    ----------
    grid : ndarray of float32, shape (SIDE, SIDE)
        From `Letterbox.to_grid`.

    Returns
    -------
    ndarray of float32, shape (SIDE, SIDE)
        In [-1, 1]; all -1 where the image is of one value.
    """
    low, high = np.percentile(grid, _PERCENTILES)
    if high <= low:
        return np.full_like(grid, -1.0)
    scaled = np.clip((grid - low) / (high - low), 0.0, 1.0)
    counts, edges = np.histogram(scaled, bins=_BINS, range=(0.0, 1.0))
    below = np.concatenate([[0.0], np.cumsum(np.minimum(counts, _MOST_OF_A_BIN * grid.size / _BINS))])
    greys: NDArray[np.float32] = np.interp(scaled, edges, below / below[-1] * 2.0 - 1.0).astype(np.float32)
    return greys
