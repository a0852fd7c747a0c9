"""Images that we promised to keep, and whose time is over -> another peer is asked whether it keeps them.

A stage: every destination with `storage_commitment` is asked about what only a promise still holds back. What one
of them confirms, retention may remove.

References
----------
PS3.4 J Storage Commitment Service Class.
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pydicom.uid import generate_uid

from db.repository import promises, retention
from db.repository.retention import Terms
from db.session import Database
from dicom_out.association import Lines, NoAssociationError
from dicom_out.commitment import NotAcceptedError, NotSupportedError, request_commitment
from handlers.commitment import CommitmentHandler, CommitmentReport
from inference.wording import counted
from node.config import Config
from node.outbox import peer_of
from node.sections import Destination

logger = logging.getLogger(__name__)

_EVERY = timedelta(hours=1)
_ASK_AGAIN = timedelta(days=1)
_STUDIES_AT_ONCE, _INSTANCES_AT_ONCE = 50, 500
_HOLD_S = 5.0


class Elsewhere:
    """Asks other peers about promised images.

    Parameters
    ----------
    database : Database
        Knows them.
    config : Config
        Whom to ask, and when images may go.
    clock : callable
        Returns the time, aware.
    """

    def __init__(
        self, *, database: Database, config: Config, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._config = config
        self._clock = clock
        self._lines = Lines()
        self._rests_until = datetime.min.replace(tzinfo=UTC)

    def reload(self, config: Config) -> None:
        """Ask other destinations from the next time on."""
        self._config, self._rests_until = config, datetime.min.replace(tzinfo=UTC)

    def stop(self) -> None:
        """Cut the line of a question that is under way."""
        self._lines.cut()

    def run(self) -> datetime:
        """Ask about what is due.

        Returns
        -------
        datetime
            When to look again.
        """
        now = self._clock()
        if now < self._rests_until:
            return self._rests_until
        self._rests_until = now + _EVERY
        keepers = [d for d in self._config.destinations if d.storage_commitment]
        days = self._config.retention.inputs_days
        if days and keepers:
            with self._database.read() as session:
                terms = Terms(ended_before=now - timedelta(days=days))
                studies = retention.only_promised(session, terms, limit=_STUDIES_AT_ONCE)
            if studies:
                self._ask(keepers, studies)
        return self._rests_until

    def confirmed(self, report: CommitmentReport) -> bool:
        """Record durably what another peer keeps; say whether it was asked about promised images."""
        with self._database.write() as session:
            known = promises.confirm(session, report.transaction_uid, report.committed, now=self._clock())
        if known:
            logger.info(
                "another peer keeps %s that we promised to keep",
                counted(len(report.committed), "image"),
                extra={"action": "commit"},
            )
        return known

    def _ask(self, keepers: list[Destination], studies: list[int]) -> None:
        for destination in keepers:
            now, transaction_uid = self._clock(), str(generate_uid(prefix=None))
            with self._database.write() as session:
                due = promises.to_ask_about(session, studies, now=now, limit=_INSTANCES_AT_ONCE)
                promises.ask(session, [i for i, *_ in due], transaction_uid, again_at=now + _ASK_AGAIN)
            if due and self._ask_one(destination, [(sop_class, uid) for _, sop_class, uid in due], transaction_uid):
                return

    def _ask_one(self, destination: Destination, instances: list[tuple[str, str]], transaction_uid: str) -> bool:
        """Ask one peer; say whether it took the question."""
        reported = threading.Event()

        def record(report: CommitmentReport) -> bool:
            known = self.confirmed(report)
            reported.set()
            return known

        try:
            request_commitment(
                instances,
                peer_of(self._config, destination),
                transaction_uid=transaction_uid,
                on_report=CommitmentHandler(record),
                reported=reported,
                wait_s=_HOLD_S,
                lines=self._lines,
            )
        except (NoAssociationError, NotSupportedError, NotAcceptedError) as error:
            logger.warning("%s cannot be asked what it keeps: %s", destination.name, error, extra={"action": "commit"})
            return False
        return True
