"""The encoders of `opacity-explain`: a network of timm that scores an image, and what it knows on the way to its score.

A classifier or a regressor is timm's own network with one channel in and one output, so its weights bear timm's names.
What stands at different depths of it is what a map is decoded from: the encoder runs once, for the score and the map.
EfficientNet-B4 gives exactly the shapes of the source's figure. ConvNeXt-tiny is "similar" there: it has no features at
half the resolution of the image, so its map begins at a quarter of it.

References
----------
Tan and Le, ICML 2019, arXiv:1905.11946 (EfficientNet); Liu et al., CVPR 2022, arXiv:2201.03545 (ConvNeXt).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any

import timm
import torch
from torch import Tensor, nn

from inference.weights import Verified
from inference.weights.loading import load_network


class Backbone(StrEnum):
    """The two networks that are asked, by the end of their slots' names."""

    B4 = "b4"
    CONVNEXT = "convnext"


ARCHITECTURES: Mapping[Backbone, str] = MappingProxyType(
    {Backbone.B4: "efficientnet_b4", Backbone.CONVNEXT: "convnext_tiny"}
)
"""By timm's names; narrow networks of the same families are `test_efficientnet` and `test_convnext`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Channels:
    """How many channels an encoder has where it is tapped.

    Attributes
    ----------
    taps : tuple of int
        From the first tap, of the highest resolution, to the last at 1/16 of it.
    first_reduction : int
        By how much the first tap is smaller than the image; each further one is half of the one before.
    deepest : int
        Before pooling, at 1/32 of the image; of EfficientNet after the head's convolution.
    """

    taps: tuple[int, ...]
    first_reduction: int
    deepest: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Features:
    """What an encoder knows of images.

    Attributes
    ----------
    taps : tuple of Tensor of float, shape (n, channels, rows, columns)
        As `Channels.taps`.
    deepest : Tensor of float, shape (n, channels, rows / 32, columns / 32)
        What the score is pooled from.
    """

    taps: tuple[Tensor, ...]
    deepest: Tensor


def encoder(architecture: str) -> nn.Module:
    """Make a classifier or a regressor with random weights.

    Parameters
    ----------
    architecture : str
        timm's name, one of `ARCHITECTURES` or a narrower network of the same family.

    Returns
    -------
    torch.nn.Module
        Input (n, 1, rows, columns), multiples of 32, in [-1, 1]; output (n, 1): a logit of a classifier, of a
        regressor the extent itself, which nothing holds within [0, 1].
    """
    network: nn.Module = timm.create_model(architecture, pretrained=False, in_chans=1, num_classes=1)
    return network


def load_encoder(weights: Verified, architecture: str) -> nn.Module:
    """Make a classifier or a regressor, and give it verified weights; raises as `load_network`."""
    return load_network(weights, lambda: encoder(architecture))


def features(network: nn.Module, images: Tensor) -> Features:
    """Run an encoder up to its head.

    Parameters
    ----------
    network : torch.nn.Module
        Of `encoder`.
    images : Tensor of float32, shape (n, 1, rows, columns)
        In [-1, 1].
    """
    timms: Any = network
    # The last stage is not tapped: what comes of it is what is pooled.
    deepest, taps = timms.forward_intermediates(images, indices=list(range(len(timms.feature_info) - 1)))
    return Features(taps=tuple(taps), deepest=deepest)


def score(network: nn.Module, found: Features) -> Tensor:
    """Return what the encoder's head says, shape (n,): what calling the network itself would."""
    timms: Any = network
    output: Tensor = timms.forward_head(found.deepest)
    return output[:, 0]


@cache
def channels(architecture: str) -> Channels:
    """Return how many channels `features` have."""
    with torch.device("meta"):
        network: Any = encoder(architecture)
    *taps, _ = network.feature_info
    return Channels(
        taps=tuple(tap["num_chs"] for tap in taps),
        first_reduction=taps[0]["reduction"],
        deepest=network.num_features,
    )
