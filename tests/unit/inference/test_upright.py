import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.radiograph import synthetic_geometry
from inference.upright import Rectangle, Upright, upright

TURNS = [Upright(transposed=t, rows_reversed=r, columns_reversed=c) for t in (0, 1) for r in (0, 1) for c in (0, 1)]
"""All eight."""


def as_stored(shown: np.ndarray, orientation: tuple[str, str]) -> np.ndarray:
    """Store an upright image so that its rows and columns run as Patient Orientation says, pixel by pixel."""
    height, width = shown.shape
    row, column = orientation
    swapped = row in "FH"
    stored = np.empty((width, height) if swapped else (height, width), dtype=shown.dtype)
    for down in range(height):
        for across in range(width):
            to = {"L": across, "R": width - 1 - across, "F": down, "H": height - 1 - down}
            stored[to[column], to[row]] = shown[down, across]
    return stored


@pytest.mark.parametrize(
    "orientation", [(r, c) for r in "LRFH" for c in "LRFH" if (r in "LR") != (c in "LR")], ids="-".join
)
def test_every_patient_orientation_is_turned_upright(orientation):
    shown = np.arange(12).reshape(3, 4)
    turn = upright(orientation)
    assert turn is not None
    assert turn.is_stated
    stored = as_stored(shown, orientation)
    assert np.array_equal(turn.turn(stored), shown)
    assert np.array_equal(turn.turn_back(shown), stored)


def test_oblique_directions_count_by_their_first_letter():
    assert upright(["LF", "FR"]) == upright(["L", "F"])


def test_an_image_that_does_not_say_how_it_lies_is_taken_as_upright():
    assert upright([]) == Upright() == upright(["", ""])


@pytest.mark.parametrize("orientation", [["P", "F"], ["A", "F"], ["L", "P"], ["L"], ["L", "R"], ["F", "H"], ["x", "y"]])
def test_an_orientation_of_no_frontal_image_is_none(orientation):
    assert upright(orientation) is None


@given(
    st.sampled_from(TURNS),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.floats(0.1, 2), st.floats(0.1, 2)),
    st.integers(1, 3),
)
def test_a_grid_on_the_upright_image_lies_at_the_same_stored_pixels_when_turned_back(turn, shape, spacing, step):
    """A grid of every `step`-th pixel of the upright image holds the pixel's own stored place, in mm."""
    stored = synthetic_geometry(spacing)
    y, x = np.meshgrid(*(np.arange(n) * mm for n, mm in zip(shape, spacing, strict=True)), indexing="ij")
    places = np.stack([y, x])
    shown = turn.turn(places)[:, ::step, ::step]
    plane = turn.geometry(stored)
    slices, rows_mm, columns_mm = plane.spacing_mm
    grid = type(plane)(
        origin_mm=plane.origin_mm,
        row_direction=plane.row_direction,
        column_direction=plane.column_direction,
        slice_direction=plane.slice_direction,
        spacing_mm=(slices, rows_mm * step, columns_mm * step),
    )
    back = turn.turn_back(shown)
    found = turn.geometry_back(grid, shown.shape[1:], stored, shape)
    (left, top, _), (_, down, across) = found.origin_mm, found.spacing_mm
    rows, columns = np.indices(back.shape[1:])
    assert np.allclose(back, np.stack([top + rows * down, left + columns * across]))


@given(st.sampled_from(TURNS), st.tuples(st.integers(1, 9), st.integers(1, 9)), st.data())
def test_a_rectangle_lies_round_the_same_pixels_when_the_image_is_turned(turn, shape, data):
    rows, columns = (sorted(data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))) for n in shape)
    drawn = np.zeros(shape, dtype=bool)
    drawn[slice(*rows), slice(*columns)] = True
    upright_one = Rectangle(left=columns[0], top=rows[0], right=columns[1], bottom=rows[1])
    stored = turn.turn_rectangle_back(upright_one, shape)
    mask = turn.turn_back(drawn)
    marked = np.zeros_like(mask)
    marked[stored.top : stored.bottom, stored.left : stored.right] = True
    assert np.array_equal(marked, mask)
    assert turn.turn_rectangle(stored, mask.shape) == upright_one
