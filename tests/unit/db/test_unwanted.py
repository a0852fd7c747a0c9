"""What a destination does not want: it is not sent, not forgotten, and can be sent once the destination wants it."""

import pytest

from db.models import Job
from db.repository import deliveries, jobs, reports
from db.repository.jobs import NewResult
from db.repository.resending import Choice, Resending, give_up, listed
from db.states import DeliveryState
from tests.rows import new_job, settled_study
from tests.unit.db.conftest import NOON


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
def succeed(database):
    """Have a job for the destinations "one" and "two" make a report and a segmentation; returns its id."""

    def make(wants):
        results = [result("sr", 1), result("seg", 2)]
        with database.write() as session:
            (job_id,) = settled_study(session, NOON, new_job())
            jobs.succeed(session, job_id, now=NOON, results=results, timings={}, summary={}, wants=wants)
        return job_id

    return make


def only_reports(_destination, kind):
    return kind == "sr"


def all_at_two(destination, kind):
    return kind == "sr" or destination == "two"


def due_kinds(session, destination):
    return {due.kind for due in deliveries.due(session, destination, NOON)}


def resent(session, choice, **how):
    resending = Resending(choice, now=NOON, **how)
    while resending.step(session):
        pass
    return resending.resent


@pytest.mark.parametrize(
    ("wants", "to", "added"),
    [
        (only_reports, None, {"one": 1, "two": 1}),
        (only_reports, "one", {"one": 1}),
        (only_reports, "two", {"two": 1}),
        (only_reports, "three", {"three": 2}),
        (all_at_two, None, {"one": 1}),
    ],
)
def test_what_a_destination_did_not_want_when_it_was_made_can_be_sent_once_it_does(database, succeed, wants, to, added):
    succeed(wants)
    with database.write() as session:
        assert due_kinds(session, "one") == {"sr"}
        assert resent(session, Choice(), to=to).added == added
        for name in added:
            assert due_kinds(session, name) == {"sr", "seg"}


def test_an_object_that_is_still_not_wanted_where_it_is_to_go_is_told_once(database, succeed):
    succeed(all_at_two)
    with database.write() as session:
        found = resent(session, Choice(), to="three", wants=lambda _to, _pipeline, kind: kind == "sr")
    assert (found.added, found.unwanted) == ({"three": 1}, 1)


def test_what_a_destination_does_not_want_counts_as_no_delivery_and_is_listed_when_asked_for(database, succeed):
    succeed(only_reports)
    with database.read() as session:
        assert [d.kind for d in reports.jobs(session)[0].deliveries] == ["sr", "sr"]
        assert reports.counts(session).deliveries == {"pending": 2, "unwanted": 2}
        assert deliveries.troubles(session) == []
        assert {line.kind for line in listed(session, Choice(), newest=9)} == {"sr"}
        for line in listed(session, Choice(state=DeliveryState.UNWANTED), newest=9):
            assert (line.kind, line.message, line.next_attempt_at) == ("seg", deliveries.UNWANTED, None)


@pytest.mark.parametrize("to", [None, "one", "three"])
def test_what_was_not_wanted_stays_away_once_a_later_job_took_its_place(database, succeed, to):
    job_id = succeed(only_reports)
    with database.write() as session:
        session.get_one(Job, job_id).superseded_by_id = 9
        found = resent(session, Choice(state=DeliveryState.UNWANTED), to=to)
    assert found.total == 0
    assert found.cancelled


def test_what_was_not_wanted_does_not_go_to_a_destination_that_a_person_gave_up(database, succeed):
    succeed(only_reports)
    with database.write() as session:
        assert give_up(session, "one").unsent == 1
        found = resent(session, Choice(destination="one"))
    assert (found.total, found.given_up) == (0, 2)
