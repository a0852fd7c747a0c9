"""Engine and transactions.

SQLite runs in WAL mode with synchronous=FULL: a commit that returned is on stable storage. Network file systems are
refused, because their locks and fsync cannot be trusted.

SQLite goes on writing to a file that was deleted or moved away, and all of that is lost. A `Database` therefore belongs
to the files that it opened first: each transaction looks whether they still lie where they lay.

References
----------
https://www.sqlite.org/wal.html, https://www.sqlite.org/lang_transaction.html, https://www.sqlite.org/howtocorrupt.html
(2.4: unlinking or renaming a database file while in use)
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

BUSY_TIMEOUT_S = 10
_QUERIES_AT_ONCE = 4
DATABASE_SUFFIXES = ("", "-wal", "-shm")
"""Of the files that are one database while it is in use."""
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "afs", "9p", "ceph", "glusterfs"}
)


class UnsafeStorageError(Exception):
    """The database would lie where its promises cannot be kept."""


class DatabaseGoneError(Exception):
    """The files that were opened as the database lie there no more."""


class Database:
    """A database and its two kinds of transaction.

    Parameters
    ----------
    url : str
        SQLAlchemy URL; SQLite unless an installation says otherwise.
    busy_timeout_s : float
        How long a transaction waits for a lock that another process holds.
    for_queries : bool
        Whether it only reads, on few connections: whoever asks much waits for himself.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S, for_queries: bool = False) -> None:
        # Errors are logged, and parameters hold patients' names.
        pool = {"pool_size": _QUERIES_AT_ONCE, "max_overflow": 0, "pool_timeout": busy_timeout_s} if for_queries else {}
        self.engine: Engine = create_engine(url, hide_parameters=True, **pool)
        self._files: _OpenFiles | None = None
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", lambda connection, _: _configure_sqlite(connection, busy_timeout_s))
            if self.engine.url.database not in {None, "", ":memory:"}:
                self._watch_files(Path(self.engine.url.database))
            event.listen(self.engine, "begin", _begin_sqlite)
            if for_queries:
                event.listen(self.engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._writing = sessionmaker(self.engine.execution_options(writes=True), expire_on_commit=False)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that writes: commits at the end of the block, rolls back on any exception."""
        with self._writing.begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that only reads, on one snapshot."""
        with self._sessions() as session:
            yield session

    def make_file(self) -> None:
        """Make an empty database where there is none; nothing else ever makes one, least of all a connection."""
        if self._files is not None and not self._files.opened:
            self._files.path.touch(mode=0o600)

    @property
    def in_place(self) -> bool:
        """Whether the files that were opened still lie where they lay."""
        return self._files is None or self._files.in_place()

    def close(self) -> None:
        """Close every pooled connection; of a file's database for good, as another file may have its place by now."""
        if self._files is not None:
            self._files.closed = True
        self.engine.dispose()

    def _watch_files(self, path: Path) -> None:
        refuse_network_mount(path)
        self._files = files = _OpenFiles(path)

        def connect(_dialect: Dialect, _record: Any, _args: Any, options: dict[str, Any]) -> sqlite3.Connection:  # noqa: ANN401 - SQLAlchemy's signature
            connection: sqlite3.Connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, **options)
            return connection

        event.listen(self.engine, "do_connect", connect)
        event.listen(self.engine, "connect", lambda connection, _: files.note(connection))
        event.listen(self.engine, "begin", lambda _: files.check())


class _OpenFiles:
    """The database file, its log and its index, as the first connection found them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = False
        self._found: list[tuple[int, int] | None] | None = None
        self._lock = threading.Lock()

    @property
    def opened(self) -> bool:
        """Whether a connection was made."""
        return self._found is not None

    def note(self, connection: sqlite3.Connection) -> None:
        """Take the files as they are when the first connection has opened them."""
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # opens the log and the index
        with self._lock:
            if self._found is None:
                self._found = self._look()

    def check(self) -> None:
        """Raise if the files are not in place any more.

        Raises
        ------
        DatabaseGoneError
            Whatever would be written now would be lost.
        """
        if not self.in_place():
            raise DatabaseGoneError(f"{self.path.name} was deleted, moved away or replaced while in use")

    def in_place(self) -> bool:
        """Say whether the files are those of the first connection."""
        return not self.closed and (self._found is None or self._found == self._look())

    def _look(self) -> list[tuple[int, int] | None]:
        return [_identity(self.path.with_name(self.path.name + suffix)) for suffix in DATABASE_SUFFIXES]


def _identity(path: Path) -> tuple[int, int] | None:
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(path)  # noqa: PTH116 - three of these stand before every transaction
        return status.st_dev, status.st_ino
    return None


def _configure_sqlite(connection: Any, busy_timeout_s: float) -> None:  # noqa: ANN401 - a DBAPI connection has no common type
    connection.isolation_level = None  # transactions are begun below, not by the driver's guess
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={int(busy_timeout_s * 1000)}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns into a writing one can fail at once with SQLITE_BUSY; writers queue instead.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def refuse_network_mount(database: Path) -> None:
    """Raise if a database would lie on a network file system.

    Raises
    ------
    UnsafeStorageError
        It would.
    """
    mounts = {Path(p.mountpoint): p.fstype for p in psutil.disk_partitions(all=True)}
    folder = database.resolve().parent
    holder = next((parent for parent in (folder, *folder.parents) if parent in mounts), None)
    if holder is not None and mounts[holder] in _NETWORK_FILE_SYSTEMS:
        raise UnsafeStorageError(
            f"{folder} lies on a network file system ({mounts[holder]}), where SQLite loses data. "
            "Set storage.path to a local disk."
        )
