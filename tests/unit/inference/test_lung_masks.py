import numpy as np
import pytest

from inference.letterbox import Letterbox
from inference.lung_masks import LEFT, RIGHT, lung_masks
from inference.lung_probabilities import LungProbabilities
from inference.networks.lung_fields import SIDE


def found(right, left, *, rows=SIDE, columns=SIDE):
    """Return probabilities of lungs that are rectangles on the grid, given as slices."""
    values = np.full((2, SIDE, SIDE), 0.02, dtype=np.float32)
    for channel, parts in ((RIGHT, right), (LEFT, left)):
        for part in parts:
            values[channel][part], values[1 - channel][part] = 0.9, 0.05
    return LungProbabilities(values=values, letterbox=Letterbox(rows=rows, columns=columns, side=SIDE))


A = np.s_[50:200, 40:100]
B = np.s_[60:210, 150:220]


def test_two_lungs_stay_as_they_were_found():
    right, left = lung_masks(found([A], [B]))
    assert right.sum() == 150 * 60
    assert right[A].all()
    assert left.sum() == 150 * 70
    assert left[B].all()


@pytest.mark.parametrize(("rows", "columns"), [(1024, 1024), (300, 400), (2000, 1600)])
def test_masks_are_on_the_images_own_pixels_and_cover_the_same_share(rows, columns):
    masks = lung_masks(found([A], [B], rows=rows, columns=columns))
    assert masks.shape == (2, rows, columns)
    assert masks.dtype == np.bool_
    inside = Letterbox(rows=rows, columns=columns, side=SIDE).inside
    whole = np.zeros((SIDE, SIDE))
    whole[A] = 1
    assert masks[RIGHT].mean() == pytest.approx(whole[inside].mean(), rel=0.02)


def test_specks_are_dropped_and_holes_filled():
    speck = np.s_[5:20, 5:20]
    one = found([A, speck], [B])
    one.values[:, 100:120, 60:80] = 0.0
    right, _ = lung_masks(one)
    assert not right[speck].any()
    assert right[100:120, 60:80].all()


def test_a_piece_of_one_lung_within_the_other_belongs_to_the_other():
    right, left = lung_masks(found([A, np.s_[100:120, 170:190]], [B]))
    one = found([A], [B])
    one.values[:, 100:120, 170:190] = [[[0.9]], [[0.05]]]
    right, left = lung_masks(one)
    assert left[B].all()
    assert right.sum() == 150 * 60
    assert not (right & left).any()


def test_a_gap_that_reaches_the_edge_of_the_image_is_no_hole():
    one = found([np.s_[50:256, 40:100]], [B])
    one.values[:, 150:256, 60:80] = 0.0
    right, _ = lung_masks(one)
    assert not right[200, 70]


def test_lungs_that_touch_are_parted_where_the_other_becomes_likelier():
    right, left = lung_masks(found([np.s_[50:200, 60:128]], [np.s_[50:200, 128:200]]))
    assert not right[:, 128:].any()
    assert not left[:, :128].any()
    assert right.sum() + left.sum() == 150 * 140


def test_a_lung_that_was_not_found_is_empty():
    right, left = lung_masks(found([A], []))
    assert right.any()
    assert not left.any()
    assert not lung_masks(found([], [])).any()
