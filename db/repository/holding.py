"""Studies that wait for a person: why, and what disagrees."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Instance, Series, Study
from db.states import HoldReason, InstanceRole, StudyState

_SHOWN = 5


class NothingToResolveError(Exception):
    """There is no such study, or it is not held."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PatientIdentity:
    """Whose an instance says it is; an empty text says nothing."""

    patient_id: str
    issuer_of_patient_id: str
    patient_birth_date: str

    @classmethod
    def of(cls, instance: Instance) -> "PatientIdentity":
        """Read it from an instance's row."""
        return cls(
            patient_id=instance.patient_id,
            issuer_of_patient_id=instance.issuer_of_patient_id,
            patient_birth_date=instance.patient_birth_date,
        )

    def agrees_with(self, other: "PatientIdentity") -> bool:
        """Say whether no attribute that both have differs."""
        return all(not a or not b or a == b for a, b in zip(self.values(), other.values(), strict=True))

    def values(self) -> list[str]:
        """Return the attributes in order."""
        return [self.patient_id, self.issuer_of_patient_id, self.patient_birth_date]


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityCount:
    """An identity, and the current instances of a study that have it."""

    identity: PatientIdentity
    instances: int
    series: list[str]
    first_received_at: datetime
    calling_ae_titles: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """One of several receipts of a SOP Instance UID that contradict each other."""

    sop_instance_uid: str
    series: str
    received_at: datetime
    calling_ae_title: str
    current: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldStudy:
    """Why a study is held, for the person who decides."""

    study_instance_uid: str
    reason: HoldReason
    message: str
    conflicts: int
    """SOP Instance UIDs of which there are several receipts that differ."""
    conflicting: list[Receipt]
    """Of the first of them."""
    identities: list[IdentityCount]
    disagree: bool
    """Whether one of the identities must be chosen."""


def hold(session: Session, study_id: int, *, reason: HoldReason, message: str) -> None:
    """Take a study out of the flow until a person has seen to it; `message` holds no patient data."""
    study = session.get_one(Study, study_id)
    study.state, study.hold_reason, study.hold_message = StudyState.HELD, reason, message


def identities(session: Session, study_id: int) -> list[IdentityCount]:
    """Return the identities that the current instances of a study have, in the order of their first receipt."""
    found: dict[PatientIdentity, list[Instance]] = {}
    for instance in current_instances(session, study_id):
        found.setdefault(PatientIdentity.of(instance), []).append(instance)
    return [
        IdentityCount(
            identity=identity,
            instances=len(instances),
            series=sorted({_name(instance.series) for instance in instances}),
            first_received_at=instances[0].received_at,
            calling_ae_titles=sorted({instance.calling_ae_title for instance in instances}),
        )
        for identity, instances in found.items()
    ]


def _name(series: Series) -> str:
    return f"{series.series_number if series.series_number is not None else '?'} {series.series_description}".strip()


def current_instances(session: Session, study_id: int) -> Sequence[Instance]:
    """Return the current instances of a study, in the order of receipt."""
    return session.scalars(
        select(Instance)
        .join(Series)
        .where(Series.study_id == study_id, Instance.role == InstanceRole.CURRENT)
        .order_by(Instance.received_at, Instance.id)
    ).all()


def identity_conflict(session: Session, study_id: int) -> str | None:
    """Say in what the instances of a study disagree about whose they are; None if a person accepted that, or nothing.

    An identity that is empty in part contradicts none.
    """
    study = session.get_one(Study, study_id)
    rows = session.execute(
        select(Instance.patient_id, Instance.issuer_of_patient_id, Instance.patient_birth_date)
        .join(Series)
        .where(Series.study_id == study_id, Instance.role == InstanceRole.CURRENT)
        .distinct()
    )
    found = [
        PatientIdentity(patient_id=patient_id, issuer_of_patient_id=issuer, patient_birth_date=birth_date)
        for patient_id, issuer, birth_date in rows
    ]
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
    study = held_study(session, study_instance_uid)
    conflicts = list(dict.fromkeys(row.sop_instance_uid for row in conflicting_instances(session, study.id)))
    return HeldStudy(
        study_instance_uid=study_instance_uid,
        reason=study.hold_reason or HoldReason.SETTLING_FAILED,
        message=study.hold_message or "",
        conflicts=len(conflicts),
        conflicting=[
            Receipt(
                sop_instance_uid=uid,
                series=_name(row.series),
                received_at=row.received_at,
                calling_ae_title=row.calling_ae_title,
                current=row.role is InstanceRole.CURRENT,
            )
            for uid in conflicts[:_SHOWN]
            for row in receipts(session, uid)
        ],
        identities=identities(session, study.id),
        disagree=identity_conflict(session, study.id) is not None,
    )


def held_study(session: Session, study_instance_uid: str) -> Study:
    """Return the row of a held study.

    Raises
    ------
    NothingToResolveError
        If it is not held, or there is none.
    """
    study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
    if study is None:
        raise NothingToResolveError(f"there is no study {study_instance_uid}; see `opacity-node status`")
    if study.state is not StudyState.HELD:
        raise NothingToResolveError(f"study {study_instance_uid} is not held; it is {study.state.value}")
    return study


def conflicting_instances(session: Session, study_id: int) -> Sequence[Instance]:
    """Return the receipts of a study that contradict what was there, in the order of receipt."""
    return session.scalars(
        select(Instance)
        .join(Series)
        .where(Series.study_id == study_id, Instance.role == InstanceRole.CONFLICT)
        .order_by(Instance.received_at, Instance.id)
    ).all()


def receipts(session: Session, sop_instance_uid: str) -> Sequence[Instance]:
    """Return the receipts of an instance that may count, oldest first."""
    return session.scalars(
        select(Instance)
        .where(
            Instance.sop_instance_uid == sop_instance_uid,
            Instance.role.in_([InstanceRole.CURRENT, InstanceRole.CONFLICT]),
        )
        .order_by(Instance.received_at, Instance.id)
    ).all()
