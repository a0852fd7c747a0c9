"""lungmask itself is the oracle: the same narrow network in both, so that the masks are made in seconds."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from lungmask import LMInferer
from lungmask.mask import UNet

from inference import compute, resident
from inference.networks import r231
from inference.resampled_ct import resample
from inference.weights import Verified, manifest
from phantom.ct import make_chest

NARROW = 2


def narrow(classes: int) -> UNet:
    return UNet(n_classes=classes, wf=NARROW, padding=True, depth=5, up_mode="upsample", batch_norm=True)


@pytest.fixture(scope="module")
def chest():
    return make_chest(slices=12, rows=96, columns=112, spacing_mm=(22.0, 3.2, 3.2))


@pytest.fixture
def network(chest):
    """Random weights; every class is about as likely as the others, and all three occur."""
    torch.manual_seed(3)
    made = narrow(3)
    images = r231._tensor([r231._prepared(plane)[0] for plane in chest.hounsfield[3:9:2]])
    with torch.no_grad():
        made.train()(images)
        said = []
        made.last.register_forward_hook(lambda _layer, _given, logits: said.append(logits))
        made.eval()(images)
        mean, spread = said[0].mean((0, 2, 3)), said[0].std((0, 2, 3))
        made.last.weight /= spread[:, None, None, None]
        made.last.bias.copy_((made.last.bias - mean) / spread)
    made.last._forward_hooks.clear()
    return made.requires_grad_(requires_grad=False)


@pytest.fixture
def weights(network, tmp_path, monkeypatch):
    path = tmp_path / "narrow.pth"
    torch.save(network.state_dict(), path)
    monkeypatch.setattr(r231, "_unet", narrow)
    slot = manifest.SLOTS["lungmask-r231"]
    yield Verified(slot=slot, path=path, sha256="a" * 64, outputs=slot.outputs)
    resident.release_all()


def lungmask(network: UNet, hounsfield: np.ndarray) -> np.ndarray:
    oracle = LMInferer.__new__(LMInferer)  # its constructor knows the full width alone
    oracle.fillmodel, oracle.batch_size, oracle.volume_postprocessing, oracle.tqdm_disable = None, 20, True, True
    oracle.device, oracle.model = torch.device("cpu"), network
    return oracle.apply(hounsfield)


def assert_same_but_for_ties(mine: np.ndarray, theirs: np.ndarray) -> None:
    """Of random weights, one pixel in a hundred thousand is as much of one class as of another."""
    assert len(np.unique(theirs)) == 3
    assert np.count_nonzero(mine != theirs) <= mine.size // 100_000


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_masks_are_those_of_lungmask_on_a_phantom(network, weights, chest, dtype):
    hounsfield = chest.hounsfield.astype(dtype)
    if dtype is np.float32:
        hounsfield += np.float32(0.25)
    mine = r231.LungMask(weights, device="cpu")(hounsfield)
    assert mine.dtype == np.uint8
    assert_same_but_for_ties(mine, lungmask(network, hounsfield))


def test_masks_are_those_of_lungmask_on_a_real_ct(network, weights, ricord_series):
    hounsfield = np.ascontiguousarray(resample(ricord_series)[0][10:50:4])
    assert_same_but_for_ties(r231.LungMask(weights, device="cpu")(hounsfield), lungmask(network, hounsfield))


@pytest.mark.parametrize("chosen", [slice(6, 7), slice(5, 7), slice(0, 12, 3)])
def test_few_slices_are_cleaned_as_lungmask_does(network, weights, chest, chosen):
    hounsfield = chest.hounsfield[chosen]
    np.testing.assert_array_equal(
        r231.LungMask(weights, device="cpu")(hounsfield), lungmask(network, hounsfield.copy())
    )


def test_where_no_lung_is_found_nothing_is_marked(network, weights, chest):
    with torch.no_grad():
        network.last.weight.zero_()
        network.last.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    torch.save(network.state_dict(), weights.path)
    assert not r231.LungMask(weights, device="cpu")(chest.hounsfield[:3]).any()


def test_in_bfloat16_weights_are_cast_once_with_the_result_of_autocast(network, weights, chest, monkeypatch):
    images = r231._tensor([r231._prepared(plane)[0] for plane in chest.hounsfield[4:6]])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = r231._quickened(network)(images)
        monkeypatch.setattr(compute, "_limits", replace(compute.limits(), precision=compute.Precision.BFLOAT16))
        mine = r231._network(weights, "cpu")
        assert mine.last.weight.dtype == torch.bfloat16
        torch.testing.assert_close(mine(images), expected, rtol=0.02, atol=0.02)
    assert r231.LungMask(weights, device="cpu")(chest.hounsfield[:2]).shape == (2, 96, 112)


def test_a_change_of_precision_makes_another_network(weights, monkeypatch):
    exact = r231._network(weights, "cpu")
    monkeypatch.setattr(compute, "_limits", replace(compute.limits(), precision=compute.Precision.BFLOAT16))
    assert r231._network(weights, "cpu") is not exact
    assert exact.last.weight.dtype == torch.float32


def test_lungmask_says_nothing_on_standard_output(network, weights, chest, capsys):
    r231.LungMask(weights, device="cpu")(chest.hounsfield[4:6])
    assert capsys.readouterr().out == ""
    assert logging.getLogger("lungmask").level == logging.WARNING
