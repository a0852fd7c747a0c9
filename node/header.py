"""What selection and routing read of an instance: a few attributes, typed, tolerant of what real headers hold.

Made once by the indexer, kept as JSON beside the instance's row.

References
----------
PS3.3 C.7.6.2 Image Plane, C.8.2.1 CT Image, C.7.3.1 General Series, C.7.2.2 Patient Study, C.8.11.1 DX Series.
PS3.5 6.2 for the value representations AS and DA.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

_Number = TypeVar("_Number", int, float)
_LIMIT = 2**31
_AGE = re.compile(r"(\d{3})([DWMY])")
_DAYS_IN_YEAR = 365.25
_AGE_UNITS_IN_YEAR = {"D": _DAYS_IN_YEAR, "W": _DAYS_IN_YEAR / 7, "M": 12.0, "Y": 1.0}
_VIEWS = {
    "272479007": "PA",
    "R-10214": "PA",
    "399348003": "AP",
    "R-10206": "AP",
    "399173006": "LL",
    "R-10236": "LL",
    "399198007": "RL",
    "R-10232": "RL",
}
"""CID 4010, in SNOMED CT and as older devices write it, in the terms of View Position (PS3.3 C.8.1.1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceHeader:
    """Attributes by their keyword; None or empty where absent or malformed.

    `patient_age_years` is Patient's Age (0010,1010), else the time from birth to study; `view_position` is View
    Position (0018,5101), else what View Code Sequence (0054,0220) means by its terms.
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
    study_description: str = ""
    patient_age_years: float | None = None
    patient_sex: str = ""
    patient_position: str = ""
    view_position: str = ""
    contrast_bolus_agent: str = ""
    presentation_intent_type: str = ""

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> "InstanceHeader":
        """Read the attributes from a data set."""
        return cls(
            sop_instance_uid=text_of(dataset, "SOPInstanceUID"),
            sop_class_uid=text_of(dataset, "SOPClassUID"),
            series_instance_uid=text_of(dataset, "SeriesInstanceUID"),
            frame_of_reference_uid=text_of(dataset, "FrameOfReferenceUID"),
            modality=text_of(dataset, "Modality"),
            image_type=_texts(dataset, "ImageType"),
            series_number=_number(dataset, "SeriesNumber", int),
            series_description=text_of(dataset, "SeriesDescription"),
            body_part_examined=text_of(dataset, "BodyPartExamined"),
            acquisition_number=_number(dataset, "AcquisitionNumber", int),
            instance_number=_number(dataset, "InstanceNumber", int),
            number_of_frames=_number(dataset, "NumberOfFrames", int),
            rows=_number(dataset, "Rows", int),
            columns=_number(dataset, "Columns", int),
            pixel_spacing=_numbers(dataset, "PixelSpacing", 2),
            slice_thickness=_number(dataset, "SliceThickness", float),
            convolution_kernel="\\".join(_texts(dataset, "ConvolutionKernel")),
            image_position_patient=_numbers(dataset, "ImagePositionPatient", 3),
            image_orientation_patient=_numbers(dataset, "ImageOrientationPatient", 6),
            rescale_slope=_number(dataset, "RescaleSlope", float),
            rescale_intercept=_number(dataset, "RescaleIntercept", float),
            study_description=text_of(dataset, "StudyDescription"),
            patient_age_years=_age_years(dataset),
            patient_sex=text_of(dataset, "PatientSex"),
            patient_position=text_of(dataset, "PatientPosition"),
            view_position=text_of(dataset, "ViewPosition") or _coded_view(dataset),
            contrast_bolus_agent=text_of(dataset, "ContrastBolusAgent"),
            presentation_intent_type=text_of(dataset, "PresentationIntentType"),
            contributing_manufacturers=_texts_of_items(dataset, "ContributingEquipmentSequence", "Manufacturer"),
            contributing_device_uids=_texts_of_items(dataset, "ContributingEquipmentSequence", "DeviceUID"),
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "InstanceHeader":
        """Read back what `to_json` made; attributes unknown to this version are left out."""
        names = {field.name for field in dataclasses.fields(cls)}
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names}
        return cls(**known)

    def to_json(self) -> dict[str, Any]:
        """Return the attributes that are present, for a JSON column."""
        return {k: v for k, v in dataclasses.asdict(self).items() if v not in (None, "", ())}


def _value(dataset: Dataset, keyword: str) -> Any:  # noqa: ANN401 - a DICOM value has no common type
    try:
        return dataset.get(keyword)
    except Exception:  # noqa: BLE001 - a malformed element raises anything when its value is first read
        return None


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return an attribute as text; empty where absent or malformed."""
    value = _value(dataset, keyword)
    return "" if value is None else str(value).strip()


def _texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    value = _value(dataset, keyword)
    if value is None or value == "":
        return ()
    return (value.strip(),) if isinstance(value, str) else tuple(str(v).strip() for v in value)


def _texts_of_items(dataset: Dataset, sequence: str, keyword: str) -> tuple[str, ...]:
    """Return the values of an attribute in the items of a sequence; none where the sequence is malformed."""
    items = _value(dataset, sequence)
    if not isinstance(items, Sequence):
        return ()
    return tuple(text for item in items if (text := text_of(item, keyword)))


def _number(dataset: Dataset, keyword: str, kind: type[_Number]) -> _Number | None:
    """Return a number within the range of IS (PS3.5 6.2), as no database holds more; None where there is none."""
    try:
        number = kind(_value(dataset, keyword))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < _LIMIT else None


def _numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    try:
        values = tuple(float(v) for v in _value(dataset, keyword))
    except (TypeError, ValueError, OverflowError):
        return None
    return values if len(values) == count and all(abs(value) < _LIMIT for value in values) else None


def _coded_view(dataset: Dataset) -> str:
    codes = _texts_of_items(dataset, "ViewCodeSequence", "CodeValue")
    return next((_VIEWS[code] for code in codes if code in _VIEWS), "")


def _age_years(dataset: Dataset) -> float | None:
    if stated := _AGE.fullmatch(text_of(dataset, "PatientAge").upper()):
        return round(int(stated[1]) / _AGE_UNITS_IN_YEAR[stated[2]], 2)
    born, seen = _date(dataset, "PatientBirthDate"), _date(dataset, "StudyDate")
    if born is None or seen is None or seen < born:
        return None
    return round((seen - born).days / _DAYS_IN_YEAR, 2)


def _date(dataset: Dataset, keyword: str) -> date | None:
    try:
        return datetime.strptime(text_of(dataset, keyword), "%Y%m%d").date()  # noqa: DTZ007 - DA has no zone
    except ValueError:
        return None
