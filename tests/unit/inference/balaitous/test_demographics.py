"""Age and sex of a header as the severity regressions take them, and where they were had."""

import pytest
from pydicom.dataset import Dataset

from inference.balaitous.demographics import AgeSource, demographics


def headers(*differing, **attributes):
    """Return three headers, the last with other values."""
    found = []
    for index in range(3):
        header = Dataset()
        for keyword, value in (attributes | (differing[0] if differing and index == 2 else {})).items():
            setattr(header, keyword, value)
        found.append(header)
    return found


@pytest.mark.parametrize(
    ("stated", "years"),
    [
        ("045Y", 45),
        ("018M", 1.5),
        ("026W", 0.5),
        ("300D", 0.82),
        ("45Y", 45),
        ("080y ", 80),
        ("061", 61),
        ("120Y", 120),
    ],
)
def test_an_age_in_the_header_counts_in_years(stated, years):
    found = demographics(headers(PatientAge=stated, PatientSex="F"))
    assert found.age_years == pytest.approx(years, abs=0.01)
    assert found.age_from is AgeSource.HEADER


def test_without_it_the_time_from_birth_to_study_counts():
    found = demographics(headers(PatientBirthDate="19500301", StudyDate="20200301", PatientSex="M"))
    assert found.age_years == pytest.approx(70, abs=0.01)
    assert (found.age_from, found.warnings) == (AgeSource.DATES, ())


@pytest.mark.parametrize("stated", ["000Y", "999Y", "121Y", "Y", "45 years", "-45Y"])
def test_an_impossible_age_is_not_used_and_the_reader_is_told(stated):
    found = demographics(headers(PatientAge=stated, PatientBirthDate="19500301", StudyDate="20200301", PatientSex="M"))
    assert found.age_from is AgeSource.DATES
    assert found.warnings == ("Patient's Age in the header is impossible and was not used.",)


@pytest.mark.parametrize(
    ("birth", "study"),
    [
        ("", ""),
        ("19500301", ""),
        ("", "20200301"),
        ("20210101", "20200301"),
        ("18500101", "20200301"),
        ("1950", "2020"),
        ("20200301", "20200301"),
        ("19500231", "20200301"),
    ],
)
def test_without_a_plausible_age_65_years_are_assumed_and_the_reader_is_told(birth, study):
    found = demographics(headers(PatientBirthDate=birth, StudyDate=study, PatientSex="M"))
    assert (found.age_years, found.age_from) == (65.0, AgeSource.ASSUMED)
    assert found.warnings == ("Age unknown: 65 years were assumed for the severity score.",)


@pytest.mark.parametrize(
    ("age", "covariate"), [("045Y", 0.45), ("025Y", 0.25), ("019Y", 0.25), ("095Y", 0.95), ("101Y", 0.95)]
)
def test_age_is_clipped_as_the_regressions_were_trained(age, covariate):
    assert demographics(headers(PatientAge=age, PatientSex="F")).covariates == (pytest.approx(covariate), 0.0)


@pytest.mark.parametrize(("stated", "sex", "told"), [("M", 1.0, 0), ("F", 0.0, 0), ("O", 0.5, 1), ("", 0.5, 1)])
def test_sex_is_one_or_zero_and_between_where_it_is_neither(stated, sex, told):
    found = demographics(headers(PatientAge="045Y", PatientSex=stated))
    assert (found.sex, found.is_sex_stated) == (sex, not told)
    assert len(found.warnings) == told


def test_children_are_warned_about():
    (warning,) = demographics(headers(PatientAge="006Y", PatientSex="F")).warnings
    assert warning == "The patient is 6 years old: only adults were studied, and age counts as at least 25."


def test_an_age_that_contradicts_the_dates_is_used_and_told():
    found = demographics(headers(PatientAge="045Y", PatientBirthDate="19500301", StudyDate="20200301", PatientSex="F"))
    assert found.age_years == 45
    assert found.warnings == ("Patient's Age says 45 years, birth and study dates say 70: 45 was used.",)


def test_what_most_slices_say_counts_and_that_they_differ_is_told():
    found = demographics(headers({"PatientAge": "054Y"}, PatientAge="045Y", PatientSex="F"))
    assert found.age_years == 45
    assert found.warnings == ("Slices differ in PatientAge: what most of them say was used.",)


def test_a_slice_that_says_nothing_contradicts_none():
    assert demographics(headers({"PatientSex": ""}, PatientAge="045Y", PatientSex="F")).warnings == ()
