"""What a person asks of deliveries: which there are, send these again, send these elsewhere too.

Nothing is built anew: the stored bytes are what goes.
"""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from db.models import Delivery, Job, Result, Study
from db.states import DeliveryState, StudyState


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which deliveries; what is None chooses all."""

    study_instance_uid: str | None = None
    job_id: int | None = None
    destination: str | None = None
    state: DeliveryState | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryLine:
    """One object at one destination, as a person looks at it."""

    kind: str
    study_instance_uid: str
    job_id: int
    destination: str
    state: str
    attempts: int
    next_attempt_at: datetime | None
    status: int | None
    message: str | None
    sop_instance_uid: str
    sent_at: datetime | None
    committed_at: datetime | None


@dataclass(kw_only=True, slots=True)
class Resent:
    """What was put on its way."""

    again: dict[str, int] = field(default_factory=dict)
    """Deliveries that had ended, by destination."""
    sooner: dict[str, int] = field(default_factory=dict)
    """Deliveries that waited for their next attempt, by destination."""
    added: dict[str, int] = field(default_factory=dict)
    """New deliveries, by destination."""
    cancelled: int = 0
    """Deliveries that a later revision of the study took the place of; they stay so."""
    held: list[str] = field(default_factory=list)
    """Studies of these that wait for a person first."""

    @property
    def total(self) -> int:
        """How many objects go."""
        return sum(sum(numbers.values()) for numbers in (self.again, self.sooner, self.added))


def listed(session: Session, choice: Choice, *, newest: int) -> list[DeliveryLine]:
    """Return the newest deliveries of a choice."""
    rows = session.execute(_chosen(choice).order_by(Delivery.id.desc()).limit(newest))
    return [
        DeliveryLine(
            kind=result.kind,
            study_instance_uid=study.study_instance_uid,
            job_id=result.job_id,
            destination=delivery.destination,
            state=delivery.state.value,
            attempts=delivery.attempts,
            next_attempt_at=delivery.next_attempt_at if delivery.state is DeliveryState.PENDING else None,
            status=delivery.status,
            message=delivery.message,
            sop_instance_uid=result.sop_instance_uid,
            sent_at=delivery.sent_at,
            committed_at=delivery.committed_at,
        )
        for delivery, result, study in rows
    ]


def resend(session: Session, choice: Choice, *, now: datetime) -> Resent:
    """Make the chosen deliveries due, whatever became of them; but for the cancelled ones."""
    resent = Resent()
    for delivery, _, study in session.execute(_chosen(choice)):
        _put_back(delivery, study, resent, now=now)
    return resent


def send_also(session: Session, choice: Choice, destination: str, *, now: datetime) -> Resent:
    """Send the chosen objects to another destination; what went there before goes again."""
    resent, seen = Resent(), set[int]()
    for delivery, result, study in session.execute(_chosen(choice).order_by(Delivery.id)).all():
        if result.id in seen:
            continue
        seen.add(result.id)
        there = session.scalar(
            select(Delivery).where(Delivery.result_id == result.id, Delivery.destination == destination)
        )
        if there is not None:
            _put_back(there, study, resent, now=now)
        elif delivery.state is DeliveryState.CANCELLED:
            resent.cancelled += 1
        else:
            session.add(
                Delivery(result_id=result.id, destination=destination, state=DeliveryState.PENDING, next_attempt_at=now)
            )
            _count(resent.added, destination, study, resent)
    return resent


def _put_back(delivery: Delivery, study: Study, resent: Resent, *, now: datetime) -> None:
    if delivery.state is DeliveryState.CANCELLED:
        resent.cancelled += 1
        return
    kind = resent.sooner if delivery.state is DeliveryState.PENDING else resent.again
    _count(kind, delivery.destination, study, resent)
    delivery.state, delivery.next_attempt_at = DeliveryState.PENDING, now
    delivery.attempts = delivery.refusals = 0
    delivery.status = delivery.message = delivery.failing_since = delivery.transaction_uid = None


def _count(numbers: dict[str, int], destination: str, study: Study, resent: Resent) -> None:
    numbers[destination] = numbers.get(destination, 0) + 1
    if study.state is StudyState.HELD and study.study_instance_uid not in resent.held:
        resent.held.append(study.study_instance_uid)


def _chosen(choice: Choice) -> Select[Delivery, Result, Study]:
    query = (
        select(Delivery, Result, Study)
        .join(Result, Delivery.result_id == Result.id)
        .join(Job, Result.job_id == Job.id)
        .join(Study, Job.study_id == Study.id)
    )
    if choice.study_instance_uid is not None:
        query = query.where(Study.study_instance_uid == choice.study_instance_uid)
    if choice.job_id is not None:
        query = query.where(Job.id == choice.job_id)
    if choice.destination is not None:
        query = query.where(Delivery.destination == choice.destination)
    if choice.state is not None:
        query = query.where(Delivery.state == choice.state)
    return query
