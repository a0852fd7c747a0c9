"""Which planes of a stack the key image shows, and what is seen on them.

A view is a plane of the volume with its outlines, cut to the lungs, and knows which way the patient lies. Patient
coordinates are LPS.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_out.drawing import Outline, Plane
from dicom_out.marks import Mark, contours
from dicom_out.telling_slices import areas, telling_slices
from inference.findings import Purpose
from inference.series import Series

AXIAL_VIEWS = 8
WINDOW_CENTER = -600.0
WINDOW_WIDTH = 1500.0
_MARGIN_MM = 12.0
_MUCH_LUNG = 0.6
_WIDTHS = {Purpose.LUNGS: 1.5, Purpose.OPACITY: 1.5}
"""Of outlines, in pixels: thinner where they only bound the lungs."""

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class View:
    """One plane of the stack.

    Attributes
    ----------
    name, position : str
        What is shown, for a person; where it lies in the patient.
    plane : Plane
        Windowed, cut to the lungs.
    left, right : str
        Which side of the patient the left and right edges show.
    index : int or None
        Of the slice; None for the coronal view.
    """

    name: str
    plane: Plane
    left: str
    right: str
    position: str = ""
    index: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sheet:
    """What a key image of a CT shows.

    Attributes
    ----------
    axial : tuple of View
        From head to feet.
    coronal : View
        Through the largest finding, head up.
    rows : tuple of float
        Where the axial slices cut the coronal view, in its rows from its upper edge.
    count : int
        Slices of the stack.
    """

    axial: tuple[View, ...]
    coronal: View
    rows: tuple[float, ...]
    count: int


def sheet(marks: Sequence[Mark], series: Series) -> Sheet:
    """Return the most telling axial views, and a coronal one that shows where they are."""
    box = _bounds(marks, series)
    upright = series.geometry.slice_direction[2] > 0
    slices = shown_slices(marks, series)
    first, last = box[0].start, box[0].stop
    return Sheet(
        axial=tuple(_axial(index, marks, series, box) for index in slices),
        coronal=_coronal(marks, series, box, upright=upright),
        rows=tuple((last - 1 - index if upright else index - first) + 0.5 for index in slices),
        count=len(series.headers),
    )


def shown_slices(marks: Sequence[Mark], series: Series) -> tuple[int, ...]:
    """Return the indices of the axial slices shown, from head to feet."""
    slices = telling_slices(marks, len(series.headers), AXIAL_VIEWS)
    return slices[::-1] if series.geometry.slice_direction[2] > 0 else slices


def _axial(index: int, marks: Sequence[Mark], series: Series, box: Box) -> View:
    _, rows, columns = box
    number = series.headers[index].get("InstanceNumber")
    geometry = series.geometry
    along = int(np.argmax(np.abs(geometry.slice_direction)))
    position = geometry.origin_mm[along] + index * geometry.spacing_mm[0] * geometry.slice_direction[along]
    left, right = _sides(geometry.row_direction)
    return View(
        name=f"image {number}" if number is not None else f"slice {index + 1}",
        position=f", {'xyz'[along]} {position:.1f} mm",
        plane=Plane(
            gray=_windowed(series.pixel_array[index, rows, columns]),
            spacing=geometry.spacing_mm[1:],
            outlines=_outlines(marks, [mark.region.mask[index, rows, columns] for mark in marks]),
        ),
        left=left,
        right=right,
        index=index,
    )


def _coronal(marks: Sequence[Mark], series: Series, box: Box, *, upright: bool) -> View:
    slices, _, columns = box
    row = _telling_row(marks, box)
    order = slice(None, None, -1 if upright else 1)
    left, right = _sides(series.geometry.row_direction)
    return View(
        name=f"C {WINDOW_CENTER:.0f} W {WINDOW_WIDTH:.0f}, bars 3 cm",
        plane=Plane(
            gray=_windowed(series.pixel_array[slices, row, columns][order]),
            spacing=(series.geometry.spacing_mm[0], series.geometry.spacing_mm[2]),
            outlines=_outlines(marks, [mark.region.mask[slices, row, columns][order] for mark in marks]),
        ),
        left=left,
        right=right,
    )


def _telling_row(marks: Sequence[Mark], box: Box) -> int:
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


def _bounds(marks: Sequence[Mark], series: Series) -> Box:
    """Return the box around all regions with a margin, or the whole volume."""
    shape = series.pixel_array.shape
    marked = np.flatnonzero(areas(marks, shape[0]))
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


def _outlines(marks: Sequence[Mark], planes: Sequence[NDArray[np.bool_]]) -> tuple[Outline, ...]:
    """Return the outlines of all marks, those of opacities on top."""
    order = sorted(zip(marks, planes, strict=True), key=lambda pair: pair[0].region.purpose == Purpose.OPACITY)
    return tuple(
        Outline(points=points, rgb=mark.rgb, width=_WIDTHS[mark.region.purpose])
        for mark, plane in order
        for points in contours(plane)
    )


def _windowed(hounsfield: NDArray[np.generic]) -> NDArray[np.uint8]:
    low = WINDOW_CENTER - WINDOW_WIDTH / 2
    scaled = (hounsfield.astype(np.float32) - low) * (255.0 / WINDOW_WIDTH)
    return scaled.clip(0, 255).astype(np.uint8)


def _sides(direction: tuple[float, float, float]) -> tuple[str, str]:
    """Return what lies at the start and at the end of a direction: R or L, A or P, F or H."""
    axis = int(np.argmax(np.abs(direction)))
    low, high = (("R", "L"), ("A", "P"), ("F", "H"))[axis]
    return (low, high) if direction[axis] > 0 else (high, low)
