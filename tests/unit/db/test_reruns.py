from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from db.files import Storage
from db.models import Delivery, Instance, Job
from db.repository import intake, jobs, reruns, settling, starting
from db.repository.jobs import NewResult
from db.states import DeliveryState, JobState, SettleReason
from tests.rows import new_job
from tests.unit.db.conftest import NOON

LATER = NOON + timedelta(hours=3)
CODES = ("weights-missing", "weights-wrong")


def result(kind, number):
    return NewResult(
        kind=kind,
        sop_instance_uid=f"1.2.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
        series_instance_uid=f"1.3.{number}",
        path=f"results/{kind}.dcm",
        size=1,
        sha256=f"{number}" * 64,
        device_uid="1.4",
    )


@pytest.fixture
def refused(database, received):
    """One job, refused with a notice."""
    with database.write() as session:
        intake.add(session, [received(1)])
        ids = [row.id for row in settling.instances(session, 1)]
        new = [new_job(instance_ids=tuple(ids))]
        (job,) = settling.settle(session, 1, reason=SettleReason.QUIET, now=NOON, jobs=new, decisions=[])
        starting.start_next(session, device="cpu", now=NOON)
        jobs.refuse(session, job, now=NOON, code="weights-missing", message="no weights", results=[result("notice", 1)])
    return job


def test_a_job_that_lacked_weights_runs_again_and_its_results_stand_beside_its_notice(database, refused):
    with database.write() as session:
        (found,) = reruns.refused(session, CODES)
        assert (found.id, found.pipeline, found.images_are_there) == (refused, "p", True)
        assert reruns.requeue(session, [found.id], now=LATER) == 1
    with database.write() as session:
        assert reruns.refused(session, CODES) == []
        started = starting.start_next(session, device="cpu", now=NOON)
        assert (started.id, session.get(Job, refused).attempts) == (refused, 1)
        jobs.succeed(session, refused, now=NOON, results=[result("sr", 2), result("seg", 3)], timings={}, summary={})
    with database.read() as session:
        job = session.get(Job, refused)
        assert (job.state, job.code, job.message) == (JobState.SUCCEEDED, None, None)
        assert [(r.kind, r.position) for r in job.results] == [("notice", 0), ("sr", 1), ("seg", 2)]
        assert session.scalar(select(func.count(Delivery.id))) == 3 * 2


def test_jobs_that_were_refused_for_other_reasons_or_replaced_stay(database, refused):
    with database.write() as session:
        assert reruns.refused(session, ["slice-thickness"]) == []
        session.get(Job, refused).superseded_by_id = refused
    with database.read() as session:
        assert reruns.refused(session, CODES) == []


def test_a_job_that_is_not_refused_is_not_touched(database, refused):
    with database.write() as session:
        session.get(Job, refused).state = JobState.SUCCEEDED
        session.flush()
        assert reruns.requeue(session, [refused], now=LATER) == 0
        assert session.get(Job, refused).state is JobState.SUCCEEDED


def test_a_job_whose_images_are_gone_says_so(database, refused):
    with database.write() as session:
        session.execute(update(Instance).values(removed_at=NOON))
    with database.read() as session:
        assert [job.images_are_there for job in reruns.refused(session, CODES)] == [False]


def test_a_job_that_is_refused_again_tells_so_in_an_object_and_a_folder_of_its_own(database, refused, tmp_path):
    """UIDs are made of the time at which the job was made, and so is the folder."""
    folders = []
    for now in (LATER, LATER + timedelta(hours=1)):
        with database.write() as session:
            assert reruns.requeue(session, [refused], now=now) == 1
        with database.write() as session:
            started = starting.start_next(session, device="cpu", now=now)
            jobs.refuse(session, refused, now=now, code="coverage", message="too short")
        assert started.created_at == now
        folders.append(Storage(tmp_path).result_folder("1.2.3", "p", started.id, started.created_at))
    assert folders[0] != folders[1]
    assert folders[1] == Storage(tmp_path).result_folder("1.2.3", "p", refused, LATER + timedelta(hours=1))


def test_a_job_that_runs_again_keeps_its_place_before_those_of_lower_priority(database, refused):
    with database.write() as session:
        job = session.get(Job, refused)
        job.ranks_at = job.created_at - timedelta(minutes=10)
        reruns.requeue(session, [refused], now=LATER)
        assert job.ranks_at == LATER - timedelta(minutes=10)


def test_a_notice_that_has_not_gone_when_its_job_runs_again_does_not_go(database, refused):
    with database.write() as session:
        session.get(Delivery, 1).state = DeliveryState.SENT
        reruns.requeue(session, [refused], now=LATER)
    with database.read() as session:
        first, second = session.scalars(select(Delivery).order_by(Delivery.id))
        assert (first.state, second.state) == (DeliveryState.SENT, DeliveryState.CANCELLED)
        assert second.next_attempt_at is None
        assert "runs again" in second.message


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.QUARANTINED])
def test_a_job_that_gave_up_runs_again_with_all_its_attempts_unless_another_took_its_place(database, refused, state):
    with database.write() as session:
        job = session.get(Job, refused)
        job.state, job.attempts, job.worker_deaths, job.not_before = state, 3, 2, LATER
        job.superseded_by_id = 77
        session.flush()
        assert reruns.ended(session, state) == []
        assert reruns.requeue(session, [refused], now=LATER) == 0
        assert reruns.why_not(session, refused) == "job 77 took its place"
        job.superseded_by_id = None
        session.flush()
        assert reruns.ended(session, state) == [refused]
        assert reruns.why_not(session, refused) is None
        assert reruns.requeue(session, [refused], now=LATER) == 1
    with database.read() as session:
        job = session.get(Job, refused)
        assert (job.state, job.attempts, job.worker_deaths, job.not_before) == (JobState.QUEUED, 0, 0, None)


def test_what_keeps_a_job_from_being_run_again_is_told(database, refused):
    with database.write() as session:
        assert reruns.why_not(session, 99) == "there is no such job"
        job = session.get(Job, refused)
        job.refusal = {"code": "c", "reason": "r", "remedy": "m"}
        session.flush()
        assert "before it ran" in reruns.why_not(session, refused)
        job.state = JobState.SUCCEEDED
        session.flush()
        assert reruns.why_not(session, refused) == "it is succeeded"
        job.state = JobState.QUARANTINED
        session.execute(update(Instance).values(removed_at=NOON))
        assert "images are gone" in reruns.why_not(session, refused)
