"""Engine and transactions.

SQLite runs in WAL mode with synchronous=FULL: a commit that returned is on stable storage. Network file systems are
refused, because their locks and fsync cannot be trusted.

References
----------
https://www.sqlite.org/wal.html, https://www.sqlite.org/lang_transaction.html
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

BUSY_TIMEOUT_S = 10
_NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "afs", "9p", "ceph", "glusterfs"}
)


class UnsafeStorageError(Exception):
    """The database would lie where its promises cannot be kept."""


class Database:
    """A database and its two kinds of transaction.

    Parameters
    ----------
    url : str
        SQLAlchemy URL; SQLite unless an installation says otherwise.
    """

    def __init__(self, url: str) -> None:
        self.engine: Engine = create_engine(url)
        if self.engine.dialect.name == "sqlite":
            _refuse_network_mount(Path(self.engine.url.database or "."))
            event.listen(self.engine, "connect", _configure_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
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

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def _configure_sqlite(connection: Any, _record: Any) -> None:  # noqa: ANN401 - a DBAPI connection has no common type
    connection.isolation_level = None  # transactions are begun below, not by the driver's guess
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns into a writing one can fail at once with SQLITE_BUSY; writers queue instead.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _refuse_network_mount(database: Path) -> None:
    mounts = {Path(p.mountpoint): p.fstype for p in psutil.disk_partitions(all=True)}
    folder = database.resolve().parent
    holder = next((parent for parent in (folder, *folder.parents) if parent in mounts), None)
    if holder is not None and mounts[holder] in _NETWORK_FILE_SYSTEMS:
        raise UnsafeStorageError(
            f"{folder} lies on a network file system ({mounts[holder]}), where SQLite loses data. "
            "Set storage.path to a local disk."
        )
