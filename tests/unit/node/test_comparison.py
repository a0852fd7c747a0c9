"""Instances that came again, told apart before they get rows."""

from datetime import UTC, datetime

import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless
from sqlalchemy import select

from db.models import Instance
from db.repository.intake import Intake as Outcome
from db.states import InstanceRole
from node import comparison
from phantom.ct import make_chest
from phantom.dicom import to_datasets
from tests.unit.node.test_indexer import Intake


@pytest.fixture
def intake(tmp_path):
    intake = Intake(tmp_path / "storage")
    yield intake
    intake.database.close()


@pytest.fixture
def send(intake, tmp_path):
    """Put a changed copy of one slice into the spool, index, and return what became of it."""
    (dataset, *_) = to_datasets(make_chest(slices=12, rows=32, columns=32, spacing_mm=(25.0, 11.0, 11.0)))
    original = tmp_path / "original.dcm"
    dataset.save_as(original, enforce_file_format=True)

    def put(change=lambda _: None):
        copy = dcmread(original)
        change(copy)
        path = tmp_path / "sent.dcm"
        copy.save_as(path, enforce_file_format=True)
        intake.spool_file(path)
        (outcome,) = intake.indexer.run().outcomes
        return outcome

    return put


def test_a_corrected_name_is_an_update(intake, send):
    assert send() is Outcome.STORED
    assert send(lambda d: setattr(d, "PatientName", "Corrected^Name")) is Outcome.UPDATE
    assert [row.role for row in intake.rows()] == [InstanceRole.SUPERSEDED, InstanceRole.CURRENT]
    assert all((intake.storage.root / row.path).is_file() for row in intake.rows())


def test_another_transfer_syntax_is_an_update_that_keeps_the_hash_of_the_pixels(intake, send):
    send()
    assert send(lambda d: d.compress(RLELossless, generate_instance_uid=False)) is Outcome.UPDATE
    first, second = intake.rows()
    assert first.pixel_sha256 == second.pixel_sha256


def test_other_pixels_are_a_conflict(send):
    send()
    assert send(lambda d: setattr(d, "PixelData", bytes(len(d.PixelData)))) is Outcome.CONFLICT


def test_another_place_is_a_conflict(send):
    send()
    assert send(lambda d: setattr(d, "ImagePositionPatient", [0, 0, 1])) is Outcome.CONFLICT


def test_a_negative_of_the_same_pixels_is_a_conflict(send):
    send()
    assert send(lambda d: setattr(d, "PhotometricInterpretation", "MONOCHROME1")) is Outcome.CONFLICT


@pytest.fixture
def upgrade(intake):
    """Leave in the rows what a version kept that did not read Photometric Interpretation."""

    def forget():
        with intake.database.write() as session:
            for row in session.scalars(select(Instance)):
                row.header = {k: v for k, v in row.header.items() if k != "photometric_interpretation"}

    return forget


def test_a_corrected_name_is_an_update_also_of_a_negative_that_came_before_the_upgrade(send, upgrade):
    send(lambda d: setattr(d, "PhotometricInterpretation", "MONOCHROME1"))
    upgrade()

    def correct(dataset):
        dataset.PatientName, dataset.PhotometricInterpretation = "Corrected^Name", "MONOCHROME1"

    assert send(correct) is Outcome.UPDATE


def test_a_negative_of_an_image_that_came_before_the_upgrade_is_a_conflict(send, upgrade):
    send()
    upgrade()
    assert send(lambda d: setattr(d, "PhotometricInterpretation", "MONOCHROME1")) is Outcome.CONFLICT


def test_a_corrected_name_is_an_update_also_of_pixels_that_came_before_the_upgrade_and_cannot_be_decoded(send, upgrade):
    def break_it(dataset):
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.PixelData = dataset.PixelData[:-40] + bytes(40)

    def correct(dataset):
        break_it(dataset)
        dataset.PatientName = "Corrected^Name"

    send(break_it)
    upgrade()
    assert send(correct) is Outcome.UPDATE


def test_a_move_to_another_study_is_a_conflict(send):
    send()
    assert send(lambda d: setattr(d, "StudyInstanceUID", "1.2.3.4")) is Outcome.CONFLICT


def test_what_cannot_be_decoded_is_a_conflict_and_breaks_nothing(send):
    send()

    def break_it(dataset):
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.PixelData = dataset.PixelData[:-40] + bytes(40)

    assert send(break_it) is Outcome.CONFLICT


def test_two_receipts_of_one_instance_in_one_batch_are_told_apart_too(intake, tmp_path):
    dataset = to_datasets(make_chest(slices=12, rows=32, columns=32, spacing_mm=(25.0, 11.0, 11.0)))[0]
    for name in ("Wrong^Name", "Right^Name"):
        dataset.PatientName = name
        dataset.save_as(tmp_path / "sent.dcm", enforce_file_format=True)
        intake.spool_file(tmp_path / "sent.dcm")
    assert intake.indexer.run().outcomes == {Outcome.STORED: 1}
    assert intake.indexer.run().outcomes == {Outcome.UPDATE: 1}
    assert intake.rows()[1].patient_name == "Right^Name"


def test_a_machine_that_fails_makes_no_conflict(intake, send, monkeypatch):
    def full(*_):
        raise MemoryError

    send()
    monkeypatch.setattr(comparison, "_compare", full)
    with pytest.raises(MemoryError):
        send(lambda d: d.compress(RLELossless, generate_instance_uid=False))
    monkeypatch.undo()
    assert intake.indexer.run().outcomes == {Outcome.UPDATE: 1}


def test_what_retention_removed_is_taken_for_the_same_where_it_stands_in_its_place(intake, send):
    send()
    with intake.database.write() as session:
        session.scalars(select(Instance)).one().removed_at = datetime(2026, 1, 2, tzinfo=UTC)
    assert send(lambda d: d.compress(RLELossless, generate_instance_uid=False)) is Outcome.UPDATE
