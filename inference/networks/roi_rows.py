"""What a feature pyramid says at boxes, as torchvision's `MultiScaleRoIAlign` finds it, a pixel's channels at a time.

On a CPU torchvision takes channel after channel on one core. In channels last a pixel's channels lie side by side: they
are rows of a table, and a cell of a box is a weighted sum of some, for which torch has a quick operation.

References
----------
He et al., ICCV 2017, arXiv:1703.06870 (RoIAlign); Lin et al., CVPR 2017, arXiv:1612.03144, equation 1 (which level).
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops.poolers import LevelMapper

CELLS = 7
"""Of a box, down and across."""
SAMPLES = 2
"""Of a cell, down and across."""
_CORNERS = 2


class RowsAtBoxes(nn.Module):
    """Takes the place of `MultiScaleRoIAlign`, but that channels come last.

    Parameters
    ----------
    levels : sequence of str
        Of the pyramid, each half as large as the one before.
    reduction : int
        Binary logarithm of pixels of the image to one of the first level.
    """

    def __init__(self, levels: Sequence[str], reduction: int = 2) -> None:
        super().__init__()
        self._levels = tuple(levels)
        self._level_of = LevelMapper(reduction, reduction + len(levels) - 1)
        self._scales = torch.tensor([0.5 ** (reduction + level) for level in range(len(levels))])

    def forward(self, features: Mapping[str, Tensor], boxes: Sequence[Tensor], _: Sequence[tuple[int, int]]) -> Tensor:
        """Return what the pyramid says, shape (boxes, CELLS * CELLS, channels).

        Parameters
        ----------
        features : Mapping of Tensor, shape (images, channels, rows, columns)
            By level, on a CPU.
        boxes : sequence of Tensor, shape (n, 4)
            Of each image: left, top, right, bottom, in its pixels.
        """
        pyramid = [features[level].permute(0, 2, 3, 1) for level in self._levels]
        sizes = torch.tensor([level.shape[1:3] for level in pyramid])
        first = torch.tensor([0, *(level.shape[:3].numel() for level in pyramid[:-1])]).cumsum(0)
        image = torch.repeat_interleave(torch.tensor([len(some) for some in boxes]))
        level, (left, top, right, bottom) = self._level_of(list(boxes)), torch.cat(list(boxes)).T
        (rows, columns), scales = sizes[level].T, self._scales[level]
        down, weight_down = _along(top * scales, bottom * scales, rows)
        across, weight_across = _along(left * scales, right * scales, columns)
        started = first[level] + image * rows * columns
        down = started[:, None, None] + down * columns[:, None, None]
        said: Tensor = embedding_bag(
            _outer(torch.add, down, across),
            torch.cat([level.flatten(0, 2) for level in pyramid]),
            per_sample_weights=_outer(torch.mul, weight_down, weight_across),
            mode="sum",
        ).unflatten(0, (-1, CELLS * CELLS))
        return said


def read_by_rows(network: nn.Module, levels: Sequence[str]) -> None:
    """Have a network on a CPU look at boxes in this way; what it says stays the same."""
    for heads in network.modules():
        if isinstance(heads, RoIHeads):
            heads.box_roi_pool = RowsAtBoxes(levels)
            first = heads.box_head.fc6
            first.weight.data = first.weight.unflatten(1, (-1, CELLS * CELLS)).transpose(1, 2).flatten(1)


def _along(start: Tensor, end: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return which pixels along one axis each cell takes, and how much of each; shape (boxes, CELLS, 4)."""
    cell = (end - start).clamp(min=1.0)[:, None] / CELLS
    number = torch.arange(CELLS * SAMPLES)
    at = start[:, None] + (number // SAMPLES) * cell + (number % SAMPLES + 0.5) * cell / SAMPLES
    last = length[:, None] - 1.0
    is_inside = (at >= -1.0) & (at <= last + 1.0)
    at = at.clamp(min=0.0).minimum(last)
    before = at.floor()
    part = at - before
    weights = torch.stack([1.0 - part, part], dim=-1) * (is_inside / SAMPLES)[..., None]
    pixels = torch.stack([before, (before + 1.0).minimum(last)], dim=-1).long()
    shape = (-1, CELLS, SAMPLES * _CORNERS)
    return pixels.reshape(shape), weights.reshape(shape)


def _outer(combined: Callable[[Tensor, Tensor], Tensor], down: Tensor, across: Tensor) -> Tensor:
    """Return every combination of what a cell takes down and across, shape (boxes * CELLS * CELLS, 16)."""
    return combined(down[:, :, None, :, None], across[:, None, :, None, :]).flatten(3).flatten(0, 2)
