import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_out.marks import Mark
from dicom_out.telling_slices import telling_slices
from inference.findings import Purpose, Region
from tests import factories


def marked(count, lung=(0, None), opacity=()):
    """Return a lung from a slice to another, and an opacity with so many pixels a slice."""
    lungs, opacities = np.zeros((2, count), dtype=np.int64)
    lungs[slice(*lung)] = 500
    for index, pixels in dict(opacity).items():
        opacities[index] = pixels
    return mark(Purpose.LUNGS, lungs), mark(Purpose.OPACITY, opacities)


def mark(purpose, areas):
    region = Region(
        label=purpose,
        purpose=purpose,
        property_category=factories.ANATOMY,
        property_type=factories.LUNG,
        mask=np.zeros((0, 0, 0), dtype=bool),
    )
    return Mark(region=region, rgb=(0, 0, 0), tracking_uid="2.25.1", areas=areas)


def test_lungs_without_opacity_are_shown_from_base_to_apex_at_even_steps():
    chosen = telling_slices(marked(120, lung=(20, 100)), 120, 8)
    assert chosen == (24, 34, 44, 54, 64, 74, 84, 94)


def test_slices_are_spread_over_the_whole_stack_where_nothing_is_marked():
    assert telling_slices((), 80, 8) == (4, 14, 24, 34, 44, 54, 64, 74)


def test_the_slice_with_most_of_the_opacity_is_shown():
    opacity = dict.fromkeys(range(40, 60), 10) | {43: 90}
    assert 43 in telling_slices(marked(120, lung=(20, 100), opacity=opacity), 120, 8)


def test_half_of_the_slices_go_to_the_opacity_and_the_others_still_tell_apex_and_base():
    opacity = dict.fromkeys(range(40, 60), 100)
    chosen = telling_slices(marked(120, lung=(20, 100), opacity=opacity), 120, 8)
    assert sum(40 <= index < 60 for index in chosen) >= 4
    assert min(chosen) < 35
    assert max(chosen) > 85


def test_one_small_opacity_does_not_fill_the_sheet_with_neighbours():
    chosen = telling_slices(marked(240, opacity={100: 5, 101: 9, 102: 5}), 240, 8)
    assert 101 in chosen
    assert np.diff(chosen).min() >= 240 / 24
    assert len(chosen) == 8


@pytest.mark.parametrize("count", [1, 5, 10])
def test_a_short_stack_shows_each_slice_once(count):
    chosen = telling_slices(marked(count, opacity={0: 3}), count, 8)
    assert len(set(chosen)) == len(chosen) == min(count, 8)


@given(
    st.integers(8, 60).flatmap(
        lambda count: st.tuples(st.just(count), st.dictionaries(st.integers(0, count - 1), st.integers(1, 256)))
    )
)
def test_whatever_is_marked_as_many_slices_are_shown_as_there_is_room_for(case):
    count, opacity = case
    chosen = telling_slices(marked(count, opacity=opacity), count, 8)
    assert list(chosen) == sorted(set(chosen))
    assert len(chosen) == 8
    assert chosen[0] >= 0
    assert chosen[-1] < count
