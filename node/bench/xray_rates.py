"""X-ray pipelines: images a second, and those of the same networks called one after another as their libraries show.

A pipeline is measured here once its networks can be had: those of `lung-fields` come with the program.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phantom.cxr import make_radiograph

_IMAGES = 4

Image = NDArray[np.float32]
Look = Callable[[Image], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """Images a second, medians.

    Attributes
    ----------
    pipeline : str
        Which one.
    images_per_s, naively_per_s : float
        Through its functions from image to probabilities; each image and each pass alone.
    ratio : float
        Of the first to the second.
    """

    pipeline: str
    images_per_s: float
    naively_per_s: float
    ratio: float


def rates(*, runs: int, device: str) -> tuple[Rate, ...]:
    """Measure every pipeline, ours and naively in turn.

    Parameters
    ----------
    runs : int
        How often, after one that is not counted.
    device : str
        Torch device.
    """
    images = [make_radiograph(seed=seed).pixels.astype(np.float32) for seed in range(_IMAGES)]
    found = []
    for name, both in _PIPELINES.items():
        ours, naive = both(device)
        measured = [(_seconds(ours, images), _seconds(naive, images)) for _ in range(runs + 1)][1:]
        quick, slow = (_IMAGES / statistics.median(column) for column in zip(*measured, strict=True))
        found.append(
            Rate(
                pipeline=name,
                images_per_s=round(quick, 2),
                naively_per_s=round(slow, 2),
                ratio=round(quick / slow, 2),
            )
        )
    return tuple(found)


def _lung_fields(device: str) -> tuple[Look, Look]:
    import torch

    from inference.letterbox import Letterbox
    from inference.lung_probabilities import equalised, probabilities
    from inference.networks.lung_fields import SIDE, LungFieldsNet
    from inference.weights import Shelf
    from inference.weights.loading import load_network

    weights = Shelf(Path()).require("lung-fields")["lung-fields"]  # it comes with the program
    network = load_network(weights, LungFieldsNet).to(device)

    def naive(image: Image) -> None:
        letterbox = Letterbox(rows=image.shape[0], columns=image.shape[1], side=SIDE)
        grid = torch.from_numpy(equalised(letterbox.to_grid(image)))[None, None].to(device)
        with torch.no_grad():
            for shown in (grid, grid.flip(-1)):
                network(shown).softmax(1).cpu()

    return lambda image: probabilities(network, image), naive


_PIPELINES: Mapping[str, Callable[[str], tuple[Look, Look]]] = {"lung-fields": _lung_fields}


def _seconds(look: Look, images: Sequence[Image]) -> float:
    started = time.perf_counter()
    for image in images:
        look(image)
    return time.perf_counter() - started
