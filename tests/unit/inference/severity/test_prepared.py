"""What networks are shown, by cases computed by hand."""

import numpy as np
import pytest
import torch

from inference.findings import Refusal
from inference.severity.prepared import LEAST_SLICES, prepare, resized


def lungs(shape, voxels_by_slice):
    """Return labels with so many voxels of lung on each slice."""
    labels = np.zeros(shape, dtype=np.uint8)
    for plane, voxels in zip(labels, voxels_by_slice, strict=True):
        plane.flat[:voxels] = 1 + np.arange(voxels) % 2
    return labels


def test_the_window_goes_from_minus_1100_to_300_and_what_is_no_lung_is_0():
    hounsfield = np.tile(np.array([-2000, -1100, -400, -50, 300, 3000, -400], np.int16), (10, 7, 1))
    labels = np.tile(np.array([1, 1, 2, 2, 1, 2, 0], np.uint8), (10, 7, 1))
    found = prepare(hounsfield, labels)
    np.testing.assert_allclose(found.volume[3, 4], [0, 0, 0.5, 0.75, 1, 1, 0], atol=1e-6)
    assert found.volume.dtype == np.float32


def test_slices_stay_from_5_percent_of_lung_on_and_others_between_them_go():
    # 20 x 20 voxels: 5 % are 20.
    areas = [0, 19, *[20] * 6, 19, 0, *[400] * 5, 19]
    found = prepare(np.zeros((16, 20, 20), np.int16), lungs((16, 20, 20), areas))
    assert found.kept.tolist() == [2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14]
    assert found.volume.shape == (11, 20, 20)


@pytest.mark.parametrize("kept", [0, LEAST_SLICES - 1])
def test_too_few_slices_are_refused_with_their_number(kept):
    refusal = prepare(np.zeros((30, 20, 20), np.int16), lungs((30, 20, 20), [20] * kept + [19] * (30 - kept)))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "too-little-lung"
    assert f"{kept} slices of 30" in refusal.reason


def test_as_many_as_needed_are_enough():
    assert not isinstance(prepare(np.zeros((10, 20, 20), np.int16), lungs((10, 20, 20), [20] * 10)), Refusal)


@pytest.mark.parametrize(
    ("shape", "margin"), [((10, 20, 33), (6, 0)), ((10, 33, 20), (0, 6)), ((10, 20, 20), (0, 0))], ids=str
)
def test_a_slice_is_padded_to_a_square_with_nothing(shape, margin):
    found = prepare(np.full(shape, 300, np.int16), np.ones(shape, np.uint8))
    side, (top, left) = max(shape[1:]), margin
    assert (found.volume.shape, found.margin) == ((10, side, side), margin)
    inside = found.volume[:, top : top + shape[1], left : left + shape[2]]
    assert inside.min() == 1
    assert found.volume.sum() == inside.size


def test_resizing_averages_where_it_shrinks_and_keeps_a_ramp_a_ramp():
    ramp = torch.arange(12.0)[:, None, None] + torch.arange(18.0)[:, None] * 100 + torch.arange(24.0) * 10_000
    small = resized(ramp, (6, 6, 8))
    # Voxel i of the small one is the middle of 2, 3 and 3 of the large.
    expected = 0.5 + 2 * torch.arange(6.0)[:, None, None] + (1 + 3 * torch.arange(6.0))[:, None] * 100
    expected = expected + (1 + 3 * torch.arange(8.0)) * 10_000
    torch.testing.assert_close(small[1:-1, 1:-1, 1:-1], expected[1:-1, 1:-1, 1:-1])
    checkered = torch.tensor([0.0, 1.0]).repeat(9)[:, None] + torch.zeros(12, 18, 24)
    assert (resized(checkered, (6, 6, 8)) - 0.5).abs().max() < 0.2


def test_an_input_has_the_size_that_the_network_asks_for(prepared):
    found = prepared((14, 30, 40)).resized((16, 32, 64))
    assert found.shape == (16, 32, 64)
    assert found.dtype == np.float32
