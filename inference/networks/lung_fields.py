"""The U-Net of `lung-fields`: right and left lung on a frontal chest X-ray.

References
----------
Ronneberger et al., MICCAI 2015, https://arxiv.org/abs/1505.04597 (U-Net).
Shi et al., CVPR 2016, https://arxiv.org/abs/1609.05158 (pixel shuffle: the network works at half the grid's pitch).
"""

import torch
from torch import Tensor, nn

SIDE = 256
"""Rows and columns of the network's grid."""
OUTPUTS = ("background", "right lung", "left lung")
_WIDTHS = (24, 32, 48, 64, 96)


class LungFieldsNet(nn.Module):
    """A U-Net over 2 × 2 blocks of pixels.

    Input (n, 1, SIDE, SIDE) as `inference.lung_probabilities.equalised` gives it; output (n, 3, SIDE, SIDE), logits.
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = (4, *_WIDTHS[:-1])
        self.down = nn.ModuleList(_block(before, after) for before, after in zip(inputs, _WIDTHS, strict=True))
        pairs = list(zip(_WIDTHS[:0:-1], _WIDTHS[-2::-1], strict=True))
        self.up = nn.ModuleList(_block(below + beside, beside) for below, beside in pairs)
        self.head = nn.Conv2d(_WIDTHS[0], 4 * len(OUTPUTS), kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits."""
        found, kept = nn.functional.pixel_unshuffle(image, 2), []
        for depth, block in enumerate(self.down):
            found = block(nn.functional.max_pool2d(found, 2) if depth else found)
            kept.append(found)
        for block, beside in zip(self.up, kept[-2::-1], strict=True):
            found = block(torch.cat([nn.functional.interpolate(found, scale_factor=2.0), beside], dim=1))
        logits: Tensor = nn.functional.pixel_shuffle(self.head(found), 2)
        return logits


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)
