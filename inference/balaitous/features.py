"""Step 7: what iBOT's networks say of the slices, averaged over them and over both flips."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference import compute
from inference.batches import in_batches
from inference.networks.vit import vit_large
from inference.weights import Verified

_BATCH_ON_CPU, _BATCH_ON_GPU = 2, 32
"""Slices at once, each with its flip: on a CPU more are slower, as what passes between layers leaves its cache."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Features:
    """What one network says of a scan.

    Attributes
    ----------
    values : ndarray of float32, shape (1024,)
        Its class token after the last block used, averaged.
    parameters : Mapping[str, str]
        For `Algorithm.parameters`.
    warnings : tuple of str
        For `Findings.warnings`.
    """

    values: NDArray[np.float32]
    parameters: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def features(images: NDArray[np.float32], weights: Verified, *, blocks: int, device: str) -> Features:
    """Run one network over the images.

    Parameters
    ----------
    images : ndarray of float32, shape (slices, 3, 224, 224)
        From `inference.balaitous.windowing.windowed`.
    weights : Verified
        Of an iBOT ViT-L/16.
    blocks : int
        How many of its blocks are used.
    device : str
        Torch device.
    """
    batch = _BATCH_ON_CPU if torch.device(device).type == compute.CPU else _BATCH_ON_GPU
    said = in_batches(
        lambda on: _both_flips(vit_large(weights, blocks=blocks, device=on)), images, device=device, batch=batch
    )
    return Features(values=said.outputs.mean(axis=0), parameters=said.parameters, warnings=said.warnings)


def _both_flips(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return what gives the mean of what a network says of each image and of its vertical flip."""

    def mean(images: Tensor) -> Tensor:
        upright, flipped = network(torch.cat([images, images.flip(2)])).float().chunk(2)
        return (upright + flipped) / 2

    return mean
