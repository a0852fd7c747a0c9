"""The same image under another header or transfer syntax, and what is another image."""

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from inference.likeness import same_image
from phantom.ct import make_chest
from phantom.dicom import full_study, to_datasets


@pytest.fixture(scope="module")
def slice_() -> Dataset:
    return to_datasets(make_chest(slices=12, rows=64, columns=64, spacing_mm=(25.0, 5.5, 5.5)))[6]


@pytest.fixture
def written(tmp_path, slice_):
    """Write a changed copy of the slice."""

    def write(name, change=lambda _: None):
        path = tmp_path / name
        slice_.save_as(path, enforce_file_format=True)
        dataset = dcmread(path)
        change(dataset)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return write


def corrected(dataset):
    dataset.PatientName, dataset.PatientID, dataset.AccessionNumber = "Right^Name", "17", "A"


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_another_header_and_transfer_syntax_make_no_other_image(written, syntax):
    def change(dataset):
        dataset.compress(syntax)
        corrected(dataset)

    assert same_image(written("a"), written("b", change))


def one_pixel(dataset):
    pixels = dataset.pixel_array.copy()
    pixels[3, 4] += 1
    dataset.PixelData = pixels.tobytes()


def moved(dataset):
    dataset.ImagePositionPatient = [*dataset.ImagePositionPatient[:2], dataset.ImagePositionPatient[2] + 1]


def rescaled(dataset):
    dataset.RescaleIntercept = dataset.RescaleIntercept + 1


def negative(dataset):
    dataset.PhotometricInterpretation = "MONOCHROME1"


def without_pixels(dataset):
    del dataset.PixelData


@pytest.mark.parametrize("change", [one_pixel, moved, rescaled, negative, without_pixels])
def test_other_pixels_or_another_place_make_another_image(written, change):
    assert not same_image(written("a"), written("b", change))


def test_pixels_that_cannot_be_decoded_are_a_fault_for_the_caller(written):
    def cut(dataset):
        dataset.PixelData = dataset.PixelData[:100]

    with pytest.raises(ValueError, match="pixel"):
        same_image(written("a"), written("b", cut))


def test_a_report_is_the_same_unless_its_content_differs(tmp_path):
    (report,) = [d for d in full_study() if d.Modality == "SR"]
    report.save_as(tmp_path / "a", enforce_file_format=True)
    corrected(report)
    report.save_as(tmp_path / "b", enforce_file_format=True)
    report.ContentSequence = report.ContentSequence[:-1]
    report.save_as(tmp_path / "c", enforce_file_format=True)
    assert same_image(tmp_path / "a", tmp_path / "b")
    assert not same_image(tmp_path / "a", tmp_path / "c")


def test_the_planted_pixel_is_one_that_a_decoder_returns(slice_):
    assert np.ptp(slice_.pixel_array) > 0
