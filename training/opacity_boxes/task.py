"""What is learnt: the boxes of images, with their classes, on what `inference.opacity_boxes` shows of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from evaluation.boxes import Box, class_name
from evaluation.judging import Settings
from evaluation.outputs import DEFAULTS
from evaluation.rows import Row, State
from evaluation.truth.known import Kind
from inference.networks.faster_rcnn import LEAST_CERTAINTY, R50, BoxNet, NetworkBox, Widths, found_on, looked_at
from inference.opacity_boxes.choice import choose
from inference.opacity_boxes.options import SETTINGS, Options
from inference.opacity_boxes.prepared import Prepared, prepared
from inference.upright import Rectangle
from inference.weights import manifest
from training.errors import TrainingError
from training.images.labelled import LabelledImage, Read
from training.loop.task import Start, Task
from training.opacity_boxes.numbers import Numbers

SLOT = "opacity-boxes"
_USUAL = Options(threshold=float(str(SETTINGS["threshold"].default)), boxes=5, overlap=0.5)
_ALL = Options(threshold=LEAST_CERTAINTY, boxes=100, overlap=0.5)
_LIMITS = (
    "Images without pneumonia are learnt as nothing but background: no box is of no pneumonia.",
    "Images are cut as rows and columns say, widened to their boxes; the pipeline widens to the lungs that it finds.",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What the task is made of.

    Attributes
    ----------
    numbers : Numbers
        How it is learnt.
    start : Start
        What the network begins with, without the head of the classes.
    place : Path
        Where the images are.
    data : Mapping
        What they are, for the card.
    widths : Widths
        Of the network.
    """

    numbers: Numbers
    start: Start
    place: Path
    data: Mapping[str, Any]
    widths: Widths = R50


class BoxesTask(Task[LabelledImage]):
    """Faster R-CNN by stochastic gradient descent, as the source trained it.

    Parameters
    ----------
    examples : sequence of LabelledImage
        With boxes; `training.opacity_boxes.recipe` sees to their classes.
    made : Made
        How.
    """

    slot = SLOT
    limits = _LIMITS
    kind = Kind.BOXES
    settings = Settings(outputs=DEFAULTS[SLOT])
    watches = False  # in evaluation mode torchvision has no losses

    def __init__(self, examples: Sequence[LabelledImage], made: Made) -> None:
        super().__init__(examples)
        self._made = made
        self._outputs = manifest.SLOTS[SLOT].outputs
        self.numbers = {**asdict(made.numbers), **asdict(made.widths)}
        self.start, self.place, self.data = made.start, made.place, made.data

    def network(self) -> BoxNet:
        """Make the network: with frozen normalisations where it has a start, as torchvision does."""
        state = self.start.state
        network = BoxNet(len(self._outputs), self._made.widths, eps=None if state is None else 0.0)
        if state is not None:
            network.load_state_dict({**network.state_dict(), **state})
        return network

    def frozen(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the first stages of a network that has a start; torchvision freezes as many."""
        if self.start.state is None or not isinstance(network, BoxNet):
            return ()
        body = network.backbone.body
        return (body.conv1, body.bn1, body.layer1)

    def sample(self, number: int, *, varied: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return the image as the network sees it, its boxes there, and their classes."""
        example = self.examples[number]
        read = example.read()
        shown = prepared(read.pixels, self._made.widths.size, read.opacity)
        places = [shown.from_image(place) for place in _upright(read, example.boxes or ())]
        edges = torch.tensor([[one.left, one.top, one.right, one.bottom] for one in places], dtype=torch.float32)
        labels = [self._outputs.index(name) for name in output_names(example)]
        pixels, boxes = torch.from_numpy(shown.pixels), _within(edges.reshape(-1, 4), shown)
        if varied:
            pixels, boxes = self._varied(pixels, boxes)
        return pixels, boxes, torch.tensor(labels, dtype=torch.int64)

    def collate(self, samples: list[Any]) -> Any:  # noqa: ANN401 - lists of tensors of different sizes
        """Return images and targets, as torchvision takes them."""
        images, boxes, labels = zip(*samples, strict=True)
        return list(images), [{"boxes": b, "labels": c} for b, c in zip(boxes, labels, strict=True)]

    def losses(self, network: nn.Module, batch: Any) -> Mapping[str, Tensor]:  # noqa: ANN401 - of `collate`
        """Return the source's sum, and torchvision's four losses."""
        images, targets = batch
        _, said = looked_at(network, images, targets)  # type: ignore[arg-type]  # it is the one that was made
        loss = self._made.numbers.loss(said)
        if not torch.isfinite(loss):
            raise TrainingError("The loss is no number any more: begin anew with a lower --learning-rate.")
        return {"loss": loss, **said}

    def optimizer(self, parameters: Sequence[nn.Parameter]) -> Optimizer:
        """Stochastic gradient descent."""
        return _Descent(parameters, self._made.numbers)

    def schedule(self, optimizer: Optimizer, *, steps: int, epochs: int) -> LRScheduler | None:
        """Leave the rate as it is, or let it rise and fall once."""
        numbers = self._made.numbers
        return OneCycleLR(optimizer, numbers.learning_rate, steps * epochs) if numbers.one_cycle else None

    def judged(self, network: nn.Module, number: int, device: str) -> Row:  # noqa: ARG002 - the network lies there
        """Compare boxes and score with the truth, on the stored pixels, as the pipeline finds them."""
        example = self.examples[number]
        read = example.read()
        shown = prepared(read.pixels, self._made.widths.size)
        found = found_on(network, shown.pixels, self._outputs)  # type: ignore[arg-type]  # the one that was made
        return Row(
            path="",
            state=State.JUDGED,
            label=int(example.is_opaque),
            score=choose(found, _USUAL).score,
            threshold=_USUAL.threshold,
            boxes=tuple(
                Box(x=b.x, y=b.y, width=b.width, height=b.height, name=class_name(b.name)) for b in _boxes(example)
            ),
            found_boxes=tuple(_stored(box, shown, read) for box in choose(found, _ALL).findings),
        )

    def _varied(self, pixels: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Mirror some, and change all greys a little."""
        numbers = self._made.numbers
        if float(torch.rand(())) < numbers.flipped:
            columns = pixels.shape[1]
            pixels = pixels.flip(-1)
            boxes = torch.stack([columns - boxes[:, 2], boxes[:, 1], columns - boxes[:, 0], boxes[:, 3]], dim=1)
        stretched, lifted = (numbers.brighter * (2 * float(value) - 1) for value in torch.rand(2))
        return (pixels * (1 + stretched) + lifted).clamp(0, 1), boxes


class _Descent(SGD):
    """Stochastic gradient descent that goes down no steeper than it may."""

    def __init__(self, parameters: Sequence[nn.Parameter], numbers: Numbers) -> None:
        super().__init__(
            parameters, lr=numbers.learning_rate, momentum=numbers.momentum, weight_decay=numbers.weight_decay
        )
        self._steepest = numbers.steepest

    def step(self, closure: Any = None) -> Any:  # noqa: ANN401 - torch's
        loss = closure() if closure else None  # lightning computes the gradients in it
        if self._steepest is not None:
            clip_grad_norm_([value for group in self.param_groups for value in group["params"]], self._steepest)
        super().step()
        return loss


def output_names(example: LabelledImage) -> Iterator[str]:
    """Yield the network's name for the class of each box: that which sounds like it."""
    known = {class_name(name): name for name in manifest.SLOTS[SLOT].outputs}
    for box in _boxes(example):
        yield known[class_name(box.name)]


def _boxes(example: LabelledImage) -> tuple[Box, ...]:
    return example.boxes or ()


def _upright(read: Read, boxes: Sequence[Box]) -> Iterator[Rectangle]:
    for box in boxes:
        place = Rectangle(left=box.x, top=box.y, right=box.x + box.width, bottom=box.y + box.height)
        yield read.upright.turn_rectangle(place, _stored_shape(read))


def _stored(box: NetworkBox, shown: Prepared, read: Read) -> Box:
    place = read.upright.turn_rectangle_back(shown.to_image(box.place), read.pixels.shape)
    return Box(
        x=place.left,
        y=place.top,
        width=place.right - place.left,
        height=place.bottom - place.top,
        name=class_name(box.output),
        score=box.certainty,
    )


def _stored_shape(read: Read) -> tuple[int, ...]:
    return read.pixels.shape[::-1] if read.upright.transposed else read.pixels.shape


def _within(boxes: Tensor, shown: Prepared) -> Tensor:
    """Return boxes without what rounding puts beyond the image."""
    rows, columns = shown.pixels.shape
    return torch.minimum(boxes.clamp(min=0), torch.tensor([columns, rows, columns, rows], dtype=torch.float32))
