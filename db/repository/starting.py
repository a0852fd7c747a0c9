"""Jobs from queued to running.

Every start is counted before it happens, in a transaction of its own, so that no crash can lose the count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, aliased

from db.models import Instance, Job, JobInstance, Revision, Series, Study
from db.repository import superseding
from db.repository.superseding import Place
from db.states import InstanceRole, JobState


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
    attempts: int
    """This one counted."""
    notices: bool
    refusal: dict[str, Any] | None
    is_followed: bool
    """Whether another queued job reads the same stack."""


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
    return None if job is None else _start(session, job, device=device, now=now)


def start_alike(session: Session, first: StartedJob, *, device: str, now: datetime, at_most: int) -> list[StartedJob]:
    """Start queued jobs of the same pipeline too, for a worker that takes several at once.

    Only jobs that were never tried: should the worker die, each of them is tried again alone, and no job is blamed for
    the death of its neighbour twice.
    """
    if first.attempts > 1 or first.refusal is not None:
        return []
    alike = session.scalars(
        select(Job)
        .join(Study)
        .where(
            Job.state == JobState.QUEUED,
            Job.pipeline == first.pipeline,
            Job.attempts == 0,
            Study.hold_reason.is_(None),
        )
        .order_by(Job.ranks_at, Job.id)
        .limit(at_most)
    )
    return [_start(session, job, device=device, now=now) for job in alike.all() if job.refusal is None]


def _start(session: Session, job: Job, *, device: str, now: datetime) -> StartedJob:
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
        attempts=job.attempts,
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
