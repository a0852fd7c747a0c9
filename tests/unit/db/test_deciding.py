"""A settled study decided again: other decisions in place of the old, and only what is new runs."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from db.models import Decision, Instance, Job, Revision, Study
from db.repository import deciding, holding, intake, jobs, settling, starting
from db.repository.settling import NewDecision
from db.states import HoldReason, JobState, Outcome, SettleReason, StudyState
from tests.rows import new_job
from tests.unit.db.conftest import NOON

STUDY = "1.2.3"
LATER = NOON + timedelta(hours=3)


def decision(pipeline, *, job=None):
    return NewDecision(
        series_id=1,
        stack="s",
        instance_count=1,
        rule="r",
        pipeline=pipeline,
        outcome=Outcome.NOT_RUN if job is None else Outcome.RUN,
        code="rule" if job is None else "",
        reason="because",
        job=job,
    )


@pytest.fixture
def settled(database, received):
    """A study that ran p, and of which a rule excluded q."""
    with database.write() as session:
        intake.add(session, [received(1)])
        ids = tuple(row.id for row in settling.instances(session, 1))
        settling.settle(
            session,
            1,
            reason=SettleReason.QUIET,
            now=NOON,
            jobs=[new_job(instance_ids=ids)],
            decisions=[decision("p", job=0), decision("q")],
        )
        starting.start_next(session, device="cpu", now=NOON)
        jobs.succeed(session, 1, now=NOON, results=[], timings={}, summary={})
    return ids


def decide_again(session, ids):
    return deciding.decide_again(
        session,
        1,
        now=LATER,
        jobs=[new_job(instance_ids=ids), new_job(pipeline="q", instance_ids=ids)],
        decisions=[decision("p", job=0), decision("q", job=1)],
    )


def test_only_what_did_not_run_is_queued_and_the_decisions_are_those_of_now(database, settled):
    with database.write() as session:
        deciding.ask(session, STUDY)
        (asked,) = settling.to_decide_again(session)
        assert (asked.study_instance_uid, asked.state) == (STUDY, StudyState.SETTLED)
        assert decide_again(session, settled) == [2]
    with database.read() as session:
        assert settling.to_decide_again(session) == []
        assert [(j.pipeline, j.state, j.revision_id) for j in session.scalars(select(Job).order_by(Job.id))] == [
            ("p", JobState.SUCCEEDED, 1),
            ("q", JobState.QUEUED, 1),
        ]
        found = session.scalars(select(Decision).order_by(Decision.id)).all()
        assert [(d.pipeline, d.outcome, d.job_id) for d in found] == [("p", Outcome.RUN, 1), ("q", Outcome.RUN, 2)]
        (revision,) = session.scalars(select(Revision)).all()
        assert (revision.number, revision.settled_at, revision.decided_at) == (1, NOON, LATER)
        known = deciding.decided(session, session.get_one(Study, 1))
        assert (known.at, known.runs) == (LATER, {(1, "s", "p"), (1, "s", "q")})


def test_deciding_the_same_again_queues_nothing(database, settled):
    with database.write() as session:
        assert decide_again(session, settled) == [2]
        assert decide_again(session, settled) == []
        assert len(session.scalars(select(Decision)).all()) == 2


def test_a_revision_that_comes_first_answers_what_was_asked(database, settled, received):
    with database.write() as session:
        deciding.ask(session, STUDY)
        intake.add(session, [received(2)])
        assert settling.to_decide_again(session) == []
        settling.settle(session, 1, reason=SettleReason.QUIET, now=LATER, jobs=[], decisions=[])
        assert settling.to_decide_again(session) == []


def test_a_study_that_cannot_be_decided_again_says_why(database, settled, received):
    with database.write() as session:
        assert deciding.why_not(session, STUDY) is None
        assert deciding.why_not(session, "9.9") == "there is no such study"
        session.execute(update(Instance).values(removed_at=LATER))
        assert "send the study again" in deciding.why_not(session, STUDY)
        intake.add(session, [received(2)])
        assert "it is being received" in deciding.why_not(session, STUDY)
        holding.hold(session, 1, reason=HoldReason.CONFLICT, message="other pixels")
        assert f"opacity-node resolve {STUDY}" in deciding.why_not(session, STUDY)
