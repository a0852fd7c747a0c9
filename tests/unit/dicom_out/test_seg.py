import highdicom
import numpy as np
import pytest

from dicom_out.build import ResultKind
from dicom_out.colours import cielab, colours
from tests import factories
from tests.validators import dciodvfy_errors, segimage2itkimage


def test_masks_read_back_by_highdicom_are_equal(result):
    seen = {}
    for path in result.of(ResultKind.SEG):
        seg = highdicom.seg.segread(path)
        pixels = seg.get_pixels_by_source_instance(
            list(result.series.sop_instance_uids), assert_missing_frames_are_empty=True, ignore_spatial_locations=False
        )
        for number in seg.segment_numbers:
            seen[seg.get_segment_description(number).segment_label] = pixels[..., number - 1].astype(bool)
    assert set(seen) == {region.label for region in result.findings.regions}
    for region in result.findings.regions:
        assert np.array_equal(seen[region.label], region.mask), region.label


def test_overlapping_regions_keep_both_their_masks(make_result):
    series = factories.ct_series()
    right, left, _ = factories.masks(series.pixel_array.shape)
    both = right | left
    regions = (
        factories.lung_region("right", factories.RIGHT, right, series),
        factories.lung_region("both", factories.RIGHT, both, series),
    )
    test_masks_read_back_by_highdicom_are_equal(make_result(series, regions=regions))


def test_masks_read_back_by_dcmqi_are_equal_and_in_place(result, tmp_path):
    positions = [[float(v) for v in header.ImagePositionPatient] for header in result.series.headers]
    masks = {region.label: region.mask for region in result.findings.regions}
    for index, path in enumerate(result.of(ResultKind.SEG)):
        for segment in segimage2itkimage(path, tmp_path / str(index)):
            mask = masks.pop(segment.label)
            first = int(np.argmin(np.abs(np.array(positions)[:, 2] - segment.origin_mm[2])))
            assert segment.origin_mm == pytest.approx(positions[first], abs=1e-3)
            assert segment.spacing_mm == pytest.approx(result.series.geometry.spacing_mm[::-1], abs=1e-3)
            expected = np.zeros_like(segment.mask)
            part = mask[first : first + len(expected)]
            expected[: len(part)] = part
            assert np.array_equal(segment.mask, expected)
            assert part.sum() == mask.sum()
    assert not masks


def test_dciodvfy_finds_no_errors(result):
    assert [dciodvfy_errors(path) for path in result.of(ResultKind.SEG)] == [[]] * len(result.of(ResultKind.SEG))


def test_no_frame_is_empty_and_positions_are_exactly_those_of_the_source(result):
    source = {tuple(float(v) for v in header.ImagePositionPatient) for header in result.series.headers}
    for seg in result.read(ResultKind.SEG):
        assert seg.pixel_array.reshape(int(seg.NumberOfFrames), -1).any(axis=1).all()
        for frame in seg.PerFrameFunctionalGroupsSequence:
            assert tuple(frame.PlanePositionSequence[0].ImagePositionPatient) in source
        assert seg.FrameOfReferenceUID == result.series.headers[0].FrameOfReferenceUID


def test_one_object_a_purpose(phantom_result):
    labels = [[s.SegmentLabel for s in seg.SegmentSequence] for seg in phantom_result.read(ResultKind.SEG)]
    assert labels == [["right lung", "left lung"], ["opacity"]]


def test_one_object_a_segment_beyond_400_frames(real_result):
    segs = real_result.read(ResultKind.SEG)
    labels = [[s.SegmentLabel for s in seg.SegmentSequence] for seg in segs]
    assert labels == [["right lung"], ["left lung"], ["opacity"]]
    assert all(seg.NumberOfFrames <= 400 for seg in segs)
    assert len({seg.SeriesInstanceUID for seg in segs}) == 3  # OHIF lists one object a series


def test_a_region_that_marks_nothing_has_no_segment(make_result):
    series = factories.ct_series()
    right, left, opacity = factories.masks(series.pixel_array.shape)
    result = make_result(series, masks_of=(right, left, np.zeros_like(opacity)))
    assert [[s.SegmentLabel for s in seg.SegmentSequence] for seg in result.read(ResultKind.SEG)] == [
        ["right lung", "left lung"]
    ]


def test_slices_without_any_region_in_the_middle_are_left_out(make_result, tmp_path):
    series = factories.ct_series()
    mask = np.zeros(series.pixel_array.shape, dtype=bool)
    mask[[3, 4, 9], 20:40, 30:60] = True
    result = make_result(series, regions=(factories.opacity_region("opacity", mask, series),))
    (seg,) = result.read(ResultKind.SEG)
    assert seg.NumberOfFrames == 3
    (segment,) = segimage2itkimage(result.of(ResultKind.SEG)[0], tmp_path / "itk")
    assert np.array_equal(segment.mask, mask[3:10])


def test_segments_carry_colour_site_and_algorithm(phantom_result):
    segments = [s for seg in phantom_result.read(ResultKind.SEG) for s in seg.SegmentSequence]
    expected = [cielab(rgb).value for rgb in colours(phantom_result.findings.regions)]
    assert [tuple(s.RecommendedDisplayCIELabValue) for s in segments] == [tuple(value) for value in expected]
    modifiers = segments[0].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert modifiers[0].CodeMeaning == "Right"
    assert segments[2].AnatomicRegionSequence[0].CodeMeaning == "Lung"
    identification = segments[0].SegmentationAlgorithmIdentificationSequence[0]
    assert (identification.AlgorithmName, identification.AlgorithmVersion) == ("lung-opacity-ct", "1.2.0")
    assert segments[0].SegmentAlgorithmType == "AUTOMATIC"


def test_colours_differ_between_all_regions(phantom_result):
    chosen = colours(phantom_result.findings.regions)
    assert len(set(chosen)) == len(chosen)
