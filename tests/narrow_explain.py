"""Weights of `opacity-explain` made by hand: networks that see bright places, and lungs where lungs lie.

They go through the shelf, the loaders and all that is done before and after networks as a site's own do; in place of
timm's networks and the decoders stand modules of a few numbers each.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from inference import resident
from inference.networks import encoders, explained
from inference.networks.encoders import ARCHITECTURES, Backbone, Channels, Features
from inference.weights import manifest
from node.installation import Installation

PIPELINE = "opacity-explain"
BRIGHT = 0.6
"""From which grey on a pixel is bright; in [-1, 1]."""
FIELDS = ((0.5, 0.28), (0.5, 0.72))
RADII = (0.36, 0.16)
"""Of both lungs: middle and half axes, as shares of the image's rows and columns."""
_STEEP = 100.0
_GRID = 64
_FIRM = 1000.0
"""Logits for each share of the image that is bright: a thousandth of it is opacity."""


class Bright(nn.Module):
    """In place of an encoder: its first tap is the image, its deepest features are which share of it is bright."""

    feature_info = ({"num_chs": 1, "reduction": 2}, {"num_chs": 1, "reduction": 4})

    def __init__(self, architecture: str) -> None:
        super().__init__()
        head = nn.Linear(1, 1)
        if architecture == ARCHITECTURES[Backbone.B4]:
            self.classifier = head
        else:
            self.head = nn.ModuleDict({"fc": head})

    def forward_intermediates(self, images: Tensor, **_: object) -> tuple[Tensor, list[Tensor]]:
        return avg_pool2d((images >= BRIGHT).float(), 4), [avg_pool2d(images, 2)]

    def forward_head(self, deepest: Tensor) -> Tensor:
        head: nn.Module = self.classifier if hasattr(self, "classifier") else self.head["fc"]
        score: Tensor = head(deepest.mean((2, 3)))
        return score


CHANNELS = Channels(taps=(1,), first_reduction=2, deepest=1)


class BrightDecoder(nn.Module):
    """In place of a decoder: a bright place is opacity."""

    def __init__(self, channels: Channels = CHANNELS) -> None:
        super().__init__()
        self.channels = channels
        self.head = nn.Conv2d(1, 1, 1)

    def forward(self, found: Features) -> Tensor:
        logits: Tensor = self.head(found.taps[0])
        return logits


class Fields(nn.Module):
    """In place of the lung segmenter: lungs as ellipses, whatever is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.segmentation_head = nn.ModuleList([nn.Conv2d(1, 2, 1)])
        self.fields = nn.Parameter(torch.zeros(2, _GRID, _GRID))

    def forward(self, images: Tensor) -> Tensor:
        fields = interpolate(self.fields[None], size=images.shape[-2:], mode="bilinear", align_corners=False)
        return fields.expand(len(images), -1, -1, -1) + self.segmentation_head[0].bias[:, None, None]


def _fields() -> Tensor:
    y, x = torch.meshgrid(*[(torch.arange(_GRID) + 0.5) / _GRID] * 2, indexing="ij")
    lungs = [1 - ((y - row) / RADII[0]) ** 2 - ((x - column) / RADII[1]) ** 2 for row, column in FIELDS]
    return 20 * torch.stack(lungs)


def _numbers(network: nn.Module, weight: float, bias: float) -> dict[str, Tensor]:
    return {
        name: torch.full_like(value, weight if name.endswith("weight") else bias)
        for name, value in network.state_dict().items()
    }


def _states(opacity_logit: float, extents: Mapping[str, tuple[float, float]]) -> dict[str, dict[str, Tensor]]:
    states = {"lungs": Fields().state_dict() | {"fields": _fields(), "segmentation_head.0.bias": torch.zeros(2)}}
    for backbone, architecture in ARCHITECTURES.items():
        states[f"classifier-{backbone}"] = _numbers(Bright(architecture), _FIRM, opacity_logit)
        for side, (weight, bias) in extents.items():
            states[f"regressor-{side}-{backbone}"] = _numbers(Bright(architecture), weight, bias)
        for part in ("map", "map-right", "map-left"):
            states[f"{part}-{backbone}"] = _numbers(BrightDecoder(), _STEEP, -_STEEP * BRIGHT)
    return states


class Explain:
    """A weights folder with all of them.

    Parameters
    ----------
    folder : Path
        Is made.
    opacity_logit : float
        Of the classifiers for an image on which nothing is bright.
    extents : Mapping[str, tuple of 2 float]
        By side what a regressor makes of the bright share of a lung's crop: factor, and what is added.
    """

    def __init__(
        self,
        folder: Path,
        opacity_logit: float = -4.0,
        extents: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.weights = folder / "weights"
        made = folder / "made"
        made.mkdir(parents=True)
        for name, state in _states(opacity_logit, extents or {"right": (1.0, 0.0), "left": (1.0, 0.0)}).items():
            slot = manifest.SLOTS[f"{PIPELINE}-{name}"]
            torch.save(state, made / slot.file)
            Installation(self.weights).add(slot, made / slot.file)

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Have the loaders build these networks; return the weights folder."""
        resident.release_all()
        monkeypatch.setattr(encoders, "encoder", Bright)
        monkeypatch.setattr(explained, "channels", lambda _: CHANNELS)
        monkeypatch.setattr(explained, "MapDecoder", BrightDecoder)
        monkeypatch.setattr(explained, "LungUNet", Fields)
        return self.weights
