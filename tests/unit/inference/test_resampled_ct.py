import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from inference import resampled_ct as module
from inference.networks import r231
from inference.resampled_ct import LEFT, RIGHT, ResampledCT, resample, resampled_ct
from inference.weights import manifest
from inference.weights.shelf import Verified


def point(geometry, index):
    """Where a voxel lies, in mm."""
    axes = np.array([geometry.slice_direction, geometry.column_direction, geometry.row_direction])
    return np.array(geometry.origin_mm) + (np.array(index) * geometry.spacing_mm) @ axes


def turned(series, signs):
    """The same chest in a file whose axes run the other way."""
    flipped = tuple(axis for axis, sign in enumerate(signs) if sign < 0)
    slices, rows, columns = ((0.0, 0.0, float(signs[0])), (0.0, float(signs[1]), 0.0), (float(signs[2]), 0.0, 0.0))
    geometry = replace(
        series.geometry,
        origin_mm=tuple(
            point(
                series.geometry, [(n - 1) if s < 0 else 0 for n, s in zip(series.pixel_array.shape, signs, strict=True)]
            )
        ),
        slice_direction=slices,
        column_direction=rows,
        row_direction=columns,
    )
    return replace(series, pixel_array=np.flip(series.pixel_array, flipped), geometry=geometry)


@pytest.fixture
def block(series_of):
    """A volume that is different everywhere."""
    random = np.random.default_rng(1)
    return series_of(random.integers(-1000, 400, (31, 50, 43)).astype(np.int16), (2.5, 1.4, 1.1))


@pytest.fixture
def planted(monkeypatch):
    """R231 that says what it is told, and counts."""
    calls = []

    class Planted:
        parameters = {"device": "cpu"}  # noqa: RUF012
        warnings = ()

        def __init__(self, weights, *, device):
            pass

        def __call__(self, hounsfield):
            calls.append(hounsfield.shape)
            return np.full(hounsfield.shape, RIGHT, np.uint8)

    monkeypatch.setattr(r231, "LungMask", Planted)
    return calls


WEIGHTS = Verified(slot=manifest.SLOTS["lungmask-r231"], path=None, sha256="a" * 64)


def test_sizes_are_truncated_and_values_are_those_of_simpleitk(block):
    hounsfield, geometry = resample(block)
    image = sitk.GetImageFromArray(block.pixel_array)
    image.SetSpacing((1.1, 1.4, 2.5))
    size = [int(43 * 1.1 / 1.5), int(50 * 1.4 / 1.5), int(31 * 2.5 / 5)]
    expected = sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), (1.5, 1.5, 5.0))
    assert hounsfield.dtype == np.int16
    np.testing.assert_array_equal(hounsfield, sitk.GetArrayFromImage(expected))
    assert geometry.spacing_mm == (5.0, 1.5, 1.5)


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1), (-1, 1, -1)])
def test_however_the_patient_lies_the_volume_is_the_same_and_lies_in_the_same_place(block, signs):
    expected, upright_geometry = resample(block)
    hounsfield, geometry = resample(turned(block, signs))
    np.testing.assert_array_equal(hounsfield, expected)
    for name in ("origin_mm", "slice_direction", "column_direction", "row_direction"):
        np.testing.assert_allclose(getattr(geometry, name), getattr(upright_geometry, name), atol=1e-9)


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)])
def test_a_mask_goes_back_to_where_it_lies_in_the_patient(block, signs, planted):
    series = turned(block, signs)
    ct = resampled_ct(series, WEIGHTS, device="cpu")
    mask = np.zeros(ct.labels.shape, dtype=bool)
    mask[4:9, 10:20, 5:13] = True
    source = ct.to_source(mask)
    assert source.shape == series.pixel_array.shape
    here, there = (
        np.mean([point(geometry, index) for index in np.argwhere(where)], axis=0)
        for geometry, where in ((ct.geometry, mask), (series.geometry, source))
    )
    np.testing.assert_allclose(here, there, atol=0.6)
    assert source.sum() * series.geometry.voxel_volume_ml == pytest.approx(mask.sum() * 5 * 1.5 * 1.5 / 1000, rel=0.1)


def test_right_and_left_never_share_a_voxel_of_the_source(block, planted):
    ct = resampled_ct(block, WEIGHTS, device="cpu")
    labels = np.random.default_rng(2).integers(0, 3, ct.labels.shape).astype(np.uint8)
    right, left = ct.lungs_to_source(labels)
    assert right.any()
    assert left.any()
    assert not np.any(right & left)
    np.testing.assert_array_equal(right | left, ct.to_source(labels == RIGHT) | ct.to_source(labels == LEFT))


def test_it_is_made_once_for_a_series_and_goes_with_it(series_of, planted):
    others = len(module._made)  # of fixtures that outlive their tests
    series = series_of(np.zeros((12, 30, 30), np.int16))
    first = resampled_ct(series, WEIGHTS, device="cpu")
    assert len(module._made) == others + 1
    assert resampled_ct(series, WEIGHTS, device="cpu") is first
    assert len(planted) == 1
    resampled_ct(series, replace(WEIGHTS, sha256="b" * 64), device="cpu")
    assert len(planted) == 2
    gone = weakref.ref(first.hounsfield)
    del series, first
    gc.collect()
    assert gone() is None
    assert len(module._made) <= others


def test_it_says_which_weights_made_it(block, planted):
    ct = resampled_ct(block, WEIGHTS, device="cpu")
    assert isinstance(ct, ResampledCT)
    assert ct.weights_sha256 == "a" * 64
    assert ct.parameters["lung_mask"].startswith("lungmask R231")
