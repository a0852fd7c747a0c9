"""Spool and archive: bytes on stable storage, in folders of one local file system.

`incoming/` holds what is being received, `spool/` what was acknowledged and is not yet in the database, `archive/` what
is, `quarantine/` what was refused, `results/` what we made. A file appears under its name only when it is whole and
durable: it is written as ``.part``, fsynced, renamed, and its folder is fsynced; what is received: see `db.incoming`.
"""

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_SPOOL_NAME = re.compile(r"(?P<time_ns>\d{20})-[0-9a-f]{8}\.dcm")


class StorageError(Exception):
    """The storage folder cannot be used as it is."""


def is_uid(value: str) -> bool:
    """Say whether a string is a UID that may become part of a path.

    References
    ----------
    PS3.5 9.1; leading zeros of a component are let pass, as archives hold them.
    """
    return len(value) <= 64 and _UID.fullmatch(value) is not None


class PartFile:
    """A file on its way to disk: nothing under its name until it is whole and durable.

    Parameters
    ----------
    path : Path
        Where it will lie; until then it lies beside it as ``.part``.

    Attributes
    ----------
    path : Path
        As given.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self._descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes; raises `OSError` if they cannot be written."""
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def keep(self) -> None:
        """Make it durable under its name.

        Raises
        ------
        OSError
            If it could not be made durable; it is absent, or whole if only its folder could not be synced.
        """
        try:
            os.fsync(self._descriptor)
            self._part.rename(self.path)
        except OSError:
            self.drop()
            raise
        self._close()
        sync_folder(self.path.parent)

    def drop(self) -> None:
        """Remove it, unless it was kept."""
        if self._descriptor >= 0:
            self._close()
            self._part.unlink(missing_ok=True)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


def write_durably(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write a file so that it is either absent or whole, also after a loss of power.

    Raises
    ------
    OSError
        If it could not be made durable; it is absent, or whole if only its folder could not be synced.
    """
    part = PartFile(path)
    try:
        for chunk in chunks:
            part.write(chunk)
        part.keep()
    finally:
        part.drop()


class Hashed:
    """Parts of a file on their way to where it is written.

    Attributes
    ----------
    size : int
        Bytes that went by.
    sha256 : hashlib's object
        Over them.
    """

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts
        self.size = 0
        self.sha256 = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            self.size += len(part)
            self.sha256.update(part)
            yield part


def sync_folder(folder: Path) -> None:
    """Make renames within a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder_durably(folder: Path) -> None:
    """Make a folder and those above it, private to the service's user, so that they survive a loss of power."""
    if folder.is_dir():
        return
    make_folder_durably(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def new_spool_name() -> str:
    """Return a name no other file of the spool has; names sort by time of receipt."""
    return f"{time.time_ns():020d}-{secrets.token_hex(4)}.dcm"


def is_spool_name(name: str) -> bool:
    """Say whether a file of that name was acknowledged; it keeps the name in the archive."""
    return _SPOOL_NAME.fullmatch(name) is not None


def spool_time_s(name: str) -> float:
    """Return the POSIX time at which a spool file was begun."""
    match = _SPOOL_NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name} is not the name of a spool file")
    return int(match["time_ns"]) / 1e9


@dataclass(frozen=True, slots=True)
class Storage:
    """The folders under one root.

    Attributes
    ----------
    root : Path
        Absolute.
    """

    root: Path

    @property
    def incoming(self) -> Path:
        """Being received."""
        return self.root / "incoming"

    @property
    def spool(self) -> Path:
        """Acknowledged and not yet in the database."""
        return self.root / "spool"

    @property
    def archive(self) -> Path:
        """In the database."""
        return self.root / "archive"

    @property
    def quarantine(self) -> Path:
        """Refused, kept for a person."""
        return self.root / "quarantine"

    @property
    def results(self) -> Path:
        """DICOM objects that we made."""
        return self.root / "results"

    @property
    def rebuild(self) -> Path:
        """What an archive held whose database was lost, until it is in the new one."""
        return self.root / "rebuild"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.root / "node.sqlite3"

    def prepare(self) -> None:
        """Make the folders, private to the service's user.

        Raises
        ------
        StorageError
            If they cannot be made or written to, or do not lie on one file system, so that a rename would not be
            atomic.
        """
        folders = (self.root, self.incoming, self.spool, self.archive, self.quarantine, self.results)
        try:
            for folder in folders:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{error.filename} cannot be made: {error.strerror}. Check storage.path.") from error
        for folder in folders:
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                raise StorageError(
                    f"{folder} cannot be written to. Give it to the service's user, and see that its file system is "
                    "not mounted read-only."
                )
        if len({folder.stat().st_dev for folder in folders}) > 1:
            raise StorageError(f"The folders under {self.root} lie on different file systems; put them on one.")

    def lock(self) -> int:
        """Keep every other node off this storage for as long as this process lives.

        Returns
        -------
        int
            A file descriptor that must stay open.

        Raises
        ------
        StorageError
            If another node holds it, or the folder cannot be used.
        """
        try:
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{error.filename} cannot be opened: {error.strerror}. Check storage.path.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise StorageError(f"Another opacity-node already serves {self.root}.") from error
        return descriptor

    def spooled(self) -> list[str]:
        """Return the names of whole spool files, oldest first."""
        with os.scandir(self.spool) as entries:
            return sorted(entry.name for entry in entries if is_spool_name(entry.name))

    def archive_path(self, study_instance_uid: str, spool_name: str) -> Path:
        """Return where a spool file goes, relative to the root; the study's folder holds every receipt of it."""
        if not is_uid(study_instance_uid):
            raise ValueError("not a UID")
        return Path("archive") / study_instance_uid[-2:].replace(".", "0") / study_instance_uid / spool_name

    def result_folder(self, study_instance_uid: str, pipeline: str, job_id: int, created_at: datetime) -> Path:
        """Return the folder of one job's objects, relative to the root; no other job ever writes there.

        Nor does the same job once it was queued anew, which makes it over; a retry writes to the same place.
        """
        if not is_uid(study_instance_uid):
            raise ValueError("not a UID")
        made = created_at.astimezone(UTC)
        return Path("results") / study_instance_uid / f"{pipeline}-{job_id}-{made:%Y%m%dT%H%M%S%f}"
