"""What two networks and their mean say, as measurements and answers whose names alone tell what they are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from inference.codes import PERCENT, SCHEME
from inference.findings import Category, Measurement
from inference.severity.network import LEVELS
from inference.severity.reading import Reading

_MEAN = "mean of LTC and I3D"
_ANSWERS = tuple(Code(f"SEVLEVEL{n}", SCHEME, f"Level {n} of {LEVELS}") for n in range(1, LEVELS + 1))
_FAR_APART = 2
"""Levels between which two networks are worth a warning; our choice."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Said:
    """What one network says, or the mean of several.

    Attributes
    ----------
    code : str
        Begins the code of every number.
    name : str
        Who says it.
    levels : ndarray of float64, shape (LEVELS,)
        Shares of 1, from level 1 on.
    covid : float
        From 0 to 1.
    """

    code: str
    name: str
    levels: NDArray[np.float64]
    covid: float

    @property
    def level(self) -> int:
        """The level with the highest share, from 1; of equal ones the lowest."""
        return int(self.levels.argmax()) + 1

    @property
    def answer(self) -> Category:
        """The level, and its share as confidence."""
        concept = Code(f"{self.code}SEVERITY", SCHEME, f"Severity, {self.name}")
        return Category(concept=concept, value=_ANSWERS[self.level - 1], confidence=float(self.levels.max()))

    def share(self, level: int) -> Measurement:
        """Return the share of a level."""
        meaning = f"Severity level {level} of {LEVELS}, {self.name}, uncalibrated"
        return _percent(Code(f"{self.code}SEV{level}", SCHEME, meaning), float(self.levels[level - 1]))

    @property
    def covid_score(self) -> Measurement:
        """The score for COVID-19."""
        return _percent(Code(f"{self.code}COVID", SCHEME, f"COVID-19 score, {self.name}, uncalibrated"), self.covid)


def voices(readings: Mapping[str, Reading]) -> tuple[Said, ...]:
    """Return the mean of all networks, then each of them."""
    each = [Said(code=name, name=name, levels=said.levels, covid=said.covid) for name, said in readings.items()]
    mean = Said(
        code="MEAN",
        name=_MEAN,
        levels=np.mean([said.levels for said in each], axis=0),
        covid=float(np.mean([said.covid for said in each])),
    )
    return mean, *each


def headlines(mean: Said) -> tuple[Measurement, Measurement]:
    """Return the mean's level with its share, and its score for COVID-19."""
    return mean.share(mean.level), mean.covid_score


def rest(mean: Said, *networks: Said) -> Iterator[Measurement]:
    """Yield every other number: scores for COVID-19 before levels."""
    yield from (network.covid_score for network in networks)
    yield from (mean.share(level) for level in range(1, LEVELS + 1) if level != mean.level)
    for network in networks:
        yield from (network.share(level) for level in range(1, LEVELS + 1))


def disagreement(*networks: Said) -> tuple[str, ...]:
    """Return a warning where networks are levels apart."""
    levels = [network.level for network in networks]
    if max(levels) - min(levels) < _FAR_APART:
        return ()
    told = ", ".join(f"{network.name} says level {network.level}" for network in networks)
    return (f"The networks disagree: {told}; their mean may be a level that neither of them means.",)


def _percent(concept: Code, share: float) -> Measurement:
    return Measurement(concept=concept, value=100.0 * share, unit=PERCENT)
