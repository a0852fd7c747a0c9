"""Weights of `opacity-ensemble` made by hand: networks that mark bright places, and lungs where lungs lie.

They go through the shelf, the loaders, nnU-Net's predictor and all that is done before and after networks as a site's
own do. nnU-Net's are its own architecture with a few channels; the others are modules in place of large ones.
"""

import json
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from inference import resident
from inference.networks import convnext_fpn, xrv
from inference.weights import manifest
from inference.weights.manifest import Form, Slot
from node.installation import Installation
from tests.nnunet_plans import checkpoint, plans
from tests.slots import pinned

PIPELINE = "opacity-ensemble"
BRIGHT = 0.6
"""From which grey on nnU-Nets mark a pixel; in [0, 1]."""
BRIGHTEST = 0.985
"""Share of the image below the grey that ConvNeXt marks: its input is equalised."""
_STEEP = 200.0
_FIELDS = 64
_OPACITY = 16
_DATASET = {"channel_names": {"0": "X-ray"}, "labels": {"background": 0, "opacity": 1}, "file_ending": ".png"}


class Brightest(nn.Module):
    """In place of ConvNeXt with its pyramid."""

    def __init__(self, *_: object) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(_STEEP / 2))
        self.bias = nn.Parameter(torch.tensor(-_STEEP * BRIGHTEST + _STEEP / 2))

    def forward(self, images: Tensor) -> Tensor:
        return self.gain * images + self.bias


class Fields(nn.Module):
    """In place of PSPNet: lungs as ellipses in the square, whatever is seen."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.classification = nn.Conv2d(1, outputs, 1)
        self.fields = nn.Parameter(_lungs(outputs))

    def forward(self, images: Tensor) -> Tensor:
        size = images.shape[-2:]
        fields = interpolate(self.fields[None], size=size, mode="bilinear", align_corners=False)
        return fields.expand(len(images), -1, -1, -1) + self.classification.bias[:, None, None]


def _lungs(outputs: int) -> Tensor:
    y, x = torch.meshgrid(*[(torch.arange(_FIELDS) + 0.5) / _FIELDS] * 2, indexing="ij")
    fields = torch.full((outputs, _FIELDS, _FIELDS), -9.0)
    for index, centre in ((5, 0.28), (4, 0.72)):  # right, left
        fields[index] = 20 * (1 - ((x - centre) / 0.16) ** 2 - ((y - 0.5) / 0.36) ** 2)
    return fields


def bright_nnunet() -> nn.Module:
    """Make an nnU-Net whose last layer sees its input."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    kwargs = dict(_architecture()["arch_kwargs"]) | {"conv_op": nn.Conv2d, "nonlin": nn.LeakyReLU, "norm_op": None}
    network = PlainConvUNet(input_channels=1, num_classes=2, deep_supervision=False, **kwargs)
    with torch.no_grad():
        for value in network.parameters():
            value.zero_()
        network.encoder.stages[0][0].convs[0].conv.weight[0, 0, 1, 1] = 1.0
        network.decoder.stages[0].convs[0].conv.weight[0, 1, 1, 1] = 1.0  # after what comes from below: the skip
        network.decoder.seg_layers[0].weight[1, 0] = _STEEP / 4
        network.decoder.seg_layers[0].bias[1] = -BRIGHT * _STEEP / 4
    return network


def _architecture() -> dict:
    architecture = plans()["configurations"]["2d"]["architecture"]
    architecture["arch_kwargs"] |= {"features_per_stage": [1, 1], "norm_op": None, "norm_op_kwargs": {}}
    return architecture


def _nnunet_folder(folder: Path, side: int) -> Path:
    said = plans()
    said["configurations"]["2d"] |= {
        "patch_size": [side, side],
        "normalization_schemes": ["RGBTo01Normalization"],
        "architecture": _architecture(),
    }
    (folder / "fold_0").mkdir(parents=True)
    for name, content in (("plans.json", said), ("dataset.json", _DATASET)):
        (folder / name).write_text(json.dumps(content))
    saved = checkpoint(bright_nnunet().state_dict()) | {
        "inference_allowed_mirroring_axes": None
    }  # a quarter of the time
    torch.save(saved, folder / "fold_0" / "checkpoint_final.pth")
    return folder


def _files(folder: Path, opacity_score: float) -> dict[str, Path]:
    torch.manual_seed(7)
    densenet = xrv.xrv.models.DenseNet(num_classes=18)  # quick as it is
    with torch.no_grad():
        densenet.classifier.weight.zero_()
        densenet.classifier.bias[_OPACITY] = opacity_score
    states = {
        "xrv-densenet121-all": densenet.state_dict(),
        "xrv-pspnet": {f"module.{name}": value for name, value in Fields(14).state_dict().items()},
        "opacity-ensemble-convnext": Brightest().state_dict(),
    }
    for name, state in states.items():
        torch.save(state, folder / name)
    sides = {"nnunet-336": 336, "nnunet-768": 768, "nnunet-refine": 256}
    return {name: folder / name for name in states} | {
        f"opacity-ensemble-{name}": _nnunet_folder(folder / name, side) for name, side in sides.items()
    }


def _slot(name: str, path: Path) -> Slot:
    declared = manifest.SLOTS[name]
    changes: dict = {}
    if declared.pin is not None:
        changes = {"pin": pinned(path.read_bytes()), "size": path.stat().st_size, "form": Form.STATE_DICT}
    return declared.model_copy(update=changes)


class Ensemble:
    """A weights folder with all of them.

    Parameters
    ----------
    folder : Path
        Is made.
    opacity_score : float
        Logit of the classifier for every image.
    """

    def __init__(self, folder: Path, opacity_score: float = 4.0) -> None:
        self.weights = folder / "weights"
        (folder / "made").mkdir(parents=True)
        files = _files(folder / "made", opacity_score)
        self._slots = {name: _slot(name, path) for name, path in files.items()}
        for name, path in files.items():
            Installation(self.weights).add(self._slots[name], path)

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Have the loaders build these networks, of these weights; return the weights folder."""
        resident.release_all()
        monkeypatch.setattr(manifest, "SLOTS", MappingProxyType({**manifest.SLOTS, **self._slots}))
        monkeypatch.setattr(convnext_fpn, "ConvNeXtFPN", Brightest)
        monkeypatch.setattr(xrv, "pspnet", Fields)
        return self.weights
