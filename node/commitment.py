"""What arrived -> the peer's word that it keeps it.

A transaction is written down before it is sent, so that its report is known whenever it comes, also after a restart.
No report in time: the peer is asked again. A report that an object is not kept: it is sent again, a few times.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from pydicom.uid import generate_uid
from pynetdicom.events import Event

from db.faults import Trouble
from db.repository import commitments
from db.repository.commitments import Unconfirmed
from db.session import Database
from dicom_out.association import Lines, NoAssociationError, Peer
from dicom_out.commitment import NotAcceptedError, NotSupportedError, request_commitment
from handlers.commitment import CommitmentHandler, CommitmentReport
from inference.wording import counted
from node.retries import Backoff

logger = logging.getLogger(__name__)

MAX_REFUSALS = 3
"""An object that the peer took three times and does not keep is a fault of the peer that a person must see."""
_HOLD_S = 3.0
_REASONS = {
    0x0110: "processing failure",
    0x0112: "no such object",
    0x0119: "class and instance do not fit",
    0x0122: "SOP class not supported",
    0x0213: "resource limitation",
}


class Commitment:
    """Asks destinations to confirm, and takes their reports.

    Parameters
    ----------
    database : Database
        Holds the deliveries.
    clock : callable
        Returns the time, aware.
    lines : Lines
        Through which connections are cut.
    """

    def __init__(self, *, database: Database, clock: Callable[[], datetime], lines: Lines) -> None:
        self._database = database
        self._clock = clock
        self._lines = lines
        self._failures: Counter[str] = Counter()
        self._troubles: dict[str, Trouble] = {}
        self._lock = threading.Lock()
        self._awaited: dict[str, threading.Event] = {}

    def use(self, *, backoff: Backoff, timeout_s: float) -> None:
        """Set the pauses between requests that fail, and how long a report may take."""
        self._backoff, self._timeout_s = backoff, timeout_s

    def forget(self, destination: str) -> None:
        """Ask a destination no more: it is gone from the configuration, or is not to be asked."""
        with self._database.write() as session:
            commitments.ask_no_more(session, destination, message=None)

    def ask(self, destination: str, peer: Peer) -> None:
        """Ask a destination about all that it is to confirm now."""
        transaction_uid = str(generate_uid(prefix=None))
        due = self._begin(destination, peer, transaction_uid)
        if not due:
            return
        try:
            self._request(due, peer, transaction_uid)
        except NotSupportedError as error:
            with self._database.write() as session:
                commitments.ask_no_more(session, destination, message=str(error))
            logger.warning("%s; its objects stay as sent", error, extra={"action": "commit"})
        except (NoAssociationError, NotAcceptedError) as error:
            self._failures[destination] += 1
            now, ids = self._clock(), [instance.id for instance in due]
            until = now + self._backoff.after(self._failures[destination])
            with self._database.write() as session:
                commitments.ask_later(session, ids, now=now, until=until, message=str(error))
            self._trouble_of(destination).begin(str(error))
        else:
            self._failures[destination] = 0
            self._trouble_of(destination).end()

    def record(self, report: CommitmentReport) -> bool:
        """Record a report durably; say whether its transaction is one of ours."""
        now = self._clock()
        reasons = {uid: _reason(code) for uid, code in report.failed.items()}
        with self._database.write() as session:
            known = commitments.is_open(session, report.transaction_uid)
            kept = commitments.confirm(session, report.transaction_uid, report.committed, now=now)
            refused = commitments.send_again(
                session, report.transaction_uid, reasons, now=now, pause=self._backoff.after, most=MAX_REFUSALS
            )
        logger.log(
            logging.WARNING if refused or not known else logging.INFO,
            "a report on storage commitment: %s kept, %d not%s",
            counted(kept, "object"),
            refused,
            "" if known else "; its transaction is none of ours",
            extra={"action": "commit"},
        )
        with self._lock:
            awaited = self._awaited.get(report.transaction_uid)
        if awaited is not None:
            awaited.set()
        return known

    def _trouble_of(self, destination: str) -> Trouble:
        """Return what keeps a destination from being asked; only its own round asks."""
        if destination not in self._troubles:
            what = f"{destination} cannot be asked to confirm storage"
            self._troubles[destination] = Trouble(what, logger, over=f"{destination} can be asked again")
        return self._troubles[destination]

    def _begin(self, destination: str, peer: Peer, transaction_uid: str) -> list[Unconfirmed]:
        now = self._clock()
        deadline = now + timedelta(seconds=self._timeout_s)
        late = f"{peer.ae_title} did not report on storage commitment within {self._timeout_s:g} s and is asked again"
        with self._database.write() as session:
            due = commitments.due(session, destination, now)
            commitments.trouble(session, [i.id for i in due if i.overdue], now=now, message=late)
            commitments.begin(session, [i.id for i in due], transaction_uid, deadline=deadline)
        return due

    def _request(self, due: list[Unconfirmed], peer: Peer, transaction_uid: str) -> None:
        handler: Callable[[Event], tuple[int, None]] = CommitmentHandler(self.record)
        reported = threading.Event()
        with self._lock:
            self._awaited[transaction_uid] = reported
        # Before, as the report may come on the same association.
        logger.info(
            "asking %s to confirm that it keeps %s",
            peer.ae_title,
            counted(len(due), "object"),
            extra={"action": "commit"},
        )
        try:
            request_commitment(
                [(instance.sop_class_uid, instance.sop_instance_uid) for instance in due],
                peer,
                transaction_uid=transaction_uid,
                on_report=handler,
                reported=reported,
                wait_s=_HOLD_S,
                lines=self._lines,
            )
        finally:
            with self._lock:
                del self._awaited[transaction_uid]


def _reason(code: int) -> str:
    text = _REASONS.get(code, "no reason that the standard knows")
    return f"the peer took it and does not keep it: 0x{code:04X}, {text}"
