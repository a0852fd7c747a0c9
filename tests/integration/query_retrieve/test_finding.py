"""C-FIND: keys, levels, names, character sets, and what is refused."""

import time

import pytest
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from handlers import query
from tests.factories import SERIES, STUDY
from tests.holdings import AE_TITLE, XRAY_STUDY
from tests.integration.query_retrieve.conftest import FIND, PATIENT_FIND, RESULTS, identifier, slowly


def test_findscu_finds_a_study_and_what_it_holds(find):
    keys = dict.fromkeys(
        ("PatientName", "PatientID", "StudyDate", "AccessionNumber", "ModalitiesInStudy", "RetrieveAETitle"), ""
    )
    keys |= dict.fromkeys(("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances", "SOPClassesInStudy"), "")
    (study,) = find("STUDY", **(keys | {"PatientID": "PID-1"}))
    assert (str(study["PatientName"]), study["AccessionNumber"]) == ("Müller^Jörg", "ACC-1")
    assert study["SpecificCharacterSet"] == "ISO_IR 100"
    assert list(study["ModalitiesInStudy"]) == ["CT", "OT", "SR"]
    assert (study["NumberOfStudyRelatedSeries"], study["NumberOfStudyRelatedInstances"]) == (4, 6)
    assert len(study["SOPClassesInStudy"]) == 3
    assert (study["RetrieveAETitle"], study["QueryRetrieveLevel"]) == (AE_TITLE, "STUDY")
    assert study["StudyInstanceUID"] == STUDY


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PatientName", "muller*"),
        ("PatientName", "M?ller^J*"),
        ("PatientID", "PID-?"),
        ("StudyDate", "20240101-20240103"),
        ("StudyDate", "-20241231"),
        ("StudyTime", "1011"),
        ("StudyTime", "100000-101113"),
        ("AccessionNumber", "ACC-1"),
        ("ModalitiesInStudy", "SR"),
        ("ModalitiesInStudy", "MR\\SR"),
        ("StudyDescription", "* [nativ]"),
        ("StudyInstanceUID", f"1.2.3\\{STUDY}"),
    ],
)
def test_each_key_is_matched_as_its_kind_is(find, key, value):
    found = {study["StudyInstanceUID"] for study in find("STUDY", **{key: value})}
    assert STUDY in found
    assert len(found) == (2 if value == "PID-?" else 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [("PatientID", "pid-1"), ("StudyDate", "20240103-"), ("ModalitiesInStudy", "MR"), ("PatientName", "M?ller")],
)
def test_what_a_key_excludes_is_not_found(find, key, value):
    assert STUDY not in {study["StudyInstanceUID"] for study in find("STUDY", **{key: value})}


def test_series_and_images_are_found_down_to_our_results(find):
    series = find("SERIES", StudyInstanceUID=STUDY, SeriesNumber="", SeriesDescription="")
    assert {(s["Modality"], s["SeriesNumber"]) for s in series} == {("CT", 1), ("CT", 2), ("SR", 9501), ("OT", 9502)}
    (topogram,) = find("SERIES", StudyInstanceUID=STUDY, SeriesDescription="Topo*", NumberOfSeriesRelatedInstances="")
    assert topogram["NumberOfSeriesRelatedInstances"] == 1
    (image,) = find("IMAGE", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, InstanceNumber="2", Rows="")
    assert (image["SOPInstanceUID"], image["Rows"]) == (f"{SERIES}.2", 96)
    results = find("IMAGE", StudyInstanceUID=STUDY, InstanceNumber="7", SliceThickness="")
    assert {image["SOPInstanceUID"] for image in results} == RESULTS


def test_patients_are_found_in_the_patient_root(associate):
    association = associate(PATIENT_FIND)
    keys = identifier("PATIENT", PatientName="*", PatientID="", NumberOfPatientRelatedInstances="")
    answers = [found for status, found in association.send_c_find(keys, PATIENT_FIND) if found]
    assert {(a.PatientID, a.NumberOfPatientRelatedInstances) for a in answers} == {("PID-1", 6), ("PID-2", 1)}


@pytest.mark.parametrize("name", ["yamada^tarou", "山田*", "*^たろう", "Yamada*=山田^太郎", "=山*"])
def test_a_name_is_found_by_each_way_of_writing_it(associate, name):
    keys = identifier("STUDY", PatientName=name, StudyInstanceUID="")
    keys.SpecificCharacterSet = "ISO_IR 192"
    (first, _) = associate(FIND).send_c_find(keys, FIND)
    assert first[1].StudyInstanceUID == XRAY_STUDY
    assert str(first[1].PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert first[1].SpecificCharacterSet == "ISO_IR 192"  # which the peer wrote in


@pytest.mark.parametrize(
    ("of_peer", "answered"), [(None, ["", "ISO 2022 IR 87"]), ("ISO_IR 100", ["", "ISO 2022 IR 87"])]
)
def test_an_answer_is_written_as_the_peer_or_the_image_is(associate, of_peer, answered):
    keys = identifier("STUDY", PatientID="PID-2", PatientName="")
    if of_peer:
        keys.SpecificCharacterSet = of_peer
    (first, _) = associate(FIND).send_c_find(keys, FIND)
    assert list(first[1].SpecificCharacterSet) == answered
    assert str(first[1].PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"


def test_keys_that_are_not_supported_are_left_out_with_a_warning(associate):
    keys = identifier("STUDY", PatientID="PID-1", StudyDescription="", Rows=None, PatientAge="")
    (first, last) = associate(FIND).send_c_find(keys, FIND)
    assert (first[0].Status, last[0].Status) == (0xFF01, 0x0000)
    assert "Rows" not in first[1]
    assert first[1].StudyDescription == "CT Thorax [nativ]"
    assert "PatientAge" in first[1]


def test_a_supported_query_has_no_warning(associate):
    (first, _) = associate(FIND).send_c_find(identifier("STUDY", PatientID="PID-1", PatientAge=""), FIND)
    assert first[0].Status == 0xFF00


@pytest.mark.parametrize(
    "keys",
    [
        identifier("PATIENT", PatientID="*"),
        identifier("FRAME"),
        identifier("STUDY", StudyDate="yesterday"),
        identifier("STUDY", StudyTime="noon"),
    ],
    ids=["level", "no-level", "date", "time"],
)
def test_what_the_model_does_not_allow_is_refused(associate, keys):
    ((status, found),) = associate(FIND).send_c_find(keys, FIND)
    assert (status.Status, found) == (0xA900, None)


def test_a_cancelled_query_ends_as_cancelled(associate, monkeypatch):
    association = associate(FIND)
    answers = association.send_c_find(identifier("IMAGE", StudyInstanceUID=STUDY), FIND, msg_id=5)
    monkeypatch.setattr(query, "answer", slowly(query.answer))
    next(answers)
    association.send_c_cancel(5, association.accepted_contexts[0].context_id)
    statuses = [status.Status for status, _ in answers]
    assert statuses[-1] == 0xFE00


def test_relational_queries_are_agreed_on_and_the_rest_is_not(associate):
    asked = SOPClassExtendedNegotiation()
    asked.sop_class_uid = FIND
    asked.service_class_application_information = b"\x01\x01\x01"
    association = associate(FIND, roles=[asked])
    assert association.acceptor.sop_class_extended == {FIND: b"\x01\x00\x00"}
    answers = association.send_c_find(identifier("SERIES", Modality="SR", StudyInstanceUID=""), FIND)
    assert [found.StudyInstanceUID for _, found in answers if found] == [STUDY]


def test_a_query_ends_with_its_peer(associate, monkeypatch):
    answered = []
    late = slowly(query.answer)
    monkeypatch.setattr(query, "answer", lambda *given, **options: answered.append(1) or late(*given, **options))
    association = associate(FIND)
    next(association.send_c_find(identifier("IMAGE", StudyInstanceUID=STUDY), FIND))
    association.abort()
    time.sleep(1.2)
    assert len(answered) <= 3  # of six
