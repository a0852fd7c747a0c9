"""Encoders tapped where the source's figure taps them, and decoders that give its shapes, in full width."""

import pytest
import torch

from inference.networks.encoders import ARCHITECTURES, Backbone, channels, encoder, features, score
from inference.networks.lung_unet import LUNGS, LungUNet
from inference.networks.map_decoder import MapDecoder
from inference.opacity_explain.views import LUNG, WHOLE
from inference.weights import manifest
from inference.weights.loading import load_network
from inference.weights.refusals import WrongWeightsError

NARROW = {Backbone.B4: "test_efficientnet", Backbone.CONVNEXT: "test_convnext"}
TAPS = {
    Backbone.B4: [(24, 2), (32, 4), (56, 8), (160, 16), (1792, 32)],
    Backbone.CONVNEXT: [(96, 4), (192, 8), (384, 16), (768, 32)],
}
CONCATENATED = {
    Backbone.B4: [(320, 16), (112, 8), (64, 4), (48, 2)],
    Backbone.CONVNEXT: [(768, 16), (384, 8), (192, 4), (48, 2)],
}


def scaled(steps, size):
    return [(count, *(length // by for length in size)) for count, by in steps]


@pytest.mark.parametrize("size", [WHOLE, LUNG], ids=str)
@pytest.mark.parametrize("backbone", Backbone)
def test_the_whole_networks_have_the_shapes_of_the_figure(backbone, size):
    with torch.device("meta"):  # shapes alone
        network = encoder(ARCHITECTURES[backbone])
        decoder = MapDecoder(channels(ARCHITECTURES[backbone]))
        images = torch.zeros(2, 1, *size)
    mixed = []
    for block in decoder.blocks:
        block.register_forward_pre_hook(lambda _, inputs: mixed.append(tuple(inputs[0].shape[1:])))
    found = features(network.eval(), images)
    assert [tuple(tap.shape[1:]) for tap in (*found.taps, found.deepest)] == scaled(TAPS[backbone], size)
    assert score(network, found).shape == (2,)
    assert decoder.eval()(found).shape == (2, 1, size[0] // 2, size[1] // 2)
    assert mixed == scaled(CONCATENATED[backbone], size)


@pytest.mark.parametrize("backbone", Backbone)
def test_the_score_of_the_features_is_what_the_network_itself_says(backbone):
    torch.manual_seed(3)
    network, images = encoder(NARROW[backbone]).eval(), torch.rand(2, 1, 64, 96)
    with torch.inference_mode():
        alone = network(images)[:, 0]
        assert torch.equal(score(network, features(network, images)), alone)
    assert alone[0] != alone[1]


def test_weights_bear_the_names_of_their_libraries_and_the_slots_name_their_outputs():
    with torch.device("meta"):
        states = {"lungs": LungUNet().state_dict()}
        for backbone, architecture in ARCHITECTURES.items():
            states[f"classifier-{backbone}"] = encoder(architecture).state_dict()
            states[f"map-{backbone}"] = MapDecoder(channels(architecture)).state_dict()
    assert states["classifier-b4"]["conv_stem.weight"].shape == (48, 1, 3, 3)
    assert states["classifier-b4"]["blocks.6.1.conv_pwl.weight"].shape == (448, 2688, 1, 1)
    assert states["classifier-convnext"]["stages.2.blocks.8.conv_dw.weight"].shape == (384, 1, 7, 7)
    assert states["lungs"]["encoder.model.conv_stem.weight"].shape == (48, 1, 3, 3)
    assert not set(states["map-b4"]) & set(states["classifier-b4"])
    for name, state in states.items():
        slot = manifest.SLOTS[f"opacity-explain-{name}"]
        assert len(state[slot.output_key]) == len(slot.outputs)
    assert manifest.SLOTS["opacity-explain-lungs"].outputs == LUNGS


def test_a_decoder_does_not_take_the_weights_of_another_encoders(stored):
    kinds = {backbone: MapDecoder(channels(NARROW[backbone])) for backbone in Backbone}
    verified = stored("opacity-explain-map-b4", kinds[Backbone.CONVNEXT].state_dict())
    with pytest.raises(WrongWeightsError, match=r"does not fit EfficientNet-B4 map decoder"):
        load_network(verified, lambda: kinds[Backbone.B4])
    verified = stored("opacity-explain-map-b4", kinds[Backbone.B4].state_dict())
    assert load_network(verified, lambda: MapDecoder(channels(NARROW[Backbone.B4])))


def test_a_narrow_lung_segmenter_is_made_by_the_same_constructor():
    with torch.device("meta"):
        network = LungUNet(NARROW[Backbone.B4], decoder=(16, 16, 8, 8, 8))
        assert network.eval()(torch.zeros(1, 1, *LUNG)).shape == (1, 2, *LUNG)
