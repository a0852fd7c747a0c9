"""What the benchmark knows of `opacity-boxes`: its network, called by us or as torchvision's documentation shows."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference import frontal_lungs
from inference.networks import faster_rcnn
from inference.networks.answers import Answers
from inference.networks.faster_rcnn import R50, BoxNet, NetworkBox
from inference.upright import Rectangle
from inference.weights.loading import load_network

if TYPE_CHECKING:
    from inference.weights import Verified
    from node.bench.clock import Clock

Floats = NDArray[np.float32]

SETTINGS: Mapping[str, float] = {}
SLOT = "opacity-boxes"
_COMPARED = 20
"""Certainties, the highest first."""


class Naive:
    """What `inference.networks.faster_rcnn.boxes` does, called in its place: one image after the other, in float32."""

    def __init__(self, weights: "Verified", device: str) -> None:
        self._outputs = weights.outputs
        self._network = load_network(weights, lambda: BoxNet(len(weights.outputs))).to(device)
        self._device = device

    def boxes(self, _: object, images: Sequence[Floats], *__: object, **___: object) -> Answers[tuple[NetworkBox, ...]]:
        """Find boxes."""
        parameters = {"device": self._device, "precision": "float32"}
        return Answers(each=tuple(self._found(image) for image in images), parameters=parameters)

    def _found(self, image: Floats) -> tuple[NetworkBox, ...]:
        with torch.no_grad():
            (said,) = self._network([torch.from_numpy(image).expand(3, -1, -1).to(self._device)])
        values = (said[name].tolist() for name in ("boxes", "labels", "scores"))
        return tuple(
            NetworkBox(
                place=Rectangle(left=left, top=top, right=right, bottom=bottom),
                output=self._outputs[label],
                certainty=certainty,
            )
            for (left, top, right, bottom), label, certainty in zip(*values, strict=True)
        )


def begin(weights: "Mapping[str, Verified]", *, is_naive: bool, device: str) -> type:
    """Load networks and use each once, as `node.bench.xray_run.Networks` says."""
    if is_naive:
        vars(faster_rcnn)["boxes"] = Naive(weights[SLOT], device).boxes
    faster_rcnn.boxes(weights[SLOT], [np.zeros(R50.size((1, 1)), dtype=np.float32)], device, overlap=0.5)
    return BoxNet


def listen() -> dict[str, Floats]:
    """Have how certain the boxes of the image are that was looked at first written down."""
    said: dict[str, Floats] = {}
    boxes: Callable[..., Answers[tuple[NetworkBox, ...]]] = faster_rcnn.boxes

    def heard(*args: Any, **kwargs: Any) -> Answers[tuple[NetworkBox, ...]]:  # noqa: ANN401
        answers = boxes(*args, **kwargs)
        if not said:
            certain = [box.certainty for box in answers.each[0][:_COMPARED]]
            said["certainties"] = np.array(certain + [0.0] * (_COMPARED - len(certain)), dtype=np.float32)
        return answers

    vars(faster_rcnn)["boxes"] = heard
    return said


def watch(_: type, clock: "Clock") -> None:
    """Time every network from now on."""

    def looked(_: object, images: Sequence[Floats], *__: object, **___: object) -> str:
        return clock.count_sizes("Faster R-CNN", [(image.shape[0], image.shape[1]) for image in images])

    clock.watch(faster_rcnn, "boxes", looked)
    clock.watch(frontal_lungs, "frontal_lungs", lambda *_: "lung-fields")
