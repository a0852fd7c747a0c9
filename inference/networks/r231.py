"""lungmask's U-Net, from verified weights.

References
----------
Hofmanninger et al., Eur Radiol Exp 2020;4:50.
"""

from typing import Any

import numpy as np
import torch
from lungmask import LMInferer
from lungmask.mask import UNet
from numpy.typing import NDArray

from inference.batches import Batches
from inference.resident import resident
from inference.weights import Verified
from inference.weights.loading import load_network

_BATCH = 8


class LungMask(LMInferer):  # type: ignore[misc]  # lungmask ships no types
    """Lung masks of axial CT; what it does before and after its network is lungmask's own.

    Parameters
    ----------
    weights : Verified
        Of the slot `lungmask-r231`.
    device : str
        Torch device.
    """

    def __init__(self, weights: Verified, *, device: str) -> None:
        # Not the parent's: that reads a file by itself, or downloads one.
        self.fillmodel, self.batch_size, self.volume_postprocessing, self.tqdm_disable = None, _BATCH, True, True
        self.device = torch.device("cpu")  # where it puts a batch; `Batches` takes it on from there
        self.model = Batches(lambda on: _network(weights, on), device=device, batch=_BATCH)

    def __call__(self, hounsfield: NDArray[Any]) -> NDArray[np.uint8]:
        """Return 1 for right and 2 for left lung.

        Parameters
        ----------
        hounsfield : ndarray of int16 or float32, shape (slices, rows, columns)
            From feet to head, supine.
        """
        labels: NDArray[np.uint8] = self.apply(hounsfield)
        return labels

    @property
    def parameters(self) -> dict[str, str]:
        """Where and how exactly the network was computed."""
        return self.model.parameters

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know of that."""
        return self.model.warnings


def _network(weights: Verified, device: str) -> UNet:
    def make() -> UNet:
        network = load_network(weights, lambda: _unet(len(weights.outputs)))
        return network.to(memory_format=torch.channels_last)

    return resident(("R231", weights.sha256), device, make)


def _unet(classes: int) -> UNet:
    return UNet(n_classes=classes, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False)
