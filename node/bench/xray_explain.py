"""What the benchmark knows of `opacity-explain`: its networks, called by us or naively, and where lungs lie.

Random weights find no lungs, so these are planted after they were sought; then every network has something to do.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inference.networks.encoders import ARCHITECTURES, Backbone, channels, encoder, features
from inference.networks.lung_unet import LungUNet
from inference.networks.map_decoder import MapDecoder
from inference.opacity_explain import cascade, networks
from inference.opacity_explain.decisions import SIDES, Explained, Side
from inference.opacity_explain.views import LUNG, WHOLE
from inference.weights.loading import load_network

if TYPE_CHECKING:
    from inference.weights import Verified
    from node.bench.clock import Clock

SETTINGS: Mapping[str, float] = {"threshold": 0.0, "extent_threshold": 1.0}
LUNGS = ((0.2, 0.8, 0.12, 0.44), (0.2, 0.8, 0.56, 0.88))
"""First and last row and column of either lung, as shares of the image."""

Floats = NDArray[np.float32]


class Naive:
    """What `ExplainNetworks` does, called in its place: every network for one image after the other, in float32.

    A mapping network is its encoder and its decoder, run whole.

    Parameters
    ----------
    weights : Mapping[str, Verified]
        By slot.
    device : str
        Torch device.
    """

    parameters: Mapping[str, str] = {"device": "", "precision": "float32"}
    warnings: tuple[str, ...] = ()

    def __init__(self, weights: "Mapping[str, Verified]", device: str) -> None:
        self._weights = weights
        self._device = device
        self._lungs = load_network(weights["opacity-explain-lungs"], LungUNet).to(device)
        parts = ("classifier", *(f"regressor-{side}" for side in SIDES))
        self._encoders = {(part, backbone): self._loaded(part, backbone) for part in parts for backbone in Backbone}
        maps = ("map", *(f"map-{side}" for side in SIDES))
        self._decoders = {(part, backbone): self._decoder(part, backbone) for part in maps for backbone in Backbone}

    def classify(self, views: Sequence[Floats], /) -> list[tuple[dict[str, float], Floats]]:
        """Return what both classifiers say."""
        return [self._scored("classifier", view) for view in views]

    def outline(self, views: Sequence[Floats], /) -> list[Floats]:
        """Return what the lung segmenter says."""
        with torch.no_grad():
            return [self._lungs(self._tensor(view)).sigmoid()[0].cpu().numpy() for view in views]

    def measure(self, side: Side, views: Sequence[Floats], /) -> list[tuple[dict[str, float], Floats]]:
        """Return what both regressors of a side say."""
        return [self._scored(f"regressor-{side}", view) for view in views]

    def map(self, side: Side | None, seen: Sequence[Floats], /) -> list[Floats]:
        """Return the mean of what both mapping networks say."""
        return [self._mapped(side, view) for view in seen]

    def _loaded(self, part: str, backbone: Backbone) -> nn.Module:
        weights = self._weights[f"opacity-explain-{part}-{backbone}"]
        return load_network(weights, lambda: encoder(ARCHITECTURES[backbone])).to(self._device)

    def _decoder(self, part: str, backbone: Backbone) -> MapDecoder:
        weights = self._weights[f"opacity-explain-{part}-{backbone}"]
        return load_network(weights, lambda: MapDecoder(channels(ARCHITECTURES[backbone]))).to(self._device)

    def _tensor(self, view: Floats) -> torch.Tensor:
        return torch.from_numpy(view)[None, None].to(self._device)

    def _scored(self, part: str, view: Floats) -> tuple[dict[str, float], Floats]:
        is_logit = part == "classifier"
        with torch.no_grad():
            said = {backbone: self._encoders[part, backbone](self._tensor(view))[0, 0] for backbone in Backbone}
        scores = {
            networks.TITLES[backbone]: float(value.sigmoid() if is_logit else value.clip(0, 1))
            for backbone, value in said.items()
        }
        return scores, view

    def _mapped(self, side: Side | None, view: Floats) -> Floats:
        seen_by, drawn_by = ("classifier", "map") if side is None else (f"regressor-{side}", f"map-{side}")
        with torch.no_grad():
            maps = [
                self._decoders[drawn_by, backbone](features(self._encoders[seen_by, backbone], self._tensor(view)))
                for backbone in Backbone
            ]
        mean: Floats = torch.stack(maps).sigmoid().mean(0)[0, 0].cpu().numpy()
        return mean


def begin(weights: "Mapping[str, Verified]", *, is_naive: bool, device: str) -> type:
    """Load networks and use each once, as `node.bench.xray_run.Networks` says."""
    if is_naive:
        naive = Naive(weights, device)
        vars(networks)["ExplainNetworks"] = lambda *_: naive
    vars(cascade)["lungs_of"] = _planted
    asked = networks.ExplainNetworks(weights, device)
    view, lung = np.zeros(WHOLE, dtype=np.float32), np.zeros(LUNG, dtype=np.float32)
    asked.outline([view])
    asked.map(None, [seen for _, seen in asked.classify([view])])
    for side in SIDES:
        asked.map(side, [seen for _, seen in asked.measure(side, [lung])])
    return type(asked)


def listen() -> dict[str, Floats]:
    """Have what was decided on the image that was looked at first written down."""
    said: dict[str, Floats] = {}
    explain: Callable[..., list[Explained]] = cascade.explain

    def heard(*args: Any) -> list[Explained]:  # noqa: ANN401
        explained = explain(*args)
        if not said:
            first = explained[0]
            scores = [first.opacity, *(lung.extent for lung in first.lungs if lung.extent)]
            said["scores"] = np.array([value for score in scores for value in score.each.values()], dtype=np.float32)
            said["map"] = first.values
        return explained

    vars(cascade)["explain"] = heard
    return said


def watch(asked: type, clock: "Clock") -> None:
    """Time every network from now on."""
    clock.watch(asked, "classify", lambda _, views: clock.count("classifiers", len(views)))
    clock.watch(asked, "outline", lambda _, views: clock.count("lung segmenter", len(views)))
    clock.watch(asked, "measure", lambda _, side, views: clock.count(f"{side} regressors", len(views)))
    clock.watch(asked, "map", lambda _, side, seen: clock.count(f"{side or 'whole'} maps", len(seen)))


def _planted(_: Floats, shape: tuple[int, int]) -> NDArray[np.bool_]:
    rows, columns = shape
    lungs = np.zeros((2, rows, columns), dtype=np.bool_)
    for lung, (top, bottom, left, right) in zip(lungs, LUNGS, strict=True):
        lung[int(top * rows) : int(bottom * rows), int(left * columns) : int(right * columns)] = True
    return lungs
