"""Operations of networks, counted on networks without values: they depend on shapes alone."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    Shape = tuple[int, ...]

_NNUNETS = {"nnU-Net 336": 384, "nnU-Net 768": 768, "refinement": 384}
"""Rows and columns of their patches."""
_REDUCTION = 32


def counted() -> dict[str, float]:
    """Return GFLOP of every network whose inputs have one size, for one of them."""
    import torch

    with torch.device("meta"):
        networks = [*_of_ct(), *_of_the_ensemble(), *_explaining()]
    gflop: dict[str, float] = {}
    for name, network, shape in networks:
        gflop[name] = gflop.get(name, 0.0) + _gflop(network, shape)
    return {name: round(value, 1) for name, value in gflop.items()}


def on_sizes(sizes: Mapping[str, Sequence[tuple[int, int]]]) -> dict[str, float]:
    """Return the mean GFLOP of networks that take any size, given the rows and columns that they saw."""
    of = {"Faster R-CNN": _of_boxes}
    return {name: round(sum(map(of[name], seen)) / len(seen), 1) for name, seen in sizes.items()}


def _of_ct() -> "list[tuple[str, nn.Module, Shape]]":
    from lungmask.resunet import UNet
    from timm.models.vision_transformer import VisionTransformer

    from inference.networks.i3d import I3D
    from inference.networks.ltc import LTC
    from node.bench.stand_ins import BLOCKS

    vit = partial(VisionTransformer, img_size=224, patch_size=16, embed_dim=1024, num_heads=16)
    return [
        ("lung mask", UNet(n_classes=3, padding=True, batch_norm=True, up_mode="upsample"), (1, 256, 256)),
        ("LTC", LTC(), (1, 60, 112, 112)),
        ("I3D", I3D(), (1, 64, 224, 224)),
        *(
            (f"ViT, {name.removeprefix('balaitous-')}", vit(depth=depth), (3, 224, 224))
            for name, depth in BLOCKS.items()
        ),
    ]


def _of_the_ensemble() -> "list[tuple[str, nn.Module, Shape]]":
    import torchxrayvision as xrv
    from torchxrayvision.baseline_models.chestx_det.ptsemseg.pspnet import pspnet

    from inference.networks.convnext_fpn import ConvNeXtFPN
    from node.bench import stand_in_nnunets

    return [
        ("DenseNet-121", xrv.models.DenseNet(num_classes=18), (1, 224, 224)),
        ("PSPNet", pspnet(14), (3, 512, 512)),
        ("ConvNeXt", ConvNeXtFPN(), (1, 336, 336)),
        *((name, stand_in_nnunets.network(side), (1, side, side)) for name, side in _NNUNETS.items()),
    ]


def _explaining() -> "list[tuple[str, nn.Module, Shape]]":
    """Return both networks of each part; a mapping network is an encoder and a decoder, as published."""
    from inference.networks.encoders import ARCHITECTURES, encoder
    from inference.networks.lung_unet import LungUNet
    from inference.opacity_explain.decisions import SIDES
    from inference.opacity_explain.views import LUNG, WHOLE

    scored = {"classifiers": WHOLE, **{f"{side} regressors": LUNG for side in SIDES}}
    mapped = {"whole maps": WHOLE, **{f"{side} maps": LUNG for side in SIDES}}
    return [
        ("lung segmenter", LungUNet(), (1, *WHOLE)),
        *((name, encoder(one), (1, *size)) for name, size in scored.items() for one in ARCHITECTURES.values()),
        *((name, _mapping(one), (1, *size)) for name, size in mapped.items() for one in ARCHITECTURES.values()),
    ]


def _mapping(architecture: str) -> "nn.Module":
    from torch import Tensor, nn

    from inference.networks.encoders import channels, encoder, features
    from inference.networks.map_decoder import MapDecoder

    class Mapping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = encoder(architecture), MapDecoder(channels(architecture))

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.decoder(features(self.encoder, images))
            return logits

    return Mapping()


@cache
def _of_boxes(size: tuple[int, int]) -> float:
    """Count Faster R-CNN without what chooses among boxes, which multiplies nothing."""
    import torch
    from torch import Tensor, nn

    from inference.networks.faster_rcnn import R50, BoxNet
    from inference.networks.roi_rows import CELLS

    class Looking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network: Any = BoxNet(5)

        def forward(self, images: Tensor) -> None:
            levels = self.network.backbone(images)
            self.network.rpn.head(list(levels.values()))
            places = images.new_empty(R50.proposals[1], R50.pyramid, CELLS, CELLS)
            heads = self.network.roi_heads
            heads.box_predictor(heads.box_head(places))

    with torch.device("meta"):
        network = Looking()
    rows, columns = (-(-length // _REDUCTION) * _REDUCTION for length in size)
    return _gflop(network, (3, rows, columns))


def _gflop(network: "nn.Module", shape: "Shape") -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(torch.empty(1, *shape, device="meta"))
    return float(counter.get_total_flops()) / 1e9
