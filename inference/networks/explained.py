"""Images -> their scores, and maps of what a score was seen in: an encoder runs once for both.

Whether a map is wanted is known only after all encoders have spoken. Until then what one knows of an image is kept as
a row of numbers beside its score, off the device; it takes 12 MB for a whole image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from math import prod

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor, nn

from inference.networks.answers import Answers, Floats, answers
from inference.networks.encoders import (
    ARCHITECTURES,
    Backbone,
    Channels,
    Features,
    channels,
    features,
    load_encoder,
    score,
)
from inference.networks.lung_unet import LungUNet
from inference.networks.map_decoder import MapDecoder
from inference.resident import resident
from inference.weights import Verified
from inference.weights.loading import load_network

_BATCH = 4


class Kind(StrEnum):
    """What an encoder was trained for."""

    CLASSIFIER = "classifier"
    REGRESSOR = "regressor"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scored:
    """What an encoder says of one image, and knows of it.

    Attributes
    ----------
    score : float
        In [0, 1]: a classifier's probability, a regressor's extent.
    known : ndarray of float32, shape (n,)
        `Features` in a row.
    size : tuple of 2 int
        Rows and columns of the image.
    """

    score: float
    known: Floats
    size: tuple[int, int]


def scored(weights: Verified, backbone: Backbone, kind: Kind, images: Sequence[Floats], device: str) -> Answers[Scored]:
    """Score images.

    Parameters
    ----------
    weights : Verified
        Of a classifier or a regressor.
    backbone, kind
        What they are of.
    images : sequence of ndarray of float32, shape (rows, columns)
        All of one size, in [-1, 1].
    device : str
        Torch device.
    """
    architecture = ARCHITECTURES[backbone]

    def read(number: int, row: Floats) -> Scored:
        value = expit(row[0]) if kind is Kind.CLASSIFIER else row[0].clip(0, 1)
        rows, columns = images[number].shape
        return Scored(score=float(value), known=row[1:], size=(rows, columns))

    return answers(
        lambda on: partial(_row, _resident(weights, on, architecture)),
        [image[np.newaxis] for image in images],
        read,
        device=device,
        batch=_BATCH,
    )


def mapped(weights: Verified, backbone: Backbone, seen: Sequence[Scored], device: str) -> Answers[Floats]:
    """Decode where on images their scores come from.

    Parameters
    ----------
    weights : Verified
        Of a decoder.
    backbone : Backbone
        Of its encoder.
    seen : sequence of Scored
        By that encoder, all of images of one size.
    device : str
        Torch device.

    Returns
    -------
    Answers of ndarray of float32, shape (rows / 2, columns / 2)
        In [0, 1].
    """
    return answers(
        lambda on: partial(_map, _decoder(weights, on, ARCHITECTURES[backbone]), seen[0].size),
        [one.known for one in seen],
        lambda _, values: values[0],
        device=device,
        batch=_BATCH,
    )


def outlined(weights: Verified, images: Sequence[Floats], device: str) -> Answers[Floats]:
    """Return probabilities of right and left lung, shape (2, rows, columns), on images as `scored` takes them."""
    return answers(
        lambda on: partial(_lungs, resident(("LungUNet", weights.sha256), on, partial(_lung_unet, weights))),
        [image[np.newaxis] for image in images],
        lambda _, values: values,
        device=device,
        batch=_BATCH,
    )


def _row(network: nn.Module, images: Tensor) -> Tensor:
    found = features(network, images)
    with torch.autocast(images.device.type, enabled=False):  # a score of 3 digits would decide otherwise
        said = score(network, Features(taps=(), deepest=found.deepest.float()))
    return torch.cat([said[:, None], *(known.flatten(1) for known in (*found.taps, found.deepest))], dim=1)


def _map(decoder: MapDecoder, size: tuple[int, int], rows: Tensor) -> Tensor:
    logits: Tensor = decoder(_features(rows, decoder.channels, size))
    return logits.float().sigmoid()


def _features(rows: Tensor, tapped: Channels, size: tuple[int, int]) -> Features:
    """Undo what `_row` does behind the score."""
    reductions = [tapped.first_reduction << step for step in range(len(tapped.taps) + 1)]
    shapes = [
        (count, size[0] // by, size[1] // by)
        for count, by in zip((*tapped.taps, tapped.deepest), reductions, strict=True)
    ]
    parts = rows.split([prod(shape) for shape in shapes], dim=1)
    *taps, deepest = (part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True))
    return Features(taps=tuple(taps), deepest=deepest)


def _lungs(network: LungUNet, images: Tensor) -> Tensor:
    logits: Tensor = network(images)
    return logits.float().sigmoid()


def _resident(weights: Verified, device: str, architecture: str) -> nn.Module:
    def make() -> nn.Module:
        # Depthwise convolutions take a quarter less time so on a CPU.
        return load_encoder(weights, architecture).to(memory_format=torch.channels_last)

    return resident((architecture, weights.sha256), device, make)


def _decoder(weights: Verified, device: str, architecture: str) -> MapDecoder:
    def make() -> MapDecoder:
        return load_network(weights, lambda: MapDecoder(channels(architecture)))

    return resident(("MapDecoder", architecture, weights.sha256), device, make)


def _lung_unet(weights: Verified) -> LungUNet:
    network = load_network(weights, LungUNet)
    network.to(memory_format=torch.channels_last)
    return network
