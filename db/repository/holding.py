"""Studies that wait for a person: why, what disagrees, and what the person decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Instance, Series, Study
from db.states import HoldReason, InstanceRole, StudyState


class Keep(StrEnum):
    """Which of several answers a person takes for right."""

    FIRST = "first"
    NEWEST = "newest"


class NothingToResolveError(Exception):
    """There is no such study, or it is not held."""


class UndecidedError(Exception):
    """It must be said which of several receipts counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PatientIdentity:
    """Whose an instance says it is; an empty text says nothing."""

    patient_id: str
    issuer_of_patient_id: str
    patient_birth_date: str

    def agrees_with(self, other: "PatientIdentity") -> bool:
        """Say whether no attribute that both have differs."""
        return all(not a or not b or a == b for a, b in zip(self.values(), other.values(), strict=True))

    def values(self) -> list[str]:
        """Return the attributes in order."""
        return [self.patient_id, self.issuer_of_patient_id, self.patient_birth_date]


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityCount:
    """An identity, how many current instances of a study have it, and when the first and the last of them came."""

    identity: PatientIdentity
    instances: int
    first_received_at: datetime
    last_received_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldStudy:
    """Why a study is held, for the person who decides."""

    study_instance_uid: str
    reason: HoldReason
    message: str
    conflicts: int
    """SOP Instance UIDs of which there are several receipts that differ."""
    identities: list[IdentityCount]


def hold(session: Session, study_id: int, *, reason: HoldReason, message: str) -> None:
    """Take a study out of the flow until a person has seen to it; `message` holds no patient data."""
    study = session.get_one(Study, study_id)
    study.state, study.hold_reason, study.hold_message = StudyState.HELD, reason, message


def identities(session: Session, study_id: int) -> list[IdentityCount]:
    """Return the identities that the current instances of a study have, in the order of their first receipt."""
    rows = session.execute(
        select(Instance.patient_id, Instance.issuer_of_patient_id, Instance.patient_birth_date, Instance.received_at)
        .join(Series)
        .where(Series.study_id == study_id, Instance.role == InstanceRole.CURRENT)
        .order_by(Instance.received_at)
    )
    times: dict[PatientIdentity, list[datetime]] = {}
    for patient_id, issuer, birth_date, received_at in rows:
        identity = PatientIdentity(patient_id=patient_id, issuer_of_patient_id=issuer, patient_birth_date=birth_date)
        times.setdefault(identity, []).append(received_at)
    return [
        IdentityCount(
            identity=identity, instances=len(received), first_received_at=received[0], last_received_at=received[-1]
        )
        for identity, received in times.items()
    ]


def identity_conflict(session: Session, study_id: int) -> str | None:
    """Say in what the instances of a study disagree about whose they are; None if a person accepted that, or nothing.

    An identity that is empty in part contradicts none.
    """
    study = session.get_one(Study, study_id)
    found = [count.identity for count in identities(session, study_id)]
    accepted = study.patient_identities or []
    new = [identity for identity in found if identity.values() not in accepted]
    if not any(not one.agrees_with(other) for one in new for other in found):
        return None
    names = ("Patient ID", "Issuer of Patient ID", "Patient's Birth Date")
    columns = zip(names, zip(*(identity.values() for identity in found), strict=True), strict=True)
    differing = [f"{name} ({len(values)} values)" for name, column in columns if len(values := set(column) - {""}) > 1]
    return f"instances disagree about {', '.join(differing)}"


def held(session: Session, study_instance_uid: str) -> HeldStudy:
    """Return why a study is held.

    Raises
    ------
    NothingToResolveError
        If it is not, or there is none.
    """
    study = _held(session, study_instance_uid)
    return HeldStudy(
        study_instance_uid=study_instance_uid,
        reason=study.hold_reason or HoldReason.SETTLING_FAILED,
        message=study.hold_message or "",
        conflicts=len({row.sop_instance_uid for row in _conflicts(session, study.id)}),
        identities=identities(session, study.id),
    )


def resolve(session: Session, study_instance_uid: str, *, keep: Keep | None) -> HoldReason:
    """Let a held study go on as a person decided; it settles anew.

    Parameters
    ----------
    session : Session
        Writing.
    study_instance_uid : str
        Of a held study.
    keep : Keep or None
        Of receipts that contradict each other, and of identities, the one that counts; the others are kept, unused.

    Returns
    -------
    HoldReason
        Why it was held.

    Raises
    ------
    NothingToResolveError
        If the study is not held, or there is none.
    UndecidedError
        If something contradicts and `keep` is None.
    """
    study = _held(session, study_instance_uid)
    conflicts = _conflicts(session, study.id)
    disagree = identity_conflict(session, study.id) is not None
    if keep is None and (conflicts or disagree):
        raise UndecidedError("receipts or identities contradict each other; say which count: --keep first or newest")
    for sop_instance_uid in {row.sop_instance_uid for row in conflicts}:
        _settle_conflict(session, sop_instance_uid, newest=keep is Keep.NEWEST)
    counts = identities(session, study.id)
    if keep is not None and len(counts) > 1:
        chosen = max(counts, key=lambda c: c.last_received_at) if keep is Keep.NEWEST else counts[0]
        others = [c.identity.values() for c in counts if c is not chosen]
        study.patient_identities = [chosen.identity.values(), *others]
    reason = study.hold_reason or HoldReason.SETTLING_FAILED
    if reason is HoldReason.MAX_REVISIONS:
        study.revisions_allowed += 1
    study.state, study.hold_reason, study.hold_message = StudyState.RECEIVING, None, None
    return reason


def _held(session: Session, study_instance_uid: str) -> Study:
    study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
    if study is None:
        raise NothingToResolveError(f"there is no study {study_instance_uid}; see `opacity-node status`")
    if study.state is not StudyState.HELD:
        raise NothingToResolveError(f"study {study_instance_uid} is not held; it is {study.state.value}")
    return study


def _conflicts(session: Session, study_id: int) -> Sequence[Instance]:
    return session.scalars(
        select(Instance)
        .join(Series)
        .where(Series.study_id == study_id, Instance.role == InstanceRole.CONFLICT)
        .order_by(Instance.received_at, Instance.id)
    ).all()


def _settle_conflict(session: Session, sop_instance_uid: str, *, newest: bool) -> None:
    """Make one receipt current, and supersede the others."""
    receipts = session.scalars(
        select(Instance)
        .where(
            Instance.sop_instance_uid == sop_instance_uid,
            Instance.role.in_([InstanceRole.CURRENT, InstanceRole.CONFLICT]),
        )
        .order_by(Instance.received_at, Instance.id)
    ).all()
    chosen = receipts[-1] if newest else receipts[0]
    for receipt in receipts:
        if receipt is not chosen:
            _reopen_study_that_loses(receipt, chosen)
            receipt.role = InstanceRole.SUPERSEDED
    session.flush()  # before another row is current: there is one current row at any time
    chosen.role = InstanceRole.CURRENT


def _reopen_study_that_loses(receipt: Instance, chosen: Instance) -> None:
    """Have another study, whose current instance this was, settle anew without it."""
    study = receipt.series.study
    if study is not chosen.series.study and study.state is StudyState.SETTLED:
        study.state = StudyState.RECEIVING
