"""The storage as it looks from outside: its room, its folders, its database file, and what was set aside.

Looks at files only, so that it answers also where no database does.
"""

import os
import sqlite3
import time
from contextlib import closing

from db.faults import explain
from db.files import Storage, spool_time_s
from inference.wording import counted
from node.problems import Problem, Severity
from node.sections import StorageSettings

_SPOOL_LATE_S = 300.0
_SOON_LOW = 2
"""Times the low-water mark: what is left then is said before it is too late."""
_NEARLY_FULL_MB = 50
_LOCK_PATIENCE_S = 2.0


def storage_problems(settings: StorageSettings, *, free_bytes: float) -> list[Problem]:
    """Look at a storage.

    Parameters
    ----------
    settings : StorageSettings
        Its place and its low-water mark.
    free_bytes : float
        Room on its file system.
    """
    storage = Storage(settings.path)
    if not storage.spool.is_dir():
        return []  # never served
    return [
        *_room(settings, free_bytes / 1e6),
        *_folders(storage),
        *_spool(storage),
        *_database(storage),
        *_set_aside(storage),
    ]


def _room(settings: StorageSettings, free_mb: float) -> list[Problem]:
    mark = max(settings.low_water_mb, _NEARLY_FULL_MB)
    if free_mb >= _SOON_LOW * mark:
        return []
    if free_mb >= mark:
        return [_warning(f"only {free_mb:.0f} MB left in {settings.path}; below {mark} MB nothing more is accepted")]
    if not settings.low_water_mb:
        return [_critical(f"only {free_mb:.0f} MB left in {settings.path}; make room there")]
    return [
        _critical(
            f"only {free_mb:.0f} MB left in {settings.path}, less than storage.low_water_mb ({mark}): "
            "nothing more is accepted (0xA700) until you make room there"
        )
    ]


def _folders(storage: Storage) -> list[Problem]:
    problems = []
    for folder in (storage.incoming, storage.spool, storage.archive, storage.results):
        if not folder.is_dir():
            problems.append(_critical(f"{folder} is gone; put it back"))
        elif os.statvfs(folder).f_flag & os.ST_RDONLY:
            problems.append(_critical(f"{folder} is on a read-only file system; mend it and mount it again"))
    return problems


def _spool(storage: Storage) -> list[Problem]:
    if storage.rebuild.is_dir():
        left = counted(sum(1 for _ in storage.rebuild.glob("*/*/*")), "study", "studies")
        return [_warning(f"the database is made anew from the archive: {left} to go; none runs until then")]
    oldest = next(iter(storage.spooled()), None)
    if oldest and time.time() - spool_time_s(oldest) > _SPOOL_LATE_S:
        return [_critical("received files wait in the spool for over 5 minutes; the log of `serve` says why")]
    return []


def _database(storage: Storage) -> list[Problem]:
    if not storage.database.exists():
        lost = any(storage.archive.glob("*")) or any(storage.results.glob("*"))
        return [_critical("the database file is gone; a running node makes a new one from the archive")] if lost else []
    try:
        with closing(sqlite3.connect(f"{storage.database.as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute(f"PRAGMA busy_timeout={int(_LOCK_PATIENCE_S * 1000)}")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            return [_critical(f"{explain(error)} ({storage.database}); what is received waits in the spool")]
        # Whatever else it has, the one who reads it says.
    return []


def _set_aside(storage: Storage) -> list[Problem]:
    problems = []
    unreadable = sum(1 for _ in storage.quarantine.glob("acknowledged/*.dcm"))
    if unreadable:
        problems.append(
            _critical(f"{unreadable} received files could not be indexed; see {storage.quarantine / 'acknowledged'}")
        )
    problems += [
        _warning(f"the database was damaged: it lies as {file.name}, delete it when you will; a new one is in use")
        for file in sorted(storage.root.glob(f"{storage.database.name}.damaged-*Z"))
    ]
    return problems


def _warning(message: str) -> Problem:
    return Problem(severity=Severity.WARNING, message=message)


def _critical(message: str) -> Problem:
    return Problem(severity=Severity.CRITICAL, message=message)
