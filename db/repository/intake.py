"""Received instances -> rows."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Instance, Result, Series, Study
from db.states import HoldReason, InstanceRole, StudyState


class Intake(StrEnum):
    """What became of a received instance."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    RESTORED = "restored"
    """Equal bytes again, after retention had removed ours."""
    UPDATE = "update"
    """Equal pixels and geometry under another header or transfer syntax."""
    CONFLICT = "conflict"
    OWN_RESULT = "own-result"


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
    device_uids: tuple[str, ...] = ()
    """Of the equipment that it names as contributing (0018,A001)."""
    by_us: bool = False
    """Whether that equipment is an opacity-node."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownInstance:
    """The current row of a SOP Instance UID."""

    study_instance_uid: str
    series_instance_uid: str
    dataset_sha256: str
    pixel_sha256: str
    transfer_syntax_uid: str
    header: dict[str, Any]
    path: str
    removed: bool


def already_indexed(session: Session, spool_names: Iterable[str]) -> dict[str, str]:
    """Return the archive path of those spool files that have a row already, by spool name."""
    rows = session.execute(select(Instance.spool_name, Instance.path).where(Instance.spool_name.in_(list(spool_names))))
    return dict(rows.all())


def known(session: Session, sop_instance_uids: Iterable[str]) -> dict[str, KnownInstance]:
    """Return the current rows of those SOP Instance UIDs that have one."""
    rows = session.execute(
        select(Instance, Series.series_instance_uid, Study.study_instance_uid)
        .join(Series, Instance.series_id == Series.id)
        .join(Study, Series.study_id == Study.id)
        .where(Instance.sop_instance_uid.in_(list(sop_instance_uids)), Instance.role == InstanceRole.CURRENT)
    )
    return {
        row.sop_instance_uid: KnownInstance(
            study_instance_uid=study_instance_uid,
            series_instance_uid=series_instance_uid,
            dataset_sha256=row.dataset_sha256,
            pixel_sha256=row.pixel_sha256,
            transfer_syntax_uid=row.transfer_syntax_uid,
            header=row.header,
            path=row.path,
            removed=row.removed_at is not None,
        )
        for row, series_instance_uid, study_instance_uid in rows
    }


def add(
    session: Session, received: Sequence[ReceivedInstance], *, same_images: Collection[str] = frozenset()
) -> list[Intake]:
    """Put received instances into rows.

    What is byte for byte an instance we hold is a duplicate and gets no row. Other bytes under a known SOP Instance
    UID are an update if they show the same image: the new row is current, the old one is kept. Else they are a
    conflict: both are kept and the study is held. Our own results are kept and change nothing.

    Parameters
    ----------
    session : Session
        Writing.
    received : sequence of ReceivedInstance
        In the order of receipt.
    same_images : collection of str
        Spool names of those that show the same image as the current instance of their UID.

    Returns
    -------
    list of Intake
        One for each.
    """
    return [_add_one(session, instance, same_image=instance.spool_name in same_images) for instance in received]


def _add_one(session: Session, received: ReceivedInstance, *, same_image: bool) -> Intake:
    rows = list(session.scalars(select(Instance).where(Instance.sop_instance_uid == received.sop_instance_uid)))
    equal = [row for row in rows if row.dataset_sha256 == received.dataset_sha256]
    put_back = bool(equal) and same_image and all(row.role is InstanceRole.SUPERSEDED for row in equal)
    if equal and not put_back:  # bytes that an update replaced, and that come again, are an update themselves
        return _again(session, equal[-1], received)
    if received.by_us or _by_a_device_of_ours(session, received):
        study = _study(session, received, new_state=StudyState.SETTLED)
        session.add(_row(_series(session, study, received), received, InstanceRole.OWN_RESULT))
        session.flush()
        return Intake.OWN_RESULT
    current = next((row for row in rows if row.role is InstanceRole.CURRENT), None)
    study = _study(session, received, new_state=StudyState.RECEIVING)
    _reopen(study, received)
    if current is None:
        session.add(_row(_series(session, study, received), received, InstanceRole.CURRENT))
        session.flush()
        return Intake.STORED
    return _other_bytes(session, study, current, received, same_image=same_image)


def _again(session: Session, row: Instance, received: ReceivedInstance) -> Intake:
    """Take equal bytes: nothing new, unless ours were removed meanwhile."""
    if row.removed_at is None:
        return Intake.DUPLICATE
    row.removed_at, row.spool_name, row.path = None, received.spool_name, received.path
    row.series.study.to_catalogue += 1
    if row.role is InstanceRole.CURRENT:
        _reopen(row.series.study, received)
    session.flush()
    return Intake.RESTORED


def _other_bytes(
    session: Session, study: Study, current: Instance, received: ReceivedInstance, *, same_image: bool
) -> Intake:
    row = _row(_series(session, study, received), received, InstanceRole.CONFLICT)
    if same_image:
        _update(session, current, row)
    elif study.state is not StudyState.HELD:  # whatever else it is held for is told first
        study.state, study.hold_reason = StudyState.HELD, HoldReason.CONFLICT
        study.hold_message = "instances came again with other pixels or geometry, or cannot be compared"
    session.add(row)
    session.flush()
    return Intake.UPDATE if same_image else Intake.CONFLICT


def _update(session: Session, current: Instance, row: Instance) -> None:
    """Let the receipt that came later be the current one; a rebuild reads the archive in any order."""
    if current.removed_at is None:
        row.pixel_sha256 = current.pixel_sha256  # equal pixels, however they are written
    if row.received_at < current.received_at:
        row.role = InstanceRole.SUPERSEDED
        return
    current.role = InstanceRole.SUPERSEDED
    session.flush()  # before the new row is current: there is one current row at any time
    row.role = InstanceRole.CURRENT


def _by_a_device_of_ours(session: Session, received: ReceivedInstance) -> bool:
    if not received.device_uids:
        return False
    return session.scalar(select(Result.id).where(Result.device_uid.in_(received.device_uids)).limit(1)) is not None


def _study(session: Session, received: ReceivedInstance, *, new_state: StudyState) -> Study:
    study = session.scalar(select(Study).where(Study.study_instance_uid == received.study_instance_uid))
    if study is None:
        study = Study(
            study_instance_uid=received.study_instance_uid,
            state=new_state,
            first_received_at=received.received_at,
            last_received_at=received.received_at,
            opened_at=received.received_at,
        )
        session.add(study)
        session.flush()
    else:
        study.to_catalogue += 1
    return study


def _reopen(study: Study, received: ReceivedInstance) -> None:
    """Start the quiet time anew; after the study settled, begin the next revision."""
    study.last_received_at = max(study.last_received_at, received.received_at)
    if study.state is StudyState.SETTLED:
        study.state, study.opened_at = StudyState.RECEIVING, received.received_at


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
