"""From a cell of a network's last block back to the patient: where it is hot, the map is hot."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dicom_out.resampling import resampled
from inference.findings import Heatmap
from inference.geometry import Geometry
from inference.networks.i3d import I3D
from inference.networks.ltc import LTC
from inference.resampled_ct import resample
from inference.series import Series
from inference.severity.prepared import Prepared, prepare
from tests import factories

NETWORKS = {"LTC": LTC, "I3D": I3D}
SIZES = {"LTC": (60, 112, 112), "I3D": (64, 224, 224)}


@pytest.fixture(scope="module", params=list(NETWORKS))
def network(request):
    return NETWORKS[request.param](width=1, size=SIZES[request.param])


def test_there_are_as_many_cells_as_the_trunk_returns(network):
    block = network.trunk(torch.zeros(1, 1, *network.size))
    assert tuple(block.shape[2:]) == network.cells.shape


@pytest.mark.parametrize(
    ("make", "size", "cell"),
    [
        (LTC, (60, 32, 32), (3, 0, 0)),
        (LTC, (16, 160, 32), (0, 4, 0)),
        (I3D, (125, 32, 32), (8, 0, 0)),
        (I3D, (2, 32, 544), (0, 0, 8)),
    ],
    ids=["LTC slices", "LTC rows", "I3D an odd number of slices", "I3D columns"],
)
def test_a_cell_lies_in_the_middle_of_what_it_sees(make, size, cell, monkeypatch):
    """With positive weights and means in place of maxima, a cell's gradient is where it looks and nowhere else."""
    network = make(width=1, size=size).eval()
    for name, value in network.named_parameters():
        value.data.fill_(0.0 if name.endswith("bias") else 1.0)
    monkeypatch.setattr(torch.nn.functional, "max_pool3d", torch.nn.functional.avg_pool3d)
    volume = torch.ones(1, 1, *size, dtype=torch.float64, requires_grad=True)
    network.double().trunk(volume)[(0, 0, *cell)].backward()
    seen = volume.grad[0, 0].numpy() != 0
    for axis in range(3):
        if cell[axis]:
            found = np.flatnonzero(seen.any(axis=tuple(other for other in range(3) if other != axis)))
            assert found[0] > 0
            assert found[-1] < size[axis] - 1
            assert (found[0] + found[-1]) / 2 == network.cells.first[axis] + cell[axis] * network.cells.step[axis]


def middle(volume):
    """Centre of mass, in voxels."""
    return np.array(
        [(volume.sum(axis=tuple({0, 1, 2} - {axis})) @ np.arange(n)) for axis, n in enumerate(volume.shape)]
    )


@pytest.mark.parametrize("shape", [(52, 240, 240), (47, 200, 263), (70, 333, 310)], ids=str)
def test_a_hot_cell_is_hot_where_the_network_was_shown_it(network, shape, prepared):
    """What the network is shown at the place of a cell, found by looking at the input, is where the map peaks."""
    found = prepared(shape)
    cell = tuple(count // 2 for count in network.cells.shape)
    hot = np.zeros(network.cells.shape, np.float32)
    hot[cell] = 1
    on_grid = found.on_grid(hot, network.cells, network.size)
    assert on_grid.shape == shape
    # The other way round: the input of a grid whose every voxel holds its own index.
    place = [first + step * n for first, step, n in zip(network.cells.first, network.cells.step, cell, strict=True)]
    wanted = []
    for axis in range(3):
        indices = np.arange(shape[axis], dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        volume = np.zeros(found.volume.shape, np.float32)
        top, left = found.margin
        volume[:, top : top + shape[1], left : left + shape[2]] = np.broadcast_to(indices, shape)
        shown = replace(found, volume=volume).resized(network.size)
        rows, columns = (size // 2 for other, size in enumerate(network.size) if other != axis)
        line = np.moveaxis(shown, axis, 0)[:, rows, columns]
        wanted.append(np.interp(place[axis], np.arange(network.size[axis]), line))
    peak = np.unravel_index(on_grid.argmax(), shape)
    assert np.abs(np.subtract(peak, wanted)).max() < 0.75
    np.testing.assert_allclose(middle(on_grid / on_grid.sum()), wanted, atol=0.5)


def test_slices_that_were_left_out_are_0_and_the_rest_closes_up_over_them(network, prepared):
    gap = (20, 21, 22, 23, 24)
    whole, split = prepared((45, 100, 100)), prepared((50, 100, 100), without=gap)
    block = np.random.default_rng(3).random(network.cells.shape, dtype=np.float32)
    expected, found = (part.on_grid(block, network.cells, network.size) for part in (whole, split))
    assert not found[list(gap)].any()
    np.testing.assert_array_equal(np.delete(found, gap, axis=0), expected)
    assert expected.min() > 0


def test_values_beyond_the_outermost_cells_are_theirs(network, prepared):
    found = prepared((40, 100, 100)).on_grid(np.ones(network.cells.shape, np.float32), network.cells, network.size)
    np.testing.assert_allclose(found, 1, atol=1e-6)


@pytest.mark.parametrize(
    ("row", "column", "spacing_mm"),
    [
        ((1, 0, 0), (0, 1, 0), (1.25, 1.2, 1.2)),
        ((-1, 0, 0), (0, -1, 0), (5.0, 0.9, 0.9)),
        ((-1, 0, 0), (0, 1, 0), (3.0, 1.4, 1.1)),
        ((1, 0, 0), (0, -1, 0), (2.5, 1.5, 1.5)),
    ],
    ids=["from feet to head", "columns and rows turned", "from head to feet, columns turned", "rows turned"],
)
def test_what_is_hot_in_the_patient_is_hot_in_the_map_on_the_source_grid(network, row, column, spacing_mm):
    """A bright ball in a CT, looked at by a network that returns means of brightness, is where the map puts it."""
    extent_mm = np.array([250.0, 250.0, 250.0])
    shape = tuple(int(n) for n in extent_mm / spacing_mm)
    geometry = Geometry(
        origin_mm=(12.0, -31.0, 77.0),
        row_direction=tuple(map(float, row)),
        column_direction=tuple(map(float, column)),
        slice_direction=tuple(map(float, np.cross(row, column))),
        spacing_mm=spacing_mm,
    )
    axes = np.array([geometry.slice_direction, geometry.column_direction, geometry.row_direction])
    centre = np.array([0.42, 0.37, 0.6]) * extent_mm
    distance = np.sqrt(
        sum(
            ((np.arange(n) * step - c).reshape([-1 if a == axis else 1 for a in range(3)])) ** 2
            for axis, (n, step, c) in enumerate(zip(shape, spacing_mm, centre, strict=True))
        )
    )
    hounsfield = np.where(distance < 40, 300, -1100).astype(np.int16)
    upright, grid = resample(Series(headers=(), pixel_array=hounsfield, geometry=geometry))
    found = prepare(upright, np.ones(upright.shape, np.uint8))
    assert isinstance(found, Prepared)
    block = seen_by(network, torch.from_numpy(found.resized(network.size)))
    heatmap = Heatmap(
        label="attention",
        quantity=factories.OPACITY_PERCENTAGE,
        unit=factories.PERCENT,
        values=found.on_grid(block, network.cells, network.size),
        grid=grid,
    )
    on_source = np.stack(list(resampled(heatmap, geometry, hounsfield.shape)))
    assert on_source.shape == hounsfield.shape
    hot_mm = np.array(geometry.origin_mm) + (middle(on_source / on_source.sum()) * spacing_mm) @ axes
    planted_mm = np.array(geometry.origin_mm) + centre @ axes
    assert np.abs(hot_mm - planted_mm).max() < 4


def seen_by(network, volume):
    """Brightness about the centre of each cell, as wide as a cell: what a trunk of means would return."""
    weights = []
    for first, step, count, size in zip(*network.cells, network.size, strict=True):
        away = np.abs(np.arange(size)[None, :] - (first + step * np.arange(count))[:, None]) / step
        weights.append(np.clip(1 - away, 0, None) / np.clip(1 - away, 0, None).sum(axis=1, keepdims=True))
    block = np.einsum("iz,jy,kx,zyx->ijk", *weights, volume.numpy(), optimize=True)
    return block.astype(np.float32)
