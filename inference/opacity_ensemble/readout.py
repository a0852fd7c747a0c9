"""What the ensemble saw on a radiograph -> findings, on its stored pixels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.codes import SCHEME
from inference.coding import Code
from inference.findings import Category, Heatmap, Measurement
from inference.opacity_ensemble import ensemble
from inference.opacity_ensemble.ensemble import Blended, Seen
from inference.opacity_ensemble.sides import by_side
from inference.radiograph import Radiograph
from inference.xray_opacity import PROBABILITY, THRESHOLD, OpacityRegions, decision, missing_sides, opacity_map, percent

Mask = NDArray[np.bool_]

_SCORES: Mapping[str, Code] = {
    ensemble.CLASSIFIER: Code("OPACDENSENET", SCHEME, "Opacity score, DenseNet-121"),
    ensemble.CONVNEXT: Code("OPACCONVNEXT", SCHEME, "Opacity score, ConvNeXt"),
    ensemble.NNUNET_336: Code("OPACNNUNET336", SCHEME, "Opacity score, nnU-Net 336"),
    ensemble.NNUNET_768: Code("OPACNNUNET768", SCHEME, "Opacity score, nnU-Net 768"),
}
_MAP = Code("OPACMAP", SCHEME, "Probability of opacity")

MAP_LABEL = "opacity probability"


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
        decided = self.seen.decision
        yield percent(PROBABILITY, decided.mean)
        for name, score in decided.scores.items():
            yield percent(_SCORES[name], score)
        yield percent(THRESHOLD, decided.threshold)
        for number, (finding, score) in enumerate(self.seen.findings.items(), start=1):
            if finding != ensemble.OPACITY:
                said = finding.replace("_", " ")
                yield percent(Code(f"XRVDENSENET{number:02}", SCHEME, f"DenseNet-121 score, {said}"), score)

    def categories(self) -> tuple[Category, ...]:
        """Return the decision."""
        return (decision(is_positive=self.seen.decision.is_positive),)

    def regions(self) -> OpacityRegions:
        """Return opacity by side, where both lungs were found, and both lungs."""
        opacity = self.blended.opacity
        sides = by_side(opacity, self.lungs)
        return OpacityRegions(radiograph=self.radiograph, opacity=opacity, sides=sides, lungs=self.lungs)

    def heatmap(self) -> Heatmap:
        """Return the map, on the image's own pixels."""
        return opacity_map(MAP_LABEL, _MAP, self.blended.values, self.radiograph)


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
    if missing := missing_sides(readout.lungs):
        yield f"No {missing} lung was found: opacity is not split by side, the map lacks its floor."
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
    decided = readout.seen.decision
    of = f"the mean of four uncalibrated scores is {100 * decided.mean:.0f} %"
    threshold = f"the threshold of {100 * decided.threshold:.0f} %"
    if not decided.is_positive:
        return f"Negative: {of}, below {threshold}. Nothing was marked; that excludes nothing."
    if not readout.blended.opacity.any():
        return f"Positive: {of}, at or above {threshold}, but no place reached a probability of one half."
    return f"Positive: {of}, at or above {threshold}."
