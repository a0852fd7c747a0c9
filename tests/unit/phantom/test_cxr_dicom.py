import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_voi_lut

from phantom.cxr import make_radiograph
from phantom.cxr_dicom import lateral, to_dataset, turned, write_radiograph_study
from phantom.dicom import write
from tests.unit.phantom.test_dicom import errors

SMALL = {"rows": 96, "columns": 80, "spacing_mm": 4.0}
VARIANTS = [
    {},
    {"view_position": "AP", "series_description": "Chest portable"},
    {"photometric_interpretation": "MONOCHROME1"},
    {"presentation_intent_type": "FOR PROCESSING", "voi": "none", "photometric_interpretation": "MONOCHROME1"},
    {"voi": "lut"},
    {"bits_stored": 8},
    {"bits_stored": 10, "voi": "lut"},
    {"bits_stored": 16},
    {"patient_orientation": ("R", "F")},
    {"patient_orientation": ("F", "L")},
    {"pixel_spacing": False},
    {"modality": "CR"},
    {"modality": "CR", "voi": "none", "imager_pixel_spacing": False, "bits_stored": 10},
]


@pytest.fixture(scope="module")
def phantom():
    return make_radiograph(**SMALL)


def displayed(dataset):
    values = apply_voi_lut(dataset.pixel_array, dataset).astype(float)
    values = (values - values.min()) / (values.max() - values.min())
    return 1 - values if dataset.PhotometricInterpretation == "MONOCHROME1" else values


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_variant_is_valid(phantom, changes, tmp_path):
    (path,) = write(tmp_path, [to_dataset(phantom, **changes)])
    assert errors(path) == []


def test_a_lateral_image_is_valid(tmp_path):
    (path,) = write(tmp_path, [lateral(make_radiograph(**SMALL, axis="lateral"))])
    assert errors(path) == []
    assert pydicom.dcmread(path).PatientOrientation == ["P", "F"]


@pytest.mark.parametrize("changes", [c for c in VARIANTS if "presentation_intent_type" not in c], ids=str)
def test_every_variant_for_presentation_shows_the_same_picture(phantom, changes, tmp_path):
    (path,) = write(tmp_path, [to_dataset(phantom, **changes)])
    dataset = pydicom.dcmread(path)
    expected = turned(phantom.pixels / 4095, dataset.PatientOrientation)
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    np.testing.assert_allclose(displayed(dataset), expected, atol=0.01)


def test_for_processing_dense_is_dark(phantom):
    dataset = to_dataset(phantom, presentation_intent_type="FOR PROCESSING", voi="none")
    correlation = np.corrcoef(dataset.pixel_array.ravel(), phantom.pixels.ravel())[0, 1]
    assert correlation == pytest.approx(-1, abs=0.001)


def test_what_is_left_out_is_absent(phantom):
    dataset = to_dataset(
        phantom,
        view_position=None,
        body_part_examined=None,
        patient_orientation=None,
        pixel_spacing=False,
        imager_pixel_spacing=False,
    )
    assert not {"ViewPosition", "BodyPartExamined", "PatientOrientation", "PixelSpacing"} & set(dataset.dir())


def test_masks_turn_as_pixels_do(phantom):
    for orientation in (("R", "F"), ("L", "H"), ("F", "L"), ("H", "R")):
        dataset = to_dataset(phantom, patient_orientation=orientation, voi="none")
        stored, mask = dataset.pixel_array, turned(phantom.right_lung, orientation)
        np.testing.assert_array_equal(np.sort(stored[mask]), np.sort(phantom.pixels[phantom.right_lung]))
        assert dataset.pixel_array.shape == mask.shape


def test_the_demo_study_is_a_frontal_and_a_lateral_image_of_one_patient(tmp_path):
    first, second = (pydicom.dcmread(path) for path in write_radiograph_study(tmp_path))
    assert (first.ViewPosition, second.ViewPosition) == ("PA", "LL")
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert first.PatientID == second.PatientID
