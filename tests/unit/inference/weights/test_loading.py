"""Small networks with values of their own; nothing here is random that could be mistaken for weights."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from inference.weights import Verified, WrongWeightsError
from inference.weights.loading import check, load_arrays, load_network, read_state


def toy() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def values(network):
    return {key: torch.full_like(value, index + 1) for index, (key, value) in enumerate(network.state_dict().items())}


@pytest.fixture
def verified(declare, tmp_path):
    """Weights in a file, as if they had been verified."""

    def make(saved, *, file="toy.pth", outputs=(), **slot):
        path = tmp_path / file
        if isinstance(saved, bytes):
            path.write_bytes(saved)
        elif file.endswith(".safetensors"):
            save_file(saved, path)
        else:
            torch.save(saved, path)
        known = declare({"name": "toy", "network": "toy CNN", "outputs": outputs, **slot})
        return Verified(slot=known, path=path, sha256="ab" * 32, outputs=tuple(outputs))

    return make


@pytest.mark.parametrize("file", ["toy.pth", "toy.safetensors"])
def test_a_network_gets_every_value_from_its_weights_and_is_ready_for_inference(verified, file):
    wanted = values(toy())
    network = load_network(verified(wanted, file=file), toy)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value, wanted[key])


def test_an_old_file_of_the_format_before_zip_is_read(verified, tmp_path):
    torch.save(values(toy()), tmp_path / "toy.pth", _use_new_zipfile_serialization=False)
    load_network(verified((tmp_path / "toy.pth").read_bytes()), toy)


def test_entry_and_prefix_of_the_slot_are_taken_off(verified):
    saved = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in values(toy()).items()}}
    load_network(verified(saved, entry="state_dict", prefix="module."), toy)
    with pytest.raises(WrongWeightsError, match="no entry 'teacher'"):
        read_state(verified(saved, entry="teacher"))


def test_what_a_network_has_no_use_for_can_be_left_out_by_name(verified):
    saved = values(toy()) | {"head.weight": torch.ones(3)}
    load_network(verified(saved), toy, ignore=lambda key: key.startswith("head."))


def test_counters_that_old_checkpoints_lack_are_not_missed(verified):
    saved = {key: value for key, value in values(toy()).items() if not key.endswith("num_batches_tracked")}
    load_network(verified(saved), toy)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda s: s.pop("3.weight"), "toy.pth does not fit toy CNN: missing 3.weight"),
        (lambda s: s.update(extra=torch.ones(1)), "unexpected extra"),
        (lambda s: s.update({"3.weight": torch.ones(5, 4)}), "3.weight is 5×4 where 2×4 is needed"),
        (lambda s: s.update({"3.bias": torch.tensor(1.0)}), "3.bias is a number where 2 is needed"),
        (lambda s: s.update({"1.running_var": torch.full((4,), torch.nan)}), "1.running_var is not finite"),
        (lambda s: s.update({"3.bias": torch.tensor([1.0, torch.inf])}), "3.bias is not finite"),
        (lambda s: s.update(note="trained in 2026"), "more than tensors"),
        (lambda s: s.clear(), "missing 0.weight, 0.bias, 1.weight and 5 more"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_key(verified, change, why):
    saved = values(toy())
    change(saved)
    with pytest.raises(WrongWeightsError) as caught:
        load_network(verified(saved), toy)
    assert why in caught.value.refusal.reason
    assert caught.value.refusal.code == "weights-wrong"


def test_as_many_outputs_as_are_named_must_be_there(verified):
    saved = values(toy())
    read_state(verified(saved, outputs=["a", "b"], output_key="3.bias"))
    with pytest.raises(WrongWeightsError, match=r"3\.bias is for 2 outputs, and 3 are named: a, b, c"):
        read_state(verified(saved, outputs=["a", "b", "c"], output_key="3.bias"))
    with pytest.raises(WrongWeightsError, match=r"it has no last\.bias"):
        read_state(verified(saved, outputs=["a", "b"], output_key="last.bias"))


class Exploit:
    """What a malicious file does when it is unpickled without care."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("form", ["state-dict", "pickled-model"])
def test_a_malicious_pickle_is_refused_and_not_executed(verified, tmp_path, form, zipped):
    mark, path = tmp_path / "executed", tmp_path / "evil.pth"
    torch.save({"weight": torch.ones(1), "x": Exploit(mark)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WrongWeightsError, match="holds more than weights"):
        check(verified(path.read_bytes(), form=form))
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.is_dir()  # the exploit would have worked


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["state-dict", "pickled-model"])
def test_a_bare_pickle_is_refused_and_not_executed(verified, tmp_path, form):
    mark = tmp_path / "executed"
    with pytest.raises(WrongWeightsError):
        check(verified(pickle.dumps(Exploit(mark)), form=form))
    assert not mark.exists()


def broken_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", b"not a pickle")
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["state-dict", "pickled-model"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>log in</html>",
        b"PK\x03\x04 torn",
        broken_zip(),
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46",
        os.urandom(999),
    ],
)
def test_rubbish_is_refused_in_words(verified, form, data):
    with pytest.raises(WrongWeightsError, match=r"toy\.pth"):
        check(verified(data, form=form))


@pytest.mark.parametrize("cut", [20, 400, -20])
def test_a_torn_file_is_refused_in_words(verified, tmp_path, cut):
    torch.save(values(toy()), tmp_path / "whole.pth")
    with pytest.raises(WrongWeightsError):
        check(verified((tmp_path / "whole.pth").read_bytes()[:cut]))
    save_file(values(toy()), tmp_path / "whole.safetensors")
    with pytest.raises(WrongWeightsError):
        check(verified((tmp_path / "whole.safetensors").read_bytes()[:cut], file="toy.safetensors"))


def test_arrays_are_read_and_pickled_ones_refused(verified, tmp_path):
    np.savez(tmp_path / "good.npz", coef=np.ones(3), alpha=0.5)
    good = load_arrays(verified((tmp_path / "good.npz").read_bytes(), form="arrays", file="toy.npz"))
    np.testing.assert_array_equal(good["coef"], np.ones(3))
    mark = tmp_path / "executed"
    torn = (tmp_path / "good.npz").read_bytes()[:-30]
    np.savez(tmp_path / "evil.npz", coef=np.array([Exploit(mark)], dtype=object))
    for data in ((tmp_path / "evil.npz").read_bytes(), b"rubbish", b"", torn):
        with pytest.raises(WrongWeightsError, match="no file of plain arrays"):
            check(verified(data, form="arrays", file="toy.npz"))
    assert not mark.exists()
