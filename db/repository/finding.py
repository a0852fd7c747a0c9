"""Studies, series and objects that match a query, a page at a time.

Each page is a transaction of its own and begins where the last one ended: however slowly a peer takes the answers,
no snapshot is kept from being overwritten, and no more than a page is in memory.

References
----------
PS3.4 C.4.1 C-FIND SOP Classes.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from db.models import CataloguedSeries, CataloguedStudy, Instance, Job, Result, Series, Study
from db.repository import available
from db.repository.query_keys import (
    COMPUTED,
    FROM_HEADER,
    IMAGE_COLUMNS,
    PATIENT_COLUMNS,
    RESULT_COLUMNS,
    SERIES_COLUMNS,
    STUDY_COLUMNS,
    Level,
)
from db.session import Database

_FIRST_PAGE, _PAGE = 4, 128
Values = Mapping[str, Any]
"""By DICOM keyword: texts, numbers, or lists of texts; None where there is none."""
_Id = ColumnElement[int] | InstrumentedAttribute[int]


_study, _series = CataloguedStudy, CataloguedSeries


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is looked for.

    Attributes
    ----------
    level : Level
        Of the answers.
    criteria : tuple of conditions
        As `MATCHED` makes them.
    result_criteria : tuple of conditions
        At the level of images, those for our own results instead.
    computed : collection of str
        Keywords of `COMPUTED`, of the level or one above, that are wanted.
    """

    level: Level
    criteria: tuple[ColumnElement[bool], ...] = ()
    result_criteria: tuple[ColumnElement[bool], ...] = ()
    computed: Collection[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One match."""

    values: Values
    study_id: int
    specific_character_set: str
    series_instance_uid: str = ""
    path: str = ""
    """Of an object; relative to the storage folder."""
    computed: Values = field(default_factory=dict)


def find(database: Database, question: Question) -> Iterator[Found]:
    """Yield what matches: patients and studies newest first, series and objects in the order of receipt.

    Parameters
    ----------
    database : Database
        With the catalogue.
    question : Question
        What is looked for.
    """
    for query, position in _QUERIES[question.level](question):
        yield from _pages(database, question, query, position)


def representative(session: Session, found: Found) -> str | None:
    """Return the path of a file that says more of a patient, study or series; None if all are gone."""
    if found.path:
        return found.path
    images = available.received_of(found.study_id).with_only_columns(Instance.path)
    results = available.made_of(found.study_id).with_only_columns(Result.path)
    if found.series_instance_uid:
        images = images.where(Series.series_instance_uid == found.series_instance_uid)
        results = results.where(Result.series_instance_uid == found.series_instance_uid)
    return session.scalar(images.limit(1)) or session.scalar(results.limit(1))


def _pages(database: Database, question: Question, query: Select[Any], position: _Id) -> Iterator[Found]:
    newest_first = question.level <= Level.STUDY
    query = query.order_by(position.desc() if newest_first else position)
    last, size = None, _FIRST_PAGE
    while True:
        page = query.limit(size)
        if last is not None:
            page = page.where(position < last if newest_first else position > last)
        with database.read() as session:
            rows = session.execute(page).all()
            counts = _Counts.of(session, rows) if question.computed else None
            found = [_found(session, row, question, counts) for row in rows]
        yield from found
        if len(rows) < size:
            return
        last, size = rows[-1].position, _PAGE


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counts:
    """What the answers of a page are counted from, by study."""

    objects: Mapping[int, Counter[str]]
    """Numbers by Series Instance UID."""
    modalities: Mapping[int, set[str]]

    @classmethod
    def of(cls, session: Session, rows: Sequence[Row[Any]]) -> "_Counts":
        studies = {row.study_id for row in rows}
        objects = available.series_of(session, studies)
        modalities: dict[int, set[str]] = {study_id: set() for study_id in studies}
        series = select(_series.study_id, _series.series_instance_uid, _series.modality)
        for study_id, uid, modality in session.execute(series.where(_series.study_id.in_(studies))):
            if modality and uid in objects[study_id]:
                modalities[study_id].add(modality)
        return cls(objects=objects, modalities=modalities)


def _found(session: Session, row: Row[Any], question: Question, counts: _Counts | None) -> Found:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name of it
    study_id, character_set = values.pop("study_id"), values.pop("specific_character_set")
    path = values.pop("path", "")
    values.pop("position")
    series = values.get("SeriesInstanceUID", "")
    return Found(
        values=values,
        study_id=study_id,
        specific_character_set=character_set,
        series_instance_uid=series,
        path=path,
        computed=_computed(session, study_id, series, question.computed, counts) if counts else {},
    )


def _computed(
    session: Session, study_id: int, series_instance_uid: str, wanted: Collection[str], counts: _Counts
) -> Values:
    """Return what is wanted of one answer."""
    objects = counts.objects[study_id]
    values: dict[str, Any] = {
        "NumberOfSeriesRelatedInstances": objects[series_instance_uid],
        "NumberOfStudyRelatedSeries": len(objects),
        "NumberOfStudyRelatedInstances": objects.total(),
        "ModalitiesInStudy": sorted(counts.modalities[study_id]),
    }
    if "SOPClassesInStudy" in wanted:
        values["SOPClassesInStudy"] = available.sop_classes_of(session, study_id)
    if any(COMPUTED[keyword] is Level.PATIENT for keyword in wanted):
        values |= _of_patient(session, study_id)
    return {keyword: values[keyword] for keyword in wanted}


def _of_patient(session: Session, study_id: int) -> dict[str, int]:
    other, this = aliased(_study), aliased(_study)
    rows = select(other.study_id).join(this, _same_patient(this, other)).where(this.study_id == study_id)
    objects = available.series_of(session, session.scalars(rows).all())
    studies = [of_study for of_study in objects.values() if of_study]
    return {
        "NumberOfPatientRelatedStudies": len(studies),
        "NumberOfPatientRelatedSeries": sum(map(len, studies)),
        "NumberOfPatientRelatedInstances": sum(of_study.total() for of_study in studies),
    }


def _same_patient(one: type[CataloguedStudy], other: type[CataloguedStudy]) -> ColumnElement[bool]:
    """Return what holds of two studies of a patient; without an ID, a name is what there is."""
    return and_(
        one.patient_id == other.patient_id,
        one.issuer_of_patient_id == other.issuer_of_patient_id,
        or_(one.patient_id != "", one.patient_name == other.patient_name),
    )


def _has_objects(study_id: _Id) -> ColumnElement[bool]:
    return or_(available.received_of(study_id).exists(), available.made_of(study_id).exists())


def _series_has_objects() -> ColumnElement[bool]:
    images = available.received_of(_series.study_id).where(Series.series_instance_uid == _series.series_instance_uid)
    results = available.made_of(_series.study_id).where(Result.series_instance_uid == _series.series_instance_uid)
    return or_(images.correlate(_series).exists(), results.correlate(_series).exists())


Parts = Iterator[tuple[Select[Any], _Id]]


def _columns(columns: Mapping[str, Any], position: _Id) -> Select[Any]:
    labelled = [column.label(keyword) for keyword, column in columns.items()]
    return select(*labelled, _study.study_id, _study.specific_character_set, position.label("position")).join_from(
        _study, Study, Study.id == _study.study_id
    )


def _patients(question: Question) -> Parts:
    """Find patients by their newest study that has objects."""
    newer = aliased(_study)
    has_newer = select(newer.study_id).where(
        _same_patient(newer, _study), newer.study_id > _study.study_id, _has_objects(newer.study_id)
    )
    query = _columns(PATIENT_COLUMNS, _study.study_id).where(*question.criteria)
    yield query.where(_has_objects(_study.study_id), ~has_newer.correlate(_study).exists()), _study.study_id


def _studies(question: Question) -> Parts:
    query = _columns(STUDY_COLUMNS, _study.study_id).where(*question.criteria)
    yield query.where(_has_objects(_study.study_id)), _study.study_id


def _all_series(question: Question) -> Parts:
    query = _columns(SERIES_COLUMNS, _series.id).join(_series, _series.study_id == _study.study_id)
    yield query.where(*question.criteria, _series_has_objects()), _series.id


def _images(question: Question) -> Parts:
    """Find images, then results."""
    query = _columns(IMAGE_COLUMNS, Instance.id).add_columns(
        Instance.path,
        *(Instance.header[key].as_integer().label(keyword) for keyword, key in FROM_HEADER.items()),
    )
    query = query.join(Series, Series.study_id == Study.id).join(Instance, Instance.series_id == Series.id)
    yield _with_series(query, Series.series_instance_uid).where(*question.criteria, available.received()), Instance.id
    query = _columns(RESULT_COLUMNS, Result.id).add_columns(Result.path)
    query = query.join(Job, Job.study_id == Study.id).join(Result, Result.job_id == Job.id)
    yield (
        _with_series(query, Result.series_instance_uid).where(*question.result_criteria, available.made()),
        Result.id,
    )


def _with_series(query: Select[Any], series_instance_uid: Any) -> Select[Any]:  # noqa: ANN401 - a column of either table
    return query.join(_series, and_(_series.study_id == Study.id, _series.series_instance_uid == series_instance_uid))


_QUERIES: Mapping[Level, Callable[[Question], Parts]] = {
    Level.PATIENT: _patients,
    Level.STUDY: _studies,
    Level.SERIES: _all_series,
    Level.IMAGE: _images,
}
