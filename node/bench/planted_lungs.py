"""Lungs where R231 of random weights finds none.

Such a network says rubbish, on which the clean-up of lung masks takes longer than all networks. So it is computed
whole, and then dark pixels within an ellipse are marked in place of what it said; in our process as in the package's.
"""

from collections.abc import Callable
from typing import cast

import torch
from lungmask.resunet import UNet
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

_DARK = 0.32
"""Of R231's input, -500 HU."""
_HALF_HEIGHT, _HALF_WIDTH = 0.8, 0.85
"""Of the ellipse, by those of the image."""


class PlantedLungs:
    """Has every R231 of this process mark lungs, until its `handle` is removed.

    Parameters
    ----------
    first, end : int
        Slices between which there are any, counted from `begin` on.
    """

    def __init__(self, first: int, end: int) -> None:
        self._first, self._end = first, end
        self._seen = 0
        # Its types forget that a hook may answer.
        self.handle = register_module_forward_hook(cast("Callable[..., None]", self._instead))

    def begin(self) -> None:
        """Count slices from here."""
        self._seen = 0

    def _instead(self, network: nn.Module, given: tuple[Tensor, ...], said: Tensor) -> Tensor | None:
        if not isinstance(network, UNet):
            return None
        images = given[0]
        numbers = torch.arange(len(images), device=images.device) + self._seen
        self._seen += len(images)
        shown = (numbers >= self._first) & (numbers < self._end)
        y, x = (torch.linspace(-1, 1, length, device=images.device) for length in images.shape[-2:])
        inside = (y[:, None] / _HALF_HEIGHT) ** 2 + (x / _HALF_WIDTH) ** 2 < 1
        lung = (images[:, 0] < _DARK) & inside & shown[:, None, None]
        right = x < 0
        return torch.stack([~lung, lung & right, lung & ~right], dim=1).to(said.dtype)
