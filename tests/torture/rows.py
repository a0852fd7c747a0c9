"""Looks into the database of a running node, and lets go of it each time: a kill must find no one else at it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from db.files import Storage
from db.models import Delivery, Job, Study
from db.session import Database
from db.states import DeliveryState, JobState, StudyState

_WAITING: tuple[ColumnElement[bool], ...] = (
    Study.state == StudyState.RECEIVING,
    Job.state.in_([JobState.QUEUED, JobState.RUNNING]),
    (Job.state == JobState.FAILED) & Job.not_before.is_not(None),
    Delivery.state == DeliveryState.PENDING,
)


@contextmanager
def reading(storage: Storage) -> Iterator[Session]:
    """Open a transaction that reads."""
    database = Database(f"sqlite:///{storage.database}")
    try:
        with database.read() as session:
            yield session
    finally:
        database.close()


def waiting(storage: Storage) -> int:
    """Return how many studies, jobs and deliveries will go on by themselves."""
    with reading(storage) as session:
        return sum(session.scalar(select(func.count()).where(condition)) or 0 for condition in _WAITING)


def worker_deaths(storage: Storage, job: int) -> int:
    """Return how often a worker died at a job while the node lived."""
    with reading(storage) as session:
        return session.scalars(select(Job.worker_deaths).where(Job.id == job)).one()
