"""The vocabulary of images with a truth, and how their pixels are read: as the pipelines read them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.boxes import Box, filled
from inference import radiograph
from inference.upright import Upright
from training.errors import TrainingError

Mask = NDArray[np.bool_]
_INSIDE = 127
_DICOM = ".dcm"
_MOST_NAMED = 3


class ImagesError(TrainingError):
    """A folder is not what its adapter reads; names the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Why an image was left out.

    Attributes
    ----------
    file : str
        Which says so, within the folder.
    row : int or None
        Of that table, from 1 beneath its header.
    why : str
        A sentence without a patient.
    """

    file: str
    row: int | None
    why: str

    def __str__(self) -> str:
        place = self.file if self.row is None else f"{self.file}, row {self.row}"
        return f"{place}: {self.why}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledImage:
    """One image and what is known of it, not yet read.

    Attributes
    ----------
    name : str
        What its data set calls it.
    patient : str
        Whose other images must be in the same fold.
    path : Path
        A DICOM file, or an upright picture of 8 or 16 bit in which bright is dense.
    finding : str
        Class, as the data set words it.
    is_opaque : bool
        Whether it shows opacity.
    boxes : tuple of Box or None
        Around opacity, in pixels as they are stored; None where `mask` says where it is.
    mask : Path or None
        PNG, white where opacity is, on the pixels as they are stored.
    """

    name: str
    patient: str
    path: Path
    finding: str
    is_opaque: bool
    boxes: tuple[Box, ...] | None = None
    mask: Path | None = None

    @property
    def digest(self) -> str:
        """Changes with what is known, with the size of the image's file, and with the mask."""
        told = [self.name, self.patient, self.finding, self.is_opaque, self.boxes, self.path.stat().st_size]
        return hashlib.sha256(repr(told).encode() + (self.mask.read_bytes() if self.mask else b"")).hexdigest()

    def read(self, *others: Path) -> "Read":
        """Read it, its opacity, and other masks that lie on its stored pixels.

        Raises
        ------
        inference.findings.SelectionRefusedError
            If a DICOM file holds no single grayscale image.
        ImagesError
            If a mask or a box does not fit the image.
        """
        if self.path.suffix.lower() == _DICOM:
            loaded = radiograph.load(self.path)
            pixels, upright = loaded.pixel_array[0], loaded.upright
        else:
            pixels, upright = picture(self.path), Upright()
        shape = pixels.shape
        opacity = drawn(self.mask, shape) if self.mask else self._filled((shape[0], shape[1]))
        return Read(
            pixels=np.ascontiguousarray(upright.turn(pixels)),
            opacity=np.ascontiguousarray(upright.turn(opacity)),
            upright=upright,
            others=tuple(np.ascontiguousarray(upright.turn(drawn(path, shape))) for path in others),
        )

    def _filled(self, shape: tuple[int, int]) -> Mask:
        rows, columns = shape
        for box in self.boxes or ():
            if box.x + box.width > columns + 1 or box.y + box.height > rows + 1:
                raise ImagesError(f"{self.path.name}: a box reaches beyond its {columns} x {rows} pixels")
        return filled(self.boxes or (), shape)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Read:
    """An image in memory, upright, the patient's right on the left.

    Attributes
    ----------
    pixels : ndarray of float32, shape (rows, columns)
        In [0, 1], bright is dense.
    opacity : ndarray of bool, same shape
        Where opacity is.
    upright : Upright
        How the stored pixels were turned.
    others : tuple of ndarray of bool, same shape
        Other masks, such as of either lung, in the order in which they were asked for.
    """

    pixels: NDArray[np.float32]
    opacity: Mask
    upright: Upright
    others: tuple[Mask, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """A data set.

    Attributes
    ----------
    origin : str
        What it is called.
    place : Path
        Its folder.
    usable : tuple of LabelledImage
        In the order of their names.
    left_out : tuple of Problem
        At least one for each image that was left out.
    notes : tuple of str
        What a reader of the record must know.
    """

    origin: str
    place: Path
    usable: tuple[LabelledImage, ...]
    left_out: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    def told(self) -> dict[str, Any]:
        """Return what the record says of it: counts, and what was left out, by file and row."""
        return {
            "origin": self.origin,
            "images": len(self.usable),
            "patients": len({image.patient for image in self.usable}),
            "with_opacity": sum(image.is_opaque for image in self.usable),
            "by_finding": _counted([image.finding for image in self.usable]),
            "left_out": [{"file": one.file, "row": one.row, "why": one.why} for one in self.left_out],
            "notes": list(self.notes),
        }

    def checked(self) -> "Images":
        """Return itself, or raise that there is nothing to learn from, naming why the first were left out."""
        if self.usable:
            return self
        why = "; ".join(map(str, self.left_out[:_MOST_NAMED]))
        raise ImagesError(f"{self.place} has no image that can be used. {why or 'It is empty.'}")


def mask_problem(path: Path) -> str:
    """Say why there is no mask; empty where there is one."""
    return "" if path.is_file() else f"it has no mask: {path.parent.name}/{path.name} is missing"


def drawn(path: Path, shape: tuple[int, ...]) -> Mask:
    """Return the mask that a PNG draws on an image of this shape."""
    with Image.open(path) as image:
        mask: Mask = np.asarray(image.convert("L")) > _INSIDE
    if mask.shape != shape:
        raise ImagesError(f"{path} has {_size(mask.shape)} pixels, and its image {_size(shape)}")
    return mask


def picture(path: Path) -> NDArray[np.float32]:
    """Return a picture of 8 or 16 bit in [0, 1]."""
    with Image.open(path) as image:
        is_deep = image.mode.startswith("I")
        values = np.asarray(image if is_deep else image.convert("L"), dtype=np.float32)
    return values / np.float32(65535 if is_deep else 255)


def _counted(findings: Sequence[str]) -> Mapping[str, int]:
    return {finding: findings.count(finding) for finding in sorted(set(findings))}


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
