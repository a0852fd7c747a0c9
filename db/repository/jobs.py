"""Jobs from queued to their end.

Every start is counted before it happens, in a transaction of its own, so that no crash can lose the count.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session, aliased

from db.models import Delivery, Instance, Job, JobInstance, Result, Revision, Series, Study
from db.repository import superseding
from db.repository.deliveries import UNWANTED
from db.repository.superseding import Place
from db.states import DeliveryState, InstanceRole, JobState

MAX_WORKER_DEATHS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class StartedJob:
    """What a worker must know of a job."""

    id: int
    study_instance_uid: str
    revision_number: int
    pipeline: str
    selection_hash: str
    created_at: datetime
    paths: tuple[str, ...]
    demographics_path: str
    """Of the instance whose patient and study attributes results take."""
    predecessors: tuple[dict[str, Any], ...]
    """Reports that this job's report replaces."""
    place: Place
    destinations: tuple[str, ...]
    notices: bool
    refusal: dict[str, Any] | None
    is_followed: bool
    """Whether another queued job reads the same stack."""


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


def start_next(session: Session, *, device: str, now: datetime) -> StartedJob | None:
    """Mark the next due job as running on a device and count the attempt; None if there is none.

    Jobs of held studies wait. Files are those that are current now: an update that came since the study settled shows
    the same image, under a header that a person corrected.
    """
    job = session.scalar(
        select(Job)
        .join(Study)
        .where(
            or_(
                Job.state == JobState.QUEUED,
                (Job.state == JobState.FAILED) & (Job.not_before.is_not(None)) & (Job.not_before <= now),
            ),
            Study.hold_reason.is_(None),
        )
        .order_by(Job.ranks_at, Job.id)
        .limit(1)
    )
    if job is None:
        return None
    job.state, job.device, job.started_at = JobState.RUNNING, device, now
    job.finished_at = job.not_before = None
    job.attempts += 1
    if job.predecessors is None:
        job.predecessors = superseding.predecessors(session, job)
    study = session.get_one(Study, job.study_id)
    instances = _selection(session, job)
    return StartedJob(
        id=job.id,
        study_instance_uid=study.study_instance_uid,
        revision_number=session.get_one(Revision, job.revision_id).number,
        pipeline=job.pipeline,
        selection_hash=job.selection_hash,
        created_at=job.created_at,
        paths=tuple(instance.path for instance in instances),
        demographics_path=_demographics_path(session, study, instances),
        predecessors=tuple(job.predecessors),
        place=superseding.place(session, job),
        destinations=tuple(job.destinations),
        notices=job.notices,
        refusal=job.refusal,
        is_followed=_is_followed(session, job),
    )


def _is_followed(session: Session, job: Job) -> bool:
    refusals = select(Job.refusal).where(
        Job.study_id == job.study_id,
        Job.revision_id == job.revision_id,
        Job.stack == job.stack,
        Job.state == JobState.QUEUED,
        Job.id != job.id,
    )
    return any(refusal is None for refusal in session.scalars(refusals))


def _selection(session: Session, job: Job) -> list[Instance]:
    """Return the instances of a job in order, each as its newest update has it: equal pixels in the same place."""
    current = aliased(Instance)
    is_its_update = (
        (current.sop_instance_uid == Instance.sop_instance_uid)
        & (current.role == InstanceRole.CURRENT)
        & (current.series_id == Instance.series_id)
        & (current.pixel_sha256 == Instance.pixel_sha256)
    )
    rows = session.execute(
        select(Instance, current)
        .join(JobInstance, JobInstance.instance_id == Instance.id)
        .outerjoin(current, is_its_update)
        .where(JobInstance.job_id == job.id)
        .order_by(JobInstance.position)
    )
    return [newest or chosen for chosen, newest in rows]


def _demographics_path(session: Session, study: Study, selection: Sequence[Instance]) -> str:
    """Return the file of the newest instance of a selection; where identities differ, of the one a person chose."""
    accepted = study.patient_identities
    of_the_patient = [i for i in selection if not accepted or _identity(i) == accepted[0]]
    if of_the_patient:
        return max(of_the_patient, key=lambda instance: instance.received_at).path
    elsewhere = session.scalars(
        select(Instance)
        .join(Series)
        .where(Series.study_id == study.id, Instance.role == InstanceRole.CURRENT, Instance.removed_at.is_(None))
        .order_by(Instance.received_at.desc())
    )
    fitting = (instance for instance in elsewhere if accepted and _identity(instance) == accepted[0])
    return next((instance.path for instance in (*fitting, *selection)), "")


def _identity(instance: Instance) -> list[str]:
    return [instance.patient_id, instance.issuer_of_patient_id, instance.patient_birth_date]


def next_retry_at(session: Session) -> datetime | None:
    """Return when the next failed job is due."""
    return session.scalar(
        select(Job.not_before)
        .join(Study)
        .where(Job.state == JobState.FAILED, Job.not_before.is_not(None), Study.hold_reason.is_(None))
        .order_by(Job.not_before)
        .limit(1)
    )


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
