"""Images with boxes -> the network of `opacity-boxes`, started from COCO."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluation.boxes import class_name
from inference.networks.faster_rcnn import R50, Widths, names_of_today
from inference.opacity_boxes.appearances import BACKGROUND, NO_PNEUMONIA
from inference.weights import Shelf, manifest
from inference.weights.loading import read_state
from training.errors import TrainingError
from training.images import kinds
from training.images.labelled import Images, LabelledImage
from training.images.readable import readable
from training.loop.making import make as make_task
from training.loop.plan import Plan
from training.loop.task import Start
from training.opacity_boxes.numbers import Numbers
from training.opacity_boxes.task import SLOT, BoxesTask, Made

COCO = "fasterrcnn-coco"
_HEAD = "roi_heads.box_predictor."


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """What a training reads, and where it may write.

    Attributes
    ----------
    data, out : Path
        Folders of the images, and of the files to write.
    weights : Path or None
        Weights folder with those from COCO; None starts from random values.
    """

    data: Path
    out: Path
    weights: Path | None


@dataclass(frozen=True, kw_only=True, slots=True)
class How:
    """What a person chose.

    Attributes
    ----------
    changed : Mapping[str, Any]
        Fields of `Numbers` that differ.
    common : Mapping[str, Any]
        Fields of `Plan` but epochs and batch.
    widths : Widths
        Of the network.
    """

    changed: Mapping[str, Any] = field(default_factory=dict)
    common: Mapping[str, Any] = field(default_factory=dict)
    widths: Widths = R50


def make(sources: Sources, how: How) -> dict[str, Any]:
    """Train; return what the card says.

    Raises
    ------
    TrainingError
        If there are no images, or their truth is no boxes with the classes of the slot.
    inference.weights.WeightsRefusedError
        If the weights from COCO are wanted and not installed.
    """
    start = _start(sources.weights)
    images = kinds.read(sources.data)
    _check(images)
    images = readable(images, sources.out / "readable.json", workers=how.common.get("workers", 0))
    numbers = replace(Numbers(), **how.changed)
    plan = Plan(epochs=numbers.epochs, batch=numbers.batch, **how.common)
    made = Made(numbers=numbers, start=start, place=sources.data, data=images.told(), widths=how.widths)
    return make_task(BoxesTask(images.usable, made), plan, sources.out)


def _start(weights: Path | None) -> Start:
    """Return what was learnt from COCO, but for the head, whose classes are others."""
    if weights is None:
        return Start()
    verified = Shelf(weights).require(COCO)[COCO]
    state = names_of_today(read_state(verified))
    kept = {name: value for name, value in state.items() if not name.startswith(_HEAD)}
    return Start(said=f"{COCO}, sha256 {verified.sha256}, without its head", state=kept)


def _check(images: Images) -> None:
    known = {class_name(name) for name in manifest.SLOTS[SLOT].outputs} - {BACKGROUND, NO_PNEUMONIA}
    unknown = sorted({name for image in images.usable for name in _classes(image)} - known)
    if unknown:
        raise TrainingError(
            f"{images.place}: boxes of {', '.join(unknown)}; a box must be of {', '.join(sorted(known))}, as those of "
            "SIIM-FISABIO-RSNA are"
        )
    if masked := [image.name for image in images.usable if image.boxes is None]:
        raise TrainingError(f"{images.place}: {masked[0]} has a mask in place of boxes; give boxes with their classes")
    if not any(image.boxes for image in images.usable):
        raise TrainingError(f"{images.place}: no image has a box")


def _classes(image: LabelledImage) -> list[str]:
    return [class_name(box.name) for box in image.boxes or ()]
