"""The lungs of a radiograph as `lung-fields` finds them, and whether they are those of a frontal chest image.

Several pipelines on one image ask for them; they are found once, for as long as the image is in memory.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from inference.batches import Batches
from inference.frontal import FrontalCheck, frontal_check
from inference.lung_masks import lung_masks
from inference.lung_probabilities import LungProbabilities, probabilities
from inference.networks.lung_fields import LungFieldsNet
from inference.radiograph import Radiograph
from inference.resident import resident
from inference.weights import Verified
from inference.weights.loading import load_network

NETWORK = "lung-fields"
_IMAGE_AND_MIRRORED = 2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrontalLungs:
    """Both lungs on the upright image.

    Attributes
    ----------
    probabilities : LungProbabilities
        What the network says.
    masks : ndarray of bool, shape (2, rows, columns)
        Right and left lung; one that was not found is empty.
    check : FrontalCheck
        Whether they are those of a frontal image.
    warnings : tuple of str
        Of how they were computed, for `Findings.warnings`.
    """

    probabilities: LungProbabilities
    masks: NDArray[np.bool_]
    check: FrontalCheck
    warnings: tuple[str, ...] = ()


_found: "WeakKeyDictionary[Radiograph, dict[tuple[str, str], FrontalLungs]]" = WeakKeyDictionary()


def frontal_lungs(radiograph: Radiograph, weights: Verified, device: str) -> FrontalLungs:
    """Find both lungs; of the same image a second time, return what was found the first time.

    Parameters
    ----------
    radiograph : Radiograph
        Large enough, and showing something.
    weights : Verified
        Of the slot `lung-fields`.
    device : str
        Torch device.

    Raises
    ------
    inference.batches.GPUMemoryError
        If one image does not fit into the memory of the GPU, and the CPU is not allowed.
    """
    found, key = _found.setdefault(radiograph, {}), (weights.sha256, device)
    if key not in found:
        run = Batches(lambda on: _network(weights, on), device=device, batch=_IMAGE_AND_MIRRORED, dtype=torch.float32)
        likely = probabilities(run, radiograph.upright_image)
        masks = lung_masks(likely)
        check = frontal_check(likely, masks)
        found[key] = FrontalLungs(probabilities=likely, masks=masks, check=check, warnings=run.warnings)
    return found[key]


def _network(weights: Verified, device: str) -> LungFieldsNet:
    return resident((NETWORK, weights.sha256), device, lambda: load_network(weights, LungFieldsNet))
