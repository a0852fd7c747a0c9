"""A lost or damaged database, made anew from the archive.

Every file of the archive tells by itself what its row said: its name says when it came, its file meta information from
whom. So the archive is set aside as `rebuild/` and fed to the spool, a batch at a time, and the indexer does what it
always does. `rebuild/` is the only note of what is left to do: after a crash the rest is fed.

A study that has results is held from the first moment: nobody knows any more whether they were delivered. Its result
files stay, below a folder `before-<time>` that no new job writes to.
"""

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path

from db import schema
from db.faults import is_damage
from db.files import Storage, is_spool_name, is_uid, spool_time_s, sync_folder
from db.repository import rebuilding
from db.repository.rebuilding import DeliveredStudy
from db.session import DATABASE_SUFFIXES
from handlers.quarantine import Quarantine

logger = logging.getLogger(__name__)

BATCH = 100
_BEFORE = "before-"


class Condition(StrEnum):
    """What lies where the database should be."""

    SOUND = "sound"
    ABSENT = "absent"
    DAMAGED = "damaged"


def examine(database: Path, *, thoroughly: bool = False) -> Condition:
    """Look at a database file.

    Parameters
    ----------
    database : Path
        The file.
    thoroughly : bool
        Reads all of it; else only its beginning.

    Raises
    ------
    OSError, sqlite3.Error
        If the machine does not let us look, which says nothing about the file.
    """
    try:
        if database.stat().st_size == 0:
            return Condition.ABSENT
    except FileNotFoundError:
        return Condition.ABSENT
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)) as connection:
        try:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            healthy = not thoroughly or connection.execute("PRAGMA integrity_check(1)").fetchone() == ("ok",)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return Condition.DAMAGED
    return Condition.SOUND if healthy and {"study", "instance", "job"} <= tables else Condition.DAMAGED


class Rebuild:
    """Makes a database anew.

    Parameters
    ----------
    storage : Storage
        Whose database and archive.
    quarantine : Quarantine
        Takes what lies in the archive and cannot be of it.
    """

    def __init__(self, *, storage: Storage, quarantine: Quarantine) -> None:
        self._storage = storage
        self._quarantine = quarantine
        self._folder = storage.rebuild
        self._fed_until_s = time.time()

    @property
    def under_way(self) -> bool:
        """Whether something is left to feed, or to index of what was fed."""
        return self._folder.is_dir()

    def needed(self) -> bool:
        """Say whether instances or results are known of which an empty database would not know."""
        return self.under_way or _has_entries(self._storage.archive) or _has_entries(self._storage.results)

    def begin(self, condition: Condition) -> None:
        """Set aside what is there, and make a database that knows which studies to hold."""
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        self.feed_archive_again()
        for suffix in DATABASE_SUFFIXES:
            self._set_database_aside(suffix, stamp)
        delivered = self._delivered()
        for study in delivered:
            self._set_results_aside(study.study_instance_uid, stamp)
        schema.create(self._storage.database, lambda session: rebuilding.hold(session, delivered))
        logger.warning(
            "the database was %s and is made anew from the archive; %d studies that have results are held",
            condition.value,
            len(delivered),
            extra={"action": "rebuild"},
        )

    def feed_archive_again(self) -> None:
        """Have every file of the archive pass through the spool once more; what has a row already is only moved."""
        self._fed_until_s = time.time()
        if not _has_entries(self._storage.archive):
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._storage.archive.rename(self._folder / f"{time.time_ns():020d}")
        self._storage.archive.mkdir(mode=0o700, exist_ok=True)
        sync_folder(self._folder)
        sync_folder(self._storage.root)

    def feed(self) -> bool:
        """Move a batch into the spool when the spool has little else.

        Returns
        -------
        bool
            Whether the rebuild goes on.
        """
        if not self.under_way:
            return False
        spooled = self._storage.spooled()
        if len(spooled) >= BATCH:
            return True
        batch = sorted(islice(self._left(), BATCH), key=lambda path: path.name)
        for path in batch:
            self._feed_one(path)
        if batch:
            sync_folder(self._storage.spool)
            return True
        if spooled and spool_time_s(spooled[0]) <= self._fed_until_s:
            return True
        self._folder.rmdir()
        logger.info("the archive is indexed again", extra={"action": "rebuild"})
        return False

    def _left(self) -> Iterator[Path]:
        """Return what is left to feed, study by study; folders that hold nothing any more go."""
        for folder, _, names in os.walk(self._folder, topdown=False):
            yield from (Path(folder) / name for name in sorted(names))
            if not names and Path(folder) != self._folder:
                with contextlib.suppress(OSError):  # it still has subfolders
                    Path(folder).rmdir()

    def _feed_one(self, path: Path) -> None:
        if is_spool_name(path.name):
            path.rename(self._storage.spool / path.name)
        else:
            self._quarantine.take(path, name=path.name, reason="lay in the archive and is not of it")

    def _set_database_aside(self, suffix: str, stamp: str) -> None:
        path = self._storage.database.with_name(self._storage.database.name + suffix)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size == 0:
                path.unlink()
            else:
                path.rename(self._storage.database.with_name(f"{self._storage.database.name}.damaged-{stamp}{suffix}"))

    def _set_results_aside(self, study_instance_uid: str, stamp: str) -> None:
        """Free the folders of a study's jobs: the new database counts jobs from 1 again."""
        results = self._storage.results / study_instance_uid
        folders = [folder for folder in results.iterdir() if not folder.name.startswith(_BEFORE)]
        before = results / f"{_BEFORE}{stamp}"
        for folder in folders:
            before.mkdir(mode=0o700, exist_ok=True)
            folder.rename(before / folder.name)
        if folders:
            sync_folder(before)
            sync_folder(results)

    def _delivered(self) -> list[DeliveredStudy]:
        """Return every study that has results, also those whose images are gone: they may come again."""
        names: dict[str, list[str]] = {}
        for path in self._left():
            if is_spool_name(path.name):
                names.setdefault(path.parent.name, []).append(path.name)
        delivered = []
        for folder in sorted(self._storage.results.iterdir()):
            if is_uid(folder.name):
                times_s = [spool_time_s(name) for name in names.get(folder.name, ())] or [folder.stat().st_mtime]
                delivered.append(
                    DeliveredStudy(
                        study_instance_uid=folder.name,
                        first_received_at=datetime.fromtimestamp(min(times_s), UTC),
                        last_received_at=datetime.fromtimestamp(max(times_s), UTC),
                    )
                )
        return delivered


def _has_entries(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return next(entries, None) is not None
