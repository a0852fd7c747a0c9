import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from dicom_out.marks import MAX_POINTS, contours, outline


def area(line):
    x, y = line[:, 0], line[:, 1]
    return abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2


@given(row=st.integers(0, 20), column=st.integers(0, 25), height=st.integers(3, 9), width=st.integers(3, 9))
def test_an_outline_runs_along_the_edges_of_its_pixels(row, column, height, width):
    mask = np.zeros((30, 35), dtype=bool)
    mask[row : row + height, column : column + width] = True
    line = outline(mask)
    assert np.array_equal(line[0], line[-1])
    assert line.min(axis=0) == pytest.approx((column, row))
    assert line.max(axis=0) == pytest.approx((column + width, row + height))
    assert area(line) == pytest.approx(height * width, abs=2.5)


def test_an_outline_covers_its_region():
    rows, columns = np.ogrid[:200, :200]
    mask = (rows - 90) ** 2 + (columns - 110) ** 2 < 60**2
    again = polygon2mask(mask.shape, outline(mask)[:, ::-1] - 0.5)
    assert np.count_nonzero(again != mask) / mask.sum() < 0.01


def test_only_the_largest_part_is_outlined():
    mask = np.zeros((40, 40), dtype=bool)
    mask[2:6, 2:6] = True
    mask[20:35, 20:30] = True
    assert outline(mask).min() >= 20


def test_a_hole_is_not_taken_for_the_outline():
    mask = np.zeros((40, 40), dtype=bool)
    mask[5:35, 5:35] = True
    mask[7:33, 7:33] = False
    assert outline(mask).min() == pytest.approx(5)


def test_a_single_pixel_has_an_outline():
    mask = np.zeros((10, 10), dtype=bool)
    mask[4, 7] = True
    line = outline(mask)
    assert len(line) >= 4
    assert line.mean(axis=0) == pytest.approx((7.5, 4.5), abs=0.3)


def test_a_ragged_region_keeps_within_the_limit_of_points():
    noise = np.random.default_rng(0).random((512, 512)) < 0.7
    noise[250:260] = True
    assert 4 <= len(outline(noise)) <= MAX_POINTS


def test_all_parts_and_holes_have_contours():
    mask = np.zeros((40, 40), dtype=bool)
    mask[2:6, 2:6] = True
    mask[20:35, 20:30] = True
    mask[25, 25] = False
    assert len(contours(mask)) == 3
    assert contours(np.zeros((5, 5), dtype=bool)) == []
