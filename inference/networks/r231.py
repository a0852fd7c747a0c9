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
        self.device = torch.device(device)
        self.model = load_network(weights, lambda: _unet(len(weights.outputs))).to(self.device)

    def __call__(self, hounsfield: NDArray[np.int16]) -> NDArray[np.uint8]:
        """Return 1 for right and 2 for left lung.

        Parameters
        ----------
        hounsfield : ndarray of int16, shape (slices, rows, columns)
            From feet to head, supine.
        """
        labels: NDArray[np.uint8] = self.apply(hounsfield)
        return labels


def _unet(classes: int) -> Any:  # noqa: ANN401 - untyped
    return UNet(n_classes=classes, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False)
