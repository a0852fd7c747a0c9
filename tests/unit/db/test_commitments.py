"""What a destination reports of the objects that it was asked about, whenever it reports."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from db.models import CommitmentTransaction, Delivery, Job
from db.repository import commitments, deliveries, jobs, starting
from db.repository.deliveries import Attempt
from db.repository.jobs import NewResult
from db.states import DeliveryState
from tests.rows import new_job, settled_study
from tests.unit.db.conftest import NOON

HOUR = timedelta(hours=1)


@pytest.fixture
def write(database):
    """Return a way to write; the object 1.9 was sent at noon, to a destination that is to confirm."""
    with database.write() as session:
        (job,) = settled_study(session, NOON, new_job(destinations=("pacs",)))
        starting.start_next(session, device="cpu", now=NOON)
        result = NewResult(
            kind="sr",
            sop_instance_uid="1.9",
            sop_class_uid="1.2",
            series_instance_uid="1.3",
            path="results/x",
            size=1,
            sha256="b",
            device_uid="1.4",
        )
        jobs.succeed(session, job, now=NOON, results=[result], timings={}, summary={})
        send(session)
    return database.write


def send(session):
    sent = Attempt(delivery_id=1, state=DeliveryState.SENT, status=0, message=None, next_attempt_at=NOON)
    deliveries.record(session, [sent], now=NOON)


def ask(session, transaction_uid, *, after=0 * HOUR):
    commitments.begin(session, [1], transaction_uid, deadline=NOON + after + HOUR)


def lose(session, transaction_uid):
    return commitments.send_again(
        session, transaction_uid, {"1.9": "lost"}, now=NOON, pause=lambda _: timedelta(0), most=3
    )


def test_a_report_counts_that_comes_after_the_peer_was_asked_again(write):
    with write() as session:
        ask(session, "7.1")
        ask(session, "7.2", after=HOUR)
        assert commitments.is_open(session, "7.1")
        assert commitments.confirm(session, "7.1", {"1.9"}, now=NOON) == 1
        assert session.get(Delivery, 1).state is DeliveryState.COMMITTED
        assert commitments.is_open(session, "7.1")  # a peer that reports twice is told success twice
        assert commitments.confirm(session, "7.1", {"1.9"}, now=NOON) == 0
        assert session.scalar(select(func.count()).select_from(CommitmentTransaction)) == 0


def test_a_late_report_of_a_loss_sends_the_object_again_once(write):
    with write() as session:
        ask(session, "7.1")
        ask(session, "7.2", after=HOUR)
        assert lose(session, "7.1") == 1
        assert session.get(Delivery, 1).state is DeliveryState.PENDING
        assert lose(session, "7.1") == lose(session, "7.2") == 0
        send(session)
        assert lose(session, "7.1") == 0  # of what was sent before
        assert session.get(Delivery, 1).state is DeliveryState.SENT


def test_a_question_that_could_not_be_asked_is_forgotten_and_the_one_before_is_not(write):
    with write() as session:
        ask(session, "7.1")
        ask(session, "7.2", after=HOUR)
        commitments.ask_later(session, [1], now=NOON, until=NOON + HOUR, message="down")
        assert not commitments.is_open(session, "7.2")
        assert commitments.confirm(session, "7.1", {"1.9"}, now=NOON) == 1


def test_questions_without_an_answer_are_kept_for_a_week(write):
    with write() as session:
        for hours in range(0, 24 * 21, 12):
            ask(session, f"7.{hours + 1}", after=hours * HOUR)
        assert session.scalar(select(func.count()).select_from(CommitmentTransaction)) == 15
        assert not commitments.is_open(session, "7.1")


def test_an_object_that_is_not_kept_stays_away_when_a_later_revision_took_its_place(write):
    with write() as session:
        ask(session, "7.1")
        session.get(Job, 1).superseded_by_id = 2
        assert lose(session, "7.1") == 1
    with write() as session:
        delivery = session.get(Delivery, 1)
        assert (delivery.state, delivery.next_attempt_at) == (DeliveryState.CANCELLED, None)
        assert "job 2 took its place" in delivery.message
        assert deliveries.troubles(session) == []
