"""The networks of `opacity-explain`: verified weights -> what the cascade asks, resident on a device."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from inference.networks.answers import NotedNetworks
from inference.networks.encoders import Backbone
from inference.networks.explained import Kind, Scored, mapped, outlined, scored
from inference.opacity_explain.decisions import Side
from inference.weights import Verified

Floats = NDArray[np.float32]
Seen = Mapping[Backbone, Scored]

TITLES: Mapping[Backbone, str] = {Backbone.B4: "EfficientNet-B4", Backbone.CONVNEXT: "ConvNeXt-tiny"}
"""As people are told."""


class ExplainNetworks(NotedNetworks):
    """Networks, as `inference.opacity_explain.cascade` asks them; remembers how it was computed.

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

    def classify(self, views: Sequence[Floats], /) -> list[tuple[dict[str, float], Seen]]:
        """Return what both classifiers say."""
        return self._scored("classifier", Kind.CLASSIFIER, views)

    def outline(self, views: Sequence[Floats], /) -> Sequence[Floats]:
        """Return what the lung segmenter says."""
        return self._noted(outlined(self._weights[_slot("lungs")], views, self._device))

    def measure(self, side: Side, views: Sequence[Floats], /) -> list[tuple[dict[str, float], Seen]]:
        """Return what both regressors of a side say."""
        return self._scored(f"regressor-{side}", Kind.REGRESSOR, views)

    def map(self, side: Side | None, seen: Sequence[Seen], /) -> list[Floats]:
        """Return the mean of what both decoders say."""
        part = "map" if side is None else f"map-{side}"
        maps = [
            self._noted(
                mapped(self._weights[_slot(part, backbone)], backbone, [one[backbone] for one in seen], self._device)
            )
            for backbone in Backbone
        ]
        return [np.mean(of_one, axis=0, dtype=np.float32) for of_one in zip(*maps, strict=True)]

    def _scored(self, part: str, kind: Kind, views: Sequence[Floats]) -> list[tuple[dict[str, float], Seen]]:
        said = {
            backbone: self._noted(scored(self._weights[_slot(part, backbone)], backbone, kind, views, self._device))
            for backbone in Backbone
        }
        seen: list[Seen] = [dict(zip(said, of_one, strict=True)) for of_one in zip(*said.values(), strict=True)]
        return [({TITLES[backbone]: one.score for backbone, one in each.items()}, each) for each in seen]


def _slot(*parts: str) -> str:
    return "-".join(("opacity-explain", *parts))
