"""The service: every part made, started and stopped in the right order.

Start: storage, server, then database and the rest, so that peers are answered at once; what comes before the database
is ready waits in the spool. Stop: no more associations, no more jobs, let what runs finish or queue it again.
"""

import logging
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

from db import schema
from db.files import Storage
from db.repository import jobs
from db.session import Database
from handlers.association import Associations
from handlers.quarantine import Quarantine
from handlers.store import StoreHandler
from node.config import Config
from node.dispatcher import Dispatcher
from node.engine import LocalEngine
from node.indexer import Indexer
from node.outbox import Outbox
from node.retention import Retention
from node.scheduler import Scheduler
from node.server import Server
from node.settler import Settler

logger = logging.getLogger(__name__)

_INDEX_PAUSE_S = 0.25
_ASSOCIATION_GRACE_S = 5.0


class Node:
    """A running opacity-node.

    Parameters
    ----------
    config : Config
        Everything it needs to know.

    Raises
    ------
    db.files.StorageError, db.session.UnsafeStorageError
        If the storage cannot be used.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._storage = Storage(config.storage.path)
        self._storage.prepare()
        self._lock = self._storage.lock()
        self._storage.drop_unfinished()
        # Refuses a network mount now, before anything is acknowledged on it; connects when it is first used.
        self._database = Database(f"sqlite:///{self._storage.database}")
        self._associations = Associations()
        self._quarantine = Quarantine(
            self._storage.quarantine, quota_bytes=config.storage.quarantine_quota_mb * 1_000_000
        )
        store = StoreHandler(
            storage=self._storage,
            quarantine=self._quarantine,
            associations=self._associations,
            on_spooled=lambda: self._wake("index", in_s=_INDEX_PAUSE_S),
        )
        self._server = Server(config.dicom, store=store, associations=self._associations)
        self._scheduler: Scheduler | None = None

    def start(self) -> None:
        """Listen, then bring up everything behind."""
        self._server.start()
        config = self._config
        self._engine = LocalEngine(
            devices=config.engine.devices, time_limit_s=config.engine.time_limit_s, log_level=config.log.level
        )
        self._engine.start()
        schema.upgrade(self._database)
        with self._database.write() as session:
            requeued = jobs.requeue_running(session)
        if requeued:
            logger.info("%d jobs of an earlier run are queued again", requeued, extra={"action": "start"})
        self._indexer = Indexer(storage=self._storage, database=self._database, quarantine=self._quarantine)
        self._settler = Settler(
            database=self._database,
            storage=self._storage,
            associations=self._associations,
            config=config,
            on_jobs=lambda: self._wake("dispatch"),
        )
        self._dispatcher = Dispatcher(
            database=self._database,
            storage=self._storage,
            engine=self._engine,
            config=config,
            on_ended=self._job_ended,
        )
        self._outbox = Outbox(
            database=self._database,
            storage=self._storage.root,
            config=config,
            on_done=lambda: self._wake("deliver"),
        )
        self._retention = Retention(database=self._database, storage=self._storage, config=config)
        self._scheduler = Scheduler(
            {
                "index": self._index,
                "settle": self._settler.run,
                "dispatch": self._dispatcher.run,
                "deliver": self._outbox.run,
                "retain": self._retention.run,
            }
        )
        self._scheduler.start()

    def stop(self) -> None:
        """Stop cleanly: nothing acknowledged is lost, running jobs finish or are queued again."""
        logger.info("stopping", extra={"action": "stop"})
        self._server.stop(grace_s=_ASSOCIATION_GRACE_S)
        if self._scheduler is None:
            return
        self._dispatcher.close()
        deadline = time.monotonic() + self._config.engine.stop_grace_s
        while self._engine.busy and time.monotonic() < deadline:
            time.sleep(0.05)
        self._scheduler.stop()
        self._engine.stop()
        self._outbox.stop()
        with self._database.write() as session:
            requeued = jobs.requeue_running(session)
        self._database.close()
        logger.info("stopped; %d running jobs queued again", requeued, extra={"action": "stop"})

    def _index(self) -> datetime | None:
        """Index a batch, and come back soon while there may be more."""
        indexed = self._indexer.run()
        if not indexed.total:
            return None
        self._wake("settle")
        return datetime.now(UTC) + timedelta(seconds=_INDEX_PAUSE_S)

    def _job_ended(self) -> None:
        self._wake("deliver")
        self._wake("dispatch")

    def _wake(self, stage: str, *, in_s: float = 0.0) -> None:
        if self._scheduler is not None:
            self._scheduler.wake(stage, in_s=in_s)


def serve(config: Config) -> None:
    """Run a node until SIGTERM or SIGINT."""
    os.umask(0o077)
    logging.basicConfig(
        level=config.log.level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("pynetdicom").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    node = Node(config)
    node.start()
    stopping.wait()
    node.stop()
