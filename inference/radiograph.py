"""One X-ray image loaded: what a person sees of it, as numbers, and where its pixels lie.

Takes the road of PS3.4 N.2: stored values, Modality LUT, VOI LUT, and the sense of the grayscale. Images come as CR,
DX or, from archives and de-identified, as Secondary Capture.

References
----------
PS3.3 C.11.1 Modality LUT, C.11.2 VOI LUT, C.7.6.3.1.2 Photometric Interpretation, C.7.6.1.1.1 Patient Orientation,
10.7.1.3 Pixel Spacing and Imager Pixel Spacing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence as DicomSequence

from inference.decoding import UndecodableError, decode_stored
from inference.findings import Refusal, SelectionRefusedError
from inference.geometry import Geometry
from inference.upright import Upright, upright

_MAX_PIXEL_MM = 5.0
_WHOLE = re.compile(r"[+-]?\d{1,9}")
_LEAST_SHARE_BETWEEN = 0.02
"""Of the pixels, between black and white: what a window that shows anything leaves."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False, weakref_slot=True)
class Radiograph:
    """One X-ray image in memory.

    Attributes
    ----------
    header : Dataset
        Without its pixel data.
    pixel_array : ndarray of float32, shape (1, rows, columns)
        In [0, 1], bright is dense; as the pixels are stored, not turned upright.
    geometry : Geometry
        A synthetic frame: first pixel at 0/0/0, rows along x, columns along y. Not anatomical; spacing in mm where
        `is_spacing_known`, else 1.
    is_spacing_known : bool
        Whether pixels have a size: of the image receptor, unless it was calibrated.
    has_pixel_spacing : bool
        Whether Pixel Spacing (0028,0030) itself is there, which some viewers need.
    upright : Upright
        How to turn the pixels to look at them.
    is_window_ignored : bool
        Whether the image's own window or VOI LUT shows nothing and was left out.
    """

    header: Dataset
    pixel_array: NDArray[np.float32]
    geometry: Geometry
    is_spacing_known: bool
    has_pixel_spacing: bool
    upright: Upright
    is_window_ignored: bool = False

    @property
    def headers(self) -> tuple[Dataset, ...]:
        """The header, as a series has one for each slice."""
        return (self.header,)

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """The SOP Instance UID, as a series has one for each slice."""
        return (str(self.header.SOPInstanceUID),)

    @property
    def upright_image(self) -> NDArray[np.float32]:
        """The image as a person looks at it, shape (rows, columns), the patient's right at the left."""
        return np.ascontiguousarray(self.upright.turn(self.pixel_array[0]))

    @property
    def pixel_area_mm2(self) -> float | None:
        """Area of a pixel; None where its size is not known."""
        _, rows_mm, columns_mm = self.geometry.spacing_mm
        return rows_mm * columns_mm if self.is_spacing_known else None


def load(path: Path) -> Radiograph:
    """Read and decode one X-ray image.

    Raises
    ------
    SelectionRefusedError
        If the file holds no single grayscale image, or its pixel data cannot be decoded.
    """
    header = pydicom.dcmread(path, stop_before_pixels=True)
    _check(header)
    turned = upright(_texts(header, "PatientOrientation"))
    if turned is None:
        raise SelectionRefusedError(_NOT_FRONTAL)
    try:
        stored = decode_stored(path, header)
    except UndecodableError as error:
        raise SelectionRefusedError(error.refusal) from error
    values, is_window_ignored = _displayed(stored, header)
    spacing, is_known, is_own = _spacing(header)
    return Radiograph(
        header=header,
        pixel_array=values[np.newaxis],
        geometry=synthetic_geometry(spacing),
        is_spacing_known=is_known,
        has_pixel_spacing=is_own,
        upright=turned,
        is_window_ignored=is_window_ignored,
    )


def synthetic_geometry(pixel_spacing_mm: tuple[float, float]) -> Geometry:
    """Return the frame that everything about a radiograph lies in; spacing between rows and columns, in mm."""
    return Geometry(
        origin_mm=(0.0, 0.0, 0.0),
        row_direction=(1.0, 0.0, 0.0),
        column_direction=(0.0, 1.0, 0.0),
        slice_direction=(0.0, 0.0, 1.0),
        spacing_mm=(1.0, *pixel_spacing_mm),
    )


_NOT_FRONTAL = Refusal(
    code="not-frontal",
    reason="Patient Orientation says that the image is not a frontal one.",
    remedy="If it is, correct Patient Orientation (0020,0020) and send it again.",
)


_NO_MODALITY = Refusal(
    code="no-rescale",
    reason="Rescale Slope, Rescale Intercept or the Modality LUT cannot be applied: malformed, or no number.",
    remedy="Correct (0028,1052), (0028,1053) or (0028,3000), and send the image again.",
)


def _check(header: Dataset) -> None:
    frames, samples = _number(header, "NumberOfFrames") or 1, _number(header, "SamplesPerPixel") or 1
    photometric = _photometric(header)
    if frames > 1:
        raise SelectionRefusedError(
            Refusal(code="multi-frame", reason=f"The image has {frames} frames.", remedy="Send single images.")
        )
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise SelectionRefusedError(
            Refusal(
                code="not-grayscale",
                reason=f"The image is not grayscale ({photometric or 'no Photometric Interpretation'}).",
                remedy="Send the image as MONOCHROME1 or MONOCHROME2.",
            )
        )


def _photometric(header: Dataset) -> str:
    return " ".join(_texts(header, "PhotometricInterpretation")).strip().upper()


def _modality(stored: NDArray[np.int32], header: Dataset) -> NDArray[np.generic]:
    """Return values after the Modality LUT; an empty pair of slope and intercept counts as none."""
    if not any(_texts(header, name) for name in ("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence")):
        return stored
    try:
        values = np.asarray(apply_modality_lut(stored, header))
    except Exception:  # noqa: BLE001 - a malformed table, slope or intercept raises anything, and quotes the header
        values = np.asarray(np.nan)
    if not np.isfinite(values).all():
        raise SelectionRefusedError(_NO_MODALITY)
    return values


def _displayed(stored: NDArray[np.int32], header: Dataset) -> tuple[NDArray[np.float32], bool]:
    """Return what a display shows, from 0, black, to 1, and whether the image's own window was left out."""
    padding = _padding(stored, header)
    modality = _modality(stored, header)
    try:
        shown = np.asarray(apply_voi_lut(modality, header))
    except Exception:  # noqa: BLE001 - a malformed window or LUT raises anything; the image can be seen without
        shown = modality
    values = _scaled(shown, ~padding)
    between = int(np.count_nonzero((values > 0.0) & (values < 1.0) & ~padding))
    is_ignored = shown is not modality and between < _LEAST_SHARE_BETWEEN * values.size
    if is_ignored:
        values = _scaled(modality, ~padding)
    if _photometric(header) == "MONOCHROME1":
        values = np.float32(1.0) - values
    values[padding] = 0.0
    return values, is_ignored


def _scaled(values: NDArray[np.generic], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    known = values[inside]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    if not high > low:
        return np.zeros(values.shape, dtype=np.float32)
    scaled: NDArray[np.float32] = (values.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return scaled.clip(0.0, 1.0)


def _padding(stored: NDArray[np.int32], header: Dataset) -> NDArray[np.bool_]:
    """Return where the image is not: Pixel Padding Value (0028,0120), up to its limit (0028,0121)."""
    limits = [_number(header, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if limits[0] is None:
        return np.zeros(stored.shape, dtype=bool)
    ends = [limit for limit in limits if limit is not None]
    return np.asarray((stored >= min(ends)) & (stored <= max(ends)))


def _spacing(header: Dataset) -> tuple[tuple[float, float], bool, bool]:
    """Return the distances between rows and columns, whether they are in mm, and whether from Pixel Spacing."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        values = [_float(value) for value in _values(header, keyword)]
        if len(values) == 2 and all(0.0 < value < _MAX_PIXEL_MM for value in values):
            return (values[0], values[1]), True, keyword == "PixelSpacing"
    aspect = [_float(value) for value in _values(header, "PixelAspectRatio")]
    if len(aspect) == 2 and all(0.0 < value < np.inf for value in aspect):
        return (aspect[0] / aspect[1], 1.0), False, False
    return (1.0, 1.0), False, False


def _values(header: Dataset, keyword: str) -> Sequence[object]:
    try:
        value = header.get(keyword)
    except Exception:  # noqa: BLE001 - a malformed element raises anything when its value is first read
        return ()
    if value is None or value == "":
        return ()
    return tuple(value) if isinstance(value, MultiValue | DicomSequence) else (value,)


def _texts(header: Dataset, keyword: str) -> tuple[str, ...]:
    return tuple(str(value) for value in _values(header, keyword))


def _float(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return np.nan


def _number(header: Dataset, keyword: str) -> int | None:
    values = _values(header, keyword)
    return int(str(values[0])) if len(values) == 1 and _WHOLE.fullmatch(str(values[0])) else None
