"""Random weights, for timing alone: in a folder of their own, and accepted in one process that ends with its timing.

What they compute is no result. This module and those of this package that use it import nothing that writes one, and a
test holds them to that.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from inference.weights import manifest, pins
from inference.weights.manifest import Form
from node.bench import stand_in_nnunets

if TYPE_CHECKING:
    from torch import Tensor

BALAITOUS = ("lungmask-r231", "balaitous-full", "balaitous-lung", "balaitous-heads")
CT = (*BALAITOUS, "ct-severity-ltc", "ct-severity-i3d")
XRAY: Mapping[str, tuple[str, ...]] = {
    "opacity-ensemble": (
        "xrv-densenet121-all",
        "xrv-pspnet",
        "opacity-ensemble-convnext",
        *stand_in_nnunets.PATCHES,
    ),
    "opacity-explain": tuple(slot.name for slot in manifest.SLOTS.values() if slot.required_by == ("opacity-explain",)),
    "opacity-boxes": ("opacity-boxes",),
}
"""By pipeline."""
BLOCKS = {"balaitous-full": 24, "balaitous-lung": 16}
_SEED = 7
_LITTLE = 0.2
_WIDTH = 1024
_STD, _STD_OF_SUMS = 0.02, 0.0007
"""Of values; of those whose products add up from block to block, so that scores are not all 0 or 1."""


def fill(folder: Path, slots: Sequence[str]) -> None:
    """Write seeded random weights.

    Parameters
    ----------
    folder : Path
        Is made. `CT` takes about 2.4 GB, `XRAY` 1.8 GB.
    slots : sequence of str
        Of `CT` and `XRAY`.
    """
    import torch

    folder.mkdir(exist_ok=True)
    torch.manual_seed(_SEED)
    for name in slots:
        slot = manifest.SLOTS[name]
        path = folder / slot.file
        if slot.form is Form.ARRAYS:
            np.savez(path, allow_pickle=False, **_heads())
            continue
        if slot.form is Form.NNUNET_FOLDER:
            stand_in_nnunets.write(path, stand_in_nnunets.PATCHES[name])
            continue
        if slot.form is Form.PICKLED_MODEL:
            torch.save(_network(name), path)
            continue
        state = _vit(BLOCKS[name]) if name in BLOCKS else _network(name).state_dict()
        state = {slot.prefix + key: value for key, value in state.items()}
        torch.save({slot.entry: state} if slot.entry else state, path)


def accept(folder: Path) -> None:
    """Have this process take what lies in a folder for what belongs there. It must write no results from now on."""
    slots = dict(manifest.SLOTS)
    for name in [
        name
        for name in (*CT, *(slot for slots in XRAY.values() for slot in slots))
        if (folder / slots[name].file).exists()
    ]:
        digest = pins.of(folder / slots[name].file)
        pin = pins.Pin(kind=pins.PinKind.SHA256, value=digest.sha256, origin="a benchmark")
        slots[name] = slots[name].model_copy(update={"pin": pin, "size": digest.size})
    manifest.SLOTS = MappingProxyType(slots)


def size_mb(folder: Path, *names: str) -> float:
    """Return what the weights of slots take."""
    return sum((folder / manifest.SLOTS[name].file).stat().st_size for name in names) / 1e6


def _network(name: str) -> Any:  # noqa: ANN401 - torch is imported late
    return _NETWORKS[name]() if name in _NETWORKS else _explaining(name.removeprefix("opacity-explain-"))


def _r231() -> Any:  # noqa: ANN401
    from lungmask.mask import UNet

    return UNet(n_classes=3, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False)


def _ltc() -> Any:  # noqa: ANN401
    from inference.networks.ltc import LTC

    return LTC()


def _i3d() -> Any:  # noqa: ANN401
    from inference.networks.i3d import I3D

    return I3D()


def _densenet() -> Any:  # noqa: ANN401
    import torchxrayvision as xrv

    return xrv.models.DenseNet(num_classes=18)


def _pspnet() -> Any:  # noqa: ANN401
    from torchxrayvision.baseline_models.chestx_det.ptsemseg.pspnet import pspnet

    return pspnet(14)


def _convnext() -> Any:  # noqa: ANN401
    from inference.networks.convnext_fpn import ConvNeXtFPN

    return ConvNeXtFPN()


def _boxes() -> Any:  # noqa: ANN401
    import torch

    from inference.networks.faster_rcnn import BoxNet

    network = BoxNet(5)
    with torch.no_grad():
        for name, value in network.named_buffers():
            if name.endswith("bn3.weight"):  # nothing else keeps frozen normalisations from growing block by block
                value.fill_(_LITTLE)
    return network


def _explaining(part: str) -> Any:  # noqa: ANN401
    from inference.networks.encoders import ARCHITECTURES, Backbone, channels, encoder
    from inference.networks.lung_unet import LungUNet
    from inference.networks.map_decoder import MapDecoder

    if part == "lungs":
        return LungUNet()
    architecture = ARCHITECTURES[Backbone(part.rpartition("-")[2])]
    return MapDecoder(channels(architecture)) if part.startswith("map") else encoder(architecture)


_NETWORKS: Mapping[str, Callable[[], Any]] = {
    "lungmask-r231": _r231,
    "ct-severity-ltc": _ltc,
    "ct-severity-i3d": _i3d,
    "xrv-densenet121-all": _densenet,
    "xrv-pspnet": _pspnet,
    "opacity-ensemble-convnext": _convnext,
    "opacity-boxes": _boxes,
}


def _vit(blocks: int) -> "dict[str, Tensor]":
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, _WIDTH),
        "pos_embed": (1, 197, _WIDTH),
        "patch_embed.proj.weight": (_WIDTH, 3, 16, 16),
        "patch_embed.proj.bias": (_WIDTH,),
    }
    for block in range(blocks):
        for layer, inputs, outputs in (
            ("attn.qkv", _WIDTH, 3 * _WIDTH),
            ("attn.proj", _WIDTH, _WIDTH),
            ("mlp.fc1", _WIDTH, 4 * _WIDTH),
            ("mlp.fc2", 4 * _WIDTH, _WIDTH),
        ):
            shapes |= {f"blocks.{block}.{layer}.weight": (outputs, inputs), f"blocks.{block}.{layer}.bias": (outputs,)}
        for norm in ("norm1", "norm2"):
            shapes |= {f"blocks.{block}.{norm}.weight": (_WIDTH,), f"blocks.{block}.{norm}.bias": (_WIDTH,)}
    return {name: _value(name, shape) for name, shape in shapes.items()}


def _value(name: str, shape: tuple[int, ...]) -> "Tensor":
    import torch

    if "norm" in name:
        return torch.ones(shape) if name.endswith("weight") else torch.zeros(shape)
    is_added_up = "qkv" not in name and "fc1" not in name
    return torch.randn(shape) * (_STD_OF_SUMS if is_added_up else _STD)


def _heads() -> Mapping[str, Any]:
    """Return the regressions of the published package where it is installed, else random ones."""
    try:
        import assets  # type: ignore[import-not-found, import-untyped, unused-ignore]  # of the package balaitous

        with np.load(Path(assets.__file__).parent / "balaitous.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except ImportError:
        random = np.random.default_rng(_SEED)
        return {
            f"{part}_{view}_{outcome}": value
            for view in ("full", "lung")
            for outcome, covariates in (("covid", 0), ("severe", 2))
            for part, value in (
                ("coef", random.normal(size=_WIDTH + covariates)),
                ("intercept", np.float64(0)),
                ("alpha", np.float64(0.5)),
            )
        }
