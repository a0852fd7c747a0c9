"""The synthetic chest X-ray as DICOM: DX and CR as modalities write them, and as archives and careless people do.

References
----------
PS3.3 A.26 DX Image IOD, A.2 CR Image IOD, C.8.11 DX modules, C.8.1 CR modules, C.11.2 VOI LUT,
C.7.6.1.1.1 Patient Orientation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)

from phantom.cxr import RadiographPhantom, make_radiograph
from phantom.dicom import Header, identify, write

Pixels = NDArray[np.uint16]
_VIEWS = {
    "PA": codes.SCT.PosteroAnterior,
    "AP": codes.SCT.AnteroPosterior,
    "LL": codes.SCT.LeftLateral,
    "RL": codes.SCT.RightLateral,
    "LATERAL": codes.SCT.LateralProjection,
}
_TOWARDS_START = {"R", "H", "A"}


@dataclass(frozen=True, kw_only=True, slots=True)
class RadiographHeader(Header):
    """What the headers of a radiograph say; the rest are fields of `phantom.dicom.Header`.

    Attributes
    ----------
    modality : {'DX', 'CR'}
        Decides the SOP class too.
    view_position, body_part_examined : str or None
        None leaves the element out; "" leaves it empty.
    presentation_intent_type : str
        Of DX: "FOR PRESENTATION" or "FOR PROCESSING", which holds the detector's signal, dark where dense.
    patient_orientation : tuple of 2 str, or None
        Of the stored pixels, which are turned to it: ("L", "F") is upright, ("R", "F") mirrored, ("F", "L") transposed.
    photometric_interpretation : {'MONOCHROME2', 'MONOCHROME1'}
        Pixels are inverted to suit: the picture stays the same.
    bits_stored : int
        8 to 16.
    voi : {'window', 'lut', 'none'}
        How display values are made of stored ones: by a window that is half as wide as they could be, by a VOI LUT
        that is far from straight, or as they are.
    pixel_spacing, imager_pixel_spacing : bool
        Which of the two are there.
    """

    modality: Literal["DX", "CR"] = "DX"
    view_position: str | None = "PA"
    body_part_examined: str | None = "CHEST"
    presentation_intent_type: str = "FOR PRESENTATION"
    patient_orientation: tuple[str, str] | None = ("L", "F")
    photometric_interpretation: str = "MONOCHROME2"
    bits_stored: int = 12
    voi: Literal["window", "lut", "none"] = "window"
    pixel_spacing: bool = True
    imager_pixel_spacing: bool = True
    study_description: str = "XR CHEST (synthetic)"
    series_description: str = "Chest PA"
    accession_number: str = "A0002"
    study_id: str = "2"
    series_number: int = 1
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "")
    uid_entropy: str = "radiograph phantom"


def to_dataset(
    phantom: RadiographPhantom,
    header: RadiographHeader | None = None,
    *,
    instance_number: int = 1,
    **changes: Any,  # noqa: ANN401
) -> Dataset:
    """Make one image of a phantom.

    Parameters
    ----------
    phantom : RadiographPhantom
        From `phantom.cxr.make_radiograph`.
    header : RadiographHeader, optional
        What the header says. The default is a DX image for presentation, PA, as dciodvfy wants it.
    instance_number : int
        Tells repeats in one series apart.
    **changes
        Fields of `RadiographHeader` that differ, such as ``modality="CR"``.

    Returns
    -------
    Dataset
        Explicit VR little endian.
    """
    described = replace(header or RadiographHeader(), **changes)
    dataset = Dataset()
    identify(dataset, described, described.modality, instance_number, sop_class_uid=_sop_class(described))
    _describe_view(dataset, described)
    if described.modality == "DX":
        _add_dx_modules(dataset, described)
    if described.pixel_spacing:
        dataset.PixelSpacing = [f"{phantom.pixel_spacing_mm:g}"] * 2
    if described.imager_pixel_spacing:
        dataset.ImagerPixelSpacing = [f"{phantom.pixel_spacing_mm:g}"] * 2
    _add_pixels(dataset, turned(phantom.pixels, described.patient_orientation), described)
    return dataset


def turned(image: NDArray[Any], patient_orientation: Sequence[str] | None) -> NDArray[Any]:
    """Turn pixels or a mask of a phantom to how a header's Patient Orientation says that they are stored."""
    if patient_orientation is None:
        return image
    along_row, along_column = patient_orientation
    if along_row in ("F", "H"):
        image = image.T
    steps = tuple(-1 if end in _TOWARDS_START else 1 for end in (along_column, along_row))
    return np.ascontiguousarray(image[:: steps[0], :: steps[1]])


def lateral(phantom: RadiographPhantom, header: RadiographHeader | None = None, **changes: Any) -> Dataset:  # noqa: ANN401
    """Make a left lateral image of a phantom made with ``axis="lateral"``: a series of its own."""
    own: dict[str, Any] = {
        "view_position": "LL",
        "patient_orientation": ("P", "F"),
        "series_number": 2,
        "series_description": "Chest lateral",
    }
    return to_dataset(phantom, header, **(own | changes))


def write_radiograph_study(
    folder: Path,
    header: RadiographHeader | None = None,
    *,
    seed: int = 7,
    opacity: bool = True,
) -> list[Path]:
    """Write a study of a PA and a lateral image into a folder; return their paths in this order."""
    frontal = make_radiograph(seed=seed, opacity=opacity)
    side = make_radiograph(seed=seed, opacity=opacity, axis="lateral")
    return write(folder, [to_dataset(frontal, header), lateral(side, header)])


def _sop_class(header: RadiographHeader) -> str:
    if header.modality == "CR":
        return ComputedRadiographyImageStorage
    if header.presentation_intent_type == "FOR PROCESSING":
        return DigitalXRayImageStorageForProcessing
    return DigitalXRayImageStorageForPresentation


def _describe_view(dataset: Dataset, header: RadiographHeader) -> None:
    dataset.ImageType = list(header.image_type) if header.modality == "DX" else list(header.image_type[:2])
    if header.body_part_examined is not None:
        dataset.BodyPartExamined = header.body_part_examined
    if header.view_position is not None:
        dataset.ViewPosition = header.view_position
    if header.patient_orientation is not None:
        dataset.PatientOrientation = list(header.patient_orientation)
    dataset.KVP = "120"
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"


def _add_dx_modules(dataset: Dataset, header: RadiographHeader) -> None:
    dataset.PresentationIntentType = header.presentation_intent_type
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = [_item(Code("51185008", "SCT", "Chest"))]
    if header.view_position in _VIEWS:
        view = _item(_VIEWS[header.view_position])
        view.ViewModifierCodeSequence = []
        dataset.ViewCodeSequence = [view]
    dataset.AcquisitionContextSequence = []
    dataset.DetectorType = "DIRECT"
    dataset.PositionerType = "NONE"


def _item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _add_pixels(dataset: Dataset, display: Pixels, header: RadiographHeader) -> None:
    is_signal = header.presentation_intent_type == "FOR PROCESSING"
    is_inverse = header.photometric_interpretation == "MONOCHROME1"
    most = 2**header.bits_stored - 1
    values = display.astype(np.float64) / 4095
    stored = _stored(1 - values if is_signal or is_inverse else values, header)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, header.photometric_interpretation
    dataset.Rows, dataset.Columns = display.shape
    allocated = 8 if header.bits_stored <= 8 else 16
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, header.bits_stored, header.bits_stored - 1
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if is_signal or is_inverse else -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.PresentationLUTShape = "INVERSE" if is_inverse else "IDENTITY"
    if header.voi == "window":
        dataset.WindowCenter, dataset.WindowWidth = f"{(most + 1) / 2:g}", f"{(most + 1) / 2:g}"
    elif header.voi == "lut":
        dataset.VOILUTSequence = [_voi_lut(most)]
    kind = "OB" if allocated == 8 else "OW"
    dataset.add_new("PixelData", kind, np.rint(most * stored).astype("u1" if allocated == 8 else "<u2").tobytes())


def _stored(values: NDArray[np.float64], header: RadiographHeader) -> NDArray[np.float64]:
    """Undo what the VOI transformation will do: stored values, of 1, that it shows as `values`."""
    if header.voi == "window":
        return 0.25 + 0.5 * values
    return np.sqrt(values) if header.voi == "lut" else values


def _voi_lut(most: int) -> Dataset:
    """Give 4096 entries at most: a VOI LUT's first ones stand for all values that are stored lower."""
    entries = min(most + 1, 65535)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [entries, 0, 16])
    item.LUTExplanation = "square"
    table = np.rint(65535 * (np.arange(entries) / most) ** 2).astype("<u2")
    item.add_new("LUTData", "OW", table.tobytes())
    return item
