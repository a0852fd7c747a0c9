import hashlib
import json

import numpy as np
import pytest
import torch

from inference.frontal import frontal_check
from inference.lung_masks import lung_masks
from inference.lung_probabilities import equalised, probabilities
from inference.networks.lung_fields import OUTPUTS, SIDE, LungFieldsNet
from inference.weights import Shelf
from inference.weights.loading import load_network
from inference.weights.manifest import SHIPPED
from training.lung_fields.chest_images import read
from training.lung_fields.judging import dice

WEIGHTS = SHIPPED / "lung-fields.safetensors"
RECORD = json.loads((SHIPPED / "lung-fields.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    verified = Shelf(tmp_path_factory.mktemp("empty")).require_for("lung-fields")["lung-fields"]
    return load_network(verified, LungFieldsNet)


@pytest.fixture(scope="module")
def image():
    """Return clouds with a border; no chest."""
    random = np.random.default_rng(7)
    clouds = torch.from_numpy(random.random((1, 1, 12, 10), dtype=np.float32))
    return torch.nn.functional.interpolate(clouds, size=(300, 220), mode="bicubic")[0, 0].clamp(0, 1).numpy()


def test_the_record_is_of_the_shipped_file_which_is_small():
    data = WEIGHTS.read_bytes()
    assert hashlib.sha256(data).hexdigest() == RECORD["sha256"]
    assert len(data) == RECORD["bytes"] <= 3_000_000
    assert tuple(RECORD["outputs"]) == OUTPUTS
    assert RECORD["parameters"] == sum(value.numel() for value in LungFieldsNet().parameters())


def test_the_record_names_the_origin_and_licence_of_every_image_and_a_fold_that_had_not_seen_it():
    trained_on = [image for origin in RECORD["trained_on"] for image in origin["images"]]
    assert sorted(trained_on) == sorted(image["id"] for image in RECORD["by_image"])
    assert all(origin["licence"].startswith("CC BY") and origin["origin"] for origin in RECORD["trained_on"])
    assert sum(fold["images"] for fold in RECORD["folds"]) == RECORD["unseen_patients"]["images"] == len(trained_on)
    assert sum(fold["patients"] for fold in RECORD["folds"]) == RECORD["unseen_patients"]["patients"]


def test_the_same_image_gives_the_same_probabilities(network, image):
    first, again = (probabilities(network, image) for _ in range(2))
    assert np.array_equal(first.values, again.values)
    assert first.values.dtype == np.float32
    assert first.values.shape == (2, SIDE, SIDE)


def test_probabilities_are_such_and_nothing_beyond_the_image(network, image):
    found = probabilities(network, image)
    assert found.values.min() >= 0
    assert found.values.sum(axis=0).max() <= 1 + 1e-5
    outside = np.ones((SIDE, SIDE), dtype=bool)
    outside[found.letterbox.inside] = False
    assert outside.any()
    assert not found.values[:, outside].any()


def test_a_mirrored_image_has_the_same_lungs_with_their_names_exchanged(network, image):
    found, mirrored = (probabilities(network, np.ascontiguousarray(pixels)) for pixels in (image, image[:, ::-1]))
    assert np.allclose(mirrored.values[::-1, :, ::-1], found.values, atol=1e-4)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_bits_window_and_brightness_change_nothing(network, image, bits):
    stored = np.round(image * (2**bits - 1)).astype(np.float32) * 3 + 100
    found, same = probabilities(network, image), probabilities(network, stored)
    assert np.abs(found.values - same.values).mean() < 0.02


def test_a_black_border_does_not_use_up_the_greys(image):
    grid = torch.nn.functional.interpolate(torch.from_numpy(image)[None, None], size=(SIDE, SIDE))[0, 0].numpy()
    framed = grid.copy()
    framed[:60] = framed[-60:] = 0.0
    middle = np.s_[60:-60]
    assert np.abs(equalised(framed)[middle] - equalised(grid)[middle]).mean() < 0.15
    assert np.ptp(equalised(framed)[middle]) > 1.7


def test_an_image_of_one_value_has_no_lungs(network):
    assert np.array_equal(equalised(np.full((SIDE, SIDE), 0.3, np.float32)), np.full((SIDE, SIDE), -1, np.float32))
    found = probabilities(network, np.full((300, 200), 0.3, np.float32))
    assert not frontal_check(found, lung_masks(found)).is_frontal


def test_the_shipped_weights_find_the_lungs_of_the_images_that_they_learnt_from(network, shared_data):
    folder = shared_data / "lung_fields"
    if not folder.is_dir():
        pytest.skip(f"no annotated X-rays: {folder} does not exist")
    scores = []
    for chest in read(folder)[::16]:
        found = probabilities(network, chest.pixels)
        masks = lung_masks(found)
        assert frontal_check(found, masks).is_frontal
        scores += [dice(mask, chest.labels == label) for mask, label in zip(masks, (1, 2), strict=True)]
    assert np.mean(scores) > RECORD["unseen_patients"]["mean"]
    assert min(scores) > 0.85
