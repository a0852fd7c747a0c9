"""A network that a recipe made, in a file: what is judged, and shipped, is read back from there."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from inference.networks.lung_fields import OUTPUTS, LungFieldsNet
from training.chest_images import ChestImage
from training.fitting import Recipe, fit

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
    if not _made_so(path, said):
        began = time.process_time()
        state = fit(images, recipe, seed=seed).state_dict()
        took = {"cpu_seconds": f"{time.process_time() - began:.0f}"}
        small = {
            name: value.half().contiguous() if value.is_floating_point() else value for name, value in state.items()
        }
        save_file(small, path, metadata=said | took)
        path.chmod(0o644)  # safetensors leaves it to its owner alone
    network = LungFieldsNet()
    network.load_state_dict(load_file(path))
    return Trained(network=network.eval(), cpu_seconds=float(_metadata(path)["cpu_seconds"]))


def _made_so(path: Path, said: dict[str, str]) -> bool:
    return path.exists() and said.items() <= _metadata(path).items()


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}
