import pytest
import torch

from inference.networks.i3d import I3D
from inference.weights import Shelf, WrongWeightsError
from tests.slots import declare, pinned
from training.ct_severity.kinetics import kinetics_start

INCEPTIONS = ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")
BRANCHES = ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")
OF_A_UNIT = ("conv3d.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")


def names_of_the_port() -> list[str]:
    """The names that the port gives, from its rules alone; a file of 2017 has no num_batches_tracked."""
    units = ["Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"]
    units += [f"Mixed_{place}.{branch}" for place in INCEPTIONS for branch in BRANCHES]
    return [f"{unit}.{part}" for unit in units for part in OF_A_UNIT] + ["logits.conv3d.weight", "logits.conv3d.bias"]


@pytest.fixture(scope="module")
def port() -> dict[str, torch.Tensor]:
    """A file of the port's names and Inception's shapes, with values that say where they are from."""
    torch.manual_seed(3)
    own = I3D().state_dict()
    state = {name: torch.rand(own[name].shape) for name in names_of_the_port() if not name.startswith("logits")}
    return {**state, "logits.conv3d.weight": torch.rand(400, 1024, 1, 1, 1), "logits.conv3d.bias": torch.rand(400)}


@pytest.fixture
def verified(tmp_path, monkeypatch):
    def verify(state):
        torch.save(state, tmp_path / "rgb_imagenet.pt")
        pin = pinned((tmp_path / "rgb_imagenet.pt").read_bytes())
        declare(
            monkeypatch,
            {"name": "i3d-kinetics", "file": "rgb_imagenet.pt", "url": "http://localhost/rgb_imagenet.pt", "pin": pin},
        )
        return Shelf(tmp_path).require("i3d-kinetics")["i3d-kinetics"]

    return verify


def test_every_weight_of_the_port_finds_its_place_but_its_head(port, verified):
    start = kinetics_start(verified(port), I3D())
    network = I3D()
    missing, unexpected = network.load_state_dict(start, strict=False)
    assert not unexpected
    assert {name for name in missing if not name.endswith("num_batches_tracked")} == {
        "input_size",
        "logits.conv3d.weight",
        "logits.conv3d.bias",
        "covid.conv3d.weight",
        "covid.conv3d.bias",
    }
    assert torch.equal(network.state_dict()["Mixed_4e.b2b.conv3d.weight"], port["Mixed_4e.b2b.conv3d.weight"])


def test_the_first_layer_says_of_values_from_0_to_1_what_it_said_of_minus_1_to_1(port, verified):
    theirs, ours = I3D().eval().double(), I3D().eval().double()
    theirs.load_state_dict({name: value for name, value in port.items() if "logits" not in name}, strict=False)
    ours.load_state_dict(kinetics_start(verified(port), I3D()), strict=False)
    values = torch.rand(1, 3, 12, 12, 12, dtype=torch.float64)
    with torch.inference_mode():
        wanted, found = theirs.Conv3d_1a_7x7(2 * values - 1), ours.Conv3d_1a_7x7(values)
    inner = (..., slice(1, -2), slice(1, -2), slice(1, -2))  # outside the image is 0 in both, which is not the same
    torch.testing.assert_close(found[inner], wanted[inner], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("logits.conv3d.bias", torch.rand(5)),
        ("Mixed_3b.b1a.conv3d.weight", torch.rand(96, 192, 3, 3, 3)),
        ("Mixed_6a.b0.conv3d.weight", torch.rand(4)),
    ],
    ids=["another head", "another shape", "another name"],
)
def test_what_is_not_of_kinetics_is_refused_by_name(port, verified, name, value):
    with pytest.raises(WrongWeightsError, match=name):
        kinetics_start(verified({**port, name: value}), I3D())


def test_a_missing_layer_is_refused(port, verified):
    with pytest.raises(WrongWeightsError, match=r"Mixed_5c\.b3b\.bn\.weight"):
        kinetics_start(
            verified({name: value for name, value in port.items() if name != "Mixed_5c.b3b.bn.weight"}), I3D()
        )


def test_a_narrow_network_cannot_start_from_kinetics(port, verified):
    with pytest.raises(WrongWeightsError, match="published width"):
        kinetics_start(verified(port), I3D(width=8))
