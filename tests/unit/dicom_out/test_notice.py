"""A notice: what a destination gets when a pipeline did not run."""

import pytest
from highdicom.sr import srread
from pydicom import dcmread

from dicom_out.build import encode
from dicom_out.context import Predecessor, ResultKind
from dicom_out.notice import notice
from inference.card import CTInput, ModelCard
from inference.findings import Refusal
from tests import factories
from tests.unit.dicom_out.conftest import a_context
from tests.validators import dciodvfy_errors, dsrdump

CARD = ModelCard(name="lung-opacity-ct", version="1.2.0", title="Opacity", purpose="", output="", input=CTInput())
REFUSAL = Refusal(
    code="gap-in-stack",
    reason="3 of 60 slices are missing between -120 and \u2013105 mm.",
    remedy="Send the whole series again.",
)


def sources(count=24, **changes):
    return [factories.ct_header(n, changes=changes) for n in range(count)]


@pytest.fixture
def make_notice(tmp_path):
    def make(headers=None, refusal=REFUSAL, demographics=None, **context):
        made = notice(refusal, headers or sources(), a_context(**context), CARD, demographics=demographics)
        path = tmp_path / "notice.dcm"
        path.write_bytes(encode(made.dataset))
        return path

    return make


def test_validators_find_no_errors(make_notice):
    path = make_notice()
    assert dciodvfy_errors(path) == []
    assert dsrdump(path)
    assert srread(path)


def test_a_person_reads_what_did_not_run_why_and_what_to_do(make_notice):
    text = dsrdump(make_notice())
    for needed in (
        "lung-opacity-ct 1.2.0 did not run on these images and measured nothing. 3 of 60 slices are missing between",
        "between -120 and -105 mm.",
        '"Recommendation")="Send the whole series again."',
        '"Summary of Analyses")=(111225,DCM,"Not Attempted")',
        '"Algorithm Name")="lung-opacity-ct"',
        "RESEARCH USE ONLY",
        "COMPLETE",
        "UNVERIFIED",
    ):
        assert needed in text
    assert "Recommendation" not in dsrdump(make_notice(refusal=Refusal(code="localizer", reason="A scout.", remedy="")))


def test_it_belongs_to_the_study_and_names_every_source_image_and_our_equipment(make_notice):
    headers = sources()
    dataset = dcmread(make_notice(headers))
    assert dataset.StudyInstanceUID == factories.STUDY
    assert dataset.PatientID == "PH-1"
    assert dataset.Modality == "SR"
    assert dataset.SeriesDescription == "AI notice: lung-opacity-ct did not run"
    assert dataset.ContributingEquipmentSequence[0].Manufacturer == "opacity-node"
    assert "BodyPartExamined" not in dataset
    (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == factories.SERIES
    named = {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence}
    assert named == {header.SOPInstanceUID for header in headers}
    linked = next(i for i in dataset.ContentSequence if i.ValueType == "IMAGE").ReferencedSOPSequence[0]
    assert linked.ReferencedSOPInstanceUID == headers[12].SOPInstanceUID


def test_the_same_job_writes_the_same_bytes_and_another_model_another_object(make_notice):
    first = make_notice().read_bytes()
    assert make_notice().read_bytes() == first
    assert make_notice(revision=2).read_bytes() != first


def test_it_takes_the_patient_of_the_newest_image_in_any_script(make_notice):
    corrected = factories.ct_header(0, changes={"PatientName": "山田^太郎", "PatientID": "NEW"})
    dataset = dcmread(make_notice(demographics=corrected))
    assert str(dataset.PatientName) == "山田^太郎"
    assert dataset.PatientID == "NEW"


def test_sources_that_say_almost_nothing_make_a_valid_notice(make_notice):
    patient = "PatientName PatientBirthDate PatientSex StudyID AccessionNumber ReferringPhysicianName"
    place = "FrameOfReferenceUID PixelSpacing SliceThickness ImageOrientationPatient ImagePositionPatient"
    bare = dict.fromkeys((*patient.split(), *place.split()))
    assert dciodvfy_errors(make_notice(sources(1, **bare))) == []


def test_earlier_results_are_called_what_they_are(make_notice):
    earlier = Predecessor(sop_class_uid="1.2", sop_instance_uid="1.3", series_instance_uid="1.4")
    assert "made before its newest images came" in dsrdump(make_notice(predecessors=(earlier,)))


def test_it_stands_where_the_report_would():
    made = notice(REFUSAL, sources(1), a_context(series_number=700), CARD)
    assert made.kind is ResultKind.NOTICE
    assert made.dataset.SeriesNumber == 700
