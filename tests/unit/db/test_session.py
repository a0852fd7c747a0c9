"""A database belongs to the files that it opened first."""

import shutil

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from db import schema
from db.session import Database, DatabaseGoneError

COUNT = text("SELECT count(*) FROM study")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "node.sqlite3"


def ask(database, kind="write"):
    with getattr(database, kind)() as session:
        return session.scalar(COUNT)


@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_nothing_is_read_from_or_written_to_files_that_are_gone(database, path, suffix, kind):
    assert ask(database) == 0
    path.with_name(path.name + suffix).unlink()
    assert not database.in_place
    with pytest.raises(DatabaseGoneError, match="deleted, moved away or replaced"):
        ask(database, kind)


def test_a_file_that_comes_back_is_used_again(database, path):
    ask(database)
    path.rename(path.with_name("away"))
    with pytest.raises(DatabaseGoneError):
        ask(database)
    path.with_name("away").rename(path)
    assert ask(database) == 0


def test_another_file_in_its_place_is_never_taken_for_it(database, path, tmp_path):
    schema.create(tmp_path / "other", lambda _: None)
    shutil.copy(tmp_path / "other", tmp_path / "copy")
    (tmp_path / "copy").replace(path)
    with pytest.raises(DatabaseGoneError):
        ask(database)


def test_a_closed_database_stays_closed(database):
    database.close()
    with pytest.raises(DatabaseGoneError):
        ask(database)


def test_opening_never_makes_a_file(path):
    database = Database(f"sqlite:///{path}")
    with pytest.raises(OperationalError, match="unable to open"):
        ask(database, "read")
    assert not path.exists()


def test_a_database_that_is_made_appears_whole_or_not_at_all(path):
    def fill(session):
        assert session.scalar(COUNT) == 0
        assert not path.exists()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        schema.create(path, fill)
    assert not path.exists()
    schema.create(path, lambda _: None)
    database = Database(f"sqlite:///{path}")
    assert ask(database, "read") == 0
    database.close()
