"""What is wrong is answered, kept or refused with a reason and a remedy, and nothing of it stops the node."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE

from dicom_out.sender import echo
from node.demo.harness import RunningNode, write_config
from node.demo.pacs import EmbeddedPacs
from node.study_files import send_files
from phantom.dicom import Header
from tests.bad_input import CASES, PATIENT, SECRETS, study_uid, write_cases
from tests.commands import opacity_node
from tests.integration.test_serve import stored, until

GOOD_UIDS = {
    "SOPClassUID": str(CTImageStorage),
    "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.77.3",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.77.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.77.2",
}


class Arena:
    """A node that has received every bad study and has decided on all."""

    def __init__(self, folder: Path, node: RunningNode) -> None:
        self.folder = folder
        self.node = node
        self.config = folder / "config.toml"
        self.sent = write_cases(folder / "sent")
        files = [path for paths in self.sent.values() for path in paths]
        assert send_files(files, node.peer).stored == len(files)
        until(self._decided)
        self.reports = {report.study_instance_uid: report for report in node.studies()}

    def _decided(self) -> bool:
        studies = self.node.studies()
        return len(studies) == len(self.sent) and all(
            s.state == "settled" and all(j.state in {"refused", "succeeded", "failed"} for j in s.jobs) for s in studies
        )

    def report(self, name):
        return self.reports[study_uid(self.sent[name])]

    def command(self, *words: str) -> str:
        return opacity_node(*words, "--config", self.config).output


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    with EmbeddedPacs(folder / "pacs") as pacs, RunningNode(write_config(folder, pacs_port=pacs.port)) as node:
        yield Arena(folder, node)


def test_everything_with_fit_uids_is_accepted_and_kept_as_it_was_sent(arena):
    kept = stored(arena.node)
    for paths in arena.sent.values():
        for path in paths:
            meta = pydicom.dcmread(path, stop_before_pixels=True).file_meta
            archived = arena.node.storage.root / kept[meta.MediaStorageSOPInstanceUID]
            assert data_set(archived) == data_set(path)


def data_set(path: Path) -> bytes:
    """Return the bytes after the file meta information."""
    length = pydicom.dcmread(path, specific_tags=[], stop_before_pixels=True).file_meta.FileMetaInformationGroupLength
    return path.read_bytes()[144 + length :]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.code is not None])
def test_a_series_that_does_not_fit_is_not_run_and_says_why_and_what_to_do(name, arena):
    report, case = arena.report(name), CASES[name]
    assert report.jobs == []
    reasons = {decision.code: decision.reason for decision in report.decisions}
    assert case.code in reasons
    assert [word for word in case.words if word not in reasons[case.code]] == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.code is None])
def test_a_series_that_turns_out_not_to_fit_is_refused_and_says_why_and_what_to_do(name, arena):
    (job,) = arena.report(name).jobs
    assert (job.state, job.attempts, job.deliveries) == ("refused", 1, [])
    assert [word for word in CASES[name].words if word not in job.message] == []


def test_commands_show_the_reasons_and_no_trace(arena):
    shown = "".join(arena.command(*words) for words in (["status"], ["status", "--json"], ["jobs"]))
    assert "Traceback" not in shown
    assert "Send a scan of the whole lungs" in shown


def hostile(value, keyword):
    """Return a data set whose UID is not one."""
    dataset = pydicom.Dataset()
    with pydicom.config.disable_value_validation():
        for name, found in (GOOD_UIDS | {"Rows": 512, keyword: value}).items():
            if found is not None:
                setattr(dataset, name, found)
        dataset.PatientName, dataset.PatientID = PATIENT["patient_name"], PATIENT["patient_id"]
        buffer = DicomBytesIO()
        buffer.is_implicit_VR, buffer.is_little_endian = False, True
        write_dataset(buffer, dataset)
    return buffer.getvalue()


def c_store(node, data, **command) -> int:
    """Send one C-STORE whose data set is any bytes; return the status."""
    entity = AE(ae_title="SCANNER")
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = entity.associate(node.peer.host, node.peer.port, ae_title=node.peer.ae_title)
    assert association.is_established
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = CTImageStorage
    request.AffectedSOPInstanceUID = command.get("sop_instance_uid", GOOD_UIDS["SOPInstanceUID"])
    request.DataSet = BytesIO(data)
    try:
        association._reactor_checkpoint.clear()
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
        _, answer = association.dimse.get_msg(block=True)
        return answer.Status
    finally:
        association._reactor_checkpoint.set()
        association.release()


def quarantined(arena):
    return {path.read_text() for path in arena.node.storage.quarantine.glob("*.txt")}


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 64, hostile("1.2", "SeriesInstanceUID")[:70]]
)
def test_what_is_no_data_set_is_answered_with_0xc000_and_quarantined(data, arena):
    before = quarantined(arena)
    assert c_store(arena.node, data) == 0xC000
    (reason,) = quarantined(arena) - before or before
    assert "again" in reason


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
@pytest.mark.parametrize("value", ["../../../evil", "/etc/passwd", "1" * 200, "abc", "", None], ids=repr)
def test_a_missing_or_hostile_uid_is_answered_with_0xa900_and_written_nowhere_but_in_quarantine(value, keyword, arena):
    root, before = arena.node.storage.root, everything(arena.folder)
    assert c_store(arena.node, hostile(value, keyword)) == 0xA900
    new = everything(arena.folder) - before
    assert sorted(path.suffix for path in new) == [".dcm", ".txt"]
    assert {path.parent for path in new} == {arena.node.storage.quarantine}
    assert root.resolve() in arena.node.storage.quarantine.resolve().parents
    (explained,) = (path.read_text() for path in new if path.suffix == ".txt")
    assert keyword in explained
    assert "again" in explained


def everything(folder):
    return {
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name != "node.log" and path.parent.name != "incoming"  # empty ones wait there
    }


def test_a_hostile_uid_in_the_command_is_answered_with_0xa900(arena):
    data = hostile("../../evil", "SOPInstanceUID")
    assert c_store(arena.node, data, sop_instance_uid="../../evil") == 0xA900


def test_no_patient_and_no_trace_is_in_the_log_and_the_node_answers(arena):
    """Runs last: all of the above was sent by then."""
    arena.node.check()
    assert echo(arena.node.peer)
    log = arena.node.log.read_text()
    assert "refused an instance from SCANNER" in log
    assert "Traceback" not in log
    assert "Invalid value for VR" not in log  # pydicom quotes the value
    for value in (*SECRETS, Header().patient_id):
        assert value not in log
