"""I3D: Inception-v1 inflated to three dimensions, over slices instead of frames.

Layers are named as in the usual PyTorch port of it, so that weights trained on Kinetics find their places.

References
----------
Carreira & Zisserman, CVPR 2017, https://arxiv.org/abs/1705.07750.
Szegedy et al., CVPR 2015, https://arxiv.org/abs/1409.4842 (the numbers of channels).
"""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from inference.severity.network import (
    FULL_WIDTH,
    LEVELS,
    Logits,
    SeverityNetwork,
    Stride,
    same_margins,
    scaled,
    size_in,
    width_in,
)

SIZE = (64, 224, 224)
"""Slices, rows and columns, as published."""
_COLOURS = 3
_EPS = 1e-3
_CUBE = (3, 3, 3)
_BLOCKS = {
    # 1×1×1; 1×1×1, 3×3×3; 1×1×1, 3×3×3; pooled, 1×1×1
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
_STEM = Stride(kernel=(7, 7, 7), step=(2, 2, 2), is_padded=True)
_IN_PLANE = Stride(kernel=(1, 3, 3), step=(1, 2, 2), is_padded=True)
_POOLED_BEFORE = {
    "Conv3d_2b_1x1": _IN_PLANE,
    "Mixed_3b": _IN_PLANE,
    "Mixed_4b": Stride(kernel=_CUBE, step=(2, 2, 2), is_padded=True),
    "Mixed_5b": Stride(kernel=(2, 2, 2), step=(2, 2, 2), is_padded=True),
}
_BESIDE = Stride(kernel=_CUBE, step=(1, 1, 1), is_padded=True)
"""The pooling of a branch."""
_ORDER = ("Conv3d_2b_1x1", "Conv3d_2c_3x3", *_BLOCKS)


class I3D(SeverityNetwork):
    """Inception-v1 in three dimensions, with two heads.

    Parameters
    ----------
    width : int
        Channels of the first convolution.
    size : sequence of 3 int
        Slices, rows and columns of the input.
    dropout : float
        Share of the pooled values that training leaves out.
    """

    def __init__(self, *, width: int = FULL_WIDTH, size: Sequence[int] = SIZE, dropout: float = 0.5) -> None:
        super().__init__(size)
        first, second = scaled(64, width), scaled(192, width)
        self.Conv3d_1a_7x7 = _Unit(_COLOURS, first, _STEM.kernel, stride=_STEM.step)
        self.Conv3d_2b_1x1 = _Unit(first, first)
        self.Conv3d_2c_3x3 = _Unit(first, second, _CUBE)
        channels = second
        for name, numbers in _BLOCKS.items():
            block = _Mixed(channels, [scaled(number, width) for number in numbers])
            self.add_module(name, block)
            channels = block.channels
        self.dropout = nn.Dropout(dropout)
        self.logits, self.covid = _Head(channels, LEVELS), _Head(channels, 1)

    @classmethod
    def like(cls, state: Mapping[str, Tensor]) -> Self:
        """Return a network of the width and input that weights are for, as published where they do not tell.

        Raises
        ------
        ValueError
            If they tell what cannot be.
        """
        return cls(width=width_in(state, "Conv3d_1a_7x7.conv3d.weight"), size=size_in(state, SIZE))

    @property
    def strides(self) -> Sequence[Stride]:
        """The first convolution and all poolings between blocks."""
        return [_STEM, *_POOLED_BEFORE.values()]

    def trunk(self, volumes: Tensor) -> Tensor:
        """Return the block Mixed_5c."""
        found = self.Conv3d_1a_7x7(volumes.expand(-1, _COLOURS, -1, -1, -1))
        for name in _ORDER:
            if name in _POOLED_BEFORE:
                found = _pooled(found, _POOLED_BEFORE[name])
            found = self.get_submodule(name)(found)
        block: Tensor = found
        return block

    def heads(self, block: Tensor) -> Logits:
        """Return what both heads say: means over pairs of the block's slices, then over those."""
        slices, rows, columns = block.shape[2:]
        found = self.dropout(nn.functional.avg_pool3d(block, (min(2, slices), rows, columns), stride=1))
        levels, covid = (head(found).mean(dim=(2, 3, 4)) for head in (self.logits, self.covid))
        return Logits(levels=levels, covid=covid[:, 0])


class _Unit(nn.Module):
    """A convolution padded as TensorFlow does, normalised over the batch."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int, int] = (1, 1, 1),
        *,
        stride: tuple[int, int, int] = (1, 1, 1),
    ) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=_EPS, momentum=0.01)
        self.stride = Stride(kernel=kernel, step=stride, is_padded=True)

    def forward(self, volumes: Tensor) -> Tensor:
        found: Tensor = self.bn(self.conv3d(_padded(volumes, self.stride)))
        return found.relu()


class _Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, inputs: int, numbers: Sequence[int]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = numbers
        self.b0 = _Unit(inputs, b0)
        self.b1a, self.b1b = _Unit(inputs, b1a), _Unit(b1a, b1b, _CUBE)
        self.b2a, self.b2b = _Unit(inputs, b2a), _Unit(b2a, b2b, _CUBE)
        self.b3b = _Unit(inputs, b3b)
        self.channels = b0 + b1b + b2b + b3b

    def forward(self, volumes: Tensor) -> Tensor:
        pooled = _pooled(volumes, _BESIDE)
        branches = self.b0(volumes), self.b1b(self.b1a(volumes)), self.b2b(self.b2a(volumes)), self.b3b(pooled)
        return torch.cat(branches, dim=1)


class _Head(nn.Module):
    """A linear layer at every place, named as the port names it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, 1)

    def forward(self, block: Tensor) -> Tensor:
        found: Tensor = self.conv3d(block)
        return found


def _pooled(volumes: Tensor, stride: Stride) -> Tensor:
    # Padding is with 0, as in the port: below 0 is nothing here.
    return nn.functional.max_pool3d(_padded(volumes, stride), stride.kernel, stride.step)


def _padded(volumes: Tensor, stride: Stride) -> Tensor:
    margins: list[int] = []
    for size, kernel, step in zip(volumes.shape[:1:-1], stride.kernel[::-1], stride.step[::-1], strict=True):
        margins += same_margins(size, kernel, step)
    return nn.functional.pad(volumes, margins) if any(margins) else volumes
