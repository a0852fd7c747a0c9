"""Whether a CT stack is what a card asks for: axial, in Hounsfield units, as thick and as long as it must be."""

from pathlib import Path

import numpy as np

from inference.card import CTInput
from inference.findings import Refusal
from inference.geometry import MIN_PLANE_COSINE
from inference.series import Series


class CTPipeline:
    """What pipelines of one CT stack have in common.

    Parameters
    ----------
    weights : Path
        Folder that holds the weights of its slots.
    """

    wanted: CTInput

    def __init__(self, weights: Path) -> None:
        self._weights = weights

    def accepts(self, series: Series) -> Refusal | None:
        """Say why the series does not fit, or None: it must be axial, thin and long enough, in Hounsfield units."""
        return unfit(series, self.wanted)


def unfit(series: Series, wanted: CTInput) -> Refusal | None:
    """Say why a series is not what a pipeline reads, or None."""
    return _orientation(series) or _thickness(series, wanted) or _coverage(series, wanted) or _values(series)


def thickness_mm(series: Series) -> float:
    """Return the thickness of a slice as the header has it, else the distance between slices."""
    stated = series.headers[0].get("SliceThickness")
    return float(stated) if stated else series.geometry.spacing_mm[0]


def coverage_mm(series: Series) -> float:
    """Return the extent along the body."""
    return series.geometry.spacing_mm[0] * len(series.pixel_array)


def _orientation(series: Series) -> Refusal | None:
    row, column = series.geometry.row_direction, series.geometry.column_direction
    cosine = min(abs(row[0]), abs(column[1]))
    if cosine >= MIN_PLANE_COSINE:
        return None
    return Refusal(
        code="not-axial",
        reason=f"The images are turned from axial by {np.degrees(np.arccos(min(cosine, 1.0))):.0f} degrees.",
        remedy="Send the axial reconstruction.",
    )


def _thickness(series: Series, wanted: CTInput) -> Refusal | None:
    thickness, (low, high) = thickness_mm(series), wanted.thickness_mm
    if low <= thickness <= high:
        return None
    return Refusal(
        code="slice-thickness",
        reason=f"Slices are {thickness:g} mm thick; {low:g} to {high:g} mm are needed.",
        remedy="Send a thinner reconstruction." if thickness > high else "Send a thicker reconstruction.",
    )


def _coverage(series: Series, wanted: CTInput) -> Refusal | None:
    if coverage_mm(series) >= wanted.min_coverage_mm:
        return None
    return Refusal(
        code="low-coverage",
        reason=f"The stack covers {coverage_mm(series):.0f} mm; at least {wanted.min_coverage_mm:.0f} mm are needed.",
        remedy="Send a series of the whole chest.",
    )


def _values(series: Series) -> Refusal | None:
    header = series.headers[0]
    if str(header.get("RescaleType", "HU")).upper() in ("HU", "US", ""):
        return None
    return Refusal(
        code="not-hounsfield",
        reason=f"Pixel values are in {header.RescaleType}, not in Hounsfield units.",
        remedy="Send a reconstruction in Hounsfield units.",
    )
