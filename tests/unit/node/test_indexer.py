"""Spool -> rows -> archive: repeatable, and no file stands in the way of another."""

import contextlib
import hashlib
import os
import time

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from db import schema
from db.files import Storage
from db.incoming import Incoming
from db.models import Instance, Study
from db.repository.intake import Intake as Outcome
from db.session import Database
from handlers.association import Associations
from handlers.quarantine import Quarantine
from handlers.space import DiskSpace
from handlers.store import StoreHandler
from node import indexer as module
from node.indexer import Indexer
from tests.unit.handlers.test_identity import UIDS, encoded
from tests.unit.handlers.test_store import store_with


class Intake:
    """A storage with its indexer, and a way to put instances into the spool as the handler does."""

    def __init__(self, folder):
        self.storage = Storage(folder)
        self.storage.prepare()
        self.database = Database(f"sqlite:///{self.storage.database}")
        schema.upgrade(self.database)
        quarantine = Quarantine(self.storage.quarantine, quota_bytes=10**9)
        self.indexer = Indexer(storage=self.storage, database=self.database, quarantine=quarantine)
        self._handler = StoreHandler(
            storage=self.storage,
            incoming=Incoming(self.storage.incoming),
            quarantine=quarantine,
            space=DiskSpace(folder, low_water_bytes=0),
            associations=Associations(),
        )

    def receive(self, number, **changes):
        uid = f"{UIDS['SOPInstanceUID']}.{number}"
        data = encoded(SOPInstanceUID=uid, **changes)
        assert store_with(self._handler, data, sop_instance_uid=uid) == 0

    def spool_file(self, path):
        dataset = dcmread(path)
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_dataset(buffer, dataset)
        uids = {"sop_class_uid": dataset.SOPClassUID, "sop_instance_uid": dataset.SOPInstanceUID}
        syntax = dataset.file_meta.TransferSyntaxUID
        data = memoryview(buffer.getvalue())
        assert store_with(self._handler, data, transfer_syntax_uid=syntax, **uids) == 0

    def rows(self):
        with self.database.read() as session:
            return list(session.scalars(select(Instance).order_by(Instance.id)))

    def aside(self):
        return list(self.storage.quarantine.glob("acknowledged/*.dcm"))


@pytest.fixture
def intake(tmp_path):
    intake = Intake(tmp_path)
    yield intake
    intake.database.close()


def test_spooled_instances_get_rows_and_move_to_the_archive(intake):
    for number in range(3):
        intake.receive(number, Modality="CT", PatientID="P1")
    indexed = intake.indexer.run()
    assert (indexed.outcomes[Outcome.STORED], indexed.total) == (3, 3)
    assert intake.storage.spooled() == []
    for row in intake.rows():
        assert (intake.storage.root / row.path).is_file()
        assert (row.patient_id, row.calling_ae_title, row.called_ae_title) == ("P1", "SCANNER", "NODE")


def test_a_crash_between_commit_and_move_is_repaired(intake, monkeypatch):
    intake.receive(1)
    monkeypatch.setattr(Indexer, "_move", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        intake.indexer.run()
    monkeypatch.undo()
    assert len(intake.storage.spooled()) == 1
    assert intake.indexer.run().left_over == 1
    (row,) = intake.rows()
    assert (intake.storage.root / row.path).is_file()
    assert intake.storage.spooled() == []


def test_the_same_bytes_again_leave_no_second_row_and_no_file(intake):
    intake.receive(1)
    intake.receive(1)
    first, second = intake.indexer.run(), intake.indexer.run()
    assert (first.outcomes, first.more) == ({Outcome.STORED: 1}, True)
    assert (second.outcomes, second.more) == ({Outcome.DUPLICATE: 1}, False)
    assert len(intake.rows()) == 1
    assert intake.storage.spooled() == []


@pytest.mark.filterwarnings("ignore")
def test_numbers_that_no_database_holds_are_left_out_and_stop_nothing(intake):
    intake.receive(1)
    intake.receive(2, SeriesNumber="99999999999999999999", InstanceNumber="1e30", SliceThickness="1e300")
    assert intake.indexer.run().outcomes[Outcome.STORED] == 2
    with intake.database.read() as session:
        assert session.scalars(select(Study)).one()
    assert "series_number" not in intake.rows()[1].header


def test_an_instance_that_cannot_be_put_into_a_row_is_set_aside_and_the_others_go_on(intake, monkeypatch):
    real = module.intake._add_one

    def add_one(session, received, **flags):
        if received.sop_instance_uid.endswith(".1"):
            raise OverflowError("too large")
        return real(session, received, **flags)

    monkeypatch.setattr(module.intake, "_add_one", add_one)
    for number in range(3):
        intake.receive(number)
    indexed = intake.indexer.run()
    assert (indexed.outcomes[Outcome.STORED], indexed.quarantined) == (2, 1)
    (kept,) = intake.aside()
    assert "too large" in kept.with_suffix(".txt").read_text()
    assert intake.storage.spooled() == []


def test_a_database_that_fails_sets_nothing_aside(intake, monkeypatch):
    def locked(*_, **__):
        raise OperationalError("insert", {}, Exception("database is locked"))

    intake.receive(1)
    monkeypatch.setattr(module.intake, "_add_one", locked)
    with pytest.raises(OperationalError):
        intake.indexer.run()
    assert len(intake.storage.spooled()) == 1
    assert intake.aside() == []


def test_a_machine_that_fails_leaves_the_file_in_the_spool_to_be_read_again(intake, monkeypatch):
    def busy(*_):
        raise OSError(24, "Too many open files")

    intake.receive(1)
    monkeypatch.setattr(module, "read_spool_file", busy)
    with pytest.raises(OSError, match="Too many"):
        intake.indexer.run()
    assert len(intake.storage.spooled()) == 1
    monkeypatch.undo()
    assert intake.indexer.run().outcomes[Outcome.STORED] == 1


def test_a_file_that_cannot_be_read_for_minutes_is_set_aside_so_that_the_others_go_on(intake, monkeypatch):
    def damaged(*_):
        raise OSError(5, "Input/output error")

    intake.receive(1)
    monkeypatch.setattr(module, "read_spool_file", damaged)
    with pytest.raises(OSError, match="Input/output"):
        intake.indexer.run()
    later = time.monotonic() + 700
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert intake.indexer.run().quarantined == 1
    assert len(intake.aside()) == 1


def damage(monkeypatch, names):
    real = module.read_spool_file

    def read(storage, name):
        if name in names:
            raise OSError(5, "Input/output error")
        return real(storage, name)

    monkeypatch.setattr(module, "read_spool_file", read)


def test_a_file_that_cannot_be_read_holds_up_no_other_and_is_told(intake, monkeypatch):
    for number in range(3):
        intake.receive(number)
    first = intake.storage.spooled()[0]
    damage(monkeypatch, {first})
    indexed = intake.indexer.run()
    assert (indexed.outcomes[Outcome.STORED], indexed.quarantined) == (2, 0)
    with pytest.raises(OSError, match="Input/output"):
        intake.indexer.run()
    assert intake.storage.spooled() == [first]
    monkeypatch.undo()
    assert intake.indexer.run().outcomes[Outcome.STORED] == 1


def test_more_files_than_a_batch_that_cannot_be_read_hold_up_no_other(intake, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 2)
    for number in range(5):
        intake.receive(number)
    bad = intake.storage.spooled()[:3]
    damage(monkeypatch, set(bad))
    for _ in range(3):
        with contextlib.suppress(OSError):
            intake.indexer.run()
    assert intake.storage.spooled() == bad
    assert len(intake.rows()) == 2


def test_a_spool_file_that_is_no_dicom_file_is_set_aside(intake):
    intake.receive(1)
    (intake.storage.spool / "00000000000000000001-00000000.dcm").write_bytes(os.urandom(2000))
    indexed = intake.indexer.run()
    assert (indexed.outcomes[Outcome.STORED], indexed.quarantined) == (1, 1)


def test_equal_pixels_under_another_header_have_equal_pixel_hashes(intake):
    pixels = {"BitsAllocated": 16, "PixelRepresentation": 0, "PixelData": b"\1\2" * 100}
    intake.receive(1, PatientName="A", **pixels)
    intake.receive(2, PatientName="Somebody^Else", **pixels)
    intake.receive(3, PatientName="A", **pixels | {"PixelData": b"\3\4" * 100})
    intake.indexer.run()
    first, second, third = intake.rows()
    assert first.pixel_sha256 == second.pixel_sha256 != third.pixel_sha256
    assert len({row.dataset_sha256 for row in intake.rows()}) == 3


@pytest.mark.parametrize("before", [1 << 16, 1 << 18], ids=["in the head", "across its end"])
@pytest.mark.parametrize("length", [None, 0xFFFFFFFF], ids=["of known length", "of undefined length"])
def test_a_long_private_element_before_the_study_does_not_hide_it(intake, before, length):
    """pydicom says nothing of an element of undefined length that ends too early, and stops with nothing read."""
    private = bytes.fromhex("0900100000000000")[:4] + b"LO\2\0X "
    value = bytes.fromhex("feff00e0") + before.to_bytes(4, "little") + bytes(before)
    value += bytes.fromhex("feffdde000000000") if length else b""
    private += bytes.fromhex("09001010") + b"OB\0\0" + (length or len(value)).to_bytes(4, "little") + value
    data = bytes(encoded(SOPInstanceUID="1.2.3.7", BitsAllocated=16, PixelData=b"\1\2" * 100))
    at = data.index(bytes.fromhex("10001000"))
    uids = {"sop_instance_uid": "1.2.3.7"}
    assert store_with(intake._handler, memoryview(data[:at] + private + data[at:]), **uids) == 0
    assert intake.indexer.run().outcomes == {Outcome.STORED: 1}
    (row,) = intake.rows()
    path = intake.storage.root / row.path
    with path.open("rb") as file:
        dcmread(file, stop_before_pixels=True)
        assert row.pixel_sha256 == hashlib.sha256(path.read_bytes()[file.tell() :]).hexdigest()


@pytest.mark.parametrize(("data_set_at", "pixels_at"), [(144, 150), (144, 160), (150, 400), (144, 0), (144, 10_000)])
def test_hashes_are_those_of_data_set_and_pixels_in_whatever_pieces_a_file_is_read(
    tmp_path, monkeypatch, data_set_at, pixels_at
):
    monkeypatch.setattr(module, "_CHUNK", 16)
    content = bytes(range(256)) * 3
    (tmp_path / "x").write_bytes(content)
    begin = pixels_at if data_set_at < pixels_at < len(content) else data_set_at
    expected = [hashlib.sha256(content[at:]).hexdigest() for at in (data_set_at, begin)]
    assert list(module._hashes(tmp_path / "x", data_set_at, pixels_at)) == expected
