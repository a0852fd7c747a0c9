"""A coarser grid to think on: whole-voxel blocks of the source, so that nothing is resampled on the way back.

Lungs are found on blocks of about 2 mm, where morphology is quick and noise is low; only their border is then drawn on
the source grid.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its documentation uses
from numpy.typing import NDArray

from inference.geometry import Geometry

Mask = NDArray[np.bool_]
_Scalar = TypeVar("_Scalar", bound=np.generic)
_Reduced = TypeVar("_Reduced", bound=np.generic)
TARGET_MM = 2.1
_SLICES_AT_ONCE = 16
"""Of the source, where something is made of all of it: whole volumes in float32 would take gigabytes."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WorkingGrid:
    """Blocks of a volume whose axes ascend to head, posterior and left.

    Attributes
    ----------
    hounsfield : ndarray of float32, shape (slices, rows, columns) of blocks
        Mean of every block.
    spacing_mm : tuple of 3 float
        Between blocks.
    factors : tuple of 3 int
        Source voxels in a block along each axis.
    source_shape : tuple of 3 int
        Of the source grid, whose last blocks may be incomplete.
    """

    hounsfield: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    factors: tuple[int, int, int]
    source_shape: tuple[int, ...]

    def to_source(self, mask: Mask) -> Mask:
        """Draw a mask of blocks on the source grid."""
        for axis, factor in enumerate(self.factors):
            mask = np.repeat(mask, factor, axis)
        z, y, x = self.source_shape
        return mask[:z, :y, :x]

    def smoothed_to_source(self, mask: Mask) -> Mask:
        """Draw a mask of blocks on the source grid without their corners."""
        return smoothed(self.to_source(mask))

    def majority(self, mask: Mask) -> Mask:
        """Blocks of which at least half lies in a mask on the source grid."""
        half: Mask = 2 * _block_counts(mask, self.factors, mode="edge") >= np.prod(self.factors)
        return half

    def counts(self, mask: Mask) -> NDArray[np.uint16]:
        """Voxels of every block that lie in a mask on the source grid."""
        return _block_counts(mask, self.factors, mode="constant")

    def geometry(self, source: Geometry) -> Geometry:
        """Where the blocks of a source lie."""
        directions = np.array([source.slice_direction, source.column_direction, source.row_direction])
        to_centre = (np.array(self.factors) - 1) / 2 * source.spacing_mm
        x, y, z = (float(v) for v in np.add(source.origin_mm, to_centre @ directions))
        return replace(source, origin_mm=(x, y, z), spacing_mm=self.spacing_mm)

    def within(self, mask: Mask, distance_mm: float) -> Mask:
        """Grow a mask by a distance."""
        return self.distance_mm(mask) <= distance_mm

    def shrunk(self, mask: Mask, distance_mm: float) -> Mask:
        """Shrink a mask by a distance; what lies beyond the edge of the volume counts as inside."""
        return self.distance_mm(~mask) > distance_mm

    def closed(self, mask: Mask, distance_mm: float) -> Mask:
        """Fill gaps that a ball of the given radius cannot enter."""
        return self.shrunk(self.within(mask, distance_mm), distance_mm) | mask

    def opened(self, mask: Mask, distance_mm: float) -> Mask:
        """Keep what a ball of the given radius fits into."""
        return self.within(self.shrunk(mask, distance_mm), distance_mm) & mask

    def distance_mm(self, mask: Mask) -> NDArray[np.float32]:
        """Distance of every block to the mask, 0 inside; infinite where the mask is empty."""
        if not mask.any():
            return np.full(mask.shape, np.inf, dtype=np.float32)
        image = sitk.GetImageFromArray(mask.view(np.uint8))
        image.SetSpacing(self.spacing_mm[::-1])
        signed = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
        distances: NDArray[np.float32] = np.maximum(sitk.GetArrayViewFromImage(signed), np.float32(0))
        return distances

    def millilitres(self, mask: Mask) -> float:
        """Volume of a mask of blocks."""
        return float(mask.sum() * np.prod(self.spacing_mm) / 1000)


def upright(array: NDArray[_Scalar], geometry: Geometry) -> NDArray[_Scalar]:
    """Flip axes so that they ascend to head, posterior and left; the same call turns the result back.

    Parameters
    ----------
    array : ndarray, shape (slices, rows, columns)
        On the grid that `geometry` describes, whose axes are near the patient's.
    """
    signs = (geometry.slice_direction[2], geometry.column_direction[1], geometry.row_direction[0])
    return np.flip(array, tuple(axis for axis, sign in enumerate(signs) if sign < 0))


def coarsen(hounsfield: NDArray[np.generic], spacing_mm: tuple[float, float, float]) -> WorkingGrid:
    """Average blocks of about `TARGET_MM`.

    Parameters
    ----------
    hounsfield : ndarray of int16 or float32, shape (slices, rows, columns)
        In Hounsfield units.
    spacing_mm : tuple of 3 float
        Between slices, rows and columns.
    """
    a, b, c = (max(1, round(TARGET_MM / step)) for step in spacing_mm)
    z, y, x = (step * factor for step, factor in zip(spacing_mm, (a, b, c), strict=True))
    return WorkingGrid(
        hounsfield=_block_means(hounsfield, (a, b, c)),
        spacing_mm=(z, y, x),
        factors=(a, b, c),
        source_shape=hounsfield.shape,
    )


def smoothed(mask: Mask) -> Mask:
    """Take the majority of 5 x 5 voxels in the slice: closes the nicks of vessels on the pleura, blunts block edges."""
    majorities = np.empty(mask.shape, dtype=bool)
    for start in range(0, len(mask), _SLICES_AT_ONCE):
        some = slice(start, start + _SLICES_AT_ONCE)
        counts = np.pad(mask[some].view(np.uint8), ((0, 0), (2, 2), (2, 2)), mode="symmetric")
        for axis in (1, 2):
            size = counts.shape[axis] - 4
            shifted = [counts[(slice(None),) * axis + (slice(k, k + size),)] for k in range(5)]
            counts = sum(shifted[1:], start=shifted[0])
        np.greater(counts, 12, out=majorities[some])
    return majorities


def _block_means(array: NDArray[np.generic], factors: tuple[int, int, int]) -> NDArray[np.float32]:
    """Average blocks; the last ones are completed by their edge."""

    def mean(slab: NDArray[np.generic]) -> NDArray[np.float32]:
        # Padding of -2000 HU and less would pull the border of the scanned field down.
        padded = _whole_blocks(slab, factors, mode="edge").clip(-1024, 3071)
        sums = np.zeros([size // factor for size, factor in zip(padded.shape, factors, strict=True)], dtype=np.float32)
        a, b, c = factors
        for i, j, k in np.ndindex(a, b, c):
            sums += padded[i::a, j::b, k::c]
        return sums / np.float32(a * b * c)

    return _by_slabs(array, factors[0], mean)


def _block_counts(
    mask: Mask, factors: tuple[int, int, int], *, mode: Literal["constant", "edge"]
) -> NDArray[np.uint16]:
    """Count a mask's voxels in every block; `mode` says what completes the last ones, as `numpy.pad` has it."""

    def count(slab: Mask) -> NDArray[np.uint16]:
        sums: NDArray[np.integer] = _whole_blocks(slab, factors, mode=mode).view(np.uint8)
        for axis, factor in enumerate(factors):  # the slowest axis first: its planes add quickest
            parts = [sums[(slice(None),) * axis + (slice(start, None, factor),)] for start in range(factor)]
            sums = sum(parts[1:], start=parts[0].astype(np.uint16))
        return sums.astype(np.uint16, copy=False)

    return _by_slabs(mask, factors[0], count)


def _by_slabs(
    array: NDArray[_Scalar], factor: int, reduce: Callable[[NDArray[_Scalar]], NDArray[_Reduced]]
) -> NDArray[_Reduced]:
    """Reduce some slices at a time, in whole blocks: what lies between then fits into a processor's cache."""
    step = factor * max(1, _SLICES_AT_ONCE // factor)
    return np.concatenate([reduce(array[start : start + step]) for start in range(0, len(array), step)])


def _whole_blocks(
    array: NDArray[_Scalar], factors: tuple[int, int, int], *, mode: Literal["constant", "edge"]
) -> NDArray[_Scalar]:
    fringe = [(0, -size % factor) for size, factor in zip(array.shape, factors, strict=True)]
    return np.pad(array, fringe, mode=mode)
