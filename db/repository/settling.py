"""Studies that may be complete -> revisions, decisions and queued jobs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from db.models import Decision, Instance, Job, JobInstance, Revision, Series, Study
from db.repository import superseding
from db.states import InstanceRole, JobState, Outcome, SettleReason, StudyState


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """How instances of a modality came."""

    modality: str
    calling_ae_title: str
    called_ae_title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivingStudy:
    """A study that has instances no revision holds yet, or one that is settled and is to be decided again."""

    id: int
    study_instance_uid: str
    state: StudyState
    opened_at: datetime
    last_received_at: datetime
    arrivals: frozenset[Arrival]
    revisions_allowed: int
    """Beyond the setting, by a person."""
    released: bool
    """Whether a person let it go on that was held."""
    chosen_identity: tuple[str, ...]
    """Whose a person said it is where instances disagreed; empty where nobody had to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredInstance:
    """What selection needs of an instance's row."""

    id: int
    series_id: int
    sop_instance_uid: str
    pixel_sha256: str
    header: dict[str, Any]
    path: str
    calling_ae_title: str
    called_ae_title: str
    received_at: datetime
    removed_at: datetime | None = None


JobKey = tuple[str, str, str]
"""Pipeline, its version, and the hash of the selection: a study has one job of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewJob:
    """A job to queue."""

    pipeline: str
    pipeline_version: str
    selection_hash: str
    stack: str
    rule: str
    destinations: tuple[str, ...]
    priority: int
    instance_ids: tuple[int, ...]
    ageing_s: float = 0.0
    """By how much earlier than others one step of priority lets it start."""
    notices: bool = False
    refusal: dict[str, Any] | None = None
    """Known before the start: code, reason and remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDecision:
    """What was decided about one stack; `job` is the index of the job it became."""

    series_id: int
    stack: str
    instance_count: int
    rule: str
    pipeline: str
    outcome: Outcome
    code: str
    reason: str
    job: int | None


def receiving(session: Session) -> list[ReceivingStudy]:
    """Return the studies being received, longest quiet first."""
    return _as_read(session, Study.state == StudyState.RECEIVING)


def to_decide_again(session: Session) -> list[ReceivingStudy]:
    """Return the settled studies that a person wants decided again."""
    return _as_read(session, Study.decide_again.is_(True), Study.state == StudyState.SETTLED)


def _as_read(session: Session, *which: ColumnElement[bool]) -> list[ReceivingStudy]:
    studies = session.scalars(select(Study).where(*which).order_by(Study.last_received_at)).all()
    if not studies:
        return []
    arrivals: dict[int, set[Arrival]] = {}
    for study_id, modality, calling, called in session.execute(
        select(Series.study_id, Series.modality, Instance.calling_ae_title, Instance.called_ae_title)
        .join(Instance)
        .where(Series.study_id.in_([s.id for s in studies]), Instance.role == InstanceRole.CURRENT)
        .distinct()
    ):
        arrival = Arrival(modality=modality, calling_ae_title=calling, called_ae_title=called)
        arrivals.setdefault(study_id, set()).add(arrival)
    return [
        ReceivingStudy(
            id=study.id,
            study_instance_uid=study.study_instance_uid,
            state=study.state,
            opened_at=study.opened_at,
            last_received_at=study.last_received_at,
            arrivals=frozenset(arrivals.get(study.id, ())),
            revisions_allowed=study.revisions_allowed,
            released=study.hold_reason is not None,
            chosen_identity=tuple((study.patient_identities or [[]])[0]),
        )
        for study in studies
    ]


def find(session: Session, study_instance_uid: str) -> Study | None:
    """Return a study, None if there is none."""
    return session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))


def instances(session: Session, study_id: int) -> list[StoredInstance]:
    """Return the current instances of a study."""
    columns = [getattr(Instance, field.name) for field in fields(StoredInstance)]
    rows = session.execute(
        select(*columns).join(Series).where(Series.study_id == study_id, Instance.role == InstanceRole.CURRENT)
    )
    return [StoredInstance(**row) for row in rows.mappings()]


def replace_headers(session: Session, headers: Mapping[int, dict[str, Any]]) -> None:
    """Put headers in the place of those of instances, by row id."""
    session.execute(update(Instance), [{"id": row_id, "header": header} for row_id, header in headers.items()])


def revisions_with_jobs(session: Session, study_id: int) -> int:
    """Return how many revisions of a study queued anything."""
    return session.scalar(select(func.count(Job.revision_id.distinct())).where(Job.study_id == study_id)) or 0


def unchanged(session: Session, study: ReceivingStudy) -> bool:
    """Say whether a study still stands as it was read, and nothing more came."""
    row = session.get_one(Study, study.id)
    return row.state is study.state and row.last_received_at == study.last_received_at


def settle(
    session: Session,
    study_id: int,
    *,
    reason: SettleReason,
    now: datetime,
    jobs: Sequence[NewJob],
    decisions: Sequence[NewDecision],
    rejected: Collection[str] = frozenset(),
) -> list[int]:
    """Close the revision being received: its decisions and jobs, in the caller's transaction.

    A job that an earlier revision already has, with the same pipeline, version and selection, is not queued again.
    Jobs of earlier revisions whose place another takes are superseded: what of them did not run or was not delivered
    is cancelled; so it is of jobs on images that the study itself rejects.

    Returns
    -------
    list of int
        Ids of the jobs that are new.
    """
    study = session.get_one(Study, study_id)
    study.state, study.hold_reason, study.hold_message = StudyState.SETTLED, None, None
    study.decide_again = False
    study.revision_number += 1
    revision = Revision(study_id=study_id, number=study.revision_number, settled_at=now, reason=reason)
    session.add(revision)
    session.flush()
    return carry_out(session, revision, now=now, jobs=jobs, decisions=decisions, rejected=rejected)


def carry_out(
    session: Session,
    revision: Revision,
    *,
    now: datetime,
    jobs: Sequence[NewJob],
    decisions: Sequence[NewDecision],
    rejected: Collection[str],
) -> list[int]:
    """Write the decisions about a revision, and queue those of its jobs that the study does not have; return these."""
    known = [_existing(session, revision.study_id, job) for job in jobs]
    rows = [
        row or _queue(session, revision.study_id, revision.id, job, now) for row, job in zip(known, jobs, strict=True)
    ]
    superseding.supersede(session, revision.study_id, rows, rejected)
    for decision in decisions:
        session.add(_decision_row(revision.id, decision, {n: row.id for n, row in enumerate(rows)}))
    return [row.id for row, earlier in zip(rows, known, strict=True) if earlier is None]


def would_queue(session: Session, study_id: int, jobs: Sequence[NewJob]) -> bool:
    """Say whether a revision with these jobs would run anything that no earlier one ran."""
    return any(_existing(session, study_id, job) is None for job in jobs)


def ended_jobs(session: Session, study_id: int) -> set[JobKey]:
    """Return the jobs of a study that need their input no more."""
    rows = session.execute(
        select(Job.pipeline, Job.pipeline_version, Job.selection_hash).where(
            Job.study_id == study_id, Job.state.in_([JobState.SUCCEEDED, JobState.REFUSED])
        )
    )
    return {(pipeline, version, digest) for pipeline, version, digest in rows}


def _existing(session: Session, study_id: int, job: NewJob) -> Job | None:
    return session.scalar(
        select(Job).where(
            Job.study_id == study_id,
            Job.pipeline == job.pipeline,
            Job.pipeline_version == job.pipeline_version,
            Job.selection_hash == job.selection_hash,
        )
    )


def _queue(session: Session, study_id: int, revision_id: int, job: NewJob, now: datetime) -> Job:
    row = Job(
        study_id=study_id,
        revision_id=revision_id,
        pipeline=job.pipeline,
        pipeline_version=job.pipeline_version,
        selection_hash=job.selection_hash,
        stack=job.stack,
        rule=job.rule,
        destinations=list(job.destinations),
        priority=job.priority,
        ranks_at=now - timedelta(seconds=job.priority * job.ageing_s),
        notices=job.notices,
        refusal=job.refusal,
        state=JobState.QUEUED,
        created_at=now,
    )
    session.add(row)
    session.flush()
    session.add_all(
        JobInstance(job_id=row.id, position=position, instance_id=instance_id)
        for position, instance_id in enumerate(job.instance_ids)
    )
    return row


def _decision_row(revision_id: int, decision: NewDecision, job_ids: Mapping[int, int]) -> Decision:
    return Decision(
        revision_id=revision_id,
        series_id=decision.series_id,
        stack=decision.stack,
        instance_count=decision.instance_count,
        rule=decision.rule,
        pipeline=decision.pipeline,
        outcome=decision.outcome,
        code=decision.code,
        reason=decision.reason,
        job_id=None if decision.job is None else job_ids[decision.job],
    )
