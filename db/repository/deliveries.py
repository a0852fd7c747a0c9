"""Results on their way to destinations."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from db.models import CommitmentTransaction, Delivery, Job, Result, Study
from db.states import DeliveryState

ARRIVED = (DeliveryState.SENT, DeliveryState.WARNED)
"""The peer answered that it took the object, and has not confirmed yet that it keeps it."""
UNWANTED = "objects and maps of its destination in config.toml leave it out; change them, then `opacity-node resend`"


@dataclass(frozen=True, kw_only=True, slots=True)
class DueDelivery:
    """An object to send now."""

    id: int
    path: str
    sop_class_uid: str
    sop_instance_uid: str
    sha256: str
    attempts: int
    refusals: int = 0
    kind: str = ""
    pipeline: str = ""


def due_destinations(session: Session, now: datetime) -> list[str]:
    """Return the destinations that have something due."""
    rows = session.scalars(
        select(Delivery.destination)
        .where(Delivery.state == DeliveryState.PENDING, Delivery.next_attempt_at <= now, _not_held())
        .distinct()
    )
    return sorted(rows)


def due(session: Session, destination: str, now: datetime, *, limit: int = 50) -> list[DueDelivery]:
    """Return what is to be sent to a destination now, in the order in which it was made.

    What failed goes behind what did not, so that an object which the peer chokes on holds up no other.
    """
    rows = session.execute(
        select(Delivery, Result, Job.pipeline)
        .join(Result, Delivery.result_id == Result.id)
        .join(Job, Result.job_id == Job.id)
        .where(
            Delivery.destination == destination,
            Delivery.state == DeliveryState.PENDING,
            Delivery.next_attempt_at <= now,
            _not_held(),
        )
        .order_by(Delivery.attempts, Result.job_id, Result.position)
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
            refusals=delivery.refusals,
            kind=result.kind,
            pipeline=pipeline,
        )
        for delivery, result, pipeline in rows
    ]


def is_pending(session: Session, delivery_id: int) -> bool:
    """Say whether a delivery is still to be made; a later revision may have cancelled it, or a conflict held it."""
    state = session.scalar(select(Delivery.state).where(Delivery.id == delivery_id, _not_held()))
    return state is DeliveryState.PENDING


def _not_held() -> ColumnElement[bool]:
    """Exclude what is of a study that waits for a person, or has not settled since: nothing of it is sent."""
    held = select(Study.id).join(Job).join(Result).where(Study.hold_reason.is_not(None))
    return ~held.where(Result.id == Delivery.result_id).exists()


def drop_unwanted(session: Session, delivery_ids: Sequence[int]) -> None:
    """Send no more what its destination does not want any more."""
    session.execute(
        update(Delivery)
        .where(Delivery.id.in_(delivery_ids), Delivery.state == DeliveryState.PENDING)
        .values(state=DeliveryState.UNWANTED, next_attempt_at=None, failing_since=None, message=UNWANTED)
    )


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
    refused: bool = False
    """Whether the peer's answer will not change by itself."""


def record(session: Session, attempts: Sequence[Attempt], *, now: datetime) -> None:
    """Record how attempts ended. What was cancelled meanwhile stays so, unless it has arrived: that is a fact."""
    for attempt in attempts:
        delivery = session.get(Delivery, attempt.delivery_id)
        if delivery is None:
            continue
        delivery.attempts += 1
        delivery.refusals += attempt.refused
        if attempt.state in ARRIVED:
            delivery.sent_at, delivery.failing_since = now, None
            delivery.committed_at = delivery.transaction_uid = None
            # A report on what was sent before says nothing of this.
            session.execute(delete(CommitmentTransaction).where(CommitmentTransaction.delivery_id == delivery.id))
        elif delivery.state is DeliveryState.CANCELLED:
            continue
        else:
            delivery.failing_since = delivery.failing_since or now
        delivery.status, delivery.message = attempt.status, attempt.message
        delivery.state, delivery.next_attempt_at = attempt.state, attempt.next_attempt_at


def postpone(
    session: Session, destination: str, *, now: datetime, until: datetime, message: str, attempted: bool
) -> None:
    """Put off all that waits for a destination which cannot be sent to now.

    Parameters
    ----------
    session : Session
        Writes.
    destination : str
        Its name.
    now, until : datetime
        Aware.
    message : str
        Why.
    attempted : bool
        Whether this was an attempt at all that was due.
    """
    waiting = (Delivery.destination == destination, Delivery.state == DeliveryState.PENDING)
    session.execute(
        update(Delivery)
        .where(*waiting, Delivery.next_attempt_at <= now)
        .values(
            attempts=Delivery.attempts + int(attempted),
            status=None,
            message=message,
            failing_since=func.coalesce(Delivery.failing_since, now),
        )
    )
    session.execute(update(Delivery).where(*waiting, Delivery.next_attempt_at <= until).values(next_attempt_at=until))


def hasten(session: Session, destination: str, *, now: datetime) -> None:
    """Make all that waits for a destination due: something about it has changed."""
    session.execute(
        update(Delivery)
        .where(Delivery.destination == destination, Delivery.state == DeliveryState.PENDING)
        .values(next_attempt_at=now)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """A destination that does not take what it is to get, or does not confirm what it took."""

    destination: str
    objects: int
    since: datetime
    message: str
    """Of the object that waits longest."""


def troubles(session: Session) -> list[Trouble]:
    """Return the destinations at which attempts fail, and since when."""
    failing = (
        Delivery.state.in_((DeliveryState.PENDING, *ARRIVED)),
        Delivery.next_attempt_at.is_not(None),
        Delivery.failing_since.is_not(None),
    )
    rows = session.execute(
        select(Delivery.destination, func.count()).where(*failing).group_by(Delivery.destination)
    ).all()
    found = []
    for destination, objects in rows:
        since, message = session.execute(
            select(Delivery.failing_since, Delivery.message)
            .where(*failing, Delivery.destination == destination)
            .order_by(Delivery.failing_since, Delivery.id)
            .limit(1)
        ).one()
        if since is not None:
            found.append(Trouble(destination=destination, objects=objects, since=since, message=message or ""))
    return found
