"""The service: every part made, started and stopped in the right order.

Start: storage, then the server, then a keeper that opens the database and starts all the rest, so that peers are
answered at once and whatever state the database is in; what comes meanwhile waits in the spool. Stop: no more
associations, no more jobs, let what runs finish or queue it again. SIGHUP: read the configuration again.
"""

import contextlib
import logging
import os
import queue
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pydicom

from db.files import Storage
from db.incoming import Incoming
from db.session import refuse_network_mount
from handlers.adoption import adopt
from handlers.association import Associations
from handlers.callers import is_named
from handlers.commitment import CommitmentHandler
from handlers.commitment_request import RequestHandler
from handlers.quarantine import Quarantine
from handlers.refusals import Refusals
from handlers.space import DiskSpace
from handlers.store import StoreHandler
from node import config as config_file
from node.config import Config, ConfigError
from node.heaps import keep_heaps_small
from node.keeper import Keeper
from node.needs import unheard, unmet
from node.rebuild import Rebuild
from node.refused import RefusedFile
from node.reloading import reload
from node.retrieval import QueryRetrieveScp
from node.scheduler import Scheduler
from node.server import Server
from node.work import INDEX_PAUSE_S, Site

logger = logging.getLogger(__name__)

_ASSOCIATION_GRACE_S = 5.0
_LOOK_FOR_SIGNALS_S = 0.5
_LOOK_AT_SPACE = timedelta(seconds=10)
_LOOK_AT_ACCESS = timedelta(seconds=5)


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
    node.tls.UnusableFilesError
        If the certificate of the port for TLS cannot be used.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        storage = Storage(config.storage.path)
        storage.prepare()
        self._lock = storage.lock()
        # Now, before anything is acknowledged on it.
        refuse_network_mount(storage.database)
        associations = Associations()
        quarantine = Quarantine(storage.quarantine, quota_bytes=config.storage.quarantine_quota_mb * 1_000_000)
        adopt(storage, quarantine)
        self._incoming = Incoming(storage.incoming)
        site = Site(
            config=config,
            storage=storage,
            quarantine=quarantine,
            associations=associations,
            rebuild=Rebuild(storage=storage, quarantine=quarantine),
        )
        self._space = DiskSpace(storage.root, low_water_bytes=config.storage.low_water_mb * 1_000_000)
        self._keeper = Keeper(site, on_damage=lambda: self._scheduler.wake("database"))
        self._scheduler = Scheduler(
            {"database": self._keeper.run, "space": self._look_at_space, "access": self._look_at_access}
        )
        refusals = Refusals()
        self._refused = RefusedFile(storage.root, refusals)
        store = StoreHandler(
            storage=storage,
            incoming=self._incoming,
            quarantine=quarantine,
            space=self._space,
            associations=associations,
            on_spooled=lambda: self._keeper.wake("index", in_s=INDEX_PAUSE_S),
        )
        self._server = Server(
            config.dicom,
            store=store,
            associations=associations,
            commitment=CommitmentHandler(self._keeper.confirmed),
            refusals=refusals,
            requests=RequestHandler(self._may_ask_to_keep, self._keeper.asked_to_keep),
            query_retrieve=QueryRetrieveScp(lambda: self._config, self._keeper.queries, root=storage.root),
        )

    def start(self) -> None:
        """Listen, then bring up everything behind."""
        self._warn_of_lacks()
        self._incoming.start()
        self._server.start()
        self._scheduler.start()

    def reload(self, file: Path | None) -> None:
        """Read the configuration again; what is wrong with it is logged, and the one in use stays."""
        try:
            change = reload(self._config, config_file.load(file))
        except ConfigError as error:
            for complaint in str(error).splitlines():
                logger.error("configuration: %s", complaint, extra={"action": "reload"})  # noqa: TRY400 - no fault of ours
            logger.error("the configuration in use stays", extra={"action": "reload"})  # noqa: TRY400 - see above
            return
        self._config = change.config
        self._keeper.reload(change.config)
        self._server.use(change.config.dicom)
        self._warn_of_lacks()
        for setting in change.waiting:
            logger.warning("%s needs a restart to take effect", setting, extra={"action": "reload"})
        logger.info(
            "configuration reloaded; changed: %s", ", ".join(change.changed) or "nothing", extra={"action": "reload"}
        )

    def stop(self) -> None:
        """Stop cleanly: nothing acknowledged is lost, running jobs finish or are queued again."""
        logger.info("stopping", extra={"action": "stop"})
        self._server.stop(grace_s=_ASSOCIATION_GRACE_S)
        self._incoming.stop()
        self._keeper.stop(grace_s=self._config.engine.stop_grace_s)
        self._scheduler.stop()  # last: workers die with the thread that started them
        logger.info("stopped", extra={"action": "stop"})

    def _may_ask_to_keep(self, ae_title: str, address: str) -> bool:
        return is_named(self._config.storage_commitment.calling_ae_titles, ae_title, address)

    def _warn_of_lacks(self) -> None:
        for lack in unmet(self._config.rules, self._config.storage.weights):
            logger.warning("%s", lack, extra={"action": "weights"})
        for lack in unheard(self._config):
            logger.warning("%s", lack, extra={"action": "commit"})

    def _look_at_access(self) -> datetime:
        self._server.look_at_certificates()
        self._refused.write()
        return datetime.now(UTC) + _LOOK_AT_ACCESS

    def _look_at_space(self) -> datetime:
        self._space.look()
        return datetime.now(UTC) + _LOOK_AT_SPACE


def serve(config: Config, file: Path | None) -> None:
    """Run a node until SIGTERM or SIGINT; SIGHUP has it read its configuration again.

    Parameters
    ----------
    config : Config
        To begin with.
    file : Path or None
        What it was read from; None if there was none.
    """
    os.umask(0o077)
    keep_heaps_small()
    logging.basicConfig(
        level=config.log.level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    # Its warnings quote the values of headers.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pynetdicom").setLevel(logging.ERROR)
    for part in ("transport", "acse", "fsm", "utils"):
        # What they say of peers we say ourselves, once and with the remedy.
        logging.getLogger(f"pynetdicom.{part}").setLevel(logging.CRITICAL)
    logging.getLogger("pynetdicom.dul").addFilter(_is_no_trace_of_the_network)
    for part in ("association", "dimse"):
        logging.getLogger(f"pynetdicom.{part}").addFilter(_without_trace)
    logging.getLogger("pynetdicom.service_class").addFilter(_is_no_trace_of_what_we_do_not_offer)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    received: queue.SimpleQueue[int] = queue.SimpleQueue()  # its put may interrupt its get, or another put
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: received.put(number))
    node = Node(config)
    node.start()
    logger.info(
        "this is process %d: SIGHUP has it read its configuration again, SIGTERM ends it",
        os.getpid(),
        extra={"action": "start"},
    )
    while _next(received) == signal.SIGHUP:
        node.reload(file)
    node.stop()


def _is_no_trace_of_the_network(record: logging.LogRecord) -> bool:
    """Leave out the stack trace of a peer that hung up; the line before it says so in words."""
    return not (record.exc_info and isinstance(record.exc_info[1], OSError))


def _is_no_trace_of_what_we_do_not_offer(record: logging.LogRecord) -> bool:
    """Leave out the stack trace of a message that no handler is for; it is answered with a failure."""
    return not (record.exc_info and isinstance(record.exc_info[1], NotImplementedError))


def _without_trace(record: logging.LogRecord) -> bool:
    """Say in one line that serving a message failed; leave out the rest, which we say ourselves.

    Whoever sends what no service expects brings it about: a stack trace for each would fill the disk.
    """
    if not record.exc_info or record.exc_info[0] is None:
        return False
    record.msg, record.args = (
        "an association was aborted: its message could not be served (%s)",
        (record.exc_info[0].__name__,),
    )
    record.exc_info = record.exc_text = None
    return True


def _next(received: "queue.SimpleQueue[int]") -> int:
    """Return the next signal; one that comes just before the wait, or to another thread, ends no wait by itself."""
    while True:
        with contextlib.suppress(queue.Empty):
            return received.get(timeout=_LOOK_FOR_SIGNALS_S)
