"""Chest X-rays with the opacity that somebody outlined on them, from a folder of ``images/`` and ``masks/``."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from inference import radiograph
from inference.upright import Upright
from training.images.labelled import ImagesError, drawn, picture

_DICOM = ".dcm"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OpacityImage:
    """One annotated image.

    Attributes
    ----------
    name : str
        Its file's, without the suffix.
    pixels : ndarray of float32, shape (rows, columns)
        In [0, 1], bright is dense; upright.
    opacity : ndarray of bool, same shape
        Where opacity is; empty where there is none.
    """

    name: str
    pixels: NDArray[np.float32]
    opacity: NDArray[np.bool_]


class _Folder(Sequence[OpacityImage]):
    """Images that are read each time they are asked for: of thousands, few fit into memory."""

    def __init__(self, paths: Sequence[Path], masks: Path) -> None:
        self._paths = paths
        self._masks = masks

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, place: int) -> OpacityImage: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[OpacityImage]: ...
    def __getitem__(self, place: int | slice) -> OpacityImage | Sequence[OpacityImage]:
        if isinstance(place, slice):
            return _Folder(self._paths[place], self._masks)
        path = self._paths[place]
        return _read(path, self._masks / f"{path.stem}.png")


def read(folder: Path) -> Sequence[OpacityImage]:
    """Return all images, in the order of their names; each is read when it is asked for, and again the next time.

    An image is a DICOM file (``.dcm``), or an upright picture of 8 or 16 bit in which bright is dense. Its mask is a
    PNG of the same name and size, white where opacity is; of a DICOM file, on the pixels as they are stored.

    Raises
    ------
    ImagesError
        If there is no image, or two have one name; or, when it is read, if one has no mask, or a mask of another
        size. Names the file.
    inference.findings.SelectionRefusedError
        When it is read, if a DICOM file holds no single grayscale image.
    """
    paths = sorted(path for path in (folder / "images").glob("*") if path.is_file())
    if not paths:
        raise ImagesError(f"{folder / 'images'} holds no images")
    for one, other in pairwise(sorted(paths, key=lambda path: path.stem)):
        if one.stem == other.stem:
            raise ImagesError(f"{one.name} and {other.name} have one name, and would have one mask; rename one of them")
    return _Folder(paths, folder / "masks")


def _read(path: Path, mask: Path) -> OpacityImage:
    if not mask.is_file():
        raise ImagesError(f"{path.name} has no mask: {mask} is missing; a black one says that there is no opacity")
    if path.suffix.lower() == _DICOM:
        loaded = radiograph.load(path)
        pixels, upright = loaded.pixel_array[0], loaded.upright
    else:
        pixels, upright = picture(path), Upright()
    pixels, opacity = upright.turn(pixels), upright.turn(drawn(mask, pixels.shape))
    return OpacityImage(name=path.stem, pixels=np.ascontiguousarray(pixels), opacity=np.ascontiguousarray(opacity))
