"""What becomes of a study that goes on after retention removed its images."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from db.models import Decision, Instance, Job, Study
from db.repository import settling
from db.states import JobState, StudyState
from inference.registry import CARDS
from node.config import Config
from node.explanation import explain
from node.retention import Retention
from node.sections import Retention as RetentionSettings
from tests.unit.db.conftest import received  # noqa: F401 - a fixture
from tests.unit.node.test_settler import QUIET_S, desk  # noqa: F401 - a fixture

SOON = QUIET_S + 1


@pytest.fixture
def emptied(desk):  # noqa: F811 - the fixture
    """A study of sixty slices that ran and was delivered, and whose images are gone."""
    desk.index(ago_s=SOON)
    desk.settler.run()
    end(desk, JobState.SUCCEEDED)
    later = datetime.now(UTC) + timedelta(days=31)
    config = Config(retention=RetentionSettings(inputs_days=30))
    retention = Retention(database=desk.database, storage=desk.storage, config=config, clock=lambda: later)
    while retention.run() - later < timedelta(minutes=1):
        pass
    assert all(instance.removed_at for instance in rows(desk, Instance))
    return desk


def end(desk, state):  # noqa: F811 - the fixture
    with desk.database.write() as session:
        session.execute(update(Job).values(state=state, finished_at=datetime.now(UTC)))


def rows(desk, kind):  # noqa: F811 - the fixture
    with desk.database.read() as session:
        return session.scalars(select(kind).order_by(kind.id)).all()


def explained(desk):  # noqa: F811 - the fixture
    """Return what `route` says of the one stack and the one rule."""
    with desk.database.read() as session:
        instances, ended = settling.instances(session, 1), settling.ended_jobs(session, 1)
    return explain("1.2.3", instances, Config(), CARDS, ended).rules[0].stacks[0].outcomes[0].code


def test_a_late_slice_alone_is_refused_with_the_request_to_resend_the_study(emptied):
    emptied.index_late(1, ago_s=SOON)
    emptied.settler.run()
    decision = rows(emptied, Decision)[-1]
    assert decision.code == "input-gone"
    assert "60 of its 61 images were removed" in decision.reason
    assert "Resend the study." in decision.reason
    assert decision.job_id is None
    assert emptied.count_jobs() == 1
    assert explained(emptied) == "input-gone"
    assert emptied.states() == {"1.2.3": StudyState.SETTLED}


def test_after_the_study_was_resent_it_runs_with_its_late_slice(emptied):
    emptied.index_late(1, ago_s=SOON)
    emptied.settler.run()
    emptied.index(ago_s=SOON)
    assert not any(instance.removed_at for instance in rows(emptied, Instance))
    emptied.settler.run()
    assert rows(emptied, Decision)[-1].code == "selected"
    assert [job.state for job in rows(emptied, Job)] == [JobState.SUCCEEDED, JobState.QUEUED]


def test_what_ran_before_its_images_went_still_counts_as_run(emptied):
    with emptied.database.write() as session:
        session.execute(update(Study).values(state=StudyState.RECEIVING))
    emptied.settler.run()
    decision = rows(emptied, Decision)[-1]
    assert (decision.code, decision.job_id) == ("selected", 1)
    assert explained(emptied) == "selected"
    assert emptied.count_jobs() == 1


def test_a_cancelled_job_is_not_revived_without_its_images(emptied):
    end(emptied, JobState.CANCELLED)
    with emptied.database.write() as session:
        session.execute(update(Study).values(state=StudyState.RECEIVING))
    emptied.settler.run()
    assert rows(emptied, Decision)[-1].code == "input-gone"
    assert rows(emptied, Job)[0].state is JobState.CANCELLED
