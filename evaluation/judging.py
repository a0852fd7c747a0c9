"""One image: what the pipeline says of it against what is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from evaluation import maps
from evaluation.boxes import Box, class_name, filled
from evaluation.intervals import Drawing
from evaluation.outputs import Outputs, Prediction
from evaluation.overlap import Mask, Overlap, overlap
from evaluation.rows import Row
from evaluation.truth.known import Truth, slug
from evaluation.truth.masks import read_mask
from inference.findings import Refusal, SelectionRefusedError
from inference.selected import Selected

DEFAULT_IOUS = (0.4, 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a pipeline is judged.

    Attributes
    ----------
    missed_weight, floor : float
        Of the weighted log loss, see `evaluation.maps`.
    ious : tuple of float
        Overlaps at which boxes count as found.
    fill_boxes : bool
        Whether true boxes are masks too, filled, for pipelines that say what pixels are.
    calibrate : bool
        Whether each expert's own map is judged.
    pictures : int
        How many of the worst images are shown.
    """

    outputs: Outputs
    missed_weight: float = maps.MISSED_WEIGHT
    floor: float = maps.FLOOR
    ious: tuple[float, ...] = DEFAULT_IOUS
    fill_boxes: bool = False
    calibrate: bool = False
    pictures: int = 8
    drawing: Drawing = field(default_factory=Drawing)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Masks:
    """Truth and prediction of each region, and of all of them together, shape (n, rows, columns)."""

    truth: Mapping[str, Mask]
    found: Mapping[str, Mask]

    @property
    def all_truth(self) -> Mask:
        """Where anything is."""
        return reduce(np.logical_or, self.truth.values())

    @property
    def all_found(self) -> Mask | None:
        """Where the pipeline marks anything; None where it marks nothing ever."""
        return reduce(np.logical_or, self.found.values()) if self.found else None


def masks_of(truth: Truth, prediction: Prediction, source: Selected, settings: Settings) -> Masks | None:
    """Return what is compared pixel by pixel; None where the truth does not say it.

    Raises
    ------
    inference.findings.SelectionRefusedError
        If a mask cannot be read or is of another size, or a box lies outside the image.
    """
    known = {region: read_mask(path, source) for region, path in truth.masks.items()}
    if truth.boxes is not None and len(source.pixel_array) == 1:
        of_boxes = _filled(truth.boxes, source)
        known = {"": of_boxes} if settings.fill_boxes else {}
    if not known:
        return None
    outputs = settings.outputs
    if any(slug(part) in known for part in outputs.parts):
        known = {"": reduce(np.logical_or, known.values())}
    if "" in known:
        whole = _joined(prediction.masks)
        return Masks(truth={outputs.joined: known[""]}, found={outputs.joined: whole} if whole is not None else {})
    found = {name: mask for name, mask in prediction.masks.items() if slug(name) in known}
    return Masks(truth={name: known[slug(name)] for name in found}, found=found)


def judge(row: Row, truth: Truth, prediction: Prediction, masks: Masks | None, settings: Settings) -> Row:
    """Return the row of an image with all that could be compared."""
    is_there = truth.label
    if masks is not None and is_there is None:
        is_there = int(masks.all_truth.any())
    return replace(
        row,
        label=is_there if settings.outputs.score else None,
        score=prediction.score,
        threshold=prediction.threshold,
        level=truth.level,
        found_level=prediction.level,
        regions=_overlaps(masks),
        map_loss=None if masks is None or prediction.map is None else loss(prediction.map, masks.all_truth, settings),
        boxes=_of_one_class(truth.boxes, settings.outputs),
        found_boxes=prediction.boxes if truth.boxes is not None and _has_boxes(settings.outputs) else None,
        absent=prediction.absent,
    )


def loss(values: NDArray[np.float32], truth: Mask, settings: Settings) -> float:
    """Return the weighted log loss of a map."""
    return maps.weighted_log_loss(values, truth, missed_weight=settings.missed_weight, floor=settings.floor)


def _overlaps(masks: Masks | None) -> dict[str, Overlap]:
    if masks is None:
        return {}
    return {name: overlap(masks.truth[name], found) for name, found in masks.found.items()}


def _joined(masks: Mapping[str, Mask]) -> Mask | None:
    return reduce(np.logical_or, masks.values()) if masks else None


def _has_boxes(outputs: Outputs) -> bool:
    return outputs.boxes or bool(outputs.masks)


def _of_one_class(boxes: tuple[Box, ...] | None, outputs: Outputs) -> tuple[Box, ...] | None:
    """Name true boxes as those round the parts of masks are, which know no classes, or as a pipeline names its own."""
    if boxes is None or not _has_boxes(outputs):
        return boxes
    if outputs.boxes:
        return tuple(replace(box, name=class_name(box.name)) for box in boxes)
    return tuple(replace(box, name=outputs.joined) for box in boxes)


def _filled(boxes: tuple[Box, ...], source: Selected) -> Mask:
    rows, columns = source.pixel_array.shape[1:]
    for box in boxes:
        if box.x + box.width > columns + 1 or box.y + box.height > rows + 1:
            raise SelectionRefusedError(
                Refusal(
                    code="box-outside",
                    reason=f"A box reaches to {box.x + box.width:g} x {box.y + box.height:g}, "
                    f"beyond the image's {columns} x {rows}.",
                    remedy="Give boxes in the pixels of the stored image.",
                )
            )
    return filled(boxes, (rows, columns))[np.newaxis]
