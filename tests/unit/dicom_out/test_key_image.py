import numpy as np
import pytest
from pydicom import dcmread

from dicom_out.build import ResultKind
from dicom_out.colours import colours
from dicom_out.marks import marks
from dicom_out.picture import SIZE, _fitted
from dicom_out.views import axial_slices, views
from inference.findings import Measurement
from tests import factories
from tests.validators import dciodvfy_errors


def pixels(result):
    (image,) = result.read(ResultKind.KEY_IMAGE)
    return image.pixel_array


def test_dciodvfy_finds_no_errors(result):
    (path,) = result.of(ResultKind.KEY_IMAGE)
    assert dciodvfy_errors(path) == []


def test_it_says_what_it_is(phantom_result):
    (image,) = phantom_result.read(ResultKind.KEY_IMAGE)
    assert image.Modality == "OT"
    assert image.ConversionType == "WSD"
    assert list(image.ImageType) == ["DERIVED", "SECONDARY"]
    assert image.BurnedInAnnotation == "NO"
    assert image.SeriesDescription == "AI key image"
    assert (image.Rows, image.Columns, image.PhotometricInterpretation) == (SIZE, SIZE, "RGB")
    assert "RESEARCH USE ONLY" in image.DerivationDescription


def test_every_region_is_drawn_in_the_colour_of_its_segment(result):
    picture = pixels(result)[:760]
    for rgb in colours(result.findings.regions):
        assert (picture == rgb).all(axis=-1).sum() > 100


def test_the_top_edge_is_free_of_text(result):
    assert not pixels(result)[:8].any()


def test_the_patient_is_not_named_in_the_picture(make_result):
    one = make_result(factories.ct_series(changes={"PatientName": "A^B", "PatientID": "1"}))
    first = pixels(one)
    other = make_result(factories.ct_series(changes={"PatientName": "Other^Name", "PatientID": "2"}))
    assert np.array_equal(first, pixels(other))


def test_the_numbers_are_in_the_picture(make_result):
    first = pixels(make_result())
    changed = Measurement(concept=factories.OPACITY_PERCENTAGE, value=61.0, unit=factories.PERCENT)
    assert not np.array_equal(first[760:], pixels(make_result(measurements=(changed,)))[760:])


def test_source_images_are_those_shown(phantom_result):
    (image,) = phantom_result.read(ResultKind.KEY_IMAGE)
    named = [item.ReferencedSOPInstanceUID for item in image.SourceImageSequence]
    drawn = marks(phantom_result.findings.regions, factories.STUDY)
    uids = phantom_result.series.sop_instance_uids
    assert named == [uids[i] for i in axial_slices(drawn, len(uids))]
    assert len(named) == 3


def test_one_slice_of_each_third_is_shown_where_most_of_the_opacity_is():
    series = factories.ct_series()
    mask = np.zeros(series.pixel_array.shape, dtype=bool)
    mask[2:20, 10:12, 10:12] = True
    for index in (4, 11, 17):
        mask[index, 10:30, 10:30] = True
    drawn = marks((factories.opacity_region("opacity", mask, series),), factories.STUDY)
    assert axial_slices(drawn, 24) == (17, 11, 4)


def test_slices_shown_are_no_neighbours():
    series = factories.ct_series(shape=(60, 96, 128))
    mask = np.zeros(series.pixel_array.shape, dtype=bool)
    mask[:, 10:12, 10:12] = True
    mask[18:22, 10:30, 10:30] = True
    lower, middle, upper = axial_slices(marks((factories.opacity_region("o", mask, series),), factories.STUDY), 60)[
        ::-1
    ]
    assert min(middle - lower, upper - middle) >= 10


def test_a_long_line_of_the_legend_keeps_its_number_and_every_sign_can_be_drawn():
    assert _fitted("a very long label of a region: Opacity percentage", 25, 300, " 12.5 %").endswith("... 12.5 %")
    assert _fitted("≤ 3 mm", 25, 300) == "<= 3 mm"


def test_slices_are_spread_evenly_where_nothing_is_marked():
    assert axial_slices((), 24) == (20, 12, 4)


def test_the_views_go_from_head_to_feet_and_say_which_side_is_which():
    series = factories.ct_series()
    shown = views(marks(factories.findings(series).regions, factories.STUDY), series)
    numbers = [int(view.title.split()[1]) for view in shown[:3]]
    assert numbers == sorted(numbers)  # the factory counts instances from the head
    assert [view.title for view in shown[3:]] == ["coronal"]
    assert {(view.left, view.right) for view in shown} == {("R", "L")}
    assert shown[3].spacing_mm == (7.5, 2.5)


@pytest.mark.parametrize("regions", [0, 12])
def test_none_or_many_regions_make_a_picture(regions, make_result):
    series = factories.ct_series()
    right, _, _ = factories.masks(series.pixel_array.shape)
    labels = [f"a part with a long name {i}" for i in range(regions)]
    many = tuple(factories.lung_region(label, factories.RIGHT, right, series) for label in labels)
    result = make_result(series, regions=many)
    assert pixels(result).any()
    assert dcmread(result.paths[-1]).Modality == "OT"
