"""Average precision of boxes, on cases that can be drawn on squared paper; boxes round masks, and masks of boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.boxes import Box, average_precision, boxes_of, filled


def box(x, y, width=10, height=10, *, score=1.0, name="opacity"):
    return Box(x=x, y=y, width=width, height=height, score=score, name=name)


def precision(truth, found, *ious):
    return [result.mean for result in average_precision(truth, found, ious or (0.5,))]


def test_boxes_that_are_the_truth_have_precision_one_at_every_overlap():
    truth = [[box(0, 0), box(20, 30)], [], [box(5, 5)]]
    assert precision(truth, truth, 0.4, 0.5, 0.95) == pytest.approx([1, 1, 1])


def test_a_box_half_over_the_truth_counts_at_a_third_and_not_at_a_half():
    # 10 x 10 boxes, shifted by 5: 50 in common, 150 in all
    assert precision([[box(0, 0)]], [[box(5, 0)]], 0.33, 0.34) == pytest.approx([1, 0])


def test_a_false_box_that_is_more_certain_halves_the_precision():
    truth, found = [[box(0, 0)]], [[box(50, 50, score=0.9), box(0, 0, score=0.8)]]
    assert precision(truth, found) == pytest.approx([0.5])


def test_a_false_box_that_is_less_certain_costs_nothing():
    truth, found = [[box(0, 0)]], [[box(50, 50, score=0.1), box(0, 0, score=0.8)]]
    assert precision(truth, found) == pytest.approx([1])


def test_one_of_two_boxes_found_reaches_half_the_sensitivity():
    # precision is 1 at the levels 0, 0.01 ... 0.50 of 101, and 0 beyond
    assert precision([[box(0, 0)], [box(9, 9)]], [[box(0, 0)], []]) == pytest.approx([51 / 101])


def test_the_second_box_on_the_same_truth_is_false():
    truth = [[box(0, 0), box(40, 40)]]
    found = [[box(0, 0, score=0.9), box(1, 0, score=0.8), box(40, 40, score=0.7)]]
    assert precision(truth, found) == pytest.approx([(51 * 1 + 50 * 2 / 3) / 101])


def test_a_box_in_another_image_or_of_another_class_is_false():
    assert precision([[box(0, 0)], []], [[], [box(0, 0)]]) == pytest.approx([0])
    truth = [[box(0, 0, name="typical")]]
    (found,) = average_precision(truth, [[box(0, 0, name="atypical")]], [0.5])
    assert found.by_class == {"typical": 0.0}
    assert found.any_class == pytest.approx(1)


def test_classes_count_alike_in_the_mean():
    truth = [[box(0, 0, name="typical")], [box(0, 0, name="typical"), box(0, 0, name="atypical")]]
    found = [[box(0, 0, name="typical")], [box(0, 0, name="typical")]]
    (result,) = average_precision(truth, found, [0.5])
    assert result.by_class == pytest.approx({"atypical": 0, "typical": 1})
    assert result.mean == pytest.approx(0.5)


def test_without_true_boxes_there_is_no_precision():
    assert precision([[], []], [[box(0, 0)], []]) == [None]


def test_a_box_lies_round_each_part_of_a_mask_and_is_as_certain_as_the_map_in_it():
    mask, values = np.zeros((20, 30), dtype=bool), np.zeros((20, 30), dtype=np.float32)
    mask[2:5, 3:10], mask[10:12, 20:21] = True, True
    values[mask] = 0.25
    values[10:12, 20:21] = 0.75
    first, second = boxes_of(mask, values, "opacity")
    assert first == box(3, 2, 7, 3, score=0.25)
    assert second == box(20, 10, 1, 2, score=0.75)


SIDES = st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(1, 12), st.integers(1, 12))


@given(SIDES)
def test_the_box_round_a_filled_box_is_the_box(sides):
    whole = box(*sides)
    (found,) = boxes_of(filled([whole], (30, 30)), None, "opacity")
    assert found == whole
