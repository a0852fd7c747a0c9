from io import BytesIO

import numpy as np
import pytest
from highdicom.sr import srread
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage

from dicom_out.build import ResultKind, build, encode
from dicom_out.coded import concept
from dicom_out.context import Predecessor
from dicom_out.marks import MAX_POINTS
from inference.findings import Category
from tests import factories
from tests.unit.dicom_out.conftest import a_context
from tests.validators import dciodvfy_errors, dsrdump, tid1500reader


def read(result):
    (path,) = result.of(ResultKind.SR)
    return srread(path)


def numbers(group):
    return [(m.name.meaning, m.value, m.unit.value) for m in group.get_measurements()]


def expected_numbers(measurements):
    return [(m.concept.meaning, pytest.approx(m.value, rel=1e-12), m.unit.value) for m in measurements]


def test_validators_find_no_errors(result):
    (path,) = result.of(ResultKind.SR)
    assert dciodvfy_errors(path) == []
    assert dsrdump(path)


def test_values_read_back_are_equal(result):
    content = read(result).content
    (whole,) = content.get_image_measurement_groups()
    assert numbers(whole) == expected_numbers(result.findings.measurements)
    volumes = content.get_volumetric_roi_measurement_groups()
    assert [numbers(group) for group in volumes] == [expected_numbers(r.measurements) for r in result.findings.regions]


def test_dcmqi_reads_the_same_values(result, tmp_path):
    groups = tid1500reader(result.of(ResultKind.SR)[0], tmp_path)
    read_back = {}
    for group in groups:
        items = [(item["quantity"]["CodeMeaning"], float(item["value"])) for item in group["measurementItems"]]
        read_back.setdefault(group["TrackingIdentifier"], []).append(items)
    for region in result.findings.regions:
        everything = [(m.concept.meaning, pytest.approx(m.value, rel=1e-5)) for m in region.measurements]
        assert sorted(read_back[region.label], key=len) == sorted([everything[:1], everything], key=len)
    segments = {
        (g["TrackingIdentifier"], g["segmentationSOPInstanceUID"], g["ReferencedSegment"])
        for g in groups
        if "ReferencedSegment" in g
    }
    assert segments == {
        (s.SegmentLabel, seg.SOPInstanceUID, s.SegmentNumber)
        for seg in result.read(ResultKind.SEG)
        for s in seg.SegmentSequence
    }


def test_a_person_reads_at_most_six_digits(phantom_result):
    text = dsrdump(phantom_result.of(ResultKind.SR)[0])
    values = [line.split('="')[1].split('"')[0] for line in text.splitlines() if "contains NUM" in line]
    assert values
    assert all(len(value.replace(".", "").lstrip("0")) <= 6 for value in values)


def test_volumetric_group_planar_group_and_segment_share_one_tracking_uid(phantom_result):
    content = read(phantom_result).content
    volumes = {g.tracking_identifier: g.tracking_uid for g in content.get_volumetric_roi_measurement_groups()}
    planes = {g.tracking_identifier: g.tracking_uid for g in content.get_planar_roi_measurement_groups()}
    del planes["whole series"]
    segments = {s.TrackingID: s.TrackingUID for seg in phantom_result.read(ResultKind.SEG) for s in seg.SegmentSequence}
    assert volumes == planes == segments
    assert len(set(volumes.values())) == 3


def test_a_planar_group_outlines_the_largest_part_on_the_largest_slice(result):
    regions = {region.label: region for region in result.findings.regions}
    for group in read(result).content.get_planar_roi_measurement_groups():
        if group.tracking_identifier == "whole series":
            continue
        region = regions[group.tracking_identifier]
        assert numbers(group) == expected_numbers(region.measurements[:1])
        index = region.mask.sum(axis=(1, 2)).argmax()
        image = group.roi.source_image_for_region if hasattr(group.roi, "source_image_for_region") else group.roi
        referenced = image.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        assert referenced == result.series.sop_instance_uids[index]
        columns, rows = group.roi.value[:, 0], group.roi.value[:, 1]
        assert np.array_equal(group.roi.value[0], group.roi.value[-1])
        assert 4 <= len(columns) <= MAX_POINTS
        plane = region.mask[index]
        for column, row in zip(columns, rows, strict=True):  # every point lies at the edge of the region
            around = plane[max(0, int(row) - 1) : int(row) + 2, max(0, int(column) - 1) : int(column) + 2]
            assert around.any()


def test_every_tracked_finding_has_coordinates_without_which_ohif_shows_no_image(make_result):
    series = factories.ct_series()
    right, left, opacity = factories.masks(series.pixel_array.shape)
    category = Category(concept=factories.SEVERITY, value=factories.MODERATE, confidence=0.875)
    for made in (
        make_result(series, masks_of=(right, left, opacity)),
        make_result(series, masks_of=(right, left, np.zeros_like(opacity))),
        make_result(series, regions=()),
        make_result(series, categories=(category,)),
    ):
        content = read(made).content
        drawn = {g.tracking_uid for g in content.get_planar_roi_measurement_groups()}
        others = (*content.get_image_measurement_groups(), *content.get_volumetric_roi_measurement_groups())
        assert {g.tracking_uid for g in others} <= drawn


def test_the_frame_of_the_whole_series_holds_all_regions(phantom_result):
    (frame,) = (
        g
        for g in read(phantom_result).content.get_planar_roi_measurement_groups()
        if g.tracking_identifier == "whole series"
    )
    regions = phantom_result.findings.regions
    plane = int(sum(r.mask.sum(axis=(1, 2)) for r in regions).argmax())
    rows, columns = np.nonzero(np.any([r.mask[plane] for r in regions], axis=0))
    left, top = frame.roi.value.min(axis=0)
    right, bottom = frame.roi.value.max(axis=0)
    assert left <= columns.min()
    assert right > columns.max()
    assert top <= rows.min()
    assert bottom > rows.max()
    assert numbers(frame) == expected_numbers(phantom_result.findings.measurements[:1])


def test_the_frame_of_the_whole_series_repeats_as_many_numbers_as_are_headlines(make_result):
    made = make_result(factories.ct_series(), headlines=2)
    assert len(made.findings.measurements) == 2
    (frame,) = (
        g for g in read(made).content.get_planar_roi_measurement_groups() if g.tracking_identifier == "whole series"
    )
    assert numbers(frame) == expected_numbers(made.findings.measurements)


def test_opacities_are_outlined_first(make_result):
    series = factories.ct_series()
    right, _, opacity = factories.masks(series.pixel_array.shape)
    lungs = [factories.lung_region(f"part {i}", factories.RIGHT, right, series) for i in range(9)]
    regions = (*lungs, factories.opacity_region("opacity", opacity, series))
    content = read(make_result(series, regions=regions)).content
    drawn = [group.tracking_identifier for group in content.get_planar_roi_measurement_groups()]
    assert drawn == ["opacity", *[f"part {i}" for i in range(9)], "whole series"]
    assert len(content.get_volumetric_roi_measurement_groups()) == 10


def test_finding_nothing_is_said_with_its_number(make_result):
    series = factories.ct_series()
    right, left, opacity = factories.masks(series.pixel_array.shape)
    result = make_result(series, masks_of=(right, left, np.zeros_like(opacity)))
    groups = {g.tracking_identifier: g for g in read(result).content.get_image_measurement_groups()}
    assert numbers(groups["opacity"])[0] == ("Opacity percentage", 0.0, "%")
    assert dciodvfy_errors(result.of(ResultKind.SR)[0]) == []


def test_findings_without_regions_make_a_valid_report(make_result):
    result = make_result(regions=())
    assert [path.stem for path in result.paths] == ["sr-1", "key-image-1"]
    assert [dciodvfy_errors(path) for path in result.paths] == [[], []]


def test_a_category_keeps_its_confidence_beside_it(make_result):
    category = Category(concept=factories.SEVERITY, value=factories.MODERATE, confidence=0.875)
    result = make_result(categories=(category,))
    _, group = read(result).content.get_image_measurement_groups()
    assert [e.value.meaning for e in group.get_qualitative_evaluations(name=concept(factories.SEVERITY))] == [
        "Moderate"
    ]
    assert numbers(group) == [("Certainty of Finding", 87.5, "%")]
    assert dciodvfy_errors(result.of(ResultKind.SR)[0]) == []


def test_a_reader_sees_model_weights_parameters_notice_and_warnings(phantom_result):
    text = dsrdump(phantom_result.of(ResultKind.SR)[0])
    for needed in (
        "RESEARCH USE ONLY",
        '"Algorithm Name")="lung-opacity-ct"',
        '"Algorithm Version")="1.2.0"',
        f"weights sha256={'ab' * 32}",
        "threshold_hu=-600",
        "validated at <= 3 mm",
        "A second warning.",
        '(24028007,SCT,"Right")',
        "COMPLETE",
        "UNVERIFIED",
    ):
        assert needed in text


def test_the_procedure_is_the_imaging_procedure_of_the_source(make_result):
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "CT-7", "99HOSPITAL", "胸部CT"
    result = make_result(factories.ct_series(changes={"ProcedureCodeSequence": [item]}, implicit_vr=True))
    assert '"Procedure reported")=(CT-7,99HOSPITAL,"胸部CT")' in dsrdump(result.of(ResultKind.SR)[0])
    default = make_result()
    assert '"Procedure reported")=(24627-2,LN,"CT Chest")' in dsrdump(default.of(ResultKind.SR)[0])


def test_evidence_names_every_source_image_and_segmentation(result):
    (report,) = result.read(ResultKind.SR)
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    named = [i.ReferencedSOPInstanceUID for s in study.ReferencedSeriesSequence for i in s.ReferencedSOPSequence]
    segs = [seg.SOPInstanceUID for seg in result.read(ResultKind.SEG)]
    assert named == [*result.series.sop_instance_uids, *segs]


def test_a_report_names_the_delivered_report_that_it_replaces(make_result):
    earlier = Predecessor(sop_class_uid=Comprehensive3DSRStorage, sop_instance_uid="1.2.9", series_instance_uid="1.2.8")
    result = make_result(context={"revision": 2, "predecessors": (earlier,)})
    (path,) = result.of(ResultKind.SR)
    assert dciodvfy_errors(path) == []
    report = dcmread(path)
    (study,) = report.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (reference,) = series.ReferencedSOPSequence
    assert study.StudyInstanceUID == report.StudyInstanceUID
    assert (series.SeriesInstanceUID, reference.ReferencedSOPInstanceUID) == ("1.2.8", "1.2.9")
    assert b"this one replaces it" in path.read_bytes()


def test_a_first_report_names_none(result):
    (report,) = result.read(ResultKind.SR)
    assert "PredecessorDocumentsSequence" not in report


def test_patient_and_study_are_those_of_the_newest_header(tmp_path):
    series = factories.ct_series()
    newest = factories.ct_header(3, changes={"PatientName": "Corrected^Name", "AccessionNumber": "NEW"})
    built = build(factories.findings(series), series, a_context(), demographics=newest)
    for item in built:
        written = dcmread(BytesIO(encode(item.dataset)))
        assert (written.PatientName, written.AccessionNumber) == ("Corrected^Name", "NEW")
