"""Where slices lie: the geometry of a stack from its headers, and the checks that make it a volume.

Pure functions over positions and orientations, used when a stack is selected (from rows of the database) and again
when it is loaded (from the files). Patient coordinates are LPS, in mm.

References
----------
PS3.3 C.7.6.2 Image Plane Module.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.findings import Refusal
from inference.wording import counted

MIN_SLICES = 10
MIN_PLANE_COSINE = 0.95
"""Between the normal of a slice and an axis of the patient, for the slice to be named after that axis."""
_POSITION_TOLERANCE_MM = 0.01
_UNEVEN_TOLERANCE = 0.05
_TILT_TOLERANCE_MM = 0.05
_GAP_FACTOR = 1.5
_FARTHEST_MM = 1e5
_ORTHONORMAL_TOLERANCE = 0.01

NO_GEOMETRY = Refusal(
    code="no-geometry",
    reason="Image position, orientation, pixel spacing, rows or columns are absent or impossible.",
    remedy="Send images with ImagePositionPatient, ImageOrientationPatient and PixelSpacing.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """The grid of a volume.

    Attributes
    ----------
    origin_mm : tuple of 3 float
        Centre of the first voxel, LPS.
    row_direction, column_direction, slice_direction : tuple of 3 float
        Unit vectors along increasing column index, row index and slice index, LPS. Slices ascend along the normal of
        the image plane, row_direction x column_direction.
    spacing_mm : tuple of 3 float
        Between slices, rows and columns.
    """

    origin_mm: tuple[float, float, float]
    row_direction: tuple[float, float, float]
    column_direction: tuple[float, float, float]
    slice_direction: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in mL."""
        slices, rows, columns = self.spacing_mm
        return slices * rows * columns / 1000.0


def plane_normal(image_orientation_patient: Sequence[float]) -> NDArray[np.float64]:
    """Return the unit normal of an image plane, row direction x column direction."""
    row, column = (np.asarray(image_orientation_patient[i : i + 3], dtype=np.float64) for i in (0, 3))
    normal: NDArray[np.float64] = np.cross(row, column)
    return normal / np.linalg.norm(normal)


def slice_positions(
    image_positions_patient: Sequence[Sequence[float]], image_orientation_patient: Sequence[float]
) -> NDArray[np.float64]:
    """Return the signed distance of each slice along the normal of the image plane, in mm."""
    return np.asarray(image_positions_patient, dtype=np.float64) @ plane_normal(image_orientation_patient)


def check_stack(
    image_positions_patient: Sequence[Sequence[float]], image_orientation_patient: Sequence[float]
) -> Refusal | float:
    """Check that slices form a volume.

    Parameters
    ----------
    image_positions_patient : sequence of 3 float
        (0020,0032) of every slice, in any order, in mm.
    image_orientation_patient : sequence of 6 float
        (0020,0037), the same for all slices.

    Returns
    -------
    Refusal or float
        Why it is none, or the distance between neighbouring slices in mm.
    """
    positions = np.asarray(image_positions_patient, dtype=np.float64)
    if len(positions) < MIN_SLICES:
        return Refusal(
            code="too-few-slices",
            reason=f"The stack has {counted(len(positions), 'slice')}, at least {MIN_SLICES} are needed.",
            remedy="Send the whole series.",
        )
    if not _is_placed(positions, np.asarray(image_orientation_patient, dtype=np.float64)):
        return NO_GEOMETRY
    distances = slice_positions(positions.tolist(), image_orientation_patient)
    order = np.argsort(distances)
    steps = np.diff(distances[order])
    spacing = float(np.median(steps))
    return (
        _duplicates(steps, distances[order])
        or _gaps(steps, distances[order], spacing)
        or _uneven(steps, spacing)
        or _tilted(positions[order], image_orientation_patient)
        or spacing
    )


def _is_placed(positions: NDArray[np.float64], orientation: NDArray[np.float64]) -> bool:
    """Say whether positions lie in a room and the two directions are unit vectors at right angles."""
    directions = orientation.reshape(2, 3)
    deviation = np.abs(directions @ directions.T - np.eye(2)).max()
    return bool(np.abs(positions).max() < _FARTHEST_MM and deviation < _ORTHONORMAL_TOLERANCE)


def _duplicates(steps: NDArray[np.float64], distances: NDArray[np.float64]) -> Refusal | None:
    doubled = np.flatnonzero(steps < _POSITION_TOLERANCE_MM)
    if not doubled.size:
        return None
    occur = "occurs" if doubled.size == 1 else "occur"
    return Refusal(
        code="duplicate-positions",
        reason=f"{counted(doubled.size, 'slice position')} {occur} twice, the first at {distances[doubled[0]]:.1f} mm.",
        remedy="Send one acquisition a series, or set AcquisitionNumber (0020,0012).",
    )


def _gaps(steps: NDArray[np.float64], distances: NDArray[np.float64], spacing: float) -> Refusal | None:
    gaps = np.flatnonzero(steps > _GAP_FACTOR * spacing)
    if not gaps.size:
        return None
    missing = int(np.sum(np.round(steps[gaps] / spacing) - 1))
    return Refusal(
        code="gap-in-stack",
        reason=(
            f"About {counted(missing, 'slice')} {'is' if missing == 1 else 'are'} missing "
            f"in {counted(gaps.size, 'place')}, the first after {distances[gaps[0]]:.1f} mm "
            f"(a step of {steps[gaps[0]]:.2f} mm where {spacing:.2f} mm is usual)."
        ),
        remedy="Send the missing slices.",
    )


def _uneven(steps: NDArray[np.float64], spacing: float) -> Refusal | None:
    worst = float(np.max(np.abs(steps - spacing)))
    if worst <= max(_UNEVEN_TOLERANCE * spacing, _POSITION_TOLERANCE_MM):
        return None
    return Refusal(
        code="uneven-spacing",
        reason=f"Slices are unevenly spaced: {steps.min():.2f} to {steps.max():.2f} mm, usually {spacing:.2f} mm.",
        remedy="Send an evenly spaced reconstruction.",
    )


def _tilted(positions: NDArray[np.float64], image_orientation_patient: Sequence[float]) -> Refusal | None:
    steps = np.diff(positions, axis=0)
    normal = plane_normal(image_orientation_patient)
    sideways = steps - np.outer(steps @ normal, normal)
    worst = float(np.max(np.linalg.norm(sideways, axis=1)))
    if worst <= _TILT_TOLERANCE_MM * max(1.0, float(np.median(np.linalg.norm(steps, axis=1)))):
        return None
    return Refusal(
        code="tilted-gantry",
        reason=f"Slices shift sideways by up to {worst:.2f} mm from one to the next (gantry tilt).",
        remedy="Send a reconstruction without tilt.",
    )
