"""ConvNeXt-tiny with its pyramid in full width, and a narrow one through the same constructor."""

import numpy as np
import pytest
import torch

from inference.networks import convnext_fpn
from inference.networks.convnext_fpn import SIDE, TINY, ConvNeXtFPN, Widths, opacity, prepared

NARROW = Widths(blocks=(1, 1, 1, 1), channels=(8, 16, 24, 32), pyramid=16, head=32)


@pytest.fixture(scope="module")
def narrow(stored):
    torch.manual_seed(2)
    verified = stored("opacity-ensemble-convnext", ConvNeXtFPN(NARROW).state_dict())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convnext_fpn, "TINY", NARROW)
        yield verified


def test_the_whole_network_has_the_names_and_shapes_of_its_libraries():
    with torch.device("meta"):
        state = ConvNeXtFPN(TINY).state_dict()
    assert sum(value.numel() for value in state.values()) == 29_809_121
    assert state["encoder.model.stages_2.blocks.8.conv_dw.weight"].shape == (384, 1, 7, 7)
    assert state["encoder.model.stem_0.weight"].shape == (96, 1, 4, 4)
    assert state["decoder.p5.weight"].shape == (256, 768, 1, 1)
    assert state["segmentation_head.0.weight"].shape == (1, 128, 1, 1)


def test_the_whole_network_says_the_same_twice_of_its_own_grid():
    torch.manual_seed(2)
    network, image = ConvNeXtFPN(TINY).eval(), torch.rand(1, 1, SIDE, SIDE)
    with torch.inference_mode():
        first, again = network(image), network(image)
    assert first.shape == (1, 1, SIDE, SIDE)
    assert torch.equal(first, again)
    assert first.std() > 0


@pytest.mark.parametrize("size", [(336, 336), (352, 320), (65, 100)])
def test_what_the_border_adds_is_cut_off_where_it_was_added(size):
    torch.manual_seed(2)
    network = ConvNeXtFPN(NARROW).eval()
    with torch.inference_mode():
        assert network(torch.rand(1, 1, *size)).shape == (1, 1, *size)
        rows, columns = (-(-length // 32) * 32 for length in size)
        top, left = (rows - size[0]) // 2, (columns - size[1]) // 2
        flat = torch.zeros(1, 1, rows, columns)
        flat[..., top : top + size[0], left : left + size[1]] = torch.rand(1, 1, *size)
        inner = flat[..., top : top + size[0], left : left + size[1]]
        padding = (left, columns - size[1] - left, top, rows - size[0] - top)
        bordered = torch.nn.functional.pad(inner, padding, mode="replicate")
        wanted = network(bordered)[..., top : top + size[0], left : left + size[1]]
        assert torch.equal(network(inner), wanted)


def test_several_images_get_what_each_alone_gets_on_its_own_pixels(narrow, images):
    together = opacity(narrow, images, "cpu")
    assert together.parameters == {"device": "cpu", "precision": "float32"}
    for image, found in zip(images, together.each, strict=True):
        assert found.shape == image.shape
        assert 0 <= found.min() < found.max() <= 1
        np.testing.assert_allclose(found, opacity(narrow, [image], "cpu").each[0], atol=1e-5)


def test_another_window_shows_the_network_the_same():
    ramp = np.random.default_rng(1).random((400, 300), dtype=np.float32)
    assert np.abs(prepared(ramp) - prepared(0.2 + 0.5 * ramp)).max() < 0.02
    assert np.abs(prepared(ramp) - prepared(0.2 + 0.5 * ramp**2)).mean() < 0.02
    assert prepared(ramp).min() == pytest.approx(-1, abs=0.1)
    assert prepared(ramp).max() == pytest.approx(1, abs=0.1)
