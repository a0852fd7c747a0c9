from dataclasses import replace

import numpy as np
import pytest

from inference.findings import Refusal, SelectionRefusedError
from inference.lung_ends import check_ends
from inference.pipelines.lung_densitometry import LungDensitometry


def cut(series, first, last):
    return replace(series, headers=series.headers[first:last], pixel_array=series.pixel_array[first:last])


def ends(chest, series, first, last):
    return check_ends((chest.right_lung | chest.left_lung)[first:last], series.geometry)


def test_a_whole_chest_is_complete(chest, chest_series):
    assert ends(chest, chest_series, 0, 72) == ()


@pytest.mark.parametrize(
    ("first", "last", "words"), [(10, 72, ("Bases", "lowest slice")), (0, 60, ("Apices", "highest slice"))]
)
def test_a_cut_through_bases_or_apices_is_told_with_the_area_on_that_slice(first, last, words, chest, chest_series):
    (warning,) = ends(chest, chest_series, first, last)
    area = (chest.right_lung | chest.left_lung)[first if first else last - 1].sum() * 1.4 * 1.4 / 100
    assert f"{area:.0f} cm2" in warning
    assert all(word in warning for word in words)


def test_both_ends_are_told(chest, chest_series):
    assert [warning.split()[0] for warning in ends(chest, chest_series, 10, 60)] == ["Bases", "Apices"]


@pytest.mark.parametrize(("first", "last", "which"), [(20, 72, "lowest"), (0, 48, "highest"), (25, 45, "lowest")])
def test_a_scan_that_ends_within_the_lungs_is_refused(first, last, which, chest, chest_series):
    refusal = ends(chest, chest_series, first, last)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "lungs-cut"
    assert f"{which} slice" in refusal.reason
    assert "Send" in refusal.remedy


def test_from_about_a_seventh_of_the_lungs_on_a_cut_is_refused(chest, chest_series):
    lungs = chest.right_lung | chest.left_lung
    for first in range(25):
        lost = lungs[:first].sum() / lungs.sum()
        refused = isinstance(ends(chest, chest_series, first, 72), Refusal)
        assert lost > 0.13 if refused else lost < 0.15


def test_a_little_lung_on_the_last_slice_is_no_cut(chest_series):
    recess = np.zeros((12, 256, 256), dtype=bool)
    recess[0, :14, :16] = True  # 4.4 cm2
    recess[6, 50:150, 50:150] = True
    assert check_ends(recess, chest_series.geometry) == ()


def test_the_lowest_slice_is_the_one_at_the_feet_whichever_way_slices_run(chest, chest_series):
    turned = replace(chest_series.geometry, slice_direction=(0.0, 0.0, -1.0))
    lungs = (chest.right_lung | chest.left_lung)[10:][::-1]
    (warning,) = check_ends(lungs, turned)
    assert "lowest slice" in warning


def test_the_pipeline_says_so_beside_the_numbers(chest_series, tmp_path):
    findings = LungDensitometry(tmp_path)(cut(chest_series, 10, 72), "cpu")
    (warning,) = [text for text in findings.warnings if "lowest slice" in text]
    assert int(warning.split(" cm2")[0].split()[-1]) == pytest.approx(84, abs=4)
    assert "lung_ends" in findings.algorithm.parameters


def test_the_pipeline_refuses_lungs_that_are_cut_in_half(chest_series, tmp_path):
    with pytest.raises(SelectionRefusedError) as caught:
        LungDensitometry(tmp_path)(cut(chest_series, 30, 72), "cpu")
    assert caught.value.refusal.code == "lungs-cut"


def test_the_phantom_and_the_real_chest_are_complete(ricord_series, ricord_lungs, chest_series, chest_lungs):
    for series, lungs in ((ricord_series, ricord_lungs), (chest_series, chest_lungs)):
        assert check_ends(lungs.right | lungs.left, series.geometry) == ()
