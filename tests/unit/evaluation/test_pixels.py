"""Masks and maps against truth, pixel by pixel, on cases that can be counted by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import log_loss

from evaluation.intervals import Drawing, mean
from evaluation.maps import FLOOR, weighted_log_loss
from evaluation.overlap import Overlap, overlap

MASKS = arrays(bool, (4, 5))


def test_dice_and_iou_of_two_squares_that_share_a_quarter():
    truth, found = np.zeros((2, 6, 6), dtype=bool)
    truth[:4, :4], found[2:, 2:] = True, True
    counted = overlap(truth, found)
    assert counted == Overlap(truth=16, found=16, both=4)
    assert counted.dice == pytest.approx(8 / 32)
    assert counted.iou == pytest.approx(4 / 28)


def test_an_image_without_truth_has_no_dice_and_may_be_a_false_alarm():
    nothing, something = np.zeros((3, 3), dtype=bool), np.ones((3, 3), dtype=bool)
    assert overlap(nothing, nothing).dice is None
    assert not overlap(nothing, nothing).is_false_alarm
    assert overlap(nothing, something).is_false_alarm
    assert overlap(something, nothing).dice == 0


@given(MASKS, MASKS)
def test_dice_follows_from_iou_and_both_know_no_order(one, other):
    there, back = overlap(one, other), overlap(other, one)
    if one.any() and other.any():
        assert there.dice == back.dice
        assert there.dice == pytest.approx(2 * there.iou / (1 + there.iou))
        assert (there.dice == 1) == np.array_equal(one, other)


def test_a_missed_pixel_weighs_thirty_times_a_false_one():
    values, truth = np.array([[0.2, 0.6, 0.1]]), np.array([[True, False, False]])
    by_hand = (30 * -math.log(0.2) - math.log(0.4) - math.log(0.9)) / 32
    assert weighted_log_loss(values, truth) == pytest.approx(by_hand)
    assert weighted_log_loss(values, truth, missed_weight=1) == pytest.approx(
        (-math.log(0.2) - math.log(0.4) - math.log(0.9)) / 3
    )


def test_certainty_that_is_wrong_costs_what_eight_bits_can_say():
    missed = weighted_log_loss(np.zeros((2, 2)), np.ones((2, 2), dtype=bool))
    assert missed == pytest.approx(-math.log(FLOOR))
    assert weighted_log_loss(np.zeros((2, 2)), np.zeros((2, 2), dtype=bool)) == pytest.approx(-math.log(1 - FLOOR))


@given(arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32)), MASKS, st.floats(0.5, 50))
def test_the_weighted_log_loss_is_that_of_scikit_learn(values, truth, weight):
    weights = np.where(truth, weight, 1.0)
    theirs = log_loss(
        truth.ravel().astype(int),
        np.clip(values.ravel().astype(np.float64), FLOOR, 1 - FLOOR),
        sample_weight=weights.ravel(),
        labels=[0, 1],
    )
    assert weighted_log_loss(values, truth, missed_weight=weight) == pytest.approx(theirs, rel=1e-6)


def test_the_mean_of_images_has_an_interval_as_wide_as_their_spread():
    values = np.random.default_rng(1).normal(0.9, 0.05, 200)
    found = mean(values.tolist(), list(range(200)), Drawing())
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(200), rel=0.1)


def test_two_patients_are_too_few_for_an_interval_and_none_for_a_mean():
    assert mean([0.5, 0.7, 0.9], [1, 1, 2], Drawing()).low is None
    assert mean([], [], Drawing()).value is None
