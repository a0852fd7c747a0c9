"""What the ensemble saw on a radiograph -> findings, on its stored pixels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

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
from inference.findings import Category, Heatmap, Measurement, Purpose, Region, Site
from inference.opacity_ensemble import ensemble
from inference.opacity_ensemble.ensemble import Blended, Seen
from inference.opacity_ensemble.sides import by_side
from inference.radiograph import Radiograph
from inference.xray_findings import area

Mask = NDArray[np.bool_]
_Item = TypeVar("_Item", bound=np.generic)

_PROBABILITY = Code("OPACPROB", SCHEME, "Opacity probability")
_THRESHOLD = Code("OPACTHRESHOLD", SCHEME, "Opacity probability, threshold")
_SCORES: Mapping[str, Code] = {
    ensemble.CLASSIFIER: Code("OPACDENSENET", SCHEME, "Opacity score, DenseNet-121"),
    ensemble.CONVNEXT: Code("OPACCONVNEXT", SCHEME, "Opacity score, ConvNeXt"),
    ensemble.NNUNET_336: Code("OPACNNUNET336", SCHEME, "Opacity score, nnU-Net 336"),
    ensemble.NNUNET_768: Code("OPACNNUNET768", SCHEME, "Opacity score, nnU-Net 768"),
}
_MAP = Code("OPACMAP", SCHEME, "Probability of opacity")
_POSITIVE = Code("10828004", "SCT", "Positive")
_NEGATIVE = Code("260385009", "SCT", "Negative")

_DIGITS = 4
"""Of a percentage: networks say 1e-28 and mean nothing."""
MAP_LABEL = "opacity probability"
_SIDES = (("right", RIGHT_LUNG, RIGHT), ("left", LEFT_LUNG, LEFT))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Readout:
    """What is said of one radiograph; arrays lie on the upright image until they are said.

    Attributes
    ----------
    radiograph : Radiograph
        The source.
    seen : Seen
        What the experts say.
    blended : Blended
        What comes of it.
    lungs : ndarray of bool, shape (2, rows, columns)
        Right and left.
    """

    radiograph: Radiograph
    seen: Seen
    blended: Blended
    lungs: Mask

    def measurements(self) -> Iterator[Measurement]:
        """Yield the mean score, the experts' scores, the threshold, and the classifier's other outputs."""
        decision = self.seen.decision
        yield _percent(_PROBABILITY, decision.mean)
        for name, score in decision.scores.items():
            yield _percent(_SCORES[name], score)
        yield _percent(_THRESHOLD, decision.threshold)
        for number, (finding, score) in enumerate(self.seen.findings.items(), start=1):
            if finding != ensemble.OPACITY:
                said = finding.replace("_", " ")
                yield _percent(Code(f"XRVDENSENET{number:02}", SCHEME, f"DenseNet-121 score, {said}"), score)

    def categories(self) -> tuple[Category, ...]:
        """Return the decision."""
        return (Category(concept=OPACITY, value=_POSITIVE if self.seen.decision.is_positive else _NEGATIVE),)

    def regions(self) -> Iterator[Region]:
        """Yield opacity by side, and both lungs.

        A side without opacity has no region: that there is none stands with its lung. Without any there is one that
        marks nothing, so that this is said, too. Where a lung was not found, nothing is said of shares.
        """
        opacity = self.blended.opacity
        sides = by_side(opacity, self.lungs)
        is_split = sides is not None
        if sides is None or not opacity.any():
            shares = (_share(opacity, self.lungs[0] | self.lungs[1]),) if is_split else ()
            yield self._opacity("opacity", opacity, shares, Site(location=LUNG, laterality=BILATERAL))
        parts = np.zeros_like(self.lungs) if sides is None else sides
        for (side, lung, laterality), mask, field in zip(_SIDES, parts, self.lungs, strict=True):
            if mask.any():
                site = Site(location=lung, laterality=laterality)
                yield self._opacity(f"{side} opacity", mask, (_share(mask, field),), site)
        for (side, lung, laterality), mask, field in zip(_SIDES, parts, self.lungs, strict=True):
            yield Region(
                label=f"{side} lung",
                purpose=Purpose.LUNGS,
                property_category=ANATOMICAL,
                property_type=LUNG,
                mask=self._stored(field),
                site=Site(location=lung, laterality=laterality),
                measurements=(*((_share(mask, field),) if is_split else ()), *self._area(field)),
            )

    def heatmap(self) -> Heatmap:
        """Return the map, on the image's own pixels."""
        return Heatmap(
            label=MAP_LABEL,
            quantity=_MAP,
            unit=NO_UNITS,
            values=self._stored(self.blended.values),
            grid=self.radiograph.geometry,
            purpose=Purpose.OPACITY,
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

    def _stored(self, plane: NDArray[_Item]) -> NDArray[_Item]:
        return np.ascontiguousarray(self.radiograph.upright.turn_back(plane))[np.newaxis]


def stored_maps(radiograph: Radiograph, maps: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Return maps on the upright image as the stored pixels lie."""
    return {name: np.ascontiguousarray(radiograph.upright.turn_back(values)) for name, values in maps.items()}


def warnings(readout: Readout, *, doubts: Sequence[str], known: Sequence[slice]) -> Iterator[str]:
    """Yield what a reader must know of the numbers and of the map, the gravest first.

    Parameters
    ----------
    readout : Readout
        What is said.
    doubts : sequence of str
        What speaks against a frontal image.
    known : sequence of slice
        Rows and columns of the upright image that classifier and lung network saw.
    """
    yield _verdict(readout)
    if doubts:
        yield f"Hardly a frontal chest image, says lung-fields: {'; '.join(doubts)}."
    missing = [side for (side, _, _), lung in zip(_SIDES, readout.lungs, strict=True) if not lung.any()]
    if missing:
        yield f"No {' and no '.join(missing)} lung was found: opacity is not split by side, the map lacks its floor."
    crops = readout.seen.crops
    if crops.left_out:
        yield f"Of all marked places the {len(crops.places)} largest were refined, and {crops.left_out} were not."
    floor = readout.blended.floor
    yield f"The map's floor, {floor.lung:g} in and around the lungs and {floor.background:g} elsewhere, marks nothing."
    rows, columns = readout.blended.values.shape
    seen = (known[0].stop - known[0].start) * (known[1].stop - known[1].start) / (rows * columns)
    if seen < 1:
        yield f"DenseNet-121 and the lung network saw the square in the middle, {100 * seen:.0f} % of the image."


def _verdict(readout: Readout) -> str:
    decision = readout.seen.decision
    of = f"the mean of four uncalibrated scores is {100 * decision.mean:.0f} %"
    threshold = f"the threshold of {100 * decision.threshold:.0f} %"
    if not decision.is_positive:
        return f"Negative: {of}, below {threshold}. Nothing was marked; that excludes nothing."
    if not readout.blended.opacity.any():
        return f"Positive: {of}, at or above {threshold}, but no place reached a probability of one half."
    return f"Positive: {of}, at or above {threshold}."


def _share(mask: Mask, lung: Mask) -> Measurement:
    """Return the share of a lung that is opacity; what is marked beside it, dense lung as a rule, counts as lung."""
    whole = int(np.count_nonzero(lung | mask))
    return _percent(OPACITY_SHARE, np.count_nonzero(mask) / whole if whole else 0.0)


def _percent(concept: Code, share: float) -> Measurement:
    return Measurement(concept=concept, value=round(100.0 * float(share), _DIGITS), unit=PERCENT)
