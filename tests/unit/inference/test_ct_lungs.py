from dataclasses import replace

import numpy as np
import pytest

from inference.ct_lungs import Lungs, find_lungs_classical
from inference.findings import Refusal
from phantom.ct import make_chest


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_both_lungs_are_found_with_the_consolidation_in_them(chest, chest_lungs):
    for found, truth in ((chest_lungs.right, chest.right_lung), (chest_lungs.left, chest.left_lung)):
        assert dice(found, truth) >= 0.97
        assert found.sum() == pytest.approx(truth.sum(), rel=0.05)
        assert (found & chest.opacity).sum() >= 0.95 * (truth & chest.opacity).sum()


def test_lungs_lie_on_their_own_side(chest_lungs):
    assert not (chest_lungs.right & chest_lungs.left).any()
    assert np.argwhere(chest_lungs.right)[:, 2].mean() < np.argwhere(chest_lungs.left)[:, 2].mean()


def test_stomach_gas_and_trachea_are_left_out(chest, chest_lungs):
    lungs = chest_lungs.right | chest_lungs.left
    assert not (lungs & chest.stomach_gas).any()
    assert (lungs & chest.airway).sum() < 0.05 * chest.airway.sum()


def test_a_chest_without_opacity_has_the_same_lungs(clear_chest, series_of):
    lungs = find_lungs_classical(series_of(clear_chest.hounsfield))
    assert isinstance(lungs, Lungs)
    assert dice(lungs.right | lungs.left, clear_chest.right_lung | clear_chest.left_lung) >= 0.97


@pytest.mark.parametrize("spacing_mm", [(1.5, 2.8, 2.8), (5.0, 1.9, 1.9)])
def test_other_grids_give_the_same_lungs(spacing_mm, series_of):
    size = round(358 / spacing_mm[1])
    other = make_chest(slices=round(288 / spacing_mm[0]), rows=size, columns=size, spacing_mm=spacing_mm)
    lungs = find_lungs_classical(series_of(other.hounsfield, spacing_mm))
    assert isinstance(lungs, Lungs)
    assert dice(lungs.right, other.right_lung) >= 0.95
    assert dice(lungs.left, other.left_lung) >= 0.95


def test_axes_that_run_the_other_way_give_the_same_lungs(chest, chest_lungs, series_of):
    series = series_of(chest.hounsfield[:, ::-1, ::-1])
    turned = replace(series.geometry, row_direction=(-1.0, 0.0, 0.0), column_direction=(0.0, -1.0, 0.0))
    lungs = find_lungs_classical(replace(series, geometry=turned))
    assert isinstance(lungs, Lungs)
    np.testing.assert_array_equal(lungs.right[:, ::-1, ::-1], chest_lungs.right)


def test_bone_or_contrast_in_the_heart_does_not_move_the_wall(chest, series_of):
    bright = chest.hounsfield.copy()
    middle = np.zeros(bright.shape, dtype=bool)
    middle[20:34, 90:128, 128:165] = True
    bright[middle & (bright > 0) & (bright < 100)] = 350
    lungs = find_lungs_classical(series_of(bright))
    assert isinstance(lungs, Lungs)
    assert dice(lungs.left, chest.left_lung) >= 0.97


@pytest.mark.parametrize("what", ["air", "water", "abdomen", "one lung"])
def test_where_no_two_lungs_are_it_refuses(what, chest, series_of):
    hounsfield = {
        "air": lambda: np.full((60, 96, 96), -1000, dtype=np.int16),
        "water": lambda: np.zeros((60, 96, 96), dtype=np.int16),
        "abdomen": lambda: np.concatenate([chest.hounsfield[:5]] * 8),
        "one lung": lambda: np.where(chest.left_lung, 40, chest.hounsfield).astype(np.int16),
    }[what]()
    refusal = find_lungs_classical(series_of(hounsfield))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "no-lungs-found"
    assert "150 mL" in refusal.reason


def test_the_real_chest_has_about_one_and_a_half_litres_a_side(ricord_series, ricord_lungs):
    """Bands around what was judged right by eye: 1475 and 1503 mL."""
    voxel_ml = np.prod(ricord_series.geometry.spacing_mm) / 1000
    right_ml, left_ml = ricord_lungs.right.sum() * voxel_ml, ricord_lungs.left.sum() * voxel_ml
    assert 1430 <= right_ml <= 1560
    assert 1450 <= left_ml <= 1580


@pytest.mark.parametrize(
    ("slice_index", "row", "column", "is_lung"),
    [
        pytest.param(95, 310, 150, True, id="dependent consolidation"),
        pytest.param(83, 315, 116, True, id="dependent consolidation on the ribs"),
        pytest.param(95, 365, 150, False, id="chest wall behind it"),
        pytest.param(95, 200, 290, False, id="heart"),
        pytest.param(95, 318, 320, False, id="descending aorta"),
        pytest.param(50, 200, 150, False, id="liver"),
        pytest.param(20, 140, 340, False, id="stomach gas"),
        pytest.param(180, 188, 243, False, id="trachea"),
        pytest.param(180, 211, 255, False, id="gas in the oesophagus"),
    ],
)
def test_in_the_real_chest_it_tells(slice_index, row, column, is_lung, ricord_lungs):
    """Places picked by looking at the images; boxes of 7 mm."""
    place = np.s_[slice_index - 1 : slice_index + 2, row - 5 : row + 5, column - 5 : column + 5]
    share = (ricord_lungs.right | ricord_lungs.left)[place].mean()
    assert share >= 0.95 if is_lung else share <= 0.05


def test_the_real_lungs_hold_hardly_any_bone(ricord_series, ricord_lungs):
    voxel_ml = np.prod(ricord_series.geometry.spacing_mm) / 1000
    bone = (ricord_lungs.right | ricord_lungs.left) & (ricord_series.pixel_array > 300)
    assert bone.sum() * voxel_ml < 3
