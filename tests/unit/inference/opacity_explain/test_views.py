"""What the networks look at, and where it lies on the image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.opacity_explain.views import LUNG, WHOLE, lung_box, lung_view, lungs_of, whole_view

ROWS, COLUMNS = 300, 260


def drawn(*places, shape=(ROWS, COLUMNS)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    for place in places:
        mask[place] = True
    return mask


def likely(right, left) -> np.ndarray:
    return np.stack([np.asarray(one, dtype=np.float32) for one in (right, left)])


def test_networks_look_at_the_sizes_of_the_source_in_minus_one_to_one():
    assert (WHOLE, LUNG) == ((512, 512), (512, 320))
    ramp = np.linspace(0, 1, ROWS * COLUMNS, dtype=np.float32).reshape(ROWS, COLUMNS)
    whole, lung = whole_view(ramp), lung_view(ramp, np.s_[100:150, 20:60])
    assert (whole.shape, lung.shape) == (WHOLE, LUNG)
    assert (whole.min(), whole.max()) == pytest.approx((-1, 1), abs=0.01)
    np.testing.assert_allclose([lung.min(), lung.max()], 2 * ramp[[100, 149], [20, 59]] - 1, atol=1e-5)


def test_a_lung_is_cut_out_with_a_twentieth_on_every_side_within_the_image():
    assert lung_box(drawn(np.s_[100:200, 50:110])) == np.s_[95:205, 47:113]
    assert lung_box(drawn(np.s_[2:202, 0:40])) == np.s_[0:212, 0:42]
    assert lung_box(drawn(np.s_[100:300, 210:260])) == np.s_[90:300, 208:260]


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(256, 700), st.integers(256, 700)),
    places=st.lists(st.tuples(st.floats(0.05, 0.4), st.floats(0.5, 0.9)), min_size=2, max_size=2),
)
def test_the_box_of_a_lung_holds_it_on_images_of_any_size_and_aspect(shape, places):
    (top, bottom), (left, right) = places
    place = np.s_[int(top * 512) : int(bottom * 512), int(left * 512) : int(right * 512)]
    found = lungs_of(likely(drawn(place, shape=WHOLE), np.zeros(WHOLE)), shape)
    rows, columns = lung_box(found[0])
    assert found[0].sum() == found[0][rows, columns].sum()
    assert not found[1].any()
    scale = np.array(shape) / 512
    wanted = np.array([place[0].start, place[1].start, place[0].stop, place[1].stop]) * np.tile(scale, 2)
    where = np.argwhere(found[0])
    assert np.abs([*where.min(axis=0), *(where.max(axis=0) + 1)] - wanted).max() <= np.ceil(scale.max() / 2)


def test_a_lung_is_its_largest_part_without_holes_and_no_pixel_is_of_both():
    right, left = np.zeros((2, *WHOLE), dtype=np.float32)
    right[100:400, 60:200] = 0.9
    right[200:220, 100:120] = 0.1  # a hole
    right[450:460, 450:460] = 0.9  # a part
    left[100:400, 190:330] = 0.7  # 10 columns are of both, and likelier right
    found = lungs_of(likely(right, left), WHOLE)
    assert np.array_equal(found[0], drawn(np.s_[100:400, 60:200], shape=WHOLE))
    assert np.array_equal(found[1], drawn(np.s_[100:400, 200:330], shape=WHOLE))


def test_what_is_unlikely_or_tiny_is_no_lung():
    right, left = np.zeros((2, *WHOLE), dtype=np.float32)
    right[100:400, 60:200] = 0.49
    left[100:140, 300:332] = 0.9  # less than 1/200
    assert not lungs_of(likely(right, left), WHOLE).any()
    left[100:140, 300:334] = 0.9
    assert lungs_of(likely(right, left), WHOLE)[1].sum() == 40 * 34
