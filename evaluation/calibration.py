"""Each expert's own map against the truth, and the weights of `opacity-ensemble`'s blend `weighted` that follow.

The source gives every expert a weight in inverse proportion to its weighted log loss on a calibration set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from inference.opacity_ensemble.blends import weights_of
from inference.radiograph import Radiograph

SETTING = "expert_weights"
_DIGITS = 4
_FEW = 14
"""Studies that the source calibrated on; fewer are said to be few."""


@runtime_checkable
class GivesExperts(Protocol):
    """A pipeline whose experts can be asked one by one, as `opacity-ensemble` can."""

    @property
    def expert_names(self) -> tuple[str, ...]:
        """Their names, in the order in which they run and their weights are set."""

    def experts(self, radiograph: Radiograph, /, device: str) -> Mapping[str, NDArray[np.float32]]:
        """Return each expert's probability of opacity, float32, shape (rows, columns), on the stored pixels.

        By name; one that did not run on this image, as refinement on a negative one, is absent.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Weights that follow from losses.

    Attributes
    ----------
    losses, weights : Mapping[str, float]
        Mean weighted log loss and share of each expert, in their running order.
    images : int
        On which every expert ran; others count for nothing, as only such images are blended.
    setting : str
        To be put into the pipeline's section of config.toml.
    warning : str
        What speaks against trusting them.
    """

    losses: Mapping[str, float]
    weights: Mapping[str, float]
    images: int
    setting: str
    warning: str = ""


def calibrated(losses: Sequence[Mapping[str, float]], names: Sequence[str]) -> Weights | None:
    """Return the weights of experts.

    Parameters
    ----------
    losses : sequence of Mapping[str, float]
        Weighted log loss of each expert that ran, on each image.
    names : sequence of str
        Of all experts, in the order in which their weights are set.

    Returns
    -------
    Weights or None
        None where no image was seen by all experts.
    """
    whole = [of_image for of_image in losses if all(name in of_image for name in names)]
    if not whole:
        return None
    means = {name: float(np.mean([of_image[name] for of_image in whole])) for name in names}
    weights = weights_of(list(means.values()))
    said = ", ".join(f"{weight:.{_DIGITS}f}" for weight in weights)
    return Weights(
        losses=means,
        weights=dict(zip(means, weights, strict=True)),
        images=len(whole),
        setting=f"{SETTING} = [{said}]",
        warning="" if len(whole) >= _FEW else f"Measured on few images: the source took {_FEW} studies.",
    )
