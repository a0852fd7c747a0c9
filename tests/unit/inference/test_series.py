import numpy as np
import pydicom
import pytest

from inference.series import SeriesRefusedError, load
from phantom.ct import make_chest
from phantom.dicom import to_datasets, write


@pytest.fixture(scope="module")
def small():
    return make_chest(slices=12, rows=32, columns=40, spacing_mm=(20.0, 11.0, 9.0))


@pytest.fixture
def datasets(small):
    return to_datasets(small)


def test_what_was_written_is_read_back(small, datasets, tmp_path):
    series = load(write(tmp_path, datasets))
    np.testing.assert_array_equal(series.pixel_array, small.hounsfield)
    assert series.pixel_array.dtype == np.int16
    assert series.geometry.spacing_mm == pytest.approx(small.spacing_mm)
    assert series.geometry.origin_mm == pytest.approx(small.origin_mm, abs=1e-3)


def test_slices_ascend_whatever_the_order_of_the_files(small, datasets, tmp_path):
    series = load(write(tmp_path, datasets)[::-1])
    assert series.sop_instance_uids == tuple(str(dataset.SOPInstanceUID) for dataset in datasets)
    np.testing.assert_array_equal(series.pixel_array, small.hounsfield)


def test_headers_keep_no_pixel_data(datasets, tmp_path):
    assert not any("PixelData" in header for header in load(write(tmp_path, datasets)).headers)


def test_a_slope_that_is_not_one_gives_floats(small, datasets, tmp_path):
    for dataset in datasets:
        dataset.RescaleSlope = "0.5"
    series = load(write(tmp_path, datasets))
    assert series.pixel_array.dtype == np.float32
    np.testing.assert_allclose(series.pixel_array, (small.hounsfield + 1024.0) / 2 - 1024)


def test_a_missing_slice_is_refused(datasets, tmp_path):
    with pytest.raises(SeriesRefusedError, match="1 slices are missing") as caught:
        load(write(tmp_path, datasets[:5] + datasets[6:]))
    assert caught.value.refusal.code == "gap-in-stack"


def test_broken_pixel_data_are_refused_by_name(datasets, tmp_path):
    paths = write(tmp_path, datasets)
    broken = pydicom.dcmread(paths[4])
    broken.PixelData = broken.PixelData[:100]
    broken.save_as(paths[4])
    with pytest.raises(SeriesRefusedError, match="instance 5") as caught:
        load(paths)
    assert caught.value.refusal.code == "undecodable-pixel-data"
