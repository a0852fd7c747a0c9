"""Scores and what went into them -> measurements, each named so that its name alone says what it is."""

from collections.abc import Iterator

from inference.balaitous.demographics import AgeSource, Demographics
from inference.balaitous.regressions import OUTCOMES, VIEWS, Scores
from inference.codes import NO_UNITS, PERCENT, SCHEME, SLICES_USED
from inference.coding import Code
from inference.findings import Measurement

# Neither (122157, DCM, "Probability"), which they are not, nor (111012, DCM, "Certainty of Finding"), which names no
# finding: viewers show the meaning of a number and nothing around it.
COVID = Code("COVIDSCORE", SCHEME, "COVID-19, uncalibrated score")
SEVERE = Code("SEVERESCORE", SCHEME, "Severe outcome given COVID-19, uncalibrated score")
_PARTS = {
    ("full", "covid"): Code("COVIDFULL", SCHEME, "COVID-19, score of whole slices alone"),
    ("lung", "covid"): Code("COVIDLUNG", SCHEME, "COVID-19, score of lungs alone"),
    ("full", "severe"): Code("SEVEREFULL", SCHEME, "Severe outcome given COVID-19, score of whole slices alone"),
    ("lung", "severe"): Code("SEVERELUNG", SCHEME, "Severe outcome given COVID-19, score of lungs alone"),
}
_AGES = {
    AgeSource.HEADER: Code("AGEHEADER", SCHEME, "Age used, from Patient's Age"),
    AgeSource.DATES: Code("AGEDATES", SCHEME, "Age used, from birth and study dates"),
    AgeSource.ASSUMED: Code("AGEASSUMED", SCHEME, "Age assumed, as none is known"),
}
_SEX_STATED = Code("SEXHEADER", SCHEME, "Sex used (1 male, 0 female), from Patient's Sex")
_SEX_ASSUMED = Code("SEXASSUMED", SCHEME, "Sex assumed, between male and female")
_YEARS = Code("a", "UCUM", "year")


def score_measurements(scores: Scores) -> tuple[Measurement, Measurement]:
    """Return both scores, in % of the greatest that there can be."""
    return _percent(COVID, scores.covid), _percent(SEVERE, scores.severe)


def part_measurements(scores: Scores) -> Iterator[Measurement]:
    """Yield what each regression says by itself."""
    for outcome in OUTCOMES:
        for view in VIEWS:
            yield _percent(_PARTS[view, outcome], scores.probability(view, outcome))


def told_measurements(patient: Demographics, slices: int) -> Iterator[Measurement]:
    """Yield what went into the scores beside the pixels, and how many slices did."""
    yield Measurement(concept=_AGES[patient.age_from], value=patient.age_years, unit=_YEARS)
    sex = _SEX_STATED if patient.is_sex_stated else _SEX_ASSUMED
    yield Measurement(concept=sex, value=patient.sex, unit=NO_UNITS)
    yield Measurement(concept=SLICES_USED, value=slices, unit=NO_UNITS)


def _percent(concept: Code, share: float) -> Measurement:
    return Measurement(concept=concept, value=100.0 * share, unit=PERCENT)
