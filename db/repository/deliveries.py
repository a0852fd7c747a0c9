"""Results on their way to destinations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Delivery, Result
from db.states import DeliveryState


@dataclass(frozen=True, kw_only=True, slots=True)
class DueDelivery:
    """An object to send now."""

    id: int
    path: str
    sop_class_uid: str
    sop_instance_uid: str
    sha256: str
    attempts: int


def due_destinations(session: Session, now: datetime) -> list[str]:
    """Return the destinations that have something due."""
    rows = session.scalars(
        select(Delivery.destination)
        .where(Delivery.state == DeliveryState.PENDING, Delivery.next_attempt_at <= now)
        .distinct()
    )
    return sorted(rows)


def due(session: Session, destination: str, now: datetime, *, limit: int = 200) -> list[DueDelivery]:
    """Return what is to be sent to a destination now, in the order in which it was made."""
    rows = session.execute(
        select(Delivery, Result)
        .join(Result)
        .where(
            Delivery.destination == destination,
            Delivery.state == DeliveryState.PENDING,
            Delivery.next_attempt_at <= now,
        )
        .order_by(Result.job_id, Result.position)
        .limit(limit)
    )
    return [
        DueDelivery(
            id=delivery.id,
            path=result.path,
            sop_class_uid=result.sop_class_uid,
            sop_instance_uid=result.sop_instance_uid,
            sha256=result.sha256,
            attempts=delivery.attempts,
        )
        for delivery, result in rows
    ]


def next_due_at(session: Session, *, after: datetime) -> datetime | None:
    """Return when the next object that is not due yet will be."""
    return session.scalar(
        select(Delivery.next_attempt_at)
        .where(Delivery.state == DeliveryState.PENDING, Delivery.next_attempt_at > after)
        .order_by(Delivery.next_attempt_at)
        .limit(1)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """How one attempt at one object ended."""

    delivery_id: int
    state: DeliveryState
    status: int | None
    message: str | None
    next_attempt_at: datetime | None


def record(session: Session, attempts: Sequence[Attempt], *, now: datetime) -> None:
    """Record how attempts ended."""
    for attempt in attempts:
        delivery = session.get_one(Delivery, attempt.delivery_id)
        delivery.state, delivery.status, delivery.message = attempt.state, attempt.status, attempt.message
        delivery.next_attempt_at = attempt.next_attempt_at
        delivery.attempts += 1
        if attempt.state in {DeliveryState.SENT, DeliveryState.WARNED}:
            delivery.sent_at = now
