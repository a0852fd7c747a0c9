import numpy as np
import pytest
from pydicom import dcmread

from dicom_out.build import ResultKind, encode
from dicom_out.colours import colours
from dicom_out.key_image import SIZE, key_image
from dicom_out.marks import marks
from dicom_out.views import shown_slices
from inference.findings import Measurement
from tests import factories
from tests.radiographs import xray, xray_findings
from tests.unit.dicom_out.conftest import a_run
from tests.validators import dciodvfy_errors

BARE = dict.fromkeys(("PixelSpacing", "PatientOrientation", "BodyPartExamined", "ViewPosition"))
SAYS_LITTLE = {**BARE, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "PresentationIntentType": None}


def pixels(result):
    (image,) = result.read(ResultKind.KEY_IMAGE)
    return image.pixel_array


def of_xray(folder, changes=None):
    """Return the file of the key image of a radiograph."""
    source = xray(folder, changes)
    found = xray_findings(source)
    dataset = key_image(found, marks(found.regions, factories.STUDY), source, a_run(source, found))
    path = folder / "key-image.dcm"
    path.write_bytes(encode(dataset))
    return path


def test_dciodvfy_finds_no_errors(result):
    (path,) = result.of(ResultKind.KEY_IMAGE)
    assert dciodvfy_errors(path) == []


@pytest.mark.parametrize("changes", [{}, BARE, SAYS_LITTLE], ids=["dx", "no-spacing-nor-view", "secondary-capture"])
def test_dciodvfy_finds_no_errors_in_that_of_a_radiograph(changes, tmp_path):
    assert dciodvfy_errors(of_xray(tmp_path, changes)) == []


def test_it_says_what_it_is(phantom_result):
    (image,) = phantom_result.read(ResultKind.KEY_IMAGE)
    assert image.Modality == "OT"
    assert image.ConversionType == "WSD"
    assert list(image.ImageType) == ["DERIVED", "SECONDARY"]
    assert image.BurnedInAnnotation == "NO"
    assert image.SeriesDescription == "AI key image"
    assert (image.Rows, image.Columns, image.PhotometricInterpretation) == (SIZE, SIZE, "RGB")
    assert image.DerivationDescription.startswith("RESEARCH USE ONLY")
    assert image.DerivationDescription.endswith("Outlines of findings on CT images.")
    assert image["PatientOrientation"].is_empty
    assert "PixelSpacing" not in image


def test_that_of_a_radiograph_says_of_which_image_it_is_and_how_it_lies(tmp_path):
    image = dcmread(of_xray(tmp_path, {"PatientOrientation": ["R", "F"]}))
    assert image.DerivationDescription.endswith("Outlines of findings on an X-ray image.")
    assert list(image.PatientOrientation) == ["L", "F"]
    (source,) = image.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == xray(tmp_path).header.SOPInstanceUID
    assert (image.Modality, image.BodyPartExamined, image.SeriesDescription) == ("OT", "CHEST", "AI key image")
    assert "PixelSpacing" not in image


def test_that_of_a_radiograph_whose_sides_are_unknown_states_none(tmp_path):
    assert dcmread(of_xray(tmp_path, {"PatientOrientation": None}))["PatientOrientation"].is_empty


@pytest.mark.parametrize(("stated", "expected"), [("YES", "YES"), ("NO", "NO"), (None, None)])
def test_text_that_a_film_may_hold_is_not_denied(stated, expected, tmp_path):
    image = dcmread(of_xray(tmp_path, {"BurnedInAnnotation": stated}))
    assert image.get("BurnedInAnnotation") == expected


@pytest.mark.parametrize(("stated", "expected"), [("01", "01"), ("00", "00"), (None, "00")])
def test_what_lossy_compression_took_from_the_image_is_missing_here_too(stated, expected, tmp_path):
    assert dcmread(of_xray(tmp_path, {"LossyImageCompression": stated})).LossyImageCompression == expected


def test_every_region_is_drawn_in_the_colour_of_its_segment(result):
    picture = pixels(result)[:640].astype(int)
    for rgb in colours(result.findings.regions):
        assert (np.abs(picture - rgb).max(axis=-1) < 8).sum() > 100


def test_the_top_edge_is_free(result):
    assert not pixels(result)[:8].any()


def test_the_patient_is_not_named_in_the_picture(make_result):
    one = make_result(factories.ct_series(changes={"PatientName": "A^B", "PatientID": "1"}))
    first = pixels(one)
    other = make_result(factories.ct_series(changes={"PatientName": "Other^Name", "PatientID": "2"}))
    assert np.array_equal(first, pixels(other))


def test_the_numbers_are_in_the_picture(make_result):
    made = make_result()
    first = pixels(made)
    changed = Measurement(concept=factories.OPACITY_PERCENTAGE, value=61.0, unit=factories.PERCENT)
    second = pixels(make_result(measurements=(changed, *made.findings.measurements[1:])))
    assert np.array_equal(first[:640], second[:640])
    assert not np.array_equal(first[640:], second[640:])


def test_source_images_are_those_shown(phantom_result):
    (image,) = phantom_result.read(ResultKind.KEY_IMAGE)
    named = [item.ReferencedSOPInstanceUID for item in image.SourceImageSequence]
    drawn = marks(phantom_result.findings.regions, factories.STUDY)
    uids = phantom_result.series.sop_instance_uids
    assert named == [uids[i] for i in shown_slices(drawn, phantom_result.series)]
    assert len(named) == 8


def test_the_same_radiograph_gives_the_same_bytes(tmp_path):
    assert of_xray(tmp_path).read_bytes() == of_xray(tmp_path).read_bytes()


@pytest.mark.parametrize("regions", [0, 12])
def test_none_or_many_regions_make_a_picture(regions, make_result):
    series = factories.ct_series()
    right, _, _ = factories.masks(series.pixel_array.shape)
    labels = [f"a part with a long name {i}" for i in range(regions)]
    many = tuple(factories.lung_region(label, factories.RIGHT, right, series) for label in labels)
    result = make_result(series, regions=many)
    assert pixels(result).any()
    assert dcmread(result.paths[-1]).Modality == "OT"


def test_series_descriptions_fit_a_thumbnail_also_in_a_later_revision(make_result):
    result = make_result(context={"series_description_prefix": "A long prefix of a site"})
    (image,) = result.read(ResultKind.KEY_IMAGE)
    assert len(image.SeriesDescription) <= 20
