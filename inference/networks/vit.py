"""iBOT's ViT-L/16 from verified weights: the class token after any block, without the final norm.

Its names and values are those of timm's Vision Transformer, from which iBOT has it by way of DINO.

References
----------
Zhou et al., iBOT: Image BERT Pre-Training with Online Tokenizer, ICLR 2022.
"""

import torch
from timm.models.vision_transformer import VisionTransformer

from inference.resident import resident
from inference.weights import Verified
from inference.weights.loading import load_network

WIDTH = 1024
_HEADS = 16
_IN_NO_USE = ("norm.", "head.", "masked_embed")


def vit_large(weights: Verified, *, blocks: int, device: str) -> VisionTransformer:
    """Return the first blocks of a ViT-L/16, loaded once.

    Parameters
    ----------
    weights : Verified
        Of at least as many blocks.
    blocks : int
        How many to use.
    device : str
        Torch device.

    Returns
    -------
    VisionTransformer
        Input (n, 3, 224, 224), output (n, `WIDTH`).
    """

    def is_in_no_use(key: str) -> bool:
        block = key.split(".")[1] if key.startswith("blocks.") else ""
        return key.startswith(_IN_NO_USE) or (block.isdigit() and int(block) >= blocks)

    def make() -> VisionTransformer:
        return load_network(weights, lambda: _empty(blocks), ignore=is_in_no_use)

    return resident(("iBOT ViT-L/16", blocks, weights.sha256), device, make)


def _empty(blocks: int) -> VisionTransformer:
    """Return the network without values: drawing random ones takes longer than reading the true ones."""
    with torch.device("meta"):
        network = VisionTransformer(
            img_size=224,
            patch_size=16,
            embed_dim=WIDTH,
            depth=blocks,
            num_heads=_HEADS,
            qkv_bias=True,
            num_classes=0,
            final_norm=False,
            weight_init="skip",
        )
    return network.to_empty(device="cpu")
