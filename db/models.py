"""The schema: studies as received, what was decided about them, the jobs that ran, what came out and where it went.

Patient attributes are columns of the instance and never keys: two instances of one study may disagree about them.

References
----------
PS3.3 C.7 for the attributes; `DESIGN`: the way of the data.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Enum, ForeignKey, Index, MetaData, String, UniqueConstraint, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from db.states import DeliveryState, HoldReason, InstanceRole, JobState, Outcome, SettleReason, StudyState


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored as UTC without its offset, which SQLite cannot keep."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn an aware datetime into naive UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without time zone was given to the database")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Turn naive UTC into an aware datetime."""
        return None if value is None else value.replace(tzinfo=UTC)


def _stored(kind: type[StrEnum], length: int = 16) -> Enum:
    return Enum(kind, native_enum=False, length=length, values_callable=lambda members: [m.value for m in members])


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can find it again."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as declared
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
        list[list[str]]: JSON,
        HoldReason: _stored(HoldReason, 32),
        StudyState: _stored(StudyState),
        InstanceRole: _stored(InstanceRole),
        SettleReason: _stored(SettleReason),
        Outcome: _stored(Outcome),
        JobState: _stored(JobState),
        DeliveryState: _stored(DeliveryState),
    }


class Study(Base):
    """A study, from its first instance on."""

    __tablename__ = "study"
    __table_args__ = (Index(None, "state"), Index(None, "last_received_at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[StudyState]
    hold_reason: Mapped[HoldReason | None] = mapped_column(default=None)
    hold_message: Mapped[str | None] = mapped_column(default=None)
    """What a person must know to decide; no patient data."""
    patient_identities: Mapped[list[list[str]] | None] = mapped_column(default=None)
    """Each Patient ID, its issuer and birth date, that a person accepted together; results take the first."""
    revisions_allowed: Mapped[int] = mapped_column(default=0, server_default="0")
    """Beyond `settle.max_revisions`, by a person."""
    first_received_at: Mapped[datetime]
    last_received_at: Mapped[datetime]
    opened_at: Mapped[datetime]
    """When the first instance of the revision now being received came; `max_wait` counts from here."""
    revision_number: Mapped[int] = mapped_column(default=0)
    """Of the newest settled revision; 0 before the first."""
    decide_again: Mapped[bool] = mapped_column(default=False, server_default=false(), index=True)
    """Whether a person wants the settled study decided by the rules of now."""
    to_catalogue: Mapped[int] = mapped_column(default=1, server_default="1", index=True)
    """Changes since the catalogue read the study last; 0 where it is up to date."""

    series: Mapped[list["Series"]] = relationship(back_populates="study")
    revisions: Mapped[list["Revision"]] = relationship(back_populates="study", order_by="Revision.number")


class Series(Base):
    """A series of a study, as its first instance described it."""

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("study_id", "series_instance_uid"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    series_instance_uid: Mapped[str] = mapped_column(String(64))
    modality: Mapped[str] = mapped_column(String(16))
    series_number: Mapped[int | None]
    series_description: Mapped[str]

    study: Mapped[Study] = relationship(back_populates="series")
    instances: Mapped[list["Instance"]] = relationship(back_populates="series")


class Instance(Base):
    """One receipt of one SOP instance: its bytes, its patient, its circumstances."""

    __tablename__ = "instance"
    __table_args__ = (
        Index("ix_instance_series_id_role", "series_id", "role"),
        Index(
            "ix_instance_available",
            "series_id",
            "role",
            sqlite_where=text("removed_at IS NULL"),
            postgresql_where=text("removed_at IS NULL"),
        ),
        Index(
            "uq_instance_current",
            "sop_instance_uid",
            unique=True,
            sqlite_where=text("role = 'current'"),
            postgresql_where=text("role = 'current'"),
        ),
        Index(
            "ix_instance_held",
            "received_at",
            "series_id",
            "size",
            sqlite_where=text("removed_at IS NULL"),
            postgresql_where=text("removed_at IS NULL"),
        ),
        Index(
            "ix_instance_to_unlink",
            "series_id",
            sqlite_where=text("removed_at IS NOT NULL AND path != ''"),
            postgresql_where=text("removed_at IS NOT NULL AND path != ''"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    sop_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64))
    role: Mapped[InstanceRole]

    spool_name: Mapped[str] = mapped_column(unique=True)
    path: Mapped[str]
    """Relative to the storage folder; empty when retention has unlinked the file."""
    size: Mapped[int]
    dataset_sha256: Mapped[str] = mapped_column(String(64))
    """Of the data set as received, without the file meta information."""
    pixel_sha256: Mapped[str] = mapped_column(String(64))
    """Of the bytes from the Pixel Data element on, as received."""

    patient_id: Mapped[str]
    issuer_of_patient_id: Mapped[str]
    patient_name: Mapped[str]
    patient_birth_date: Mapped[str]
    patient_sex: Mapped[str]
    header: Mapped[dict[str, Any]]
    """What selection and routing read, by DICOM keyword in snake_case."""

    calling_ae_title: Mapped[str]
    called_ae_title: Mapped[str]
    peer_address: Mapped[str]
    association_id: Mapped[str]
    received_at: Mapped[datetime]
    removed_at: Mapped[datetime | None] = mapped_column(default=None)
    """When retention removed the file; the row stays, so that the instance is known when it comes again."""

    series: Mapped[Series] = relationship(back_populates="instances")


class Revision(Base):
    """A study at one moment when it was taken as complete."""

    __tablename__ = "revision"
    __table_args__ = (UniqueConstraint("study_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    number: Mapped[int]
    settled_at: Mapped[datetime]
    reason: Mapped[SettleReason]
    decided_again_at: Mapped[datetime | None] = mapped_column(default=None)
    """When other decisions took the place of those that were made when it settled."""

    study: Mapped[Study] = relationship(back_populates="revisions")
    decisions: Mapped[list["Decision"]] = relationship(back_populates="revision", order_by="Decision.id")

    @property
    def decided_at(self) -> datetime:
        """When its decisions were made."""
        return self.decided_again_at or self.settled_at


class Decision(Base):
    """Whether a stack of a revision runs through a pipeline, and why."""

    __tablename__ = "decision"

    id: Mapped[int] = mapped_column(primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revision.id"), index=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    stack: Mapped[str]
    """How a person would name the stack."""
    instance_count: Mapped[int]
    rule: Mapped[str]
    pipeline: Mapped[str]
    outcome: Mapped[Outcome]
    code: Mapped[str]
    reason: Mapped[str]
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"), default=None)

    revision: Mapped[Revision] = relationship(back_populates="decisions")
    series: Mapped[Series] = relationship()


class Job(Base):
    """One pipeline on one selection."""

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("study_id", "pipeline", "pipeline_version", "selection_hash"),
        Index(None, "state", "ranks_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    revision_id: Mapped[int] = mapped_column(ForeignKey("revision.id"))
    pipeline: Mapped[str]
    pipeline_version: Mapped[str]
    selection_hash: Mapped[str] = mapped_column(String(64))
    stack: Mapped[str]
    rule: Mapped[str]
    destinations: Mapped[list[str]]
    priority: Mapped[int] = mapped_column(default=0)
    """Higher runs first."""
    ranks_at: Mapped[datetime] = mapped_column(server_default="1970-01-01 00:00:00.000000")
    """Jobs start in this order: by creation, put forward by `engine.priority_ageing_s` for each step of priority."""
    notices: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether a refusal is told to the destinations."""
    refusal: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    """Known before the start: such a job runs nothing and only writes its notice."""
    superseded_by_id: Mapped[int | None] = mapped_column(default=None, index=True)
    """The job of a later revision that took this one's place."""
    predecessors: Mapped[list[dict[str, Any]] | None] = mapped_column(default=None)
    """Delivered reports that this job's report replaces; fixed at the first start, so that a retry writes the same."""
    state: Mapped[JobState]
    created_at: Mapped[datetime]
    not_before: Mapped[datetime | None] = mapped_column(default=None)
    started_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
    device: Mapped[str | None] = mapped_column(default=None)
    attempts: Mapped[int] = mapped_column(default=0)
    """Counted before each start."""
    worker_deaths: Mapped[int] = mapped_column(default=0)
    """Of workers that died at this job while the node lived."""
    code: Mapped[str | None] = mapped_column(default=None)
    message: Mapped[str | None] = mapped_column(default=None)
    """Why it was refused, or how it failed last."""
    timings: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    """Seconds by stage, of the attempt that succeeded."""
    summary: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    """What was found, for people and scripts; the DICOM objects are the result."""

    study: Mapped[Study] = relationship()
    revision: Mapped[Revision] = relationship()
    selection: Mapped[list["JobInstance"]] = relationship(order_by="JobInstance.position")
    results: Mapped[list["Result"]] = relationship(back_populates="job", order_by="Result.position")


class JobInstance(Base):
    """An instance of a job's selection, in order."""

    __tablename__ = "job_instance"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instance.id"), index=True)

    instance: Mapped[Instance] = relationship()


class Result(Base):
    """A DICOM object that a job made; built once, its stored bytes are what is ever sent."""

    __tablename__ = "result"
    __table_args__ = (UniqueConstraint("job_id", "position"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"))
    position: Mapped[int]
    """In the order of sending."""
    kind: Mapped[str] = mapped_column(String(32))
    sop_instance_uid: Mapped[str] = mapped_column(String(64), unique=True)
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    series_instance_uid: Mapped[str] = mapped_column(String(64))
    path: Mapped[str]
    """Relative to the storage folder."""
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    """Of the whole file."""
    device_uid: Mapped[str] = mapped_column(String(64), default="", server_default="", index=True)
    """Of the model that made it; an object that names it and comes back to us is our own."""
    created_at: Mapped[datetime]

    job: Mapped[Job] = relationship(back_populates="results")
    deliveries: Mapped[list["Delivery"]] = relationship(back_populates="result")


class Delivery(Base):
    """One object on its way to one destination."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("result_id", "destination"),
        Index(None, "state", "next_attempt_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("result.id"))
    destination: Mapped[str]
    state: Mapped[DeliveryState]
    attempts: Mapped[int] = mapped_column(default=0)
    refusals: Mapped[int] = mapped_column(default=0, server_default="0")
    """Answers that will not change by themselves; so many are enough, attempts at a dead line are not counted."""
    failing_since: Mapped[datetime | None] = mapped_column(default=None)
    """When the first of the attempts failed that no good one followed."""
    next_attempt_at: Mapped[datetime | None]
    """Pending: when to send; sent or warned: when to ask whether it is committed; None: never."""
    status: Mapped[int | None] = mapped_column(default=None)
    """The last DIMSE status."""
    message: Mapped[str | None] = mapped_column(default=None)
    sent_at: Mapped[datetime | None] = mapped_column(default=None)
    committed_at: Mapped[datetime | None] = mapped_column(default=None)
    transaction_uid: Mapped[str | None] = mapped_column(String(64), default=None, index=True)
    """Of the newest storage commitment request that covers it, or the one that confirmed it."""

    result: Mapped[Result] = relationship(back_populates="deliveries")


class CommitmentTransaction(Base):
    """A storage commitment request about one object, since it was last sent; its report may come late."""

    __tablename__ = "commitment_transaction"

    delivery_id: Mapped[int] = mapped_column(ForeignKey("delivery.id"), primary_key=True)
    transaction_uid: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    deadline: Mapped[datetime]
    """When the peer is asked again, in another transaction."""


class CataloguedStudy(Base):
    """What queries match of a study: its attributes as one of its instances says them, of the patient too."""

    __tablename__ = "catalogued_study"
    __table_args__ = (
        Index(None, "patient_name_alphabetic"),
        Index(None, "patient_name_ideographic"),
        Index(None, "patient_name_phonetic"),
        Index(None, "patient_id", "issuer_of_patient_id"),
        Index(None, "patient_birth_date"),
        Index(None, "study_date"),
        Index(None, "accession_number"),
    )

    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instance.id"))
    """Which says all of this."""
    specific_character_set: Mapped[str]
    """Of the instance; values are separated by backslashes."""
    patient_name: Mapped[str]
    patient_name_alphabetic: Mapped[str]
    """The first component group, folded: names match whatever their case and accents."""
    patient_name_ideographic: Mapped[str]
    patient_name_phonetic: Mapped[str]
    patient_id: Mapped[str]
    issuer_of_patient_id: Mapped[str]
    patient_birth_date: Mapped[str]
    patient_sex: Mapped[str]
    study_date: Mapped[str]
    study_time: Mapped[str]
    accession_number: Mapped[str]
    study_identifier: Mapped[str]
    """Study ID (0020,0010)."""
    study_description: Mapped[str]
    referring_physician_name: Mapped[str]
    referring_physician_name_alphabetic: Mapped[str]

    study: Mapped[Study] = relationship()


class CataloguedSeries(Base):
    """What queries match of a series, received or made here."""

    __tablename__ = "catalogued_series"
    __table_args__ = (UniqueConstraint("study_id", "series_instance_uid"), Index(None, "series_instance_uid"))

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    series_instance_uid: Mapped[str] = mapped_column(String(64))
    instance_id: Mapped[int | None] = mapped_column(ForeignKey("instance.id"))
    """Which says all of this, unless a result does."""
    result_id: Mapped[int | None] = mapped_column(ForeignKey("result.id"))
    series_number: Mapped[int | None]
    modality: Mapped[str]
    series_description: Mapped[str]
    body_part_examined: Mapped[str]
    protocol_name: Mapped[str]
    series_date: Mapped[str]
    series_time: Mapped[str]


class CommitmentRequest(Base):
    """What a peer asked us to keep, in one transaction."""

    __tablename__ = "commitment_request"
    __table_args__ = (UniqueConstraint("calling_ae_title", "transaction_uid"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    transaction_uid: Mapped[str] = mapped_column(String(64))
    association_id: Mapped[str]
    received_at: Mapped[datetime]
    examined: Mapped[bool] = mapped_column(default=False)
    """Whether every object was looked for on disk."""
    failures: Mapped[int] = mapped_column(default=0)
    """Reports in a row that did not arrive."""
    next_attempt_at: Mapped[datetime | None] = mapped_column(index=True)
    """When it is worked on next; None once it was reported, or given up."""

    objects: Mapped[list["CommitmentObject"]] = relationship(order_by="CommitmentObject.position")


class CommitmentObject(Base):
    """An object that a peer asked us to keep."""

    __tablename__ = "commitment_object"

    request_id: Mapped[int] = mapped_column(ForeignKey("commitment_request.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    sop_instance_uid: Mapped[str] = mapped_column(String(64))
    failure_reason: Mapped[int | None] = mapped_column(default=None)
    """Of (0008,1197): why it is not kept, once that is known."""


class Promise(Base):
    """An instance that we told a peer we keep; retention leaves it until another peer keeps it."""

    __tablename__ = "promise"

    instance_id: Mapped[int] = mapped_column(ForeignKey("instance.id"), primary_key=True)
    promised_at: Mapped[datetime]
    transaction_uid: Mapped[str | None] = mapped_column(String(64), default=None, index=True)
    """Of the newest question whether another peer keeps it."""
    ask_at: Mapped[datetime | None] = mapped_column(default=None)
    """When another peer may be asked again."""
    confirmed_at: Mapped[datetime | None] = mapped_column(default=None)
    """When another peer said that it keeps it."""
