"""What a person asks of deliveries: which there are, send these again, or elsewhere too, or not at all.

Nothing is built anew: the stored bytes are what goes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from db.models import Delivery, Instance, Job, Result, Series, Study
from db.repository.commitments import TO_CONFIRM, ask_no_more
from db.repository.deliveries import ARRIVED
from db.states import DeliveryState, InstanceRole, StudyState

GIVEN_UP = "a person gave its destination up; `opacity-node resend --to` sends it after all"
_UNDELIVERED = (DeliveryState.PENDING, DeliveryState.FAILED)


Wants = Callable[[str, str, str], bool]
"""Says whether a destination gets objects of a pipeline, of a kind."""


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
    ask_again_at: datetime | None
    """Where the destination was asked to commit itself: when it is asked again if it says nothing."""


@dataclass(kw_only=True, slots=True)
class Resent:
    """What was put on its way."""

    again: dict[str, int] = field(default_factory=dict)
    """Deliveries that had ended, by destination."""
    sooner: dict[str, int] = field(default_factory=dict)
    """Deliveries that waited for their next attempt, by destination."""
    added: dict[str, int] = field(default_factory=dict)
    """Deliveries that are new, or of what a destination did not want before; by destination."""
    cancelled: int = 0
    """Deliveries that a later revision of the study took the place of; they stay so."""
    unwanted: int = 0
    """Objects that their destination does not want, by its settings; they are not sent."""
    given_up: int = 0
    """Deliveries to a destination that a person gave up; they stay so."""
    held: list[str] = field(default_factory=list)
    """Studies of these that wait for a person first."""
    corrected: list[str] = field(default_factory=list)
    """Studies of which images came with another patient's name or number after these results were made."""

    @property
    def total(self) -> int:
        """How many objects go."""
        return sum(sum(numbers.values()) for numbers in (self.again, self.sooner, self.added))


def listed(session: Session, choice: Choice, *, newest: int) -> list[DeliveryLine]:
    """Return the newest deliveries of a choice; what destinations do not want only where that state is chosen."""
    query = _chosen(choice)
    if choice.state is None:
        query = query.where(Delivery.state != DeliveryState.UNWANTED)
    rows = session.execute(query.order_by(Delivery.id.desc()).limit(newest))
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
            ask_again_at=delivery.next_attempt_at if delivery.state in ARRIVED and delivery.transaction_uid else None,
        )
        for delivery, result, study in rows
    ]


class Resending:
    """Puts chosen deliveries on their way, some in each transaction, so that no other writer waits long.

    Parameters
    ----------
    choice : Choice
        Which.
    now : datetime
        When they are due.
    to : str or None
        Send the chosen objects to this destination instead; what went there before goes again.
    wants : callable
        Says whether a destination gets a pipeline's objects of a kind.
    """

    def __init__(self, choice: Choice, *, now: datetime, to: str | None = None, wants: Wants = lambda *_: True) -> None:
        self._choice = choice
        self._wants = wants
        self._now = now
        self._to = to
        self._last = 0
        self._seen: set[int] = set()
        self.resent = Resent()

    def step(self, session: Session, *, limit: int = 500) -> bool:
        """Put the next ones on their way; say whether there were any."""
        query = _chosen(self._choice).where(Delivery.id > self._last).order_by(Delivery.id).limit(limit)
        rows = session.execute(query).all()
        for delivery, result, study in rows:
            self._last = delivery.id
            if self._to is not None and result.id in self._seen:
                continue
            self._seen.add(result.id)
            if not self._wants(self._to or delivery.destination, result.job.pipeline, result.kind):
                self.resent.unwanted += 1
                continue
            self._warn(session, result, study)
            if self._to is None:
                self._put_back(delivery, study)
            else:
                self._send_also(session, delivery, study, self._to)
        return bool(rows)

    def _warn(self, session: Session, result: Result, study: Study) -> None:
        uid = study.study_instance_uid
        if uid not in self.resent.corrected and _corrected_since(session, study.id, result.job.started_at):
            self.resent.corrected.append(uid)

    def _send_also(self, session: Session, delivery: Delivery, study: Study, destination: str) -> None:
        there = session.scalar(
            select(Delivery).where(Delivery.result_id == delivery.result_id, Delivery.destination == destination)
        )
        if there is not None:
            self._put_back(there, study, even_given_up=True)
        elif _is_over(delivery):
            self.resent.cancelled += 1
        else:
            row = Delivery(
                result_id=delivery.result_id,
                destination=destination,
                state=DeliveryState.PENDING,
                next_attempt_at=self._now,
            )
            session.add(row)
            _count(self.resent.added, destination, study, self.resent)

    def _put_back(self, delivery: Delivery, study: Study, *, even_given_up: bool = False) -> None:
        if _is_over(delivery):
            self.resent.cancelled += 1
            return
        if _given_up(delivery) and not even_given_up:
            self.resent.given_up += 1
            return
        numbers = {DeliveryState.PENDING: self.resent.sooner, DeliveryState.UNWANTED: self.resent.added}
        _count(numbers.get(delivery.state, self.resent.again), delivery.destination, study, self.resent)
        delivery.state, delivery.next_attempt_at = DeliveryState.PENDING, self._now
        delivery.attempts = delivery.refusals = 0
        delivery.status = delivery.message = delivery.failing_since = delivery.transaction_uid = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenUp:
    """What is expected of a destination no more."""

    unsent: int
    """Objects that it was to get."""
    unconfirmed: int
    """Objects that it has, and was to confirm."""


def give_up(session: Session, destination: str) -> GivenUp:
    """Send a destination nothing of what waits for it or failed, and ask it about nothing."""
    cancelled = (
        update(Delivery)
        .where(Delivery.destination == destination)
        .values(state=DeliveryState.CANCELLED, next_attempt_at=None, failing_since=None, message=GIVEN_UP)
    )
    unsent = session.execute(cancelled.where(Delivery.state.in_(_UNDELIVERED)).returning(Delivery.id))
    session.execute(cancelled.where(Delivery.state == DeliveryState.UNWANTED))
    open_questions = select(func.count()).where(Delivery.destination == destination, *TO_CONFIRM)
    unconfirmed = session.scalar(open_questions) or 0
    ask_no_more(session, destination, message="a person gave its destination up; nobody asks whether it is kept")
    return GivenUp(unsent=len(unsent.all()), unconfirmed=unconfirmed)


def _given_up(delivery: Delivery) -> bool:
    return delivery.state is DeliveryState.CANCELLED and delivery.message == GIVEN_UP


def _is_over(delivery: Delivery) -> bool:
    """Say whether a delivery that was not made must not be made any more: another job's results are right."""
    if delivery.state not in {DeliveryState.CANCELLED, DeliveryState.UNWANTED}:
        return False
    superseded = delivery.result.job.superseded_by_id is not None
    return superseded or (delivery.state is DeliveryState.CANCELLED and not _given_up(delivery))


def _count(numbers: dict[str, int], destination: str, study: Study, resent: Resent) -> None:
    numbers[destination] = numbers.get(destination, 0) + 1
    if study.state is StudyState.HELD and study.study_instance_uid not in resent.held:
        resent.held.append(study.study_instance_uid)


def _corrected_since(session: Session, study_id: int, moment: datetime | None) -> bool:
    """Say whether images of a study came with another patient's name, number or birth date after a moment."""
    if moment is None:
        return False
    earlier = aliased(Instance)
    differs = or_(
        earlier.patient_name != Instance.patient_name,
        earlier.patient_id != Instance.patient_id,
        earlier.patient_birth_date != Instance.patient_birth_date,
    )
    corrected = (
        select(Instance.id)
        .join(Series)
        .join(earlier, (earlier.sop_instance_uid == Instance.sop_instance_uid) & differs)
        .where(
            Series.study_id == study_id,
            Instance.role == InstanceRole.CURRENT,
            Instance.received_at > moment,
            earlier.role == InstanceRole.SUPERSEDED,
        )
        .limit(1)
    )
    return session.scalar(corrected) is not None


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
