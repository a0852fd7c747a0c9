"""What both networks of `ct-severity` have in common: a trunk of convolutions, and two heads on its last block.

The trunk ends where Grad-CAM looks, so that a map needs gradients through the heads alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from inference.weights import Verified, WrongWeightsError
from inference.weights.loading import load_network, read_state

_Network = TypeVar("_Network", bound="SeverityNetwork")

LEVELS = 5
FULL_WIDTH = 64
"""Channels of the first convolution as published; those of all others are in proportion."""
_WIDEST, _MOST_VOXELS = 16 * FULL_WIDTH, 1 << 26
"""Beyond that, a file does not say what it was meant to."""


class Logits(NamedTuple):
    """What a network says of n volumes: levels (n, LEVELS), for a softmax, and COVID-19 (n,), for a sigmoid."""

    levels: Tensor
    covid: Tensor


class Cells(NamedTuple):
    """Where the cells of the last convolutional block lie on the input: the middle of what each of them sees.

    Attributes
    ----------
    first : tuple of 3 float
        Centre of the first cell along slices, rows and columns; that of the input's first voxel is 0.
    step : tuple of 3 float
        From one cell to the next, in voxels of the input.
    shape : tuple of 3 int
        How many there are.
    """

    first: tuple[float, float, float]
    step: tuple[float, float, float]
    shape: tuple[int, int, int]


class Stride(NamedTuple):
    """A layer that leaves fewer voxels than it gets: its window, its step, and whether it pads as TensorFlow does."""

    kernel: tuple[int, int, int]
    step: tuple[int, int, int]
    is_padded: bool


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

    @property
    @abstractmethod
    def strides(self) -> Sequence[Stride]:
        """The layers of the trunk that have one; all others are symmetric."""

    @property
    def cells(self) -> Cells:
        """Where the cells of the last convolutional block lie."""
        first, step, shape = zip(
            *(
                _along([(stride.kernel[axis], stride.step[axis], stride.is_padded) for stride in self.strides], size)
                for axis, size in enumerate(self.size)
            ),
            strict=True,
        )
        return Cells(first=first, step=step, shape=shape)

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


def same_margins(size: int, kernel: int, step: int) -> tuple[int, int]:
    """Return by how much TensorFlow's "same" pads before and after, so that every step begins a window."""
    whole = max(kernel - (size % step or step), 0)
    return whole // 2, whole - whole // 2


def load(weights: Verified, like: Callable[[Mapping[str, Tensor]], _Network]) -> _Network:
    """Return the network of verified weights, of whatever width and input they are.

    Parameters
    ----------
    weights : Verified
        Of an LTC or an I3D with both heads.
    like : callable
        `LTC.like` or `I3D.like`.

    Raises
    ------
    inference.weights.WrongWeightsError
        If they are not those of such a network.
    """
    state = read_state(weights)
    try:
        return load_network(weights, lambda: like(state))
    except ValueError as error:
        raise WrongWeightsError(weights.slot, f"{weights.path.name}: {error}") from error


def size_in(state: Mapping[str, Tensor], published: Sequence[int]) -> Sequence[int]:
    """Return the size of the input that weights are for; as published where they do not tell.

    Raises
    ------
    ValueError
        If what they tell is none.
    """
    size: list[int] = state["input_size"].tolist() if "input_size" in state else list(published)
    if not isinstance(size, list) or len(size) != 3 or min(size) < 1 or prod(size) > _MOST_VOXELS:
        raise ValueError(f"input_size {size} is not the slices, rows and columns of an input")
    return size


def width_in(state: Mapping[str, Tensor], first: str) -> int:
    """Return how many channels a first convolution has; as published where there is none.

    Raises
    ------
    ValueError
        If that cannot be.
    """
    width = len(state[first]) if first in state and state[first].dim() else FULL_WIDTH
    if not 1 <= width <= _WIDEST:
        raise ValueError(f"{first} has {width} channels; 1 to {_WIDEST} can be")
    return width


def _along(strides: Sequence[tuple[int, int, bool]], size: int) -> tuple[float, float, int]:
    """Return centre of the first cell, step, and number of cells along one axis."""
    first, pitch = 0.0, 1.0
    for kernel, step, is_padded in strides:
        margins = same_margins(size, kernel, step) if is_padded else (0, 0)
        first += pitch * ((kernel - 1) / 2 - margins[0])
        pitch *= step
        size = (size + sum(margins) - kernel) // step + 1
    return first, pitch, size
