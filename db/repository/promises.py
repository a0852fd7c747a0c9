"""What peers asked us to keep: what of it we have, what was reported, and who else keeps it by now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from db.models import CommitmentObject, CommitmentRequest, Instance, Promise, Result, Series
from db.states import InstanceRole

_KEPT = (InstanceRole.CURRENT, InstanceRole.OWN_RESULT, InstanceRole.EXCLUDED, InstanceRole.SUPERSEDED)
UNCONFIRMED: ColumnElement[bool] = Promise.confirmed_at.is_(None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request as it came."""

    calling_ae_title: str
    transaction_uid: str
    association_id: str
    objects: Sequence[tuple[str, str]]
    """SOP Class UID and SOP Instance UID."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request that is to be worked on."""

    id: int
    calling_ae_title: str
    transaction_uid: str
    association_id: str
    received_at: datetime
    examined: bool
    failures: int
    objects: Sequence[tuple[str, str, int | None]]
    """SOP Class UID, SOP Instance UID, and why it is not kept, if that is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """A file that should hold an object."""

    instance_id: int | None
    """None for a result."""
    sop_class_uid: str
    path: str
    dataset_sha256: str | None
    """Of the data set; of a result see `file_sha256`."""
    file_sha256: str | None = None


def add(session: Session, asked: Asked, *, now: datetime) -> None:
    """Record a request; one that came before is answered again."""
    request = session.scalar(
        select(CommitmentRequest).where(
            CommitmentRequest.calling_ae_title == asked.calling_ae_title,
            CommitmentRequest.transaction_uid == asked.transaction_uid,
        )
    )
    if request is not None:
        request.next_attempt_at, request.association_id, request.examined = now, asked.association_id, False
        return
    request = CommitmentRequest(
        calling_ae_title=asked.calling_ae_title,
        transaction_uid=asked.transaction_uid,
        association_id=asked.association_id,
        received_at=now,
        next_attempt_at=now,
    )
    session.add(request)
    session.flush()
    session.add_all(
        CommitmentObject(request_id=request.id, position=n, sop_class_uid=sop_class, sop_instance_uid=sop_instance)
        for n, (sop_class, sop_instance) in enumerate(asked.objects)
    )


def due(session: Session, now: datetime) -> list[Request]:
    """Return the requests to work on now, oldest first."""
    rows = session.scalars(
        select(CommitmentRequest).where(CommitmentRequest.next_attempt_at <= now).order_by(CommitmentRequest.id)
    )
    return [
        Request(
            id=row.id,
            calling_ae_title=row.calling_ae_title,
            transaction_uid=row.transaction_uid,
            association_id=row.association_id,
            received_at=row.received_at,
            examined=row.examined,
            failures=row.failures,
            objects=[(o.sop_class_uid, o.sop_instance_uid, o.failure_reason) for o in row.objects],
        )
        for row in rows
    ]


def next_due_at(session: Session, *, after: datetime) -> datetime | None:
    """Return when the next request is to be worked on."""
    return session.scalar(
        select(CommitmentRequest.next_attempt_at)
        .where(CommitmentRequest.next_attempt_at > after)
        .order_by(CommitmentRequest.next_attempt_at)
        .limit(1)
    )


def receipts(session: Session, sop_instance_uid: str) -> list[Receipt] | None:
    """Return the files that should hold an object; None where its receipts contradict each other."""
    rows = session.scalars(
        select(Instance).where(Instance.sop_instance_uid == sop_instance_uid, Instance.removed_at.is_(None))
    ).all()
    if any(row.role is InstanceRole.CONFLICT for row in rows):
        return None
    found = [
        Receipt(instance_id=row.id, sop_class_uid=row.sop_class_uid, path=row.path, dataset_sha256=row.dataset_sha256)
        for row in rows
        if row.role in _KEPT
    ]
    results = session.scalars(select(Result).where(Result.sop_instance_uid == sop_instance_uid))
    return found or [
        Receipt(instance_id=None, sop_class_uid=r.sop_class_uid, path=r.path, dataset_sha256=None, file_sha256=r.sha256)
        for r in results
    ]


def examined(
    session: Session, request_id: int, failures: Mapping[str, int], kept: Collection[int], *, now: datetime
) -> None:
    """Record what of a request is kept, before it is reported.

    Parameters
    ----------
    session : Session
        Writing.
    request_id : int
        Of the request.
    failures : mapping
        Failure Reason by SOP Instance UID, of what is not kept.
    kept : collection of int
        Ids of the instances that are promised.
    now : datetime
        Aware.
    """
    for row in session.scalars(select(CommitmentObject).where(CommitmentObject.request_id == request_id)):
        row.failure_reason = failures.get(row.sop_instance_uid)
    removed = select(Instance.id).where(Instance.id.in_(kept), Instance.removed_at.is_not(None))
    if session.scalar(removed.limit(1)) is not None:
        raise RemovedMeanwhileError
    for instance_id in kept:
        if session.get(Promise, instance_id) is None:
            session.add(Promise(instance_id=instance_id, promised_at=now))
    session.execute(update(CommitmentRequest).where(CommitmentRequest.id == request_id).values(examined=True))


class RemovedMeanwhileError(Exception):
    """Retention took an instance while it was examined."""


def reported(session: Session, request_id: int) -> None:
    """Record that a peer has its report."""
    session.execute(
        update(CommitmentRequest).where(CommitmentRequest.id == request_id).values(next_attempt_at=None, failures=0)
    )


def postpone(session: Session, request_id: int, *, until: datetime | None, failed: bool) -> None:
    """Work on a request later; None gives it up."""
    session.execute(
        update(CommitmentRequest)
        .where(CommitmentRequest.id == request_id)
        .values(next_attempt_at=until, failures=CommitmentRequest.failures + int(failed))
    )


def to_ask_about(
    session: Session, study_ids: Collection[int], *, now: datetime, limit: int
) -> list[tuple[int, str, str]]:
    """Return promised instances of studies that nobody else keeps yet: id, SOP Class UID, SOP Instance UID."""
    rows = session.execute(
        select(Instance.id, Instance.sop_class_uid, Instance.sop_instance_uid)
        .join(Promise)
        .join(Series)
        .where(
            Series.study_id.in_(study_ids),
            Instance.removed_at.is_(None),
            UNCONFIRMED,
            (Promise.ask_at.is_(None)) | (Promise.ask_at <= now),
        )
        .limit(limit)
    )
    return [(i, sop_class, uid) for i, sop_class, uid in rows]


def ask(session: Session, instance_ids: Collection[int], transaction_uid: str, *, again_at: datetime) -> None:
    """Note that another peer is asked about these; before it is, so that its report is known whenever it comes."""
    session.execute(
        update(Promise)
        .where(Promise.instance_id.in_(instance_ids))
        .values(transaction_uid=transaction_uid, ask_at=again_at)
    )


def confirm(session: Session, transaction_uid: str, sop_instance_uids: Collection[str], *, now: datetime) -> bool:
    """Record what another peer keeps; say whether it was asked in that transaction."""
    rows = session.execute(
        select(Promise, Instance.sop_instance_uid).join(Instance).where(Promise.transaction_uid == transaction_uid)
    ).all()
    for promise, sop_instance_uid in rows:
        if sop_instance_uid in sop_instance_uids:
            promise.confirmed_at = now
    return bool(rows)
