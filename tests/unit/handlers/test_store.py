"""What is answered to a C-STORE, and what lies on disk by then."""

import errno
import logging
import os

import pydicom
import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian

from db.files import Storage
from db.incoming import Incoming, IncomingFile
from handlers import store
from handlers.association import Associations
from handlers.identity import SCAN_LIMIT
from handlers.quarantine import Quarantine
from handlers.receipt import Caller, Receipt
from handlers.space import DiskSpace
from handlers.status import StoreStatus
from handlers.store import StoreHandler
from tests.unit.handlers.test_identity import UIDS, encoded


@pytest.fixture
def storage(tmp_path):
    storage = Storage(tmp_path)
    storage.prepare()
    return storage


@pytest.fixture
def handler(storage):
    return StoreHandler(
        storage=storage,
        incoming=Incoming(storage.incoming),
        quarantine=Quarantine(storage.quarantine, quota_bytes=2_000_000),
        space=DiskSpace(storage.root, low_water_bytes=0),
        associations=Associations(),
    )


@pytest.fixture
def handle(handler):
    return lambda data_set=None, **changes: store_with(handler, data_set or encoded(), **changes)


def store_with(handler, data_set, **changes):
    """Return what a request is answered with whose data set comes in two parts."""
    reception = handler.begin(receipt(**changes))
    for part in (data_set[:10], data_set[10:]):
        reception.write(part)
    return reception.finish()


def receipt(**changes):
    values = {
        "sop_class_uid": UIDS["SOPClassUID"],
        "sop_instance_uid": UIDS["SOPInstanceUID"],
        "transfer_syntax_uid": UID(ExplicitVRLittleEndian),
        "caller": Caller(
            calling_ae_title="SCANNER", called_ae_title="NODE", peer_address="127.0.0.1", association_id="a"
        ),
    }
    return Receipt(**(values | changes))


def test_success_means_the_bytes_are_in_the_spool_as_they_came(handle, storage):
    assert handle() == StoreStatus.SUCCESS
    (name,) = storage.spooled()
    data = (storage.spool / name).read_bytes()
    assert data.endswith(bytes(encoded()))
    dataset = pydicom.dcmread(storage.spool / name)
    assert dataset.PatientName == "Yamada^Tarou"
    assert dataset.file_meta.SendingApplicationEntityTitle == "SCANNER"
    assert dataset.file_meta.ReceivingApplicationEntityTitle == "NODE"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"sop_instance_uid": "9.9"}, StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS),
        ({"sop_class_uid": "9.9"}, StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS),
        ({"data_set": encoded(StudyInstanceUID=None)}, StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS),
        ({"data_set": memoryview(b"\x08\x00\x05\x00ZZ\xff\xff\xff")}, StoreStatus.CANNOT_UNDERSTAND),
    ],
)
@pytest.mark.filterwarnings("ignore:Unknown encoding")
def test_what_is_refused_is_answered_by_the_standard_and_kept_with_its_reason(handle, storage, changes, status):
    answer = handle(**changes)
    assert answer in {status, StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS}
    assert storage.spooled() == []
    (kept,) = storage.quarantine.glob("*.dcm")
    assert kept.read_bytes().endswith(bytes(changes.get("data_set", encoded())))
    assert kept.with_suffix(".txt").read_text().strip()


@pytest.mark.parametrize(
    "changes", [{"sop_class_uid": ""}, {"sop_instance_uid": ""}, {"sop_instance_uid": "1.2/../3"}], ids=str
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_command_without_proper_uids_is_refused_for_good_where_the_data_set_has_none_near_its_start(
    handle, storage, changes
):
    """Group 0005 before the UIDs, longer than the scan reads; OUT_OF_RESOURCES would be tried for ever."""
    private = bytes.fromhex("05000010") + b"OB\0\0" + (SCAN_LIMIT).to_bytes(4, "little") + bytes(SCAN_LIMIT)
    data = memoryview(private + bytes(encoded()))
    assert handle(data) == StoreStatus.SUCCESS
    assert handle(data, **changes) == StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS
    assert len(storage.spooled()) == 1
    (kept,) = storage.quarantine.glob("*.dcm")
    assert "C-STORE request" in kept.with_suffix(".txt").read_text()


def test_a_full_disk_is_answered_out_of_resources_and_leaves_nothing(handle, storage, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert handle() == StoreStatus.OUT_OF_RESOURCES
    assert list(storage.incoming.iterdir()) == []


def test_a_disk_that_fills_in_the_middle_of_an_instance_is_answered_out_of_resources_and_leaves_nothing(
    handler, storage, monkeypatch
):
    room = iter([True, False, True])
    monkeypatch.setattr(DiskSpace, "take", lambda _space, _size: next(room))
    reception = handler.begin(receipt())
    for at in range(0, 30, 10):
        reception.write(encoded()[at : at + 10])
    assert list(storage.incoming.iterdir()) == []
    assert reception.finish() == StoreStatus.OUT_OF_RESOURCES


def test_nothing_stays_of_an_instance_that_breaks_off(handler, storage):
    reception = handler.begin(receipt())
    reception.write(encoded())
    assert [file.suffix for file in storage.incoming.iterdir()] == [".part"]
    reception.abandon()
    assert [*storage.incoming.iterdir(), *storage.spool.iterdir()] == []


def test_what_was_kept_is_never_removed_again(handler, storage):
    reception = handler.begin(receipt())
    reception.write(encoded())
    assert reception.finish() == StoreStatus.SUCCESS
    reception.abandon()
    assert len(storage.spooled()) == 1


def test_an_unforeseen_error_is_answered_and_never_success(handle, monkeypatch):
    monkeypatch.setattr(store, "new_spool_name", lambda: 1 / 0)
    assert handle() == StoreStatus.OUT_OF_RESOURCES


def test_no_patient_data_reach_the_log(handle, caplog):
    caplog.set_level(logging.DEBUG)
    handle()
    handle(sop_instance_uid="9.9")
    assert caplog.text
    assert "Yamada" not in caplog.text


def test_the_quarantine_keeps_the_newest_within_its_quota(tmp_path):
    quarantine = Quarantine(tmp_path, quota_bytes=250)
    kept = [quarantine.keep(part_file(tmp_path, 100), reason=str(n)) for n in range(4)]
    assert sorted(tmp_path.glob("*.dcm")) == kept[2:]
    assert quarantine.keep(part_file(tmp_path, 300), reason="too large") is None


def part_file(folder, size):
    file = IncomingFile(str(folder), "incoming")
    file.write(b"x" * size)
    return file


def test_what_was_acknowledged_is_never_dropped_from_quarantine(tmp_path):
    spooled = tmp_path / "00000000000000000001-00000000.dcm"
    spooled.write_bytes(b"acknowledged" * 100)
    (tmp_path / "quarantine").mkdir()
    quarantine = Quarantine(tmp_path / "quarantine", quota_bytes=150)
    taken = quarantine.take(spooled, name=spooled.name, reason="unreadable")
    for _ in range(5):
        quarantine.keep(part_file(tmp_path, 100), reason="x")
    assert taken.read_bytes() == b"acknowledged" * 100
