"""Which planes of a stack the key image shows, and what is seen on them.

A view is a plane of the volume with its outlines, cut to the lungs, and knows how large a pixel is and which way the
patient lies. Patient coordinates are LPS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dicom_out.colours import RGB
from dicom_out.marks import Mark, contours
from inference.findings import Purpose
from inference.series import Series

WINDOW_CENTER = -600.0
WINDOW_WIDTH = 1500.0
_MARGIN_MM = 15.0
_AXIAL_VIEWS = 3
_MUCH_LUNG = 0.6
_OPACITY_COUNTS = 20


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class View:
    """One plane, ready to be scaled and drawn.

    Attributes
    ----------
    title : str
        What is shown, for a person.
    gray : ndarray of uint8, shape (rows, columns)
        Windowed, cut to the lungs.
    spacing_mm : tuple of 2 float
        Between rows and columns.
    lines : tuple of (RGB, ndarray of float64 of shape (k, 2))
        Outlines, (column, row) from the corner of the first pixel.
    left, right : str
        Which side of the patient the left and right edges show.
    """

    title: str
    gray: NDArray[np.uint8]
    spacing_mm: tuple[float, float]
    lines: tuple[tuple[RGB, NDArray[np.float64]], ...]
    left: str
    right: str


def axial_slices(marks: Sequence[Mark], count: int) -> tuple[int, ...]:
    """Return three slices, from the last to the first, one of each third of the lungs: the most telling of it.

    Parameters
    ----------
    marks : sequence of Mark
        The opacities choose, then the lungs; where nothing is marked, slices are evenly spread.
    count : int
        Slices of the stack.
    """
    extent = _areas(marks, count)
    marked = np.flatnonzero(extent)
    first, last = (int(marked[0]), int(marked[-1]) + 1) if marked.size else (0, count)
    weight = _areas([mark for mark in marks if mark.region.purpose == Purpose.OPACITY], count)
    edges = np.linspace(first, last, _AXIAL_VIEWS + 1).astype(int)
    apart = (last - first) // (2 * _AXIAL_VIEWS)
    chosen: list[int] = []
    for edge, stop in pairwise(edges.tolist()):
        start = max([edge, *(index + apart for index in chosen)])
        part = slice(start, max(stop, start + 1))
        scores = _OPACITY_COUNTS * weight[part] + extent[part]
        chosen.append(start + int(scores.argmax()) if scores.any() else (start + stop) // 2)
    return tuple(sorted({min(i, count - 1) for i in chosen}, reverse=True))


def views(marks: Sequence[Mark], series: Series) -> tuple[View, ...]:
    """Return the axial views, from head to feet, and a coronal one through the largest finding."""
    count = len(series.headers)
    upright = series.geometry.slice_direction[2] > 0
    slices = axial_slices(marks, count)
    box = _bounds(marks, series)
    axial = [_axial(index, marks, series, box) for index in (slices if upright else slices[::-1])]
    return (*axial, _coronal(marks, series, box, upright=upright))


def _axial(index: int, marks: Sequence[Mark], series: Series, box: tuple[slice, slice, slice]) -> View:
    _, rows, columns = box
    lines = _lines(marks, [mark.region.mask[index, rows, columns] for mark in marks])
    left, right = _sides(series.geometry.row_direction)
    number = series.headers[index].get("InstanceNumber")
    return View(
        title=f"image {number}" if number is not None else f"slice {index + 1}",
        gray=_windowed(series.pixel_array[index, rows, columns]),
        spacing_mm=series.geometry.spacing_mm[1:],
        lines=lines,
        left=left,
        right=right,
    )


def _coronal(marks: Sequence[Mark], series: Series, box: tuple[slice, slice, slice], *, upright: bool) -> View:
    slices, _, columns = box
    row = _telling_row(marks, box)
    order = slice(None, None, -1 if upright else 1)
    lines = _lines(marks, [mark.region.mask[slices, row, columns][order] for mark in marks])
    left, right = _sides(series.geometry.row_direction)
    return View(
        title="coronal",
        gray=_windowed(series.pixel_array[slices, row, columns][order]),
        spacing_mm=(series.geometry.spacing_mm[0], series.geometry.spacing_mm[2]),
        lines=lines,
        left=left,
        right=right,
    )


def _telling_row(marks: Sequence[Mark], box: tuple[slice, slice, slice]) -> int:
    """Return the row that cuts most of the opacities among those that show much lung.

    Every fourth slice and column decide: they suffice, and the masks are large.
    """
    slices, rows, columns = (slice(s.start, s.stop, step) for s, step in zip(box, (4, 1, 4), strict=True))

    def cut(purpose: Purpose) -> NDArray[np.int64]:
        total = np.zeros(rows.stop - rows.start, dtype=np.int64)
        for mark in marks:
            if mark.region.purpose == purpose:
                total += np.count_nonzero(mark.region.mask[slices, rows, columns], axis=(0, 2))
        return total

    lungs, opacities = cut(Purpose.LUNGS), cut(Purpose.OPACITY)
    if not opacities.any():
        opacities = lungs
    telling = np.where(lungs >= _MUCH_LUNG * lungs.max(), opacities, 0)
    return int(rows.start) + (int(telling.argmax()) if telling.any() else len(telling) // 2)


def _areas(marks: Sequence[Mark], count: int) -> NDArray[np.int64]:
    total: NDArray[np.int64] = sum((mark.areas for mark in marks), start=np.zeros(count, dtype=np.int64))
    return total


def _bounds(marks: Sequence[Mark], series: Series) -> tuple[slice, slice, slice]:
    """Return the box around all regions with a margin, or the whole volume."""
    shape = series.pixel_array.shape
    marked = np.flatnonzero(_areas(marks, shape[0]))
    if not marked.size:
        return slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])
    plane = np.zeros(shape[1:], dtype=bool)
    for mark in marks:
        plane |= mark.region.mask.any(axis=0)
    inside = (marked, np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0)))
    return tuple(  # type: ignore[return-value]  # of three, as the axes are
        slice(max(0, int(i[0]) - round(_MARGIN_MM / mm)), min(n, int(i[-1]) + 1 + round(_MARGIN_MM / mm)))
        for i, n, mm in zip(inside, shape, series.geometry.spacing_mm, strict=True)
    )


def _lines(marks: Sequence[Mark], planes: Sequence[NDArray[np.bool_]]) -> tuple[tuple[RGB, NDArray[np.float64]], ...]:
    return tuple((mark.rgb, line) for mark, plane in zip(marks, planes, strict=True) for line in contours(plane))


def _windowed(hounsfield: NDArray[np.generic]) -> NDArray[np.uint8]:
    low = WINDOW_CENTER - WINDOW_WIDTH / 2
    scaled = (hounsfield.astype(np.float32) - low) * (255.0 / WINDOW_WIDTH)
    return scaled.clip(0, 255).astype(np.uint8)


def _sides(direction: tuple[float, float, float]) -> tuple[str, str]:
    """Return what lies at the start and at the end of a direction: R or L, A or P, F or H."""
    axis = int(np.argmax(np.abs(direction)))
    low, high = (("R", "L"), ("A", "P"), ("F", "H"))[axis]
    return (low, high) if direction[axis] > 0 else (high, low)
