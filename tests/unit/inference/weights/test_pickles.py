"""torchxrayvision's own DenseNet, pickled whole as its release files are, in both formats of torch."""

import pickle

import pytest
import torch

from inference.weights import manifest, pickles
from inference.weights.loading import load_network
from inference.weights.shelf import Verified


@pytest.fixture(scope="module")
def densenet():
    xrv = pytest.importorskip("torchxrayvision")
    torch.manual_seed(0)
    return xrv.models.DenseNet(num_classes=18, in_channels=1, weights=None)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_densenet_gives_its_state_dict_and_runs_nothing_of_its_own(densenet, tmp_path, zipped, monkeypatch):
    path = tmp_path / "model.pt"
    torch.save(densenet, path, _use_new_zipfile_serialization=zipped)
    for kind in {type(module) for module in densenet.modules()}:
        monkeypatch.setattr(kind, "__init__", None)
        monkeypatch.setattr(kind, "__setstate__", None)
    state = pickles.state_of_model(path)
    wanted = densenet.state_dict()
    assert set(state) == set(wanted)
    assert all(torch.equal(state[key], wanted[key]) for key in wanted)


def test_the_slot_of_the_classifier_loads_such_a_file_into_a_fresh_network(densenet, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(densenet, path)
    slot = manifest.SLOTS["xrv-densenet121-all"]
    verified = Verified(slot=slot, path=path, sha256="ab" * 32, outputs=slot.outputs)
    network = load_network(verified, lambda: type(densenet)(num_classes=18, in_channels=1, weights=None))
    wanted = densenet.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in network.state_dict().items())


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "function",
    [eval, exec, getattr, __import__, open, torch.load, torch.hub.load, pickle.loads, torch.nn.Module, torch.nn.LSTM],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_no_name_outside_the_list_is_looked_up(tmp_path, function, zipped):
    path = tmp_path / "evil.pt"
    torch.save(Calls(function, "1"), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError, match="which no weights need"):
        pickles.state_of_model(path)


def test_a_name_that_reaches_through_a_listed_module_is_not_looked_up():
    for module, name in (
        ("torch.nn.modules.container", "Sequential.__init__"),
        ("torch._utils", "_import_dotted_name"),
        ("torch._utils", "torch.os.system"),
        ("torch", "load"),
        ("torch", "storage.os.system"),
        ("builtins", "eval"),
        ("collections", "namedtuple"),
    ):
        with pytest.raises(pickle.UnpicklingError):
            pickles._Unpickler(open("/dev/null", "rb")).find_class(module, name)  # noqa: PTH123, SIM115


def test_a_state_dict_is_no_model(tmp_path):
    path = tmp_path / "state.pt"
    torch.save({"weight": torch.ones(1)}, path)
    with pytest.raises(pickle.UnpicklingError, match="holds no model"):
        pickles.state_of_model(path)


def test_a_tar_of_the_oldest_format_is_not_opened(tmp_path):
    import tarfile

    path = tmp_path / "old.pt"
    with tarfile.open(path, "w") as tar:
        tar.add(__file__, arcname="pickle")
    with pytest.raises(pickle.UnpicklingError, match="neither of torch's two formats"):
        pickles.state_of_model(path)
