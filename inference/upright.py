"""How a radiograph's stored pixels are turned to stand upright, the patient's right on the left, and back again.

References
----------
PS3.3 C.7.6.1.1.1 Patient Orientation: the directions of a row and of a column, away from the first pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.geometry import Geometry

_Item = TypeVar("_Item", bound=np.generic)
_ACROSS, _DOWN = "LR", "FH"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rectangle:
    """Edges of a rectangle on an image, in pixels from the upper left corner of the first one (PS3.3 C.18.6.1.2)."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Upright:
    """A turn by right angles or a reflection; the steps are applied in the order of the attributes.

    Attributes
    ----------
    is_stated : bool
        Whether the image says how it lies; if not, it is taken as upright.
    transposed : bool
        Rows become columns.
    rows_reversed, columns_reversed : bool
        The last row, the last column becomes the first.
    """

    is_stated: bool = False
    transposed: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False

    def turn(self, image: NDArray[_Item]) -> NDArray[_Item]:
        """Return an image, shape (..., rows, columns), as a person looks at it: a view, not a copy."""
        turned = image.swapaxes(-1, -2) if self.transposed else image
        return self._reversed(turned)

    def turn_back(self, image: NDArray[_Item]) -> NDArray[_Item]:
        """Return what was drawn on the upright image, shape (..., rows, columns), as the stored pixels lie."""
        image = self._reversed(image)
        return image.swapaxes(-1, -2) if self.transposed else image

    def geometry(self, stored: Geometry) -> Geometry:
        """Return the plane that the upright image has when it is taken as an image by itself."""
        slices, rows_mm, columns_mm = stored.spacing_mm
        return replace(stored, spacing_mm=(slices, columns_mm, rows_mm)) if self.transposed else stored

    def geometry_back(self, grid: Geometry, size: Sequence[int], stored: Geometry, shape: Sequence[int]) -> Geometry:
        """Return where a grid on the upright image lies among the stored pixels, once its values are turned back.

        Parameters
        ----------
        grid : Geometry
            Axes as those of `geometry`.
        size : sequence of 2 int
            Rows and columns of the grid, upright.
        stored : Geometry
            Of the image.
        shape : sequence of 2 int
            Rows and columns of the image, as stored.
        """
        extents_mm = [(n - 1) * mm for n, mm in zip(shape, stored.spacing_mm[1:], strict=True)]
        height_mm, width_mm = reversed(extents_mm) if self.transposed else extents_mm
        (x, y, z), (slices, rows_mm, columns_mm) = grid.origin_mm, grid.spacing_mm
        if self.rows_reversed:
            y = height_mm - y - (size[0] - 1) * rows_mm
        if self.columns_reversed:
            x = width_mm - x - (size[1] - 1) * columns_mm
        if self.transposed:
            x, y, rows_mm, columns_mm = y, x, columns_mm, rows_mm
        return replace(grid, origin_mm=(x, y, z), spacing_mm=(slices, rows_mm, columns_mm))

    def turn_rectangle(self, stored: Rectangle, shape: Sequence[int]) -> Rectangle:
        """Return where a rectangle of the stored pixels, whose rows and columns are `shape`, lies upright."""
        turned = _transposed(stored) if self.transposed else stored
        return self._mirrored(turned, shape[::-1] if self.transposed else shape)

    def turn_rectangle_back(self, drawn: Rectangle, shape: Sequence[int]) -> Rectangle:
        """Return where a rectangle on the upright image, whose rows and columns are `shape`, lies as stored."""
        stored = self._mirrored(drawn, shape)
        return _transposed(stored) if self.transposed else stored

    def _mirrored(self, box: Rectangle, shape: Sequence[int]) -> Rectangle:
        rows, columns = shape
        if self.rows_reversed:
            box = replace(box, top=rows - box.bottom, bottom=rows - box.top)
        return replace(box, left=columns - box.right, right=columns - box.left) if self.columns_reversed else box

    def _reversed(self, image: NDArray[_Item]) -> NDArray[_Item]:
        if self.rows_reversed:
            image = image[..., ::-1, :]
        return image[..., ::-1] if self.columns_reversed else image


def _transposed(box: Rectangle) -> Rectangle:
    return Rectangle(left=box.top, top=box.left, right=box.bottom, bottom=box.right)


def upright(patient_orientation: Sequence[str]) -> Upright | None:
    """Say how a frontal image is turned.

    Parameters
    ----------
    patient_orientation : sequence of str
        Values of Patient Orientation (0020,0020), such as ``["L", "F"]``; empty where absent.

    Returns
    -------
    Upright or None
        None where the values say that the image is no frontal one.
    """
    row, column = (str(value).strip().upper()[:1] for value in (*patient_orientation, "", "")[:2])
    if not row and not column:
        return Upright()
    if row and column and row in _ACROSS and column in _DOWN:
        return Upright(is_stated=True, rows_reversed=column == "H", columns_reversed=row == "R")
    if row and column and row in _DOWN and column in _ACROSS:
        return Upright(is_stated=True, transposed=True, rows_reversed=row == "H", columns_reversed=column == "R")
    return None
