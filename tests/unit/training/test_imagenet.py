"""torchvision's ConvNeXt under timm's names: the same names, shapes and, above all, the same features."""

import pytest
import timm
import torch
from torchvision.models import convnext_tiny
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from training.imagenet import convnext_encoder


def test_every_weight_of_convnext_tiny_gets_the_name_and_shape_that_timm_wants():
    with torch.device("meta"):
        state = convnext_tiny().state_dict()
        wanted = timm.create_model("convnext_tiny", features_only=True).state_dict()
    renamed = convnext_encoder(state, channels=3)
    assert {name: value.shape for name, value in renamed.items()} == {n: v.shape for n, v in wanted.items()}


def test_renamed_weights_see_what_the_original_sees_in_a_grey_image():
    torch.manual_seed(4)
    widths, blocks = (8, 16, 24, 32), (1, 2, 3, 1)
    following = [*widths[1:], None]
    settings = [CNBlockConfig(*stage) for stage in zip(widths, following, blocks, strict=True)]
    original = ConvNeXt(settings, layer_scale=0.5).eval()
    one = timm.create_model("convnext_tiny", features_only=True, in_chans=1, dims=widths, depths=blocks).eval()
    one.load_state_dict(convnext_encoder(original.state_dict()))
    image = torch.rand(1, 1, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(one(image)[-1], original.features(image.repeat(1, 3, 1, 1)), atol=1e-5, rtol=1e-4)


def test_a_name_of_another_network_is_refused():
    with pytest.raises(ValueError, match=r"layer1\.0\.conv1\.weight is no weight of torchvision's ConvNeXt"):
        convnext_encoder({"layer1.0.conv1.weight": torch.zeros(1)})
