"""What two networks and their mean say, as measurements and answers whose names alone tell what they are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.codes import NO_UNITS, PERCENT, SCHEME, SLICES_USED
from inference.coding import Code
from inference.findings import Category, Measurement
from inference.severity.network import LEVELS
from inference.severity.reading import Reading

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
        """The level; its share is a number beside it, as a certainty it is not."""
        concept = Code(f"{self.code}SEVERITY", SCHEME, f"Severity, {self.name}")
        return Category(concept=concept, value=_ANSWERS[self.level - 1])

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
        name="mean",
        levels=np.mean([said.levels for said in each], axis=0),
        covid=float(np.mean([said.covid for said in each])),
    )
    return mean, *each


def headlines(mean: Said) -> tuple[Measurement, Measurement]:
    """Return the share of the mean's level, and its score for COVID-19."""
    return mean.share(mean.level), mean.covid_score


def of_each(*networks: Said, slices: int) -> Iterator[Measurement]:
    """Yield the share of each network's own level, how many slices they were shown, and their scores for COVID-19."""
    yield from (network.share(network.level) for network in networks)
    yield Measurement(concept=SLICES_USED, value=slices, unit=NO_UNITS)
    yield from (network.covid_score for network in networks)


def other_levels(*voices: Said) -> Iterator[Measurement]:
    """Yield the share of every level that is not the one said."""
    for said in voices:
        yield from (said.share(level) for level in range(1, LEVELS + 1) if level != said.level)


def disagreement(*networks: Said) -> tuple[str, ...]:
    """Return a warning where networks are levels apart."""
    levels = [network.level for network in networks]
    if max(levels) - min(levels) < _FAR_APART:
        return ()
    told = ", ".join(f"{network.name} says level {network.level}" for network in networks)
    return (f"The networks disagree, and their mean says little: {told}.",)


def _percent(concept: Code, share: float) -> Measurement:
    return Measurement(concept=concept, value=100.0 * share, unit=PERCENT)
