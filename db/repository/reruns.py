"""Jobs that had ended and are to run again: what they lacked is there, or a person says so."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from db.models import Delivery, Instance, Job, JobInstance, Result
from db.states import DeliveryState, JobState

RETRIED = (JobState.FAILED, JobState.QUARANTINED, JobState.REFUSED)
"""What a person may have run again."""
_UNDELIVERED = (DeliveryState.PENDING, DeliveryState.FAILED)


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedJob:
    """A job that was refused and that no later revision replaced.

    Attributes
    ----------
    id : int
        Its number.
    pipeline : str
        What it was to run.
    images_are_there : bool
        Whether retention left all its images.
    """

    id: int
    pipeline: str
    images_are_there: bool


def refused(session: Session, codes: Collection[str]) -> list[RefusedJob]:
    """Return the jobs that were refused for one of these reasons, oldest first."""
    rows = session.execute(
        select(Job.id, Job.pipeline, _images_are_there())
        .where(Job.state == JobState.REFUSED, Job.code.in_(codes), Job.superseded_by_id.is_(None))
        .order_by(Job.id)
    )
    return [RefusedJob(id=number, pipeline=name, images_are_there=there) for number, name, there in rows]


def ended(session: Session, state: JobState) -> list[int]:
    """Return the jobs of a state that no later revision replaced, oldest first."""
    return list(
        session.scalars(select(Job.id).where(Job.state == state, Job.superseded_by_id.is_(None)).order_by(Job.id))
    )


def why_not(session: Session, job_id: int) -> str | None:
    """Say what keeps a job from being run again; None if nothing does."""
    found = session.execute(select(Job, _images_are_there()).where(Job.id == job_id)).one_or_none()
    if found is None:
        return "there is no such job"
    job, images_are_there = found
    if job.superseded_by_id is not None:
        return f"job {job.superseded_by_id} took its place"
    if job.state not in RETRIED:
        return f"it is {job.state.value}"
    if job.state is JobState.REFUSED and job.refusal is not None:
        return "it was refused before it ran, and would be again"
    return None if images_are_there else "its images are gone (retention); send the study again"


def requeue(session: Session, job_ids: Collection[int], *, now: datetime) -> int:
    """Queue jobs that ended without a result again, as if they were made now; return how many there were.

    A run makes objects of its own: their UIDs and their folder come from when the job was made. What an earlier run
    had to tell and did not deliver is not sent any more.
    """
    fitting = (Job.id.in_(job_ids), Job.state.in_(RETRIED), Job.superseded_by_id.is_(None))
    chosen = session.scalars(select(Job).where(*fitting)).all()
    for job in chosen:
        job.ranks_at += now - job.created_at
        job.created_at = now
        job.state, job.attempts, job.worker_deaths = JobState.QUEUED, 0, 0
        job.device = job.not_before = job.started_at = job.finished_at = None
        job.code = job.message = job.predecessors = None
        _cancel_deliveries(session, job.id)
    return len(chosen)


def _images_are_there() -> ColumnElement[bool]:
    removed = (
        select(JobInstance.job_id)
        .join(Instance, Instance.id == JobInstance.instance_id)
        .where(JobInstance.job_id == Job.id, Instance.removed_at.is_not(None))
        .exists()
    )
    return ~removed


def _cancel_deliveries(session: Session, job_id: int) -> None:
    session.execute(
        update(Delivery)
        .where(
            Delivery.result_id.in_(select(Result.id).where(Result.job_id == job_id)), Delivery.state.in_(_UNDELIVERED)
        )
        .values(state=DeliveryState.CANCELLED, next_attempt_at=None, message=f"job {job_id} runs again")
    )
