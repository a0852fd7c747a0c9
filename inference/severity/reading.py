"""What LTC and I3D say of a prepared CT, and where they looked to say it: one pass of each network for both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference import compute
from inference.batches import in_batches
from inference.grad_cam import grad_cam, normalised
from inference.networks.i3d import I3D
from inference.networks.ltc import LTC
from inference.resident import resident
from inference.severity.network import LEVELS, Cells, SeverityNetwork, load
from inference.severity.prepared import Floats, Prepared, resized
from inference.weights import Verified, WrongWeightsError

_LIKE: Mapping[str, Callable[[Mapping[str, Tensor]], SeverityNetwork]] = {
    "ct-severity-ltc": LTC.like,
    "ct-severity-i3d": I3D.like,
}
_OUTPUTS = tuple(f"level {number}" for number in range(1, LEVELS + 1))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Attention:
    """Where a network looked: Grad-CAM of its predicted level, 1 at its highest.

    Attributes
    ----------
    values : ndarray of float32, shape of the cells
        From 0 to 1.
    cells : Cells
        Where they lie on the network's input.
    size : tuple of 3 int
        Slices, rows and columns of that input.
    """

    values: Floats
    cells: Cells
    size: tuple[int, int, int]

    def on_grid(self, prepared: Prepared) -> Floats:
        """Return the values on the grid that the network's input was prepared from."""
        return prepared.on_grid(self.values, self.cells, self.size)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reading:
    """What one network says.

    Attributes
    ----------
    levels : ndarray of float64, shape (LEVELS,)
        Softmax, from level 1 on.
    covid : float
        Sigmoid.
    attention : Attention or None
        None where nothing in the last block speaks for the predicted level.
    size : tuple of 3 int
        Slices, rows and columns of the network's input.
    parameters : Mapping[str, str]
        For `Algorithm.parameters`.
    warnings : tuple of str
        For `Findings.warnings`.
    """

    levels: NDArray[np.float64]
    covid: float
    attention: Attention | None
    size: tuple[int, int, int]
    parameters: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def read(prepared: Prepared, weights: Verified, *, device: str) -> Reading:
    """Run one network.

    Parameters
    ----------
    prepared : Prepared
        The CT.
    weights : Verified
        Of the slot `ct-severity-ltc` or `ct-severity-i3d`.
    device : str
        Torch device.

    Raises
    ------
    inference.weights.WrongWeightsError
        If they are not those of such a network, or its outputs are not the five levels.
    """
    order = _order(weights)
    explained = _Explained(weights)
    said = in_batches(explained.on, prepared.volume[None], device=device, batch=1, dtype=_dtype(device))
    logits, covid, attention = np.split(said.outputs[0].astype(np.float64), (LEVELS, LEVELS + 1))
    cells, size = explained.network.cells, explained.network.size
    values = normalised(attention.astype(np.float32).reshape(cells.shape))
    odds = np.exp(logits - logits.max())
    return Reading(
        levels=(odds / odds.sum())[order],
        covid=float(1 / (1 + np.exp(-covid[0]))),
        attention=None if values is None else Attention(values=values, cells=cells, size=size),
        size=size,
        parameters=said.parameters,
        warnings=said.warnings,
    )


class _Explained:
    """A network that says with its logits where it looked, as one row of numbers."""

    network: SeverityNetwork

    def __init__(self, weights: Verified) -> None:
        self._weights = weights

    def on(self, device: str) -> Callable[[Tensor], Tensor]:
        """Return it on a device."""
        weights = self._weights
        like = _LIKE[weights.slot.name]
        self.network = resident((weights.slot.name, weights.sha256), device, lambda: load(weights, like))
        return self._run

    def _run(self, volumes: Tensor) -> Tensor:
        inputs = torch.stack([resized(volume, self.network.size) for volume in volumes])
        block = self.network.trunk(inputs[:, None])
        # The rest is quick: scores are not to lose digits to bfloat16 at the very end, and gradients need a block that
        # was not made in inference mode.
        with (
            torch.inference_mode(mode=False),
            torch.enable_grad(),
            torch.autocast(volumes.device.type, enabled=False),
        ):
            block = block.float().clone().requires_grad_()
            levels, covid = self.network.heads(block)
            attention = grad_cam(block, levels.max(dim=1).values)
        return torch.cat([levels, covid[:, None], attention.flatten(1)], dim=1).detach()


def _order(weights: Verified) -> list[int]:
    """Return which output says which level: a site may have trained them in another order."""
    if sorted(weights.outputs) != sorted(_OUTPUTS):
        raise WrongWeightsError(
            weights.slot,
            f"its outputs are {', '.join(weights.outputs) or 'not named'}; {', '.join(_OUTPUTS)} are needed",
        )
    return [weights.outputs.index(name) for name in _OUTPUTS]


def _dtype(device: str) -> torch.dtype | None:
    """Return what to compute with: in three dimensions bfloat16 gains nothing on a CPU, even one with units for it."""
    is_free = compute.limits().precision is compute.Precision.AUTO
    return torch.float32 if is_free and torch.device(device).type == "cpu" else None
