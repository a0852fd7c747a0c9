"""A node's storage after years of work, and a new study on its way through it.

The study is spooled, indexed, settled, dispatched (to an engine that runs nothing), recorded and offered to a
destination that is down; then `status` is asked and retention looks. Instances of the archive are headers only.
"""

import hashlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from sqlalchemy import event

from db import schema
from db.files import Storage
from db.repository import jobs, reports
from db.session import Database
from handlers.association import Associations
from handlers.quarantine import Quarantine
from handlers.receipt import Caller, Receipt
from node.bench.old_studies import fill
from node.bench.queries import QUERIES, UNSELECTIVE, matches
from node.catalogue import Catalogue
from node.config import load
from node.demo.harness import RunningNode, free_port, write_config
from node.dispatcher import Dispatcher
from node.engine import Done, LocalEngine
from node.health import examine
from node.indexer import Indexer
from node.outbox import Outbox
from node.retention import Retention
from node.settler import Settler
from node.worker import JobOutcome, JobSpec, ResultFile
from phantom.ct import ChestPhantom, make_chest
from phantom.dicom import to_datasets

_RECEIVED_S_AGO = 3600
_RETENTION_DAYS = 3650
_RESULTS = 3
_STEPS_A_COUNT = 100
_FIELD_MM = 320.0
_THICKEST_MM = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One thing done once."""

    seconds: float
    steps: int


class Archive:
    """A database of old studies, and the way of a new one through it.

    Parameters
    ----------
    folder : Path
        Made here.
    studies, instances : int
        Of the archive.
    new_instances : int or None
        Of each new study; None takes as many as the old ones have.
    """

    def __init__(self, folder: Path, *, studies: int, instances: int, new_instances: int | None = None) -> None:
        folder.mkdir()
        self._config_file = write_config(folder, pacs_port=free_port())
        config = load(self._config_file)
        retention = config.retention.model_copy(update={"inputs_days": _RETENTION_DAYS})
        self._config = config = config.model_copy(update={"retention": retention})
        self._instances = new_instances or instances
        self.storage = storage = Storage(config.storage.path)
        storage.prepare()
        self.database = database = Database(f"sqlite:///{storage.database}")
        self.readings: dict[str, list[Reading]] = {}
        self._steps = 0
        event.listen(database.engine, "connect", self._count_steps)
        schema.upgrade(database)
        fill(database, studies=studies, instances=instances)
        self._engine = _IdleEngine()
        quarantine = Quarantine(storage.quarantine, quota_bytes=0)
        self._indexer = Indexer(storage=storage, database=database, quarantine=quarantine)
        self._catalogue = Catalogue(storage=storage, database=database)
        self._settler = Settler(
            database=database, storage=storage, associations=Associations(), config=config, on_jobs=_nothing
        )
        self._dispatcher = Dispatcher(
            database=database, storage=storage, engine=self._engine, config=config, on_ended=_nothing
        )

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def run(self, number: int) -> None:
        """Send a new study through every stage, and have everything else that the node does be done once."""
        datasets = _new_study(number, self._instances)
        _spool(self.storage, datasets)
        outcome = _outcome(self.storage, datasets[:_RESULTS])
        self._time("open the database", self._open)
        self._time(f"index {self._instances} instances", self._index)
        self._time("catalogue the study", self._catalogue.run)
        self._time("settle the study", self._settler.run)
        self._time("dispatch its job", self._dispatcher.run)
        self._time("record its results", lambda: self._engine.end(outcome))
        self._time("look for deliveries, try one", self._deliver)
        self._time("status", lambda: examine(self._config))
        self._time("status, its queries", self._ask)
        self._time("list jobs", self._list_jobs)
        self._time("retention, nothing to do", self._retain)
        for name, identifier in QUERIES.items():
            if name not in UNSELECTIVE:
                self._time(name, lambda identifier=identifier: list(matches(self.database, identifier)))  # type: ignore[misc]

    def run_processes(self) -> None:
        """Ask for the status, and start a node, as a person does."""
        command = [sys.executable, "-m", "node", "status", "--json", "--config", str(self._config_file)]
        self._time("status, the command", lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))  # noqa: S603 - our own interpreter and module
        with RunningNode(self._config_file) as node:
            self._note("start, to the first answer", Reading(seconds=node.start_seconds, steps=0))

    def _time(self, name: str, act: Callable[[], object]) -> None:
        steps, started = self._steps, time.perf_counter()
        act()
        self._note(name, Reading(seconds=time.perf_counter() - started, steps=self._steps - steps))

    def _note(self, name: str, reading: Reading) -> None:
        self.readings.setdefault(name, []).append(reading)

    def _count_steps(self, connection: sqlite3.Connection, _record: object) -> None:
        def count() -> int:
            self._steps += _STEPS_A_COUNT
            return 0

        connection.set_progress_handler(count, _STEPS_A_COUNT)

    def _open(self) -> None:
        """Do to the database what a node does when it starts."""
        schema.upgrade(self.database)
        with self.database.write() as session:
            jobs.requeue_running(session)

    def _index(self) -> None:
        while self._indexer.run().total:
            pass

    def _deliver(self) -> None:
        outbox = Outbox(database=self.database, storage=self.storage.root, config=self._config, on_done=_nothing)
        outbox.run()
        outbox.stop()

    def _ask(self) -> None:
        with self.database.read() as session:
            reports.counts(session)
            reports.studies(session)

    def _list_jobs(self) -> None:
        with self.database.read() as session:
            reports.jobs(session)

    def _retain(self) -> None:
        retention = Retention(database=self.database, storage=self.storage, config=self._config)
        started = datetime.now(UTC)
        while retention.run() - started < timedelta(minutes=1):
            pass


class _IdleEngine(LocalEngine):
    """Takes one job and keeps it."""

    def __init__(self) -> None:
        self._taken: tuple[JobSpec, Done] | None = None

    def free_device(self) -> str | None:
        """Return the one device until it has a job."""
        return "cpu" if self._taken is None else None

    def submit(self, specs: Sequence[JobSpec], device: str, done: Done) -> None:  # noqa: ARG002 - the engine's signature
        """Keep the job."""
        (spec,) = specs
        self._taken = spec, done

    def end(self, outcome: JobOutcome) -> None:
        """End the job as a worker would.

        Raises
        ------
        RuntimeError
            If there is none.
        """
        if self._taken is None:
            raise RuntimeError("the new study did not become a job")
        (spec, done), self._taken = self._taken, None
        done(spec, outcome)


def _nothing() -> None:
    """Wake nobody: every stage is run here in turn."""


def _new_study(number: int, instances: int) -> list[Dataset]:
    return to_datasets(_chest(instances), uid_entropy=f"scale {number}")


@cache
def _chest(slices: int) -> ChestPhantom:
    thickness_mm = min(_THICKEST_MM, _FIELD_MM / slices)
    return make_chest(slices=slices, rows=16, columns=16, spacing_mm=(thickness_mm, 20.0, 20.0))


def _spool(storage: Storage, datasets: Sequence[Dataset]) -> None:
    """Leave a study in the spool as if it had been received an hour ago."""
    first_ns = time.time_ns() - _RECEIVED_S_AGO * 1_000_000_000
    for n, dataset in enumerate(datasets):
        (storage.spool / f"{first_ns + n:020d}-{n:08x}.dcm").write_bytes(_file(dataset))


def _file(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, dataset)
    receipt = Receipt(
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        transfer_syntax_uid=dataset.file_meta.TransferSyntaxUID,
        caller=Caller(
            calling_ae_title="SCANNER",
            called_ae_title="OPACITY_NODE",
            peer_address="127.0.0.1",
            association_id="bench",
        ),
    )
    return receipt.file_header() + buffer.getvalue()


def _outcome(storage: Storage, datasets: Sequence[Dataset]) -> JobOutcome:
    """Make result files of some instances: their content is of no matter here."""
    results = []
    for n, dataset in enumerate(datasets):
        content = _file(dataset)
        path = storage.results / f"{dataset.SOPInstanceUID}.dcm"
        path.write_bytes(content)
        results.append(
            ResultFile(
                kind=f"object {n}",
                sop_instance_uid=str(dataset.SOPInstanceUID),
                sop_class_uid=str(dataset.SOPClassUID),
                series_instance_uid=str(dataset.SeriesInstanceUID),
                path=str(path.relative_to(storage.root)),
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                device_uid="",
            )
        )
    return JobOutcome(results=tuple(results))
