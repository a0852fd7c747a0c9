"""Chest X-rays with the opacity that somebody outlined on them, from a folder of ``images/`` and ``masks/``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference import radiograph

_INSIDE = 127
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


def read(folder: Path) -> Iterator[OpacityImage]:
    """Read image by image, in the order of their names.

    An image is a DICOM file (``.dcm``), or an upright picture of 8 or 16 bit in which bright is dense. Its mask is a
    PNG of the same name and size, white where opacity is; of a DICOM file, on the pixels as they are stored.

    Raises
    ------
    ValueError
        If there is no image, or one has no mask, or a mask of another size; names the file.
    inference.findings.SelectionRefusedError
        If a DICOM file holds no single grayscale image.
    """
    paths = sorted(path for path in (folder / "images").glob("*") if path.is_file())
    if not paths:
        raise ValueError(f"{folder / 'images'} holds no images")
    for path in paths:
        yield _read(path, folder / "masks" / f"{path.stem}.png")


def _read(path: Path, mask: Path) -> OpacityImage:
    if not mask.is_file():
        raise ValueError(f"{path.name} has no mask: {mask} is missing; a black one says that there is no opacity")
    with Image.open(mask) as image:
        opacity = np.asarray(image.convert("L")) > _INSIDE
    if path.suffix.lower() == _DICOM:
        loaded = radiograph.load(path)
        pixels, turn = loaded.pixel_array[0], loaded.upright.turn
    else:
        pixels, turn = _picture(path), None
    if pixels.shape != opacity.shape:
        raise ValueError(f"{mask} has {_size(opacity)} pixels, and {path.name} {_size(pixels)}")
    if turn is not None:
        pixels, opacity = turn(pixels), turn(opacity)
    return OpacityImage(name=path.stem, pixels=np.ascontiguousarray(pixels), opacity=np.ascontiguousarray(opacity))


def _picture(path: Path) -> NDArray[np.float32]:
    with Image.open(path) as image:
        is_deep = image.mode.startswith("I")
        values = np.asarray(image if is_deep else image.convert("L"), dtype=np.float32)
    return values / np.float32(65535 if is_deep else 255)


def _size(image: NDArray[np.generic]) -> str:
    return " x ".join(map(str, image.shape))
