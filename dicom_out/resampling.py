"""A heatmap on another grid: linear between its values, slice by slice, so that no map is in memory as a whole.

Networks look at grids of their own, cropped, coarser, turned round; viewers copy the values of a Parametric Map onto
the source, whatever the map says of its place. So the writers put the values where the source has voxels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.findings import Heatmap
from inference.geometry import Geometry

_MOST_SLANT = 0.1
"""By how many of its voxels a heatmap may slant away from the other grid, from one end to the other."""
_COORDINATE_DIGITS = 6
"""Coordinates are rounded to a millionth of a voxel, so that equal grids give equal values."""


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    """Where the voxels along one axis of the target lie on the axis of the heatmap that runs along it.

    Attributes
    ----------
    below, above : ndarray of int, shape (n,)
        The two voxels of the heatmap that a voxel lies between.
    share : ndarray of float32, shape (n,)
        Of the way from the one to the other.
    outside : ndarray of bool, shape (n,)
        What lies beyond the heatmap's outermost voxels, edges included.
    """

    below: NDArray[np.intp]
    above: NDArray[np.intp]
    share: NDArray[np.float32]
    outside: NDArray[np.bool_]


def resampled(heatmap: Heatmap, geometry: Geometry, shape: tuple[int, ...]) -> Iterator[NDArray[np.float32]]:
    """Yield the values of a heatmap on another grid.

    Between the centres of its voxels values are linear; in the outer half of its outermost voxels they are those of
    the voxels; outside they are the lowest.

    Parameters
    ----------
    heatmap : Heatmap
        On a grid whose axes run along those of the other, in any order and sense.
    geometry : Geometry
        The other grid, in the same frame of reference.
    shape : tuple of 3 int
        Its slices, rows and columns.

    Yields
    ------
    ndarray of float32, shape (rows, columns)
        One for each slice, contiguous.

    Raises
    ------
    ValueError
        If the axes of the grids are at an angle.
    """
    order, (slices, rows, columns) = _axes(heatmap, geometry, shape)
    values, lowest = heatmap.values.transpose(order), np.float32(heatmap.value_range[0])
    for below, above, share, outside in zip(slices.below, slices.above, slices.share, slices.outside, strict=True):
        plane = np.full(shape[1:], lowest, dtype=np.float32)
        if not outside:
            coarse = values[below] + (values[above] - values[below]) * share
            if np.any(coarse != lowest):  # most slices of a sparse map hold nothing
                plane = np.ascontiguousarray(_along(_along(coarse, rows).T, columns).T)
                plane[rows.outside] = lowest
                plane[:, columns.outside] = lowest
        yield plane


def _along(plane: NDArray[np.float32], axis: _Axis) -> NDArray[np.float32]:
    """Return a plane with its first axis on that of the target."""
    below = plane[axis.below]
    return below + (plane[axis.above] - below) * axis.share[:, np.newaxis]


def _axes(heatmap: Heatmap, geometry: Geometry, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[_Axis, ...]]:
    """Return which axis of the heatmap runs along each of the target, and where the target's voxels lie on it."""
    own, target = _directions(heatmap.grid), _directions(geometry)
    cosines, spacing_mm = own @ target.T, np.array(heatmap.grid.spacing_mm)
    steps = cosines * np.array(geometry.spacing_mm) / spacing_mm[:, np.newaxis]
    start = own @ np.subtract(geometry.origin_mm, heatmap.grid.origin_mm) / spacing_mm
    order = tuple(int(axis) for axis in np.abs(cosines).argmax(axis=0))
    slant = np.abs(steps) * np.subtract(shape, 1)
    for axis, own_axis in enumerate(order):
        slant[own_axis, axis] = 0
    if sorted(order) != [0, 1, 2] or slant.sum(axis=1).max() > _MOST_SLANT:
        raise ValueError(f"The grid of the heatmap {heatmap.label!r} is at an angle to that of the images.")
    return order, tuple(
        _axis(start[own_axis] + steps[own_axis, axis] * np.arange(size), heatmap.values.shape[own_axis])
        for axis, (own_axis, size) in enumerate(zip(order, shape, strict=True))
    )


def _axis(coordinates: NDArray[np.float64], size: int) -> _Axis:
    coordinates = coordinates.round(_COORDINATE_DIGITS)
    inside = coordinates.clip(0, size - 1)
    below = np.floor(inside).astype(np.intp)
    return _Axis(
        below=below,
        above=np.minimum(below + 1, size - 1),
        share=(inside - below).astype(np.float32),
        outside=(coordinates < -0.5) | (coordinates > size - 0.5),
    )


def _directions(geometry: Geometry) -> NDArray[np.float64]:
    """Return the unit vectors along slices, rows and columns, one a row."""
    vectors = np.array([geometry.slice_direction, geometry.column_direction, geometry.row_direction])
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
