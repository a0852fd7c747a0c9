"""Studies as received, and what was decided about them.

Patient attributes are columns of the instance and never keys: two instances of one study may disagree about them.

References
----------
PS3.3 C.7 for the attributes.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base
from db.states import HoldReason, InstanceRole, Outcome, SettleReason, StudyState


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
