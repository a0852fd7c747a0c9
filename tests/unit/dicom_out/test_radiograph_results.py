"""A radiograph's SEG and SR: valid, placed on the image by a synthetic plane, and drawn by outlines alone."""

import numpy as np
import pytest
from highdicom.seg import segread
from highdicom.sr import srread
from pydicom import dcmread

from dicom_out.build import encode
from dicom_out.context import Run
from dicom_out.marks import marks
from dicom_out.seg import segmentations
from dicom_out.sr import report
from dicom_out.study import references
from tests.radiographs import xray, xray_findings
from tests.unit.dicom_out.conftest import a_context
from tests.validators import dciodvfy_errors, dsrdump, segimage2itkimage

BARE = dict.fromkeys(("PixelSpacing", "PatientOrientation", "BodyPartExamined", "ViewPosition"))
SAYS_LITTLE = {**BARE, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "PresentationIntentType": None}


class Made:
    """A radiograph, its findings, and the files of its SEG and SR."""

    def __init__(self, folder, changes=None, empty=False):
        self.source = xray(folder, changes)
        self.findings = xray_findings(self.source)
        if empty:
            for region in self.findings.regions:
                region.mask[:] = False
        header = self.source.header
        run = Run(
            source=header,
            demographics=header,
            context=a_context(),
            algorithm=self.findings.algorithm,
            is_projection=True,
        )
        images = references(self.source)
        drawn = marks(self.findings.regions, run.study_instance_uid)
        segs, segments = segmentations(drawn, images, run)
        self.segs = [self._write(folder / f"seg-{n}.dcm", seg) for n, seg in enumerate(segs)]
        self.sr = self._write(folder / "sr.dcm", report(self.findings, drawn, segments, images, run))

    @staticmethod
    def _write(path, dataset):
        path.write_bytes(encode(dataset))
        return path


@pytest.fixture(params=[{}, BARE, SAYS_LITTLE], ids=["dx", "no-spacing-nor-view", "secondary-capture"])
def made(request, tmp_path) -> Made:
    return Made(tmp_path, request.param)


def test_validators_find_no_errors(made):
    (seg,) = made.segs
    assert dciodvfy_errors(seg) == []
    assert dciodvfy_errors(made.sr) == []
    assert dsrdump(made.sr)


def test_masks_read_back_are_equal_and_refer_to_the_image(made):
    seg = segread(made.segs[0])
    pixels = seg.get_pixels_by_source_instance(list(made.source.sop_instance_uids))
    masks = np.stack([region.mask[0] for region in made.findings.regions], axis=-1)
    assert np.array_equal(pixels[0].astype(bool), masks)


def test_dcmqi_reads_the_same_masks_at_the_same_place(made, tmp_path):
    segments = {s.label: s for s in segimage2itkimage(made.segs[0], tmp_path / "itk")}
    _, rows_mm, columns_mm = made.source.geometry.spacing_mm
    for region in made.findings.regions:
        found = segments[region.label]
        assert np.array_equal(np.squeeze(found.mask), np.squeeze(region.mask))
        assert found.spacing_mm[:2] == pytest.approx((columns_mm, rows_mm))
        assert found.origin_mm == pytest.approx((0, 0, 0))


def test_the_segmentation_always_has_a_plane_and_says_that_it_is_not_anatomical(made):
    """Without a plane no viewer draws it, and Debian's Orthanc ends on a request for its preview."""
    dataset = dcmread(made.segs[0])
    (shared,) = dataset.SharedFunctionalGroupsSequence
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        assert frame.PlanePositionSequence[0].ImagePositionPatient == [0, 0, 0]
    assert dataset.FrameOfReferenceUID
    assert "frame not anatomical" in dataset.ContentDescription


def test_every_finding_is_planar_with_all_its_numbers_and_an_outline(made):
    content = srread(made.sr).content
    assert content.get_volumetric_roi_measurement_groups() == []
    planar = {g.tracking_identifier: g for g in content.get_planar_roi_measurement_groups()}
    assert list(planar) == ["right lung", "left lung", "whole image"]
    for region in made.findings.regions:
        group = planar[region.label]
        numbers = [(m.name.meaning, m.value) for m in group.get_measurements()]
        assert numbers == [(m.concept.meaning, pytest.approx(m.value)) for m in region.measurements]
        line = group.roi.value
        assert tuple(line[0]) == tuple(line[-1])
        rows, columns = np.nonzero(region.mask[0])
        assert line.min(axis=0) == pytest.approx((columns.min(), rows.min()), abs=0.51)
        assert line.max(axis=0) == pytest.approx((columns.max() + 1, rows.max() + 1), abs=0.51)


def test_the_reported_procedure_is_an_x_ray(made):
    assert "XR Chest" in dsrdump(made.sr)


def test_a_finding_and_its_segment_share_a_tracking_uid(made):
    planar = srread(made.sr).content.get_planar_roi_measurement_groups()
    segments = {s.TrackingID: s.TrackingUID for s in dcmread(made.segs[0]).SegmentSequence}
    assert {g.tracking_identifier: g.tracking_uid for g in planar if "whole" not in g.tracking_identifier} == segments


def test_two_images_of_a_study_are_told_apart_as_wholes_but_share_their_lungs(tmp_path):
    def uids(number: int) -> dict[str, str]:
        folder = tmp_path / str(number)
        folder.mkdir()
        made = Made(folder, {"SOPInstanceUID": f"1.2.826.0.1.3680043.8.498.13.{number}"})
        groups = srread(made.sr).content.get_planar_roi_measurement_groups()
        return {g.tracking_identifier: g.tracking_uid for g in groups}

    first, second = uids(1), uids(2)
    assert first["whole image"] != second["whole image"]
    assert first["right lung"] == second["right lung"]


def test_regions_that_mark_nothing_are_framed_and_make_no_segmentation(tmp_path):
    made = Made(tmp_path, empty=True)
    assert made.segs == []
    assert dciodvfy_errors(made.sr) == []
    shape = made.source.pixel_array.shape
    *regions, _ = srread(made.sr).content.get_planar_roi_measurement_groups()
    assert len(regions) == 2
    for group in regions:
        assert group.roi.value.max(axis=0).tolist() == [shape[2], shape[1]]


def test_the_whole_image_is_a_strip_at_its_foot_where_its_label_hides_no_lung(made):
    *_, whole = srread(made.sr).content.get_planar_roi_measurement_groups()
    assert whole.tracking_identifier == "whole image"
    _, rows, columns = made.source.pixel_array.shape
    (left, top), (right, bottom) = whole.roi.value.min(axis=0), whole.roi.value.max(axis=0)
    assert (left, right, bottom) == (0, columns, rows)
    assert 0.95 * rows < top < rows
    (about_all,) = srread(made.sr).content.get_image_measurement_groups()
    assert [m.value for m in about_all.get_measurements()] == [m.value for m in made.findings.measurements]


def test_masks_lie_on_stored_pixels_whatever_the_orientation(tmp_path):
    made = Made(tmp_path, {"PatientOrientation": ["R", "H"]})
    found = segread(made.segs[0]).get_pixels_by_source_instance(list(made.source.sop_instance_uids))
    assert np.array_equal(found[0, ..., 0].astype(bool), made.findings.regions[0].mask[0])
