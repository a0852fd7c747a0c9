"""Objects that arrived at a destination which is to confirm that it keeps them (storage commitment)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Delete, Update, case, delete, func, insert, literal, select, update
from sqlalchemy.orm import Session

from db.models import CommitmentTransaction, Delivery, Result, UtcDateTime
from db.repository.deliveries import ARRIVED
from db.states import DeliveryState

TO_CONFIRM = (Delivery.state.in_(ARRIVED), Delivery.next_attempt_at.is_not(None))
"""Arrived, and the peer is going to be asked, or asked again, whether it keeps it."""

_REPORT_LIMIT = timedelta(days=7)
"""A report that comes later counts no more: a peer that never reports must not fill the database."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unconfirmed:
    """An object to ask about now."""

    id: int
    sop_class_uid: str
    sop_instance_uid: str
    overdue: bool
    """Whether it was asked about and no report came."""


def due_destinations(session: Session, now: datetime) -> list[str]:
    """Return the destinations that are to be asked about something now."""
    rows = session.scalars(select(Delivery.destination).where(*TO_CONFIRM, Delivery.next_attempt_at <= now).distinct())
    return sorted(rows)


def next_due_at(session: Session, *, after: datetime) -> datetime | None:
    """Return when the next object is to be asked about."""
    return session.scalar(
        select(func.min(Delivery.next_attempt_at)).where(*TO_CONFIRM, Delivery.next_attempt_at > after)
    )


def due(session: Session, destination: str, now: datetime, *, limit: int = 500) -> list[Unconfirmed]:
    """Return what a destination is to be asked about in one transaction."""
    rows = session.execute(
        select(Delivery, Result)
        .join(Result)
        .where(Delivery.destination == destination, *TO_CONFIRM, Delivery.next_attempt_at <= now)
        .order_by(Delivery.id)
        .limit(limit)
    )
    return [
        Unconfirmed(
            id=delivery.id,
            sop_class_uid=result.sop_class_uid,
            sop_instance_uid=result.sop_instance_uid,
            overdue=delivery.transaction_uid is not None and delivery.failing_since is None,
        )
        for delivery, result in rows
    ]


def begin(session: Session, delivery_ids: Collection[int], transaction_uid: str, *, deadline: datetime) -> None:
    """Note that a transaction covers these; before it is sent, so that its report is known whenever it comes."""
    session.execute(_to_confirm(delivery_ids).values(transaction_uid=transaction_uid, next_attempt_at=deadline))
    covered = select(Delivery.id, literal(transaction_uid), literal(deadline, UtcDateTime())).where(
        Delivery.id.in_(delivery_ids), Delivery.transaction_uid == transaction_uid
    )
    session.execute(insert(CommitmentTransaction).from_select(["delivery_id", "transaction_uid", "deadline"], covered))
    session.execute(_requests(delivery_ids).where(CommitmentTransaction.deadline < deadline - _REPORT_LIMIT))


def trouble(session: Session, delivery_ids: Collection[int], *, now: datetime, message: str) -> None:
    """Note why these are not confirmed yet."""
    session.execute(
        _to_confirm(delivery_ids).values(
            message=_but_for_warned(message), failing_since=func.coalesce(Delivery.failing_since, now)
        )
    )


def ask_later(session: Session, delivery_ids: Collection[int], *, now: datetime, until: datetime, message: str) -> None:
    """Note that the peer could not be asked."""
    trouble(session, delivery_ids, now=now, message=message)
    newest = select(Delivery.transaction_uid).where(Delivery.id == CommitmentTransaction.delivery_id).scalar_subquery()
    session.execute(_requests(delivery_ids).where(CommitmentTransaction.transaction_uid == newest))
    session.execute(_to_confirm(delivery_ids).values(next_attempt_at=until, transaction_uid=None))


def ask_no_more(session: Session, destination: str, *, message: str | None) -> None:
    """Note that a destination confirms nothing; the objects there stay as they are, sent."""
    session.execute(
        update(Delivery)
        .where(Delivery.destination == destination, *TO_CONFIRM)
        .values(next_attempt_at=None, transaction_uid=None, failing_since=None, message=_but_for_warned(message))
    )


def confirm(session: Session, transaction_uid: str, sop_instance_uids: Collection[str], *, now: datetime) -> int:
    """Record what the peer keeps; return how many that are."""
    confirmed = _covered(session, transaction_uid, sop_instance_uids)
    for delivery in confirmed:
        if delivery.state is DeliveryState.SENT:
            delivery.message = None
        delivery.state, delivery.committed_at = DeliveryState.COMMITTED, now
        delivery.next_attempt_at, delivery.failing_since, delivery.transaction_uid = None, None, transaction_uid
    session.execute(_requests([delivery.id for delivery in confirmed]))
    return len(confirmed)


def send_again(
    session: Session,
    transaction_uid: str,
    reasons: Mapping[str, str],
    *,
    now: datetime,
    pause: Callable[[int], timedelta],
    most: int,
) -> int:
    """Record what the peer does not keep, to be sent again or, after so many refusals, failed; not what was replaced.

    Parameters
    ----------
    session : Session
        Writes.
    transaction_uid : str
        Of the report.
    reasons : Mapping
        By SOP Instance UID.
    now : datetime
        Aware.
    pause : callable
        How long to wait after so many refusals.
    most : int
        How many refusals are enough.
    """
    refused = _covered(session, transaction_uid, reasons)
    for delivery in refused:
        reason = reasons[delivery.result.sop_instance_uid]
        delivery.refusals += 1
        delivery.transaction_uid, delivery.failing_since = None, delivery.failing_since or now
        successor = delivery.result.job.superseded_by_id
        if successor is not None:
            delivery.state, delivery.next_attempt_at = DeliveryState.CANCELLED, None
            delivery.message = f"{reason}; not sent again, as job {successor} took its place"
        elif delivery.refusals < most:
            delivery.state, delivery.message = DeliveryState.PENDING, reason
            delivery.next_attempt_at = now + pause(delivery.refusals)
        else:
            delivery.state, delivery.next_attempt_at = DeliveryState.FAILED, None
            delivery.message = f"{reason}; given up after {delivery.refusals} refusals, `opacity-node resend` sends it"
    return len(refused)


def is_open(session: Session, transaction_uid: str) -> bool:
    """Say whether a transaction is one of ours, answered or not."""
    rows = (
        select(Delivery.id).where(Delivery.transaction_uid == transaction_uid),
        select(CommitmentTransaction.delivery_id).where(CommitmentTransaction.transaction_uid == transaction_uid),
    )
    return any(session.scalar(query.limit(1)) is not None for query in rows)


def _to_confirm(delivery_ids: Collection[int]) -> Update:
    return update(Delivery).where(Delivery.id.in_(delivery_ids), *TO_CONFIRM)


def _requests(delivery_ids: Collection[int]) -> Delete:
    return delete(CommitmentTransaction).where(CommitmentTransaction.delivery_id.in_(delivery_ids))


def _but_for_warned(message: str | None) -> ColumnElement[str | None]:
    """Keep a warning's own message: it is the only place that has it."""
    return case((Delivery.state == DeliveryState.WARNED, Delivery.message), else_=message)


def _covered(session: Session, transaction_uid: str, sop_instance_uids: Collection[str]) -> Sequence[Delivery]:
    rows = session.scalars(
        select(Delivery)
        .join(CommitmentTransaction, CommitmentTransaction.delivery_id == Delivery.id)
        .where(CommitmentTransaction.transaction_uid == transaction_uid, Delivery.state.in_(ARRIVED))
    )
    return [delivery for delivery in rows if delivery.result.sop_instance_uid in sop_instance_uids]
