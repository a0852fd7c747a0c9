"""The four steps, on one upright image: classify, segment, refine, blend and lift."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from inference.opacity_ensemble.blends import marked, weighted, zones
from inference.opacity_ensemble.crops import Crops, crops, refined
from inference.opacity_ensemble.floors import HIGH, LOW, Floor, dilated, lifted
from inference.opacity_ensemble.options import Options, Variant
from inference.opacity_ensemble.scores import Decision, image_score

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]
Segmenter = Callable[[Floats], Floats]

CLASSIFIER, CONVNEXT, NNUNET_336, NNUNET_768, REFINE = "densenet121", "convnext", "nnunet-336", "nnunet-768", "refine"
SEGMENTERS = (CONVNEXT, NNUNET_336, NNUNET_768)
RUNNING_ORDER = (*SEGMENTERS, REFINE)
"""Of the experts whose maps are blended."""
OPACITY = "Lung Opacity"
"""The classifier's output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Experts:
    """The networks, as functions of an upright image: float32, shape (rows, columns), in [0, 1], bright is dense.

    Attributes
    ----------
    classify : callable
        Returns scores by finding, one of them `OPACITY`.
    segmenters : Mapping[str, callable]
        Those of `SEGMENTERS`; each returns probabilities of opacity on the image's own pixels.
    refine : callable
        Takes crops, returns the same of each.
    lungs : callable
        Returns right and left lung, bool, shape (2, rows, columns), no pixel of both.
    """

    classify: Callable[[Floats], Mapping[str, float]]
    segmenters: Mapping[str, Segmenter]
    refine: Callable[[Sequence[Floats]], Sequence[Floats]]
    lungs: Callable[[Floats], Mask]


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


def look(image: Floats, experts: Experts, threshold: float) -> Seen:
    """Have the experts look at an image; the refinement only where the four scores say opacity (steps 1 to 3)."""
    findings = experts.classify(image)
    maps = {name: experts.segmenters[name](image) for name in SEGMENTERS}
    scores = {CLASSIFIER: findings[OPACITY], **{name: image_score(values) for name, values in maps.items()}}
    decision = Decision(scores=scores, threshold=threshold)
    if not decision.is_positive:
        return Seen(findings=findings, decision=decision, maps=maps, crops=Crops())
    cut = crops(reduce(np.logical_or, map(marked, maps.values())))
    maps[REFINE] = refined(image, cut.places, experts.refine)
    return Seen(findings=findings, decision=decision, maps=maps, crops=cut)


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
