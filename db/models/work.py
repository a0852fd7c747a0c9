"""The jobs that ran, what came out of them, and where it went."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base
from db.models.received import Instance, Revision, Study
from db.states import DeliveryState, JobState


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
