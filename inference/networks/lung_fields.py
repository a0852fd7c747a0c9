"""Right and left lung on a frontal chest X-ray: a small U-Net, and what is done before and after it.

``image -> Letterbox.to_grid -> equalised -> LungFieldsNet -> probabilities -> Letterbox.to_image -> lung_masks``.
`training.lung_fields` makes its weights, and judges them, through the very same functions.

References
----------
Ronneberger et al., MICCAI 2015, https://arxiv.org/abs/1505.04597 (U-Net).
Shi et al., CVPR 2016, https://arxiv.org/abs/1609.05158 (pixel shuffle: the network works at half the grid's pitch).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.letterbox import Letterbox

SIDE = 256
"""Rows and columns of the network's grid."""
OUTPUTS = ("background", "right lung", "left lung")
_WIDTHS = (24, 32, 48, 64, 96)
_PERCENTILES = (0.5, 99.5)
_BINS = 256
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


class LungFieldsNet(nn.Module):
    """A U-Net over 2 × 2 blocks of pixels.

    Input (n, 1, SIDE, SIDE) from `equalised`, output logits of `OUTPUTS`, (n, 3, SIDE, SIDE).
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = (4, *_WIDTHS[:-1])
        self.down = nn.ModuleList(_block(before, after) for before, after in zip(inputs, _WIDTHS, strict=True))
        pairs = list(zip(_WIDTHS[:0:-1], _WIDTHS[-2::-1], strict=True))
        self.up = nn.ModuleList(_block(below + beside, beside) for below, beside in pairs)
        self.head = nn.Conv2d(_WIDTHS[0], 4 * len(OUTPUTS), kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits."""
        found, kept = nn.functional.pixel_unshuffle(image, 2), []
        for depth, block in enumerate(self.down):
            found = block(nn.functional.max_pool2d(found, 2) if depth else found)
            kept.append(found)
        for block, beside in zip(self.up, kept[-2::-1], strict=True):
            found = block(torch.cat([nn.functional.interpolate(found, scale_factor=2.0), beside], dim=1))
        logits: Tensor = nn.functional.pixel_shuffle(self.head(found), 2)
        return logits


def probabilities(network: nn.Module, image: NDArray[np.float32]) -> LungProbabilities:
    """Run the network.

    Parameters
    ----------
    network : torch.nn.Module
        A `LungFieldsNet` with weights, for inference, on any device.
    image : ndarray of float32, shape (rows, columns)
        Upright, the patient's right at the left; bright is dense. Any range: it is equalised here.

    Returns
    -------
    LungProbabilities
    """
    letterbox = Letterbox(rows=image.shape[0], columns=image.shape[1], side=SIDE)
    grid = torch.from_numpy(equalised(letterbox.to_grid(image)))[None, None]
    with torch.inference_mode():
        logits = network(grid.to(next(network.parameters()).device))
    values = np.zeros((len(OUTPUTS) - 1, SIDE, SIDE), dtype=np.float32)
    inside = (slice(None), *letterbox.inside)
    values[inside] = logits.softmax(1)[0, 1:].cpu().numpy()[inside]
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


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
