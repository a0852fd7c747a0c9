"""What stands in for weights of `ct-severity` that cannot be had: narrow networks of random weights, drawn lungs."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch

from inference.networks import r231
from inference.networks.i3d import I3D
from inference.networks.ltc import LTC
from inference.resampled_ct import resample
from inference.series import Series
from inference.severity.network import SeverityNetwork
from inference.weights import manifest, pins
from inference.weights.records import FILE, Record, Records
from phantom.ct import ChestPhantom
from tests.slots import pinned

LTC_SLOT, I3D_SLOT = "ct-severity-ltc", "ct-severity-i3d"
LTC_SEED, I3D_SEED = 10, 4
"""Of networks whose maps show something of the phantom."""
_R231 = b"no weights: the lungs are planted"


def random_network(
    make: Callable[..., SeverityNetwork], seed: int, *, width: int = 4, size: tuple[int, int, int] = (16, 32, 48)
) -> SeverityNetwork:
    """Return a network for inference whose every value is random, and none so small that all answers are alike."""
    torch.manual_seed(seed)
    network = make(width=width, size=size)
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(std=0.1)
        elif name.endswith(("running_var", "bn.weight")):
            value.uniform_(0.5, 1.5)
        elif name.startswith(("levels", "logits")):
            value.normal_()
    return network.eval().requires_grad_(requires_grad=False)


def planted_labels(series: Series, chest: ChestPhantom) -> np.ndarray:
    """Return 1 for right and 2 for left lung on the resampled grid of a series of the phantom."""
    right, left = (
        resample(replace(series, pixel_array=100 * lung.astype(np.int16)))[0] > 50
        for lung in (chest.right_lung, chest.left_lung)
    )
    return (right + 2 * left).astype(np.uint8)


def plant_lungs(monkeypatch: pytest.MonkeyPatch, labels: np.ndarray) -> None:
    """Have R231 say these labels."""

    class Planted:
        parameters = MappingProxyType({"device": "cpu", "precision": "float32"})
        warnings = ()

        def __init__(self, weights: object, *, device: str) -> None:
            pass

        def __call__(self, hounsfield: np.ndarray) -> np.ndarray:
            assert hounsfield.shape == labels.shape
            return labels

    monkeypatch.setattr(r231, "LungMask", Planted)


def fill_shelf(monkeypatch: pytest.MonkeyPatch, folder: Path, *, outputs: tuple[str, ...] | None = None) -> None:
    """Install narrow networks of random weights, and something in the place of R231."""
    folder.mkdir(exist_ok=True)
    records = {}
    for name, make, seed in ((LTC_SLOT, LTC, LTC_SEED), (I3D_SLOT, I3D, I3D_SEED)):
        slot = manifest.SLOTS[name]
        path = folder / slot.file
        torch.save(random_network(make, seed).state_dict(), path)
        records[name] = Record(
            file=path.name,
            sha256=pins.of_file(path).sha256,
            size=path.stat().st_size,
            licence=slot.licence,
            network=slot.network,
            outputs=outputs or slot.outputs,
            source="a test",
            installed_at=datetime(2026, 1, 2, tzinfo=UTC),
        )
    (folder / FILE).write_text(Records(slots=records).model_dump_json(), encoding="utf-8")
    slot = manifest.SLOTS["lungmask-r231"]
    (folder / slot.file).write_bytes(_R231)
    stand_in = slot.model_copy(update={"pin": pinned(_R231), "size": len(_R231)})
    monkeypatch.setattr(manifest, "SLOTS", MappingProxyType({**manifest.SLOTS, slot.name: stand_in}))
