"""Everything behind the spool, on one database: made, started and stopped together.

Whatever is kept in memory about rows belongs to one database. When that is lost, all of this ends with it and is made
anew on the next one, while the server goes on receiving.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from db.faults import explain
from db.files import Storage
from db.repository import jobs
from db.session import Database
from handlers.association import Associations
from handlers.commitment import CommitmentReport
from handlers.commitment_request import CommitmentRequest
from handlers.quarantine import Quarantine
from inference.wording import counted
from node.catalogue import Catalogue
from node.config import Config
from node.dispatcher import Dispatcher
from node.elsewhere import Elsewhere
from node.engine import LocalEngine
from node.indexer import Indexer
from node.lull import Lull
from node.outbox import Outbox
from node.promises import OpenAssociations, Promises
from node.rebuild import Rebuild
from node.retention import Retention
from node.scheduler import RunStage, Scheduler
from node.settler import Settler

logger = logging.getLogger(__name__)

INDEX_PAUSE_S = 0.25
_SETTLE_PAUSE_S = 1.0
_REBUILD_PAUSE_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """What outlives a database."""

    config: Config
    storage: Storage
    quarantine: Quarantine
    associations: Associations
    rebuild: Rebuild
    open_associations: OpenAssociations = field(default_factory=OpenAssociations)


class Work:
    """The stages from the spool to the destinations.

    Parameters
    ----------
    site : Site
        What they stand on.
    database : Database
        Theirs alone, of the newest schema; closed when they stop.
    on_failure : callable
        Told of every exception that a stage raised; must return at once.
    """

    def __init__(self, site: Site, database: Database, *, on_failure: Callable[[Exception], None]) -> None:
        self._site = site
        self._database = database
        config, storage = site.config, site.storage
        self._engine = LocalEngine(
            devices=config.engine.devices,
            time_limit_s=config.engine.time_limit_s,
            memory_limit_mb=config.engine.memory_limit_mb,
            log_level=config.log.level,
        )
        self._indexer = Indexer(storage=storage, database=database, quarantine=site.quarantine)
        self._lull = Lull(site.associations)
        self._settler = Settler(
            database=database,
            storage=storage,
            associations=site.associations,
            config=config,
            on_jobs=lambda: self.wake("dispatch"),
        )
        self._dispatcher = Dispatcher(
            database=database, storage=storage, engine=self._engine, config=config, on_ended=self._job_ended
        )
        self._outbox = Outbox(
            database=database, storage=storage.root, config=config, on_done=lambda: self.wake("deliver")
        )
        self._retention = Retention(database=database, storage=storage, config=config)
        self._promises = Promises(
            storage=storage, database=database, config=config, associations=site.open_associations
        )
        self._elsewhere = Elsewhere(database=database, config=config)
        self._queries = Database(str(database.engine.url), for_queries=True)
        self._catalogue = Catalogue(storage=storage, database=database)
        self._scheduler = Scheduler(
            {
                "index": self._index,
                "catalogue": self._catalogue.run,
                "promise": self._promises.run,
                "elsewhere": self._when_rebuilt(self._elsewhere.run),
                "settle": self._when_rebuilt(self._settler.run),
                "dispatch": self._when_rebuilt(self._dispatcher.run),
                "deliver": self._outbox.run,
                "retain": self._when_rebuilt(self._retention.run),
            },
            on_failure=on_failure,
        )

    @property
    def in_place(self) -> bool:
        """Whether the database still lies where it lay."""
        return self._database.in_place

    @property
    def queries(self) -> Database:
        """The same database, on a few connections that only read."""
        return self._queries

    def start(self) -> None:
        """Start the workers and the stages; what ran when the node died is queued again."""
        with self._database.write() as session:
            requeued = jobs.requeue_running(session)
        if requeued:
            logger.info("%s of an earlier run queued again", counted(requeued, "job"), extra={"action": "start"})
        try:
            self._engine.start()
        except BaseException:
            self._engine.stop()
            raise
        self._scheduler.start()

    def stop(self, *, grace_s: float) -> None:
        """Let running jobs finish for so long, then end everything; what still runs is queued again."""
        self._dispatcher.close()
        deadline = time.monotonic() + grace_s
        while self._engine.busy and time.monotonic() < deadline:
            time.sleep(0.05)
        self._promises.stop()
        self._elsewhere.stop()
        self._scheduler.stop()
        self._engine.stop()
        self._outbox.stop()
        self._requeue_running()
        self._queries.close()
        self._database.close()

    def reload(self, config: Config) -> None:
        """Use another configuration, as far as it can take effect in a running node."""
        for part in (
            self._settler,
            self._dispatcher,
            self._outbox,
            self._retention,
            self._promises,
            self._elsewhere,
        ):
            part.reload(config)
        for stage in ("settle", "dispatch", "deliver", "retain"):
            self.wake(stage)

    def wake(self, stage: str, *, in_s: float = 0.0) -> None:
        """Run a stage soon."""
        self._scheduler.wake(stage, in_s=in_s)

    def confirmed(self, report: CommitmentReport) -> bool:
        """Record durably what a destination reports to keep; say whether it was asked."""
        return self._elsewhere.confirmed(report) or self._outbox.confirmed(report)

    def asked_to_keep(self, request: CommitmentRequest) -> None:
        """Record durably what a peer asks us to keep."""
        self._promises.add(request)
        self.wake("promise")

    def _requeue_running(self) -> None:
        try:
            with self._database.write() as session:
                requeued = jobs.requeue_running(session)
        except Exception as error:  # sorted below: only what the machine did may pass when we stop
            if (why := explain(error)) is None:
                raise
            logger.warning("running jobs are queued again at the next start: %s", why, extra={"action": "stop"})
        else:
            logger.info("%d running jobs queued again", requeued, extra={"action": "stop"})

    def _index(self) -> datetime | None:
        """Index a batch, and come back soon while there may be more: at once when files were left."""
        if self._lull.is_awaited():
            return datetime.now(UTC) + timedelta(seconds=INDEX_PAUSE_S)
        indexed = self._indexer.run()
        if not indexed.more:
            self._lull.all_is_indexed()
        if not indexed.total:
            return None
        self.wake("catalogue")
        # Little can settle before its rest is indexed, and looking for it takes time from that.
        self.wake("settle", in_s=_SETTLE_PAUSE_S if indexed.more else 0.0)
        return datetime.now(UTC) + timedelta(seconds=0.0 if indexed.more else INDEX_PAUSE_S)

    def _when_rebuilt(self, run: RunStage) -> RunStage:
        """Have a stage wait while images known earlier are not yet known again."""

        def run_or_wait() -> datetime | None:
            if self._site.rebuild.under_way:
                return datetime.now(UTC) + timedelta(seconds=_REBUILD_PAUSE_S)
            return run()

        return run_or_wait

    def _job_ended(self) -> None:
        self.wake("deliver")
        self.wake("dispatch")
        self.wake("catalogue")
