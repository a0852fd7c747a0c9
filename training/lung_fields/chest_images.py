"""Chest X-rays with their lungs, from a folder of ``index.csv``, ``images/`` and ``masks/``."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from inference.letterbox import Letterbox
from inference.networks.lung_fields import SIDE
from training.errors import TrainingError
from training.folding import dealt

_INSIDE = 127
_MIN_PART = 0.005
"""Of the image: smaller parts of a mask are specks of the annotation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChestImage:
    """One annotated image.

    Attributes
    ----------
    about : dict of str
        Its row of ``index.csv``: id, patient, view, finding, licence, origin and more.
    pixels : ndarray of float32, shape (rows, columns)
        In [0, 1], bright is dense; upright.
    labels : ndarray of uint8, shape (rows, columns)
        0 background, 1 right and 2 left lung of the patient.
    """

    about: dict[str, str]
    pixels: NDArray[np.float32]
    labels: NDArray[np.uint8]

    @property
    def id(self) -> str:
        """Name of the image."""
        return self.about["id"]

    def on_grid(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return pixels, from 0 to 1, and labels on the network's grid."""
        letterbox = Letterbox(rows=self.pixels.shape[0], columns=self.pixels.shape[1], side=SIDE)
        grid = letterbox.to_grid(self.pixels)
        right, left = (letterbox.to_grid((self.labels == label).astype(np.float32)) for label in (1, 2))
        labels = np.select([right > 0.5, left > 0.5], [1, 2], 0).astype(np.uint8)
        spread = float(np.ptp(grid)) or 1.0
        return (grid - grid.min()) / spread, labels


def read(folder: Path) -> list[ChestImage]:
    """Read all images.

    Raises
    ------
    TrainingError
        If a mask does not consist of two lungs, one on either side.
    """
    with (folder / "index.csv").open(encoding="utf-8", newline="") as stream:
        return [_read(folder, row) for row in csv.DictReader(stream)]


def folds(images: list[ChestImage], *, count: int, seed: int) -> list[list[ChestImage]]:
    """Deal images out so that a patient's are in one fold, and folds are about as large as each other."""
    return dealt(images, lambda image: image.about["patient"], count=count, seed=seed)


def _read(folder: Path, row: dict[str, str]) -> ChestImage:
    with Image.open(folder / "images" / f"{row['id']}.jpg") as image:
        pixels = np.asarray(image.convert("L"), dtype=np.float32) / 255.0
    with Image.open(folder / "masks" / f"{row['id']}.png") as image:
        mask = np.asarray(image.convert("L")) > _INSIDE
    return ChestImage(about=row, pixels=pixels, labels=_sides(mask, row["id"]))


def _sides(mask: NDArray[np.bool_], name: str) -> NDArray[np.uint8]:
    parts, count = ndimage.label(mask)
    large = [part for part in range(1, count + 1) if (parts == part).mean() >= _MIN_PART]
    if len(large) != 2:
        raise TrainingError(f"the mask of {name} has {len(large)} parts; it should have one for each lung")
    right, left = sorted(large, key=lambda part: ndimage.center_of_mass(parts == part)[1])
    return np.select([parts == right, parts == left], [1, 2], 0).astype(np.uint8)
