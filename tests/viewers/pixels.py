"""What a picture of a viewer shows, measured: where something of a colour is drawn, and where it should be.

Pure functions over arrays, so that the judge of the viewer tests is itself under test. A picture is an array of uint8,
shape (height, width, 3). Points of an image are (column, row), (0, 0) is the centre of its first pixel; points of a
picture are (x, y), (0, 0) is its upper left corner.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_MIN_CHROMA = 24
_HUE_TOLERANCE = np.deg2rad(12)


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where an image lies in a picture: the affine map from (column, row) to (x, y), of shape (2, 3)."""

    matrix: NDArray[np.float64]

    @classmethod
    def through(cls, image_points: ArrayLike, picture_points: ArrayLike) -> Self:
        """Return the map that takes three points of the image to three of the picture."""
        points = np.column_stack([np.asarray(image_points, dtype=np.float64), np.ones(3)])
        return cls(np.linalg.solve(points, np.asarray(picture_points, dtype=np.float64)).T)

    @property
    def scale(self) -> float:
        """Pixels of the picture a pixel of the image takes, along its longer side."""
        return float(np.linalg.norm(self.matrix[:, :2], axis=0).max())

    def place(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return points of the image as points of the picture."""
        placed: NDArray[np.float64] = np.asarray(points, dtype=np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return placed

    def draw(self, image: NDArray[np.generic], shape: tuple[int, int]) -> NDArray[np.generic]:
        """Return an image as a picture of a shape shows it: numbers interpolated, all else by its nearest pixels."""
        inverse = np.linalg.inv(self.matrix[:, :2])
        y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
        columns, rows = np.tensordot(inverse, np.stack([x, y]) - self.matrix[:, 2, None, None], 1)
        inside = (abs(columns - (image.shape[1] - 1) / 2) < image.shape[1] / 2) & (
            abs(rows - (image.shape[0] - 1) / 2) < image.shape[0] / 2
        )
        if image.dtype.kind == "f":
            return np.where(inside, ndimage.map_coordinates(image, [rows, columns], order=1, mode="nearest"), 0)
        nearest = np.rint(rows[inside]).astype(int), np.rint(columns[inside]).astype(int)
        drawn = np.zeros((*shape, *image.shape[2:]), dtype=image.dtype)
        drawn[inside] = image[nearest[0].clip(0, image.shape[0] - 1), nearest[1].clip(0, image.shape[1] - 1)]
        return drawn


def coloured(picture: Picture) -> Mask:
    """Return the pixels that are not grey."""
    return np.ptp(picture.astype(np.int16), axis=2) >= _MIN_CHROMA


def of_hue(picture: Picture, rgb: tuple[int, int, int]) -> Mask:
    """Return the pixels that have the hue of a colour: blending with grey, as an overlay does, does not change it."""
    difference = np.angle(np.exp(1j * (_hue(picture) - _hue(np.array(rgb, dtype=np.uint8)))))
    return coloured(picture) & (np.abs(difference) <= _HUE_TOLERANCE)


def warm(picture: Picture) -> Mask:
    """Return the pixels that are more red than blue: what is high on a scale from violet over green to red."""
    red, _, blue = np.moveaxis(picture.astype(np.int16), -1, 0)
    return red - blue >= _MIN_CHROMA


def dice(drawn: Mask, expected: Mask) -> float:
    """Return how far two areas are one: twice what they share over the sum of both; 0 where both are empty."""
    return 2 * np.count_nonzero(drawn & expected) / max(1, np.count_nonzero(drawn) + np.count_nonzero(expected))


def share_near(drawn: Mask, points: NDArray[np.float64], *, tolerance: float) -> float:
    """Return the share of points that have something drawn within a tolerance, in pixels.

    A dashed line counts as drawn where its gaps are shorter than twice the tolerance.
    """
    x, y = np.floor(points).astype(int).T
    inside = (x >= 0) & (x < drawn.shape[1]) & (y >= 0) & (y < drawn.shape[0])
    near = ndimage.distance_transform_edt(~drawn) <= tolerance
    return float(np.count_nonzero(near[y[inside], x[inside]]) / len(points))


def border(mask: Mask) -> NDArray[np.float64]:
    """Return the points of an image on the border of the largest part of a mask, which has one."""
    labelled, _ = ndimage.label(mask)
    sizes = np.bincount(labelled.ravel())
    sizes[0] = 0
    largest = labelled == sizes.argmax()
    rows, columns = np.nonzero(largest & ~ndimage.binary_erosion(largest))
    return np.column_stack([columns, rows]).astype(np.float64)


def likeness(picture: Picture, expected: NDArray[np.generic], where: Mask) -> float:
    """Return the correlation of a picture, in grey or in colours, with what it should show; 0 where either is flat."""
    shown = (picture if expected.ndim == 3 else picture.mean(axis=2))[where].astype(np.float64)
    wanted = np.asarray(expected, dtype=np.float64)[where]
    if min(shown.std(), wanted.std()) == 0:
        return 0.0
    return float(np.corrcoef(shown.ravel(), wanted.ravel())[0, 1])


def _hue(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    red, green, blue = np.moveaxis(colours.astype(np.float64), -1, 0)
    hue: NDArray[np.float64] = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)
    return hue
