"""How fast this machine could be: operations of networks, counted, over its measured rate of multiplying matrices."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.bench import operations

if TYPE_CHECKING:
    import torch

_SIDE_ON_CPU, _SIDE_ON_GPU = 2048, 8192
_REPEATS = 5
_MATRICES_PER_TURN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """What bounds the networks.

    Attributes
    ----------
    gflop_per_s : float
        The best of several turns of multiplying two large matrices.
    gflop : Mapping[str, float]
        Of each network for one image, as published: what we leave out of it counts as done.
    """

    gflop_per_s: float
    gflop: Mapping[str, float]

    def share(self, network: str, images: int, seconds: float) -> float:
        """Return how much of the limit was reached; over 1 where operations were saved."""
        return self.gflop[network] * images / seconds / self.gflop_per_s


def limits(precision: str, device: str) -> Limit:
    """Measure the rate, and count operations."""
    import torch

    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return Limit(gflop_per_s=round(_rate(dtype, device), 1), gflop=operations.counted())


def _rate(dtype: "torch.dtype", device: str) -> float:
    import torch

    side = _SIDE_ON_GPU if torch.device(device).type == "cuda" else _SIDE_ON_CPU
    matrix = torch.randn(side, side, device=device).to(dtype)
    best = 0.0
    for _ in range(_REPEATS + 1):
        started = time.perf_counter()
        for _ in range(_MATRICES_PER_TURN):
            product = matrix @ matrix
        product[0, 0].item()  # a GPU has computed it by then
        best = max(best, _MATRICES_PER_TURN * 2 * side**3 / (time.perf_counter() - started))
    return best / 1e9
