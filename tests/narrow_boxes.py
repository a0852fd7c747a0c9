"""Weights of `opacity-boxes` made by hand: a network that boxes the brightest place of what it is shown.

It goes through the shelf, the loader and all that is done before and after the network as a site's own does; in place
of Faster R-CNN stands a module whose edges are exact to a part of a pixel.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from inference import resident
from inference.networks import faster_rcnn
from inference.networks.faster_rcnn import LEAST_CERTAINTY, R50, Widths
from inference.weights import manifest
from node.installation import Installation

PIPELINE = "opacity-boxes"
CLASSES = manifest.SLOTS[PIPELINE].outputs
_LOGIT = "roi_heads.box_predictor.cls_score.bias"


class Brightest(nn.Module):
    """In place of `BoxNet`: one box, of every class that is certain enough, round all that is brighter than half."""

    def __init__(self, classes: int, widths: Widths = R50, *, eps: float | None = 0.0, overlap: float = 0.5) -> None:
        super().__init__()
        self.eps, self.overlap = eps, overlap
        self.transform = GeneralizedRCNNTransform(widths.shorter, widths.longer, [0.0] * 3, [1.0] * 3)
        self.backbone = _Shown()
        self.roi_heads = _Heads(classes)

    def rpn(self, images: ImageList, *_: object) -> tuple[list[Tensor], dict[str, Tensor]]:
        return [torch.tensor([[0.0, 0.0, size[1], size[0]]]) for size in images.image_sizes], {}


class _Shown(nn.Module):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"0": images[:, :1]}


class _Heads(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.box_predictor = nn.Module()
        self.box_predictor.cls_score = nn.Module()
        self.box_predictor.cls_score.bias = nn.Parameter(torch.zeros(classes))

    def forward(
        self, features: dict[str, Tensor], proposals: list[Tensor], sizes: list[tuple[int, int]], *_: object
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        del proposals
        certain = self.box_predictor.cls_score.bias.sigmoid()
        order = [k for k in certain.argsort(descending=True).tolist() if k and certain[k] >= LEAST_CERTAINTY]
        found = []
        for image, (rows, columns) in zip(features["0"], sizes, strict=True):
            edges = _edges(image[0, :rows, :columns])
            found.append(
                {
                    "boxes": edges.expand(len(order), -1),
                    "labels": torch.tensor(order, dtype=torch.int64),
                    "scores": certain[order],
                }
            )
        return found, {}


def _edges(image: Tensor) -> Tensor:
    """Return left, top, right, bottom of the bright rectangle; a pixel on its edge counts as far as it is bright."""
    bright = (image - image.min()) / (image.max() - image.min()).clamp(min=1e-6)
    rows, columns = (torch.nonzero((bright > 0.5).any(dim=dim))[:, 0] for dim in (1, 0))
    across = bright[(rows[0] + rows[-1]) // 2]
    down = bright[:, (columns[0] + columns[-1]) // 2]
    (left, right), (top, bottom) = _ends(across), _ends(down)
    return torch.tensor([left, top, right, bottom])


def _ends(line: Tensor) -> tuple[float, float]:
    length = float(line.sum())
    centre = float((line * (torch.arange(len(line)) + 0.5)).sum()) / length
    return centre - length / 2, centre + length / 2


class Boxes:
    """A weights folder with such a network.

    Parameters
    ----------
    folder : Path
        Is made.
    **certainties : float
        Of classes, "no pneumonia" as ``no_pneumonia``; of others 0.
    """

    def __init__(self, folder: Path, **certainties: float) -> None:
        self.weights = folder / "weights"
        folder.mkdir(parents=True, exist_ok=True)
        by_class = {name.replace("_", " "): certainty for name, certainty in certainties.items()}
        wanted = torch.tensor([by_class.get(name, 1e-6) for name in CLASSES])
        save_file({_LOGIT: wanted.logit()}, folder / "made.safetensors", metadata={"outputs": ", ".join(CLASSES)})
        Installation(self.weights).add(manifest.SLOTS[PIPELINE], folder / "made.safetensors")

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Have the loader build this network; return the weights folder."""
        resident.release_all()
        monkeypatch.setattr(faster_rcnn, "BoxNet", Brightest)
        return self.weights
