import numpy as np
import pydicom
import pytest

from inference.findings import SelectionRefusedError
from inference.series import load
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
    with pytest.raises(SelectionRefusedError, match="1 slice is missing in 1 place,") as caught:
        load(write(tmp_path, datasets[:5] + datasets[6:]))
    assert caught.value.refusal.code == "gap-in-stack"


def test_broken_pixel_data_are_refused_by_name(datasets, tmp_path):
    paths = write(tmp_path, datasets)
    broken = pydicom.dcmread(paths[4])
    broken.PixelData = broken.PixelData[:100]
    broken.save_as(paths[4])
    with pytest.raises(SelectionRefusedError, match="instance 5") as caught:
        load(paths)
    assert caught.value.refusal.code == "undecodable-pixel-data"


def change(datasets, index, **values):
    """Change one slice, to values that the standard does not allow too; None takes the attribute away."""
    with pydicom.config.disable_value_validation():
        for keyword, value in values.items():
            if value is None:
                delattr(datasets[index], keyword)
            else:
                setattr(datasets[index], keyword, value)


@pytest.mark.parametrize(
    "values",
    [
        {"ImagePositionPatient": None},
        {"ImagePositionPatient": ["0", "0"]},
        {"ImageOrientationPatient": ""},
        {"ImageOrientationPatient": ["1", "0", "0"]},
        {"PixelSpacing": None},
        {"PixelSpacing": ["0", "0"]},
        {"PixelSpacing": ["-1", "1"]},
        {"PixelSpacing": ["1e300", "1"]},
        {"PixelSpacing": ["nan", "nan"]},
        {"Rows": 0},
    ],
    ids=repr,
)
def test_absent_or_impossible_geometry_is_refused(values, datasets, tmp_path):
    change(datasets, 3, **values)
    with pytest.raises(SelectionRefusedError, match="absent or impossible") as caught:
        load(write(tmp_path, datasets))
    assert caught.value.refusal.code == "no-geometry"


@pytest.mark.parametrize("place", [["nan", "0", "0"], ["0", "inf", "0"], ["0", "0", "1e30"]], ids=repr)
def test_a_slice_that_lies_nowhere_is_refused(place, datasets, tmp_path):
    change(datasets, 3, ImagePositionPatient=place)
    with pytest.raises(SelectionRefusedError) as caught:
        load(write(tmp_path, datasets))
    assert caught.value.refusal.code == "no-geometry"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"ImageOrientationPatient": ["1", "0", "0", "0", "0.98", "0.199"]}, "orientation of 1 of 12"),
        ({"PixelSpacing": ["11", "9.5"]}, "pixel spacing of 1 of 12"),
        ({"Rows": 16}, "number of rows or columns of 1 of 12"),
    ],
)
def test_a_slice_that_is_not_like_the_others_is_refused(values, named, datasets, tmp_path):
    change(datasets, 7, **values)
    with pytest.raises(SelectionRefusedError, match=named) as caught:
        load(write(tmp_path, datasets))
    assert caught.value.refusal.code == "mixed-geometry"


def test_pixel_padding_is_left_as_it_is(small, datasets, tmp_path):
    """Pipelines see air or less where the scanner saw nothing; no value is made up."""
    for dataset in datasets:
        dataset.PixelPaddingValue = -2000
        pixels = dataset.pixel_array.copy()
        pixels[:4] = -2000
        dataset.PixelData = pixels.tobytes()
    series = load(write(tmp_path, datasets))
    assert (series.pixel_array[:, :4] == -2000 - 1024).all()
    np.testing.assert_array_equal(series.pixel_array[:, 4:], small.hounsfield[:, 4:])
