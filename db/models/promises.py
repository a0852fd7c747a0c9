"""What peers asked us to keep, and what we promised them.

References
----------
PS3.4 J Storage Commitment Service Class.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base


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
