"""Held studies: why, and what a person may decide."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from db.models import Instance, Study
from db.repository import deliveries, holding, intake, jobs, settling, starting
from db.repository.holding import NothingToResolveError, PatientIdentity
from db.repository.jobs import NewResult
from db.repository.resending import Choice, Resending
from db.repository.resolving import Decision, Keep, UndecidedError, resolve
from db.states import HoldReason, InstanceRole, SettleReason, StudyState
from tests.rows import new_job, settled_study
from tests.unit.db.conftest import NOON

RESULT = NewResult(
    kind="sr",
    sop_instance_uid="1.9",
    sop_class_uid="1.2",
    series_instance_uid="1.8",
    path="results/x",
    size=1,
    sha256="b" * 64,
    device_uid="2.25.7",
)


def study(database):
    with database.read() as session:
        return session.scalars(select(Study)).one()


def roles(database):
    with database.read() as session:
        return session.scalars(select(Instance.role).order_by(Instance.id)).all()


@pytest.fixture
def conflicting(database, received):
    with database.write() as session:
        intake.add(session, [received(1), received(2)])
        other = received(1, spool_name="x", dataset_sha256="f" * 64, received_at=NOON + timedelta(hours=1))
        intake.add(session, [other])


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (Keep.FIRST, [InstanceRole.CURRENT, InstanceRole.CURRENT, InstanceRole.SUPERSEDED]),
        (Keep.NEWEST, [InstanceRole.SUPERSEDED, InstanceRole.CURRENT, InstanceRole.CURRENT]),
    ],
)
def test_a_conflict_is_resolved_for_the_first_or_the_newest(database, conflicting, keep, expected):
    with database.write() as session:
        assert resolve(session, "1.2.3", Decision(keep=keep)) is HoldReason.CONFLICT
    assert roles(database) == expected
    assert study(database).state is StudyState.RECEIVING


def test_a_conflict_is_not_resolved_without_a_decision(database, conflicting):
    with database.write() as session, pytest.raises(UndecidedError, match="--keep"):
        resolve(session, "1.2.3", Decision(patient=1))
    assert study(database).state is StudyState.HELD


def test_what_is_held_tells_what_contradicts(database, conflicting):
    with database.read() as session:
        held = holding.held(session, "1.2.3")
    assert (held.reason, held.conflicts, held.identities[0].instances) == (HoldReason.CONFLICT, 1, 2)


@pytest.mark.parametrize("uid", ["1.2.3", "9.9"])
def test_nothing_is_resolved_that_is_not_held(database, received, uid):
    with database.write() as session:
        intake.add(session, [received(1)])
    with database.write() as session, pytest.raises(NothingToResolveError):
        resolve(session, uid, Decision(keep=Keep.FIRST))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"patient_id": "P2"}, "Patient ID (2 values)"),
        ({"patient_birth_date": "19700102"}, "Patient's Birth Date (2 values)"),
        ({"issuer_of_patient_id": "B"}, "Issuer of Patient ID (2 values)"),
    ],
)
def test_instances_that_disagree_about_whose_they_are_are_told_without_naming_the_patient(
    database, received, changes, named
):
    full = {"issuer_of_patient_id": "A", "patient_birth_date": "19700101"}
    with database.write() as session:
        intake.add(session, [received(1, **full), received(2, **(full | changes))])
        message = holding.identity_conflict(session, 1)
    assert named in message
    assert "P1" not in message
    assert "1970" not in message


def test_an_absent_identity_contradicts_none(database, received):
    with database.write() as session:
        intake.add(session, [received(1), received(2, patient_id=""), received(3, patient_birth_date="19700101")])
        assert holding.identity_conflict(session, 1) is None


def test_accepted_identities_do_not_hold_again_and_a_new_one_does(database, received):
    with database.write() as session:
        intake.add(session, [received(1), received(2, patient_id="P2")])
        holding.hold(session, 1, reason=HoldReason.IDENTITY_CONFLICT, message="m")
    with database.write() as session:
        resolve(session, "1.2.3", Decision(patient=2, together=True))
        assert holding.identity_conflict(session, 1) is None
        intake.add(session, [received(3, patient_id="P2"), received(4, patient_id="P1")])
        assert holding.identity_conflict(session, 1) is None
        intake.add(session, [received(5, patient_id="P3")])
        assert "3 values" in holding.identity_conflict(session, 1)


@pytest.mark.parametrize(("patient", "path"), [(1, "archive/1.dcm"), (2, "archive/2.dcm")])
def test_results_are_about_the_patient_that_was_chosen(database, received, patient, path):
    with database.write() as session:
        intake.add(session, [received(1), received(2, patient_id="P2")])
        holding.hold(session, 1, reason=HoldReason.IDENTITY_CONFLICT, message="m")
        resolve(session, "1.2.3", Decision(patient=patient, together=True))
        job = new_job(instance_ids=(1, 2))
        settling.settle(session, 1, reason=SettleReason.QUIET, now=NOON, jobs=[job], decisions=[])
    with database.write() as session:
        assert starting.start_next(session, device="cpu", now=NOON).demographics_path == path


def test_a_study_that_changed_too_often_may_change_once_more(database, received):
    with database.write() as session:
        intake.add(session, [received(1)])
        holding.hold(session, 1, reason=HoldReason.MAX_REVISIONS, message="m")
        resolve(session, "1.2.3", Decision())
        (waiting,) = settling.receiving(session)
    assert waiting.revisions_allowed == 1


texts = st.sampled_from(["", "a", "b"])
identities = st.builds(PatientIdentity, patient_id=texts, issuer_of_patient_id=texts, patient_birth_date=texts)


@given(one=identities, other=identities)
def test_agreement_is_mutual_and_with_oneself(one, other):
    assert one.agrees_with(one)
    assert one.agrees_with(other) == other.agrees_with(one)


def test_nothing_of_a_held_study_is_sent_until_it_has_settled_again(database):
    with database.write() as session:
        again = new_job(destinations=("one",))
        (job,) = settled_study(session, NOON, again)
        jobs.succeed(session, job, now=NOON, results=[RESULT], timings={}, summary={})
        assert deliveries.due_destinations(session, NOON) == ["one"]
        holding.hold(session, 1, reason=HoldReason.IDENTITY_CONFLICT, message="m")
        assert deliveries.due_destinations(session, NOON) == []
        assert deliveries.due(session, "one", NOON) == []
        assert not deliveries.is_pending(session, 1)
        resolve(session, "1.2", Decision())
        assert deliveries.due_destinations(session, NOON) == []  # not before what was decided is carried out
        settling.settle(session, 1, reason=SettleReason.QUIET, now=NOON, jobs=[again], decisions=[])
        assert len(deliveries.due(session, "one", NOON)) == 1


@pytest.mark.parametrize(("patient", "left"), [(1, ["P1", "P1"]), (2, ["P2"])])
def test_instances_of_another_patient_are_left_out(database, received, patient, left):
    with database.write() as session:
        intake.add(session, [received(1), received(2), received(3, patient_id="P2")])
        holding.hold(session, 1, reason=HoldReason.IDENTITY_CONFLICT, message="m")
        resolve(session, "1.2.3", Decision(patient=patient))
        assert holding.identity_conflict(session, 1) is None
        counting = session.scalars(select(Instance).where(Instance.role == InstanceRole.CURRENT)).all()
    assert [row.patient_id for row in counting] == left


@pytest.mark.parametrize("patient", [None, 0, 3])
def test_it_must_be_said_whose_study_it_is(database, received, patient):
    with database.write() as session:
        intake.add(session, [received(1), received(2, patient_id="P2")])
        holding.hold(session, 1, reason=HoldReason.IDENTITY_CONFLICT, message="m")
    with database.write() as session, pytest.raises(UndecidedError, match="--patient 1 to 2"):
        resolve(session, "1.2.3", Decision(patient=patient))


def test_another_slice_of_a_stranger_holds_the_study_again(database, received):
    with database.write() as session:
        intake.add(session, [received(1), received(2, patient_id="P2")])
        holding.hold(session, 1, reason=HoldReason.IDENTITY_CONFLICT, message="m")
        resolve(session, "1.2.3", Decision(patient=1))
        intake.add(session, [received(3, patient_id="P2")])
        assert holding.identity_conflict(session, 1) is not None


def test_an_excluded_instance_that_was_corrected_counts(database, received):
    with database.write() as session:
        intake.add(session, [received(1), received(2, patient_id="P2")])
        holding.hold(session, 1, reason=HoldReason.IDENTITY_CONFLICT, message="m")
        resolve(session, "1.2.3", Decision(patient=1))
        intake.add(session, [received(2, spool_name="x", dataset_sha256="f" * 64)])
        assert [count.instances for count in holding.identities(session, 1)] == [2]


def test_once_corrected_nothing_needs_to_be_chosen(database, received):
    with database.write() as session:
        intake.add(session, [received(1), received(2, patient_id="P2")])
        holding.hold(session, 1, reason=HoldReason.IDENTITY_CONFLICT, message="m")
        intake.add(session, [received(2, spool_name="x", dataset_sha256="f" * 64)], same_images={"x"})
        resolve(session, "1.2.3", Decision())
    assert study(database).state is StudyState.RECEIVING


def test_a_conflict_does_not_hide_what_else_a_study_is_held_for(database, received):
    with database.write() as session:
        intake.add(session, [received(1)])
        holding.hold(session, 1, reason=HoldReason.DATABASE_REBUILT, message="m")
        intake.add(session, [received(1, spool_name="x", dataset_sha256="f" * 64)])
        held = holding.held(session, "1.2.3")
    assert (held.reason, held.conflicts) == (HoldReason.DATABASE_REBUILT, 1)


@pytest.mark.parametrize(("changes", "warned"), [({"patient_name": "Right^Name"}, ["1.2.3"]), ({"size": 7}, [])])
def test_sending_results_again_warns_where_the_patient_was_corrected_since(database, received, changes, warned):
    with database.write() as session:
        intake.add(session, [received(1)])
        new = new_job(destinations=("one",), instance_ids=(1,))
        settling.settle(session, 1, reason=SettleReason.QUIET, now=NOON, jobs=[new], decisions=[])
        job = starting.start_next(session, device="cpu", now=NOON)
        jobs.succeed(session, job.id, now=NOON, results=[RESULT], timings={}, summary={})
        later = received(1, spool_name="x", dataset_sha256="f" * 64, received_at=NOON + timedelta(hours=1), **changes)
        intake.add(session, [later], same_images={"x"})
        resending = Resending(Choice(), now=NOON)
        resending.step(session)
    assert resending.resent.corrected == warned
