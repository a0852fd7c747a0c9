"""A selection loaded: sorted instances, pixel array and geometry, from files on disk.

Stands between the archive and the pipelines: the worker loads a selection once and every pipeline of the job reads
it. `inference.decoding` decodes the pixel data.

References
----------
PS3.3 C.7.6.2 (Image Plane), C.8.2.1 (CT Image).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.decoding import UndecodableError, decode
from inference.findings import Refusal, SelectionRefusedError
from inference.geometry import NO_GEOMETRY, Geometry, check_stack, slice_positions

_COSINE_TOLERANCE = 0.002
_PIXEL_TOLERANCE_MM = 0.001
_MAX_PIXEL_MM = 50.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, weakref_slot=True)
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


def load(paths: Sequence[Path], *, threads: int | None = None) -> Series:
    """Read, sort and decode one CT stack.

    Parameters
    ----------
    paths : sequence of Path
        DICOM files of one stack, in any order.
    threads : int, optional
        How many slices are decoded at once; by default one a processor.

    Returns
    -------
    Series
        Ascending along the normal of the image plane.

    Raises
    ------
    SelectionRefusedError
        If the files do not form an evenly spaced volume, or pixel data cannot be decoded.
    """
    # Headers first, without pixel data: these are read once, by the thread that decodes them.
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    planes = [_plane(header) for header in headers]
    _check_alike(planes)
    orientation, positions = planes[0].orientation, [plane.position for plane in planes]
    checked = check_stack(positions, orientation)
    if isinstance(checked, Refusal):
        raise SelectionRefusedError(checked)
    order = np.argsort(slice_positions(positions, orientation), kind="stable")
    headers = [headers[i] for i in order]
    try:
        pixel_array = decode([paths[i] for i in order], headers, threads=threads)
    except UndecodableError as error:
        raise SelectionRefusedError(error.refusal) from error
    return Series(
        headers=tuple(headers), pixel_array=pixel_array, geometry=_geometry(planes[order[0]], slice_spacing_mm=checked)
    )


@dataclass(frozen=True, slots=True)
class _Plane:
    """Where one slice lies: PS3.3 C.7.6.2."""

    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    size: tuple[int, int]


def _plane(header: Dataset) -> _Plane:
    try:
        plane = _Plane(
            position=tuple(float(v) for v in header.ImagePositionPatient),
            orientation=tuple(float(v) for v in header.ImageOrientationPatient),
            pixel_spacing=tuple(float(v) for v in header.PixelSpacing),
            size=(int(header.Rows), int(header.Columns)),
        )
    except (AttributeError, TypeError, ValueError):
        raise SelectionRefusedError(NO_GEOMETRY) from None  # the cause quotes values of the header
    if (len(plane.position), len(plane.orientation), len(plane.pixel_spacing)) != (3, 6, 2):
        raise SelectionRefusedError(NO_GEOMETRY)
    if min(plane.size) < 1 or not all(0 < spacing < _MAX_PIXEL_MM for spacing in plane.pixel_spacing):
        raise SelectionRefusedError(NO_GEOMETRY)
    return plane


def _check_alike(planes: Sequence[_Plane]) -> None:
    for name, values, tolerance in (
        ("orientation", [p.orientation for p in planes], _COSINE_TOLERANCE),
        ("pixel spacing", [p.pixel_spacing for p in planes], _PIXEL_TOLERANCE_MM),
        ("number of rows or columns", [p.size for p in planes], 0),
    ):
        spread = np.abs(np.asarray(values, dtype=np.float64) - values[0]).max(axis=1)
        odd = int(np.count_nonzero(~(spread <= tolerance)))
        if odd:
            raise SelectionRefusedError(
                Refusal(
                    code="mixed-geometry",
                    reason=f"The {name} of {odd} of {len(planes)} slices is not that of the first.",
                    remedy="Send slices of one reconstruction a series.",
                )
            )


def _geometry(lowest: _Plane, *, slice_spacing_mm: float) -> Geometry:
    row, column = lowest.orientation[:3], lowest.orientation[3:]
    rows_mm, columns_mm = lowest.pixel_spacing
    return Geometry(
        origin_mm=_triple(lowest.position),
        row_direction=_triple(row),
        column_direction=_triple(column),
        slice_direction=_triple(np.cross(row, column).tolist()),
        spacing_mm=(slice_spacing_mm, rows_mm, columns_mm),
    )


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
