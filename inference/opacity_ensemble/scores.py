"""What four experts say of a whole image, and whether that is opacity."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Whether an image shows opacity.

    Attributes
    ----------
    scores : Mapping[str, float]
        Of each expert that has one, by its name; in [0, 1].
    threshold : float
        From which mean on it is opacity.
    """

    scores: Mapping[str, float]
    threshold: float

    @property
    def mean(self) -> float:
        """The mean of the scores: every expert counts alike."""
        return sum(self.scores.values()) / len(self.scores)

    @property
    def is_positive(self) -> bool:
        """Whether the mean reaches the threshold."""
        return self.mean >= self.threshold


def image_score(values: NDArray[np.float32]) -> float:
    """Return what a map of probabilities says of the whole image: its maximum."""
    return float(values.max())
