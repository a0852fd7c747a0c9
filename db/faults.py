"""Faults of the machine under us: what they are called, what helps, and how often the log says so.

A full disk or a locked database is no fault of the program: it lasts until a person or time ends it, and every part of
the service meets it again and again meanwhile. Each part says so once when it begins, seldom while it lasts, and once
when it is over; then it goes on.
"""

import errno
import logging
import sqlite3
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError, OperationalError

from db.schema import SchemaError
from db.session import DatabaseGoneError

SAY_AGAIN_AFTER_S = 300.0

_OF_FILES = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "the disk quota is used up; make room or raise it",
    errno.EROFS: "the file system is read-only; see the kernel's log for why, mend it and mount it again",
    errno.EACCES: "permission denied; give the service's user the files and folders of storage.path",
    errno.EPERM: "permission denied; give the service's user the files and folders of storage.path",
    errno.EIO: "the disk fails to read or write; see the kernel's log and replace it",
    errno.ENOENT: "a file or folder of the storage is gone; put it back",
    errno.EMFILE: "too many open files; raise the limit of the service (LimitNOFILE)",
    errno.ENFILE: "too many open files on this machine; raise fs.file-max",
    errno.ENOMEM: "the machine is out of memory",
}
_OF_DATABASE = {
    sqlite3.SQLITE_FULL: "the disk is full; make room",
    sqlite3.SQLITE_BUSY: "another process has locked the database; `fuser -v` on its file names it",
    sqlite3.SQLITE_LOCKED: "another process has locked the database; `fuser -v` on its file names it",
    sqlite3.SQLITE_READONLY: "the database is read-only; see its permissions and those of its folder",
    sqlite3.SQLITE_PERM: "the database is read-only; see its permissions and those of its folder",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened; see its permissions and those of its folder",
    sqlite3.SQLITE_IOERR: "the disk fails to read or write the database; see the kernel's log",
    sqlite3.SQLITE_CORRUPT: "the database is damaged",
    sqlite3.SQLITE_NOTADB: "the database file is not a database",
}
_PRIMARY_CODE = 0xFF
"""SQLite's extended result codes hold the primary one in their lowest byte."""


def explain(error: BaseException) -> str | None:
    """Return what the machine has and what helps, in one line; None for an error that is not of the machine."""
    if isinstance(error, OSError):
        return _OF_FILES.get(error.errno or 0)
    if isinstance(error, DatabaseGoneError | SchemaError):
        return str(error)
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        # An error that the driver raised itself has no code.
        return _OF_DATABASE.get(getattr(cause, "sqlite_errorcode", 0) & _PRIMARY_CODE)
    return None


def of_database(error: BaseException) -> bool:
    """Say whether an error is of the database or the machine, and none of the rows that were to be written."""
    return isinstance(error, OperationalError) or explain(error) is not None


def is_damage(error: BaseException) -> bool:
    """Say whether the database said that it is damaged, or none at all."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", 0) & _PRIMARY_CODE
    return isinstance(cause, sqlite3.Error) and code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Trouble:
    """A fault that lasts: logged when it begins or changes, seldom while it lasts, and when it is over.

    Parameters
    ----------
    what : str
        What does not work meanwhile, as the beginning of a sentence.
    logger : Logger
        Of the part that has it.
    over : str
        What to say when it is over, if not just that.
    over_after_s : float
        It is over when nothing failed for so long; where one success says little, as the next may be larger.
    clock : callable
        Returns monotonic seconds.
    """

    def __init__(
        self,
        what: str,
        logger: logging.Logger,
        *,
        over: str = "",
        over_after_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._over = over or f"{what}: this is over"
        self._logger = logger
        self._over_after_s = over_after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._why: str | None = None
        self._said_at = self._met_at = 0.0

    @property
    def lasts(self) -> bool:
        """Whether it has begun and not ended."""
        return self._why is not None

    def begin(self, why: str, *, place: object = None) -> None:
        """Say that it does not work; another place alone is no news."""
        with self._lock:
            now = self._met_at = self._clock()
            if self._why == why and now - self._said_at < SAY_AGAIN_AFTER_S:
                return
            self._why, self._said_at = why, now
        self._logger.error("%s: %s%s", self._what, why, f" ({place})" if place else "", extra={"action": "trouble"})

    def met(self, error: BaseException) -> bool:
        """Begin with what an error says, if it is of the machine; return whether it is."""
        why = explain(error)
        if why is not None:
            self.begin(why, place=getattr(error, "filename", None))
        return why is not None

    def end(self) -> None:
        """Say that it works again, if it did not."""
        if self._why is None:  # the usual case, without a lock
            return
        with self._lock:
            if self._why is None or self._clock() - self._met_at < self._over_after_s:
                return
            self._why = None
        self._logger.info("%s", self._over, extra={"action": "trouble"})
