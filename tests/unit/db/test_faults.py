"""What the machine does to us, told in one line."""

import errno
import logging
import sqlite3

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from db.faults import SAY_AGAIN_AFTER_S, Trouble, explain, is_damage
from db.session import Database, DatabaseGoneError


def raised_by(function):
    with pytest.raises((OSError, DBAPIError, DatabaseGoneError)) as caught:
        function()
    return caught.value


def ask(database):
    with database.write() as session:
        session.execute(text("SELECT * FROM study"))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.EIO, "disk fails"),
    ],
)
def test_errors_of_files_name_the_remedy(number, words):
    assert words in explain(OSError(number, "x", "/somewhere"))


def test_a_locked_database_is_explained(database, tmp_path):
    other = sqlite3.connect(tmp_path / "node.sqlite3")
    other.execute("BEGIN EXCLUSIVE")
    impatient = Database(f"sqlite:///{tmp_path / 'node.sqlite3'}", busy_timeout_s=0)
    error = raised_by(lambda: ask(impatient))
    other.close()
    impatient.close()
    assert "fuser" in explain(error)
    assert not is_damage(error)


def test_a_file_that_is_no_database_is_damage(tmp_path):
    (tmp_path / "node.sqlite3").write_bytes(b"no database" * 1000)
    error = raised_by(lambda: ask(Database(f"sqlite:///{tmp_path / 'node.sqlite3'}")))
    assert explain(error)
    assert is_damage(error)


def test_a_mistake_of_ours_is_not_explained_away(database):
    def mistake():
        with database.read() as session:
            session.execute(text("SELECT * FROM nothing"))

    error = raised_by(mistake)
    assert isinstance(error, OperationalError)
    assert explain(error) is None
    assert explain(ValueError("x")) is None
    assert explain(OSError("without a number")) is None


def test_a_lasting_fault_is_said_seldom_and_its_end_once(caplog):
    caplog.set_level(logging.INFO)
    now = [0.0]
    trouble = Trouble("stage x waits", logging.getLogger("t"), clock=lambda: now[0])
    trouble.end()
    for number in range(100):
        trouble.met(OSError(errno.ENOSPC, "", f"/spool/{number}"))
    assert len(caplog.records) == 1
    trouble.met(OSError(errno.EIO, ""))
    assert len(caplog.records) == 2
    now[0] = SAY_AGAIN_AFTER_S
    trouble.met(OSError(errno.EIO, ""))
    assert len(caplog.records) == 3
    trouble.end()
    trouble.end()
    assert [r.levelname for r in caplog.records][3:] == ["INFO"]
    assert all(r.exc_info is None for r in caplog.records)


def test_one_success_between_failures_is_not_the_end(caplog):
    caplog.set_level(logging.INFO)
    now = [0.0]
    trouble = Trouble("x", logging.getLogger("t"), over_after_s=5, clock=lambda: now[0])
    for _ in range(20):
        trouble.met(OSError(errno.ENOSPC, ""))
        trouble.end()
    now[0] = 6.0
    trouble.end()
    assert [r.levelname for r in caplog.records] == ["ERROR", "INFO"]
