"""What the cascade decided about an image, and by which scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]


class Side(StrEnum):
    """Of the patient."""

    RIGHT = "right"
    LEFT = "left"


SIDES = tuple(Side)


class Branch(StrEnum):
    """What the map of a lung came of, as people are told."""

    NONE = "nothing marked"
    WHOLE = "whole lung marked"
    MAPPED = "mapped place by place"
    NOT_FOUND = "lung not found"


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """What several networks say of one question.

    Attributes
    ----------
    each : Mapping[str, float]
        By network, in [0, 1].
    threshold : float
        From which mean on the answer is yes.
    """

    each: Mapping[str, float]
    threshold: float

    @property
    def mean(self) -> float:
        """Their mean: every network counts alike."""
        return sum(self.each.values()) / len(self.each)

    @property
    def is_reached(self) -> bool:
        """Whether the mean reaches the threshold."""
        return self.mean >= self.threshold


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lung:
    """One lung of an image.

    Attributes
    ----------
    side : Side
        Which.
    mask : ndarray of bool, shape (rows, columns)
        On the upright image; empty where it was not found.
    branch : Branch
        What its map came of.
    extent : Score or None
        Of opacity in it; None where nobody was asked.
    marked : ndarray of bool, shape (rows, columns)
        Opacity in it, as it was before it was over-estimated.
    """

    side: Side
    mask: Mask
    branch: Branch
    extent: Score | None
    marked: Mask


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Explained:
    """What was decided about an image.

    Attributes
    ----------
    opacity : Score
        Of the classifiers.
    lungs : tuple of 2 Lung
        Right and left.
    values : ndarray of float32, shape (rows, columns)
        The map, over-estimated and within its limits.
    reach : float
        How far opacity was dilated in it, of the image's longer side.
    """

    opacity: Score
    lungs: tuple[Lung, Lung]
    values: Floats
    reach: float

    @property
    def mean_extent(self) -> float | None:
        """The mean extent of the lungs that were judged; None where none was."""
        extents = [lung.extent.mean for lung in self.lungs if lung.extent]
        return sum(extents) / len(extents) if extents else None
