from datetime import timedelta

from sqlalchemy import select

from db.models import Instance, Study
from db.repository import intake, settling
from db.repository.intake import Intake
from db.states import InstanceRole, SettleReason, StudyState
from tests.unit.db.conftest import NOON


def test_instances_make_one_study_with_its_times(database, received):
    with database.write() as session:
        assert intake.add(session, [received(1), received(2)]) == [Intake.STORED, Intake.STORED]
    with database.read() as session:
        study = session.scalars(select(Study)).one()
    assert study.state is StudyState.RECEIVING
    assert (study.first_received_at, study.last_received_at) == (
        NOON + timedelta(seconds=1),
        NOON + timedelta(seconds=2),
    )


def test_the_same_bytes_again_are_a_duplicate_and_change_nothing(database, received):
    again = received(1, spool_name="00000000000000000009-00000000.dcm", received_at=NOON + timedelta(hours=1))
    with database.write() as session:
        assert intake.add(session, [received(1), again]) == [Intake.STORED, Intake.DUPLICATE]
    with database.read() as session:
        assert session.scalars(select(Study)).one().last_received_at == NOON + timedelta(seconds=1)


def test_other_bytes_under_the_same_uid_are_both_kept_and_hold_the_study(database, received):
    other = received(1, spool_name="00000000000000000009-00000000.dcm", dataset_sha256="f" * 64)
    with database.write() as session:
        assert intake.add(session, [received(1), other]) == [Intake.STORED, Intake.CONFLICT]
    with database.read() as session:
        study = session.scalars(select(Study)).one()
        roles = session.scalars(select(Instance.role).order_by(Instance.id)).all()
        assert settling.receiving(session) == []
    assert (study.state, study.hold_reason) == (StudyState.HELD, "conflict")
    assert roles == [InstanceRole.CURRENT, InstanceRole.CONFLICT]


def test_a_spool_file_that_has_a_row_is_recognised_by_its_name(database, received):
    with database.write() as session:
        intake.add(session, [received(1)])
    with database.read() as session:
        known = intake.already_indexed(session, [received(1).spool_name, received(2).spool_name])
    assert known == {received(1).spool_name: "archive/1.dcm"}


def test_an_instance_after_the_study_settled_opens_the_next_revision(database, received):
    with database.write() as session:
        intake.add(session, [received(1)])
        (study,) = settling.receiving(session)
        settling.settle(session, study.id, reason=SettleReason.QUIET, now=NOON, jobs=[], decisions=[])
    with database.write() as session:
        assert settling.receiving(session) == []
        intake.add(session, [received(2)])
        (reopened,) = settling.receiving(session)
    assert reopened.opened_at == NOON + timedelta(seconds=2)
