"""Jobs whose place a later revision's job took: what did not run or was not delivered goes, what was is named."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Update, func, select, update
from sqlalchemy.orm import Session, aliased

from db.models import Delivery, Instance, Job, JobInstance, Result
from db.states import DeliveryState, InstanceRole, JobState

REPORT_KIND = "sr"
"""Of the result that names its predecessors (PS3.3 C.17.2)."""
DELIVERED = (DeliveryState.SENT, DeliveryState.COMMITTED, DeliveryState.WARNED)


def supersede(session: Session, study_id: int, chosen: Sequence[Job], rejected: Collection[str] = frozenset()) -> None:
    """Let the jobs that a revision chose take the place of earlier ones of the same pipeline.

    A job takes the place of those that share an image with it; where there is one of a pipeline before and now, also
    if they share none. What rests on an image that no longer counts is cancelled, whatever else was chosen.

    Parameters
    ----------
    session : Session
        Writing.
    study_id : int
        Of the study.
    chosen : sequence of Job
        Of the revision, new ones and those of earlier revisions that still hold.
    rejected : collection of str
        SOP Instance UIDs of images that the study itself takes out.
    """
    for job in chosen:
        if job.superseded_by_id is not None:
            _revive(session, job)
    ids = {job.id for job in chosen}
    unreplaced = select(Job).where(Job.study_id == study_id, Job.superseded_by_id.is_(None))
    earlier = [job for job in session.scalars(unreplaced) if job.id not in ids and job.refusal is None]
    for job in earlier:
        rivals = [other for other in chosen if other.pipeline == job.pipeline and other.refusal is None]
        alone = len(rivals) == 1 and sum(other.pipeline == job.pipeline for other in earlier) == 1
        successor = rivals[0] if alone else _successor(session, job, rivals)
        if successor is not None:
            job.superseded_by_id = successor.id
        if successor is not None or _rests_on_what_does_not_count(session, job, rejected):
            _cancel(session, job, successor)


def taken_over_by(job_id: int) -> str:
    """Return what a person reads of results that a later revision's job made obsolete."""
    return f"job {job_id} took its place"


def predecessors(session: Session, job: Job) -> list[dict[str, Any]]:
    """Return the delivered reports that a job's report replaces, oldest first; through predecessors never delivered."""
    replaced = _replaced(session, job)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a job stands among those of its study; what took another's place stands there.

    Attributes
    ----------
    number : int
        From 0, in the order in which jobs were queued.
    among_several : bool
        Whether the pipeline has other jobs that count.
    """

    number: int
    among_several: bool


def place(session: Session, job: Job) -> Place:
    """Return where a job stands among those of its study."""
    other, earlier = aliased(Job), aliased(Job)
    first_in_its_place = min([job.id, *_replaced(session, job)])
    takes_no_place = ~select(earlier.id).where(earlier.superseded_by_id == other.id).exists()
    before = select(func.count(other.id)).where(
        other.study_id == job.study_id, other.id < first_in_its_place, takes_no_place
    )
    beside = session.scalars(
        select(Job).where(
            Job.study_id == job.study_id,
            Job.pipeline == job.pipeline,
            Job.id != job.id,
            Job.superseded_by_id.is_(None),
        )
    )
    return Place(number=session.scalar(before) or 0, among_several=any(one.refusal is None for one in beside))


def _replaced(session: Session, job: Job) -> list[int]:
    """Return the ids of the jobs whose place a job took, directly or through others."""
    replaced: list[int] = []
    layer = [job.id]
    while layer:
        layer = list(
            session.scalars(select(Job.id).where(Job.superseded_by_id.in_(layer), Job.id.not_in([job.id, *replaced])))
        )
        replaced += layer
    return replaced


def _successor(session: Session, job: Job, candidates: Sequence[Job]) -> Job | None:
    images = _images(session, job)
    return next((other for other in candidates if images & _images(session, other)), None)


def _rests_on_what_does_not_count(session: Session, job: Job, rejected: Collection[str]) -> bool:
    """Say whether an image of a job was rejected or decided against: none with its pixels is current in its series."""
    if not _images(session, job).isdisjoint(rejected):
        return True
    current = aliased(Instance)
    still_counts = (
        select(current.id)
        .where(
            current.sop_instance_uid == Instance.sop_instance_uid,
            current.series_id == Instance.series_id,
            current.pixel_sha256 == Instance.pixel_sha256,
            current.role == InstanceRole.CURRENT,
        )
        .exists()
    )
    uncounted = select(Instance.id).join(JobInstance).where(JobInstance.job_id == job.id, ~still_counts).limit(1)
    return session.scalar(uncounted) is not None


def _images(session: Session, job: Job) -> set[str]:
    return set(session.scalars(select(Instance.sop_instance_uid).join(JobInstance).where(JobInstance.job_id == job.id)))


def _cancel(session: Session, job: Job, successor: Job | None) -> None:
    """Cancel what of a job waits; one that runs is let end, and its results are not sent."""
    why = taken_over_by(successor.id) if successor else "it rests on images that do not count any more"
    if job.state is JobState.QUEUED or (job.state is JobState.FAILED and job.not_before is not None):
        job.state, job.not_before, job.message = JobState.CANCELLED, None, why
    session.execute(
        _deliveries_of(job, DeliveryState.PENDING, DeliveryState.FAILED).values(
            state=DeliveryState.CANCELLED, next_attempt_at=None, message=why
        )
    )


def _revive(session: Session, job: Job) -> None:
    """Let a job hold again whose selection was chosen again; what a person gave up stays given up."""
    session.execute(
        _deliveries_of(job, DeliveryState.CANCELLED)
        .where(Delivery.message == taken_over_by(job.superseded_by_id or 0))
        .values(state=DeliveryState.PENDING, next_attempt_at=job.created_at, message=None)
    )
    job.superseded_by_id = None
    if job.state is JobState.CANCELLED:
        job.state, job.message = JobState.QUEUED, None


def _deliveries_of(job: Job, *states: DeliveryState) -> Update:
    results = select(Result.id).where(Result.job_id == job.id)
    return update(Delivery).where(Delivery.result_id.in_(results), Delivery.state.in_(states))
