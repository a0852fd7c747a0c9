"""The decoder of `opacity-explain`: what an encoder knows -> where on the image it knows it from.

Every step doubles the resolution, sets the encoder's own features of that resolution beside it, and mixes both in a
block of convolutions. Channels are those of the source's figure; that a step halves them by a transposed convolution,
and that a block is two convolutions with batch normalisation, is U-Net's, which the source names as its model.

References
----------
Ronneberger et al., MICCAI 2015, arXiv:1505.04597 (U-Net).
"""

import torch
from torch import Tensor, nn

from inference.networks.encoders import Channels, Features

_REDUCTION = 2
"""Of the map: half the image's resolution."""


class MapDecoder(nn.Module):
    """Decodes a map of half the image's rows and columns; its weights hold nothing of the encoder.

    Parameters
    ----------
    channels : Channels
        Of the encoder.
    """

    def __init__(self, channels: Channels) -> None:
        super().__init__()
        self.channels = channels
        beside = list(reversed(channels.taps))
        # ConvNeXt has nothing to set beside the last step.
        bare = [beside[-1] // 2] if channels.first_reduction > _REDUCTION else []
        widths = beside + bare
        steps = list(zip([channels.deepest, *widths], widths, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(before, width, kernel_size=2, stride=2) for before, width in steps)
        self.blocks = nn.ModuleList(
            _block(width + more, width) for width, more in zip(widths, [*beside, 0], strict=False)
        )
        self.head = nn.Conv2d(widths[-1], 1, kernel_size=1)

    def forward(self, found: Features) -> Tensor:
        """Return logits of opacity, shape (n, 1, rows / 2, columns / 2) of the image."""
        taps = list(reversed(found.taps))
        mixed = found.deepest
        for step, (up, block) in enumerate(zip(self.up, self.blocks, strict=True)):
            mixed = up(mixed)
            mixed = block(torch.cat([mixed, taps[step]], dim=1) if step < len(taps) else mixed)
        logits: Tensor = self.head(mixed)
        return logits


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (inputs, outputs):
        layers += [nn.Conv2d(before, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
