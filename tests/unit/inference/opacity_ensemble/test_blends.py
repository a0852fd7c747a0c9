"""Both blends, by cases worked out by hand and by what must hold of any maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.opacity_ensemble.blends import marked, weighted, weights_of, zones

VALUES = (0.4, 0.6, 0.8, 0.95)
four_maps = arrays(np.float32, (4, 3, 5), elements=st.floats(0, 1, width=32))
four_weights = st.lists(st.floats(0.01, 100), min_size=4, max_size=4)


def row(*values: float) -> np.ndarray:
    return np.array([values], dtype=np.float32)


def test_each_run_that_marks_a_pixel_lifts_it_by_one_zone():
    maps = [
        row(0.0, 0.9, 0.9, 0.9, 0.9, 0.0),
        row(0.0, 0.0, 0.5, 0.6, 0.7, 0.0),
        row(0.0, 0.1, 0.2, 0.8, 1.0, 0.0),
        row(0.49, 0.4, 0.3, 0.2, 0.9, 0.5),
    ]
    assert zones(maps, VALUES).tolist() == row(0.0, 0.4, 0.6, 0.8, 0.95, 0.4).tolist()


def test_a_pixel_is_marked_from_one_half_on():
    assert marked(row(0.0, 0.499, 0.5, 1.0)).tolist() == [[False, False, True, True]]


@given(four_maps)
def test_a_zone_is_the_number_of_experts_that_mark_it(maps):
    counted = (maps >= 0.5).sum(axis=0)
    assert np.array_equal(zones(list(maps), VALUES), np.array([0, *VALUES], dtype=np.float32)[counted])


@given(four_maps, st.integers(0, 3))
def test_one_more_expert_that_marks_everything_never_lowers_a_zone(maps, which):
    more = maps.copy()
    more[which] = 1.0
    assert (zones(list(more), VALUES) >= zones(list(maps), VALUES)).all()


def test_maps_are_summed_by_weights_that_make_one():
    maps = [row(1.0, 0.0, 0.5), row(0.0, 1.0, 0.5), row(0.0, 0.0, 0.5), row(0.0, 0.0, 0.5)]
    assert weighted(maps, (6.0, 2.0, 1.0, 1.0)) == pytest.approx(row(0.6, 0.2, 0.5))


@given(four_maps, four_weights)
def test_a_weighted_sum_lies_between_the_lowest_and_the_highest_map(maps, weights):
    blend = weighted(list(maps), weights)
    assert (blend >= maps.min(axis=0) - 1e-6).all()
    assert (blend <= maps.max(axis=0) + 1e-6).all()


def test_weights_are_in_inverse_proportion_to_losses():
    assert weights_of((0.1, 0.2, 0.4, 0.4)) == pytest.approx((0.5, 0.25, 0.125, 0.125))


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6))
def test_weight_times_loss_is_the_same_of_every_expert(losses):
    weights = weights_of(losses)
    assert sum(weights) == pytest.approx(1)
    assert [w * loss for w, loss in zip(weights, losses, strict=True)] == pytest.approx(
        [weights[0] * losses[0]] * len(losses)
    )


@pytest.mark.parametrize("losses", [(), (0.1, 0.0), (0.1, -1.0), (float("nan"), 0.1), (float("inf"), 0.1)])
def test_a_loss_that_is_not_positive_gives_no_weight(losses):
    with pytest.raises(ValueError, match="positive number"):
        weights_of(losses)


@pytest.mark.parametrize("blend", [zones, weighted])
def test_every_expert_needs_its_number(blend):
    with pytest.raises(ValueError, match="for 2 experts"):
        blend([row(0.1), row(0.2)], VALUES)
