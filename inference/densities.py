"""Numbers of a lung on CT: volume, mean density, and shares in published bands of Hounsfield units.

References
----------
Those of the card of `inference.pipelines.lung_densitometry`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.codes import (
    ABNORMAL,
    ANATOMICAL,
    BILATERAL,
    LEFT,
    LUNG,
    OPACITY,
    OPACITY_SHARE,
    PERCENT,
    RIGHT,
    SCHEME,
)
from inference.coding import Code
from inference.findings import Measurement, Purpose, Region, Site
from inference.series import Series

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Band:
    """A share of the lung: voxels with low <= HU < high."""

    concept: Code
    low: float
    high: float


_EMPHYSEMA = _Band(Code("EI950", SCHEME, "Emphysema index (< -950 HU)"), -np.inf, -950)
_HIGH_ATTENUATION = _Band(Code("HAA600250", SCHEME, "High-attenuation area (-600 to -250 HU)"), -600, -250)
_CONSOLIDATION = _Band(Code("CONS250", SCHEME, "Consolidation (> -250 HU, with vessels)"), -250, np.inf)
_BANDS = (_EMPHYSEMA, _HIGH_ATTENUATION, _CONSOLIDATION)
_MEAN_DENSITY = Code("MLD", SCHEME, "Mean lung density")
_VOLUME = Code("118565006", "SCT", "Volume")

_ML = Code("mL", "UCUM", "mL")
_HU = Code("[hnsf'U]", "UCUM", "Hounsfield unit")


@dataclass(frozen=True, slots=True, eq=False)
class Densities:
    """Reads numbers off the masks of a CT.

    Attributes
    ----------
    series : Series
        Source.
    lungs, opacity : ndarray of bool, shape (slices, rows, columns)
        Both lungs; a part of them.
    """

    series: Series
    lungs: Mask
    opacity: Mask

    def regions(self, right: Mask, left: Mask) -> Iterator[Region]:
        """Yield right lung, left lung and opacity with their numbers."""
        for label, mask, side in (("right lung", right, RIGHT), ("left lung", left, LEFT)):
            yield Region(
                label=label,
                purpose=Purpose.LUNGS,
                property_category=ANATOMICAL,
                property_type=LUNG,
                mask=mask,
                site=Site(location=LUNG, laterality=side),
                measurements=self.lung(mask, None),
            )
        # Also where there is none: a report that says 0 mL is not one that is silent.
        yield Region(
            label="opacity",
            purpose=Purpose.OPACITY,
            property_category=ABNORMAL,
            property_type=OPACITY,
            mask=self.opacity,
            site=Site(location=LUNG, laterality=self._side(right, left)),
            measurements=(self._volume(self.opacity, None), self._opacity_share(self.lungs, None)),
        )

    def lung(self, mask: Mask, site: Site | None) -> tuple[Measurement, ...]:
        """Volume, mean density and every share of one or both lungs."""
        values = self.series.pixel_array[mask].astype(np.float32)
        mean = Measurement(concept=_MEAN_DENSITY, value=float(values.mean(dtype=np.float64)), unit=_HU, site=site)
        shares = (
            Measurement(
                concept=band.concept,
                value=100 * float(np.mean((values >= band.low) & (values < band.high))),
                unit=PERCENT,
                site=site,
            )
            for band in _BANDS
        )
        return self._volume(mask, site), mean, *shares, self._opacity_share(mask, site)

    def _volume(self, mask: Mask, site: Site | None) -> Measurement:
        volume = float(mask.sum()) * self.series.geometry.voxel_volume_ml
        return Measurement(concept=_VOLUME, value=volume, unit=_ML, site=site)

    def _opacity_share(self, lung: Mask, site: Site | None) -> Measurement:
        share = 100 * float((self.opacity & lung).sum() / lung.sum())
        return Measurement(concept=OPACITY_SHARE, value=share, unit=PERCENT, site=site)

    def _side(self, right: Mask, left: Mask) -> Code:
        in_right, in_left = bool((self.opacity & right).any()), bool((self.opacity & left).any())
        return BILATERAL if in_right == in_left else RIGHT if in_right else LEFT
