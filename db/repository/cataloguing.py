"""The catalogue that queries match: which studies it must read, from which of their instances, and what they said.

Whoever changes what a study holds counts it in `Study.to_catalogue`; the catalogue takes that number back only if
nothing changed while it read the files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.models import CataloguedSeries, CataloguedStudy, Instance, Job, Result, Series, Study
from db.repository.available import received_of
from db.states import InstanceRole


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A file that says something, of a received instance or of a result."""

    instance_id: int | None = None
    result_id: int | None = None
    path: str
    spool_name: str = ""
    """Under which it lay in the spool, and may still."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Uncatalogued:
    """A study that changed, and what is to be read of it."""

    study_id: int
    changes: int
    study: Source | None
    """None where what the catalogue says of it still holds."""
    series: Mapping[str, Source]
    """By Series Instance UID, those that are new or whose instance does not count any more."""


def uncatalogued(session: Session, *, limit: int) -> list[Uncatalogued]:
    """Return studies that changed since the catalogue read them."""
    changed = (
        select(Study.id, Study.to_catalogue).where(Study.to_catalogue > 0).order_by(Study.to_catalogue).limit(limit)
    )
    return [_to_read(session, study_id, changes) for study_id, changes in session.execute(changed).all()]


def _to_read(session: Session, study_id: int, changes: int) -> Uncatalogued:
    received, made = _received(session, study_id), _made(session, study_id)
    by_series = {uid: min(ids.values()) for uid, ids in received.items()}
    current = [ids[InstanceRole.CURRENT] for ids in received.values() if InstanceRole.CURRENT in ids]
    speaks = min(current or by_series.values(), default=None)
    known = session.get(CataloguedStudy, study_id)
    rows = session.scalars(select(CataloguedSeries).where(CataloguedSeries.study_id == study_id))
    known_series = {row.series_instance_uid: (row.instance_id, row.result_id) for row in rows}
    series = {uid: _instance(session, i) for uid, i in by_series.items() if known_series.get(uid) != (i, None)}
    for uid, result_id in made.items():
        if uid not in by_series and known_series.get(uid) != (None, result_id):
            series[uid] = _result(session, result_id)
    is_known = speaks is None or (known is not None and known.instance_id == speaks)
    return Uncatalogued(
        study_id=study_id,
        changes=changes,
        study=None if is_known or speaks is None else _instance(session, speaks),
        series=series,
    )


def _received(session: Session, study_id: int) -> dict[str, dict[InstanceRole, int]]:
    """Return the oldest instance of each series and role."""
    oldest = (
        received_of(study_id)
        .with_only_columns(Series.series_instance_uid, Instance.role, func.min(Instance.id))
        .group_by(Series.id, Instance.role)
    )
    found: dict[str, dict[InstanceRole, int]] = {}
    for series_instance_uid, role, instance_id in session.execute(oldest):
        found.setdefault(series_instance_uid, {})[role] = instance_id
    return found


def _made(session: Session, study_id: int) -> dict[str, int]:
    """Return the first result of each series, of a held study too: it will be handed out when that is resolved."""
    first = (
        select(Result.series_instance_uid, func.min(Result.id))
        .join(Job, Result.job_id == Job.id)
        .where(Job.study_id == study_id)
        .group_by(Result.series_instance_uid)
    )
    return dict(session.execute(first).all())


def _instance(session: Session, instance_id: int) -> Source:
    path, spool_name = session.execute(
        select(Instance.path, Instance.spool_name).where(Instance.id == instance_id)
    ).one()
    return Source(instance_id=instance_id, path=path, spool_name=spool_name)


def _result(session: Session, result_id: int) -> Source:
    path = session.execute(select(Result.path).where(Result.id == result_id)).scalar_one()
    return Source(result_id=result_id, path=path)


def record(
    session: Session,
    read: Uncatalogued,
    *,
    study: Mapping[str, Any] | None,
    series: Mapping[str, Mapping[str, Any]],
) -> None:
    """Put into the catalogue what the files said.

    Parameters
    ----------
    session : Session
        Writing.
    read : Uncatalogued
        What was to be read.
    study : mapping or None
        Columns of `CataloguedStudy` that its source said.
    series : mapping
        Columns of `CataloguedSeries`, by Series Instance UID.
    """
    if read.study is not None and study is not None:
        session.merge(CataloguedStudy(study_id=read.study_id, instance_id=read.study.instance_id, **study))
    rows = session.scalars(
        select(CataloguedSeries).where(
            CataloguedSeries.study_id == read.study_id, CataloguedSeries.series_instance_uid.in_(list(series))
        )
    )
    known = {row.series_instance_uid: row.id for row in rows}
    for uid, columns in series.items():
        source = read.series[uid]
        session.merge(
            CataloguedSeries(
                id=known.get(uid),
                study_id=read.study_id,
                series_instance_uid=uid,
                instance_id=source.instance_id,
                result_id=source.result_id,
                **columns,
            )
        )
    done = update(Study).where(Study.id == read.study_id, Study.to_catalogue == read.changes)
    session.execute(done.values(to_catalogue=0))


def changed(session: Session, study_ids: Sequence[int]) -> None:
    """Note that studies hold something else now."""
    session.execute(update(Study).where(Study.id.in_(study_ids)).values(to_catalogue=Study.to_catalogue + 1))
