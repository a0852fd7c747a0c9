"""The recipe of `opacity-ensemble` on a handful of pictures: what it reads, what it writes, what it refuses."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from typer.testing import CliRunner

from inference.networks.convnext_fpn import ConvNeXtFPN, Widths
from inference.opacity_ensemble.crops import crops
from node.cli import app
from phantom.cxr_dicom import to_dataset, turned
from tests.learn.opacity_phantoms import chest
from training.opacity_ensemble import fitting
from training.opacity_ensemble import recipe as opacity_ensemble
from training.opacity_ensemble.fitting import Recipe, _start, fit, loss
from training.opacity_ensemble.images import read

WIDTHS = Widths(blocks=(1, 1, 1, 1), channels=(8, 8, 8, 8), pyramid=8, head=32)
TINY = Recipe(epochs=1, batch=2, widths=WIDTHS)


def save(folder: Path, name: str, pixels, opacity):
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
    Image.fromarray(opacity.astype(np.uint8) * 255).save(folder / "masks" / f"{name}.png")


@pytest.fixture
def folder(tmp_path):
    """Two pictures, of 8 and of 16 bit; opacity in one."""
    random, opacity = np.random.default_rng(1), np.zeros((90, 120), dtype=bool)
    save(
        tmp_path / "data", "clear", random.integers(0, 256, (100, 80), dtype=np.uint8), np.zeros((100, 80), dtype=bool)
    )
    opacity[30:60, 20:70] = True
    save(tmp_path / "data", "dense", random.integers(0, 65536, (90, 120), dtype=np.uint16), opacity)
    return tmp_path / "data"


def test_pictures_of_8_and_16_bit_are_read_from_black_to_white(folder):
    clear, dense = read(folder)
    assert (clear.name, dense.name) == ("clear", "dense")
    assert 0 <= clear.pixels.min() < 0.05 < 0.95 < clear.pixels.max() <= 1
    assert 0 <= dense.pixels.min() < 0.05 < 0.95 < dense.pixels.max() <= 1
    assert not clear.opacity.any()
    assert dense.opacity.sum() == 30 * 50


def test_a_dicom_image_and_its_mask_are_turned_upright_together(tmp_path):
    phantom = chest(3, (300, 260), opacity=True)
    lie = ("F", "R")
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    to_dataset(phantom, patient_orientation=lie).save_as(tmp_path / "images" / "one.dcm", enforce_file_format=True)
    Image.fromarray(turned(phantom.opacity, lie).astype(np.uint8) * 255).save(tmp_path / "masks" / "one.png")
    (image,) = read(tmp_path)
    assert (image.opacity == phantom.opacity).all()
    assert np.abs(image.pixels - phantom.pixels / phantom.pixels.max()).max() < 0.01


def test_an_image_without_a_mask_or_with_one_of_another_size_is_named(folder):
    Image.new("L", (80, 99)).save(folder / "masks" / "clear.png")
    with pytest.raises(ValueError, match=r"clear\.png has 99 x 80 pixels, and its image 100 x 80"):
        list(read(folder))
    (folder / "masks" / "clear.png").unlink()
    with pytest.raises(ValueError, match=r"clear\.png has no mask: .* a black one says that there is no opacity"):
        list(read(folder))


def test_two_images_of_one_name_are_refused_for_they_would_have_one_mask(folder):
    Image.new("L", (80, 100)).save(folder / "images" / "clear.jpg")
    with pytest.raises(ValueError, match=r"clear\.jpg and clear\.png have one name"):
        read(folder)


def test_images_are_read_when_they_are_asked_for_for_of_thousands_few_fit_into_memory(folder):
    images = read(folder)
    assert len(images) == 2
    Image.new("L", (80, 100), 255).save(folder / "images" / "clear.png")
    assert images[0].pixels.min() == 1
    assert [image.name for image in images[1:]] == ["dense"]


def test_the_command_writes_weights_a_record_and_a_data_set_for_each_nnunet(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "Recipe", lambda epochs: Recipe(epochs=epochs, batch=2, widths=WIDTHS))
    out = tmp_path / "out"
    command = ["train", "opacity-ensemble", "--data", str(folder), "--out", str(out), "--epochs", "1"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    weights = out / "opacity-ensemble-convnext.safetensors"
    assert f"next: opacity-node models add opacity-ensemble-convnext {weights}" in done.stderr
    ConvNeXtFPN(WIDTHS).load_state_dict(load_file(weights))
    record = json.loads((out / "opacity-ensemble-convnext.json").read_text())
    assert record["sha256"] == said["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert record["images"] == ["clear", "dense"]
    assert said["nnUNet_raw"] == {"Dataset336_Opacity336": 2, "Dataset768_Opacity768": 2, "Dataset100_OpacityCrops": 1}
    before = weights.stat().st_mtime_ns
    assert CliRunner().invoke(app, command).exit_code == 0
    assert weights.stat().st_mtime_ns == before


def test_the_data_sets_hold_what_the_ensemble_shows_to_each_network(folder, tmp_path):
    images = list(read(folder))
    opacity_ensemble.write_datasets(images, tmp_path / "raw")
    for dataset, side in (("Dataset336_Opacity336", 336), ("Dataset768_Opacity768", 768)):
        label = np.asarray(Image.open(tmp_path / "raw" / dataset / "labelsTr" / "dense.png"))
        assert label.shape == (side, side)
        assert set(np.unique(label)) == {0, 1}
        assert label.mean() == pytest.approx(images[1].opacity.mean(), abs=0.01)
    (place,) = crops(images[1].opacity).places
    cut = np.asarray(Image.open(tmp_path / "raw" / "Dataset100_OpacityCrops" / "imagesTr" / "dense_0_0000.png"))
    assert np.abs(cut / 255 - images[1].pixels[place]).max() < 0.5 / 255 + 1e-6


def test_images_that_are_no_longer_there_leave_the_data_sets(folder, tmp_path):
    images = read(folder)
    opacity_ensemble.write_datasets(images, tmp_path / "raw")
    assert opacity_ensemble.write_datasets(images[:1], tmp_path / "raw")["Dataset100_OpacityCrops"] == 0
    left = sorted(path.name for path in (tmp_path / "raw").glob("*/*Tr/*.png"))
    assert left == ["clear.png", "clear.png", "clear_0000.png", "clear_0000.png"]


def test_what_cannot_be_trained_on_is_told_in_one_line(tmp_path):
    command = ["train", "opacity-ensemble", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert done.stderr.strip().endswith("holds no images")


def test_the_same_seed_makes_the_same_network_and_another_makes_another(folder):
    images = list(read(folder))
    first, again, other = (
        fit(images, Recipe(epochs=1, batch=2, widths=WIDTHS, seed=seed)).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["segmentation_head.0.weight"], other["segmentation_head.0.weight"])


def test_training_starts_from_imagenet_where_it_is_given():
    settings = [CNBlockConfig(8, following, 1) for following in (8, 8, 8, None)]
    imagenet = ConvNeXt(settings, layer_scale=0.5).state_dict()
    state = _start(TINY, imagenet).state_dict()
    assert torch.equal(state["encoder.model.stages_3.blocks.0.mlp.fc2.bias"], imagenet["features.7.0.block.5.bias"])
    assert torch.equal(state["encoder.model.stem_0.weight"][:, 0], imagenet["features.0.0.weight"].sum(1))


def test_fewer_images_than_a_batch_are_refused(folder):
    with pytest.raises(ValueError, match="2 images are fewer than one batch, which has 3"):
        fit(list(read(folder)), Recipe(batch=3, widths=WIDTHS))


def test_the_loss_is_least_for_the_truth():
    wanted = torch.zeros(1, 1, 8, 8)
    wanted[..., 2:6, :3] = 1
    truth = wanted * 40 - 20
    assert loss(truth, wanted) < 0.01 < loss(0 * truth, wanted) < loss(-truth, wanted)
