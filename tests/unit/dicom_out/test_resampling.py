from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_out.resampling import resampled
from inference.findings import Heatmap
from inference.geometry import Geometry
from tests.factories import LUNG, PERCENT

SHAPE = (7, 20, 24)
SOURCE = Geometry(
    origin_mm=(-30.0, 12.5, -110.0),
    row_direction=(1.0, 0.0, 0.0),
    column_direction=(0.0, 1.0, 0.0),
    slice_direction=(0.0, 0.0, 1.0),
    spacing_mm=(5.0, 0.8, 0.7),
)


def a_heatmap(values, grid, value_range=(0.0, 1.0)):
    return Heatmap(label="a field", quantity=LUNG, unit=PERCENT, values=values, grid=grid, value_range=value_range)


def on_source(heatmap, geometry=SOURCE, shape=SHAPE):
    return np.stack(list(resampled(heatmap, geometry, shape)))


def places(grid, shape):
    """Return x, y and z of every voxel, shape (slices, rows, columns, 3)."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    directions = np.array([grid.slice_direction, grid.column_direction, grid.row_direction])
    return grid.origin_mm + (index * grid.spacing_mm) @ directions


def ramp(grid, shape):
    """Return a field that is linear in space."""
    return (places(grid, shape) @ (0.3, -0.2, 0.05) + 7.0).astype(np.float32)


def inside(grid, shape, geometry=SOURCE, of=SHAPE):
    """Return which voxels of a source lie between the centres of the grid's outermost voxels."""
    directions = np.array([grid.slice_direction, grid.column_direction, grid.row_direction])
    index = (places(geometry, of) - grid.origin_mm) @ directions.T / grid.spacing_mm
    return np.all((index > -1e-6) & (index < np.subtract(shape, 1) + 1e-6), axis=-1)


def test_on_the_same_grid_nothing_changes():
    values = np.random.default_rng(1).random(SHAPE, dtype=np.float32)
    assert np.array_equal(on_source(a_heatmap(values, SOURCE)), values)


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({"spacing_mm": (10.0, 2.4, 2.1), "origin_mm": (-29.3, 13.3, -107.5)}, (4, 7, 8)),
        ({"spacing_mm": (1.7, 0.3, 0.9)}, (19, 52, 19)),
        ({"origin_mm": (-24.13, 16.0, -101.0)}, (3, 9, 11)),
        ({"origin_mm": (-60.0, -20.0, -150.0), "spacing_mm": (8.0, 3.0, 4.0)}, (12, 30, 20)),
    ],
    ids=["coarser", "finer", "shifted and cropped", "wider"],
)
def test_a_ramp_is_reproduced_on_grids_that_are_coarser_finer_shifted_or_cropped(changes, shape):
    grid = replace(SOURCE, **changes)
    found, expected, covered = on_source(a_heatmap(ramp(grid, shape), grid)), ramp(SOURCE, SHAPE), inside(grid, shape)
    assert covered.any()
    assert found[covered] == pytest.approx(expected[covered], abs=1e-5)


def test_a_ramp_is_reproduced_on_a_grid_that_is_flipped_and_transposed():
    grid = Geometry(
        origin_mm=(-10.0, 30.0, -75.0),
        row_direction=(0.0, 0.0, -1.0),
        column_direction=(-1.0, 0.0, 0.0),
        slice_direction=(0.0, -1.0, 0.0),
        spacing_mm=(1.5, 1.1, 4.0),
    )
    shape = (13, 19, 10)
    covered = inside(grid, shape)
    assert covered.mean() > 0.5
    found = on_source(a_heatmap(ramp(grid, shape), grid))
    assert found[covered] == pytest.approx(ramp(SOURCE, SHAPE)[covered], abs=1e-5)


def test_an_oblique_source_and_its_own_grid_agree():
    turn = np.deg2rad(20)
    source = replace(
        SOURCE,
        row_direction=(float(np.cos(turn)), float(np.sin(turn)), 0.0),
        column_direction=(-float(np.sin(turn)), float(np.cos(turn)), 0.0),
    )
    grid = replace(source, spacing_mm=(5.0, 1.6, 1.4))
    found = on_source(a_heatmap(ramp(grid, (7, 10, 12)), grid), source)
    covered = inside(grid, (7, 10, 12), source)
    assert found[covered] == pytest.approx(ramp(source, SHAPE)[covered], abs=1e-5)


def test_outside_its_voxels_the_map_is_at_its_lowest_and_in_their_outer_halves_it_is_theirs():
    grid = replace(SOURCE, origin_mm=(-30.0 + 0.7 * 5.5, 12.5 + 0.8 * 4.5, -100.0), spacing_mm=(5.0, 1.6, 1.4))
    found = on_source(a_heatmap(np.full((3, 4, 4), 3.0, dtype=np.float32), grid, value_range=(-2.0, 5.0)))
    expected = np.full(SHAPE, -2.0)
    expected[2:5, 4:12, 5:13] = 3.0
    assert np.array_equal(found, expected)


def test_a_hot_spot_lands_on_its_voxel():
    values = np.zeros((7, 10, 12), dtype=np.float32)
    values[3, 6, 2] = 1.0
    grid = replace(SOURCE, origin_mm=(-29.65, 12.9, -110.0), spacing_mm=(5.0, 1.6, 1.4))
    found = on_source(a_heatmap(values, grid))
    assert {tuple(place) for place in np.argwhere(found == found.max()).tolist()} == {
        (3, row, column) for row in (12, 13) for column in (4, 5)
    }
    assert not found[[2, 4]].any()


def test_frames_can_be_written_as_they_are():
    for plane in resampled(
        a_heatmap(np.random.default_rng(1).random((7, 5, 5), dtype=np.float32), SOURCE), SOURCE, SHAPE
    ):
        assert plane.dtype == np.float32
        assert plane.flags.c_contiguous


def test_a_radiograph_s_map_is_one_plane():
    plane = replace(SOURCE, origin_mm=(0.0, 0.0, 0.0), spacing_mm=(1.0, 0.2, 0.2))
    grid = replace(plane, origin_mm=(-1.9, 0.3, 0.0), spacing_mm=(1.0, 0.8, 0.8))
    found = on_source(a_heatmap(ramp(grid, (1, 8, 8)), grid), plane, (1, 24, 16))
    covered = inside(grid, (1, 8, 8), plane, (1, 24, 16))
    assert found[covered] == pytest.approx(ramp(plane, (1, 24, 16))[covered], abs=1e-5)


def test_grids_at_an_angle_are_refused():
    turn = np.deg2rad(2)
    grid = replace(SOURCE, row_direction=(float(np.cos(turn)), float(np.sin(turn)), 0.0))
    with pytest.raises(ValueError, match="'a field' is at an angle"):
        on_source(a_heatmap(np.zeros(SHAPE, dtype=np.float32), grid))


@given(
    step=st.floats(0.2, 6.0),
    start=st.floats(-40.0, 20.0),
    values=st.lists(st.floats(0.0, 1.0, width=32), min_size=1, max_size=6),
)
def test_values_stay_within_those_of_the_map(step, start, values):
    grid = replace(SOURCE, origin_mm=(start, 12.5, -110.0), spacing_mm=(40.0, 20.0, step))
    cube = np.array(values, dtype=np.float32)[np.newaxis, np.newaxis]
    found = on_source(a_heatmap(cube, grid))
    assert found.min() >= 0.0
    assert found.max() <= cube.max()
