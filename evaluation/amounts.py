"""A share, such as how far opacity extends in a lung, against the true one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.intervals import Drawing, Estimate, mean, share

NEAR = 0.15
"""How far off a share may be to count as right."""
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Amounts:
    """How shares agree.

    Attributes
    ----------
    error, bias : Estimate
        Mean of how far off, and of how much too high.
    near : Estimate
        Share of images that are at most `NEAR` off.
    """

    error: Estimate
    bias: Estimate
    near: Estimate


def compare(truth: Sequence[float], found: Sequence[float], patients: Sequence[int], drawing: Drawing) -> Amounts:
    """Return how shares of the same images, in [0, 1], agree."""
    above = np.subtract(found, truth)
    return Amounts(
        error=mean(list(np.abs(above)), patients, drawing),
        bias=mean(list(above), patients, drawing),
        near=share(int(np.count_nonzero(np.abs(above) <= NEAR + _ROUNDING)), len(above)),
    )
