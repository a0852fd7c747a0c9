"""What a person or a monitor asks: counts, studies, jobs, deliveries."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, selectinload

from db.models import Decision, Delivery, Instance, Job, Result, Revision, Series, Study
from db.states import DeliveryState, InstanceRole, JobState, Outcome, StudyState

_NAMED = 100
State = TypeVar("State", bound=StrEnum)


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many of each kind there are."""

    studies: dict[str, int]
    jobs: dict[str, int]
    deliveries: dict[str, int]
    oldest_pending_delivery_since: datetime | None
    oldest_running_job_since: datetime | None
    holds: dict[str, "Held"] = field(default_factory=dict)
    """By reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """The studies that wait for a person for one reason."""

    studies: int
    first: list[str]
    """Study Instance UIDs, of a hundred at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionReport:
    """What was decided about a stack."""

    stack: str
    instances: int
    pipeline: str
    rule: str
    runs: bool
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryReport:
    """One object at one destination."""

    kind: str
    destination: str
    state: str
    attempts: int
    message: str | None
    sop_instance_uid: str
    size: int
    sent_at: datetime | None
    committed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobReport:
    """A job and what became of it."""

    id: int
    study_instance_uid: str
    pipeline: str
    pipeline_version: str
    stack: str
    state: str
    attempts: int
    message: str | None
    retry_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    timings: dict[str, Any]
    summary: dict[str, Any]
    deliveries: list[DeliveryReport]
    """Of what the destinations want."""
    superseded_by: int | None = None
    """The job of a later revision that took this one's place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RevisionReport:
    """A study at one moment when it was taken as complete."""

    number: int
    settled_at: datetime
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipts:
    """What came of one study from one peer."""

    calling_ae_title: str
    called_ae_title: str
    first_received_at: datetime
    last_received_at: datetime
    instances: int
    """Receipts of all roles."""
    updates: int
    """Receipts that a later one of the same instance took the place of."""
    conflicts: int
    own_results: int
    removed: int
    """Images that retention removed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyReport:
    """A study, what was decided and what ran."""

    study_instance_uid: str
    state: str
    hold_reason: str | None
    hold_message: str | None
    revision: int
    settle_reason: str | None
    instances: int
    conflicts: int
    first_received_at: datetime
    last_received_at: datetime
    settled_at: datetime | None
    decided_at: datetime | None
    """Later than it settled, where a person had it decided again."""
    decisions: list[DecisionReport]
    jobs: list[JobReport]
    revisions: list[RevisionReport] = field(default_factory=list)
    receipts: list[Receipts] = field(default_factory=list)
    """By peer, in the order in which they began; only of a study that was asked for by name."""


def matching(session: Session, ending: str, *, limit: int = 2) -> list[str]:
    """Return the Study Instance UIDs that are, or else that end in, what a person gave."""
    whole = session.scalar(select(Study.study_instance_uid).where(Study.study_instance_uid == ending))
    if whole is not None:
        return [whole]
    query = select(Study.study_instance_uid).where(Study.study_instance_uid.endswith(ending, autoescape=True))
    return list(session.scalars(query.limit(limit)))


def counts(session: Session) -> Counts:
    """Count studies, jobs and deliveries by state."""
    oldest = session.scalar(
        select(func.min(Result.created_at)).join(Delivery).where(Delivery.state == DeliveryState.PENDING)
    )
    return Counts(
        studies=_by_state(session, Study.state, at_rest=StudyState.SETTLED),
        jobs=_by_state(session, Job.state, at_rest=JobState.SUCCEEDED),
        deliveries=_by_state(session, Delivery.state, at_rest=DeliveryState.SENT),
        oldest_pending_delivery_since=oldest,
        oldest_running_job_since=session.scalar(select(func.min(Job.started_at)).where(Job.state == JobState.RUNNING)),
        holds=_holds(session),
    )


def _holds(session: Session) -> dict[str, Held]:
    held = select(Study.hold_reason, func.count()).where(Study.state == StudyState.HELD).group_by(Study.hold_reason)
    first = select(Study.study_instance_uid).where(Study.state == StudyState.HELD).order_by(Study.id).limit(_NAMED)
    return {
        reason or "": Held(studies=number, first=list(session.scalars(first.where(Study.hold_reason == reason))))
        for reason, number in session.execute(held).all()
    }


def _by_state(session: Session, column: InstrumentedAttribute[State], *, at_rest: State) -> dict[str, int]:
    """Count by state, without reading the many rows that are at rest: they are what is left of the total."""
    others = [state for state in type(at_rest) if state is not at_rest]
    rows = session.execute(select(column, func.count()).where(column.in_(others)).group_by(column))
    numbers = {state.value: number for state, number in rows}
    resting = (session.scalar(select(func.count()).select_from(column.class_)) or 0) - sum(numbers.values())
    return ({at_rest.value: resting} if resting else {}) | numbers


def studies(session: Session, *, newest: int = 10, study_instance_uid: str | None = None) -> list[StudyReport]:
    """Return the studies that were received last, or one, each with decisions and jobs."""
    query = select(Study).order_by(Study.last_received_at.desc()).limit(newest)
    if study_instance_uid is not None:
        query = query.where(Study.study_instance_uid == study_instance_uid)
    by_name = study_instance_uid is not None
    return [_study(session, study, receipts=by_name) for study in session.scalars(query)]


def _study(session: Session, study: Study, *, receipts: bool) -> StudyReport:
    roles = session.execute(
        select(Instance.role, func.count()).join(Series).where(Series.study_id == study.id).group_by(Instance.role)
    )
    by_role = dict(roles.all())
    revision = session.scalar(
        select(Revision)
        .where(Revision.study_id == study.id, Revision.number == study.revision_number)
        .options(selectinload(Revision.decisions))
    )
    return StudyReport(
        study_instance_uid=study.study_instance_uid,
        state=study.state.value,
        hold_reason=study.hold_reason,
        hold_message=study.hold_message,
        revision=study.revision_number,
        settle_reason=revision.reason.value if revision else None,
        instances=by_role.get(InstanceRole.CURRENT, 0),
        conflicts=by_role.get(InstanceRole.CONFLICT, 0),
        first_received_at=study.first_received_at,
        last_received_at=study.last_received_at,
        settled_at=revision.settled_at if revision else None,
        decided_at=revision.decided_at if revision else None,
        decisions=[_decision(d) for d in revision.decisions] if revision else [],
        jobs=jobs(session, study_id=study.id),
        revisions=[
            RevisionReport(number=r.number, settled_at=r.settled_at, reason=r.reason.value) for r in study.revisions
        ],
        receipts=_receipts(session, study) if receipts else [],
    )


def _receipts(session: Session, study: Study) -> list[Receipts]:
    """Count what each peer sent; reads every row of the study."""
    peer = (Instance.calling_ae_title, Instance.called_ae_title)
    first = func.min(Instance.received_at)
    in_role = {role: func.count().filter(Instance.role == role) for role in InstanceRole}
    rows = session.execute(
        select(
            *peer,
            first,
            func.max(Instance.received_at),
            func.count(),
            in_role[InstanceRole.SUPERSEDED],
            in_role[InstanceRole.CONFLICT],
            in_role[InstanceRole.OWN_RESULT],
            func.count(Instance.removed_at),
        )
        .join(Series)
        .where(Series.study_id == study.id)
        .group_by(*peer)
        .order_by(first)
    )
    return [
        Receipts(
            calling_ae_title=calling,
            called_ae_title=called,
            first_received_at=began,
            last_received_at=ended,
            instances=number,
            updates=updates,
            conflicts=conflicts,
            own_results=own,
            removed=removed,
        )
        for calling, called, began, ended, number, updates, conflicts, own, removed in rows
    ]


def _decision(decision: Decision) -> DecisionReport:
    return DecisionReport(
        stack=decision.stack,
        instances=decision.instance_count,
        pipeline=decision.pipeline,
        rule=decision.rule,
        runs=decision.outcome is Outcome.RUN,
        code=decision.code,
        reason=decision.reason,
    )


def jobs(
    session: Session, *, newest: int = 50, state: JobState | None = None, study_id: int | None = None
) -> list[JobReport]:
    """Return the newest jobs, with their deliveries."""
    query = select(Job).order_by(Job.id.desc()).limit(newest)
    query = query.options(selectinload(Job.study), selectinload(Job.results).selectinload(Result.deliveries))
    if state is not None:
        query = query.where(Job.state == state)
    if study_id is not None:
        query = query.where(Job.study_id == study_id)
    return [_job(job) for job in session.scalars(query)]


def _job(job: Job) -> JobReport:
    return JobReport(
        id=job.id,
        study_instance_uid=job.study.study_instance_uid,
        pipeline=job.pipeline,
        pipeline_version=job.pipeline_version,
        stack=job.stack,
        state=job.state.value,
        attempts=job.attempts,
        message=job.message,
        retry_at=job.not_before,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        timings=job.timings or {},
        summary=job.summary or {},
        deliveries=[_delivery(r, d) for r in job.results for d in r.deliveries if d.state != DeliveryState.UNWANTED],
        superseded_by=job.superseded_by_id,
    )


def _delivery(result: Result, delivery: Delivery) -> DeliveryReport:
    return DeliveryReport(
        kind=result.kind,
        destination=delivery.destination,
        state=delivery.state.value,
        attempts=delivery.attempts,
        message=delivery.message,
        sop_instance_uid=result.sop_instance_uid,
        size=result.size,
        sent_at=delivery.sent_at,
        committed_at=delivery.committed_at,
    )
