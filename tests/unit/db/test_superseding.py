"""A later revision takes the place of an earlier one: what waits is cancelled, what was delivered is named."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from db.models import Delivery, Instance, Job
from db.repository import deliveries, intake, jobs, settling, starting
from db.repository.jobs import NewResult, Retry
from db.repository.resolving import Decision, Keep, resolve
from db.states import DeliveryState, HoldReason, InstanceRole, JobState, SettleReason
from tests.rows import new_job
from tests.unit.db.conftest import NOON


class Revisions:
    """A study of some instances, and a way to settle it again and again."""

    def __init__(self, database, received):
        self.database = database
        with database.write() as session:
            intake.add(session, [received(n) for n in (1, 2, 3)])

    def settle(self, *new, rejected=frozenset()):
        with self.database.write() as session:
            settling.settle(session, 1, reason=SettleReason.QUIET, now=NOON, jobs=new, decisions=[], rejected=rejected)

    def uids(self, *ids):
        with self.database.read() as session:
            return set(session.scalars(select(Instance.sop_instance_uid).where(Instance.id.in_(ids))))

    def start(self):
        with self.database.write() as session:
            return starting.start_next(session, device="cpu", now=NOON)

    def succeed(self, job, uid):
        result = NewResult(
            kind="sr",
            sop_instance_uid=uid,
            sop_class_uid="1.2",
            series_instance_uid=f"{uid}.1",
            path="results/x",
            size=1,
            sha256="b" * 64,
            device_uid="2.25.7",
        )
        with self.database.write() as session:
            jobs.succeed(session, job.id, now=NOON, results=[result], timings={}, summary={})

    def deliver(self, state=DeliveryState.SENT):
        with self.database.write() as session:
            for delivery in session.scalars(select(Delivery).where(Delivery.state == DeliveryState.PENDING)):
                delivery.state = state

    def jobs(self):
        with self.database.read() as session:
            return session.scalars(select(Job.state).order_by(Job.id)).all()

    def deliveries(self):
        with self.database.read() as session:
            return session.scalars(select(Delivery.state).order_by(Delivery.id)).all()


def job(letter, **changes):
    return new_job(selection_hash=letter * 64, destinations=("one",), **({"instance_ids": (1, 2)} | changes))


@pytest.fixture
def study(database, received):
    return Revisions(database, received)


def test_a_job_that_did_not_run_yet_is_cancelled(study):
    study.settle(job("a"))
    study.settle(job("b"))
    assert study.jobs() == [JobState.CANCELLED, JobState.QUEUED]
    assert study.start().predecessors == ()


@pytest.mark.parametrize("state", [DeliveryState.PENDING, DeliveryState.FAILED])
def test_results_that_were_not_delivered_are_cancelled_and_not_named(study, state):
    study.settle(job("a"))
    study.succeed(study.start(), "1.9.1")
    study.deliver(state)
    study.settle(job("b"))
    assert study.deliveries() == [DeliveryState.CANCELLED]
    assert study.start().predecessors == ()


@pytest.mark.parametrize("state", [DeliveryState.SENT, DeliveryState.WARNED, DeliveryState.COMMITTED])
def test_a_report_that_was_delivered_is_named_by_the_next(study, state):
    study.settle(job("a"))
    study.succeed(study.start(), "1.9.1")
    study.deliver(state)
    study.settle(job("b"))
    assert study.start().predecessors == (
        {"sop_class_uid": "1.2", "sop_instance_uid": "1.9.1", "series_instance_uid": "1.9.1.1"},
    )
    assert study.deliveries() == [state]


def test_a_delivered_report_is_named_also_past_a_revision_that_never_ran(study):
    study.settle(job("a"))
    study.succeed(study.start(), "1.9.1")
    study.deliver()
    study.settle(job("b"))
    study.settle(job("c"))
    assert [p["sop_instance_uid"] for p in study.start().predecessors] == ["1.9.1"]


def test_a_retry_names_what_the_first_start_named(study):
    study.settle(job("a"))
    first = study.start()
    study.settle(job("b"))
    second = study.start()
    assert second.predecessors == ()
    study.succeed(first, "1.9.1")
    with study.database.write() as session:
        jobs.requeue_running(session)
    assert study.start().predecessors == ()


def test_results_of_a_job_that_was_running_when_it_was_superseded_are_not_sent(study):
    study.settle(job("a"))
    running = study.start()
    study.settle(job("b"))
    study.succeed(running, "1.9.1")
    assert study.deliveries() == [DeliveryState.CANCELLED]
    assert study.jobs() == [JobState.SUCCEEDED, JobState.QUEUED]


def test_a_revision_that_chooses_the_same_again_changes_nothing(study):
    study.settle(job("a"))
    study.succeed(study.start(), "1.9.1")
    study.settle(job("a"))
    assert study.jobs() == [JobState.SUCCEEDED]
    assert study.deliveries() == [DeliveryState.PENDING]


def test_a_selection_that_is_chosen_again_comes_back_to_life(study):
    study.settle(job("a"))
    study.settle(job("b"))
    study.settle(job("a"))
    assert study.jobs() == [JobState.QUEUED, JobState.CANCELLED]


def test_results_of_a_selection_that_is_chosen_again_are_due(study):
    study.settle(job("a"))
    study.succeed(study.start(), "1.9.1")
    study.settle(job("b"))
    study.settle(job("a"))
    with study.database.read() as session:
        assert len(deliveries.due(session, "one", NOON)) == 1


def test_what_a_person_gave_up_stays_given_up_when_its_selection_is_chosen_again(study):
    study.settle(job("a"))
    study.succeed(study.start(), "1.9.1")
    with study.database.write() as session:
        delivery = session.scalars(select(Delivery)).one()
        delivery.state, delivery.message = DeliveryState.CANCELLED, "a person gave it up"
    study.settle(job("b"))
    study.settle(job("a"))
    assert study.deliveries() == [DeliveryState.CANCELLED]


def test_results_of_a_job_that_was_superseded_as_it_ran_are_due_when_it_is_chosen_again(study):
    study.settle(job("a"))
    running = study.start()
    study.settle(job("b"))
    study.succeed(running, "1.9.1")
    study.settle(job("a"))
    assert study.deliveries() == [DeliveryState.PENDING]


def test_another_pipeline_is_left_alone(study):
    study.settle(job("a", pipeline="one"))
    study.settle(job("b", pipeline="two"))
    assert study.jobs() == [JobState.QUEUED, JobState.QUEUED]


def test_of_several_stacks_each_takes_the_place_of_its_own(study):
    first, second = job("a"), new_job(selection_hash="b" * 64, instance_ids=(3,))
    study.settle(first, second)
    study.settle(job("c"), second)
    assert study.jobs() == [JobState.CANCELLED, JobState.QUEUED, JobState.QUEUED]


def test_a_job_without_a_common_image_takes_the_place_of_none_of_several(study):
    first, second = job("a"), new_job(selection_hash="b" * 64, instance_ids=(3,))
    study.settle(first, second)
    study.settle(job("c"))
    assert study.jobs() == [JobState.CANCELLED, JobState.QUEUED, JobState.QUEUED]


def test_what_rests_on_rejected_pixels_is_cancelled_also_where_nothing_takes_its_place(study, received):
    study.settle(job("a"))
    study.succeed(study.start(), "1.9.1")
    other = received(1, spool_name="x", dataset_sha256="f" * 64, pixel_sha256="f" * 64, received_at=NOON + timedelta(1))
    with study.database.write() as session:
        intake.add(session, [other])
        resolve(session, "1.2.3", Decision(keep=Keep.NEWEST))
    study.settle()
    assert study.deliveries() == [DeliveryState.CANCELLED]


def test_a_job_reads_its_own_receipt_where_the_current_one_shows_something_else(study, received):
    study.settle(job("a"))
    with study.database.write() as session:
        for row in session.scalars(select(Instance).where(Instance.sop_instance_uid == "1.2.3.4.1")):
            row.role = InstanceRole.SUPERSEDED
        session.flush()
        elsewhere = received(
            1, spool_name="x", dataset_sha256="f" * 64, study_instance_uid="1.2.99", path="archive/B.dcm"
        )
        intake.add(session, [elsewhere])
    assert study.start().paths == ("archive/1.dcm", "archive/2.dcm")


@pytest.mark.parametrize("end", ["fault", "death", "restart"])
def test_a_superseded_job_that_does_not_succeed_is_not_tried_again(study, end):
    study.settle(job("a"))
    running = study.start()
    study.settle(job("b"))
    retry = Retry(max_attempts=3, after_s=1)
    with study.database.write() as session:
        if end == "restart":
            jobs.requeue_running(session)
        else:
            record = jobs.fail if end == "fault" else jobs.worker_died
            record(session, running.id, now=NOON, code="c", message="m", retry=retry)
    assert study.jobs() == [JobState.CANCELLED, JobState.QUEUED]


def test_a_refusal_known_before_the_start_takes_no_place(study):
    study.settle(job("a"))
    study.settle(job("b", refusal={"code": "c", "reason": "r", "remedy": ""}))
    assert study.jobs() == [JobState.QUEUED, JobState.QUEUED]


def test_jobs_of_a_held_study_wait(study):
    from db.repository import holding

    study.settle(job("a"))
    with study.database.write() as session:
        holding.hold(session, 1, reason=HoldReason.CONFLICT, message="m")
    assert study.start() is None


def test_a_job_reads_the_newest_update_of_each_instance(study, received):
    study.settle(job("a"))
    tomorrow = NOON + timedelta(days=1)
    update = received(2, spool_name="x", dataset_sha256="f" * 64, path="archive/update.dcm", received_at=tomorrow)
    with study.database.write() as session:
        intake.add(session, [update], same_images={"x"})
    started = study.start()
    assert started.paths == ("archive/1.dcm", "archive/update.dcm")
    assert started.demographics_path == "archive/update.dcm"


def test_priority_puts_forward_and_waiting_makes_up_for_it(database, received):
    def settle(pipeline, priority, minutes):
        new = new_job(pipeline=pipeline, priority=priority, ageing_s=600.0)
        at = NOON + timedelta(minutes=minutes)
        with database.write() as session:
            settling.settle(session, 1, reason=SettleReason.QUIET, now=at, jobs=[new], decisions=[])

    with database.write() as session:
        intake.add(session, [received(1)])
    settle("routine", 0, 0)
    settle("urgent", 5, 40)
    settle("urgent, much later", 5, 60)
    started = []
    for _ in range(3):
        with database.write() as session:
            started.append(starting.start_next(session, device="cpu", now=NOON).pipeline)
    assert started == ["urgent", "routine", "urgent, much later"]


def test_what_waits_on_a_rejected_image_is_cancelled_and_the_rest_goes_on(study):
    both = job("a", instance_ids=(1,)), job("b", instance_ids=(2,))
    study.settle(*both, job("c", instance_ids=(3,)))
    study.succeed(study.start(), "1.9.1")
    study.settle(rejected=study.uids(1, 3))
    assert study.jobs() == [JobState.SUCCEEDED, JobState.QUEUED, JobState.CANCELLED]
    assert study.deliveries() == [DeliveryState.CANCELLED]


def test_each_selection_has_a_place_of_its_own_and_what_takes_anothers_stands_there(study):
    study.settle(job("a", instance_ids=(1,)))
    first = study.start().place
    assert (first.number, first.among_several) == (0, False)
    study.settle(job("a", instance_ids=(1,)), job("b", instance_ids=(2,)), job("c", instance_ids=(3,)))
    assert [(p.number, p.among_several) for p in (study.start().place, study.start().place)] == [(1, True), (2, True)]
    study.settle(*(job(name, instance_ids=(n,)) for name, n in (("a", 1), ("B", 2), ("c", 3), ("d", 2))))
    assert study.start().place.number == 1
    assert study.start().place.number == 3


def test_other_pipelines_take_places_and_a_notice_makes_no_several(study):
    study.settle(job("a", instance_ids=(1,)), job("b", pipeline="q", instance_ids=(1,)))
    assert [(p.number, p.among_several) for p in (study.start().place, study.start().place)] == [(0, False), (1, False)]
    study.settle(
        job("a", instance_ids=(1,)), job("n", refusal={"code": "x", "reason": "y", "remedy": ""}, instance_ids=(2,))
    )
    assert (told := study.start().place).number == 2
    assert told.among_several
