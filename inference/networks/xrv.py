"""torchxrayvision's networks on chest X-rays: DenseNet-121 for findings, ChestX-Det's PSPNet for lungs.

Both are torchxrayvision's own classes, with its own pre-processing, which sees the square in the middle of an image;
their weights are ours to verify, so nothing of it that downloads or unpickles is called. Images come as a display
shows them, whatever window made them: 0 is black and 1 white, which torchxrayvision calls a `maxval` of 1.

References
----------
Cohen et al., MIDL 2022, arXiv:2111.00595 (torchxrayvision); Lian et al., IEEE TMI 2021, arXiv:2104.10326 (ChestX-Det).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms import Normalize

from inference.networks.answers import Answers, Floats, answers
from inference.resident import resident
from inference.resized import resized
from inference.weights import Verified
from inference.weights.loading import load_network

with warnings.catch_warnings():  # it silences all warnings of the process when it is imported
    import torchxrayvision as xrv
    from torchxrayvision.baseline_models.chestx_det import PSPNet
    from torchxrayvision.baseline_models.chestx_det.ptsemseg.pspnet import pspnet

CLASSIFIER_SIDE, LUNGS_SIDE = 224, 512
"""Rows and columns that DenseNet and PSPNet look at."""
_BATCH = {CLASSIFIER_SIDE: 32, LUNGS_SIDE: 4}
_LUNGS = ("Right Lung", "Left Lung")
_LUNG_FROM = 0.5
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lungs:
    """Lungs on an image, as far as they were looked for.

    Attributes
    ----------
    probabilities : ndarray of float32, shape (2, rows, columns)
        Of right and left lung, in [0, 1], on the image's own pixels; 0 where nothing is known.
    known : tuple of 2 slice
        Rows and columns of the square that the network saw; of what is outside it says nothing.
    """

    probabilities: Floats
    known: tuple[slice, slice]

    @property
    def masks(self) -> Mask:
        """Right and left lung, bool, shape (2, rows, columns); a pixel of both is the likelier one's."""
        right, left = self.probabilities
        return np.stack([(right >= _LUNG_FROM) & (right >= left), (left >= _LUNG_FROM) & (left > right)])


def findings(weights: Verified, images: Sequence[Floats], device: str) -> Answers[dict[str, float]]:
    """Score the findings of DenseNet-121.

    Parameters
    ----------
    weights : Verified
        Of the slot `xrv-densenet121-all`; names the outputs, and holds their operating points.
    images : sequence of ndarray of float32, shape (rows, columns)
        Upright, in [0, 1], bright is dense; of any size.
    device : str
        Torch device.

    Returns
    -------
    Answers of dict of float
        Finding -> score in [0, 1]; 0.5 at torchxrayvision's operating point, no probability.
    """
    return answers(
        lambda on: resident(("xrv.DenseNet", weights.sha256), on, partial(_densenet, weights)),
        [prepared(image, CLASSIFIER_SIDE) for image in images],
        lambda _, scores: dict(zip(weights.outputs, scores.tolist(), strict=True)),
        device=device,
        batch=_BATCH[CLASSIFIER_SIDE],
        dtype=torch.float32,  # it takes a hundredth of the time, and decides
    )


def lungs(weights: Verified, images: Sequence[Floats], device: str) -> Answers[Lungs]:
    """Outline right and left lung with PSPNet.

    Parameters
    ----------
    weights : Verified
        Of the slot `xrv-pspnet`.
    images : sequence of ndarray of float32, shape (rows, columns)
        Upright, the patient's right at the left, in [0, 1], bright is dense; of any size.
    device : str
        Torch device.
    """
    which = [weights.outputs.index(lung) for lung in _LUNGS]
    return answers(
        lambda on: _only(which, resident(("xrv.PSPNet", weights.sha256), on, partial(_pspnet, weights))),
        [prepared(image, LUNGS_SIDE) for image in images],
        lambda number, found: _back(found, images[number].shape),
        device=device,
        batch=_BATCH[LUNGS_SIDE],
    )


def prepared(image: Floats, side: int) -> Floats:
    """Do what torchxrayvision's documentation does before its networks.

    Parameters
    ----------
    image : ndarray of float32, shape (rows, columns)
        In [0, 1].
    side : int
        Rows and columns that the network looks at.

    Returns
    -------
    ndarray of float32, shape (1, side, side)
        In [-1024, 1024]: the square in the middle.
    """
    scaled = xrv.utils.normalize(image, maxval=1.0)[np.newaxis]
    resized: Floats = xrv.datasets.XRayResizer(side)(xrv.datasets.XRayCenterCrop()(scaled))
    return resized


def square(shape: Sequence[int]) -> tuple[slice, slice]:
    """Return rows and columns of the square in the middle of an image, as XRayCenterCrop cuts it."""
    side = min(shape)
    starts = [length // 2 - side // 2 for length in shape]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _back(found: Floats, shape: Sequence[int]) -> Lungs:
    """Lay what was found in the square on the image."""
    known = square(shape)
    side = min(shape)
    probabilities = np.zeros((len(found), *shape), dtype=np.float32)
    probabilities[:, *known] = resized(found, (side, side))
    return Lungs(probabilities=probabilities, known=known)


def _densenet(weights: Verified) -> nn.Module:
    network: nn.Module = load_network(weights, lambda: xrv.models.DenseNet(num_classes=len(weights.outputs)))
    # Not among its weights: without them it returns logits.
    network.op_threshs = torch.tensor([weights.thresholds[finding] for finding in weights.outputs])
    network.input_resolution = CLASSIFIER_SIDE  # type: ignore[assignment]  # nn.Module holds any attribute
    return network


class _Anatomy(PSPNet):  # type: ignore[misc]  # torchxrayvision ships no types
    """PSPNet as torchxrayvision uses it, around a network that has its weights."""

    def __init__(self, network: nn.Module) -> None:
        # Not the parent's: that reads a file by itself, or downloads one.
        nn.Module.__init__(self)
        self.transform = Normalize(_MEAN, _STD)
        self.model = network


def _pspnet(weights: Verified) -> nn.Module:
    return _Anatomy(load_network(weights, lambda: pspnet(len(weights.outputs))))


def _only(which: list[int], network: nn.Module) -> "partial[Tensor]":
    return partial(_probabilities, network, which)


def _probabilities(network: nn.Module, which: list[int], images: Tensor) -> Tensor:
    logits: Tensor = network(images)
    return logits[:, which].float().sigmoid()
