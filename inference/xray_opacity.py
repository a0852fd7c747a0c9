"""Opacity on a radiograph and the lungs that it lies in, as regions of the stored image; the words of all pipelines."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.codes import (
    ABNORMAL,
    ANATOMICAL,
    BILATERAL,
    LEFT,
    LEFT_LUNG,
    LUNG,
    NO_UNITS,
    OPACITY,
    OPACITY_SHARE,
    PERCENT,
    RIGHT,
    RIGHT_LUNG,
    SCHEME,
)
from inference.coding import Code
from inference.findings import Category, Heatmap, Measurement, Purpose, Region, Site
from inference.radiograph import Radiograph
from inference.xray_findings import area

Mask = NDArray[np.bool_]

PROBABILITY = Code("OPACPROB", SCHEME, "Opacity probability")
THRESHOLD = Code("OPACTHRESHOLD", SCHEME, "Opacity probability, threshold")
_POSITIVE = Code("10828004", "SCT", "Positive")
_NEGATIVE = Code("260385009", "SCT", "Negative")

SITES = {
    "right": Site(location=RIGHT_LUNG, laterality=RIGHT),
    "left": Site(location=LEFT_LUNG, laterality=LEFT),
}
"""In the order of the first axis of masks."""
_DIGITS = 4
"""Of a percentage: networks say 1e-28 and mean nothing."""


def percent(concept: Code, share: float, site: Site | None = None) -> Measurement:
    """Return a number in [0, 1] as one in %."""
    return Measurement(concept=concept, value=round(100.0 * float(share), _DIGITS), unit=PERCENT, site=site)


def decision(*, is_positive: bool) -> Category:
    """Return whether the image shows opacity."""
    return Category(concept=OPACITY, value=_POSITIVE if is_positive else _NEGATIVE)


def missing_sides(lungs: Mask) -> str:
    """Name the lungs that were not found, as "right and no left"; nothing where both were."""
    return " and no ".join(side for side, lung in zip(SITES, lungs, strict=True) if not lung.any())


def opacity_map(label: str, quantity: Code, values: NDArray[np.float32], radiograph: Radiograph) -> Heatmap:
    """Return a map on the upright image, shape (rows, columns), on the image's own pixels."""
    return Heatmap(
        label=label,
        quantity=quantity,
        unit=NO_UNITS,
        values=np.ascontiguousarray(radiograph.upright.turn_back(values))[np.newaxis],
        grid=radiograph.geometry,
        purpose=Purpose.OPACITY,
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OpacityRegions:
    """Opacity and lungs, on the upright image.

    Attributes
    ----------
    radiograph : Radiograph
        The source.
    opacity : ndarray of bool, shape (rows, columns)
        All of it.
    sides : ndarray of bool, shape (2, rows, columns), or None
        That of right and left lung; None where nobody knows which is whose.
    lungs : ndarray of bool, shape (2, rows, columns)
        Right and left; one that was not found is empty.
    """

    radiograph: Radiograph
    opacity: Mask
    sides: Mask | None
    lungs: Mask

    def __iter__(self) -> Iterator[Region]:
        """Yield opacity by side, and both lungs.

        A side without opacity has no region: that there is none stands with its lung. Without any there is one that
        marks nothing, so that this is said, too. Of a lung that was not found no share is told.
        """
        if self.sides is None or not self.opacity.any():
            shares = () if self.sides is None else self._share(self.opacity, self.lungs[0] | self.lungs[1])
            yield self._opacity("opacity", self.opacity, shares, Site(location=LUNG, laterality=BILATERAL))
        parts = np.zeros_like(self.lungs) if self.sides is None else self.sides
        for (side, site), mask, field in zip(SITES.items(), parts, self.lungs, strict=True):
            if mask.any():
                yield self._opacity(f"{side} opacity", mask, self._share(mask, field), site)
        for (side, site), mask, field in zip(SITES.items(), parts, self.lungs, strict=True):
            shares = () if self.sides is None else self._share(mask, field)
            yield Region(
                label=f"{side} lung",
                purpose=Purpose.LUNGS,
                property_category=ANATOMICAL,
                property_type=LUNG,
                mask=self._stored(field),
                site=site,
                measurements=(*shares, *self._area(field)),
            )

    def _opacity(self, label: str, mask: Mask, shares: tuple[Measurement, ...], site: Site) -> Region:
        return Region(
            label=label,
            purpose=Purpose.OPACITY,
            property_category=ABNORMAL,
            property_type=OPACITY,
            mask=self._stored(mask),
            site=site,
            measurements=(*shares, *self._area(mask)),
        )

    def _area(self, mask: Mask) -> tuple[Measurement, ...]:
        return area(int(np.count_nonzero(mask)), self.radiograph)

    def _stored(self, mask: Mask) -> Mask:
        return np.ascontiguousarray(self.radiograph.upright.turn_back(mask))[np.newaxis]

    def _share(self, mask: Mask, lung: Mask) -> tuple[Measurement, ...]:
        """Return the share of a lung that is opacity; what is marked beside it, dense lung as a rule, is lung, too."""
        whole = int(np.count_nonzero(lung | mask))
        return (percent(OPACITY_SHARE, np.count_nonzero(mask) / whole),) if whole else ()
