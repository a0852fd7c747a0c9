"""Rows that tests of jobs and deliveries begin with."""

from datetime import datetime

from sqlalchemy.orm import Session

from db.models import Study
from db.repository import settling
from db.repository.settling import NewJob
from db.states import SettleReason, StudyState


def new_job(**changes) -> NewJob:
    values = {
        "pipeline": "p",
        "pipeline_version": "1",
        "selection_hash": "a" * 64,
        "stack": "s",
        "rule": "r",
        "destinations": ("one", "two"),
        "priority": 0,
        "ageing_s": 600.0,
        "instance_ids": (),
    }
    return NewJob(**(values | changes))


def settled_study(session: Session, now: datetime, *jobs: NewJob) -> list[int]:
    """Add a study without instances, settled with these jobs; return their ids."""
    session.add(
        Study(
            study_instance_uid="1.2",
            state=StudyState.RECEIVING,
            first_received_at=now,
            last_received_at=now,
            opened_at=now,
        )
    )
    session.flush()
    return settling.settle(session, 1, reason=SettleReason.QUIET, now=now, jobs=jobs, decisions=[])
