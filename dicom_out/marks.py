"""A region as all objects show it: one colour, one Tracking UID, one largest slice, and its outline.

References
----------
PS3.3 C.18.6.1.2 Spatial Coordinates: (0, 0) is the corner of the first pixel, its centre is (0.5, 0.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours

from dicom_out.colours import RGB, colours
from dicom_out.uids import tracking_uid
from inference.findings import Region

MAX_POINTS = 2000
"""Of one outline. FL in explicit VR ends at 8191 points; a viewer crashes at 20000."""

_TOLERANCE_PIXELS = 0.35


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mark:
    """A region with what its objects share.

    Attributes
    ----------
    region : Region
        As found.
    rgb : tuple of 3 int
        Its colour, 0 to 255.
    tracking_uid : str
        Of the region, or derived from study and label.
    areas : ndarray of int, shape (n,)
        Pixels of the mask on each slice.
    """

    region: Region
    rgb: RGB
    tracking_uid: str
    areas: NDArray[np.int64]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is marked."""
        return not self.areas.any()

    @property
    def largest_slice(self) -> int:
        """Index of the slice that shows most of the region."""
        return int(self.areas.argmax())


def marks(regions: Sequence[Region], study_instance_uid: str) -> tuple[Mark, ...]:
    """Return the marks of regions, in their order."""
    return tuple(
        Mark(
            region=region,
            rgb=rgb,
            tracking_uid=region.tracking_uid or tracking_uid(study_instance_uid, region.label),
            areas=np.array([np.count_nonzero(plane) for plane in region.mask], dtype=np.int64),
        )
        for region, rgb in zip(regions, colours(regions), strict=True)
    )


def contours(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return all outlines of a plane mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
        Any number of parts.

    Returns
    -------
    list of ndarray of float64, shape (k, 2)
        Closed lines of (column, row) in SCOORD coordinates, along the edges of pixels with their corners cut.
    """
    if not mask.any():
        return []
    (first_row, first_column), part = _cropped(mask)
    lines = find_contours(np.pad(part, 1).astype(np.float32), 0.5)
    return [line[:, ::-1] + (first_column - 0.5, first_row - 0.5) for line in lines]


def outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the outer line around the largest part of a plane mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
        With at least one pixel.

    Returns
    -------
    ndarray of float64, shape (k, 2)
        (column, row) in SCOORD coordinates, first equal to last, at most `MAX_POINTS`.
    """
    labelled, _ = ndimage.label(mask)
    sizes = np.bincount(labelled.ravel())
    sizes[0] = 0
    longest = max(contours(labelled == sizes.argmax()), key=_enclosed_area)
    tolerance = _TOLERANCE_PIXELS
    line = _simplified(longest, tolerance)
    while len(line) > MAX_POINTS:
        tolerance *= 1.5
        line = _simplified(longest, tolerance)
    return line


def _simplified(line: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    """Return a line without the points that lie within a tolerance, in pixels, of it."""
    simplified: NDArray[np.float64] = approximate_polygon(line, tolerance)
    return simplified


def _cropped(mask: NDArray[np.bool_]) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    corner = int(rows[0]), int(columns[0])
    return corner, mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _enclosed_area(line: NDArray[np.float64]) -> float:
    x, y = line[:, 0], line[:, 1]
    return float(abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])))
