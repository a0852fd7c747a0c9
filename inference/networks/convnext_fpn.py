"""ConvNeXt-tiny with a feature pyramid: opacity on histogram-equalised chest X-rays of 336 x 336.

The pyramid is that of segmentation-models-pytorch, the encoder timm's, so their names are those of the weights. What
the source leaves open is this project's choice: one channel, greys in [-1, 1], proportions not kept.

References
----------
Liu et al., CVPR 2022, arXiv:2201.03545 (ConvNeXt); Lin et al., CVPR 2017, arXiv:1612.03144 (FPN).
Kirillov et al., CVPR 2019, arXiv:1901.02446 (what becomes of the pyramid).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import segmentation_models_pytorch as smp
import torch
from skimage.exposure import equalize_hist
from torch import Tensor
from torch.nn.functional import pad

from inference.networks.answers import Answers, Floats, answers
from inference.resident import resident
from inference.resized import resized
from inference.weights import Verified
from inference.weights.loading import load_network

SIDE = 336
"""Rows and columns that the network looks at."""
_BINS = 256
_REDUCTION = 32
_BATCH = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Widths:
    """How large a network is.

    Attributes
    ----------
    blocks, channels : tuple of 4 int
        Of each stage of the encoder.
    pyramid, head : int
        Channels of the pyramid, and of what is made of it; the latter is divided into 32 groups.
    """

    blocks: tuple[int, ...] = (3, 3, 9, 3)
    channels: tuple[int, ...] = (96, 192, 384, 768)
    pyramid: int = 256
    head: int = 128


TINY = Widths()
"""ConvNeXt-tiny, and the pyramid that segmentation-models-pytorch gives by default."""


class ConvNeXtFPN(smp.FPN):  # type: ignore[misc]  # segmentation-models-pytorch is typed in part
    """The network; input (n, 1, SIDE, SIDE) as `prepared` gives it, output of the same shape, logits.

    Parameters
    ----------
    widths : Widths
        How large it is.
    """

    def __init__(self, widths: Widths = TINY) -> None:
        super().__init__(
            encoder_name="tu-convnext_tiny",
            encoder_weights=None,  # else it downloads them
            in_channels=1,
            classes=1,
            decoder_pyramid_channels=widths.pyramid,
            decoder_segmentation_channels=widths.head,
            depths=widths.blocks,
            dims=widths.channels,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of images of any size: the encoder halves them five times, so they get a border."""
        rows, columns = images.shape[-2:]
        missing = [-length % _REDUCTION for length in (columns, rows)]
        left, top = (length // 2 for length in missing)
        border = (left, missing[0] - left, top, missing[1] - top)
        logits: Tensor = super().forward(pad(images, border, mode="replicate"))
        return logits[..., top : top + rows, left : left + columns]


def opacity(weights: Verified, images: Sequence[Floats], device: str) -> Answers[Floats]:
    """Return the probability of opacity.

    Parameters
    ----------
    weights : Verified
        Of the slot `opacity-ensemble-convnext`.
    images : sequence of ndarray of float32, shape (rows, columns)
        Upright, in [0, 1], bright is dense; of any size.
    device : str
        Torch device.

    Returns
    -------
    Answers of ndarray of float32, shape (rows, columns)
        In [0, 1], on each image's own pixels.
    """
    return answers(
        lambda on: partial(_probability, resident(("ConvNeXt-FPN", weights.sha256), on, partial(_network, weights))),
        [prepared(image)[np.newaxis] for image in images],
        lambda number, found: resized(found[0], images[number].shape),
        device=device,
        batch=_BATCH,
        # ConvNeXt's depthwise convolutions are slower in bfloat16 on CPUs.
        dtype=torch.float32 if torch.device(device).type == "cpu" else None,
    )


def prepared(image: Floats) -> Floats:
    """Equalise an image's histogram, and bring it to the network's grid.

    Parameters
    ----------
    image : ndarray of float32, shape (rows, columns)
        In [0, 1].

    Returns
    -------
    ndarray of float32, shape (SIDE, SIDE)
        In [-1, 1].
    """
    equalised = equalize_hist(image, nbins=_BINS).astype(np.float32)
    return resized(equalised, (SIDE, SIDE)) * np.float32(2.0) - np.float32(1.0)


def _network(weights: Verified) -> ConvNeXtFPN:
    return load_network(weights, lambda: ConvNeXtFPN(TINY))


def _probability(network: ConvNeXtFPN, images: Tensor) -> Tensor:
    logits: Tensor = network(images)
    return logits.float().sigmoid()
