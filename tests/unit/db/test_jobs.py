"""The life of a job and of its deliveries."""

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import select

from db import schema
from db.models import Delivery, Job
from db.repository import deliveries, intake, jobs, settling, starting
from db.repository.jobs import NewResult, Retry, UnequalResultError
from db.session import Database
from db.states import DeliveryState, JobState, SettleReason
from tests.rows import new_job, settled_study
from tests.unit.db.conftest import NOON

RETRY = Retry(max_attempts=3, after_s=30)


def new_result(uid="1.9", sha256="b" * 64):
    return NewResult(
        kind="sr",
        sop_instance_uid=uid,
        sop_class_uid="1.2",
        series_instance_uid="1.3",
        path="results/x",
        size=1,
        sha256=sha256,
        device_uid="2.25.7",
    )


@pytest.fixture
def queue(database, received):
    """Settle a study with these jobs; returns their ids."""
    with database.write() as session:
        intake.add(session, [received(1)])

    def settle(*new):
        with database.write() as session:
            return settling.settle(session, 1, reason=SettleReason.QUIET, now=NOON, jobs=new, decisions=[])

    return settle


def start(database, now=NOON):
    with database.write() as session:
        return starting.start_next(session, device="cpu", now=now)


def test_a_job_knows_the_files_of_its_selection_in_order(database, received, queue):
    with database.write() as session:
        intake.add(session, [received(2)])
        ids = {row.sop_instance_uid: row.id for row in settling.instances(session, 1)}
    queue(new_job(instance_ids=(ids["1.2.3.4.2"], ids["1.2.3.4.1"])))
    job = start(database)
    assert job.paths == ("archive/2.dcm", "archive/1.dcm")
    assert (job.study_instance_uid, job.revision_number) == ("1.2.3", 1)


def test_the_attempt_is_counted_before_the_start(database, queue):
    (job_id,) = queue(new_job())
    start(database)
    with database.read() as session:
        assert session.get_one(Job, job_id).attempts == 1


def test_higher_priority_runs_first_and_a_running_job_is_not_started_twice(database, queue):
    low, high = queue(new_job(), new_job(selection_hash="b" * 64, priority=5))
    assert [start(database).id, start(database).id] == [high, low]
    assert start(database) is None


def test_a_failed_job_waits_longer_each_time_and_ends_after_its_attempts(database, queue):
    (job_id,) = queue(new_job())
    now, waits = NOON, []
    while (job := start(database, now)) is not None:
        with database.write() as session:
            jobs.fail(session, job.id, now=now, code="fault", message="x", retry=RETRY)
            retry_at = starting.next_retry_at(session)
        assert start(database, now) is None
        if retry_at is not None:
            waits.append((retry_at - now).total_seconds())
            now = retry_at
    assert waits == [30, 60]
    with database.read() as session:
        assert session.get_one(Job, job_id).state is JobState.FAILED


def test_a_job_that_kills_its_worker_twice_is_quarantined(database, queue):
    (job_id,) = queue(new_job())
    now = NOON
    for _ in range(2):
        job = start(database, now)
        with database.write() as session:
            jobs.worker_died(session, job.id, now=now, code="worker-died", message="x", retry=RETRY)
        now += timedelta(hours=1)
    with database.read() as session:
        assert session.get_one(Job, job_id).state is JobState.QUARANTINED
    assert start(database, now) is None


def test_a_refused_job_never_runs_again(database, queue):
    (job_id,) = queue(new_job())
    start(database)
    with database.write() as session:
        jobs.refuse(session, job_id, now=NOON, code="no-lungs", message="no lungs")
    assert start(database, NOON + timedelta(days=1)) is None


def test_a_job_that_ran_when_the_node_died_runs_again_without_losing_an_attempt(database, queue):
    (job_id,) = queue(new_job())
    start(database)
    with database.write() as session:
        assert jobs.requeue_running(session) == 1
    assert start(database).id == job_id
    with database.read() as session:
        assert session.get_one(Job, job_id).attempts == 1


def test_the_same_selection_in_a_later_revision_does_not_run_again(database, received, queue):
    assert len(queue(new_job())) == 1
    assert queue(new_job()) == []
    assert len(queue(new_job(selection_hash="c" * 64))) == 1


def test_success_records_results_and_deliveries_in_the_same_transaction(database, queue):
    (job_id,) = queue(new_job())
    start(database)

    def succeed_and_lose_power():
        with database.write() as session:
            jobs.succeed(session, job_id, now=NOON, results=[new_result()], timings={}, summary={})
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        succeed_and_lose_power()
    with database.read() as session:
        assert session.get_one(Job, job_id).state is JobState.RUNNING
        assert session.scalars(select(Delivery)).all() == []
    with database.write() as session:
        jobs.succeed(session, job_id, now=NOON, results=[new_result()], timings={}, summary={})
    with database.read() as session:
        assert deliveries.due_destinations(session, NOON) == ["one", "two"]


def test_an_object_of_a_known_uid_is_never_recorded_again(database, queue):
    first, second = queue(new_job(), new_job(selection_hash="b" * 64))
    with database.write() as session:
        jobs.succeed(session, first, now=NOON, results=[new_result()], timings={}, summary={})
    with pytest.raises(UnequalResultError), database.write() as session:
        jobs.succeed(session, second, now=NOON, results=[new_result(sha256="c" * 64)], timings={}, summary={})


def test_what_failed_is_due_again_at_its_time_and_what_was_sent_never(database, queue):
    (job_id,) = queue(new_job(destinations=("one",)))
    with database.write() as session:
        jobs.succeed(session, job_id, now=NOON, results=[new_result("1.8"), new_result("1.9")], timings={}, summary={})
        first, second = deliveries.due(session, "one", NOON)
        later = NOON + timedelta(seconds=5)
        deliveries.record(
            session,
            [
                deliveries.Attempt(
                    delivery_id=first.id, state=DeliveryState.SENT, status=0, message=None, next_attempt_at=None
                ),
                deliveries.Attempt(
                    delivery_id=second.id, state=DeliveryState.PENDING, status=None, message="x", next_attempt_at=later
                ),
            ],
            now=NOON,
        )
    with database.read() as session:
        assert deliveries.due(session, "one", NOON) == []
        assert deliveries.next_due_at(session, after=NOON) == later
        assert [d.sop_instance_uid for d in deliveries.due(session, "one", later)] == ["1.9"]


class JobLife(RuleBasedStateMachine):
    """Whatever happens to a job, in any order, its row stays consistent."""

    def __init__(self):
        super().__init__()
        self.database = Database("sqlite:///:memory:")
        schema.upgrade(self.database)
        self.now = NOON
        self.running = None
        with self.database.write() as session:
            (self.job_id,) = settled_study(session, NOON, new_job())

    def teardown(self):
        self.database.close()

    @rule(seconds=st.integers(1, 200))
    def time_passes(self, seconds):
        self.now += timedelta(seconds=seconds)

    @rule()
    def start(self):
        with self.database.write() as session:
            job = starting.start_next(session, device="cpu", now=self.now)
        if job is not None:
            assert self.running is None
            self.running = job.id

    @precondition(lambda self: self.running)
    @rule(how=st.sampled_from(["succeed", "refuse", "fail", "die", "node dies"]))
    def end(self, how):
        with self.database.write() as session:
            if how == "succeed":
                jobs.succeed(session, self.running, now=self.now, results=[new_result()], timings={}, summary={})
            elif how == "refuse":
                jobs.refuse(session, self.running, now=self.now, code="c", message="m")
            elif how == "fail":
                jobs.fail(session, self.running, now=self.now, code="c", message="m", retry=RETRY)
            elif how == "die":
                jobs.worker_died(session, self.running, now=self.now, code="c", message="m", retry=RETRY)
            else:
                assert jobs.requeue_running(session) == 1
        self.running = None

    @invariant()
    def consistent(self):
        with self.database.read() as session:
            job = session.get_one(Job, self.job_id)
            sent = session.scalars(select(Delivery)).all()
        assert (job.state is JobState.RUNNING) == (self.running is not None)
        assert job.attempts <= RETRY.max_attempts
        assert job.worker_deaths <= jobs.MAX_WORKER_DEATHS
        assert (len(sent) == 2) == (job.state is JobState.SUCCEEDED)
        if job.state in {JobState.SUCCEEDED, JobState.REFUSED, JobState.QUARANTINED}:
            assert job.not_before is None


TestJobLife = JobLife.TestCase
TestJobLife.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
