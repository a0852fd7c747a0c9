"""Whose images may go, which went, and what is held.

The row of a removed instance stays. `removed_at` is committed before the file is unlinked, and `path` is emptied in
the transaction that unlinks it: a row with both set is a removal that a crash interrupted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, func, literal_column, or_, select, update
from sqlalchemy.orm import Session

from db.models import Delivery, Instance, Job, Promise, Result, Revision, Series, Study
from db.repository.commitments import TO_CONFIRM
from db.repository.promises import UNCONFIRMED
from db.states import DeliveryState, InstanceRole, JobState, StudyState

_UNFINISHED = (JobState.QUEUED, JobState.RUNNING, JobState.HELD)
_GAVE_UP = (JobState.FAILED, JobState.QUARANTINED)
_UNDELIVERED = (DeliveryState.PENDING, DeliveryState.FAILED)
# A literal, so that SQLite sees that a partial index holds every such row.
_NO_PATH: ColumnElement[str] = literal_column("''")


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What must have passed before images go."""

    ended_before: datetime
    """All that happened to the study is at least as old."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """A file to unlink."""

    instance_id: int
    study_id: int
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Holdings:
    """What lies in the archive."""

    instances: int
    size: int
    """Bytes."""


def removable(session: Session, terms: Terms) -> list[int]:
    """Return the ids of the studies whose images may go now, oldest first."""
    return list(session.scalars(_overdue(terms).where(*_conditions(terms)).order_by(Study.last_received_at)))


def overdue(session: Session, terms: Terms) -> int:
    """Count the studies that hold images and got none for so long, whether those may go or not."""
    return session.scalar(select(func.count()).select_from(_overdue(terms).subquery())) or 0


def mark(session: Session, study_id: int, terms: Terms, *, now: datetime) -> Holdings | None:
    """Mark all images of a study as removed; None if they may not go (any more).

    A study that is received, run or delivered while this transaction waits is seen here and kept.
    """
    if session.scalar(select(Study.id).where(Study.id == study_id, *_conditions(terms))) is None:
        return None
    held = (Instance.series_id.in_(_series_of(study_id)), Instance.removed_at.is_(None))
    number, size = session.execute(select(func.count(), func.sum(Instance.size)).where(*held)).one()
    session.execute(update(Instance).where(*held).values(removed_at=now))
    return Holdings(instances=number, size=size or 0)


def to_unlink(session: Session, *, limit: int) -> list[Removal]:
    """Return marked instances whose files may still be there, those of one study together."""
    rows = session.execute(
        select(Instance.id, Series.study_id, Instance.path)
        .join(Series)
        .where(Instance.removed_at.is_not(None), Instance.path != _NO_PATH)
        .order_by(Instance.series_id)
        .limit(limit)
    )
    return [Removal(instance_id=i, study_id=study_id, path=path) for i, study_id, path in rows]


def unlinked(session: Session, removals: Sequence[Removal]) -> None:
    """Record that files are gone."""
    ids = [removal.instance_id for removal in removals]
    session.execute(update(Instance).where(Instance.id.in_(ids)).values(path=""))


def with_images(session: Session, study_ids: Iterable[int]) -> set[int]:
    """Return those of the studies that still hold, or hold again, an image."""
    return {
        study_id
        for study_id in study_ids
        if session.scalar(
            select(Instance.id)
            .where(Instance.series_id.in_(_series_of(study_id)), Instance.removed_at.is_(None))
            .limit(1)
        )
        is not None
    }


def holdings(session: Session) -> Holdings:
    """Sum up the images held, without results of ours that came back; reads as many index entries as there are."""
    held = select(func.count(), func.coalesce(func.sum(Instance.size), 0)).where(Instance.removed_at.is_(None))
    number, size = session.execute(held).one()
    own = held.where(Instance.role == InstanceRole.OWN_RESULT, Instance.series_id.in_(select(Series.id)))
    own_number, own_size = session.execute(own).one()
    return Holdings(instances=number - own_number, size=size - own_size)


def next_receipt(session: Session, *, after: datetime) -> datetime | None:
    """Return when the oldest image held that came after a moment came."""
    return session.scalar(
        select(Instance.received_at)
        .where(Instance.removed_at.is_(None), Instance.received_at > after)
        .order_by(Instance.received_at)
        .limit(1)
    )


def promised() -> Select[int]:
    """Select the series of instances that a peer counts on us to keep, and that nobody else is known to."""
    return select(Series.id).join(Instance).join(Promise).where(Instance.removed_at.is_(None), UNCONFIRMED)


def only_promised(session: Session, terms: Terms, *, limit: int) -> list[int]:
    """Return overdue studies that go as soon as another peer keeps what we promised of them."""
    held_back = promised().where(Series.study_id == Study.id).exists()
    return list(session.scalars(_overdue(terms).where(*_conditions(terms, promises=False), held_back).limit(limit)))


def _series_of(study_id: int) -> Select[int]:
    return select(Series.id).where(Series.study_id == study_id)


def _overdue(terms: Terms) -> Select[int]:
    """Select studies by the images they still hold: those whose images are gone cost nothing."""
    holding = (
        select(Series.study_id)
        .join(Instance)
        .where(Instance.removed_at.is_(None), Instance.received_at <= terms.ended_before)
    )
    return select(Study.id).where(Study.id.in_(holding), Study.last_received_at <= terms.ended_before)


def _conditions(terms: Terms, *, promises: bool = True) -> tuple[ColumnElement[bool], ...]:
    """Return what must hold of a study: at rest, undisputed, and everything made of it has arrived, for long enough."""
    contradicted = select(Series.id).join(Instance).where(Instance.role == InstanceRole.CONFLICT)
    kept_for_peers = promised().where(Series.study_id == Study.id).exists()
    return (
        *((~kept_for_peers,) if promises else ()),
        Study.state == StudyState.SETTLED,
        Study.last_received_at <= terms.ended_before,
        ~contradicted.where(Series.study_id == Study.id).exists(),
        ~select(Revision.id).where(Revision.study_id == Study.id, Revision.settled_at > terms.ended_before).exists(),
        ~select(Job.id).where(Job.study_id == Study.id, _needs_input(terms)).exists(),
        ~select(Delivery.id).join(Result).join(Job).where(Job.study_id == Study.id, _under_way(terms)).exists(),
    )


def _needs_input(terms: Terms) -> ColumnElement[bool]:
    """Select jobs that may read their input; one that gave up keeps it for a person, unless a later one replaced it."""
    return or_(
        Job.state.in_(_UNFINISHED),
        and_(Job.state.in_(_GAVE_UP), or_(Job.superseded_by_id.is_(None), Job.not_before.is_not(None))),
        Job.finished_at > terms.ended_before,
    )


def _under_way(terms: Terms) -> ColumnElement[bool]:
    return or_(
        Delivery.state.in_(_UNDELIVERED),
        and_(*TO_CONFIRM),
        Delivery.sent_at > terms.ended_before,
        Delivery.committed_at > terms.ended_before,
    )
