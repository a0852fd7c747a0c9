"""Rows that a database made anew begins with."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from db.models import Study
from db.states import HoldReason, StudyState


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveredStudy:
    """A study whose results lie on disk, perhaps delivered; and when its first and last instance came."""

    study_instance_uid: str
    first_received_at: datetime
    last_received_at: datetime


def hold(session: Session, studies: Sequence[DeliveredStudy]) -> None:
    """Hold studies before any instance of theirs is known, so that none of them can run unseen."""
    session.add_all(
        Study(
            study_instance_uid=study.study_instance_uid,
            state=StudyState.HELD,
            hold_reason=HoldReason.DATABASE_REBUILT,
            hold_message="the database was lost and made anew; this study had results, which may have been delivered, "
            "and running it again sends others",
            first_received_at=study.first_received_at,
            last_received_at=study.last_received_at,
            opened_at=study.first_received_at,
        )
        for study in studies
    )
