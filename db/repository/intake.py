"""Received instances -> rows."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Instance, Series, Study
from db.states import HoldReason, InstanceRole, StudyState


class Intake(StrEnum):
    """What became of a received instance."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedInstance:
    """One spool file, read."""

    spool_name: str
    path: str
    size: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    dataset_sha256: str
    pixel_sha256: str
    modality: str
    series_number: int | None
    series_description: str
    patient_id: str
    issuer_of_patient_id: str
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    header: dict[str, Any]
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    association_id: str
    received_at: datetime


def already_indexed(session: Session, spool_names: Iterable[str]) -> dict[str, str]:
    """Return the archive path of those spool files that have a row already, by spool name."""
    rows = session.execute(select(Instance.spool_name, Instance.path).where(Instance.spool_name.in_(list(spool_names))))
    return dict(rows.all())


def add(session: Session, received: Sequence[ReceivedInstance]) -> list[Intake]:
    """Put received instances into rows.

    An instance that is byte for byte one we have is a duplicate and gets no row. One with a known SOP Instance UID
    and other bytes is a conflict: both are kept and the study is held.

    Parameters
    ----------
    session : Session
        Writing.
    received : sequence of ReceivedInstance
        In the order of receipt.

    Returns
    -------
    list of Intake
        One for each.
    """
    return [_add_one(session, instance) for instance in received]


def _add_one(session: Session, received: ReceivedInstance) -> Intake:
    known = session.execute(
        select(Instance.dataset_sha256).where(Instance.sop_instance_uid == received.sop_instance_uid)
    ).scalars()
    hashes = set(known)
    if received.dataset_sha256 in hashes:
        return Intake.DUPLICATE
    study = _study(session, received)
    role = InstanceRole.CONFLICT if hashes else InstanceRole.CURRENT
    session.add(_row(_series(session, study, received), received, role))
    session.flush()
    if role is InstanceRole.CONFLICT:
        study.state, study.hold_reason = StudyState.HELD, HoldReason.CONFLICT
        return Intake.CONFLICT
    return Intake.STORED


def _study(session: Session, received: ReceivedInstance) -> Study:
    study = session.scalar(select(Study).where(Study.study_instance_uid == received.study_instance_uid))
    if study is None:
        study = Study(
            study_instance_uid=received.study_instance_uid,
            state=StudyState.RECEIVING,
            first_received_at=received.received_at,
            last_received_at=received.received_at,
            opened_at=received.received_at,
        )
        session.add(study)
        session.flush()
        return study
    study.last_received_at = max(study.last_received_at, received.received_at)
    if study.state is StudyState.SETTLED:
        study.state, study.opened_at = StudyState.RECEIVING, received.received_at
    return study


def _series(session: Session, study: Study, received: ReceivedInstance) -> Series:
    series = session.scalar(
        select(Series).where(Series.study_id == study.id, Series.series_instance_uid == received.series_instance_uid)
    )
    if series is None:
        series = Series(
            study_id=study.id,
            series_instance_uid=received.series_instance_uid,
            modality=received.modality,
            series_number=received.series_number,
            series_description=received.series_description,
        )
        session.add(series)
        session.flush()
    return series


def _row(series: Series, received: ReceivedInstance, role: InstanceRole) -> Instance:
    columns = Instance.__table__.columns.keys()
    values = {name: value for name, value in asdict(received).items() if name in columns}
    return Instance(series_id=series.id, role=role, **values)
