"""The class token of the last block, without the other tokens that nobody reads."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from inference import compute
from inference.networks.vit import for_class_token


def narrow() -> VisionTransformer:
    torch.manual_seed(4)
    network = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=4, qkv_bias=True, num_classes=0, final_norm=False
    )
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.3)
    return network.eval().requires_grad_(requires_grad=False)


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_class_token_is_that_of_the_whole_network(images):
    expected = narrow()(images)
    assert expected.std() > 0.5
    torch.testing.assert_close(for_class_token(narrow())(images), expected, rtol=1e-4, atol=1e-5)


def test_weights_cast_once_say_what_autocast_says_each_time(images):
    with torch.autocast("cpu", torch.bfloat16):
        expected = narrow()(images)
        cast = compute.cast(narrow(), torch.bfloat16)
        assert cast.blocks[0].mlp.fc1.weight.dtype == torch.bfloat16
        assert cast.blocks[0].norm1.weight.dtype == torch.float32
        assert torch.equal(cast(images), expected)


def test_in_bfloat16_the_class_token_alone_is_as_near_as_that_of_all(images):
    exact = narrow()(images)
    with torch.autocast("cpu", torch.bfloat16):
        whole = narrow()(images).float()
        alone = for_class_token(compute.cast(narrow(), torch.bfloat16))(images).float()
    assert (alone - exact).norm() <= 1.5 * (whole - exact).norm()
