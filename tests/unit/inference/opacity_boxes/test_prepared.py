import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inference.networks.faster_rcnn import R50
from inference.opacity_boxes.lung_crop import lung_crop, widened
from inference.opacity_boxes.prepared import Prepared, prepared
from inference.upright import Rectangle
from tests.radiographs import chest_pixels, lungs

SHAPE = (520, 460)


@pytest.fixture(scope="module")
def chest():
    return (chest_pixels(SHAPE) / 4095).astype(np.float32)


def test_an_image_is_cut_to_its_lungs_and_loses_two_fifths_of_a_wide_one(chest):
    right, left = lungs(SHAPE)
    wide = np.pad(chest, ((120, 160), (90, 90)), mode="edge")
    crop = lung_crop(wide)
    assert crop is not None
    kept = np.pad((right | left)[0], ((120, 160), (90, 90)))
    assert kept[crop].sum() == kept.sum()
    assert wide[crop].size <= 0.6 * wide.size


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((300, 300)),
        np.full((300, 300), 0.5),
        np.tile(np.linspace(0, 1, 300), (300, 1)),
        np.random.default_rng(1).random((300, 300)),
    ],
    ids=["black", "grey", "ramp", "noise"],
)
def test_nothing_is_cut_where_no_lungs_are_found(image):
    shown = prepared(image.astype(np.float32), R50.size)
    assert lung_crop(image.astype(np.float32)) is None
    assert not shown.is_cropped
    assert shown.crop == (slice(0, 300), slice(0, 300))
    assert shown.pixels.shape == (800, 800)


def test_lungs_that_are_known_are_never_cut(chest):
    lung = np.zeros(SHAPE, dtype=bool)
    lung[3:-2, 1:-4] = True
    assert prepared(chest, R50.size, lung).crop == (slice(3, 518), slice(1, 456))
    assert widened((slice(5, 9), slice(2, 4)), np.zeros((20, 20), dtype=bool)) == (slice(5, 9), slice(2, 4))


def test_greys_are_equalised_within_the_cut_image(chest):
    textured = chest * 0.2 + 0.05 * np.random.default_rng(2).random(SHAPE, dtype=np.float32)
    shown = prepared(textured, tuple)
    assert shown.is_cropped
    low, middle, high = np.percentile(shown.pixels, (5, 50, 95))
    assert low < 0.15
    assert 0.35 < middle < 0.65
    assert high > 0.9
    assert shown.pixels.shape == textured[shown.crop].shape


edges = st.tuples(*[st.floats(0, 1)] * 4)


@given(st.tuples(st.integers(0, 99), st.integers(1, 2000)), st.tuples(st.integers(0, 99), st.integers(1, 2000)), edges)
def test_a_box_comes_back_from_where_it_went(down, across, box):
    crop = tuple(slice(start, start + length) for start, length in (down, across))
    size = R50.size([length for _, length in (down, across)])
    shown = Prepared(pixels=np.broadcast_to(np.float32(0), size), crop=crop, is_cropped=True)
    (left, right), (top, bottom) = sorted(box[:2]), sorted(box[2:])
    given_one = Rectangle(left=left * size[1], top=top * size[0], right=right * size[1], bottom=bottom * size[0])
    back = shown.from_image(shown.to_image(given_one))
    for name in ("left", "top", "right", "bottom"):
        assert getattr(back, name) == pytest.approx(getattr(given_one, name), abs=1e-6)
    whole = shown.to_image(Rectangle(left=0, top=0, right=size[1], bottom=size[0]))
    assert (whole.left, whole.top) == (across[0], down[0])
    assert (whole.right, whole.bottom) == pytest.approx((sum(across), sum(down)))


def test_most_of_the_lungs_of_real_chests_is_kept_and_a_quarter_of_their_pixels_goes():
    """What `lung_crop` says of itself; the pipeline keeps what lung-fields finds beside."""
    folder = Path(os.environ.get("OPACITY_NODE_DATA") or Path(__file__).parents[5] / "shared/data") / "lung_fields"
    images = sorted((folder / "images").glob("*.jpg"))[::4]
    if not images:
        pytest.skip(f"no chests in {folder}; set OPACITY_NODE_DATA to the folder that holds lung_fields")
    kept, lung = [], []
    for path in images:
        image = np.asarray(Image.open(path).convert("L")).astype(np.float32) / 255
        (mask,) = (np.asarray(Image.open(one).convert("L")) > 0 for one in (folder / "masks").glob(f"{path.stem}*"))
        crop = lung_crop(image)
        assert crop is not None
        kept.append(image[crop].size / image.size)
        lung.append(mask[crop].sum() / mask.sum())
    assert np.mean(kept) < 0.8
    assert np.mean(lung) > 0.98
    assert min(lung) > 0.87
