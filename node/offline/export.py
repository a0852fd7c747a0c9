"""Findings -> files that are read without DICOM: pictures, masks and maps on the source's own pixels."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image

from dicom_out.context import ResultKind
from inference.findings import Findings, Purpose
from inference.geometry import Geometry
from inference.radiograph import Radiograph
from inference.selected import Selected
from node.offline.maps import Maps

_CHALLENGE_MAP = "challenge-map.png"
_WHITE = np.float32(255)


def file_stem(prefix: str, label: str) -> str:
    """Return what a file of something with that label is called."""
    return f"{prefix}-{re.sub(r'[^a-z0-9]+', '-', label.lower()).strip('-')}"


def write_masks(findings: Findings, source: Selected, folder: Path) -> dict[str, str]:
    """Write the mask of every region, empty ones too.

    Returns
    -------
    dict of str
        File names by label: PNG of 0 and 255 on the stored pixels of a radiograph, else NIfTI of 0 and 1.
    """
    names = {}
    for region in findings.regions:
        stem = file_stem("mask", region.label)
        if isinstance(source, Radiograph):
            names[region.label] = f"{stem}.png"
            Image.fromarray(region.mask[0].astype(np.uint8) * np.uint8(255)).save(folder / names[region.label])
        else:
            names[region.label] = f"{stem}.nii.gz"
            write_volume(region.mask.astype(np.uint8), source.geometry, folder / names[region.label])
    return names


def write_volume(values: NDArray[Any], geometry: Geometry, path: Path) -> None:
    """Write an array, shape (slices, rows, columns), as NIfTI where it lies in the patient."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(values)
    slice_mm, rows_mm, columns_mm = geometry.spacing_mm
    axes = (geometry.row_direction, geometry.column_direction, geometry.slice_direction)
    image.SetOrigin(geometry.origin_mm)
    image.SetSpacing((columns_mm, rows_mm, slice_mm))
    image.SetDirection(np.array(axes, dtype=np.float64).T.ravel().tolist())
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def write_pictures(objects: Iterable[Path], folder: Path) -> list[str]:
    """Write every key image among DICOM files as PNG; return the names."""
    names = []
    for path in objects:
        if path.name.startswith(f"{ResultKind.KEY_IMAGE}-"):
            dataset = pydicom.dcmread(path)
            pixels = dataset.pixel_array
            frames = pixels if pixels.ndim == 4 else pixels[np.newaxis]
            for number, frame in enumerate(frames, start=1):
                name = path.stem if len(frames) == 1 else f"{path.stem}-{number}"
                Image.fromarray(frame).save(folder / f"{name}.png")
                names.append(f"{name}.png")
    return names


def write_maps(findings: Findings, source: Selected, folder: Path, maps: Maps) -> dict[str, str]:
    """Write every heatmap as NIfTI of float32, on the source's pixels or on its own grid; return names by label."""
    from dicom_out.resampling import resampled

    names: dict[str, str] = {}
    for heatmap in findings.heatmaps if maps is not Maps.NONE else ():
        values, geometry = heatmap.values, heatmap.grid
        if maps is Maps.SOURCE_GRID:
            geometry = source.geometry
            values = np.stack(list(resampled(heatmap, geometry, source.pixel_array.shape)))
        names[heatmap.label] = f"{file_stem('map', heatmap.label)}.nii.gz"
        write_volume(values, geometry, folder / names[heatmap.label])
    return names


def write_challenge_map(findings: Findings, source: Selected, folder: Path) -> str | None:
    """Write the map of opacity as the MIDRC XAI challenge took it; return its name, None where there is no map.

    PNG of 8 bits on the stored pixels of a radiograph: 255 is a probability of 1.
    """
    from dicom_out.resampling import resampled

    heatmap = next((found for found in findings.heatmaps if found.purpose is Purpose.OPACITY), None)
    if heatmap is None:
        return None
    (values,) = resampled(heatmap, source.geometry, source.pixel_array.shape)
    Image.fromarray(np.rint(_WHITE * values).astype(np.uint8)).save(folder / _CHALLENGE_MAP)
    return _CHALLENGE_MAP
