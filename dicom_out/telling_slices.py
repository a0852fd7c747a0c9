"""Which slices of a stack a reader should see: those with most of the opacity, and the lungs from apex to base."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dicom_out.marks import Mark
from inference.findings import Purpose

_APART = 1 / 24
"""Of the lungs: nearer slices show the same once more."""
_ROUNDING = 1e-9


def telling_slices(marks: Sequence[Mark], count: int, wanted: int) -> tuple[int, ...]:
    """Choose slices by what they show.

    Half of the choice goes by how much of the opacity a slice shows, half by where it lies in the lungs: with no
    opacity they are evenly spread, and with one small opacity still tell apex, hilum and base.

    Parameters
    ----------
    marks : sequence of Mark
        The opacities, and what else is marked; where nothing is, slices are spread over the whole stack.
    count : int
        Slices of the stack.
    wanted : int
        How many to choose, if there are as many.

    Returns
    -------
    tuple of int
        Indices, ascending; the slice with most of the opacity is among them.
    """
    marked = np.flatnonzero(areas(marks, count))
    first, last = (int(marked[0]), int(marked[-1]) + 1) if marked.size else (0, count)
    opacity = areas([mark for mark in marks if mark.region.purpose == Purpose.OPACITY], count)[first:last]
    candidates = _quantiles(opacity, wanted)
    chosen: list[int] = []
    if opacity.any():
        chosen.append(int(opacity.argmax()))
        candidates.remove(min(candidates, key=lambda index: abs(index - chosen[0])))
    apart = max(1.0, _APART * len(opacity))
    for index in candidates:
        if all(abs(index - other) >= apart for other in chosen):
            chosen.append(index)
    while len(chosen) < min(wanted, len(opacity)):
        chosen.append(_farthest(chosen, len(opacity)))
    return tuple(sorted(first + index for index in chosen))


def areas(marks: Sequence[Mark], count: int) -> NDArray[np.int64]:
    """Return how many pixels all marks together have on each slice."""
    total: NDArray[np.int64] = sum((mark.areas for mark in marks), start=np.zeros(count, dtype=np.int64))
    return total


def _quantiles(opacity: NDArray[np.int64], wanted: int) -> list[int]:
    even = np.full(len(opacity), 1 / len(opacity))
    # By its breadth, not by its area: else all slices would crowd around the largest opacity.
    breadth = np.sqrt(opacity)
    weight = even + breadth / breadth.sum() if opacity.any() else even
    share = np.cumsum(weight) / weight.sum()
    return [int(i) for i in np.searchsorted(share, (np.arange(wanted) + 0.5) / wanted - _ROUNDING)]


def _farthest(chosen: Sequence[int], count: int) -> int:
    """Return the slice in the middle of the largest gap."""
    taken = np.array([-1, *chosen, count])
    return int(np.abs(np.arange(count)[:, None] - taken).min(axis=1).argmax())
