"""The four steps, on upright images: classify and segment, decide, refine, blend and lift.

Several images go through a network together, so that those that wait need not wait for one another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.opacity_ensemble.blends import marked, weighted, zones
from inference.opacity_ensemble.crops import Crops, crops, pasted
from inference.opacity_ensemble.floors import HIGH, LOW, Floor, dilated, lifted
from inference.opacity_ensemble.options import Options, Variant
from inference.opacity_ensemble.scores import Decision, image_score

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

CLASSIFIER, REFINE = "DenseNet-121", "refinement"
CONVNEXT, NNUNET_336, NNUNET_768 = "ConvNeXt", "nnU-Net 336", "nnU-Net 768"
SEGMENTERS = (CONVNEXT, NNUNET_336, NNUNET_768)
RUNNING_ORDER = (*SEGMENTERS, REFINE)
"""Of the experts whose maps are blended."""
OPACITY = "Lung Opacity"
"""The classifier's output."""


class Experts(Protocol):
    """The networks: images are float32, shape (rows, columns), in [0, 1], bright is dense, of any sizes."""

    def classify(self, images: Sequence[Floats], /) -> Sequence[Mapping[str, float]]:
        """Return scores by finding of each image, one of them `OPACITY`."""

    def segment(self, name: str, images: Sequence[Floats], /) -> Sequence[Floats]:
        """Return what the one of `SEGMENTERS` says: the probability of opacity on each image's own pixels."""

    def refine(self, crops: Sequence[Floats], /) -> Sequence[Floats]:
        """Return the probability of opacity on each crop's own pixels."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Seen:
    """What the experts say of an image.

    Attributes
    ----------
    findings : Mapping[str, float]
        Scores of the classifier.
    decision : Decision
        Over the four scores.
    maps : Mapping[str, ndarray]
        Probabilities of each expert that ran, float32, shape (rows, columns), in the running order.
    crops : Crops
        That were refined; none on a negative image.
    """

    findings: Mapping[str, float]
    decision: Decision
    maps: Mapping[str, Floats]
    crops: Crops


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Blended:
    """What comes of it.

    Attributes
    ----------
    values : ndarray of float32, shape (rows, columns)
        The map, with floors.
    opacity : ndarray of bool, shape (rows, columns)
        Where the blend marks opacity; empty on a negative image.
    floor : Floor
        Below which no value lies.
    """

    values: Floats
    opacity: Mask
    floor: Floor


def look(images: Sequence[Floats], experts: Experts, threshold: float) -> list[Seen]:
    """Have the experts look at images; the refinement only where the four scores say opacity (steps 1 to 3)."""
    findings = experts.classify(images)
    maps = {name: experts.segment(name, images) for name in SEGMENTERS}
    seen = []
    for number, scores in enumerate(findings):
        own = {name: maps[name][number] for name in SEGMENTERS}
        whole = {CLASSIFIER: scores[OPACITY], **{name: image_score(values) for name, values in own.items()}}
        decision = Decision(scores=whole, threshold=threshold)
        found = crops(reduce(np.logical_or, map(marked, own.values()))) if decision.is_positive else Crops()
        seen.append(Seen(findings=scores, decision=decision, maps=own, crops=found))
    return _refined(images, seen, experts)


def blend(seen: Seen, lungs: Mask, options: Options) -> Blended:
    """Blend the maps of a positive image, and lift either kind to its floor (step 4).

    Parameters
    ----------
    seen : Seen
        Of `look`.
    lungs : ndarray of bool, shape (2, rows, columns)
        On the same pixels.
    options : Options
        Which blend, which floors.
    """
    positive = seen.decision.is_positive
    floor = (LOW if options.has_low_floors else HIGH).of(positive=positive)
    near_lungs = dilated(lungs[0] | lungs[1])
    if not positive:
        nothing = np.zeros(near_lungs.shape, dtype=np.float32)
        return Blended(values=lifted(nothing, near_lungs, floor), opacity=np.zeros_like(near_lungs), floor=floor)
    maps = [seen.maps[name] for name in RUNNING_ORDER]
    is_weighted = options.variant is Variant.WEIGHTED
    values = weighted(maps, options.expert_weights) if is_weighted else zones(maps, options.zone_values)
    return Blended(values=lifted(values, near_lungs, floor), opacity=marked(values), floor=floor)


def _refined(images: Sequence[Floats], seen: Sequence[Seen], experts: Experts) -> list[Seen]:
    """Give positive images their fourth map; all crops of all images are asked for at once."""
    parts = [
        np.ascontiguousarray(image[place])
        for image, one in zip(images, seen, strict=True)
        for place in one.crops.places
    ]
    said = iter(experts.refine(parts) if parts else ())
    return [
        replace(one, maps={**one.maps, REFINE: pasted(image.shape, one.crops.places, said)})
        if one.decision.is_positive
        else one
        for image, one in zip(images, seen, strict=True)
    ]
