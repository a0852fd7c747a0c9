"""How far a number may be off: patients drawn anew, with replacement; and Wilson's interval for shares.

Images of one patient are no independent cases, so that whole patients are drawn, those with and those without a
positive image each among themselves.

References
----------
Efron and Tibshirani, An Introduction to the Bootstrap, 1993, 13.3 (percentile interval); Rutter, Acad Radiol 2000,
7:413-419 (patients as clusters); Wilson, J Am Stat Assoc 1927, 22:209-212.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
LEVEL = 0.95
_LEAST_PATIENTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """How often patients are drawn, and from which seed."""

    resamples: int = 1000
    seed: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A number and its 95 % interval.

    Attributes
    ----------
    value, low, high : float or None
        None where there is no such number; `low` and `high` where there is no honest interval, and `note` says why.
    images : int
        That it was measured on.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    images: int = 0
    note: str = ""


def weights(patients: Sequence[int], positive: Sequence[bool] | None, drawing: Drawing) -> Iterator[Floats]:
    """Yield how often each image counts, once for each drawing.

    Parameters
    ----------
    patients : sequence of int
        Of each image.
    positive : sequence of bool or None
        Whether each image is; None draws from all patients alike.
    drawing : Drawing
        How often, and from which seed.
    """
    strata, of_image = _strata(patients, positive)
    count, random = sum(map(len, strata)), np.random.default_rng(drawing.seed)
    for _ in range(drawing.resamples):
        drawn = np.concatenate([random.choice(group, group.size) for group in strata])
        yield np.bincount(drawn, minlength=count)[of_image].astype(np.float64)


def are_few(patients: Sequence[int], positive: Sequence[bool] | None) -> bool:
    """Say whether a group of patients is too small to be drawn from: it would hardly change, and seem certain."""
    return min(map(len, _strata(patients, positive)[0])) < _LEAST_PATIENTS


def _strata(patients: Sequence[int], positive: Sequence[bool] | None) -> tuple[list[Indices], Indices]:
    """Return patients with and without a positive image, as far as there are any, and the patient of each image."""
    names, of_image = np.unique(np.asarray(patients), return_inverse=True)
    marked = np.zeros(len(names), dtype=bool)
    if positive is not None:
        np.logical_or.at(marked, of_image, np.asarray(positive, dtype=bool))
    return [group for group in (np.flatnonzero(marked), np.flatnonzero(~marked)) if group.size], of_image


def between(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the percentile interval of drawn values; those that could not be had are left out."""
    known = np.asarray([value for value in values if np.isfinite(value)])
    if not known.size:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def mean(values: Sequence[float], patients: Sequence[int], drawing: Drawing) -> Estimate:
    """Return the mean over images, with its interval."""
    numbers = np.asarray(values, dtype=np.float64)
    return _estimate(lambda drawn: float(np.average(numbers, weights=drawn)), numbers, patients, drawing)


def _estimate(
    measure: Callable[[Floats], float], numbers: Floats, patients: Sequence[int], drawing: Drawing
) -> Estimate:
    if not numbers.size:
        return Estimate(value=None, note="No image has it.")
    value = measure(np.ones(numbers.size))
    if are_few(patients, None):
        return Estimate(value=value, images=numbers.size, note="Too few patients for an interval.")
    ends = between([measure(drawn) for drawn in weights(patients, None, drawing)])
    low, high = ends or (None, None)
    return Estimate(value=value, low=low, high=high, images=numbers.size)


def share(hits: int, of: int) -> Estimate:
    """Return a share with Wilson's interval, which takes images as independent."""
    from scipy.stats import binomtest

    if of == 0:
        return Estimate(value=None, note="There is no such image.")
    ends = binomtest(hits, of).proportion_ci(confidence_level=LEVEL, method="wilson")
    return Estimate(value=hits / of, low=float(ends.low), high=float(ends.high), images=of)
