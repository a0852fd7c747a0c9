"""A network that a recipe made, in a file: what is judged, and shipped, is read back from there."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from inference.networks.lung_fields import OUTPUTS, LungFieldsNet
from training.lung_fields.chest_images import ChestImage
from training.lung_fields.fitting import Recipe, fit
from training.state_files import made_once

NETWORK = "lung-fields U-Net, 3 classes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A network and what it cost.

    Attributes
    ----------
    network : LungFieldsNet
        For inference; its values passed through float16, as they are shipped.
    cpu_seconds : float
        That the training took.
    """

    network: LungFieldsNet
    cpu_seconds: float


def trained(path: Path, images: list[ChestImage], recipe: Recipe, *, seed: int) -> Trained:
    """Train a network into a file, unless the file was made by the same recipe, and read it."""
    said = {
        "network": NETWORK,
        "outputs": ", ".join(OUTPUTS),
        "recipe": json.dumps({**asdict(recipe), "seed": seed}, sort_keys=True),
        "images": str(len(images)),
    }
    torch.set_num_threads(1)
    cpu_seconds = made_once(path, said, lambda: _halved(fit(images, recipe, seed=seed).state_dict()))
    network = LungFieldsNet()
    network.load_state_dict(load_file(path))
    return Trained(network=network.eval(), cpu_seconds=cpu_seconds)


def _halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
