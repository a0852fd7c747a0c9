import numpy as np
import pytest

from inference.deferred import DeferredHeatmap
from inference.geometry import Geometry
from inference.opacity import local_opacity
from inference.working_grid import coarsen
from tests.factories import LUNG, PERCENT, ellipsoid

SPACING_MM = (2.0, 0.7, 1.0)
SHAPE = (31, 65, 47)  # no axis holds whole blocks
FACTORS = (1, 3, 2)


@pytest.fixture(scope="module")
def grid():
    return coarsen(np.full(SHAPE, -800, dtype=np.int16), SPACING_MM)


@pytest.fixture(scope="module")
def lungs():
    return ellipsoid(SHAPE, (0.5, 0.5, 0.5), (0.4, 0.5, 0.5))  # up to the edge of the images


def test_blocks_count_the_voxels_of_a_mask(grid, lungs):
    assert grid.factors == FACTORS
    counts = grid.counts(lungs)
    assert counts.shape == grid.hounsfield.shape
    assert counts.sum() == lungs.sum()
    assert counts[10, 7, 11] == lungs[10:11, 21:24, 22:24].sum()
    assert counts[16, -1, 10] == lungs[16, 63:, 20:22].sum()


def test_blocks_lie_at_the_mean_of_their_voxels(grid):
    source = Geometry(
        origin_mm=(10.0, -20.0, 30.0),
        row_direction=(-1.0, 0.0, 0.0),
        column_direction=(0.0, 1.0, 0.0),
        slice_direction=(0.0, 0.0, -1.0),
        spacing_mm=SPACING_MM,
    )
    blocks = grid.geometry(source)
    assert blocks.origin_mm == pytest.approx((10.0 - 0.5, -20.0 + 0.7, 30.0))
    assert blocks.spacing_mm == pytest.approx((2.0, 2.1, 2.0))
    assert blocks.row_direction == source.row_direction


def test_it_is_one_deep_in_opacity_none_far_from_it_and_a_half_at_a_flat_border(grid, lungs):
    opacity = lungs.copy()
    opacity[16:] = False
    share = local_opacity(grid, opacity, lungs)
    inside = grid.counts(lungs) > 0
    assert share.min() == 0
    assert share.max() == 1
    assert not share[~inside].any()
    assert share[8, 10, 12] == pytest.approx(1.0, abs=0.01)
    assert share[23, 10, 12] == pytest.approx(0.0, abs=0.01)
    assert (share[15, 10, 12] + share[16, 10, 12]) / 2 == pytest.approx(0.5, abs=0.02)


def test_opacity_that_fills_the_lung_is_whole_up_to_its_edge(grid, lungs):
    share = local_opacity(grid, lungs, lungs)
    assert share[grid.counts(lungs) > 0] == pytest.approx(1.0)


def test_no_opacity_is_a_map_of_zeros(grid, lungs):
    share = local_opacity(grid, np.zeros_like(lungs), lungs)
    assert share.dtype == np.float32
    assert not share.any()


def test_a_deferred_heatmap_makes_its_values_once_and_has_nothing_else():
    geometry = Geometry(
        origin_mm=(0.0, 0.0, 0.0),
        row_direction=(1.0, 0.0, 0.0),
        column_direction=(0.0, 1.0, 0.0),
        slice_direction=(0.0, 0.0, 1.0),
        spacing_mm=(1.0, 1.0, 1.0),
    )
    calls = []

    def compute():
        calls.append(1)
        return np.zeros((1, 2, 3), dtype=np.float32)

    heatmap = DeferredHeatmap(
        label="x", quantity=LUNG, unit=PERCENT, grid=geometry, value_range=(0.0, 1.0), compute=compute
    )
    assert (heatmap.label, heatmap.value_range, calls) == ("x", (0.0, 1.0), [])
    assert heatmap.values.shape == (1, 2, 3)
    assert heatmap.values is heatmap.values
    assert calls == [1]
    with pytest.raises(AttributeError):
        heatmap.value  # noqa: B018 - asked for in vain
