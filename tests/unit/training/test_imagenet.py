"""torchvision's networks under timm's names: the same names, shapes and, above all, the same features."""

import pytest
import timm
import torch
from torchvision.models import convnext_tiny, efficientnet_b4
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from inference.networks.encoders import ARCHITECTURES, Backbone, encoder
from training.imagenet import convnext_classifier, convnext_encoder, efficientnet_classifier


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


@pytest.mark.parametrize(
    ("backbone", "original", "renamed", "head"),
    [
        (Backbone.B4, efficientnet_b4, efficientnet_classifier, "classifier."),
        (Backbone.CONVNEXT, convnext_tiny, convnext_classifier, "head.fc."),
    ],
    ids=["b4", "convnext"],
)
def test_every_weight_but_the_last_layers_gets_the_name_and_shape_of_the_encoder(backbone, original, renamed, head):
    with torch.device("meta"):
        state, wanted = original().state_dict(), encoder(ARCHITECTURES[backbone]).state_dict()
        found = renamed(state)
    assert {n: v.shape for n, v in found.items()} == {n: v.shape for n, v in wanted.items() if not n.startswith(head)}


def test_the_renamed_efficientnet_sees_what_the_original_sees_in_a_grey_image():
    torch.manual_seed(5)
    original, one = efficientnet_b4().eval(), encoder(ARCHITECTURES[Backbone.B4]).eval()
    for name, value in original.state_dict().items():
        if name.endswith("running_mean"):  # so that no two batch norms are alike
            value.normal_(std=0.1)
    one.load_state_dict(efficientnet_classifier(original.state_dict()), strict=False)
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        seen, wanted = one.forward_features(image), original.features(image.repeat(1, 3, 1, 1))
    torch.testing.assert_close(seen, wanted, atol=1e-5, rtol=1e-4)


def test_a_name_that_is_not_efficientnets_is_refused():
    for name in ("layer1.0.conv1.weight", "features.1.0.block.3.0.weight"):
        with pytest.raises(ValueError, match="is no weight of torchvision's EfficientNet"):
            efficientnet_classifier({name: torch.zeros(1)})
