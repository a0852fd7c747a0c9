"""C-GET: what goes, in which transfer syntax, and what is counted where it does not."""

import re
import time

import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ParametricMapStorage,
)
from pynetdicom import build_role, evt

from tests import peers
from tests.factories import SERIES, STUDY
from tests.holdings import AE_TITLE, MAP_SIZE, XRAY_STUDY, received
from tests.integration.query_retrieve.conftest import GET, MAP, REPORT, RESULTS, SCOUT, SLICES, identifier


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
