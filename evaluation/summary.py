"""Rows -> the numbers of an evaluation; what cannot be had says why in a sentence."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation import amounts, boxes, intervals, levels, scores
from evaluation.amounts import Amounts
from evaluation.boxes import AveragePrecision, Box
from evaluation.calibration import Weights, calibrated
from evaluation.intervals import Estimate
from evaluation.judging import Settings
from evaluation.levels import Levels
from evaluation.rows import Row, State
from evaluation.scores import Curve, Decisions, Reliability, Roc

_UNCALIBRATED = "No weights: no image was looked at by all experts. The refinement looks at positive images only."


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScoreSummary:
    """How the score does; `roc` and what follows is None where only one kind of image is there."""

    positive: int
    negative: int
    log_loss: float
    brier: float
    labels: tuple[int, ...]
    scores: tuple[float, ...]
    reliability: Reliability
    roc: Roc | None = None
    precision_recall: Curve | None = None
    average_precision: float | None = None
    decisions: Decisions | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionSummary:
    """How well one region is outlined.

    Attributes
    ----------
    dice, iou : Estimate
        Means over images whose truth is not empty.
    median, lowest : float or None
        Of Dice.
    values : tuple of float
        Dice of each such image.
    false_alarms : Estimate
        Of images whose truth is empty, the share where something was marked.
    """

    dice: Estimate
    iou: Estimate
    median: float | None
    lowest: float | None
    values: tuple[float, ...]
    false_alarms: Estimate


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Summary:
    """Everything that was measured; what the truth or the pipeline does not say is None or empty."""

    counts: Mapping[str, int]
    patients: int
    score: ScoreSummary | None = None
    regions: Mapping[str, RegionSummary] = field(default_factory=dict)
    map_loss: Estimate | None = None
    box_precision: tuple[AveragePrecision, ...] = ()
    true_boxes: int = 0
    levels: Levels | None = None
    amounts: Amounts | None = None
    calibration: Weights | None = None
    notes: tuple[str, ...] = ()


def summarise(rows: Sequence[Row], settings: Settings, experts: Sequence[str] = ()) -> Summary:
    """Return the numbers of all judged images.

    Parameters
    ----------
    rows : sequence of Row
        Of all images.
    settings : Settings
        How they were judged.
    experts : sequence of str
        Whose weights are wanted, in the order in which they are set.
    """
    judged = [row for row in rows if row.state is State.JUDGED]
    maps = [row for row in judged if row.map_loss is not None]
    calibration = calibrated([row.experts for row in judged], experts) if settings.calibrate else None
    boxed = [row for row in judged if row.boxes is not None and row.found_boxes is not None]
    return Summary(
        counts={state.value: sum(row.state is state for row in rows) for state in State},
        patients=len({row.patient for row in judged}),
        score=_score(judged, settings),
        regions={name: _region(name, judged, settings) for name in _regions(judged)},
        map_loss=_map(maps, settings) if maps else None,
        box_precision=_boxes(boxed, settings) if boxed else (),
        true_boxes=sum(len(row.boxes or ()) for row in boxed),
        levels=_levels(judged),
        amounts=_amounts(judged, settings),
        calibration=calibration,
        notes=(*_notes(judged, settings), *((_UNCALIBRATED,) if settings.calibrate and calibration is None else ())),
    )


def _score(judged: Sequence[Row], settings: Settings) -> ScoreSummary | None:
    known = [(row, row.label, row.score) for row in judged if row.label is not None and row.score is not None]
    if not known:
        return None
    labels, values = [label for _, label, _ in known], [score for _, _, score in known]
    patients = [row.patient or 0 for row, _, _ in known]
    thresholds = {row.threshold for row, _, _ in known}
    threshold = thresholds.pop() if len(thresholds) == 1 else None
    positive = sum(labels)
    has_both = scores.has_both(labels)
    curve, average_precision = scores.precision_recall(labels, values) if has_both else (None, None)
    return ScoreSummary(
        positive=positive,
        negative=len(labels) - positive,
        log_loss=scores.log_loss(labels, values),
        brier=scores.brier(labels, values),
        labels=tuple(labels),
        scores=tuple(values),
        reliability=scores.reliability(labels, values),
        roc=scores.roc(labels, values, patients, settings.drawing) if has_both else None,
        precision_recall=curve,
        average_precision=average_precision,
        decisions=None if threshold is None else scores.decide(labels, values, threshold),
    )


def _regions(judged: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in judged for name in row.regions))


def _region(name: str, judged: Sequence[Row], settings: Settings) -> RegionSummary:
    of_region = [(row, row.regions[name]) for row in judged if name in row.regions]
    there = [(row.patient or 0, overlap) for row, overlap in of_region if overlap.truth]
    empty = [overlap for _, overlap in of_region if not overlap.truth]
    patients = [patient for patient, _ in there]
    dice = [overlap.dice or 0.0 for _, overlap in there]
    return RegionSummary(
        dice=intervals.mean(dice, patients, settings.drawing),
        iou=intervals.mean([overlap.iou or 0.0 for _, overlap in there], patients, settings.drawing),
        median=float(np.median(dice)) if dice else None,
        lowest=min(dice, default=None),
        values=tuple(dice),
        false_alarms=intervals.share(sum(overlap.is_false_alarm for overlap in empty), len(empty)),
    )


def _map(rows: Sequence[Row], settings: Settings) -> Estimate:
    return intervals.mean([row.map_loss or 0.0 for row in rows], [row.patient or 0 for row in rows], settings.drawing)


def _boxes(rows: Sequence[Row], settings: Settings) -> tuple[AveragePrecision, ...]:
    truth: Sequence[Sequence[Box]] = [row.boxes or () for row in rows]
    found: Sequence[Sequence[Box]] = [row.found_boxes or () for row in rows]
    if settings.outputs.boxes and boxes.names_of(truth) == {boxes.OF_NO_CLASS}:
        found = boxes.of_one_class(found)
    return boxes.average_precision(truth, found, settings.ious)


def _levels(judged: Sequence[Row]) -> Levels | None:
    known = [(row.level, row.found_level) for row in judged if row.level is not None and row.found_level is not None]
    return levels.compare([true for true, _ in known], [said for _, said in known]) if known else None


def _amounts(judged: Sequence[Row], settings: Settings) -> Amounts | None:
    known = [
        (row.amount, row.found_amount, row.patient or 0)
        for row in judged
        if row.amount is not None and row.found_amount is not None
    ]
    if not known:
        return None
    truth, found, patients = ([one[place] for one in known] for place in range(3))
    return amounts.compare(truth, found, [int(patient) for patient in patients], settings.drawing)


def _notes(judged: Sequence[Row], settings: Settings) -> Iterator[str]:
    """Say what must be known beside the numbers."""
    for name in settings.outputs.names:
        lacking = sum(name in row.absent for row in judged)
        if lacking and lacking == len(judged):
            yield f"The pipeline never gave {name!r}: nothing is measured of it. Is it called otherwise?"
        elif lacking:
            yield f"{lacking} of {len(judged)} images have no {name!r}; a region that is absent counts as empty."
    labels = {row.label for row in judged if row.label is not None}
    if len(labels) == 1:
        yield f"All images are {'positive' if labels == {1} else 'negative'}: the score's order cannot be judged."
    if len({row.threshold for row in judged}) > 1:
        yield "The threshold differs from image to image: give one with --threshold to judge decisions."
    if judged and len({row.patient for row in judged}) < len(judged):
        yield "Some patients have several images: these are no independent cases, and whole patients are drawn."
