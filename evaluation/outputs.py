"""Which of a pipeline's findings are judged, by their names, and what they are on the image's own pixels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from evaluation.boxes import Box, boxes_of, class_name
from evaluation.overlap import Mask
from inference.findings import Box as FoundBox
from inference.findings import Findings
from inference.selected import Selected

_DIGITS = re.compile(r"\d+")
_PERCENT = "%"


class OutputError(Exception):
    """The pipeline gives nothing that was asked for; the message names what it gives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """Names of what is judged; what has none is not judged.

    Attributes
    ----------
    score, level : str or None
        Meaning of a measurement or category about the whole image; a score is in [0, 1] or in %.
    masks : tuple of str
        Labels of regions, or purposes ("opacity", "lungs"), which mean all regions that have them.
    parts : tuple of str
        Labels of regions that a truth may give one by one, as `run` writes them, and that are judged together.
    map : str or None
        Label of a heatmap of probabilities.
    boxes : bool
        Whether boxes that the pipeline itself draws are judged; else they lie round the parts of the masks.
    threshold : float or None
        From which score on an image is positive; None takes what the pipeline says of itself.
    """

    score: str | None = None
    masks: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    map: str | None = None
    level: str | None = None
    boxes: bool = False
    threshold: float | None = None

    @property
    def joined(self) -> str:
        """What all regions together are called."""
        return " + ".join(self.masks)

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that is asked for."""
        return tuple(name for name in (self.score, self.level, *self.masks, self.map) if name)


DEFAULTS: Mapping[str, Outputs] = {
    "balaitous": Outputs(score="COVID-19, uncalibrated score"),
    "ct-severity": Outputs(level="Severity, mean"),
    "lung-densitometry": Outputs(masks=("right lung", "left lung")),
    "lung-fields": Outputs(masks=("right lung", "left lung")),
    "opacity-ensemble": Outputs(
        score="Opacity probability",
        masks=("opacity",),  # by its purpose: on either side, or where it could not be split
        parts=("right opacity", "left opacity"),
        map="opacity probability",
    ),
    "opacity-boxes": Outputs(score="Not healthy, certainty", boxes=True),
    "opacity-explain": Outputs(
        score="Opacity probability",
        masks=("opacity",),  # on either side
        parts=("right opacity", "left opacity"),
        map="opacity explanation",
    ),
}
_THRESHOLD_PARAMETERS = ("threshold", "decision_threshold")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prediction:
    """What a pipeline says of one image, as far as it is judged.

    Attributes
    ----------
    masks : Mapping[str, ndarray of bool, shape (n, rows, columns)]
        By label; those that the findings do not have are empty, and named in `absent`.
    map : ndarray of float32, shape (n, rows, columns), or None
        On the pixels of the image.
    boxes : tuple of Box or None
        The pipeline's own, or round the connected parts of the masks, where the image is one.
    absent : tuple of str
        What was asked for and did not come.
    """

    score: float | None = None
    level: int | None = None
    masks: Mapping[str, Mask] = field(default_factory=dict)
    map: NDArray[np.float32] | None = None
    boxes: tuple[Box, ...] | None = None
    threshold: float | None = None
    absent: tuple[str, ...] = ()


def read_out(findings: Findings, source: Selected, outputs: Outputs) -> Prediction:
    """Take from findings what is judged."""
    shape = source.pixel_array.shape
    regions = _regions(findings)
    masks = {name: regions.get(name, np.zeros(shape, dtype=bool)) for name in outputs.masks}
    values, heat = _numbers(findings), _map(findings, source, outputs.map)
    score = values.get((outputs.score or "").casefold())
    came = {*regions, *(heatmap.label for heatmap in findings.heatmaps)}
    level = _level(findings, outputs.level)
    absent = {name for name in (*outputs.masks, outputs.map) if name and name not in came}
    absent |= {name for name, value in ((outputs.score, score), (outputs.level, level)) if name and value is None}
    return Prediction(
        score=score,
        level=level,
        masks=masks,
        map=heat,
        boxes=_boxes(findings, masks, heat, outputs) if shape[0] == 1 else None,
        threshold=outputs.threshold if outputs.threshold is not None else _threshold(findings),
        absent=tuple(sorted(absent)),
    )


def _regions(findings: Findings) -> dict[str, Mask]:
    """Return masks by label, and by purpose those of all regions that have it, as of opacity on either side."""
    masks = {region.label: region.mask for region in findings.regions}
    for purpose in {region.purpose for region in findings.regions}:
        masks[purpose.value] = reduce(np.logical_or, (r.mask for r in findings.regions if r.purpose is purpose))
    return masks


def check_names(findings: Findings, prediction: Prediction, outputs: Outputs) -> None:
    """See that at least one of the names is right.

    Raises
    ------
    OutputError
        If nothing came of all that was asked for.
    """
    if set(outputs.names) - set(prediction.absent) or (outputs.boxes and findings.boxes is not None):
        return
    there = {
        "--score": [m.concept.meaning for m in findings.measurements]
        + [c.concept.meaning for c in findings.categories],
        "--mask": list(_regions(findings)),
        "--map": [heatmap.label for heatmap in findings.heatmaps],
    }
    listed = "; ".join(f"{option} {' | '.join(map(repr, names))}" for option, names in there.items() if names)
    asked = ", ".join(map(repr, outputs.names))
    raise OutputError(f"{findings.algorithm.name} gives none of {asked}. It gives: {listed or 'nothing'}")


def _numbers(findings: Findings) -> dict[str, float]:
    """Return what may be a score, by name: of equal names the first, which is about the whole image."""
    numbers: dict[str, float] = {}
    for measurement in findings.measurements:
        value = measurement.value / 100 if measurement.unit.value == _PERCENT else measurement.value
        numbers.setdefault(measurement.concept.meaning.casefold(), value)
    for category in findings.categories:
        if category.confidence is not None:
            numbers.setdefault(category.concept.meaning.casefold(), category.confidence)
    return {name: value for name, value in numbers.items() if isfinite(value) and 0 <= value <= 1}


def _level(findings: Findings, name: str | None) -> int | None:
    """Return a level: a measurement's whole number, or the first number in a category's answer."""
    if name is None:
        return None
    for measurement in findings.measurements:
        if measurement.concept.meaning.casefold() == name.casefold() and measurement.value == int(measurement.value):
            return int(measurement.value)
    for category in findings.categories:
        digits = _DIGITS.findall(category.value.meaning)
        if category.concept.meaning.casefold() == name.casefold() and digits:
            return int(digits[0])
    return None


def _map(findings: Findings, source: Selected, name: str | None) -> NDArray[np.float32] | None:
    from dicom_out.resampling import resampled

    for heatmap in findings.heatmaps:
        if heatmap.label == name:
            return np.stack(list(resampled(heatmap, source.geometry, source.pixel_array.shape)))
    return None


def _boxes(
    findings: Findings, masks: Mapping[str, Mask], heat: NDArray[np.float32] | None, outputs: Outputs
) -> tuple[Box, ...]:
    if outputs.boxes:
        return tuple(_own(box) for box in findings.boxes or ())
    if not masks:
        return ()
    whole = reduce(np.logical_or, masks.values())
    return tuple(boxes_of(whole[0], None if heat is None else heat[0], outputs.joined))


def _own(box: FoundBox) -> Box:
    return Box(
        x=box.left,
        y=box.top,
        width=box.right - box.left,
        height=box.bottom - box.top,
        name=class_name(box.finding.meaning),
        score=box.certainty,
    )


def _threshold(findings: Findings) -> float | None:
    """Return the threshold that a pipeline names among its parameters."""
    for name in _THRESHOLD_PARAMETERS:
        try:
            return float(findings.algorithm.parameters[name])
        except (KeyError, ValueError):
            continue
    return None
