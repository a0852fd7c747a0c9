import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.geometry import Geometry
from inference.letterbox import Letterbox

SIDE = 64
SIZES = st.integers(1, 300)
GEOMETRY = Geometry(
    origin_mm=(10.0, -20.0, 30.0),
    row_direction=(1.0, 0.0, 0.0),
    column_direction=(0.0, 0.0, -1.0),
    slice_direction=(0.0, 1.0, 0.0),
    spacing_mm=(1.0, 0.4, 0.2),
)


def positions(geometry: Geometry, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return where pixels lie, in mm."""
    down = np.outer(rows * geometry.spacing_mm[1], geometry.column_direction)
    across = np.outer(columns * geometry.spacing_mm[2], geometry.row_direction)
    return np.asarray(geometry.origin_mm) + down + across


@settings(deadline=None, max_examples=60)
@given(rows=SIZES, columns=SIZES)
def test_any_size_goes_to_the_grid_and_comes_back_in_its_own(rows, columns):
    letterbox = Letterbox(rows=rows, columns=columns, side=SIDE)
    grid = letterbox.to_grid(np.ones((rows, columns), dtype=np.float32))
    assert grid.shape == (SIDE, SIDE)
    assert max(letterbox.size) == SIDE
    assert grid[letterbox.inside].shape == letterbox.size
    assert letterbox.to_image(grid[np.newaxis]).shape == (1, rows, columns)


@settings(deadline=None, max_examples=60)
@given(rows=st.integers(SIDE, 300), columns=st.integers(SIDE, 300), data=st.data())
def test_a_mark_comes_back_to_where_it_was_within_a_pixel_of_the_grid(rows, columns, data):
    letterbox = Letterbox(rows=rows, columns=columns, side=SIDE)
    reach = int(np.ceil(max(rows, columns) / SIDE))
    row = data.draw(st.integers(2 * reach, max(2 * reach, rows - 1 - 2 * reach)))
    column = data.draw(st.integers(2 * reach, max(2 * reach, columns - 1 - 2 * reach)))
    image = np.zeros((rows, columns), dtype=np.float32)
    image[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = 1.0
    before = np.average(np.indices(image.shape).reshape(2, -1), axis=1, weights=image.ravel())
    (back,) = letterbox.to_image(letterbox.to_grid(image)[np.newaxis])
    after = np.average(np.indices(image.shape).reshape(2, -1), axis=1, weights=back.ravel())
    assert np.abs(after - before).max() < 0.5 * max(rows, columns) / SIDE


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(2, 300), columns=st.integers(2, 300))
def test_a_ramp_comes_back_the_same_so_nothing_is_shifted(rows, columns):
    letterbox = Letterbox(rows=rows, columns=columns, side=512)
    ramp = np.add.outer(np.arange(rows), 2.0 * np.arange(columns)).astype(np.float32)
    (back,) = letterbox.to_image(letterbox.to_grid(ramp)[np.newaxis])
    inner = (slice(1, -1), slice(1, -1))
    assert np.abs(back - ramp)[inner].max(initial=0.0) < 0.75


@settings(deadline=None, max_examples=30)
@given(rows=st.integers(2, 300), columns=st.integers(2, 300))
def test_the_grid_lies_where_its_pixels_were_taken_from(rows, columns):
    letterbox = Letterbox(rows=rows, columns=columns, side=SIDE)
    grid = letterbox.geometry(GEOMETRY)
    (top, bottom), (left, right) = ((place.start, place.stop) for place in letterbox.inside)
    corners = positions(grid, np.array([top - 0.5, bottom - 0.5]), np.array([left - 0.5, right - 0.5]))
    assert corners == pytest.approx(positions(GEOMETRY, np.array([-0.5, rows - 0.5]), np.array([-0.5, columns - 0.5])))


def test_what_is_left_of_the_grid_is_filled_with_the_darkest_value():
    image = np.linspace(0.3, 0.9, 50 * 20, dtype=np.float32).reshape(50, 20)
    grid = Letterbox(rows=50, columns=20, side=100).to_grid(image)
    assert np.all(grid[:, :30] == grid[:, 30:70].min())
    assert np.all(grid[:, 70:] == grid[:, 30:70].min())


def test_a_grid_of_the_images_own_size_changes_nothing():
    image = np.random.default_rng(1).random((32, 32), dtype=np.float32)
    letterbox = Letterbox(rows=32, columns=32, side=32)
    assert np.array_equal(letterbox.to_grid(image), image)
    assert letterbox.geometry(GEOMETRY) == GEOMETRY
