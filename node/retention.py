"""Images whose results have all arrived -> removed after N days; their rows stay.

A stage of the scheduler: a pass about every hour, in small steps with pauses, so that whoever else writes to the
database never waits long. A step commits `removed_at` first; the next ones unlink a few files each. Whatever a crash
interrupts is found by the next pass and done again.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from db.files import Storage, sync_folder, write_durably
from db.repository import retention
from db.repository.retention import Holdings, Removal, Terms
from db.session import Database
from inference.wording import counted
from node.config import Config

logger = logging.getLogger(__name__)

_EVERY = timedelta(hours=1)
_PAUSE = timedelta(milliseconds=50)
_FILES_A_STEP = 50
_REPORT_FILE = "retention.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionReport:
    """What the last pass found and did; `status` shows it, so that nobody counts all images to know."""

    at: datetime
    inputs_days: float
    """0 keeps images for ever."""
    held_instances: int
    held_bytes: int
    kept_longer: int = 0
    """Studies whose time is over, and which are kept: held, failed, or with results that have not arrived."""
    next_at: datetime | None = None
    """When more images can go, at the earliest."""
    removed_at: datetime | None = None
    """Of the last pass that removed anything, also in an earlier run of the node."""
    removed_instances: int = 0
    removed_bytes: int = 0


_REPORT = TypeAdapter(RetentionReport)


class Retention:
    """Removes images whose time is over.

    Parameters
    ----------
    database, storage : Database, Storage
        Rows and files.
    config : Config
        How long images are kept, and which destinations confirm storage.
    clock : callable
        Returns the time, aware.
    """

    def __init__(
        self,
        *,
        database: Database,
        storage: Storage,
        config: Config,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._storage = storage
        self._config = config
        self._clock = clock
        self._due: list[int] | None = None
        self._removed: list[Holdings] = []
        self._rests_until = datetime.min.replace(tzinfo=UTC)
        self._last = last_report(storage)

    def reload(self, config: Config) -> None:
        """Use another time from the next look on."""
        self._config = config

    def run(self) -> datetime:
        """Do one step of a pass.

        Returns
        -------
        datetime
            When the next step is due: soon within a pass, after about an hour else.
        """
        now = self._clock()
        if now < self._rests_until:
            return self._rests_until
        try:
            if self._step(now):
                return now + _PAUSE
        except OSError as error:
            logger.error(  # noqa: TRY400 - the trace says no more
                "images whose time is over cannot be removed (%s): check the rights of %s; tried again in an hour",
                error.strerror,
                self._storage.archive,
                extra={"action": "retain"},
            )
        self._end_pass(now)
        self._rests_until = now + _EVERY
        return self._rests_until

    def _step(self, now: datetime) -> bool:
        """Unlink a few files, or mark one study; False when there is nothing left to do."""
        if self._unlink_some():
            return True
        if self._due is None:
            self._due = self._look(now)
        if not self._due:
            return False
        self._mark(self._due.pop(0), now)
        return True

    def _look(self, now: datetime) -> list[int]:
        terms = self._terms(now)
        if terms is None:
            return []
        with self._database.read() as session:
            return retention.removable(session, terms)

    def _mark(self, study_id: int, now: datetime) -> None:
        terms = self._terms(now)
        if terms is None:
            return
        with self._database.write() as session:
            marked = retention.mark(session, study_id, terms, now=now)
        if marked is not None:
            self._removed.append(marked)

    def _unlink_some(self) -> bool:
        """Unlink the files of a few marked rows, in a transaction that keeps them from being restored meanwhile."""
        with self._database.read() as session:
            if not retention.to_unlink(session, limit=1):
                return False
        with self._database.write() as session:
            removals = retention.to_unlink(session, limit=_FILES_A_STEP)
            still_used = retention.with_images(session, {removal.study_id for removal in removals})
            _unlink(self._storage.root, removals, keep_folders_of=still_used)
            retention.unlinked(session, removals)
        return True

    def _end_pass(self, now: datetime) -> None:
        instances, size = sum(r.instances for r in self._removed), sum(r.size for r in self._removed)
        if self._removed:
            logger.info(
                "%s of %s removed, %.1f GB: their results arrived over retention.inputs_days = %g ago",
                counted(instances, "image"),
                counted(len(self._removed), "study", "studies"),
                size / 1e9,
                self._config.retention.inputs_days,
                extra={"action": "retain"},
            )
        self._last = self._report(now, instances, size)
        self._due, self._removed = None, []
        try:
            write_durably(self._storage.root / _REPORT_FILE, [_REPORT.dump_json(self._last)])
        except OSError as error:
            logger.warning("%s cannot be written: %s", _REPORT_FILE, error.strerror, extra={"action": "retain"})

    def _report(self, now: datetime, instances: int, size: int) -> RetentionReport:
        terms = self._terms(now)
        removed_at = now if instances else None
        if removed_at is None and self._last is not None:
            removed_at, instances = self._last.removed_at, self._last.removed_instances
            size = self._last.removed_bytes
        with self._database.read() as session:
            held = retention.holdings(session)
            kept_longer = retention.overdue(session, terms) if terms else 0
            received_at = retention.next_receipt(session, after=terms.ended_before) if terms else None
        return RetentionReport(
            at=now,
            inputs_days=self._config.retention.inputs_days,
            held_instances=held.instances,
            held_bytes=held.size,
            kept_longer=kept_longer,
            next_at=received_at + (now - terms.ended_before) if terms and received_at else None,
            removed_at=removed_at,
            removed_instances=instances,
            removed_bytes=size,
        )

    def _terms(self, now: datetime) -> Terms | None:
        days = self._config.retention.inputs_days
        if days == 0:
            return None
        return Terms(ended_before=now - timedelta(days=days))


def last_report(storage: Storage) -> RetentionReport | None:
    """Return what the last pass found; None before the first."""
    try:
        return _REPORT.validate_json((storage.root / _REPORT_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def _unlink(root: Path, removals: Sequence[Removal], *, keep_folders_of: Collection[int]) -> None:
    """Unlink files, and the folders of studies that hold nothing more, so that no loss of power brings them back.

    The folder of a study that holds images stays, also when it is empty: its next file may be on the way.
    """
    folders = {(root / removal.path).parent: removal.study_id for removal in removals}
    for removal in removals:
        (root / removal.path).unlink(missing_ok=True)
    for folder, study_id in folders.items():
        if not folder.is_dir():
            continue
        if study_id in keep_folders_of or any(folder.iterdir()):
            sync_folder(folder)
        else:
            folder.rmdir()
            sync_folder(folder.parent)
