"""The lung segmenter of `opacity-explain`: a U-Net over EfficientNet-B4.

The U-Net is that of segmentation-models-pytorch, the encoder timm's, so their names are those of the weights. The
source says no more than "Lung segmentation, EfficientNet-B4"; it is the grid of the whole image that it looks at.
"""

import segmentation_models_pytorch as smp

LUNGS = ("right lung", "left lung")
_ARCHITECTURE = "efficientnet_b4"
_DECODER = (256, 128, 64, 32, 16)


class LungUNet(smp.Unet):  # type: ignore[misc]  # segmentation-models-pytorch is typed in part
    """The network; input (n, 1, rows, columns) in [-1, 1], output (n, 2, rows, columns), logits of `LUNGS`.

    Parameters
    ----------
    architecture : str
        timm's name of the encoder.
    decoder : tuple of 5 int
        Channels of the decoder, from the deepest step on.
    """

    def __init__(self, architecture: str = _ARCHITECTURE, decoder: tuple[int, ...] = _DECODER) -> None:
        super().__init__(
            encoder_name=f"tu-{architecture}",
            encoder_weights=None,  # else it downloads them
            in_channels=1,
            classes=len(LUNGS),
            decoder_channels=decoder,
        )
