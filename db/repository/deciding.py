"""Settled studies that are decided again at their revision, because a person mended the rules."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from db.models import Decision, Instance, Revision, Series, Study
from db.repository import settling
from db.repository.settling import NewDecision, NewJob
from db.states import InstanceRole, Outcome, StudyState


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """What was decided about the newest revision of a study.

    Attributes
    ----------
    at : datetime
        When.
    runs : frozenset of tuple
        Series id, stack and pipeline of what was to run.
    """

    at: datetime
    runs: frozenset[tuple[int, str, str]]


def why_not(session: Session, study_instance_uid: str) -> str | None:
    """Say what keeps a study from being decided again; None if nothing does."""
    study = settling.find(session, study_instance_uid)
    if study is None:
        return "there is no such study"
    if study.state is StudyState.HELD:
        return f"it is held and stays so until `opacity-node resolve {study_instance_uid}`, which decides anew"
    if study.state is StudyState.RECEIVING:
        return "it is being received, and will be decided by the rules of then when it is complete"
    current = (
        select(func.count(), func.count(Instance.removed_at))
        .join(Series)
        .where(Series.study_id == study.id, Instance.role == InstanceRole.CURRENT)
    )
    images, removed = session.execute(current).one()
    if not images:
        return "it has no images"
    return "its images are gone (retention); send the study again" if images == removed else None


def ask(session: Session, study_instance_uid: str) -> None:
    """Have the node decide a study again; until it has, what was decided stands."""
    study = settling.find(session, study_instance_uid)
    if study is not None:
        study.decide_again = True


def decided(session: Session, study: Study) -> Decided | None:
    """Return what was decided about the newest revision of a study; None before its first."""
    revision = _revision(session, study)
    if revision is None:
        return None
    return Decided(
        at=revision.decided_at,
        runs=frozenset((d.series_id, d.stack, d.pipeline) for d in revision.decisions if d.outcome is Outcome.RUN),
    )


def decide_again(
    session: Session,
    study_id: int,
    *,
    now: datetime,
    jobs: Sequence[NewJob],
    decisions: Sequence[NewDecision],
    rejected: Collection[str] = frozenset(),
) -> list[int]:
    """Put other decisions and their jobs in the place of those of the newest revision, in the caller's transaction.

    What the study has already, with the same pipeline, version and selection, is not queued again.

    Returns
    -------
    list of int
        Ids of the jobs that are new.
    """
    study = session.get_one(Study, study_id)
    study.decide_again = False
    revision = _revision(session, study)
    if revision is None:
        return []
    revision.decided_again_at = now
    session.execute(delete(Decision).where(Decision.revision_id == revision.id))
    return settling.carry_out(session, revision, now=now, jobs=jobs, decisions=decisions, rejected=rejected)


def _revision(session: Session, study: Study) -> Revision | None:
    return session.scalar(
        select(Revision).where(Revision.study_id == study.id, Revision.number == study.revision_number)
    )
