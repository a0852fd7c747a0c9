"""What is handed out to whoever may query and retrieve: the images that count, and the results made of them.

Images of a held study are handed out, as nothing is wrong with any of them; its results are not, as they are not
delivered either. Of an instance that came several times the current receipt counts; an image that a person excluded
from its study, or that contradicts another, is kept and not handed out. Results that a later revision replaced are not
handed out. A result of ours that came back counts where its own file is not known any more.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.models import CataloguedStudy, Instance, Job, Result, Series, Study
from db.states import InstanceRole

_UIDS_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """A file that can be sent."""

    sop_instance_uid: str
    path: str
    """Relative to the storage folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Unique keys of what to retrieve; an empty one does not matter, but one must not be empty.

    Attributes
    ----------
    patient_ids, study_instance_uids, series_instance_uids, sop_instance_uids : sequence of str
        Lists, of which each object meets one of each.
    """

    patient_ids: Sequence[str] = ()
    study_instance_uids: Sequence[str] = ()
    series_instance_uids: Sequence[str] = ()
    sop_instance_uids: Sequence[str] = ()


def received() -> ColumnElement[bool]:
    """Return what holds of rows of `Instance` that are handed out."""
    newer, result = aliased(Instance), aliased(Result)
    made_here = select(result.id).where(result.sop_instance_uid == Instance.sop_instance_uid)
    came_again = select(newer.id).where(
        newer.sop_instance_uid == Instance.sop_instance_uid,
        newer.role == InstanceRole.OWN_RESULT,
        newer.removed_at.is_(None),
        newer.id > Instance.id,
    )
    own_result = and_(Instance.role == InstanceRole.OWN_RESULT, ~made_here.exists(), ~came_again.exists())
    return and_(Instance.removed_at.is_(None), or_(Instance.role == InstanceRole.CURRENT, own_result))


def made() -> ColumnElement[bool]:
    """Return what holds of rows of `Result`, joined with their `Job`, that are handed out."""
    study = aliased(Study)
    held = select(study.id).where(study.id == Job.study_id, study.hold_reason.is_not(None))
    # Not as it would be looked up: nearly all jobs have no successor, and one study has few.
    no_successor = func.coalesce(Job.superseded_by_id, 0) == 0
    return and_(no_successor, ~held.exists())


def received_of(study_id: ColumnElement[int] | InstrumentedAttribute[int] | int) -> Select[int]:
    """Select the ids of a study's images."""
    return (
        select(Instance.id).join(Series, Instance.series_id == Series.id).where(Series.study_id == study_id, received())
    )


def made_of(study_id: ColumnElement[int] | InstrumentedAttribute[int] | int) -> Select[int]:
    """Select the ids of a study's results."""
    return select(Result.id).join(Job, Result.job_id == Job.id).where(Job.study_id == study_id, made())


def series_of(session: Session, study_ids: Collection[int]) -> dict[int, Counter[str]]:
    """Count the objects of each study by Series Instance UID."""
    images = (
        select(Series.study_id, Series.series_instance_uid, func.count())
        .join(Instance, Instance.series_id == Series.id)
        .where(Series.study_id.in_(study_ids), received())
        .group_by(Series.id)
    )
    results = (
        select(Job.study_id, Result.series_instance_uid, func.count())
        .join(Result, Result.job_id == Job.id)
        .where(Job.study_id.in_(study_ids), made())
        .group_by(Job.study_id, Result.series_instance_uid)
    )
    found: dict[int, Counter[str]] = {study_id: Counter() for study_id in study_ids}
    for query in (images, results):
        for study_id, series_instance_uid, number in session.execute(query):
            found[study_id][series_instance_uid] += number
    return found


def sop_classes_of(session: Session, study_id: int) -> list[str]:
    """Return the SOP classes of a study's objects."""
    images = received_of(study_id).with_only_columns(Instance.sop_class_uid).distinct()
    results = made_of(study_id).with_only_columns(Result.sop_class_uid).distinct()
    return sorted({*session.scalars(images), *session.scalars(results)})


def objects(session: Session, wanted: Wanted, *, limit: int) -> list[StoredObject]:
    """Return the files to send, images before results, so many at most."""
    found: dict[str, StoredObject] = {}
    for part in _parts(wanted):
        for query in (_images(part), _results(part)):
            for sop_instance_uid, path in session.execute(query.limit(limit - len(found))):
                found[sop_instance_uid] = StoredObject(sop_instance_uid=sop_instance_uid, path=path)
            if len(found) >= limit:
                return list(found.values())
    return list(found.values())


def _parts(wanted: Wanted) -> Iterator[Wanted]:
    """Divide a long list of instances: a statement takes so many parameters."""
    uids = wanted.sop_instance_uids
    if len(uids) <= _UIDS_AT_ONCE:
        yield wanted
        return
    for first in range(0, len(uids), _UIDS_AT_ONCE):
        yield Wanted(
            patient_ids=wanted.patient_ids,
            study_instance_uids=wanted.study_instance_uids,
            series_instance_uids=wanted.series_instance_uids,
            sop_instance_uids=uids[first : first + _UIDS_AT_ONCE],
        )


def _images(wanted: Wanted) -> Select[str, str]:
    query = (
        select(Instance.sop_instance_uid, Instance.path)
        .join(Series, Instance.series_id == Series.id)
        .join(Study, Series.study_id == Study.id)
        .where(received(), *_of_studies(wanted))
        .order_by(Instance.series_id, Instance.id)
    )
    if wanted.series_instance_uids:
        query = query.where(Series.series_instance_uid.in_(wanted.series_instance_uids))
    if wanted.sop_instance_uids:
        query = query.where(Instance.sop_instance_uid.in_(wanted.sop_instance_uids))
    return query


def _results(wanted: Wanted) -> Select[str, str]:
    query = (
        select(Result.sop_instance_uid, Result.path)
        .join(Job, Result.job_id == Job.id)
        .join(Study, Job.study_id == Study.id)
        .where(made(), *_of_studies(wanted))
        .order_by(Result.id)
    )
    if wanted.series_instance_uids:
        query = query.where(Result.series_instance_uid.in_(wanted.series_instance_uids))
    if wanted.sop_instance_uids:
        query = query.where(Result.sop_instance_uid.in_(wanted.sop_instance_uids))
    return query


def _of_studies(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    if wanted.patient_ids:
        of_patient = select(CataloguedStudy.study_id).where(CataloguedStudy.patient_id.in_(wanted.patient_ids))
        yield Study.id.in_(of_patient)
    if wanted.study_instance_uids:
        yield Study.study_instance_uid.in_(wanted.study_instance_uids)
