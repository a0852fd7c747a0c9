"""lungmask's U-Net, from verified weights, slice by slice, with what lungmask does before and after it.

The masks are those of `lungmask.LMInferer`, made with its own functions. It holds several copies of the volume in
float64 and works on one core; here only the resized slices are kept, and slices are prepared while others are computed.

References
----------
Hofmanninger et al., Eur Radiol Exp 2020;4:50.
"""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import torch
from lungmask.mask import UNet
from lungmask.utils import crop_and_resize, postprocessing, reshape_mask
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from inference import compute
from inference.batches import Batches
from inference.resident import resident
from inference.weights import Verified
from inference.weights.loading import load_network

_SIZE = 256
_LOW_HU, _HIGH_HU = -1024, 600
_BATCH_ON_CPU, _BATCH_ON_GPU = 1, 32
"""On a CPU one slice at a time is quickest: what passes from layer to layer then stays in its cache."""

Labels = NDArray[np.uint8]
logging.getLogger("lungmask").setLevel(logging.WARNING)  # it tells standard output of every step


class LungMask:
    """Lung masks of axial CT.

    Parameters
    ----------
    weights : Verified
        Of the slot `lungmask-r231`.
    device : str
        Torch device.
    """

    def __init__(self, weights: Verified, *, device: str) -> None:
        batch = _BATCH_ON_CPU if torch.device(device).type == compute.CPU else _BATCH_ON_GPU
        self._batches = Batches(lambda on: _Labelling(_network(weights, on)), device=device, batch=batch)
        self._chunk = max(batch, _BATCH_ON_GPU)

    def __call__(self, hounsfield: NDArray[Any]) -> Labels:
        """Return 1 for right and 2 for left lung.

        Parameters
        ----------
        hounsfield : ndarray of int16 or float32, shape (slices, rows, columns)
            From feet to head, supine.
        """
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            prepared = pool.map(_prepared, hounsfield)
            boxes: list[Sequence[int]] = []
            labels = np.empty((len(hounsfield), _SIZE, _SIZE), dtype=np.uint8)
            while some := list(islice(prepared, self._chunk)):
                done = len(boxes)
                labels[done : done + len(some)] = self._batches(_tensor([image for image, _ in some])).numpy()
                boxes += [box for _, box in some]
            return _on_source(_cleaned(labels), boxes, hounsfield.shape[1:], pool)

    @property
    def parameters(self) -> dict[str, str]:
        """Where and how exactly the network was computed."""
        return self._batches.parameters

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know of that."""
        return self._batches.warnings


class _Labelling(nn.Module):
    """The most probable class of every pixel, so that one byte of it leaves the device."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self._network(images)
        return logits.argmax(1).to(torch.uint8)


def _prepared(hounsfield: NDArray[Any]) -> tuple[NDArray[Any], Sequence[int]]:
    """Return a slice cut to the body at the network's size, and the box of the body."""
    image, box = crop_and_resize(hounsfield.clip(_LOW_HU, _HIGH_HU), width=_SIZE, height=_SIZE)
    return image, box


def _tensor(images: Sequence[NDArray[Any]]) -> Tensor:
    values = (np.minimum(np.stack(images), _HIGH_HU) - _LOW_HU) / (_HIGH_HU - _LOW_HU)
    return torch.from_numpy(values.astype(np.float32)[:, np.newaxis])


def _cleaned(labels: Labels) -> Labels:
    """Return what lungmask's clean-up leaves; it looks at the box of all lungs alone, beyond which nothing changes."""
    found = ndimage.find_objects((labels > 0).view(np.uint8))
    if not found:
        return labels
    # A volume of one slice is filled in another way: there must not be one where there are more.
    box = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in found[0])
    cleaned = np.zeros_like(labels)
    cleaned[box] = postprocessing(labels[box], disable_tqdm=True)
    return cleaned


def _on_source(
    labels: Labels, boxes: Sequence[Sequence[int]], size: tuple[int, ...], pool: ThreadPoolExecutor
) -> Labels:
    volume = np.zeros((len(labels), *size), dtype=np.uint8)

    def fill(index: int) -> None:
        if labels[index].any():
            volume[index] = reshape_mask(labels[index], boxes[index], size)

    for _ in pool.map(fill, range(len(labels))):
        pass  # raises what `fill` raised
    return volume


def _network(weights: Verified, device: str) -> UNet:
    dtype = compute.dtype_on(device)

    def make() -> UNet:
        network = load_network(weights, lambda: _unet(len(weights.outputs)))
        return compute.cast(_quickened(network), dtype).to(memory_format=torch.channels_last)

    return resident(("R231", weights.sha256, dtype), device, make)


def _quickened(network: UNet) -> UNet:
    """Mix channels before an image is enlarged, not after: the same, as both are linear, for a quarter of the work."""
    for step in network.up_path:
        step.up = nn.Sequential(*reversed(step.up))
    return network


def _unet(classes: int) -> UNet:
    return UNet(n_classes=classes, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False)
