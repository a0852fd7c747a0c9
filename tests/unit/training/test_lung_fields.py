import hashlib
import json
import re
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from inference.networks.lung_fields import SIDE, LungFieldsNet
from training.augmentation import augmented
from training.lung_fields import challenges
from training.lung_fields.chest_images import folds, read
from training.lung_fields.fitting import Recipe, fit, loss
from training.lung_fields.judging import dice
from training.lung_fields.recipe import make
from training.lung_fields.trained import trained

TINY = Recipe(epochs=1, batch=2, folds=2)


@pytest.fixture(scope="module")
def made(chests, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(challenges, "_KINDS_EACH", 1)
        return out, make(chests, out, TINY)


def test_the_recipe_ends_in_weights_that_fit_the_network_and_say_what_they_are(made):
    out, _ = made
    path = out / "lung-fields.safetensors"
    network = LungFieldsNet()
    network.load_state_dict(load_file(path))
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["network"] == "lung-fields U-Net, 3 classes"
        assert file.metadata()["outputs"] == "background, right lung, left lung"
        assert json.loads(file.metadata()["recipe"])["version"] == TINY.version


def test_the_record_has_the_hash_every_image_and_whose_they_are(made):
    out, record = made
    assert record == json.loads((out / "lung-fields.json").read_text())
    assert record["sha256"] == hashlib.sha256((out / "lung-fields.safetensors").read_bytes()).hexdigest()
    assert {image["id"] for image in record["by_image"]} == {f"image{n}" for n in range(6)}
    assert record["trained_on"] == [{"origin": "here", "licence": "CC0", "images": [f"image{n}" for n in range(6)]}]
    assert record["unseen_patients"]["patients"] == 3
    assert sum(kind["images"] for kind in record["frontal_check"]["accepted_by_kind"].values()) == 6 * 4 + 6


def test_what_a_recipe_made_is_not_trained_again_and_what_another_made_is(chests, tmp_path):
    path, images = tmp_path / "network.safetensors", read(chests)
    trained(path, images, TINY, seed=5)
    first = path.read_bytes()
    again = trained(path, images, TINY, seed=5)
    assert path.read_bytes() == first
    assert all(torch.equal(value, load_file(path)[name]) for name, value in again.network.half().state_dict().items())
    trained(path, images, TINY, seed=6)
    assert path.read_bytes() != first


def test_the_same_seed_makes_the_same_network(chests):
    images = read(chests)
    first, again = (fit(images, TINY, seed=5).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_no_patient_is_in_two_folds_and_every_image_in_one(chests):
    images = read(chests)
    dealt = folds(images, count=3, seed=1)
    patients = [{image.about["patient"] for image in fold} for fold in dealt]
    assert all(not one & other for one, other in combinations(patients, 2))
    assert sorted(image.id for fold in dealt for image in fold) == sorted(image.id for image in images)
    assert [len(fold) for fold in dealt] == [2, 2, 2]


def test_the_lung_at_the_left_of_the_image_is_the_patients_right(chests):
    (image, *_) = read(chests)
    right, left = (np.argwhere(image.labels == label).mean(axis=0)[1] for label in (1, 2))
    assert right < image.labels.shape[1] / 2 < left


def test_a_mask_that_is_not_two_lungs_is_refused(chests, tmp_path):
    (tmp_path / "masks").mkdir()
    for name in ("images", "index.csv"):
        (tmp_path / name).symlink_to(chests / name)
    Image.new("L", (80, 90), 255).save(tmp_path / "masks" / "image0.png")
    with pytest.raises(ValueError, match=re.escape("the mask of image0 has 1 parts")):
        read(tmp_path)


def test_what_is_mirrored_keeps_the_right_lung_at_the_left_and_what_is_turned_has_none(chests):
    grid, labels = (torch.from_numpy(part)[None] for part in read(chests)[0].on_grid())
    for seed in range(5):
        torch.manual_seed(seed)
        image, changed = augmented(grid, labels, flipped=1.0, turned=0.0)
        assert image.shape == changed.shape == (1, SIDE, SIDE)
        assert 0 <= image.min() <= image.max() <= 1
        right, left = (torch.nonzero(changed[0] == label).float().mean(0)[1] for label in (1, 2))
        assert right < left
        assert not augmented(grid, labels, flipped=0.0, turned=1.0)[1].any()


def test_the_loss_is_least_for_the_truth():
    wanted = torch.zeros(1, 8, 8, dtype=torch.int64)
    wanted[0, 2:6, :3], wanted[0, 2:6, 5:] = 1, 2
    truth = torch.nn.functional.one_hot(wanted, 3).permute(0, 3, 1, 2) * 20.0
    swapped = truth[:, [0, 2, 1]]
    assert loss(truth, wanted) < 0.01 < loss(torch.zeros_like(truth), wanted) < loss(swapped, wanted)


def test_dice_is_one_for_the_same_and_nothing_for_what_does_not_meet():
    one = np.array([True, True, False, False])
    assert dice(one, one) == dice(~one & one, ~one & one) == 1
    assert dice(one, ~one) == 0
    assert dice(one, np.array([True, False, False, False])) == pytest.approx(2 / 3)
