from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.findings import Refusal
from inference.geometry import check_stack

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def positions(distances_mm, shift_mm=0.0):
    return [(shift_mm * i, -100.0, z) for i, z in enumerate(distances_mm)]


def test_an_even_stack_gives_its_spacing():
    assert check_stack(positions(np.arange(20) * 2.5), AXIAL) == pytest.approx(2.5)


@given(
    count=st.integers(10, 80),
    spacing_mm=st.floats(0.3, 10),
    start_mm=st.floats(-2000, 2000),
    seed=st.integers(0, 1000),
)
def test_order_and_place_of_an_even_stack_do_not_matter(count, spacing_mm, start_mm, seed):
    stack = positions(start_mm + np.arange(count) * spacing_mm)
    np.random.default_rng(seed).shuffle(stack)
    assert check_stack(stack, AXIAL) == pytest.approx(spacing_mm, abs=1e-3)


@given(count=st.integers(12, 60), missing=st.data())
def test_any_missing_inner_slice_is_a_gap(count, missing):
    gone = missing.draw(st.integers(1, count - 2))
    stack = [p for i, p in enumerate(positions(np.arange(count) * 1.25)) if i != gone]
    refusal = check_stack(stack, AXIAL)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "gap-in-stack"
    assert "About 1 slice is missing in 1 place," in refusal.reason


def test_few_slices_are_no_volume():
    assert check_stack(positions(range(9)), AXIAL).code == "too-few-slices"


def test_a_position_that_occurs_twice_is_refused():
    assert check_stack(positions([*range(20), 7]), AXIAL).code == "duplicate-positions"


def test_uneven_steps_are_refused():
    distances = np.cumsum([1.0, 1.3] * 10)
    assert max(b - a for a, b in pairwise(distances)) == pytest.approx(1.3)
    assert check_stack(positions(distances), AXIAL).code == "uneven-spacing"


def test_a_tilted_gantry_is_refused():
    assert check_stack(positions(np.arange(20) * 2.0, shift_mm=0.4), AXIAL).code == "tilted-gantry"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_position_that_is_no_number_is_refused(value):
    stack = positions(np.arange(20) * 2.0)
    stack[7] = (0.0, value, 14.0)
    assert check_stack(stack, AXIAL).code == "no-geometry"


@pytest.mark.parametrize(
    "orientation",
    [(0.0,) * 6, (1.0, 0.0, 0.0, 1.0, 0.0, 0.0), (2.0, 0.0, 0.0, 0.0, 2.0, 0.0), (1.0, 0.0, 0.0, 0.6, 0.8, 0.0)],
)
def test_an_orientation_that_is_none_is_refused(orientation):
    assert check_stack(positions(np.arange(20) * 2.0), orientation).code == "no-geometry"
