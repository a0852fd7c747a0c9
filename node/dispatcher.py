"""Queued jobs -> engine -> results, deliveries and success in one transaction."""

import functools
import logging
import queue
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from db.faults import Trouble
from db.files import Storage
from db.repository import jobs, starting
from db.repository.jobs import NewResult, Retry, UnequalResultError
from db.repository.starting import StartedJob
from db.session import Database
from dicom_out.context import SERIES_NUMBERS
from inference.compute import CPU
from inference.findings import Refusal
from inference.registry import CARDS
from node import wanted
from node.config import Config
from node.ending import Ending, Failure
from node.engine import LocalEngine
from node.worker import JobOutcome, JobSpec, ResultFile

logger = logging.getLogger(__name__)

_RECORD_AGAIN = timedelta(seconds=1)
_NO_ROOM_PAUSE = timedelta(seconds=30)
_NEVER = Retry(max_attempts=0, after_s=0)


class Dispatcher:
    """Keeps every device busy while jobs are due.

    Parameters
    ----------
    database, storage, engine, config
        What it works with.
    on_ended : callable
        Called after a job ended; must return at once.
    """

    def __init__(
        self,
        *,
        database: Database,
        storage: Storage,
        engine: LocalEngine,
        config: Config,
        on_ended: Callable[[], None],
    ) -> None:
        self._database = database
        self._storage = storage
        self._engine = engine
        self._on_ended = on_ended
        self.reload(config)
        self._accepting = True
        self._trouble = Trouble("ends of jobs wait to be recorded", logger)
        self._unrecorded: queue.SimpleQueue[tuple[JobSpec, JobOutcome | Failure]] = queue.SimpleQueue()

    def reload(self, config: Config) -> None:
        """Use other settings for every job that starts or fails from now on."""
        self._config = config
        self._retry = Retry(max_attempts=config.engine.max_attempts, after_s=config.engine.retry_after_s)

    def run(self) -> datetime | None:
        """Start due jobs on free devices.

        Returns
        -------
        datetime or None
            When the next failed job is to be tried again; None while no device is free, as the end of a job tells.
        """
        for _ in range(self._unrecorded.qsize()):
            self._conclude(*self._unrecorded.get_nowait())
        while self._accepting and (device := self._engine.free_device()) is not None:
            with self._database.write() as session:
                started = _start(session, device, now=datetime.now(UTC))
            if not started:
                break
            if not self._submit([self._spec(job) for job in started], device):
                break
        if not self._unrecorded.empty():
            return datetime.now(UTC) + _RECORD_AGAIN
        if not self._accepting or self._engine.free_device() is None:
            return None
        with self._database.read() as session:
            return starting.next_retry_at(session)

    def close(self) -> None:
        """Start no more jobs."""
        self._accepting = False

    def _submit(self, specs: list[JobSpec], device: str) -> bool:
        """Hand jobs to the engine; say whether it took them."""
        for spec in specs:
            logger.info("job %d starts on %s", spec.job_id, device, extra={"action": "job", "job": spec.job_id})
        try:
            self._engine.submit(specs, device, self._ended)
        except Exception as error:  # whatever it is, the attempt is counted already and must be concluded
            for spec in specs:
                logger.exception("job %d could not be started", spec.job_id, extra={"action": "job"})
                self._conclude(spec, Failure(ending=Ending.FAULT, message=f"could not be started: {error}"))
            return False
        return True

    def _spec(self, job: StartedJob) -> JobSpec:
        root = self._storage.root
        return JobSpec(
            job_id=job.id,
            pipeline=job.pipeline,
            selection_hash=job.selection_hash,
            revision_number=job.revision_number,
            created_at=job.created_at,
            paths=tuple(root / path for path in job.paths),
            demographics_path=root / job.demographics_path,
            predecessors=job.predecessors,
            storage=root,
            result_folder=self._storage.result_folder(job.study_instance_uid, job.pipeline, job.id, job.created_at),
            weights=Path(self._config.storage.weights),
            series_number=self._config.results.series_number + SERIES_NUMBERS * job.place.number,
            series_description_prefix=self._config.results.series_description_prefix,
            names_source=job.place.among_several,
            notices=job.notices,
            maps=wanted.maps(self._config, job.destinations, job.pipeline),
            refusal=None if job.refusal is None else Refusal(**job.refusal),
            settings=self._config.pipelines.get(job.pipeline, {}),
            limits=self._config.engine.limits,
            keeps_selection=job.is_followed,
        )

    def _ended(self, spec: JobSpec, outcome: JobOutcome | Failure) -> None:
        self._conclude(spec, outcome)
        self._on_ended()

    def _conclude(self, spec: JobSpec, outcome: JobOutcome | Failure) -> None:
        """Record how a job ended; what cannot be recorded now is kept and recorded by a later run."""
        try:
            if isinstance(outcome, JobOutcome):
                self._record(spec, outcome)
            else:
                self._record_failure(spec, outcome)
        except UnequalResultError as error:
            self._conclude(spec, Failure(ending=Ending.UNEQUAL_RESULT, message=str(error)))
        except NoResultFound:
            logger.warning("job %d is in the database no more", spec.job_id, extra={"action": "job"})
        except Exception as error:  # an ending that is not recorded now is kept, whatever stood in the way
            if not self._trouble.met(error):
                logger.exception("the end of job %d could not be recorded yet", spec.job_id, extra={"action": "job"})
            self._unrecorded.put((spec, outcome))
        else:
            self._trouble.end()

    def _record(self, spec: JobSpec, outcome: JobOutcome) -> None:
        now = datetime.now(UTC)
        results = [_new_result(r) for r in outcome.results]
        wants = functools.partial(self._wants, spec.pipeline)
        with self._database.write() as session:
            if outcome.refusal is not None:
                refusal = outcome.refusal
                jobs.refuse(
                    session, spec.job_id, now=now, code=refusal.code, message=str(refusal), results=results, wants=wants
                )
            else:
                jobs.succeed(
                    session,
                    spec.job_id,
                    now=now,
                    results=results,
                    wants=wants,
                    timings=dict(outcome.timings),
                    summary=outcome.summary,
                )
        logger.info(
            "job %d %s",
            spec.job_id,
            f"refused: {outcome.refusal}" if outcome.refusal else f"succeeded with {len(outcome.results)} objects",
            extra={"action": "job", "job": spec.job_id},
        )

    def _wants(self, pipeline: str, destination: str, kind: str) -> bool:
        return wanted.wants(self._config, destination, pipeline, kind)

    def _record_failure(self, spec: JobSpec, failure: Failure) -> None:
        if failure.ending is Ending.STOPPED:
            return  # requeued when the node has stopped
        now = datetime.now(UTC)
        record = jobs.worker_died if failure.ending.is_death else jobs.fail
        retry = _NEVER if failure.ending is Ending.UNEQUAL_RESULT else self._retry
        with self._database.write() as session:
            if failure.ending is Ending.NO_ROOM:
                jobs.postpone(session, spec.job_id, now=now, until=now + _NO_ROOM_PAUSE, message=failure.message)
            else:
                record(session, spec.job_id, now=now, code=failure.ending.value, message=failure.message, retry=retry)
        logger.warning("job %d failed: %s", spec.job_id, failure.message, extra={"action": "job", "job": spec.job_id})


def _start(session: Session, device: str, *, now: datetime) -> list[StartedJob]:
    """Start the next job; on a GPU also those that its pipeline can take together with it."""
    first = starting.start_next(session, device=device, now=now)
    if first is None:
        return []
    card = CARDS.get(first.pipeline)
    if card is None or card.at_once == 1 or device == CPU:
        return [first]
    return [first, *starting.start_alike(session, first, device=device, now=now, at_most=card.at_once - 1)]


def _new_result(file: ResultFile) -> NewResult:
    return NewResult(
        kind=file.kind,
        sop_instance_uid=file.sop_instance_uid,
        sop_class_uid=file.sop_class_uid,
        series_instance_uid=file.series_instance_uid,
        path=file.path,
        size=file.size,
        sha256=file.sha256,
        device_uid=file.device_uid,
    )
