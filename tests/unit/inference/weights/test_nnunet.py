"""Model folders as nnU-Net writes them are read, and others are refused."""

import json
import os

import numpy as np
import pytest
import torch

from inference.weights import Verified, WrongWeightsError
from inference.weights.nnunet import load_predictor, read_model
from tests.nnunet_plans import checkpoint, network, plans


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return network().state_dict()


@pytest.fixture
def model(declare, tmp_path, state):
    """Write a folder, changed by the test, and return it as if it had been verified."""

    def make(change=lambda **_: None, *, folds=1, outputs=("background", "opacity")):
        said = plans()
        dataset = {"channel_names": {"0": "X-ray"}, "labels": {"background": 0, "opacity": 1}, "file_ending": ".png"}
        saved = checkpoint(dict(state))
        change(plans=said, architecture=said["configurations"]["2d"]["architecture"], dataset=dataset, saved=saved)
        for name, content in (("plans.json", said), ("dataset.json", dataset)):
            (tmp_path / name).write_text(json.dumps(content))
        for fold in range(folds):
            (tmp_path / f"fold_{fold}").mkdir()
            torch.save(saved, tmp_path / f"fold_{fold}" / "checkpoint_final.pth")
        slot = declare({"name": "toy", "form": "nnunet-folder", "file": "toy", "outputs": outputs})
        return Verified(slot=slot, path=tmp_path, sha256="ab" * 32, outputs=outputs)

    return make


def test_a_model_folder_becomes_a_predictor_that_uses_its_weights(model, state):
    predictor = load_predictor(model(folds=2), "cpu")
    image = np.linspace(0, 1, 1 * 1 * 40 * 36, dtype=np.float32).reshape(1, 1, 40, 36)
    segmentation, probability = predictor.predict_single_npy_array(image, {"spacing": (999, 1, 1)}, None, None, True)
    assert segmentation.shape == (1, 40, 36)
    assert probability.shape == (2, 1, 40, 36)
    for fold in predictor.list_of_parameters:
        assert all(torch.equal(fold[key], state[key]) for key in state)


def test_what_a_folder_says_is_read(model):
    read = read_model(model(folds=3))
    assert (read.configuration, read.trainer, read.mirroring_axes, len(read.folds)) == (
        "2d",
        "nnUNetTrainer",
        (0, 1),
        3,
    )


class Exploit:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_a_malicious_checkpoint_is_refused_and_not_executed(model, tmp_path):
    mark = tmp_path / "executed"
    with pytest.raises(WrongWeightsError, match=r"checkpoint_final\.pth is not read, as it holds more than weights"):
        load_predictor(model(lambda saved, **_: saved.update(logging=Exploit(mark))), "cpu")
    assert not mark.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda architecture, **_: architecture.update(network_class_name="subprocess.Popen"),
        lambda architecture, **_: architecture.update(
            network_class_name="dynamic_network_architectures.architectures.unet.torch.hub.load"
        ),
        lambda architecture, **_: architecture["arch_kwargs"].update(conv_op="os.system"),
        lambda architecture, **_: architecture["arch_kwargs"].update(nonlin="torch.nn.modules.module.torch.os.system"),
        lambda architecture, **_: architecture["arch_kwargs"].update(norm_op=["torch.nn.BatchNorm2d"]),
        lambda saved, **_: saved.update(trainer_name="../evil"),
    ],
)
def test_plans_that_name_anything_but_networks_and_layers_are_refused(model, change):
    with pytest.raises(WrongWeightsError, match="which is no network, layer or trainer of nnU-Net"):
        load_predictor(model(change), "cpu")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda saved, **_: saved.pop("network_weights"), "lacks 'network_weights'"),
        (lambda saved, **_: saved.pop("init_args"), "lacks 'init_args'"),
        (lambda dataset, **_: dataset["labels"].update(more=2), "has the labels background, opacity, more"),
        (lambda saved, **_: saved["network_weights"].popitem(), "does not fit toy: missing"),
        (lambda architecture, **_: architecture.pop("arch_kwargs"), "its plans are incomplete"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_with_the_place(model, change, why):
    with pytest.raises(WrongWeightsError, match=why):
        load_predictor(model(change), "cpu")


@pytest.mark.parametrize("missing", ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"])
def test_an_incomplete_folder_is_refused_with_what_is_missing(model, tmp_path, missing):
    folder = model()
    (tmp_path / missing).unlink()
    with pytest.raises(WrongWeightsError, match=missing.split("/")[-1]):
        read_model(folder)


@pytest.mark.parametrize("data", [b"", b"rubbish", b"PK\x03\x04 torn"])
def test_a_torn_checkpoint_is_refused_in_words(model, tmp_path, data):
    folder = model()
    (tmp_path / "fold_0" / "checkpoint_final.pth").write_bytes(data)
    with pytest.raises(WrongWeightsError, match="checkpoint_final"):
        read_model(folder)
