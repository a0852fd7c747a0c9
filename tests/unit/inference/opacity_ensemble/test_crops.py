"""Connected components of the joined masks, crops around them, and what is pasted back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.opacity_ensemble.crops import LEAST_MARGIN, MARGIN, MOST_CROPS, crops, pasted

SHAPE = (320, 256)


def drawn(*places: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    for place in places:
        mask[place] = True
    return mask


def test_a_crop_is_the_box_of_a_component_with_a_quarter_of_its_longer_side_around_it():
    found = crops(drawn(np.s_[100:200, 60:120]))
    assert found.places == (np.s_[75:225, 35:145],)
    assert found.left_out == 0


def test_a_small_component_is_seen_with_a_thirty_second_of_the_image_around_it():
    assert LEAST_MARGIN * SHAPE[0] == 10
    assert MARGIN * 8 < 10
    assert crops(drawn(np.s_[100:108, 60:68])).places == (np.s_[90:118, 50:78],)


def test_a_crop_ends_where_the_image_ends():
    assert crops(drawn(np.s_[0:100, 200:256])).places == (np.s_[0:125, 175:256],)


def test_components_that_touch_at_a_corner_are_one_and_those_apart_are_two_the_larger_first():
    assert len(crops(drawn(np.s_[10:30, 10:30], np.s_[30:50, 30:50])).places) == 1
    two = crops(drawn(np.s_[10:30, 10:30], np.s_[200:260, 100:160])).places
    assert [(rows.start, columns.start) for rows, columns in two] == [(185, 85), (0, 0)]


def test_specks_are_not_refined():
    assert crops(drawn(np.s_[10:12, 10:12])).places == ()  # 4 of 81,920 pixels


def test_an_empty_mask_has_no_crops():
    assert crops(drawn()).places == ()


def test_of_many_components_the_largest_are_refined_and_the_others_counted():
    grid = [np.s_[y : y + 4 + (y == 8), x : x + 4] for y in range(8, 300, 20) for x in range(8, 240, 20)]
    found = crops(drawn(*grid))
    assert len(found.places) == MOST_CROPS
    assert found.left_out == len(grid) - MOST_CROPS
    assert {rows.stop - rows.start for rows, _ in found.places[:12]} == {23}  # the row of larger ones: 8 above, 5 + 10


@given(arrays(np.bool_, (24, 18), elements=st.booleans()))
def test_every_marked_pixel_lies_in_a_crop_or_is_a_speck_or_counted(union):
    found = crops(union)
    covered = np.zeros_like(union)
    for place in found.places:
        covered[place] = True
    assert found.left_out or (covered | ~union).all()  # of so small an image no pixel is a speck


def test_maps_of_crops_are_pasted_where_the_crops_were():
    image = np.random.default_rng(5).random(SHAPE, dtype=np.float32)
    places = crops(drawn(np.s_[10:30, 10:30], np.s_[200:260, 100:160])).places
    expected = np.zeros_like(image)
    for place in places:
        expected[place] = image[place]
    assert np.array_equal(pasted(SHAPE, places, (image[place] for place in places)), expected)


def test_where_crops_overlap_the_higher_value_counts_and_outside_is_nothing():
    maps = iter([np.full((30, 30), 0.9, np.float32), np.full((20, 20), 0.2, np.float32)])
    whole = pasted((40, 40), (np.s_[0:30, 0:30], np.s_[20:40, 20:40]), maps)
    assert (whole[25, 25], whole[35, 35], whole[5, 5], whole[5, 35]) == pytest.approx((0.9, 0.2, 0.9, 0.0))


def test_maps_of_the_next_image_are_left_for_it():
    maps = iter([np.ones((4, 4), np.float32), np.ones((9, 9), np.float32)])
    pasted((9, 9), (np.s_[0:4, 0:4],), maps)
    assert next(maps).shape == (9, 9)
