"""Finding and retrieving what a node holds, with the clients that people use."""

import re
import time

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    ParametricMapStorage,
)
from pynetdicom import AE, build_role, evt
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from handlers import query
from node.config import Config
from node.sections import Destination, QueryRetrieve
from tests import peers
from tests.factories import SERIES, STUDY
from tests.holdings import AE_TITLE, MAP_SIZE, XRAY_STUDY, chest, received, serve, xray
from tests.orthanc import Orthanc
from tests.peers import StoreScp
from tests.processes import free_port

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
REPORT, MAP = f"{STUDY}.77.1.1", f"{STUDY}.77.2.1"
RESULTS = {REPORT, MAP}
SLICES = {f"{SERIES}.{n}" for n in (1, 2, 3)}
SCOUT = f"{STUDY}.9.1"
NOBODY_LISTENS = free_port()


@pytest.fixture(scope="module")
def storescp(tmp_path_factory):
    with StoreScp(tmp_path_factory.mktemp("storescp")) as peer:
        yield peer


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    with Orthanc(tmp_path_factory.mktemp("orthanc"), calling_aets=[AE_TITLE]) as peer:
        yield peer


@pytest.fixture(scope="module")
def destinations(storescp, orthanc):
    return (
        Destination(name="dcmtk", host="127.0.0.1", port=storescp.port, ae_title=storescp.ae_title),
        Destination(name="orthanc", host="127.0.0.1", port=orthanc.port, ae_title=orthanc.ae_title),
        Destination(name="dead", host="127.0.0.1", port=NOBODY_LISTENS, ae_title="DEAD"),
    )


@pytest.fixture(scope="module")
def holdings(tmp_path_factory, destinations):
    """A CT of three slices and a scout with results, and a compressed X-ray image."""
    folder = tmp_path_factory.mktemp("holdings")
    allowed = QueryRetrieve(calling_ae_titles=("FINDSCU", "GETSCU", "MOVESCU", "ORTHANC", "TEST@127.0.0.0/8"))
    holdings = serve(folder / "node", Config(query_retrieve=allowed, destinations=destinations, rules=()))
    holdings.receive(*chest(), xray(), folder=folder / "sent")
    holdings.add_results(STUDY)
    yield holdings
    holdings.close()


@pytest.fixture
def find(holdings):
    """Return findscu's matches at a level."""

    def ask(level, **keys):
        return peers.findscu(holdings.peer.host, holdings.peer.port, AE_TITLE, level=level, keys=keys)

    return ask


@pytest.fixture
def associate(holdings):
    """Open associations of pynetdicom's, and end them."""
    opened = []

    def call(*contexts, ae_title="TEST", roles=(), handlers=(), syntax=ExplicitVRLittleEndian):
        entity = AE(ae_title=ae_title)
        for context in contexts:
            entity.add_requested_context(context, syntax)
        association = entity.associate(
            holdings.peer.host, holdings.peer.port, ae_title=AE_TITLE, ext_neg=list(roles), evt_handlers=list(handlers)
        )
        opened.append(association)
        return association

    yield call
    for association in opened:
        if association.is_established:
            association.release()


def identifier(level, **keys):
    dataset = Dataset()
    dataset.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(dataset, keyword, value)
    return dataset


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
    monkeypatch.setattr(query, "answer", _slowly(query.answer))
    next(answers)
    association.send_c_cancel(5, association.accepted_contexts[0].context_id)
    statuses = [status.Status for status, _ in answers]
    assert statuses[-1] == 0xFE00


def _slowly(act):
    def later(*arguments, **options):
        time.sleep(0.3)
        return act(*arguments, **options)

    return later


def test_getscu_gets_a_study_with_its_results_as_stored(holdings, tmp_path):
    keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY}
    done = peers.getscu(tmp_path, holdings.peer.host, holdings.peer.port, AE_TITLE, keys)
    names = {d.SOPInstanceUID: str(d.PatientName) for d in received(tmp_path)}
    assert set(names) == SLICES | {SCOUT, REPORT}, done.stdout
    assert names[f"{SERIES}.1"] == "Müller^Jörg"
    assert re.search(r"Number of Failed Suboperations\s*: 1", done.stdout)  # it knows no maps


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_deflated_map_goes_as_it_is_or_inflated(associate, syntax):
    came = []
    association = associate(
        GET,
        ParametricMapStorage,
        syntax=[syntax, ImplicitVRLittleEndian],
        roles=[build_role(ParametricMapStorage, scp_role=True)],
        handlers=[(evt.EVT_C_STORE, lambda event: came.append(event.dataset) or 0x0000)],
    )
    *_, (last, _) = association.send_c_get(
        identifier("IMAGE", StudyInstanceUID=STUDY, SeriesInstanceUID=f"{STUDY}.77.2", SOPInstanceUID=MAP), GET
    )
    assert (last.Status, last.NumberOfCompletedSuboperations) == (0x0000, 1)
    assert len(came[0].FloatPixelData) == MAP_SIZE


def test_getscu_gets_the_images_of_a_uid_list(holdings, tmp_path):
    uids = f"{SERIES}.1\\{SERIES}.3"
    peers.getscu(
        tmp_path,
        holdings.peer.host,
        holdings.peer.port,
        AE_TITLE,
        {"QueryRetrieveLevel": "IMAGE", "StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "SOPInstanceUID": uids},
    )
    assert {d.SOPInstanceUID for d in received(tmp_path)} == {f"{SERIES}.1", f"{SERIES}.3"}


def get(associate, keys, *, syntax=ExplicitVRLittleEndian, role=True, status=0x0000):
    """C-GET CT slices, answering each with a status; return the statuses, the last identifier and what came."""
    came = []

    def store(event):
        came.append(event.request.AffectedSOPInstanceUID)
        return status

    association = associate(
        GET,
        CTImageStorage,
        "1.2.840.10008.5.1.4.1.1.1",
        syntax=[syntax, ImplicitVRLittleEndian],
        roles=[build_role(CTImageStorage, scp_role=True)] if role else [],
        handlers=[(evt.EVT_C_STORE, store)],
    )
    answers = list(association.send_c_get(keys, GET))
    return answers, came


def test_what_a_peer_takes_no_context_for_is_counted_and_listed(associate):
    answers, came = get(associate, identifier("STUDY", StudyInstanceUID=STUDY))
    last, listed = answers[-1]
    assert set(came) == SLICES | {SCOUT}
    numbers = (last.NumberOfCompletedSuboperations, last.NumberOfFailedSuboperations)
    assert (last.Status, *numbers) == (0xB000, 4, 2)
    assert set(listed.FailedSOPInstanceUIDList) == RESULTS
    assert [a.NumberOfRemainingSuboperations for a, _ in answers[:-1]] == [5, 4, 3, 2, 1]


def test_without_the_role_of_an_scp_nothing_is_sent(associate):
    answers, came = get(associate, identifier("SERIES", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES), role=False)
    assert (came, answers[-1][0].Status, answers[-1][0].NumberOfFailedSuboperations) == ([], 0xA702, 3)


def test_a_compressed_image_is_not_sent_in_another_transfer_syntax(associate):
    answers, came = get(associate, identifier("STUDY", StudyInstanceUID=XRAY_STUDY))
    assert (came, answers[-1][0].Status) == ([], 0xA702)


def test_an_uncompressed_image_goes_in_the_other_uncompressed_transfer_syntax(associate, holdings):
    series = identifier("SERIES", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)
    answers, came = get(associate, series, syntax=ImplicitVRLittleEndian)
    assert (set(came), answers[-1][0].Status) == (SLICES, 0x0000)


def test_why_an_object_does_not_go_is_logged_once_for_all_of_its_kind(associate, caplog):
    get(associate, identifier("STUDY", StudyInstanceUID=XRAY_STUDY))
    (said,) = [record.getMessage() for record in caplog.records if "did not get" in record.getMessage()]
    assert "does not take" in said


def test_warnings_and_failures_of_the_peer_are_counted(associate):
    series = identifier("SERIES", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)
    warned = get(associate, series, status=0xB007)[0][-1][0]
    assert (warned.Status, warned.NumberOfWarningSuboperations) == (0xB000, 3)
    failed, listed = get(associate, series, status=0xA700)[0][-1]
    assert (failed.Status, failed.NumberOfFailedSuboperations) == (0xA702, 3)
    assert set(listed.FailedSOPInstanceUIDList) == SLICES


def test_nothing_that_matches_is_a_success_of_nothing(associate):
    ((last, _),), came = get(associate, identifier("STUDY", StudyInstanceUID="1.2.3.4.5"))
    assert (last.Status, last.NumberOfCompletedSuboperations, came) == (0x0000, 0, [])


@pytest.mark.parametrize(
    "keys",
    [
        identifier("STUDY"),
        identifier("STUDY", StudyInstanceUID="1.2.*"),
        identifier("SERIES", SeriesInstanceUID=SERIES),
        identifier("PATIENT", PatientID="PID-1"),
    ],
    ids=["no-key", "wild-card", "no-study", "level"],
)
def test_a_retrieval_without_its_unique_keys_is_refused(associate, keys):
    ((last, _),), came = get(associate, keys)
    assert (last.Status, came) == (0xA900, [])


def test_a_cancelled_retrieval_says_what_is_left(associate):
    came = []

    def store(event):
        came.append(event)
        event.assoc.send_c_cancel(9, event.assoc.accepted_contexts[0].context_id)
        time.sleep(0.2)
        return 0x0000

    association = associate(
        GET, CTImageStorage, roles=[build_role(CTImageStorage, scp_role=True)], handlers=[(evt.EVT_C_STORE, store)]
    )
    keys = identifier("SERIES", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)
    *_, (last, _) = association.send_c_get(keys, GET, msg_id=9)
    assert last.Status == 0xFE00
    assert (last.NumberOfRemainingSuboperations, len(came)) == (2, 1)


def test_movescu_moves_a_study_to_a_destination(holdings, storescp):
    done = peers.movescu(
        holdings.peer.host,
        holdings.peer.port,
        AE_TITLE,
        storescp.ae_title,
        {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY},
    )
    assert re.search(r"Completed Suboperations\s*: 6", done.stdout), done.stdout
    assert {d.SOPInstanceUID for d in storescp.datasets()} == SLICES | {SCOUT} | RESULTS
    peers.movescu(
        holdings.peer.host,
        holdings.peer.port,
        AE_TITLE,
        storescp.ae_title,
        {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": XRAY_STUDY},
    )
    (image,) = [d for d in storescp.datasets() if d.StudyInstanceUID == XRAY_STUDY]
    assert image.file_meta.TransferSyntaxUID == JPEGLosslessSV1


def move(associate, destination, keys):
    *_, (last, listed) = associate(MOVE).send_c_move(keys, destination, MOVE)
    return last, listed


def test_only_destinations_of_the_configuration_are_known(associate):
    last, _ = move(associate, "STRANGER", identifier("STUDY", StudyInstanceUID=STUDY))
    assert last.Status == 0xA801


def test_a_destination_that_is_down_fails_every_sub_operation(associate):
    last, listed = move(associate, "DEAD", identifier("STUDY", StudyInstanceUID=STUDY))
    assert (last.Status, last.NumberOfFailedSuboperations) == (0xA702, 6)
    assert len(listed.FailedSOPInstanceUIDList) == 6


def test_orthanc_finds_and_retrieves(holdings, orthanc):
    orthanc.rest(
        "PUT", "/modalities/node", {"AET": AE_TITLE, "Host": "127.0.0.1", "Port": holdings.peer.port, "AllowMove": True}
    )
    asked = orthanc.rest("POST", "/modalities/node/query", {"Level": "Study", "Query": {"PatientName": "Müller*"}})
    (answer,) = orthanc.rest("GET", f"{asked['Path']}/answers?expand&simplify")
    assert (answer["StudyInstanceUID"], answer["PatientName"]) == (STUDY, "Müller^Jörg")
    orthanc.rest("POST", f"{asked['Path']}/retrieve", {"TargetAet": orthanc.ae_title})
    orthanc.wait_for_instances(6)


def test_whoever_is_not_named_is_not_offered_it(associate):
    association = associate(FIND, "1.2.840.10008.1.1", ae_title="STRANGER")
    assert {str(cx.abstract_syntax) for cx in association.accepted_contexts} == {"1.2.840.10008.1.1"}


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
    slowly = _slowly(query.answer)
    monkeypatch.setattr(query, "answer", lambda *given, **options: answered.append(1) or slowly(*given, **options))
    association = associate(FIND)
    next(association.send_c_find(identifier("IMAGE", StudyInstanceUID=STUDY), FIND))
    association.abort()
    time.sleep(1.2)
    assert len(answered) <= 3  # of six
