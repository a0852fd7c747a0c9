"""Jobs from their start to their end; `db.repository.starting` starts them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.models import Delivery, Job, Result
from db.repository import cataloguing, superseding
from db.repository.deliveries import UNWANTED
from db.states import DeliveryState, JobState

MAX_WORKER_DEATHS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class NewResult:
    """A result file to record; `path` is relative to the storage folder."""

    kind: str
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    path: str
    size: int
    sha256: str
    device_uid: str


Wants = Callable[[str, str], bool]
"""Says whether a destination gets objects of a kind."""


def everything(_destination: str, _kind: str) -> bool:
    """Have every destination get every object."""
    return True


class UnequalResultError(Exception):
    """An object was built again under the same UID with other bytes; it must never be sent."""


def succeed(
    session: Session,
    job_id: int,
    *,
    now: datetime,
    results: Sequence[NewResult],
    timings: dict[str, Any],
    summary: dict[str, Any],
    wants: Wants = everything,
) -> None:
    """Record results, deliveries to those that want them, and success together.

    Raises
    ------
    UnequalResultError
        If an object of that UID is recorded with other bytes.
    """
    job = session.get_one(Job, job_id)
    job.state, job.finished_at, job.code, job.message = JobState.SUCCEEDED, now, None, None
    job.timings, job.summary = timings, summary
    _record_results(session, job, results, wants, now=now)


def refuse(
    session: Session,
    job_id: int,
    *,
    now: datetime,
    code: str,
    message: str,
    results: Sequence[NewResult] = (),
    wants: Wants = everything,
) -> None:
    """Record that the data do not fit, and the notice that says so; the job is never retried.

    Raises
    ------
    UnequalResultError
        If an object of that UID is recorded with other bytes.
    """
    job = session.get_one(Job, job_id)
    job.state, job.finished_at, job.code, job.message = JobState.REFUSED, now, code, message
    _record_results(session, job, results, wants, now=now)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """How often and when a failed job is tried again."""

    max_attempts: int
    after_s: float


def fail(session: Session, job_id: int, *, now: datetime, code: str, message: str, retry: Retry) -> None:
    """Record a failure, and when to try again if attempts are left."""
    job = session.get_one(Job, job_id)
    job.state, job.finished_at, job.code, job.message = JobState.FAILED, now, code, message
    if job.superseded_by_id is not None:
        job.state = JobState.CANCELLED  # nobody would get its results
    elif job.attempts < retry.max_attempts:
        job.not_before = now + timedelta(seconds=retry.after_s * 2 ** (job.attempts - 1))


def postpone(session: Session, job_id: int, *, now: datetime, until: datetime, message: str) -> None:
    """Try a job again later that failed through no fault of its own; the attempt does not count."""
    job = session.get_one(Job, job_id)
    job.state, job.finished_at, job.code, job.message = JobState.FAILED, now, "no-room", message
    job.not_before = until
    job.attempts -= 1


def worker_died(session: Session, job_id: int, *, now: datetime, code: str, message: str, retry: Retry) -> None:
    """Record that a worker died or was killed at the job while the node lived; the second time quarantines it."""
    job = session.get_one(Job, job_id)
    job.worker_deaths += 1
    fail(session, job_id, now=now, code=code, message=message, retry=retry)
    if job.worker_deaths >= MAX_WORKER_DEATHS and job.state is JobState.FAILED:
        job.state, job.not_before = JobState.QUARANTINED, None


def requeue_running(session: Session) -> int:
    """Queue again what was running when the node stopped or died; that is no fault of the job."""
    session.execute(
        update(Job)
        .where(Job.state == JobState.RUNNING, Job.superseded_by_id.is_not(None))
        .values(state=JobState.CANCELLED, device=None, attempts=Job.attempts - 1)
    )
    outcome = session.execute(
        update(Job)
        .where(Job.state == JobState.RUNNING)
        .values(state=JobState.QUEUED, device=None, attempts=Job.attempts - 1)
        .returning(Job.id)
    )
    return len(outcome.all())


def _record_results(session: Session, job: Job, results: Sequence[NewResult], wants: Wants, *, now: datetime) -> None:
    cataloguing.changed(session, [job.study_id])
    last = session.scalar(select(func.max(Result.position)).where(Result.job_id == job.id))
    for position, result in enumerate(results, start=0 if last is None else last + 1):  # a notice may be before them
        known = session.scalar(select(Result).where(Result.sop_instance_uid == result.sop_instance_uid))
        if known is not None and known.sha256 == result.sha256:
            continue  # an equal job made it before, and it is on its way
        if known is not None:
            raise UnequalResultError(
                f"object {result.sop_instance_uid} is already recorded for job {known.job_id}, with other bytes"
            )
        row = Result(job_id=job.id, position=position, created_at=now, **asdict(result))
        session.add(row)
        session.flush()
        session.add_all(_delivery(job, row, name, wants, now=now) for name in job.destinations)


def _delivery(job: Job, result: Result, destination: str, wants: Wants, *, now: datetime) -> Delivery:
    row = Delivery(result_id=result.id, destination=destination, state=DeliveryState.PENDING, next_attempt_at=now)
    if not wants(destination, result.kind):
        row.state, row.message, row.next_attempt_at = DeliveryState.UNWANTED, UNWANTED, None
    elif job.superseded_by_id is not None:
        row.state, row.message = DeliveryState.CANCELLED, superseding.taken_over_by(job.superseded_by_id)
        row.next_attempt_at = None
    return row
