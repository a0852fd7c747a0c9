"""iBOT's ViT-L/16 from verified weights: the class token after any block, without the final norm.

Its names and values are those of timm's Vision Transformer, from which iBOT has it by way of DINO.

References
----------
Zhou et al., iBOT: Image BERT Pre-Training with Online Tokenizer, ICLR 2022.
"""

from typing import cast

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from inference import compute
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

    dtype = compute.dtype_on(device)

    def make() -> VisionTransformer:
        network = load_network(weights, lambda: _empty(blocks), ignore=is_in_no_use)
        return compute.cast(for_class_token(network), dtype)

    return resident(("iBOT ViT-L/16", blocks, weights.sha256, dtype), device, make)


def for_class_token(network: VisionTransformer) -> VisionTransformer:
    """Have the last block compute its class token alone: the others would be thrown away."""
    network.blocks[-1] = _ClassTokenBlock(cast("Block", network.blocks[-1]))
    return network


class _ClassTokenBlock(nn.Module):
    """A block of a ViT that looks at all tokens, shape (n, tokens, width), and returns the first, (n, 1, width)."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self._block = block

    def forward(self, tokens: Tensor) -> Tensor:
        block, attention = self._block, self._block.attn
        width, heads = tokens.shape[-1], attention.num_heads
        normed = block.norm1(tokens)
        query, keys_and_values = attention.qkv.weight.split([width, 2 * width])
        query_bias, other_bias = attention.qkv.bias.split([width, 2 * width])
        asked = functional.linear(normed[:, :1], query, query_bias).unflatten(-1, (heads, -1)).transpose(1, 2)
        told = functional.linear(normed, keys_and_values, other_bias).unflatten(-1, (2, heads, -1))
        keys, values = told.permute(2, 0, 3, 1, 4)
        answered = functional.scaled_dot_product_attention(asked, keys, values).transpose(1, 2).flatten(2)
        class_token = tokens[:, :1] + attention.proj(answered)
        said: Tensor = class_token + block.mlp(block.norm2(class_token))
        return said


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
