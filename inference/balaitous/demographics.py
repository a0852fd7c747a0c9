"""Age and sex of the patient as the severity regressions take them, and where they were had.

References
----------
PS3.5 6.2 (AS, DA); PS3.3 C.7.1.1 (Patient), C.7.2.2 (Patient Study).
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from pydicom.dataset import Dataset

KEYWORDS = ("PatientAge", "PatientBirthDate", "StudyDate", "PatientSex")
"""All that is read of a header."""

ASSUMED_AGE, ASSUMED_SEX = 65.0, 0.5
_SEXES = {"M": 1.0, "F": 0.0}
_AGE = re.compile(r"(\d{1,3})([DWMY]?)")
_DAYS_IN_YEAR = 365.25
_UNITS_IN_YEAR = {"D": _DAYS_IN_YEAR, "W": _DAYS_IN_YEAR / 7, "M": 12.0, "Y": 1.0, "": 1.0}
_OLDEST = 120.0
_ADULT = 18.0
_AGREES_WITHIN_YEARS = 2.0
_LOWEST, _HIGHEST = 0.25, 0.95
"""Of age / 100, as the regressions were trained."""


class AgeSource(StrEnum):
    """Where an age was had."""

    HEADER = "Patient's Age"
    DATES = "birth and study dates"
    ASSUMED = "assumed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Demographics:
    """What the severity regressions are told of a patient.

    Attributes
    ----------
    age_years : float
        Before it is clipped.
    age_from : AgeSource
        Where it was had.
    sex : float
        1 male, 0 female, 0.5 neither or unknown.
    is_sex_stated : bool
        Whether the header says male or female.
    warnings : tuple of str
        What was missing, impossible or contradictory.
    """

    age_years: float
    age_from: AgeSource
    sex: float
    is_sex_stated: bool
    warnings: tuple[str, ...] = ()

    @property
    def covariates(self) -> tuple[float, float]:
        """Age / 100, clipped to [0.25, 0.95], and sex."""
        return min(max(self.age_years / 100.0, _LOWEST), _HIGHEST), self.sex


def demographics(headers: Sequence[Dataset]) -> Demographics:
    """Read age and sex.

    Patient's Age (0010,1010) counts before the time from birth to study; of slices that disagree, what most say.

    Parameters
    ----------
    headers : sequence of Dataset
        Of all slices.
    """
    stated_age, birth, study, stated_sex = (_said_by_most(headers, keyword) for keyword in KEYWORDS)
    age, elapsed = _years(stated_age), _elapsed_years(birth, study)
    sex = _SEXES.get(stated_sex.upper())
    known = age if age is not None else elapsed
    return Demographics(
        age_years=ASSUMED_AGE if known is None else known,
        age_from=AgeSource.HEADER if age is not None else AgeSource.ASSUMED if elapsed is None else AgeSource.DATES,
        sex=ASSUMED_SEX if sex is None else sex,
        is_sex_stated=sex is not None,
        warnings=(
            *_of_age(stated_age, age, elapsed),
            *_of_sex(stated_sex, sex),
            *_of_contradictions(headers),
        ),
    )


def _said_by_most(headers: Sequence[Dataset], keyword: str) -> str:
    said = _said(headers, keyword)
    return said.most_common(1)[0][0] if said else ""


def _said(headers: Sequence[Dataset], keyword: str) -> Counter[str]:
    """Count what headers say; nothing said contradicts nothing."""
    texts = (str(header.get(keyword) or "").strip() for header in headers)
    return Counter(text for text in texts if text)


def _years(stated: str) -> float | None:
    """Return the years of an Age String; None for what no living person can be, as ``000Y`` and ``999Y``."""
    parts = _AGE.fullmatch(stated.upper())
    years = int(parts[1]) / _UNITS_IN_YEAR[parts[2]] if parts else 0.0
    return years if 0.0 < years <= _OLDEST else None


def _elapsed_years(birth: str, study: str) -> float | None:
    born, seen = _date(birth), _date(study)
    years = (seen - born).days / _DAYS_IN_YEAR if born and seen else 0.0
    return years if 0.0 < years <= _OLDEST else None


def _date(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - DA has no zone
    except ValueError:
        return None


def _of_age(stated: str, age: float | None, elapsed: float | None) -> Iterator[str]:
    known = age if age is not None else elapsed
    if stated and age is None:
        yield "Patient's Age in the header is impossible and was not used."
    if known is None:
        yield f"Age unknown: {ASSUMED_AGE:.0f} years were assumed for the severity score."
    elif known < _ADULT:
        yield f"The patient is {known:.0f} years old: only adults were studied, and age counts as at least 25."
    if age is not None and elapsed is not None and abs(age - elapsed) >= _AGREES_WITHIN_YEARS:
        yield f"Patient's Age says {age:.0f} years, birth and study dates say {elapsed:.0f}: {age:.0f} was used."


def _of_sex(stated: str, sex: float | None) -> Iterator[str]:
    if sex is None:
        unknown = "Sex is neither male nor female" if stated else "Sex unknown"
        yield f"{unknown}: the value between the two was used for the severity score."


def _of_contradictions(headers: Sequence[Dataset]) -> Iterator[str]:
    differing = [keyword for keyword in KEYWORDS if len(_said(headers, keyword)) > 1]
    if differing:
        yield f"Slices differ in {', '.join(differing)}: what most of them say was used."
