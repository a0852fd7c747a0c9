"""What stands in for weights that cannot be had: lungs that are drawn, networks with random weights."""

import hashlib
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import assets
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inference.balaitous import features
from inference.series import Series
from inference.weights import Verified, manifest
from inference.weights.records import FILE, Record, Records
from tests.slots import pinned

SPACING_MM = (5.0, 1.5, 1.5)
WIDTH = 1024
_HEADS = Path(assets.__file__).parent / "balaitous.npz"
_CHECKPOINTS = {"balaitous-full": "ViT-L-CT", "balaitous-lung": "ViT-L-ImageNet"}
_R231 = b"no weights: the lungs are planted"


def planted_labels(right: np.ndarray, left: np.ndarray, series: Series) -> np.ndarray:
    """Return lungs on the resampled grid, with what has to be cleaned away: crumbs, and tissue that touches a lung."""
    sizes = (np.multiply(right.shape, series.geometry.spacing_mm) / SPACING_MM).astype(int)
    nearest = [
        np.minimum(np.rint(np.arange(size) * there / here).astype(int), count - 1)
        for size, there, here, count in zip(sizes, SPACING_MM, series.geometry.spacing_mm, right.shape, strict=True)
    ]
    labels = (right[np.ix_(*nearest)] + 2 * left[np.ix_(*nearest)]).astype(np.uint8)
    for label in (1, 2):
        _add_tissue_below(labels, label)
    random = np.random.default_rng(5)
    for label in (1, 2, 1, 2, 1):
        z, y, x = (int(random.integers(0, size - 4)) for size in labels.shape)
        crumb = labels[z : z + 3, y : y + 4, x : x + 4]
        crumb[crumb == 0] = label
    return labels


def _add_tissue_below(labels: np.ndarray, label: int) -> None:
    """Mark what lies under the lowest slice of a lung: one part with it, and full of tissue."""
    lowest = int(np.flatnonzero((labels == label).any(axis=(1, 2)))[0])
    assert lowest > 0
    below = labels[lowest - 1]
    below[(labels[lowest] == label) & (below == 0)] = label


class Tiny(nn.Module):
    """A network so small that every slice goes through it: a random look at a coarse image, the same for equal names.

    It has the methods by which the package asks for tokens, and those by which we do.
    """

    def __init__(self, checkpoint: str, blocks: int) -> None:
        super().__init__()
        seed = int.from_bytes(hashlib.sha256(f"{checkpoint} {blocks}".encode()).digest()[:4], "big")
        generator = torch.Generator().manual_seed(seed)
        self.look = torch.randn(28 * 28, WIDTH, generator=generator) / 28
        self.blocks: tuple[nn.Module, ...] = ()

    def prepare_tokens(self, images: Tensor) -> Tensor:
        coarse = nn.functional.adaptive_avg_pool2d(images[:, 0], 28).flatten(1)
        return 0.1 * torch.tanh(coarse @ self.look)[:, None]

    def forward(self, images: Tensor) -> Tensor:
        return self.prepare_tokens(images)[:, 0]


def plant_tiny_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have our pipeline look through the networks that stand for the checkpoints of the package."""

    def tiny(weights: Verified, *, blocks: int, device: str) -> Tiny:
        return Tiny(_CHECKPOINTS[weights.slot.name], blocks).to(device)

    monkeypatch.setattr(features, "vit_large", tiny)


def random_state(seed: int, *, blocks: int, beyond: int = 0) -> dict[str, Tensor]:
    """Return a ViT-L/16 with random weights, small enough for logits within 4, and the keys of what is not used.

    Its large matrices come three times over, in blocks with norms of their own: drawing all would take long.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float = 0.02) -> Tensor:
        return torch.randn(shape, generator=generator) * std

    small = 0.02 * 0.02  # of what is added up from block to block: features then vary by about 0.1
    matrices = [
        {
            "attn.qkv.weight": normal(3 * WIDTH, WIDTH),
            "attn.proj.weight": normal(WIDTH, WIDTH, std=small),
            "mlp.fc1.weight": normal(4 * WIDTH, WIDTH),
            "mlp.fc2.weight": normal(WIDTH, 4 * WIDTH, std=small),
        }
        for _ in range(3)
    ]
    state = {
        "cls_token": normal(1, 1, WIDTH, std=small),
        "pos_embed": normal(1, 197, WIDTH, std=small),
        "patch_embed.proj.weight": normal(WIDTH, 3, 16, 16, std=small),
        "patch_embed.proj.bias": normal(WIDTH, std=small),
        "norm.weight": normal(WIDTH),
        "norm.bias": normal(WIDTH),
    }
    vectors = {"attn.qkv.bias": 3 * WIDTH, "attn.proj.bias": WIDTH, "mlp.fc1.bias": 4 * WIDTH, "mlp.fc2.bias": WIDTH}
    for block in range(blocks):
        parts = matrices[block % 3] | {
            name: normal(size, std=small if "proj" in name or "fc2" in name else 0.02) for name, size in vectors.items()
        }
        for norm in ("norm1", "norm2"):
            parts |= {f"{norm}.weight": 1 + normal(WIDTH, std=0.1), f"{norm}.bias": normal(WIDTH, std=0.1)}
        state |= {f"blocks.{block}.{name}": value for name, value in parts.items()}
    for block in range(blocks, blocks + beyond):
        state[f"blocks.{block}.norm1.weight"] = normal(WIDTH)
    return state


def fill_shelf(
    monkeypatch: pytest.MonkeyPatch, folder: Path, states: Mapping[str, dict[str, Tensor]] | None = None
) -> None:
    """Install what the pipeline asks for: the true regressions, given networks, and no R231."""
    folder.mkdir(exist_ok=True)
    slots = dict(manifest.SLOTS)
    slots["lungmask-r231"] = slots["lungmask-r231"].model_copy(update={"pin": pinned(_R231), "size": len(_R231)})
    monkeypatch.setattr(manifest, "SLOTS", MappingProxyType(slots))
    (folder / slots["lungmask-r231"].file).write_bytes(_R231)
    shutil.copyfile(_HEADS, folder / slots["balaitous-heads"].file)
    records = {}
    for name in ("balaitous-full", "balaitous-lung"):
        slot = slots[name]
        state: Any = (states or {}).get(name, {"stand-in": torch.zeros(1)})
        torch.save({slot.entry: state} if slot.entry else state, folder / slot.file)
        data = (folder / slot.file).read_bytes()
        records[name] = Record(
            file=slot.file,
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            source="planted by a test",
            installed_at=datetime(2026, 1, 1, tzinfo=UTC),
            licence=slot.licence,
            network=slot.network,
        )
    (folder / FILE).write_text(Records(slots=records).model_dump_json())
