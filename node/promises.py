"""Storage commitment as a provider: requests -> files looked at -> reports; and who else keeps what we promised.

A stage of its own. A request is examined once everything that came before it is indexed: each file is read and its
hash compared with that of its receipt. What holds is promised, in the transaction that records the outcome, before
any report leaves; retention spares it from then on. A report goes to the destination that has the peer's AE title,
else over the association of the request while that is open, and is sent again, by longer pauses, for a week.

References
----------
PS3.4 J Storage Commitment Service Class; PS3.3 C.14 (Failure Reason).
"""

import hashlib
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydicom.filereader import read_file_meta_info
from pynetdicom.association import Association

from db.files import Storage, spool_time_s
from db.repository import promises
from db.repository.promises import Asked, Receipt, RemovedMeanwhileError, Request
from db.session import Database
from dicom_out.association import Lines, NoAssociationError
from dicom_out.commitment import NotAcceptedError, NotSupportedError
from dicom_out.commitment_report import Report, report_commitment, report_on
from handlers.commitment_request import CommitmentRequest
from inference.wording import counted
from node.config import Config
from node.outbox import peer_of
from node.retries import Backoff

logger = logging.getLogger(__name__)

_INDEX_PAUSE = timedelta(seconds=0.25)
_GIVEN_UP_AFTER = timedelta(days=7)
_PROCESSING_FAILURE, _NO_SUCH_OBJECT, _CLASS_INSTANCE_CONFLICT = 0x0110, 0x0112, 0x0119
_FILE_META_OFFSET = 128 + 4 + 12
"""Preamble, prefix and the File Meta Information Group Length element itself (PS3.10 7.1)."""


class OpenAssociations:
    """The associations over which requests came, as long as anybody else holds them; they outlive a database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._associations: weakref.WeakValueDictionary[str, Association] = weakref.WeakValueDictionary()

    def add(self, association: Association) -> None:
        """Remember one."""
        with self._lock:
            self._associations[association.name] = association

    def get(self, name: str) -> Association | None:
        """Return one that is still open."""
        with self._lock:
            association = self._associations.get(name)
        return association if association is not None and association.is_established else None


class Promises:
    """Works on requests for storage commitment.

    Parameters
    ----------
    storage, database : Storage, Database
        Files and rows.
    config : Config
        Whom to report to, and by what pauses.
    associations : OpenAssociations
        Over which requests came.
    clock : callable
        Returns the time, aware.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        database: Database,
        config: Config,
        associations: OpenAssociations,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._storage = storage
        self._database = database
        self._config = config
        self._associations = associations
        self._clock = clock
        self._lines = Lines()

    def reload(self, config: Config) -> None:
        """Use other destinations from the next report on."""
        self._config = config

    def stop(self) -> None:
        """Cut the line of a report that is under way; it is sent again."""
        self._lines.cut()

    def add(self, request: CommitmentRequest) -> None:
        """Record a request durably."""
        asked = Asked(
            calling_ae_title=request.calling_ae_title,
            transaction_uid=request.transaction_uid,
            association_id=request.association.name,
            objects=request.objects,
        )
        with self._database.write() as session:
            promises.add(session, asked, now=self._clock())

    def run(self) -> datetime | None:
        """Examine and report what is due.

        Returns
        -------
        datetime or None
            When to look again.
        """
        now = self._clock()
        with self._database.read() as session:
            waiting = promises.due(session, now)
        unindexed = [spool_time_s(name) for name in self._storage.spooled()] if waiting else []
        for request in waiting:
            if not request.examined and any(s <= request.received_at.timestamp() for s in unindexed):
                return now + _INDEX_PAUSE
            self._work_on(request)
        with self._database.read() as session:
            return promises.next_due_at(session, after=now)

    def _work_on(self, request: Request) -> None:
        if request.examined:
            self._report(request, Report(transaction_uid=request.transaction_uid, objects=request.objects))
            return
        failures: dict[str, int] = {}
        kept: set[int] = set()
        for sop_class_uid, sop_instance_uid, _ in request.objects:
            reason, found = self._examine(sop_class_uid, sop_instance_uid)
            kept.update(found)
            if reason is not None:
                failures[sop_instance_uid] = reason
        try:
            with self._database.write() as session:
                promises.examined(session, request.id, failures, kept, now=self._clock())
        except RemovedMeanwhileError:
            return  # and is examined once more
        objects = [(sop_class, uid, failures.get(uid)) for sop_class, uid, _ in request.objects]
        logger.info(
            "%s asked for storage commitment of %s; %d are kept",
            request.calling_ae_title,
            counted(len(objects), "object"),
            sum(reason is None for *_, reason in objects),
            extra={"action": "commit"},
        )
        self._report(request, Report(transaction_uid=request.transaction_uid, objects=objects))

    def _examine(self, sop_class_uid: str, sop_instance_uid: str) -> tuple[int | None, Sequence[int]]:
        """Return why an object is not kept, None if it is, and the instances that it is."""
        with self._database.read() as session:
            receipts = promises.receipts(session, sop_instance_uid)
        if receipts is None:
            return _PROCESSING_FAILURE, ()
        if not receipts:
            return _NO_SUCH_OBJECT, ()
        if any(receipt.sop_class_uid != sop_class_uid for receipt in receipts):
            return _CLASS_INSTANCE_CONFLICT, ()
        if not all(self._is_intact(receipt) for receipt in receipts):
            logger.error("%s is missing or damaged and is not committed", receipts[0].path, extra={"action": "commit"})
            return _PROCESSING_FAILURE, ()
        return None, [receipt.instance_id for receipt in receipts if receipt.instance_id is not None]

    def _is_intact(self, receipt: Receipt) -> bool:
        path = self._storage.root / receipt.path
        try:
            if receipt.dataset_sha256 is None:
                return _sha256(path, 0) == receipt.file_sha256
            start = _FILE_META_OFFSET + int(read_file_meta_info(path).FileMetaInformationGroupLength)
            return _sha256(path, start) == receipt.dataset_sha256
        except Exception as error:  # noqa: BLE001 - pydicom raises anything for a file that is damaged
            logger.debug("%s cannot be read (%s)", receipt.path, type(error).__name__, extra={"action": "commit"})
            return False

    def _report(self, request: Request, report: Report) -> None:
        try:
            self._send(request, report)
        except (NoAssociationError, NotSupportedError, NotAcceptedError) as error:
            self._postpone(request, str(error))
            return
        with self._database.write() as session:
            promises.reported(session, request.id)

    def _send(self, request: Request, report: Report) -> None:
        config = self._config
        destination = next((d for d in config.destinations if d.ae_title == request.calling_ae_title), None)
        if destination is not None:
            report_commitment(report, peer_of(config, destination), lines=self._lines)
            return
        association = self._associations.get(request.association_id)
        if association is None:
            raise NoAssociationError(
                f"{request.calling_ae_title} hung up, and no destination has its AE title; add one, to report to"
            )
        report_on(association, report, request.calling_ae_title)

    def _postpone(self, request: Request, why: str) -> None:
        now = self._clock()
        backoff = Backoff(first_s=self._config.outbox.retry_after_s, limit_s=self._config.outbox.retry_at_most_every_s)
        until = now + backoff.after(request.failures + 1)
        over = now - request.received_at > _GIVEN_UP_AFTER
        with self._database.write() as session:
            promises.postpone(session, request.id, until=None if over else until, failed=True)
        if over or not request.failures:
            logger.warning(
                "a report on storage commitment %s: %s",
                "is given up" if over else "is sent again later",
                why,
                extra={"action": "commit"},
            )


def _sha256(path: Path, start: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return hashlib.file_digest(file, "sha256").hexdigest()
