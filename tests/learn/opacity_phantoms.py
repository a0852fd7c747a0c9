"""Chest X-rays whose opacity is known: at random places, of random sizes, in patients of whom no two are alike."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from phantom.cxr import RadiographPhantom, make_radiograph
from phantom.cxr_dicom import to_dataset

_SIDE, _SHOWN_MM = 336, 369.0
_WITHOUT = 4
"""Every so many images show no opacity."""


def write_annotated(folder: Path, seeds: Sequence[int]) -> None:
    """Write what a site would annotate: pictures, and a mask of each."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        phantom = chest(seed, (_SIDE, _SIDE), opacity=seed % _WITHOUT != 0)
        greys = np.rint(phantom.pixels / 4095 * 255).astype(np.uint8)
        Image.fromarray(greys).save(folder / "images" / f"patient{seed:04}.png")
        Image.fromarray(phantom.opacity.astype(np.uint8) * 255).save(folder / "masks" / f"patient{seed:04}.png")


def chest(seed: int, shape: tuple[int, int], *, opacity: bool) -> RadiographPhantom:
    """Make a chest that fills an image of any shape."""
    rows, columns = shape
    return make_radiograph(
        rows=rows, columns=columns, spacing_mm=_SHOWN_MM / min(shape), opacity=opacity, letter="", seed=seed
    )


def write_dicom(path: Path, phantom: RadiographPhantom, patient_orientation: tuple[str, str]) -> Path:
    """Write an image as a modality would, turned as it says."""
    to_dataset(phantom, view_position="AP", patient_orientation=patient_orientation).save_as(
        path, enforce_file_format=True
    )
    return path
