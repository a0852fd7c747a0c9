"""Attributes that queries are about: how each is matched, where the database has it, what is counted.

References
----------
PS3.4 C.6.1.1, C.6.2.1 Query/Retrieve Information Models: attributes by level.
"""

from collections.abc import Collection, Mapping
from enum import IntEnum

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import aliased

from db.models import CataloguedSeries, CataloguedStudy, Instance, Result, Study
from db.repository.matching import Matches, date, literal, name, number, text, time


class Level(IntEnum):
    """What a query is about; each level has the attributes of those before it."""

    PATIENT = 0
    STUDY = 1
    SERIES = 2
    IMAGE = 3


_study, _series, _any_series = CataloguedStudy, CataloguedSeries, aliased(CataloguedSeries)
MATCHED: Mapping[Level, Mapping[str, Matches]] = {
    Level.PATIENT: {
        "PatientName": name(
            _study.patient_name_alphabetic, _study.patient_name_ideographic, _study.patient_name_phonetic
        ),
        "PatientID": text(_study.patient_id),
        "IssuerOfPatientID": text(_study.issuer_of_patient_id),
        "PatientBirthDate": date(_study.patient_birth_date),
        "PatientSex": text(_study.patient_sex),
    },
    Level.STUDY: {
        "StudyInstanceUID": literal(Study.study_instance_uid),
        "StudyDate": date(_study.study_date),
        "StudyTime": time(_study.study_time),
        "AccessionNumber": text(_study.accession_number),
        "StudyID": text(_study.study_identifier),
        "StudyDescription": text(_study.study_description),
        "ReferringPhysicianName": name(_study.referring_physician_name_alphabetic),
        "ModalitiesInStudy": lambda values: _has_series(text(_any_series.modality)(values)),
    },
    Level.SERIES: {
        "SeriesInstanceUID": literal(_series.series_instance_uid),
        "Modality": text(_series.modality),
        "SeriesNumber": number(_series.series_number),
        "SeriesDescription": text(_series.series_description),
        "BodyPartExamined": text(_series.body_part_examined),
        "ProtocolName": text(_series.protocol_name),
        "SeriesDate": date(_series.series_date),
        "SeriesTime": time(_series.series_time),
    },
    Level.IMAGE: {
        "SOPInstanceUID": literal(Instance.sop_instance_uid),
        "SOPClassUID": literal(Instance.sop_class_uid),
        "InstanceNumber": number(Instance.header["instance_number"].as_integer()),
    },
}
"""Keys that are matched, and how, by the level that they are of."""
OF_RESULTS: Mapping[str, Matches] = {
    "SOPInstanceUID": literal(Result.sop_instance_uid),
    "SOPClassUID": literal(Result.sop_class_uid),
}
"""Those of our own results, of which the database knows no more."""
COMPUTED: Mapping[str, Level] = {
    "NumberOfPatientRelatedStudies": Level.PATIENT,
    "NumberOfPatientRelatedSeries": Level.PATIENT,
    "NumberOfPatientRelatedInstances": Level.PATIENT,
    "ModalitiesInStudy": Level.STUDY,
    "SOPClassesInStudy": Level.STUDY,
    "NumberOfStudyRelatedSeries": Level.STUDY,
    "NumberOfStudyRelatedInstances": Level.STUDY,
    "NumberOfSeriesRelatedInstances": Level.SERIES,
}
"""What is counted for each answer, by its level."""

PATIENT_COLUMNS = {
    "PatientName": _study.patient_name,
    "PatientID": _study.patient_id,
    "IssuerOfPatientID": _study.issuer_of_patient_id,
    "PatientBirthDate": _study.patient_birth_date,
    "PatientSex": _study.patient_sex,
}
STUDY_COLUMNS = {
    **PATIENT_COLUMNS,
    "StudyInstanceUID": Study.study_instance_uid,
    "StudyDate": _study.study_date,
    "StudyTime": _study.study_time,
    "AccessionNumber": _study.accession_number,
    "StudyID": _study.study_identifier,
    "StudyDescription": _study.study_description,
    "ReferringPhysicianName": _study.referring_physician_name,
}
SERIES_COLUMNS = {
    **STUDY_COLUMNS,
    "SeriesInstanceUID": _series.series_instance_uid,
    "Modality": _series.modality,
    "SeriesNumber": _series.series_number,
    "SeriesDescription": _series.series_description,
    "BodyPartExamined": _series.body_part_examined,
    "ProtocolName": _series.protocol_name,
    "SeriesDate": _series.series_date,
    "SeriesTime": _series.series_time,
}
IMAGE_COLUMNS = {
    **SERIES_COLUMNS,
    "SOPInstanceUID": Instance.sop_instance_uid,
    "SOPClassUID": Instance.sop_class_uid,
}
RESULT_COLUMNS = {
    **SERIES_COLUMNS,
    "SOPInstanceUID": Result.sop_instance_uid,
    "SOPClassUID": Result.sop_class_uid,
}
RETURNED: Mapping[Level, Collection[str]] = {
    Level.PATIENT: frozenset(PATIENT_COLUMNS),
    Level.STUDY: frozenset(STUDY_COLUMNS),
    Level.SERIES: frozenset(SERIES_COLUMNS),
    Level.IMAGE: frozenset(IMAGE_COLUMNS),
}
"""What the database says of an answer without counting."""
FROM_HEADER = {
    "InstanceNumber": "instance_number",
    "Rows": "rows",
    "Columns": "columns",
    "NumberOfFrames": "number_of_frames",
}
"""Of images, which need not be read from their files."""


def _has_series(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return select(_any_series.id).where(_any_series.study_id == _study.study_id, condition).exists()
