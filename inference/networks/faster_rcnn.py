"""Faster R-CNN with a ResNet-50 and a feature pyramid: boxes around what it was trained to find.

torchvision's own `FasterRCNN`, so its names are those of the weights. Normalisations of the ResNet are frozen, with an
epsilon of 0 as torchvision has it from COCO on; weights that count their batches learnt with running ones, and get
theirs.

References
----------
Ren et al., NeurIPS 2015, arXiv:1506.01497 (Faster R-CNN); Lin et al., CVPR 2017, arXiv:1612.03144 (FPN).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from inference import compute
from inference.batches import Batches
from inference.networks.answers import Answers, Floats
from inference.networks.roi_rows import CELLS, SAMPLES, read_by_rows
from inference.resident import resident
from inference.upright import Rectangle
from inference.weights import Verified
from inference.weights.loading import fit, read_state

LEAST_CERTAINTY = 0.05
"""Of a box; of others the network says nothing."""
MOST_BOXES = 100
"""On one image."""
_BATCH = 8
_REDUCTION = 32
_STAGES, _FIRST = 4, 64
_LEVELS = [str(stage) for stage in range(_STAGES)]
_RUNNING_EPS = 1e-5
_COUNTED = ".num_batches_tracked"
_RENAMED = (
    (re.compile(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$"), r"\1.0.\2"),
    (re.compile(r"^(rpn\.head\.conv)\.(weight|bias)$"), r"\1.0.0.\2"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Widths:
    """How large a network is, and how large what it looks at.

    Attributes
    ----------
    blocks : tuple of 4 int
        Of each stage of the ResNet.
    narrower : int
        By which the channels of its stages are divided.
    pyramid, head : int
        Channels of the pyramid, and of the two layers that look at a box.
    anchors : tuple of 5 int
        Sides of the boxes that it starts from, in its pixels.
    shorter, longer : int
        An image is brought to this shorter side, or to that longer one where it would exceed it.
    proposals : tuple of 2 int
        Places of each level that are looked at closer, and of all of them: while it learns, and else.
    sampled : tuple of 2 int
        Anchors and places of an image that it learns from.
    """

    blocks: tuple[int, ...] = (3, 4, 6, 3)
    narrower: int = 1
    pyramid: int = 256
    head: int = 1024
    anchors: tuple[int, ...] = (32, 64, 128, 256, 512)
    shorter: int = 800
    longer: int = 1333
    proposals: tuple[int, int] = (2000, 1000)
    sampled: tuple[int, int] = (256, 512)

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """Return the rows and columns that an image is brought to, its proportions kept."""
        scale = min(self.shorter / min(shape), self.longer / max(shape))
        rows, columns = (max(1, round(length * scale)) for length in shape)
        return rows, columns


R50 = Widths()
"""`fasterrcnn_resnet50_fpn` of torchvision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkBox:
    """A box that the network found.

    Attributes
    ----------
    place : Rectangle
        On the image that it saw.
    output : str
        What it calls it.
    certainty : float
        From `LEAST_CERTAINTY` to 1; no probability.
    """

    place: Rectangle
    output: str
    certainty: float


class _Narrower(ResNet):  # type: ignore[misc]  # torchvision ships no types
    """A ResNet of bottlenecks whose stages have fewer channels."""

    def __init__(self, widths: Widths, normalisation: Callable[..., nn.Module]) -> None:
        self._by = widths.narrower
        super().__init__(Bottleneck, list(widths.blocks), norm_layer=normalisation)

    def _make_layer(self, block: Any, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:  # noqa: ANN401
        stage: nn.Sequential = super()._make_layer(block, planes // self._by, *args, **kwargs)
        return stage


class _Backbone(BackboneWithFPN):  # type: ignore[misc]  # torchvision ships no types
    """A ResNet with a feature pyramid."""

    def __init__(self, widths: Widths, eps: float | None) -> None:
        first = _FIRST * Bottleneck.expansion // widths.narrower
        super().__init__(
            _Narrower(widths, nn.BatchNorm2d if eps is None else partial(FrozenBatchNorm2d, eps=eps)),
            {f"layer{number}": level for number, level in enumerate(_LEVELS, start=1)},
            [first * 2**stage for stage in range(_STAGES)],
            widths.pyramid,
        )


class BoxNet(FasterRCNN):  # type: ignore[misc]  # torchvision ships no types
    """The network.

    Parameters
    ----------
    classes : int
        With background, which is the first.
    widths : Widths
        How large it is.
    eps : float or None
        Of frozen normalisations; None makes running ones, which a network without a start learns with.
    overlap : float
        Of two boxes of one class with a larger one (common part over union) only the more certain one stays.
    """

    def __init__(self, classes: int, widths: Widths = R50, *, eps: float | None = 0.0, overlap: float = 0.5) -> None:
        pool = MultiScaleRoIAlign(_LEVELS, output_size=CELLS, sampling_ratio=SAMPLES)
        super().__init__(
            _Backbone(widths, eps),
            min_size=widths.shorter,
            max_size=widths.longer,
            rpn_anchor_generator=AnchorGenerator(
                tuple((side,) for side in widths.anchors), ((0.5, 1.0, 2.0),) * len(widths.anchors)
            ),
            rpn_pre_nms_top_n_train=widths.proposals[0],
            rpn_post_nms_top_n_train=widths.proposals[0],
            rpn_pre_nms_top_n_test=widths.proposals[1],
            rpn_post_nms_top_n_test=widths.proposals[1],
            rpn_batch_size_per_image=widths.sampled[0],
            box_batch_size_per_image=widths.sampled[1],
            box_roi_pool=pool,
            box_head=TwoMLPHead(widths.pyramid * CELLS**2, widths.head),
            box_predictor=FastRCNNPredictor(widths.head, classes),
            box_score_thresh=LEAST_CERTAINTY,
            box_nms_thresh=overlap,
            box_detections_per_img=MOST_BOXES,
        )


def boxes(
    weights: Verified, images: Sequence[Floats], device: str, *, overlap: float
) -> Answers[tuple[NetworkBox, ...]]:
    """Find boxes.

    Parameters
    ----------
    weights : Verified
        Names the classes, background first.
    images : sequence of ndarray of float32, shape (rows, columns)
        In [0, 1], each of the size that `Widths.size` gives.
    device : str
        Torch device.
    overlap : float
        As of `BoxNet`.

    Returns
    -------
    Answers of tuple of NetworkBox
        Of each image, the most certain first.
    """
    found: list[tuple[NetworkBox, ...]] = [()] * len(images)
    run = Batches(lambda on: partial(_found, _resident(weights, on, overlap), images), device=device, batch=_BATCH)
    for numbers in _alike(images):
        for number, rows in zip(numbers, run(torch.tensor(numbers)).numpy(), strict=True):
            found[number] = _named(rows, weights.outputs)
    return Answers(each=tuple(found), parameters=run.parameters, warnings=run.warnings)


def _resident(weights: Verified, device: str, overlap: float) -> BoxNet:
    dtype = compute.dtype_on(device)

    def make() -> BoxNet:
        network = _network(weights, overlap)
        fold(network.backbone)
        compute.cast(network.backbone, dtype)
        network.to(memory_format=torch.channels_last)
        if torch.device(device).type == compute.CPU:  # a GPU has an operation of its own for it
            read_by_rows(network, _LEVELS)
        return network

    return resident(("Faster R-CNN", weights.sha256, dtype, overlap), device, make)


def _network(weights: Verified, overlap: float) -> BoxNet:
    state = names_of_today(read_state(weights))
    has_running = any(name.endswith(_COUNTED) for name in state)
    network = BoxNet(len(weights.outputs), R50, eps=_RUNNING_EPS if has_running else 0.0, overlap=overlap)
    fit(network, {name: value for name, value in state.items() if not name.endswith(_COUNTED)}, weights)
    return network


def fold(network: nn.Module) -> None:
    """Take frozen normalisations into the convolutions before them: the same numbers, without passes over memory."""
    for module in list(network.modules()):
        for (_, before), (name, after) in pairwise(list(module.named_children())):
            if isinstance(before, nn.Conv2d) and isinstance(after, FrozenBatchNorm2d):
                scale = after.weight * (after.running_var + after.eps).rsqrt()
                before.weight.data = before.weight * scale[:, None, None, None]
                before.bias = nn.Parameter(after.bias - after.running_mean * scale, requires_grad=False)
                setattr(module, name, nn.Identity())


def names_of_today(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of torchvision before 0.14, such as those from COCO, under the names that they have now."""
    renamed = {}
    for name, value in state.items():
        for old, new in _RENAMED:
            name = old.sub(new, name)  # noqa: PLW2901 - step by step
        renamed[name] = value
    return renamed


def looked_at(
    network: BoxNet, images: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]] | None = None
) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """Return the boxes of images, or the losses of a network that learns.

    As `FasterRCNN` itself goes, but that only the backbone is computed in fewer bits: edges in bfloat16 have three
    digits.

    Parameters
    ----------
    network : BoxNet
        In evaluation mode, or in training mode with targets.
    images : sequence of Tensor, shape (rows, columns)
        In [0, 1], each of the size that `Widths.size` gives.
    targets : sequence of Mapping of Tensor, optional
        ``boxes``, shape (n, 4), and ``labels``, shape (n,), as torchvision wants them.
    """
    shown, wanted = network.transform([image.expand(3, -1, -1) for image in images], targets)
    features = network.backbone(shown.tensors.to(memory_format=torch.channels_last))
    with torch.autocast(shown.tensors.device.type, enabled=False):
        features = {level: values.float() for level, values in features.items()}
        proposals, losses = network.rpn(shown, features, wanted)
        found, others = network.roi_heads(features, proposals, shown.image_sizes, wanted)
    return found, {**losses, **others}


def found_on(network: BoxNet, image: Floats, outputs: Sequence[str]) -> tuple[NetworkBox, ...]:
    """Return what a network in evaluation mode finds on an image, shape (rows, columns), as `boxes` does."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        rows = _found(network, [image], torch.tensor([0], device=device))[0]
    return _named(rows.cpu().numpy(), outputs)


def _found(network: BoxNet, images: Sequence[Floats], numbers: Tensor) -> Tensor:
    """Return boxes of the images with these numbers, shape (n, MOST_BOXES, 6): edges, class, certainty; else 0."""
    shown = [torch.from_numpy(images[number]).to(numbers.device) for number in numbers.tolist()]
    found, _ = looked_at(network, shown)
    rows = torch.zeros((len(found), MOST_BOXES, 6), device=numbers.device)
    for row, one in zip(rows, found, strict=True):
        said = torch.cat([one["boxes"], one["labels"][:, None].float(), one["scores"][:, None]], dim=1)
        row[: len(said)] = said
    return rows


def _named(rows: Floats, outputs: Sequence[str]) -> tuple[NetworkBox, ...]:
    return tuple(_box(row, outputs) for row in rows if row[-1] > 0)


def _box(row: Floats, outputs: Sequence[str]) -> NetworkBox:
    left, top, right, bottom, output, certainty = row.tolist()
    place = Rectangle(left=left, top=top, right=right, bottom=bottom)
    return NetworkBox(place=place, output=outputs[round(output)], certainty=certainty)


def _alike(images: Sequence[Floats]) -> list[list[int]]:
    """Return the numbers of images that get the same border, so that none sees what another's is."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault(tuple(-(-length // _REDUCTION) for length in image.shape), []).append(number)
    return list(groups.values())
