"""Pulmonary vessels of the synthetic chest: branching lines from the hila, thinning towards the pleura."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_HILUM_MM = (30.0, 18.0, 148.0)
_STEP_MM = 1.5
_TRUNKS = 28
_BLOOD = 42.0

Point = NDArray[np.float64]


def draw_vessels(
    hounsfield: NDArray[np.float32],
    lungs: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    origin_mm: tuple[float, float, float],
    *,
    random: np.random.Generator,
) -> None:
    """Draw vessels into the lungs, in place.

    Parameters
    ----------
    hounsfield : ndarray of float32, shape (slices, rows, columns)
        In Hounsfield units.
    lungs : ndarray of bool, same shape
        Vessels stay inside.
    spacing_mm, origin_mm : tuple of 3 float
        Between slices, rows and columns; centre of the first voxel, LPS (x, y, z).
    random : numpy.random.Generator
        The same tree for the same state, whatever the grid.
    """
    origin = np.array(origin_mm[::-1])
    spacing = np.array(spacing_mm)
    for side in (-1, 1):
        for point, radius_mm in vessel_tree(side, random):
            _stamp(hounsfield, lungs, (point[::-1] - origin) / spacing, np.maximum(radius_mm, 0.5 * spacing) / spacing)


def vessel_tree(side: int, random: np.random.Generator) -> Iterator[tuple[Point, float]]:
    """Give points about every 1.5 mm along one lung's vessels, LPS in mm, and the radius there; they may leave it."""
    for _ in range(_TRUNKS):
        start = np.array([side * _HILUM_MM[0], *_HILUM_MM[1:]]) + random.normal(0, 8, 3)
        direction = random.normal(0, 1, 3)
        direction[0] = side * abs(direction[0])
        trunk = list(_branch(start, direction, length_mm=80, radius_mm=2.6, random=random))
        yield from trunk
        for fork in (0.35, 0.55, 0.75):
            point, radius_mm = trunk[int(fork * len(trunk))]
            turned = direction / np.linalg.norm(direction) + random.normal(0, 0.5, 3)
            yield from _branch(point, turned, length_mm=45, radius_mm=0.7 * radius_mm, random=random)


def _branch(
    start: Point, direction: Point, *, length_mm: float, radius_mm: float, random: np.random.Generator
) -> Iterator[tuple[Point, float]]:
    point, heading = start, direction / np.linalg.norm(direction)
    steps = int(length_mm / _STEP_MM)
    for step in range(steps):
        yield point, max(radius_mm * (1 - step / steps), 0.5)
        heading = heading + random.normal(0, 0.06, 3)
        heading /= np.linalg.norm(heading)
        point = point + _STEP_MM * heading


def _stamp(hounsfield: NDArray[np.float32], lungs: NDArray[np.bool_], centre: Point, radii: Point) -> None:
    """Fill an ellipsoid given in voxels, as far as it lies in the lungs."""
    low = np.maximum(np.ceil(centre - radii).astype(int), 0)
    high = np.minimum(np.floor(centre + radii).astype(int) + 1, hounsfield.shape)
    if (low >= high).any():
        return
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    z, y, x = np.ogrid[box]
    offsets = ((z - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 + ((x - centre[2]) / radii[2]) ** 2
    hounsfield[box][(offsets <= 1) & lungs[box]] = _BLOOD
