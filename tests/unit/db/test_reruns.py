import pytest
from sqlalchemy import func, select, update

from db.models import Delivery, Instance, Job
from db.repository import intake, jobs, reruns, settling
from db.repository.jobs import NewResult
from db.states import JobState, SettleReason
from tests.rows import new_job
from tests.unit.db.conftest import NOON

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
        jobs.start_next(session, device="cpu", now=NOON)
        jobs.refuse(session, job, now=NOON, code="weights-missing", message="no weights", results=[result("notice", 1)])
    return job


def test_a_job_that_lacked_weights_runs_again_and_its_results_stand_beside_its_notice(database, refused):
    with database.write() as session:
        (found,) = reruns.refused(session, CODES)
        assert (found.id, found.pipeline, found.images_are_there) == (refused, "p", True)
        assert reruns.requeue(session, [found.id]) == 1
    with database.write() as session:
        assert reruns.refused(session, CODES) == []
        started = jobs.start_next(session, device="cpu", now=NOON)
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
        assert reruns.requeue(session, [refused]) == 0
        assert session.get(Job, refused).state is JobState.SUCCEEDED


def test_a_job_whose_images_are_gone_says_so(database, refused):
    with database.write() as session:
        session.execute(update(Instance).values(removed_at=NOON))
    with database.read() as session:
        assert [job.images_are_there for job in reruns.refused(session, CODES)] == [False]
