"""A level of an ordered scale, such as 1 to 5, against the true one.

References
----------
Cohen, Psychol Bull 1968, 70:213-220 (kappa, distances weighted by their squares), as scikit-learn computes it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.intervals import Estimate, share


@dataclass(frozen=True, kw_only=True, slots=True)
class Levels:
    """How levels agree.

    Attributes
    ----------
    names : tuple of int
        Levels that occur, ascending.
    confusion : tuple of tuple of int
        Images by true (rows) and found level (columns).
    kappa : float or None
        Quadratically weighted; None where there is one level only.
    """

    names: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    exact: Estimate
    within_one: Estimate
    kappa: float | None


def compare(truth: Sequence[int], found: Sequence[int]) -> Levels:
    """Return how levels of the same images agree."""
    from sklearn.metrics import cohen_kappa_score

    names, pairs = sorted({*truth, *found}), Counter(zip(truth, found, strict=True))
    apart = [abs(one - other) for one, other in zip(truth, found, strict=True)]
    return Levels(
        names=tuple(names),
        confusion=tuple(tuple(pairs[true, said] for said in names) for true in names),
        exact=share(apart.count(0), len(apart)),
        within_one=share(sum(distance <= 1 for distance in apart), len(apart)),
        kappa=float(cohen_kappa_score(truth, found, weights="quadratic")) if len(names) > 1 else None,
    )
