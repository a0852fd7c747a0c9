"""Floors as the source's three submissions state them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.opacity_ensemble.floors import DILATION, HIGH, LOW, Floor, dilated, lifted


@pytest.mark.parametrize(
    ("floors", "positive", "lung", "background"),
    [(HIGH, True, 0.3, 0.05), (HIGH, False, 0.1, 0.05), (LOW, True, 0.15, 0.05), (LOW, False, 0.05, 0.0)],
    ids=["high-positive", "high-negative", "low-positive", "low-negative"],
)
def test_floors_are_the_published_ones(floors, positive, lung, background):
    assert floors.of(positive=positive) == Floor(lung=lung, background=background)


def test_values_below_the_floor_are_lifted_and_others_stay():
    values = np.array([[0.0, 0.29, 0.31, 0.0, 0.04, 0.9]], dtype=np.float32)
    near = np.array([[1, 1, 1, 0, 0, 0]], dtype=bool)
    expected = np.array([[0.3, 0.3, 0.31, 0.05, 0.05, 0.9]], dtype=np.float32)
    assert np.array_equal(lifted(values, near, HIGH.positive), expected)


@given(
    arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32)),
    arrays(np.bool_, (4, 5)),
    st.sampled_from([HIGH.positive, HIGH.negative, LOW.positive, LOW.negative]),
)
def test_a_lifted_map_is_the_higher_of_value_and_floor_and_lifting_again_changes_nothing(values, near, floor):
    once = lifted(values, near, floor)
    assert np.array_equal(once, np.where(near, np.maximum(values, np.float32(floor.lung)), once))
    assert np.array_equal(once, np.where(near, once, np.maximum(values, np.float32(floor.background))))
    assert np.array_equal(lifted(once, near, floor), once)


def test_a_lung_pixel_grows_by_a_fortieth_of_the_longer_side_to_all_sides():
    lungs = np.zeros((200, 120), dtype=bool)
    lungs[100, 60] = True
    reach = round(DILATION * 200)
    expected = np.zeros_like(lungs)
    expected[100 - reach : 101 + reach, 60 - reach : 61 + reach] = True
    assert reach == 5
    assert np.array_equal(dilated(lungs), expected)


@given(arrays(np.bool_, st.tuples(st.integers(1, 50), st.integers(1, 50))))
def test_lungs_are_part_of_the_dilated_lungs_and_no_lung_grows_from_nothing(lungs):
    grown = dilated(lungs)
    assert (grown | ~lungs).all()
    assert grown.any() == lungs.any()
