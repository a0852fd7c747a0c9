"""The experts of `opacity-ensemble`: verified weights -> the networks, resident on a device."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from inference.networks import convnext_fpn, nnunet, xrv
from inference.networks.answers import NotedNetworks
from inference.opacity_ensemble.ensemble import CONVNEXT, NNUNET_336, NNUNET_768
from inference.weights import Verified

Floats = NDArray[np.float32]

_SIDES = {NNUNET_336: ("opacity-ensemble-nnunet-336", 336), NNUNET_768: ("opacity-ensemble-nnunet-768", 768)}


class Networks(NotedNetworks):
    """Experts, as `inference.opacity_ensemble.ensemble` asks them, and the lungs; remembers how it was computed.

    Parameters
    ----------
    weights : Mapping[str, Verified]
        By slot.
    device : str
        Torch device.
    """

    def __init__(self, weights: Mapping[str, Verified], device: str) -> None:
        super().__init__()
        self._weights = weights
        self._device = device

    def classify(self, images: Sequence[Floats], /) -> Sequence[Mapping[str, float]]:
        """Return the scores of DenseNet-121 by finding."""
        return self._noted(xrv.findings(self._weights["xrv-densenet121-all"], images, self._device))

    def segment(self, name: str, images: Sequence[Floats], /) -> Sequence[Floats]:
        """Return what one of `SEGMENTERS` says."""
        if name == CONVNEXT:
            return self._noted(convnext_fpn.opacity(self._weights["opacity-ensemble-convnext"], images, self._device))
        slot, side = _SIDES[name]
        return self._noted(nnunet.opacity(self._weights[slot], images, self._device, side=side))

    def refine(self, crops: Sequence[Floats], /) -> Sequence[Floats]:
        """Return what the refinement says of crops, on their own pixels."""
        return self._noted(nnunet.opacity(self._weights["opacity-ensemble-nnunet-refine"], crops, self._device))

    def lungs(self, images: Sequence[Floats]) -> Sequence[xrv.Lungs]:
        """Return right and left lung of each image."""
        return self._noted(xrv.lungs(self._weights["xrv-pspnet"], images, self._device))
