"""What both networks of `ct-severity` have in common: a trunk of convolutions, and two heads on its last block.

The trunk ends where Grad-CAM looks, so that a map needs gradients through the heads alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

LEVELS = 5
FULL_WIDTH = 64
"""Channels of the first convolution as published; those of all others are in proportion."""


class Logits(NamedTuple):
    """What a network says of n volumes: levels (n, LEVELS), for a softmax, and COVID-19 (n,), for a sigmoid."""

    levels: Tensor
    covid: Tensor


class SeverityNetwork(nn.Module, ABC):
    """A network over prepared volumes.

    Input (n, 1, *size), values from 0 to 1; output `Logits`.

    Parameters
    ----------
    size : sequence of 3 int
        Slices, rows and columns of the input. It is kept with the weights: they are of no use at another one.
    """

    input_size: Tensor

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("input_size", torch.tensor(size))

    @property
    def size(self) -> tuple[int, int, int]:
        """Slices, rows and columns of the input."""
        slices, rows, columns = self.input_size.tolist()
        return slices, rows, columns

    @abstractmethod
    def trunk(self, volumes: Tensor) -> Tensor:
        """Return the last convolutional block, shape (n, channels, slices, rows, columns), none below 0."""

    @abstractmethod
    def heads(self, block: Tensor) -> Logits:
        """Return what both heads say of the last convolutional block."""

    def forward(self, volumes: Tensor) -> Logits:
        """Return logits."""
        return self.heads(self.trunk(volumes))


def scaled(channels: int, width: int) -> int:
    """Return how many channels a layer has in a network of another width; at least one."""
    return max(1, channels * width // FULL_WIDTH)
