"""A selection loaded: sorted instances, pixel array and geometry, from files on disk.

Stands between the archive and the pipelines: the worker loads a selection once and every pipeline of the job reads
it. Pixel data are decoded here and nowhere else.

References
----------
PS3.3 C.7.6.2 (Image Plane), C.8.2.1 (CT Image), C.11.1 (Modality LUT).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_rescale

from inference.findings import Refusal
from inference.geometry import Geometry, check_stack, slice_positions


class SeriesRefusedError(Exception):
    """The files do not make a series that can be read."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Series:
    """One CT stack in memory.

    Attributes
    ----------
    headers : tuple of Dataset
        Every instance without its pixel data, ascending along the normal of the image plane (for axial images of a
        supine, head-first patient: from feet to head).
    pixel_array : ndarray of int16 or float32, shape (slices, rows, columns)
        In Hounsfield units. int16 where slope and intercept are whole numbers.
    geometry : Geometry
        In the frame of reference of the source.
    """

    headers: tuple[Dataset, ...]
    pixel_array: NDArray[np.generic]
    geometry: Geometry

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """SOP Instance UIDs in the order of the first axis."""
        return tuple(str(header.SOPInstanceUID) for header in self.headers)


def load(paths: Sequence[Path]) -> Series:
    """Read, sort and decode one CT stack.

    Parameters
    ----------
    paths : sequence of Path
        DICOM files of one stack, in any order.

    Returns
    -------
    Series
        Ascending along the normal of the image plane.

    Raises
    ------
    SeriesRefusedError
        If the files do not form an evenly spaced volume, or pixel data cannot be decoded.
    """
    datasets = [pydicom.dcmread(path) for path in paths]
    orientation = [float(v) for v in datasets[0].ImageOrientationPatient]
    positions = [[float(v) for v in dataset.ImagePositionPatient] for dataset in datasets]
    checked = check_stack(positions, orientation)
    if isinstance(checked, Refusal):
        raise SeriesRefusedError(checked)
    order = np.argsort(slice_positions(positions, orientation))
    datasets = [datasets[i] for i in order]
    pixel_array = _decode(datasets)
    return Series(
        headers=tuple(datasets),
        pixel_array=pixel_array,
        geometry=_geometry(datasets[0], positions[order[0]], checked),
    )


def _geometry(first: Dataset, origin: Sequence[float], slice_spacing_mm: float) -> Geometry:
    orientation = [float(v) for v in first.ImageOrientationPatient]
    row, column = orientation[:3], orientation[3:]
    rows_mm, columns_mm = (float(v) for v in first.PixelSpacing)
    return Geometry(
        origin_mm=_triple(origin),
        row_direction=_triple(row),
        column_direction=_triple(column),
        slice_direction=_triple(np.cross(row, column).tolist()),
        spacing_mm=(slice_spacing_mm, rows_mm, columns_mm),
    )


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _decode(datasets: Sequence[Dataset]) -> NDArray[np.generic]:
    """Decode every slice to Hounsfield units and drop the pixel data from the headers."""
    slices: list[NDArray[np.generic]] = []
    for dataset in datasets:
        try:
            stored = dataset.pixel_array
        except (MemoryError, OSError):
            raise  # of this machine, not of the data: a fault, and tried again
        except Exception as error:
            raise SeriesRefusedError(
                Refusal(
                    code="undecodable-pixel-data",
                    reason=f"Pixel data of instance {dataset.get('InstanceNumber', '?')} cannot be decoded: {error}",
                    remedy="Send the series again, uncompressed if need be.",
                )
            ) from error
        slices.append(_hounsfield(dataset, stored))
        del dataset.PixelData
    return np.stack(slices)


def _hounsfield(dataset: Dataset, stored: NDArray[np.generic]) -> NDArray[np.generic]:
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    if slope == 1 and intercept.is_integer():
        return (stored.astype(np.int32) + int(intercept)).clip(-32768, 32767).astype(np.int16)
    return apply_rescale(stored, dataset).astype(np.float32)
