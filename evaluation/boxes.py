"""Boxes against boxes: average precision, as pycocotools computes it, at any overlap.

Takes plain values, so that whatever finds boxes can be judged.

References
----------
Lin et al., Microsoft COCO, ECCV 2014; Everingham et al., IJCV 2010, 88:303-338. Precision is read off at 101 levels of
sensitivity; a class that the truth does not have counts for nothing.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evaluation.overlap import Mask

MOST_BOXES = 100
"""Of one image that count, the most certain first."""
OF_NO_CLASS = "opacity"
"""Name of boxes of a truth that has no classes."""
_APPEARANCE = " appearance"


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A rectangle on the stored pixels of an image: left edge, top edge, width and height.

    Attributes
    ----------
    name : str
        Of its class.
    score : float
        Certainty, of a box that was found.
    """

    x: float
    y: float
    width: float
    height: float
    name: str = OF_NO_CLASS
    score: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AveragePrecision:
    """Of one overlap; None where the truth has no such box.

    Attributes
    ----------
    mean : float or None
        Over the classes of the truth.
    any_class : float or None
        Of all boxes taken as of one class: where they are, whatever they are called.
    """

    iou: float
    by_class: dict[str, float]
    mean: float | None
    any_class: float | None = None


def average_precision(
    truth: Sequence[Sequence[Box]], found: Sequence[Sequence[Box]], ious: Sequence[float]
) -> tuple[AveragePrecision, ...]:
    """Return the average precision at each overlap.

    Parameters
    ----------
    truth, found : sequence of sequence of Box
        Of the same images.
    ious : sequence of float
        Least overlap (common part over union) with which a box counts as found.
    """
    names = sorted(names_of(truth))
    if not names:
        return tuple(AveragePrecision(iou=iou, by_class={}, mean=None) for iou in ious)
    of_any = _precision(of_one_class(truth), of_one_class(found), ious, [OF_NO_CLASS])[:, :, 0].mean(axis=1)
    precision = _precision(truth, found, ious, names)
    results = []
    for number, iou in enumerate(ious):
        by_class = {name: float(precision[number, :, index].mean()) for index, name in enumerate(names)}
        mean = float(np.mean(list(by_class.values())))
        results.append(AveragePrecision(iou=iou, by_class=by_class, mean=mean, any_class=float(of_any[number])))
    return tuple(results)


def names_of(images: Sequence[Sequence[Box]]) -> set[str]:
    """Return the classes of all boxes."""
    return {box.name for boxes in images for box in boxes}


def of_one_class(images: Sequence[Sequence[Box]]) -> list[list[Box]]:
    """Return boxes without their classes."""
    return [[replace(box, name=OF_NO_CLASS) for box in boxes] for boxes in images]


def class_name(name: str) -> str:
    """Return the class of a box as truth and pipelines are compared by it: "Typical appearance" is typical."""
    return name.casefold().removesuffix(_APPEARANCE).strip()


def boxes_of(mask: Mask, scores: np.ndarray[Any, Any] | None, name: str) -> Iterator[Box]:
    """Yield the box round each connected part of a mask; how certain it is says the mean of the map in it."""
    from scipy import ndimage

    parts, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    for number, place in enumerate(ndimage.find_objects(parts), start=1):
        rows, columns = place
        score = 1.0 if scores is None else float(scores[place][parts[place] == number].mean())
        yield Box(
            x=float(columns.start),
            y=float(rows.start),
            width=float(columns.stop - columns.start),
            height=float(rows.stop - rows.start),
            name=name,
            score=score,
        )


def filled(boxes: Sequence[Box], shape: tuple[int, int]) -> Mask:
    """Return the mask that boxes cover, a pixel where its centre lies in one."""
    mask = np.zeros(shape, dtype=bool)
    for box in boxes:
        top, bottom = (max(0, round(edge)) for edge in (box.y, box.y + box.height))
        left, right = (max(0, round(edge)) for edge in (box.x, box.x + box.width))
        mask[top:bottom, left:right] = True
    return mask


def _precision(
    truth: Sequence[Sequence[Box]], found: Sequence[Sequence[Box]], ious: Sequence[float], names: list[str]
) -> np.ndarray[Any, Any]:
    """Return precision by overlap, level of sensitivity and class."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    known, said = COCO(), COCO()
    for coco, boxes in ((known, truth), (said, found)):
        coco.dataset = {
            "images": [{"id": image} for image in range(len(truth))],
            "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
            "annotations": list(_annotations(boxes, names)),
        }
    with redirect_stdout(io.StringIO()):  # it prints how long it took
        known.createIndex()
        said.createIndex()
        judge = COCOeval(known, said, "bbox")
        judge.params.iouThrs = np.asarray(ious, dtype=np.float64)
        judge.params.maxDets = [MOST_BOXES]
        judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
        judge.evaluate()
        judge.accumulate()
    precision: np.ndarray[Any, Any] = judge.eval["precision"][:, :, :, 0, 0]
    return precision


def _annotations(images: Sequence[Sequence[Box]], names: list[str]) -> Iterator[dict[str, Any]]:
    number = 0
    for image, boxes in enumerate(images):
        for box in boxes:
            if box.name in names:
                number += 1  # pycocotools takes number 0 for no box
                yield {
                    "id": number,
                    "image_id": image,
                    "category_id": names.index(box.name),
                    "bbox": [box.x, box.y, box.width, box.height],
                    "area": box.width * box.height,
                    "iscrowd": 0,
                    "score": box.score,
                }
