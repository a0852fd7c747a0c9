"""What both sides have after each step, under the same names, and how far apart they are."""

from dataclasses import dataclass
from typing import Any

import numpy as np

EXACTLY, FEATURES, LOGITS, PROBABILITIES = 0.0, 1e-4, 1e-3, 1e-3
STEPS = {
    "age and sex": EXACTLY,
    "volume": EXACTLY,
    "lung mask": EXACTLY,
    "volume, rows reversed": EXACTLY,
    "lung mask, rows reversed": EXACTLY,
    "clean lung mask": EXACTLY,
    "framed volume": EXACTLY,
    "framed mask": EXACTLY,
    "kept slices": EXACTLY,
    "kept mask": EXACTLY,
    "windowed slices": EXACTLY,
    "features, full": FEATURES,
    "lungs alone": EXACTLY,
    "windowed lungs": EXACTLY,
    "features, lung": FEATURES,
    "logits": LOGITS,
    "scores": PROBABILITIES,
}
"""In the package's order, and how far apart they may be; of features relative to their length."""

Recorded = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Differences by step; inf where even the shapes differ."""

    differences: dict[str, float]

    @property
    def departures(self) -> list[str]:
        return [step for step, far in self.differences.items() if not far <= STEPS[step]]


def compare(theirs: Recorded, ours: Recorded) -> Compared:
    assert theirs.keys() == ours.keys() == STEPS.keys()
    return Compared(differences={step: _difference(step, theirs[step], ours[step]) for step in STEPS})


def _difference(step: str, theirs: Any, ours: Any) -> float:
    a, b = (np.asarray(side, dtype=np.float64) for side in (theirs, ours))
    if a.shape != b.shape or not a.size:
        return float("inf")
    if step.startswith("features"):
        return float(np.linalg.norm(a - b) / np.linalg.norm(a))
    return float(np.abs(a - b).max())
