"""Maps by hand: blended, dilated, limited."""

import numpy as np
import pytest

from inference.opacity_explain.maps import HIGHEST, LOWEST, OUTSIDE, blended, limited, over_estimated

SHAPE = (100, 60)


def test_both_maps_of_a_lung_count_by_their_weights_where_the_box_lies():
    whole = np.zeros(SHAPE, dtype=np.float32)
    whole[:, 30:] = 0.8
    own = np.full((40, 20), 0.4, dtype=np.float32)
    found = blended(whole, own, np.s_[10:90, 20:40], weight=0.25)
    assert found.shape == (80, 20)
    assert found[40, 4] == pytest.approx(0.25 * 0.4)
    assert found[40, 15] == pytest.approx(0.25 * 0.4 + 0.75 * 0.8)


def test_over_estimation_spreads_values_by_a_share_of_the_images_longer_side():
    values = np.zeros((40, 30), dtype=np.float32)
    values[20, 15] = 0.7
    found = over_estimated(values, 0.04, SHAPE)
    expected = np.zeros_like(values)
    expected[16:25, 11:20] = 0.7  # 4 pixels either way
    assert np.array_equal(found, expected)
    assert np.array_equal(over_estimated(values, 0.0, SHAPE), values)


def test_in_8_bit_no_value_is_below_10_or_above_245_in_the_lungs_and_all_are_1_outside():
    assert np.rint(np.array([LOWEST, HIGHEST, OUTSIDE]) * 255).tolist() == [10, 245, 1]
    values = np.array([[0.0, 0.5, 1.0, 1.0]], dtype=np.float32)
    lungs = np.array([[True, True, True, False]])
    assert limited(values, lungs).tolist() == [[LOWEST, 0.5, HIGHEST, OUTSIDE]]
    assert limited(values, lungs).dtype == np.float32
