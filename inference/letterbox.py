"""An image of any size <-> a network's square grid: scaled to fit, in the middle, its proportions kept.

Pixel centres are mapped exactly, so that what a network marks lies where it saw it.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.geometry import Geometry
from inference.resized import resized


@dataclass(frozen=True, kw_only=True, slots=True)
class Letterbox:
    """How an image lies on a network's grid.

    Attributes
    ----------
    rows, columns : int
        Of the image.
    side : int
        Rows and columns of the grid.
    """

    rows: int
    columns: int
    side: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns that the image takes on the grid."""
        scale = self.side / max(self.rows, self.columns)
        return max(1, round(self.rows * scale)), max(1, round(self.columns * scale))

    @property
    def inside(self) -> tuple[slice, slice]:
        """Where on the grid the image lies."""
        rows, columns = self.size
        top, left = (self.side - rows) // 2, (self.side - columns) // 2
        return slice(top, top + rows), slice(left, left + columns)

    def to_grid(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scale an image without aliasing, and fill what is left with its darkest value.

        Parameters
        ----------
        image : ndarray of float32, shape (rows, columns)
            Any finite values.
        """
        scaled = resized(image[np.newaxis], self.size)[0]
        grid = np.full((self.side, self.side), scaled.min(), dtype=np.float32)
        grid[self.inside] = scaled
        return grid

    def to_image(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring values on the grid back to the image's pixels, linearly between the grid's.

        Parameters
        ----------
        values : ndarray of float32, shape (n, side, side)
            On the grid.

        Returns
        -------
        ndarray of float32, shape (n, rows, columns)
        """
        return resized(values[(slice(None), *self.inside)], (self.rows, self.columns))

    def geometry(self, image: Geometry) -> Geometry:
        """Return where the grid lies, given where the image lies."""
        size, inside = self.size, self.inside
        scales = (self.rows / size[0], self.columns / size[1])
        offsets = [(0.5 - place.start) * scale - 0.5 for place, scale in zip(inside, scales, strict=True)]
        slices, rows_mm, columns_mm = image.spacing_mm
        along = np.asarray(image.column_direction) * rows_mm * offsets[0]
        across = np.asarray(image.row_direction) * columns_mm * offsets[1]
        x, y, z = (np.asarray(image.origin_mm) + along + across).tolist()
        return replace(image, origin_mm=(x, y, z), spacing_mm=(slices, rows_mm * scales[0], columns_mm * scales[1]))
