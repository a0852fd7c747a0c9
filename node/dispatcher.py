"""Queued jobs -> engine -> results, deliveries and success in one transaction."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from db.files import Storage
from db.repository import jobs
from db.repository.jobs import NewResult, Retry, StartedJob
from db.session import Database
from node.config import Config
from node.engine import Ending, Failure, LocalEngine
from node.worker import JobOutcome, JobSpec, ResultFile

logger = logging.getLogger(__name__)


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
        self._config = config
        self._on_ended = on_ended
        self._retry = Retry(max_attempts=config.engine.max_attempts, after_s=config.engine.retry_after_s)
        self._accepting = True

    def run(self) -> datetime | None:
        """Start due jobs on free devices.

        Returns
        -------
        datetime or None
            When the next failed job is to be tried again.
        """
        while self._accepting and (device := self._engine.free_device()) is not None:
            with self._database.write() as session:
                job = jobs.start_next(session, device=device, now=datetime.now(UTC))
            if job is None:
                break
            logger.info("job %d starts on %s", job.id, device, extra={"action": "job", "job": job.id})
            self._engine.submit(self._spec(job), device, self._ended)
        with self._database.read() as session:
            return jobs.next_retry_at(session)

    def close(self) -> None:
        """Start no more jobs."""
        self._accepting = False

    def _spec(self, job: StartedJob) -> JobSpec:
        root = self._storage.root
        return JobSpec(
            job_id=job.id,
            pipeline=job.pipeline,
            selection_hash=job.selection_hash,
            revision_number=job.revision_number,
            created_at=job.created_at,
            paths=tuple(root / path for path in job.paths),
            storage=root,
            result_folder=self._storage.result_folder(job.study_instance_uid, job.selection_hash, job.pipeline),
            weights=Path(self._config.storage.weights),
            series_number=self._config.results.series_number,
            series_description_prefix=self._config.results.series_description_prefix,
        )

    def _ended(self, spec: JobSpec, outcome: JobOutcome | Failure) -> None:
        try:
            if isinstance(outcome, JobOutcome):
                self._record(spec, outcome)
            else:
                self._record_failure(spec, outcome)
        except Exception:
            # The job stays "running" in the database and is queued again at the next start.
            logger.exception("the end of job %d could not be recorded", spec.job_id, extra={"action": "job"})
        self._on_ended()

    def _record(self, spec: JobSpec, outcome: JobOutcome) -> None:
        now = datetime.now(UTC)
        with self._database.write() as session:
            if outcome.refusal is not None:
                refusal = outcome.refusal
                jobs.refuse(session, spec.job_id, now=now, code=refusal.code, message=str(refusal))
            else:
                jobs.succeed(
                    session,
                    spec.job_id,
                    now=now,
                    results=[_new_result(r) for r in outcome.results],
                    timings=dict(outcome.timings),
                    summary=outcome.summary,
                )
        logger.info(
            "job %d %s",
            spec.job_id,
            f"refused: {outcome.refusal}" if outcome.refusal else f"succeeded with {len(outcome.results)} objects",
            extra={"action": "job", "job": spec.job_id},
        )

    def _record_failure(self, spec: JobSpec, failure: Failure) -> None:
        if failure.ending is Ending.STOPPED:
            return  # requeued when the node has stopped
        now = datetime.now(UTC)
        died = failure.ending in {Ending.TIME_LIMIT, Ending.WORKER_DIED}
        record = jobs.worker_died if died else jobs.fail
        with self._database.write() as session:
            record(session, spec.job_id, now=now, code=failure.ending.value, message=failure.message, retry=self._retry)
        logger.warning("job %d failed: %s", spec.job_id, failure.message, extra={"action": "job", "job": spec.job_id})


def _new_result(file: ResultFile) -> NewResult:
    return NewResult(
        kind=file.kind,
        sop_instance_uid=file.sop_instance_uid,
        sop_class_uid=file.sop_class_uid,
        series_instance_uid=file.series_instance_uid,
        path=file.path,
        size=file.size,
        sha256=file.sha256,
    )
