"""nnU-Net's predictor on arrays: a small model folder, and nnU-Net's own predictor beside ours."""

import json
import os
import shutil

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from inference.compute import Limits, Precision, limits, set_limits
from inference.networks import nnunet
from inference.resized import resized
from inference.weights import Verified, manifest
from inference.weights.nnunet import load_predictor
from tests.nnunet_plans import checkpoint, network, plans
from tests.nnunet_whole import whole_folder

OUTPUTS = ("background", "opacity")


@pytest.fixture(autouse=True)
def in_float32():
    before = limits()
    set_limits(Limits(precision=Precision.FLOAT32))
    yield
    set_limits(before)


@pytest.fixture(scope="module")
def images():
    """Of a few patches each."""
    random = np.random.default_rng(3)
    return [random.random(shape, dtype=np.float32) for shape in ((70, 50), (48, 48), (41, 60))]


@pytest.fixture(scope="module")
def make_folder(tmp_path_factory):
    def make(*, channels=1, folds=1, mirroring=(0, 1)):
        folder = tmp_path_factory.mktemp("model")
        names = {str(number): "X-ray" for number in range(channels)}
        dataset = {"channel_names": names, "labels": {"background": 0, "opacity": 1}, "file_ending": ".png"}
        planned = plans()
        for one_each in ("normalization_schemes", "use_mask_for_norm"):
            planned["configurations"]["2d"][one_each] *= channels
        planned["foreground_intensity_properties_per_channel"] = {name: {} for name in names}
        for name, said in (("plans.json", planned), ("dataset.json", dataset)):
            (folder / name).write_text(json.dumps(said))
        for fold in range(folds):
            torch.manual_seed(fold)
            (folder / f"fold_{fold}").mkdir()
            saved = checkpoint(network(channels).state_dict()) | {"inference_allowed_mirroring_axes": mirroring}
            torch.save(saved, folder / f"fold_{fold}" / "checkpoint_final.pth")
        slot = manifest.SLOTS["opacity-ensemble-nnunet-336"]
        return Verified(slot=slot, path=folder, sha256=str(folder), outputs=OUTPUTS)

    return make


@pytest.fixture(scope="module")
def folder(make_folder):
    return make_folder()


@pytest.fixture(scope="module", params=[(336, 384, 33_471_820), (768, 768, 46_324_558)], ids=["336", "768"])
def whole(request, tmp_path_factory):
    """A network of full width, as nnU-Net plans it for images of a side; the side, its patch, its number of values."""
    side, *wanted = request.param
    path = whole_folder(tmp_path_factory.mktemp("whole"), side)
    slot = manifest.SLOTS[f"opacity-ensemble-nnunet-{side}"]
    yield Verified(slot=slot, path=path, sha256=str(path), outputs=OUTPUTS), side, *wanted
    shutil.rmtree(path)


def theirs(verified, picture, channels=1):
    predictor, seen = load_predictor(verified, "cpu"), np.stack([picture[None]] * channels)
    return predictor.predict_single_npy_array(seen, {"spacing": (999, 1, 1)}, None, None, True)[1][1, 0]


@pytest.mark.parametrize(("folds", "mirroring"), [(1, (0, 1)), (1, (1,)), (1, None), (3, (0, 1))])
def test_probabilities_are_those_of_nnunets_own_predictor(make_folder, images, folds, mirroring):
    verified = make_folder(folds=folds, mirroring=mirroring)
    found = nnunet.opacity(verified, images[:1], "cpu").each[0]
    assert found.shape == images[0].shape
    np.testing.assert_allclose(found, theirs(verified, nnunet.as_picture(images[0])), atol=2e-3)  # it adds in float16
    assert np.ptp(found) > 0.05


def test_networks_of_full_width_are_those_that_nnunet_plans_and_say_the_same_twice(whole):
    verified, side, patch, count = whole
    predictor = load_predictor(verified, "cpu")
    whole_width = predictor.network
    assert predictor.configuration_manager.patch_size == [patch, patch]
    assert sum(value.numel() for value in whole_width.parameters()) == count
    picture = torch.from_numpy(np.random.default_rng(side).random((1, 1, 256, 256), dtype=np.float32))  # of seconds
    with torch.inference_mode():
        first, again = whole_width(picture), whole_width(picture)
    assert first.shape == (1, 2, 256, 256)
    assert torch.equal(first, again)
    assert torch.isfinite(first).all()
    assert first.std() > 0


def test_a_side_shows_the_network_that_grid_and_brings_the_answer_back(folder, images):
    found = nnunet.opacity(folder, images, "cpu", side=64).each
    for image, probabilities in zip(images, found, strict=True):
        seen = nnunet.as_picture(resized(image, (64, 64)))
        np.testing.assert_allclose(probabilities, resized(theirs(folder, seen), image.shape), atol=2e-3)


def test_several_images_and_crops_get_what_each_alone_gets(folder, images):
    crops = [*images, images[0][:50, :20], images[1][:7, :9]]
    together = nnunet.opacity(folder, crops, "cpu").each
    for crop, found in zip(crops, together, strict=True):
        assert found.shape == crop.shape
        np.testing.assert_array_equal(found, nnunet.opacity(folder, [crop], "cpu").each[0])


def test_a_network_of_colours_sees_grey(make_folder, images):
    verified = make_folder(channels=3)
    found = nnunet.opacity(verified, images[:1], "cpu", side=64).each[0]
    wanted = theirs(verified, nnunet.as_picture(resized(images[0], (64, 64))), channels=3)
    np.testing.assert_allclose(found, resized(wanted, images[0].shape), atol=2e-3)


def test_a_crop_of_nothing_has_no_opacity(folder):
    assert not nnunet.opacity(folder, [np.zeros((40, 50), dtype=np.float32)], "cpu").each[0].any()


def test_the_network_sees_what_nnunet_reads_of_a_png(images, tmp_path):
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

    picture = nnunet.as_picture(images[0])
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "image.png")
    read, properties = NaturalImage2DIO().read_images([str(tmp_path / "image.png")])
    assert (read[0, 0] == picture).all()
    assert properties == {"spacing": nnunet._SPACING["spacing"]}


def test_neither_a_process_is_started_nor_the_environment_read_or_changed(folder, images, monkeypatch):
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.delenv(name, raising=False)
    before, children = dict(os.environ), psutil.Process().children(recursive=True)
    started = []
    monkeypatch.setattr("subprocess.Popen.__init__", lambda *_, **__: started.append("Popen"))
    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", lambda *_: started.append("Process"))
    nnunet.opacity(folder, images[:1], "cpu", side=48)
    assert not started
    assert os.environ == before
    assert psutil.Process().children(recursive=True) == children


def test_nothing_is_printed(make_folder, images, capfd):
    nnunet.opacity(make_folder(), images[:1], "cpu", side=48)
    assert capfd.readouterr() == ("", "")


def test_it_stays_loaded_between_jobs(folder, images, monkeypatch):
    nnunet.opacity(folder, images[:1], "cpu", side=48)
    monkeypatch.setattr(nnunet, "load_predictor", None)
    nnunet.opacity(folder, images[:1], "cpu", side=48)


def test_bfloat16_is_used_where_it_is_asked_for(folder, images):
    exact = nnunet.opacity(folder, images[:1], "cpu", side=64)
    set_limits(Limits(precision=Precision.BFLOAT16))
    rough = nnunet.opacity(folder, images[:1], "cpu", side=64)
    assert (exact.parameters["precision"], rough.parameters["precision"]) == ("float32", "bfloat16")
    assert 0 < np.abs(rough.each[0] - exact.each[0]).max() < 0.05


def test_on_a_cpu_values_lie_channels_last_from_layer_to_layer_and_come_out_the_same():
    torch.manual_seed(4)
    made, image = network(), torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        wanted = made(image)
        nnunet._quicken(made)
        layouts = []
        for layer in made.modules():
            if isinstance(layer, torch.nn.InstanceNorm2d):
                layer.register_forward_hook(
                    lambda _layer, _given, said: layouts.append(said.is_contiguous(memory_format=torch.channels_last))
                )
        torch.testing.assert_close(made(image), wanted, rtol=1e-4, atol=1e-5)
        several = torch.rand(3, 1, 32, 32)
        torch.testing.assert_close(made(several), torch.cat([made(one[None]) for one in several]))
    assert layouts
    assert all(layouts[:3])


def test_a_single_fold_is_put_into_the_network_once(make_folder, images, monkeypatch):
    verified = make_folder()
    first = nnunet.opacity(verified, images[:1], "cpu", side=48).each[0]
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", None)
    np.testing.assert_array_equal(nnunet.opacity(verified, images[:1], "cpu", side=48).each[0], first)
