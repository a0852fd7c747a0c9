"""LTC, long-term temporal convolutions, over slices instead of frames.

References
----------
Varol et al., IEEE TPAMI 2018;40:1510, https://arxiv.org/abs/1604.04494.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Self

from torch import Tensor, nn

from inference.severity.network import FULL_WIDTH, LEVELS, Logits, SeverityNetwork, Stride, scaled, size_in, width_in

SIZE = (60, 112, 112)
"""Slices, rows and columns: 60 frames as published, of twice the published pixels."""
_CHANNELS = (64, 128, 256, 256, 256)
_HIDDEN = 2048
_POOLS = ((1, 2, 2), *((2, 2, 2),) * 4)


class LTC(SeverityNetwork):
    """Five convolutions, each pooled, and two hidden layers that both heads share.

    Parameters
    ----------
    width : int
        Channels of the first convolution.
    size : sequence of 3 int
        Slices, rows and columns of the input; at least 16 × 32 × 32.
    dropout : float
        Share of the hidden values that training leaves out.
    """

    def __init__(self, *, width: int = FULL_WIDTH, size: Sequence[int] = SIZE, dropout: float = 0.5) -> None:
        super().__init__(size)
        channels = [scaled(number, width) for number in _CHANNELS]
        self.conv1, self.conv2, self.conv3, self.conv4, self.conv5 = (
            nn.Conv3d(before, after, 3, padding=1) for before, after in zip((1, *channels[:-1]), channels, strict=True)
        )
        pooled = [n // prod(factors) for n, factors in zip(size, zip(*_POOLS, strict=True), strict=True)]
        if not all(pooled):
            raise ValueError(f"LTC needs at least 16 x 32 x 32 voxels, not {' x '.join(map(str, size))}.")
        hidden = scaled(_HIDDEN, width)
        self.fc6 = nn.Linear(channels[-1] * prod(pooled), hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.levels = nn.Linear(hidden, LEVELS)
        self.covid = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)

    @classmethod
    def like(cls, state: Mapping[str, Tensor]) -> Self:
        """Return a network of the width and input that weights are for, as published where they do not tell.

        Raises
        ------
        ValueError
            If they tell what cannot be.
        """
        return cls(width=width_in(state, "conv1.weight"), size=size_in(state, SIZE))

    @property
    def strides(self) -> Sequence[Stride]:
        """The first four poolings."""
        return [Stride(kernel=factors, step=factors, is_padded=False) for factors in _POOLS[:-1]]

    def trunk(self, volumes: Tensor) -> Tensor:
        """Return the fifth convolution, not pooled."""
        for convolve, pool in zip((self.conv1, self.conv2, self.conv3, self.conv4), _POOLS[:-1], strict=True):
            volumes = nn.functional.max_pool3d(convolve(volumes).relu(), pool)
        block: Tensor = self.conv5(volumes).relu()
        return block

    def heads(self, block: Tensor) -> Logits:
        """Return what both heads say."""
        found = nn.functional.max_pool3d(block, _POOLS[-1]).flatten(1)
        for layer in (self.fc6, self.fc7):
            found = self.dropout(layer(found).relu())
        return Logits(levels=self.levels(found), covid=self.covid(found)[:, 0])
