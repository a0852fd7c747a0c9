import numpy as np
import pytest

from phantom.cxr import make_radiograph
from phantom.thorax import Opacity

SMALL = {"rows": 192, "columns": 192, "spacing_mm": 1.92}


@pytest.fixture(scope="module")
def radiograph():
    return make_radiograph(**SMALL)


def test_the_same_arguments_make_the_same_radiograph(radiograph):
    np.testing.assert_array_equal(make_radiograph(**SMALL).pixels, radiograph.pixels)


def test_seeds_make_patients_of_different_size():
    areas = [make_radiograph(**SMALL, seed=seed).right_lung.sum() for seed in range(4)]
    assert max(areas) > 1.1 * min(areas)


def test_it_is_a_12_bit_image_of_the_size_asked_for():
    other = make_radiograph(rows=150, columns=120, spacing_mm=2.5)
    assert other.pixels.dtype == np.uint16
    assert other.pixels.shape == other.right_lung.shape == other.opacity.shape == (150, 120)
    assert 2500 < other.pixels.max() <= 4095


@pytest.mark.parametrize("seed", range(3))
def test_the_lungs_lie_on_their_sides_are_dark_and_as_large_as_a_persons(seed):
    radiograph = make_radiograph(**SMALL, seed=seed, opacity=False)
    right, left = radiograph.right_lung, radiograph.left_lung
    assert not (right & left).any()
    assert np.nonzero(right)[1].mean() < 96 < np.nonzero(left)[1].mean()
    assert all(120 < lung.sum() * 1.92**2 / 100 < 320 for lung in (right, left))
    between = radiograph.pixels[60:130, 92:100]
    assert np.median(radiograph.pixels[right]) < 0.7 * np.median(between)


def test_the_left_lung_includes_what_lies_behind_the_heart(radiograph):
    mirrored = radiograph.left_lung[:, ::-1]
    rows = np.nonzero(radiograph.right_lung.any(axis=1))[0]
    row = rows[int(0.7 * len(rows))]
    heart = radiograph.pixels[row, radiograph.left_lung[row]]
    assert mirrored[row].sum() >= radiograph.right_lung[row].sum()
    assert heart.max() > 1.5 * heart.min()


def test_spacing_is_the_true_scale_of_the_chest(radiograph):
    fine = make_radiograph(rows=384, columns=384, spacing_mm=0.96)
    assert fine.right_lung.sum() / 4 == pytest.approx(radiograph.right_lung.sum(), rel=0.02)


def test_opacity_is_brighter_than_the_same_lung_without_it(radiograph):
    clear = make_radiograph(**SMALL, opacity=False)
    np.testing.assert_array_equal(clear.right_lung, radiograph.right_lung)
    assert not clear.opacity.any()
    assert radiograph.opacity.any()
    assert not (radiograph.opacity & ~(radiograph.right_lung | radiograph.left_lung)).any()
    difference = radiograph.pixels.astype(int) - clear.pixels
    assert difference[radiograph.opacity].mean() > 100
    far = (radiograph.right_lung | radiograph.left_lung) & ~radiograph.opacity
    assert abs(difference[far].mean()) < 60


def test_an_opacity_lies_where_it_was_planted():
    planted = Opacity(centre_mm=(-75, 30, -20), radii_mm=(24, 24, 24), density=0.7)
    radiograph = make_radiograph(**SMALL, opacity=[planted])
    rows, columns = np.nonzero(radiograph.opacity)
    assert columns.mean() == pytest.approx(96 - 75 / 1.92, abs=8)
    assert rows.mean() == pytest.approx(96 + 5 / 1.92, abs=10)
    assert not (radiograph.opacity & radiograph.left_lung).any()
    fainter = Opacity(centre_mm=(-75, 30, -20), radii_mm=(24, 24, 24), density=0.3)
    assert 0 < make_radiograph(**SMALL, opacity=[fainter]).opacity.sum() < radiograph.opacity.sum()


def test_a_lateral_view_has_no_masks(radiograph):
    lateral = make_radiograph(**SMALL, axis="lateral")
    assert not (lateral.right_lung | lateral.left_lung | lateral.opacity).any()
    assert (lateral.pixels != radiograph.pixels).mean() > 0.5
