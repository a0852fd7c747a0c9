"""LTC and I3D: shapes, sizes, names, and weights that say how wide they are."""

import pytest
import torch

from inference.networks.i3d import I3D
from inference.networks.ltc import LTC
from inference.severity.network import load
from inference.weights import Shelf, WrongWeightsError
from tests.severity import random_network
from tests.slots import declare, pinned
from tests.unit.training.test_kinetics import names_of_the_port


def test_ltc_is_as_large_as_published():
    network = LTC()
    convolutions = [network.conv1, network.conv2, network.conv3, network.conv4, network.conv5]
    assert [(c.out_channels, c.kernel_size, c.padding) for c in convolutions] == [
        (channels, (3, 3, 3), (1, 1, 1)) for channels in (64, 128, 256, 256, 256)
    ]
    assert (network.fc6.out_features, network.fc7.out_features) == (2048, 2048)
    assert sum(value.numel() for value in network.parameters()) == 23_014_022
    assert network.size == (60, 112, 112)


def test_i3d_is_as_large_as_published_and_named_as_in_its_port():
    network = I3D()
    own = {"input_size", "covid.conv3d.weight", "covid.conv3d.bias"}
    names = set(network.state_dict()) - own
    assert len(names) == 344
    assert {name for name in names if not name.endswith("num_batches_tracked")} == set(names_of_the_port())
    with_400_classes = sum(v.numel() for n, v in network.named_parameters() if not n.startswith(("covid", "logits")))
    assert with_400_classes + 400 * 1025 == 12_697_264  # of I3D RGB with the 400 classes of Kinetics
    assert network.size == (64, 224, 224)


def test_i3d_pads_as_tensorflow_does():
    """A stride of 2 over 5 voxels, window 7: margins of 3 and 3; over 6: 2 and 3."""
    unit = I3D(width=1).Conv3d_1a_7x7.eval()
    unit.conv3d.weight.data.zero_()
    unit.conv3d.weight.data[0, 0, 0, 0, 0] = 1  # the window's first corner
    for size, first in ((5, -3), (6, -2)):
        line = torch.arange(1.0, size + 1)
        volume = (line[:, None, None] * torch.ones(1, size, size)).expand(1, 3, size, size, size)
        found = unit(volume)[0, 0, :, 2, 2] * (1 + 1e-3) ** 0.5
        expected = [float(line[place]) if (place := first + 2 * step) >= 0 else 0.0 for step in range(3)]
        torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize(("make", "block"), [(LTC, (32, 7, 7, 7)), (I3D, (128, 8, 7, 7))])
def test_a_narrow_network_goes_through_the_same_layers(make, block):
    network = make(width=8).eval()
    with torch.inference_mode():
        found = network.trunk(torch.rand(1, 1, *network.size))
        said = network.heads(found)
        torch.testing.assert_close(network.heads(torch.cat([found, found])).covid, said.covid.repeat(2))
    assert found.shape == (1, *block)
    assert found.min() >= 0
    assert (said.levels.shape, said.covid.shape) == ((1, 5), (1,))


def test_i3d_sees_grey_as_three_equal_colours():
    network = random_network(I3D, 1, size=(8, 32, 32))
    grey = torch.rand(1, 1, 8, 32, 32)
    torch.testing.assert_close(network.trunk(grey), network.trunk(grey.repeat(1, 3, 1, 1, 1)))


def test_ltc_says_how_small_its_input_may_be():
    with pytest.raises(ValueError, match="at least 16 x 32 x 32 voxels, not 15 x 32 x 32"):
        LTC(width=4, size=(15, 32, 32))


@pytest.fixture
def verified(tmp_path, monkeypatch):
    def verify(state):
        torch.save(state, tmp_path / "severity.pth")
        pin = pinned((tmp_path / "severity.pth").read_bytes())
        declare(monkeypatch, {"name": "severity", "file": "severity.pth", "url": "http://localhost/s.pth", "pin": pin})
        return Shelf(tmp_path).require("severity")["severity"]

    return verify


@pytest.mark.parametrize("make", [LTC, I3D])
def test_weights_bring_their_width_and_the_size_of_their_input(make, verified):
    network = random_network(make, 1, width=6, size=(24, 48, 64))
    loaded = load(verified(network.state_dict()), make.like)
    assert loaded.size == (24, 48, 64)
    volume = torch.rand(1, 1, 24, 48, 64)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(volume), network(volume))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"input_size": torch.tensor([24, 48])}, r"input_size \[24, 48\]"),
        ({"input_size": torch.tensor(24)}, "input_size 24"),
        ({"input_size": torch.tensor([24, 48, 10**9])}, "input_size"),
        ({"input_size": torch.tensor([8, 8, 8])}, "at least 16 x 32 x 32"),
        ({"conv1.weight": torch.zeros(100_000, 1, 1, 1, 1)}, "conv1.weight has 100000 channels"),
        ({"covid.weight": None}, "missing covid.weight"),
        ({"input_size": None}, "missing input_size"),
        ({"levels.weight": torch.zeros(4, 128)}, "levels.weight"),
    ],
    ids=["two axes", "no axes", "far too large", "too small", "far too wide", "one head", "no size", "four levels"],
)
def test_weights_that_are_not_of_such_a_network_are_refused_by_name(changed, said, verified):
    state = random_network(LTC, 1).state_dict() | changed
    weights = verified({name: value for name, value in state.items() if value is not None})
    with pytest.raises(WrongWeightsError, match=said):
        load(weights, LTC.like)
