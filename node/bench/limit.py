"""How fast this machine could be: operations of networks, counted, over its measured rate of multiplying matrices."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_SIDE_ON_CPU, _SIDE_ON_GPU = 2048, 8192
_REPEATS = 5
_MATRICES_PER_TURN = 3
_NNUNETS = {"nnU-Net 336": 384, "nnU-Net 768": 768, "refinement": 384}
"""Rows and columns of their patches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """What bounds the networks.

    Attributes
    ----------
    gflop_per_s : float
        The best of several turns of multiplying two large matrices.
    gflop : Mapping[str, float]
        Of each network for one image, as published: what we leave out of it counts as done.
    """

    gflop_per_s: float
    gflop: Mapping[str, float]

    def share(self, network: str, images: int, seconds: float) -> float:
        """Return how much of the limit was reached; over 1 where operations were saved."""
        return self.gflop[network] * images / seconds / self.gflop_per_s


def limits(precision: str, device: str) -> Limit:
    """Measure the rate, and count operations."""
    import torch

    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return Limit(gflop_per_s=round(_rate(dtype, device), 1), gflop=_counted())


def _rate(dtype: "torch.dtype", device: str) -> float:
    import torch

    side = _SIDE_ON_GPU if torch.device(device).type == "cuda" else _SIDE_ON_CPU
    matrix = torch.randn(side, side, device=device).to(dtype)
    best = 0.0
    for _ in range(_REPEATS + 1):
        started = time.perf_counter()
        for _ in range(_MATRICES_PER_TURN):
            product = matrix @ matrix
        product[0, 0].item()  # a GPU has computed it by then
        best = max(best, _MATRICES_PER_TURN * 2 * side**3 / (time.perf_counter() - started))
    return best / 1e9


def _counted() -> dict[str, float]:
    """Count on networks without values: operations depend on shapes alone."""
    import torch
    import torchxrayvision as xrv
    from lungmask.resunet import UNet
    from timm.models.vision_transformer import VisionTransformer
    from torchxrayvision.baseline_models.chestx_det.ptsemseg.pspnet import pspnet

    from inference.networks.convnext_fpn import ConvNeXtFPN
    from inference.networks.i3d import I3D
    from inference.networks.ltc import LTC
    from node.bench import stand_in_nnunets
    from node.bench.stand_ins import BLOCKS

    with torch.device("meta"):
        networks: dict[str, tuple[Any, tuple[int, ...]]] = {
            "lung mask": (UNet(n_classes=3, padding=True, batch_norm=True, up_mode="upsample"), (1, 256, 256)),
            "LTC": (LTC(), (1, 60, 112, 112)),
            "I3D": (I3D(), (1, 64, 224, 224)),
            "DenseNet-121": (xrv.models.DenseNet(num_classes=18), (1, 224, 224)),
            "PSPNet": (pspnet(14), (3, 512, 512)),
            "ConvNeXt": (ConvNeXtFPN(), (1, 336, 336)),
        }
        for name, blocks in BLOCKS.items():
            vit = VisionTransformer(img_size=224, patch_size=16, embed_dim=1024, depth=blocks, num_heads=16)
            networks[f"ViT, {name.removeprefix('balaitous-')}"] = (vit, (3, 224, 224))
        for name, side in _NNUNETS.items():
            networks[name] = (stand_in_nnunets.network(side), (1, side, side))
    return {name: round(_gflop(network, shape), 1) for name, (network, shape) in networks.items()}


def _gflop(network: "torch.nn.Module", shape: tuple[int, ...]) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(torch.empty(1, *shape, device="meta"))
    return float(counter.get_total_flops()) / 1e9
