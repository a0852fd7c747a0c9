"""An upright radiograph -> what the network looks at, and back: cut to the lungs, equalised, brought to size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.exposure import equalize_hist

from inference.opacity_boxes.lung_crop import Crop, lung_crop, widened
from inference.resized import resized
from inference.upright import Rectangle

Floats = NDArray[np.float32]

_GREYS = 256


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prepared:
    """What the network looks at.

    Attributes
    ----------
    pixels : ndarray of float32, shape of the network's size
        In [0, 1].
    crop : Crop
        Rows and columns of the upright image that it shows.
    is_cropped : bool
        Whether lungs were found to cut to; else it shows the whole image.
    """

    pixels: Floats
    crop: Crop
    is_cropped: bool

    def to_image(self, box: Rectangle) -> Rectangle:
        """Return where a box of the network lies on the upright image."""
        (down, across), (top, left) = self._scales, self._corner
        return Rectangle(
            left=left + box.left * across,
            top=top + box.top * down,
            right=left + box.right * across,
            bottom=top + box.bottom * down,
        )

    def from_image(self, box: Rectangle) -> Rectangle:
        """Return where a box on the upright image lies among the network's pixels, or beyond them."""
        (down, across), (top, left) = self._scales, self._corner
        return Rectangle(
            left=(box.left - left) / across,
            top=(box.top - top) / down,
            right=(box.right - left) / across,
            bottom=(box.bottom - top) / down,
        )

    @property
    def _corner(self) -> tuple[int, int]:
        return self.crop[0].start, self.crop[1].start

    @property
    def _scales(self) -> tuple[float, float]:
        """Rows and columns of the image for one of the network."""
        rows, columns = (
            (side.stop - side.start) / length for side, length in zip(self.crop, self.pixels.shape, strict=True)
        )
        return rows, columns


def prepared(
    image: Floats, size: Callable[[Sequence[int]], tuple[int, int]], lungs: NDArray[np.bool_] | None = None
) -> Prepared:
    """Prepare an image.

    Parameters
    ----------
    image : ndarray of float32, shape (rows, columns)
        Upright, in [0, 1], bright is dense.
    size : callable
        Rows and columns of a crop -> those that the network wants.
    lungs : ndarray of bool, shape (rows, columns), optional
        Lungs that are known in another way: none of them is cut.
    """
    found = lung_crop(image)
    crop = found or (slice(0, image.shape[0]), slice(0, image.shape[1]))
    if found and lungs is not None:
        crop = widened(found, lungs)
    greys = np.rint(image[crop] * np.float32(_GREYS - 1))
    equalised = equalize_hist(greys, nbins=_GREYS).astype(np.float32)
    # The network's own scaling then changes nothing; it would skip pixels of large images.
    pixels = resized(equalised, size(equalised.shape)).clip(0.0, 1.0)
    return Prepared(pixels=pixels, crop=crop, is_cropped=found is not None)
