"""Weights of `opacity-ensemble`: its ConvNeXt, and data sets from which nnU-Net's own commands make the other three.

``opacity-node train opacity-ensemble --data DIR --out DIR`` writes ``opacity-ensemble-convnext.safetensors``, beside
it ``.json`` with the recipe and the images, and ``nnUNet_raw`` with a data set for each nnU-Net. docs/training.md says
how to go on. Called again, it trains only what the same recipe has not made of the same images before.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.opacity_ensemble import nnunet_raw
from training.opacity_ensemble.fitting import Recipe, fit
from training.opacity_ensemble.images import OpacityImage
from training.state_files import made_once

NAME = "opacity-ensemble-convnext"
NETWORK = "ConvNeXt-tiny FPN, 1 output"
IMAGENET = "convnext-tiny-imagenet"
DATASETS = {
    "nnunet-336": "Dataset336_Opacity336",
    "nnunet-768": "Dataset768_Opacity768",
    "refine": "Dataset100_OpacityCrops",
}
"""Under ``nnUNet_raw``; each makes the weights of the slot ``opacity-ensemble-...``."""
_SIDES = {"nnunet-336": 336, "nnunet-768": 768}


def make(
    images: Sequence[OpacityImage],
    out: Path,
    recipe: Recipe,
    *,
    imagenet: Mapping[str, Tensor] | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train ConvNeXt into a file, and write its record.

    Parameters
    ----------
    images : sequence of OpacityImage
        What it learns from.
    out : Path
        Folder to write to.
    recipe : Recipe
        How.
    imagenet : Mapping of Tensor, optional
        What the encoder starts from.
    device : str
        Torch device.

    Returns
    -------
    dict
        What the record says.
    """
    out.mkdir(parents=True, exist_ok=True)
    weights = out / f"{NAME}.safetensors"
    described = {
        "network": NETWORK,
        "recipe": json.dumps(asdict(recipe), sort_keys=True),
        "start": "random" if imagenet is None else IMAGENET,
        "images": digest_of(images),
    }
    cpu_seconds = made_once(
        weights, described, lambda: fit(images, recipe, imagenet=imagenet, device=device).state_dict()
    )
    record = {
        "network": NETWORK,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "bytes": weights.stat().st_size,
        "recipe": asdict(recipe),
        "start": described["start"],
        "torch": torch.__version__,
        "cpu_minutes": round(cpu_seconds / 60, 1),
        "images": [image.name for image in images],
    }
    (out / f"{NAME}.json").write_text(f"{json.dumps(record, indent=1, ensure_ascii=False)}\n", encoding="utf-8")
    return record


def write_datasets(images: Sequence[OpacityImage], raw: Path) -> dict[str, int]:
    """Write a data set for each nnU-Net; return how many images each has.

    Parameters
    ----------
    images : sequence of OpacityImage
        All of them.
    raw : Path
        Folder that nnU-Net calls ``nnUNet_raw``.
    """
    seen = {name: nnunet_raw.at(images, side) for name, side in _SIDES.items()}
    seen["refine"] = nnunet_raw.around_opacity(images)
    return {DATASETS[name]: nnunet_raw.write(raw / DATASETS[name], those) for name, those in seen.items()}


def digest_of(images: Sequence[OpacityImage]) -> str:
    """Return what changes with any pixel."""
    digest = hashlib.sha256()
    for image in images:
        for part in (image.name.encode(), image.pixels.tobytes(), image.opacity.tobytes()):
            digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()
