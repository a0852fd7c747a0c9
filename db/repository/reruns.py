"""Refused jobs that may run now, since what they lacked is there."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.models import Instance, Job, JobInstance
from db.states import JobState


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
    removed = (
        select(JobInstance.job_id)
        .join(Instance, Instance.id == JobInstance.instance_id)
        .where(JobInstance.job_id == Job.id, Instance.removed_at.is_not(None))
        .exists()
    )
    rows = session.execute(
        select(Job.id, Job.pipeline, ~removed)
        .where(Job.state == JobState.REFUSED, Job.code.in_(codes), Job.superseded_by_id.is_(None))
        .order_by(Job.id)
    )
    return [RefusedJob(id=number, pipeline=name, images_are_there=there) for number, name, there in rows]


def requeue(session: Session, job_ids: Collection[int]) -> int:
    """Queue refused jobs again, as if they had never run; return how many there were."""
    outcome = session.execute(
        update(Job)
        .where(Job.id.in_(job_ids), Job.state == JobState.REFUSED)
        .values(
            state=JobState.QUEUED,
            attempts=0,
            worker_deaths=0,
            device=None,
            started_at=None,
            finished_at=None,
            code=None,
            message=None,
        )
        .returning(Job.id)
    )
    return len(outcome.all())
