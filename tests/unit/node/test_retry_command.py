"""`opacity-node retry`, on a node's database."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from db import schema
from db.files import Storage
from db.models import Job
from db.session import Database
from db.states import JobState
from node.cli import app
from tests.rows import new_job, settled_study

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
STATES = (JobState.FAILED, JobState.FAILED, JobState.QUARANTINED, JobState.REFUSED, JobState.SUCCEEDED)


@pytest.fixture
def database(tmp_path):
    """One study with a job in each of the states above; the second was superseded."""
    database = Database(f"sqlite:///{Storage(tmp_path).database}")
    schema.upgrade(database)
    with database.write() as session:
        settled_study(session, NOW, *(new_job(selection_hash=str(n)) for n in range(len(STATES))))
        for job, state in zip(session.scalars(select(Job).order_by(Job.id)), STATES, strict=True):
            job.state, job.attempts = state, 3
        session.get_one(Job, 2).superseded_by_id = 5
    yield database
    database.close()


@pytest.fixture
def call(database, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(f'[storage]\npath = "{tmp_path}"\n')
    return lambda *arguments: CliRunner().invoke(app, ["retry", *arguments, "--config", str(file)])


def queued(database):
    with database.read() as session:
        return list(session.scalars(select(Job.id).where(Job.state == JobState.QUEUED).order_by(Job.id)))


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (("--state", "failed"), [1]),
        (("--state", "quarantined"), [3]),
        (("1", "3"), [1, 3]),
        (("4",), [4]),
    ],
)
def test_jobs_that_gave_up_run_again_by_state_or_number(call, database, arguments, numbers):
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    assert ", ".join(map(str, numbers)) in done.output
    assert "queued again" in done.output
    assert queued(database) == numbers


def test_what_stays_is_told_beside_what_runs(call, database):
    done = call("1", "2", "5", "9")
    assert done.exit_code == 0, done.output
    for words in ("job 2 is not run again: job 5 took its place", "job 5 is not", "job 9 is not", "job 1 is queued"):
        assert words in " ".join(done.output.split())
    assert queued(database) == [1]


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ((), "say which jobs"),
        (("1", "--state", "failed"), "say which jobs"),
        (("--state", "succeeded"), "one of failed, quarantined"),
        (("2",), "nothing to run again"),
        (("99",), "no such job"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_a_remedy(call, database, arguments, remedy):
    done = call(*arguments)
    assert done.exit_code == 2
    assert remedy in " ".join(done.output.split())
    assert queued(database) == []


def test_a_state_without_jobs_ends_with_2_and_a_remedy(call):
    call("--state", "quarantined")
    done = call("--state", "quarantined")
    assert done.exit_code == 2
    assert "opacity-node jobs" in done.output
