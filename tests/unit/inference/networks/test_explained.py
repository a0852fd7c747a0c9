"""Scores and maps of narrow networks through the real constructors: one pass of an encoder gives both."""

import numpy as np
import pytest
import torch

from inference.networks import explained
from inference.networks.encoders import Backbone, channels, encoder, features
from inference.networks.explained import Kind, mapped, outlined, scored
from inference.networks.lung_unet import LungUNet
from inference.networks.map_decoder import MapDecoder
from tests.unit.inference.networks.test_mapping import NARROW

SIZE = (96, 64)


@pytest.fixture(scope="module")
def views():
    random = np.random.default_rng(5)
    return [random.uniform(-1, 1, SIZE).astype(np.float32) for _ in range(5)]


@pytest.fixture(scope="module", autouse=True)
def narrow():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explained, "ARCHITECTURES", NARROW)
        patch.setattr(explained, "LungUNet", lambda: LungUNet(NARROW[Backbone.B4], decoder=(8, 8, 8, 8, 8)))
        yield


def made(stored, slot, build):
    torch.manual_seed(4)
    network = build().eval()
    for name, value in network.named_buffers():  # as if it had been trained: the same in a batch and alone
        if name.endswith("running_var"):
            value.fill_(0.5)
    return network, stored(slot, network.state_dict())


@pytest.fixture(scope="module", params=Backbone)
def pair(request, stored):
    """Return backbone, classifier and decoder, and the weights of both."""
    name = NARROW[request.param]
    classifier = made(stored, f"opacity-explain-classifier-{request.param}", lambda: encoder(name))
    decoder = made(stored, f"opacity-explain-map-{request.param}", lambda: MapDecoder(channels(name)))
    return request.param, *zip(classifier, decoder, strict=True)


def test_a_map_is_what_its_decoder_makes_of_what_the_score_was_seen_in(pair, views, monkeypatch):
    backbone, (network, decoder), (classifier_weights, decoder_weights) = pair
    passes = []
    inner = explained.features
    monkeypatch.setattr(explained, "features", lambda *given: passes.append(len(given[1])) or inner(*given))
    seen = scored(classifier_weights, backbone, Kind.CLASSIFIER, views, "cpu")
    maps = mapped(decoder_weights, backbone, seen.each, "cpu")
    assert sum(passes) == len(views)
    assert seen.parameters == maps.parameters == {"device": "cpu", "precision": "float32"}
    with torch.inference_mode():
        for view, one, values in zip(views, seen.each, maps.each, strict=True):
            image = torch.from_numpy(view)[None, None]
            assert one.score == pytest.approx(torch.sigmoid(network(image)).item(), abs=1e-5)
            expected = torch.sigmoid(decoder(features(network, image)))[0, 0].numpy()
            assert expected.shape == (48, 32)
            np.testing.assert_allclose(values, expected, atol=1e-5)
    assert np.std([one.score for one in seen.each]) > 0
    assert maps.each[0].std() > 0


def test_images_together_say_what_each_says_alone(pair, views):
    backbone, _, (classifier_weights, decoder_weights) = pair
    together = scored(classifier_weights, backbone, Kind.CLASSIFIER, views, "cpu").each
    alone = scored(classifier_weights, backbone, Kind.CLASSIFIER, views[4:], "cpu").each
    assert together[4].score == pytest.approx(alone[0].score, abs=1e-6)
    maps = mapped(decoder_weights, backbone, together, "cpu").each
    np.testing.assert_allclose(maps[4], mapped(decoder_weights, backbone, alone, "cpu").each[0], atol=1e-5)


def test_an_extent_is_what_the_regressor_says_within_0_and_1(stored, views):
    name = NARROW[Backbone.B4]
    for bias, wanted in ((0.3, 0.3), (1.5, 1.0), (-0.5, 0.0)):
        network = encoder(name)
        torch.nn.init.zeros_(network.classifier.weight)
        torch.nn.init.constant_(network.classifier.bias, bias)
        weights = stored("opacity-explain-regressor-right-b4", network.state_dict())
        (one,) = scored(weights, Backbone.B4, Kind.REGRESSOR, views[:1], "cpu").each
        assert one.score == pytest.approx(wanted)


def test_lungs_are_outlined_as_the_segmenter_says(stored, views):
    network, weights = made(stored, "opacity-explain-lungs", explained.LungUNet)
    found = outlined(weights, views, "cpu")
    with torch.inference_mode():
        expected = torch.sigmoid(network(torch.from_numpy(np.stack(views))[:, None])).numpy()
    np.testing.assert_allclose(np.stack(found.each), expected, atol=1e-4)
    assert found.each[0].shape == (2, *SIZE)
    assert expected.std() > 0


def test_scores_and_maps_in_bfloat16_are_near_those_in_float32(pair, views, monkeypatch):
    backbone, _, (classifier_weights, decoder_weights) = pair

    def both():
        seen = scored(classifier_weights, backbone, Kind.CLASSIFIER, views, "cpu")
        maps = mapped(decoder_weights, backbone, seen.each, "cpu")
        return seen.parameters, np.array([one.score for one in seen.each]), np.stack(maps.each)

    _, scores, maps = both()
    monkeypatch.setattr("inference.compute.dtype_on", lambda _: torch.bfloat16)
    said, coarse_scores, coarse_maps = both()
    assert said["precision"] == "bfloat16"
    assert 0 < np.abs(maps - coarse_maps).max() < 0.05
    np.testing.assert_allclose(coarse_scores, scores, atol=0.02)
