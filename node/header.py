"""What selection and routing read of an instance: a few attributes, typed, tolerant of what real headers hold.

Made once by the indexer, kept as JSON beside the instance's row.

References
----------
PS3.3 C.7.6.2 Image Plane, C.8.2.1 CT Image, C.7.3.1 General Series, C.7.2.2 Patient Study, C.8.11.1 DX Series,
C.11.1 Modality LUT, C.11.2 VOI LUT, 10.7 Pixel Spacing.
"""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from node.attributes import (
    acquired_at,
    age_years,
    decimal_of,
    decimals_of,
    lookup_tables_of,
    text_of,
    texts_of,
    texts_of_items,
    whole_number_of,
)
from node.coded_attributes import coded_body_part, coded_view, rejected_instances

_EQUIPMENT = ("ContributingEquipmentSequence",)


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceHeader:
    """Attributes by their keyword; None or empty where absent or malformed.

    `patient_age_years` is Patient's Age (0010,1010), else the time from birth to study; `view_position` is View
    Position (0018,5101), else what View Code Sequence (0054,0220) means by its terms; `body_part_examined` is Body
    Part Examined (0018,0015), else what Anatomic Region Sequence (0008,2218) means. Of lookup tables a hash is kept.
    `rejected_instance_uids` are those that a key object takes out.
    """

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str = ""
    modality: str = ""
    image_type: tuple[str, ...] = ()
    series_number: int | None = None
    series_description: str = ""
    body_part_examined: str = ""
    acquisition_number: int | None = None
    instance_number: int | None = None
    number_of_frames: int | None = None
    rows: int | None = None
    columns: int | None = None
    pixel_spacing: tuple[float, ...] | None = None
    slice_thickness: float | None = None
    convolution_kernel: str = ""
    image_position_patient: tuple[float, ...] | None = None
    image_orientation_patient: tuple[float, ...] | None = None
    rescale_slope: float | None = None
    rescale_intercept: float | None = None
    contributing_manufacturers: tuple[str, ...] = ()
    contributing_device_uids: tuple[str, ...] = ()
    study_date: str = ""
    study_description: str = ""
    patient_age: str = ""
    patient_age_years: float | None = None
    patient_birth_date: str = ""
    patient_sex: str = ""
    patient_position: str = ""
    view_position: str = ""
    contrast_bolus_agent: str = ""
    presentation_intent_type: str = ""
    samples_per_pixel: int | None = None
    photometric_interpretation: str = ""
    patient_orientation: tuple[str, ...] = ()
    window_center: tuple[float, ...] | None = None
    window_width: tuple[float, ...] | None = None
    voi_lut_function: str = ""
    voi_lut_sequence: str = ""
    modality_lut_sequence: str = ""
    pixel_padding_value: int | None = None
    pixel_padding_range_limit: int | None = None
    imager_pixel_spacing: tuple[float, ...] | None = None
    nominal_scanned_pixel_spacing: tuple[float, ...] | None = None
    pixel_aspect_ratio: tuple[float, ...] | None = None
    acquired_at: str = ""
    irradiation_event_uid: tuple[str, ...] = ()
    source_instance_uids: tuple[str, ...] = ()
    rejected_instance_uids: tuple[str, ...] = ()

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> "InstanceHeader":
        """Read the attributes from a data set."""
        plain: dict[str, Any] = {field_of(keyword): read(dataset, keyword) for keyword, read in _READERS.items()}
        derived: dict[str, Any] = {
            "view_position": plain["view_position"] or coded_view(dataset),
            "body_part_examined": plain["body_part_examined"] or coded_body_part(dataset),
            "convolution_kernel": "\\".join(texts_of(dataset, "ConvolutionKernel")),
            "patient_age_years": age_years(dataset),
            "acquired_at": acquired_at(dataset),
            "contributing_manufacturers": texts_of_items(dataset, _EQUIPMENT, "Manufacturer"),
            "contributing_device_uids": texts_of_items(dataset, _EQUIPMENT, "DeviceUID"),
            "source_instance_uids": texts_of_items(dataset, ("SourceImageSequence",), "ReferencedSOPInstanceUID"),
            "rejected_instance_uids": rejected_instances(dataset),
        }
        return cls(**(plain | derived))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "InstanceHeader":
        """Read back what `to_json` made; attributes unknown to this version are left out."""
        names = {field.name for field in dataclasses.fields(cls)}
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names}
        return cls(**known)

    @staticmethod
    def is_current(values: Mapping[str, Any]) -> bool:
        """Say whether what `to_json` made holds all that this version reads."""
        return values.get("edition") == _EDITION

    def to_json(self) -> dict[str, Any]:
        """Return the attributes that are present, and their edition, for a JSON column."""
        present = {k: v for k, v in dataclasses.asdict(self).items() if v not in (None, "", ())}
        return present | {"edition": _EDITION}


_EDITION = hashlib.sha256(" ".join(field.name for field in dataclasses.fields(InstanceHeader)).encode()).hexdigest()[:8]
"""Changes with the attributes that are read; by it a header is known that an earlier version read."""


def field_of(keyword: str) -> str:
    """Return the name of the field of an attribute, given by its DICOM keyword: snake_case."""
    words = keyword.replace("VOILUT", "VOI_LUT")  # the one keyword that joins two abbreviations
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", words).lower()


def _exactly(count: int) -> Callable[[Dataset, str], tuple[float, ...] | None]:
    def read(dataset: Dataset, keyword: str) -> tuple[float, ...] | None:
        values = decimals_of(dataset, keyword)
        return values if values is not None and len(values) == count else None

    return read


_TEXTS = (
    "SOPInstanceUID",
    "SOPClassUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "SeriesDescription",
    "BodyPartExamined",
    "StudyDate",
    "StudyDescription",
    "PatientAge",
    "PatientBirthDate",
    "PatientSex",
    "PatientPosition",
    "ViewPosition",
    "ContrastBolusAgent",
    "PresentationIntentType",
    "PhotometricInterpretation",
    "VOILUTFunction",
)
_WHOLE_NUMBERS = (
    "SeriesNumber",
    "AcquisitionNumber",
    "InstanceNumber",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
)
_PAIRS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
_READERS: Mapping[str, Callable[[Dataset, str], object]] = {
    **dict.fromkeys(_TEXTS, text_of),
    **dict.fromkeys(("ImageType", "PatientOrientation", "IrradiationEventUID"), texts_of),
    **dict.fromkeys(_WHOLE_NUMBERS, whole_number_of),
    **dict.fromkeys(("SliceThickness", "RescaleSlope", "RescaleIntercept"), decimal_of),
    **dict.fromkeys(("WindowCenter", "WindowWidth"), decimals_of),
    **dict.fromkeys(_PAIRS, _exactly(2)),
    **dict.fromkeys(("ImagePositionPatient",), _exactly(3)),
    **dict.fromkeys(("ImageOrientationPatient",), _exactly(6)),
    **dict.fromkeys(("VOILUTSequence", "ModalityLUTSequence"), lookup_tables_of),
}
"""By keyword, of attributes that are kept as they stand."""
