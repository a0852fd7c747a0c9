"""The same SOP Instance UID again: equal, updated, contradicting, restored, or our own result come home."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from db.models import Instance, Study
from db.repository import intake, settling
from db.repository.intake import Intake
from db.repository.resolving import Decision, Keep, resolve
from db.states import HoldReason, InstanceRole, SettleReason, StudyState
from tests.rows import new_job, settled_study
from tests.unit.db.conftest import NOON

LATER = NOON + timedelta(hours=1)


def again(received, number=1, **changes):
    """Return another receipt of the instance of that number, with other bytes."""
    values = {"spool_name": "00000000000000009999-00000000.dcm", "dataset_sha256": "f" * 64, "received_at": LATER}
    return received(number, **(values | changes))


def rows(database):
    with database.read() as session:
        return session.scalars(select(Instance).order_by(Instance.id)).all()


def study(database):
    with database.read() as session:
        return session.scalars(select(Study)).one()


def settle(database):
    with database.write() as session:
        (waiting,) = settling.receiving(session)
        settling.settle(session, waiting.id, reason=SettleReason.QUIET, now=NOON, jobs=[], decisions=[])


def test_an_update_is_current_from_then_on_and_both_are_kept(database, received):
    with database.write() as session:
        intake.add(session, [received(1)])
    update = again(received, patient_name="Corrected^Name", pixel_sha256="e" * 64)
    with database.write() as session:
        assert intake.add(session, [update], same_images={update.spool_name}) == [Intake.UPDATE]
    old, new = rows(database)
    assert (old.role, new.role) == (InstanceRole.SUPERSEDED, InstanceRole.CURRENT)
    assert new.patient_name == "Corrected^Name"
    assert new.pixel_sha256 == old.pixel_sha256  # equal pixels, however they are written: nothing to run again for
    assert study(database).state is StudyState.RECEIVING


def test_an_update_after_the_study_settled_opens_it_again(database, received):
    with database.write() as session:
        intake.add(session, [received(1)])
    settle(database)
    update = again(received)
    with database.write() as session:
        intake.add(session, [update], same_images={update.spool_name})
    assert (study(database).state, study(database).opened_at) == (StudyState.RECEIVING, LATER)


def test_other_pixels_hold_the_study(database, received):
    with database.write() as session:
        intake.add(session, [received(1)])
        assert intake.add(session, [again(received)]) == [Intake.CONFLICT]
    assert [row.role for row in rows(database)] == [InstanceRole.CURRENT, InstanceRole.CONFLICT]
    assert (study(database).state, study(database).hold_reason) == (StudyState.HELD, HoldReason.CONFLICT)


def test_an_update_that_comes_twice_is_a_duplicate_the_second_time(database, received):
    update = again(received)
    with database.write() as session:
        intake.add(session, [received(1)])
        intake.add(session, [update], same_images={update.spool_name})
        assert intake.add(session, [again(received, spool_name="x")]) == [Intake.DUPLICATE]
    assert len(rows(database)) == 2


def test_equal_bytes_restore_what_retention_removed_and_open_the_study(database, received):
    with database.write() as session:
        intake.add(session, [received(1)])
    settle(database)
    with database.write() as session:
        session.scalars(select(Instance)).one().removed_at = NOON
    back = received(1, spool_name="new.dcm", path="archive/new.dcm", received_at=LATER)
    with database.write() as session:
        assert intake.add(session, [back]) == [Intake.RESTORED]
    (row,) = rows(database)
    assert (row.removed_at, row.path, row.spool_name) == (None, "archive/new.dcm", "new.dcm")
    assert study(database).state is StudyState.RECEIVING


@pytest.mark.parametrize("sign", [{"device_uids": ("2.25.7",)}, {"by_us": True}])
def test_an_own_result_that_comes_back_neither_opens_the_study_nor_counts(database, received, sign):
    from db.models import Result

    with database.write() as session:
        (job,) = settled_study(session, NOON, new_job())
        session.add(
            Result(
                job_id=job,
                position=0,
                kind="sr",
                sop_instance_uid="1.9",
                sop_class_uid="1.2",
                series_instance_uid="1.3",
                path="results/x",
                size=1,
                sha256="a" * 64,
                device_uid="2.25.7",
                created_at=NOON,
            )
        )
    ours = received(7, study_instance_uid="1.2", received_at=LATER, **sign)
    with database.write() as session:
        assert intake.add(session, [ours]) == [Intake.OWN_RESULT]
    assert (study(database).state, study(database).last_received_at) == (StudyState.SETTLED, NOON)
    with database.read() as session:
        assert settling.instances(session, 1) == []


def test_an_own_result_whose_bytes_a_pacs_changed_is_no_conflict(database, received):
    with database.write() as session:
        intake.add(session, [received(1, by_us=True)])
        assert intake.add(session, [again(received, by_us=True)]) == [Intake.OWN_RESULT]
    assert study(database).state is StudyState.SETTLED


def test_a_device_that_is_not_ours_counts(database, received):
    with database.write() as session:
        assert intake.add(session, [received(1, device_uids=("2.25.8",))]) == [Intake.STORED]


def test_bytes_that_an_update_replaced_and_that_come_again_are_current_again(database, received):
    corrected, reverted = again(received, patient_id="P2"), again(received, dataset_sha256=f"{1:064d}", spool_name="y")
    with database.write() as session:
        intake.add(session, [received(1)])
        intake.add(session, [corrected], same_images={corrected.spool_name})
        assert intake.add(session, [reverted], same_images={"y"}) == [Intake.UPDATE]
    assert [row.role for row in rows(database)] == [
        InstanceRole.SUPERSEDED,
        InstanceRole.SUPERSEDED,
        InstanceRole.CURRENT,
    ]
    assert rows(database)[-1].patient_id == "P1"


def test_the_receipt_that_came_later_counts_whatever_is_indexed_first(database, received):
    earlier = again(received, received_at=NOON - timedelta(hours=1))
    with database.write() as session:
        intake.add(session, [received(1)])
        assert intake.add(session, [earlier], same_images={earlier.spool_name}) == [Intake.UPDATE]
    assert [row.role for row in rows(database)] == [InstanceRole.CURRENT, InstanceRole.SUPERSEDED]


def test_what_lost_a_conflict_and_comes_again_stays_out(database, received):
    with database.write() as session:
        intake.add(session, [received(1), again(received)])
        resolve(session, "1.2.3", Decision(keep=Keep.FIRST))
        assert intake.add(session, [again(received, spool_name="z")]) == [Intake.DUPLICATE]


def test_an_update_of_a_removed_image_brings_its_own_pixels(database, received):
    with database.write() as session:
        intake.add(session, [received(1)])
        session.scalars(select(Instance)).one().removed_at = NOON
        update = again(received, pixel_sha256="e" * 64)
        intake.add(session, [update], same_images={update.spool_name})
    assert rows(database)[-1].pixel_sha256 == "e" * 64


def test_an_own_result_that_comes_again_after_its_removal_opens_nothing(database, received):
    with database.write() as session:
        intake.add(session, [received(1, by_us=True)])
        session.scalars(select(Instance)).one().removed_at = NOON
        back = received(1, by_us=True, spool_name="y", received_at=LATER)
        assert intake.add(session, [back]) == [Intake.RESTORED]
    assert study(database).state is StudyState.SETTLED
