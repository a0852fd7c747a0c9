"""Jobs whose place a later revision's job took: what did not run or was not delivered goes, what was is named."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.models import Delivery, Instance, Job, JobInstance, Result
from db.states import DeliveryState, JobState

REPORT_KIND = "sr"
"""Of the result that names its predecessors (PS3.3 C.17.2)."""
DELIVERED = (DeliveryState.SENT, DeliveryState.COMMITTED, DeliveryState.WARNED)


def supersede(session: Session, study_id: int, chosen: Sequence[Job]) -> None:
    """Let the jobs that a revision chose take the place of earlier ones of the same pipeline.

    A job takes the place of those that share an image with it; where a revision has one job of a pipeline, of all.

    Parameters
    ----------
    session : Session
        Writing.
    study_id : int
        Of the study.
    chosen : sequence of Job
        Of the revision, new ones and those of earlier revisions that still hold.
    """
    for job in chosen:
        if job.superseded_by_id is not None:
            _revive(session, job)
    ids = {job.id for job in chosen}
    earlier = session.scalars(select(Job).where(Job.study_id == study_id, Job.superseded_by_id.is_(None)))
    for job in [job for job in earlier if job.id not in ids]:
        successor = _successor(
            session, job, [other for other in chosen if other.pipeline == job.pipeline and other.refusal is None]
        )
        if successor is not None:
            job.superseded_by_id = successor.id
            _cancel(session, job)


def predecessors(session: Session, job: Job) -> list[dict[str, Any]]:
    """Return the delivered reports that a job's report replaces, oldest first; through predecessors never delivered."""
    replaced: list[int] = []
    layer = [job.id]
    while layer:
        layer = list(
            session.scalars(select(Job.id).where(Job.superseded_by_id.in_(layer), Job.id.not_in([job.id, *replaced])))
        )
        replaced += layer
    delivered = select(Delivery.id).where(Delivery.result_id == Result.id, Delivery.state.in_(DELIVERED))
    reports = session.scalars(
        select(Result)
        .where(Result.job_id.in_(replaced), Result.kind == REPORT_KIND, delivered.exists())
        .order_by(Result.id)
    )
    return [
        {
            "sop_class_uid": report.sop_class_uid,
            "sop_instance_uid": report.sop_instance_uid,
            "series_instance_uid": report.series_instance_uid,
        }
        for report in reports
    ]


def _successor(session: Session, job: Job, candidates: Sequence[Job]) -> Job | None:
    if len(candidates) == 1:
        return candidates[0]
    images = _images(session, job)
    return next((other for other in candidates if images & _images(session, other)), None)


def _images(session: Session, job: Job) -> set[str]:
    return set(session.scalars(select(Instance.sop_instance_uid).join(JobInstance).where(JobInstance.job_id == job.id)))


def _cancel(session: Session, job: Job) -> None:
    """Cancel what of a job waits; one that runs is let end, and its results are not sent."""
    if job.state is JobState.QUEUED or (job.state is JobState.FAILED and job.not_before is not None):
        job.state, job.not_before = JobState.CANCELLED, None
    _move_deliveries(session, job, (DeliveryState.PENDING, DeliveryState.FAILED), DeliveryState.CANCELLED)


def _revive(session: Session, job: Job) -> None:
    """Let a job hold again whose selection was chosen again."""
    job.superseded_by_id = None
    if job.state is JobState.CANCELLED:
        job.state = JobState.QUEUED
    _move_deliveries(session, job, (DeliveryState.CANCELLED,), DeliveryState.PENDING)


def _move_deliveries(session: Session, job: Job, sources: Sequence[DeliveryState], target: DeliveryState) -> None:
    session.execute(
        update(Delivery)
        .where(Delivery.result_id.in_(select(Result.id).where(Result.job_id == job.id)), Delivery.state.in_(sources))
        .values(state=target, next_attempt_at=job.created_at if target is DeliveryState.PENDING else None)
    )
