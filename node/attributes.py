"""Reading single attributes of a data set, tolerant of what real headers hold: absent, empty, malformed.

References
----------
PS3.5 6.2 for the value representations; PS3.3 C.11.1, C.11.2 for lookup tables.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, TypeVar

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

_Number = TypeVar("_Number", int, float)
_LIMIT = 2**31
_TO_THE_SECOND = re.compile(r"\d{6}(\.\d*)?")
_AGE = re.compile(r"(\d{3})([DWMY])")
_DAYS_IN_YEAR = 365.25
_AGE_UNITS_IN_YEAR = {"D": _DAYS_IN_YEAR, "W": _DAYS_IN_YEAR / 7, "M": 12.0, "Y": 1.0}


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return an attribute as text; empty where absent or malformed."""
    value = _value(dataset, keyword)
    return "" if value is None else str(value).strip()


def texts_of(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of an attribute as texts."""
    value = _value(dataset, keyword)
    if value is None or value == "":
        return ()
    return (value.strip(),) if isinstance(value, str) else tuple(str(v).strip() for v in value)


def items_of(dataset: Dataset, *sequences: str) -> list[Dataset]:
    """Return the items of a sequence, or of the last of nested ones; none where one is absent or malformed."""
    items = [dataset]
    for sequence in sequences:
        found = [_value(item, sequence) for item in items]
        items = [item for value in found if isinstance(value, Sequence) for item in value]
    return items


def texts_of_items(dataset: Dataset, sequences: Iterable[str], keyword: str) -> tuple[str, ...]:
    """Return the values of an attribute in the items of nested sequences."""
    return tuple(text for item in items_of(dataset, *sequences) if (text := text_of(item, keyword)))


def whole_number_of(dataset: Dataset, keyword: str) -> int | None:
    """Return an integer, None where there is none."""
    return _number(dataset, keyword, int)


def decimal_of(dataset: Dataset, keyword: str) -> float | None:
    """Return a decimal number, None where there is none."""
    return _number(dataset, keyword, float)


def decimals_of(dataset: Dataset, keyword: str) -> tuple[float, ...] | None:
    """Return one decimal number or more, None where one of them is none."""
    value = _value(dataset, keyword)
    try:
        values = tuple(float(v) for v in ([value] if isinstance(value, str | float | int) else value))
    except (TypeError, ValueError, OverflowError):
        return None
    return values if values and all(abs(value) < _LIMIT for value in values) else None


def lookup_tables_of(dataset: Dataset, keyword: str) -> str:
    """Return the SHA-256 of the lookup tables in a sequence, whatever their encoding; empty where there is none."""
    digest, count = hashlib.sha256(), 0
    for item in items_of(dataset, keyword):
        descriptor, data = _value(item, "LUTDescriptor"), _value(item, "LUTData")
        try:
            digest.update(np.asarray(descriptor, dtype=np.int64).astype(np.uint16).tobytes())
            # OW is read as bytes, US as numbers; a peer may send the same table as either
            digest.update(data if isinstance(data, bytes) else np.asarray(data, dtype=np.uint16).tobytes())
        except (TypeError, ValueError, OverflowError):
            continue
        count += 1
    return digest.hexdigest() if count else ""


def age_years(dataset: Dataset) -> float | None:
    """Return Patient's Age (0010,1010), else the time from birth to study."""
    if stated := _AGE.fullmatch(text_of(dataset, "PatientAge").upper()):
        return round(int(stated[1]) / _AGE_UNITS_IN_YEAR[stated[2]], 2)
    born, seen = _date(dataset, "PatientBirthDate"), _date(dataset, "StudyDate")
    if born is None or seen is None or seen < born:
        return None
    return round((seen - born).days / _DAYS_IN_YEAR, 2)


def acquired_at(dataset: Dataset) -> str:
    """Return date and time of acquisition; empty where they do not tell one exposure from the next.

    De-identification leaves midnight of a time, and some devices write the time of the study into every image.
    """
    moment = re.split("[+-]", text_of(dataset, "AcquisitionDateTime"))[0]
    day, time = moment[:8], moment[8:]
    if not moment:
        day, time = text_of(dataset, "AcquisitionDate"), text_of(dataset, "AcquisitionTime")
    if not _TO_THE_SECOND.fullmatch(time) or time.startswith("000000") or time == text_of(dataset, "StudyTime"):
        return ""
    whole, _, fraction = time.partition(".")
    return f"{day} {whole}.{fraction.rstrip('0')}".strip(" .")


def _value(dataset: Dataset, keyword: str) -> Any:  # noqa: ANN401 - a DICOM value has no common type
    try:
        return dataset.get(keyword)
    except Exception:  # noqa: BLE001 - a malformed element raises anything when its value is first read
        return None


def _number(dataset: Dataset, keyword: str, kind: type[_Number]) -> _Number | None:
    """Return a number within the range of IS (PS3.5 6.2), as no database holds more; None where there is none."""
    try:
        number = kind(_value(dataset, keyword))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < _LIMIT else None


def _date(dataset: Dataset, keyword: str) -> date | None:
    try:
        return datetime.strptime(text_of(dataset, keyword), "%Y%m%d").date()  # noqa: DTZ007 - DA has no zone
    except ValueError:
        return None
