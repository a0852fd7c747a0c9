"""Whether an image can be a frontal chest X-ray, by the two lungs that were found on it and how sure that was.

A mirrored image passes: the network names lungs by their side of the image, wherever the heart is.
"""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from inference.lung_probabilities import LungProbabilities

LEAST = MappingProxyType(
    {
        "smaller_share": 0.03,
        "ratio": 0.3,
        "side_by_side": 0.5,
        "apart": 0.2,
        "tallness": 0.8,
        "taper": 0.5,
        "wholeness": 0.8,
        "confidence": 0.85,
    }
)
"""Of a frontal image, with room below the least of 83 that networks had not been trained on."""
_TINY = 1e-6
_SAID = MappingProxyType(
    {
        "smaller_share": "a lung covers {:.1%} of the image",
        "ratio": "one lung has {:.0%} of the other's area",
        "side_by_side": "{:.0%} of the rows with lung have both",
        "apart": "the lungs' middles lie {:.0%} of their common width apart, right to left",
        "tallness": "a lung is {:.2f} times as tall as wide",
        "taper": "the lungs are {:.2f} times as wide in their lower half as in their upper",
        "wholeness": "{:.0%} of what looks like lung lies in two pieces",
        "confidence": "the network is sure of it by {:.0%}",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontalCheck:
    """What the lungs of an image measure, against those of frontal images.

    Attributes
    ----------
    smaller_share : float
        Of the image, that the smaller lung covers.
    ratio : float
        Area of the smaller lung by the larger one's.
    side_by_side : float
        Rows that both lungs reach, by the rows that any does.
    apart : float
        From the middle of the right lung to that of the left, by the columns that both span; negative if the wrong way.
    tallness : float
        Rows by columns of the flatter lung.
    taper : float
        Area of both lungs below the middle of their rows, by that above.
    wholeness : float
        Share of what was found that lies in the two masks.
    confidence : float
        Mean probability of what was found.
    doubts : tuple of str
        What does not fit, in words; empty if the image can be a frontal chest X-ray.
    """

    smaller_share: float = 0.0
    ratio: float = 0.0
    side_by_side: float = 0.0
    apart: float = 0.0
    tallness: float = 0.0
    taper: float = 0.0
    wholeness: float = 0.0
    confidence: float = 0.0
    doubts: tuple[str, ...] = ()

    @property
    def is_frontal(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.doubts


def frontal_check(found: LungProbabilities, masks: NDArray[np.bool_]) -> FrontalCheck:
    """Judge an image by its lungs.

    Parameters
    ----------
    found : LungProbabilities
        Of the network.
    masks : ndarray of bool, shape (2, rows, columns)
        From `inference.lung_masks.lung_masks`.
    """
    if missing := [side for side, mask in zip(("right", "left"), masks, strict=True) if not mask.any()]:
        return FrontalCheck(doubts=(f"no {' and no '.join(missing)} lung was found",))
    measured = {**_of_areas(masks), **_of_outlines(masks), **_of_certainty(found, masks)}
    doubts = tuple(_SAID[name].format(value) for name, value in measured.items() if value < LEAST[name])
    return FrontalCheck(**measured, doubts=doubts)


def _of_areas(masks: NDArray[np.bool_]) -> dict[str, float]:
    smaller, larger = sorted(masks.mean(axis=(1, 2)).tolist())
    by_row = masks.sum(axis=(0, 2))
    first, last = np.flatnonzero(by_row)[[0, -1]]
    middle = (first + last + 1) // 2
    return {
        "smaller_share": smaller,
        "ratio": smaller / larger,
        "taper": float(by_row[middle:].sum() / max(1, by_row[:middle].sum())),
    }


def _of_outlines(masks: NDArray[np.bool_]) -> dict[str, float]:
    rows, columns = masks.any(axis=2), masks.any(axis=1)
    right, left = (float(np.average(np.arange(mask.shape[1]), weights=mask.sum(axis=0))) for mask in masks)
    return {
        "side_by_side": float(rows.all(axis=0).sum() / rows.any(axis=0).sum()),
        "apart": (left - right) / float(np.ptp(np.flatnonzero(columns.any(axis=0))) + 1),
        "tallness": float((rows.sum(axis=1) / columns.sum(axis=1)).min()),
    }


def _of_certainty(found: LungProbabilities, masks: NDArray[np.bool_]) -> dict[str, float]:
    seen = found.values.sum(axis=0)
    lung = seen > 0.5
    rows, columns = found.letterbox.size
    share = lung.sum() / (rows * columns)
    return {
        "wholeness": min(1.0, float(masks.any(axis=0).mean() / max(share, _TINY))),
        "confidence": float(seen[lung].mean()) if lung.any() else 0.0,
    }
