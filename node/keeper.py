"""Keeps work on a sound database: opens it, makes it, notices when it is lost, and has it made anew.

Nothing here stands in the way of receiving: until there is a database, what is received waits in the spool.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from db import schema
from db.faults import is_damage
from db.session import Database, DatabaseGoneError
from handlers.commitment import CommitmentReport
from handlers.commitment_request import CommitmentRequest
from node.config import Config
from node.rebuild import Condition, examine
from node.work import Site, Work

logger = logging.getLogger(__name__)

_LOOK_AGAIN = timedelta(seconds=2)
_FEED_AGAIN = timedelta(seconds=0.2)
_MAY_COME_BACK_S = 10.0


class Keeper:
    """A stage that keeps work going.

    Parameters
    ----------
    site : Site
        Where the database lies, and what work needs besides.
    on_damage : callable
        Called when a stage met a lost or damaged database; is to run this stage, and must return at once.
    may_come_back_s : float
        How long a database that vanished in use is waited for, before it is made anew.
    """

    def __init__(self, site: Site, *, on_damage: Callable[[], None], may_come_back_s: float = _MAY_COME_BACK_S) -> None:
        self._site = site
        self._on_damage = on_damage
        self._may_come_back_s = may_come_back_s
        self._work: Work | None = None
        self._pin: int | None = None
        self._lost_at: float | None = None
        self._suspect = threading.Event()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self) -> datetime | None:
        """See that there is a database and that it is worked on.

        Returns
        -------
        datetime or None
            When to look again.
        """
        with self._lock:
            return None if self._stopped else self._run()

    def wake(self, stage: str, *, in_s: float = 0.0) -> None:
        """Run a stage of work soon; without work it runs when that begins."""
        if (work := self._work) is not None:
            work.wake(stage, in_s=in_s)

    def reload(self, config: Config) -> None:
        """Use another configuration for the work that is under way, and for any that begins."""
        with self._lock:
            self._site = replace(self._site, config=config)
            if self._work is not None:
                self._work.reload(config)

    def confirmed(self, report: CommitmentReport) -> bool | None:
        """Record durably what a destination reports to keep; say whether it was asked, None while that is unknown."""
        work = self._work
        return None if work is None else work.confirmed(report)

    def asked_to_keep(self, request: CommitmentRequest) -> bool:
        """Record durably what a peer asks us to keep; say whether that could be done."""
        work = self._work
        if work is None:
            return False
        self._site.open_associations.add(request.association)
        work.asked_to_keep(request)
        return True

    def queries(self) -> Database | None:
        """Return the database as queries read it; None while there is none."""
        work = self._work
        return None if work is None else work.queries

    def stop(self, *, grace_s: float) -> None:
        """End the work, for good."""
        with self._lock:
            self._stopped = True
        if self._work is not None:
            self._work.stop(grace_s=grace_s)

    def _run(self) -> datetime:
        if self._work is not None and (self._suspect.is_set() or not self._work.in_place):
            self._end_work()
        if self._work is None and not self._begin_work():
            return datetime.now(UTC) + _LOOK_AGAIN / 4
        fed = self._site.rebuild.feed()
        if fed:
            self.wake("index")
        return datetime.now(UTC) + (_FEED_AGAIN if fed else _LOOK_AGAIN)

    def _end_work(self) -> None:
        if self._suspect.is_set():
            logger.error("the database reports damage and is examined", extra={"action": "database"})
        else:
            logger.error(
                "the database was deleted, moved away or replaced; what is received waits in the spool",
                extra={"action": "database"},
            )
        work, self._work = self._work, None
        if work is not None:
            work.stop(grace_s=0)
        self._lost_at = time.monotonic()

    def _begin_work(self) -> bool:
        """Open the database, or make one; say whether work began."""
        database = self._site.storage.database
        condition = examine(database, thoroughly=self._suspect.is_set())
        if condition is Condition.ABSENT and self._may_come_back():
            return False
        if condition is not Condition.SOUND:
            self._make(condition)
        elif self._pin is not None and not os.path.samestat(os.fstat(self._pin), database.stat()):
            logger.warning("another database took the place of the lost one and is used", extra={"action": "database"})
            self._site.rebuild.feed_archive_again()
        self._pin_file(database)
        opened = Database(f"sqlite:///{database}")
        try:
            schema.upgrade(opened)
            work = Work(self._site, opened, on_failure=self._failed)
            work.start()
        except BaseException:
            opened.close()
            raise
        self._work, self._lost_at = work, None
        self._suspect.clear()
        return True

    def _pin_file(self, database: Path) -> None:
        """Keep the file's number from being given to another file, so that a return can be told from a replacement.

        The descriptor is opened with O_PATH, as closing any other would drop the locks that SQLite holds.
        """
        if self._pin is not None:
            os.close(self._pin)
        self._pin = os.open(database, os.O_PATH)

    def _may_come_back(self) -> bool:
        return self._lost_at is not None and time.monotonic() - self._lost_at < self._may_come_back_s

    def _make(self, condition: Condition) -> None:
        rebuild = self._site.rebuild
        if condition is Condition.DAMAGED or rebuild.needed():
            rebuild.begin(condition)
        else:
            schema.create(self._site.storage.database, lambda _: None)

    def _failed(self, error: Exception) -> None:
        """Take note of what a stage raised."""
        if is_damage(error):
            self._suspect.set()
        elif not isinstance(error, DatabaseGoneError):
            return
        self._on_damage()
