"""What a monitor is told."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from db import schema
from db.files import Storage
from db.models import Study
from db.repository.deliveries import Trouble
from db.repository.reports import Counts, Held
from db.session import Database
from db.states import HoldReason, StudyState
from node import health, storage_health
from node.config import Config
from node.health import examine
from node.problems import Severity
from node.sections import StorageSettings


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(health, "echo", lambda _peer: True)
    Storage(tmp_path).prepare()
    return Config(storage=StorageSettings(path=tmp_path))


def counts(**changes):
    values = {
        "studies": {},
        "jobs": {},
        "deliveries": {},
        "oldest_pending_delivery_since": None,
        "oldest_running_job_since": None,
    }
    return Counts(**(values | changes))


def test_a_node_with_nothing_to_do_is_well(config):
    assert examine(config).severity is Severity.OK


def test_a_node_that_does_not_answer_is_critical(config, monkeypatch):
    monkeypatch.setattr(health, "echo", lambda _peer: False)
    assert examine(config).severity is Severity.CRITICAL


def test_files_that_wait_in_the_spool_or_were_set_aside_are_critical(config, tmp_path):
    (tmp_path / "spool" / "00000000000000000001-00000000.dcm").touch()
    (tmp_path / "quarantine" / "acknowledged").mkdir()
    (tmp_path / "quarantine" / "acknowledged" / "x.dcm").touch()
    found = examine(config)
    assert found.severity is Severity.CRITICAL
    assert len(found.problems) == 2


def test_a_database_that_cannot_be_read_is_critical_and_no_trace(config, tmp_path):
    (tmp_path / "node.sqlite3").write_bytes(b"this is no database" * 100)
    (problem,) = examine(config).problems
    assert problem.severity is Severity.CRITICAL
    assert "cannot be read" in problem.message


LONG_AGO = datetime.now(UTC) - timedelta(days=1)


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (
            counts(holds={"conflict": Held(studies=1, first=["1.2"])}),
            "study 1.2 is held (conflict); see `opacity-node resolve 1.2`",
        ),
        (counts(jobs={"failed": 1}), "1 job failed; see `opacity-node jobs`, then `opacity-node retry --state failed`"),
        (counts(jobs={"quarantined": 2}), "2 jobs quarantined"),
        (counts(deliveries={"failed": 1}), "not delivered"),
        (counts(deliveries={"unsupported": 1}), "not delivered"),
        (counts(oldest_pending_delivery_since=LONG_AGO), "wait for delivery"),
        (counts(oldest_running_job_since=LONG_AGO), "twice its time limit"),
    ],
)
def test_work_that_needs_a_person_is_told(found, word):
    (problem,) = health._work_problems(found, Config())
    assert word in problem.message
    assert problem.severity >= Severity.WARNING


def test_many_studies_that_are_held_for_one_reason_are_one_line_with_their_number_and_some_names():
    found = counts(holds={"database-rebuilt": Held(studies=2000, first=["1.1", "1.2", "1.3"])})
    (problem,) = health._work_problems(found, Config())
    told = "2000 studies are held (database-rebuilt): 1.1, 1.2, 1.3, ...; see `opacity-node resolve STUDY`"
    assert problem.message == told


def test_held_studies_are_counted_exactly_and_the_first_are_named(config, tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    schema.upgrade(database)
    now = datetime.now(UTC)
    times = {"first_received_at": now, "last_received_at": now, "opened_at": now}
    with database.write() as session:
        for number in range(120):
            reason = HoldReason.CONFLICT if number == 7 else HoldReason.DATABASE_REBUILT
            uid = f"1.2.{number}"
            session.add(Study(study_instance_uid=uid, state=StudyState.HELD, hold_reason=reason, **times))
        session.add(Study(study_instance_uid="1.3", state=StudyState.SETTLED, **times))
    database.close()
    assert examine(config).counts.holds == {
        "conflict": Held(studies=1, first=["1.2.7"]),
        "database-rebuilt": Held(studies=119, first=[f"1.2.{n}" for n in range(101) if n != 7]),
    }


@pytest.mark.parametrize(
    ("age", "severity"),
    [(timedelta(seconds=30), None), (timedelta(minutes=5), Severity.WARNING), (timedelta(hours=2), Severity.CRITICAL)],
)
def test_a_destination_that_fails_is_told_with_since_when_and_what_it_said_last(age, severity):
    since = datetime.now(UTC) - age
    trouble = Trouble(destination="pacs", objects=7, since=since, message="PACS rejected the association: full")
    problems = health._destination_problems([trouble])
    assert [p.severity for p in problems] == ([severity] if severity else [])
    for problem in problems:
        assert f"pacs fails since {since:%Y-%m-%d %H:%M}" in problem.message
        assert "7 objects" in problem.message
        assert "rejected the association: full" in problem.message


def test_work_that_goes_on_is_no_problem():
    soon = datetime.now(UTC)
    going = counts(
        jobs={"running": 1, "succeeded": 9},
        deliveries={"pending": 3, "sent": 9},
        oldest_pending_delivery_since=soon,
        oldest_running_job_since=soon,
    )
    assert health._work_problems(going, Config()) == []


def words(config):
    return " ".join(problem.message for problem in examine(config).problems)


def test_room_below_the_mark_is_critical_and_soon_below_it_a_warning(config, monkeypatch):
    for free_mb, severity in ((100_000, Severity.OK), (3000, Severity.WARNING), (1000, Severity.CRITICAL)):
        monkeypatch.setattr(health.shutil, "disk_usage", lambda _, mb=free_mb: SimpleNamespace(free=mb * 1e6))
        assert examine(config).severity is severity
    assert "storage.low_water_mb (2048)" in words(config)


def test_a_database_that_is_gone_or_made_anew_is_told(config, tmp_path):
    (tmp_path / "archive" / "42").mkdir()
    assert "the database file is gone" in words(config)
    (tmp_path / "rebuild" / "1" / "42" / "1.2.42").mkdir(parents=True)
    (tmp_path / "spool" / "00000000000000000001-00000000.dcm").touch()
    (tmp_path / "node.sqlite3.damaged-20260102T030405Z").touch()
    told = words(config)
    assert "made anew from the archive: 1 study to go" in told
    assert "lies as node.sqlite3.damaged-20260102T030405Z" in told
    assert "over 5 minutes" not in told


def test_a_locked_database_is_critical_and_names_the_remedy(config, tmp_path, monkeypatch):
    monkeypatch.setattr(storage_health, "_LOCK_PATIENCE_S", 0.05)
    with closing(sqlite3.connect(tmp_path / "node.sqlite3", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN EXCLUSIVE")
        assert "another process has locked the database; `fuser -v`" in words(config)


def test_a_folder_that_is_gone_is_critical(config, tmp_path):
    (tmp_path / "results").rmdir()
    assert "results is gone; put it back" in words(config)
    assert examine(config).severity is Severity.CRITICAL
