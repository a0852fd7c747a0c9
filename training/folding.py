"""Folds of a cross-validation: what is of one patient is in one fold."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def dealt(items: Sequence[T], patient_of: Callable[[T], str], *, count: int, seed: int) -> list[list[T]]:
    """Deal items out so that a patient's are in one fold, and folds are about as large as each other."""
    sizes = Counter(patient_of(item) for item in items)
    patients = sorted(sizes)
    random.Random(seed).shuffle(patients)  # noqa: S311 - no secret
    patients.sort(key=lambda patient: -sizes[patient])
    folds: list[set[str]] = [set() for _ in range(count)]
    for patient in patients:
        min(folds, key=lambda fold: sum(sizes[p] for p in fold)).add(patient)
    return [[item for item in items if patient_of(item) in fold] for fold in folds]
