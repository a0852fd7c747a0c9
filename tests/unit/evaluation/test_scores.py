"""Scores against yes or no, on cases that can be counted by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.intervals import Drawing
from evaluation.scores import FALSE_ALARMS, brier, decide, log_loss, precision_recall, reliability, roc

LABELS = [0, 0, 0, 1, 1]
SCORES = [0.1, 0.4, 0.8, 0.5, 0.9]
DRAWING = Drawing(resamples=200, seed=3)
ALONE = [1, 2, 3, 4, 5]


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    # of 2 x 3 pairs, 0.5 stands above 0.1 and 0.4 and below 0.8, 0.9 above all: 5 of 6
    assert roc(LABELS, SCORES, ALONE, DRAWING).area.value == pytest.approx(5 / 6)


def test_equal_scores_count_half_a_pair():
    assert roc([0, 1, 1], [0.5, 0.5, 0.9], [1, 2, 3], DRAWING).area.value == pytest.approx(0.75)


def test_the_interval_holds_the_area_and_the_band_the_curve_of_many_images():
    random = np.random.default_rng(5)
    labels = random.integers(0, 2, 120)
    scores = np.clip(0.3 * labels + random.normal(0.4, 0.2, 120), 0, 1)
    found = roc(labels.tolist(), scores.tolist(), list(range(120)), DRAWING)
    assert found.area.low < found.area.value < found.area.high
    # Hanley and McNeil 1982, equation 2, for the standard error of this area
    area, positive, negative = found.area.value, int(labels.sum()), int((1 - labels).sum())
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (q1 - area**2) * (positive - 1) + (q2 - area**2) * (negative - 1)
    error = math.sqrt((area * (1 - area) + spread) / (positive * negative))
    assert found.area.high - found.area.low == pytest.approx(2 * 1.96 * error, rel=0.25)
    on_curve = np.interp(FALSE_ALARMS, found.curve.x, found.curve.y)
    assert np.mean((found.low <= on_curve) & (on_curve <= found.high)) > 0.95


def test_images_of_few_patients_give_a_wider_interval_than_as_many_of_many():
    random = np.random.default_rng(6)
    labels = np.repeat(random.integers(0, 2, 30), 8)
    scores = np.clip(np.repeat(0.2 * labels[::8] + random.normal(0.4, 0.2, 30), 8), 0, 1)
    one_each = roc(labels.tolist(), scores.tolist(), list(range(240)), DRAWING).area
    of_few = roc(labels.tolist(), scores.tolist(), np.repeat(range(30), 8).tolist(), DRAWING).area
    assert of_few.value == one_each.value
    assert of_few.high - of_few.low > 1.8 * (one_each.high - one_each.low)


def test_no_interval_is_claimed_where_all_is_in_order():
    found = roc([0, 0, 1], [0.1, 0.2, 0.3], [1, 2, 3], DRAWING).area
    assert (found.value, found.low) == (1.0, None)
    assert "no interval" in found.note


@pytest.mark.parametrize(
    "patients", [[1, 1, 1, 2, 2], [1, 2, 3, 4, 4], [1, 2, 3, 4, 5]], ids=["one-each", "one-positive", "two-positive"]
)
def test_no_interval_is_claimed_of_patients_that_are_too_few_to_be_drawn_from(patients):
    found = roc(LABELS, SCORES, patients, DRAWING)
    assert found.area.value == pytest.approx(5 / 6)
    assert (found.area.low, found.area.high, found.low) == (None, None, None)
    assert "Too few patients" in found.area.note


def test_the_same_seed_draws_the_same():
    first, second, other = (
        roc(LABELS * 4, SCORES * 4, list(range(20)), Drawing(resamples=50, seed=s)).area for s in (1, 1, 2)
    )
    assert first == second
    assert first != other


def test_a_threshold_decides_and_counts_a_score_equal_to_it_as_positive():
    found = decide(LABELS, SCORES, 0.5)
    assert (found.true_positive, found.false_positive, found.true_negative, found.false_negative) == (2, 1, 2, 0)
    assert found.sensitivity.value == 1.0
    assert found.specificity.value == pytest.approx(2 / 3)
    assert found.positive_predictive_value.value == pytest.approx(2 / 3)


def test_wilsons_interval_is_the_published_one():
    # Newcombe, Stat Med 1998;17:857, Table I, method 3: 81 of 263
    found = decide([1] * 263, [1.0] * 81 + [0.0] * 182, 0.5).sensitivity
    assert (found.low, found.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))


def test_a_share_of_nothing_is_no_number():
    assert decide([1, 1], [0.2, 0.9], 0.5).specificity.value is None


def test_log_loss_and_brier_score_are_those_of_the_books():
    assert log_loss([1, 0], [0.8, 0.4]) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2)
    assert brier([1, 0], [0.8, 0.4]) == pytest.approx((0.04 + 0.16) / 2)
    assert math.isfinite(log_loss([1, 0], [0.0, 1.0]))


def test_average_precision_sums_precision_over_steps_of_sensitivity():
    # down the list: 1 (precision 1), 0, 1 (2 of 3): half of 1 and half of 2/3
    _, found = precision_recall([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
    assert found == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_reliability_counts_positives_in_tenths_of_the_score():
    found = reliability([0, 1, 1, 1], [0.05, 0.05, 0.95, 1.0])
    assert found.score.tolist() == pytest.approx([0.05, 0.975])
    assert [(share.value, share.images) for share in found.positive] == [(0.5, 2), (1.0, 2)]


CASES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=2, max_size=25)


@given(CASES)
def test_turning_all_scores_round_turns_the_area_round(cases):
    labels, scores = [label for label, _ in cases], [score / 20 for _, score in cases]
    if len(set(labels)) == 2:
        few, patients = Drawing(resamples=2), list(range(len(cases)))
        there = roc(labels, scores, patients, few).area.value
        back = roc(labels, [1 - score for score in scores], patients, few).area.value
        assert there + back == pytest.approx(1)
        assert brier(labels, scores) >= 0
