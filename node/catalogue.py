"""Rows -> the catalogue that queries match: a stage that reads one file of each new series.

Runs whether or not anybody may query, so that whoever is allowed to finds everything at once.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydicom.dataset import Dataset

from db.files import Storage
from db.repository import cataloguing
from db.repository.cataloguing import Source, Uncatalogued
from db.repository.matching import name_groups
from db.session import Database
from handlers.head import read_head
from node.attributes import text_of, texts_of, whole_number_of

logger = logging.getLogger(__name__)

_STUDIES_A_STEP = 20
_STUDY_TEXTS = {
    "PatientID": "patient_id",
    "IssuerOfPatientID": "issuer_of_patient_id",
    "PatientBirthDate": "patient_birth_date",
    "PatientSex": "patient_sex",
    "StudyDate": "study_date",
    "StudyTime": "study_time",
    "AccessionNumber": "accession_number",
    "StudyID": "study_identifier",
    "StudyDescription": "study_description",
}
_NAMES = ("PatientName", "ReferringPhysicianName")
_STUDY_KEYWORDS = ("SpecificCharacterSet", *_NAMES, *_STUDY_TEXTS)
_SERIES_TEXTS = {
    "Modality": "modality",
    "SeriesDescription": "series_description",
    "BodyPartExamined": "body_part_examined",
    "ProtocolName": "protocol_name",
    "SeriesDate": "series_date",
    "SeriesTime": "series_time",
}
_SERIES_KEYWORDS = ("SpecificCharacterSet", "SeriesNumber", *_SERIES_TEXTS)


class Catalogue:
    """Brings the catalogue up to date.

    Parameters
    ----------
    storage : Storage
        Whose archive and results.
    database : Database
        Knows what changed.
    """

    def __init__(self, *, storage: Storage, database: Database) -> None:
        self._storage = storage
        self._database = database

    def run(self) -> datetime | None:
        """Catalogue a few studies.

        Returns
        -------
        datetime or None
            Now, while there are more.
        """
        with self._database.read() as session:
            waiting = cataloguing.uncatalogued(session, limit=_STUDIES_A_STEP)
        for uncatalogued in waiting:
            self._catalogue(uncatalogued)
        return datetime.now(UTC) if len(waiting) == _STUDIES_A_STEP else None

    def _catalogue(self, uncatalogued: Uncatalogued) -> None:
        study = self._read(uncatalogued.study, _STUDY_KEYWORDS) if uncatalogued.study else None
        series = {uid: self._read(source, _SERIES_KEYWORDS) for uid, source in uncatalogued.series.items()}
        with self._database.write() as session:
            cataloguing.record(
                session,
                uncatalogued,
                study=_study_columns(study) if study is not None else None,
                series={uid: _series_columns(head) for uid, head in series.items()},
            )

    def _read(self, source: Source, keywords: tuple[str, ...]) -> Dataset:
        """Read a file, which may be on its way from the spool to the archive.

        One that cannot be read says nothing: it would hold up all others.
        """
        archived = self._storage.root / source.path
        places = (archived, self._storage.spool / source.spool_name, archived) if source.spool_name else (archived,)
        failure: Exception | None = None
        for place in places:
            try:
                return read_head(place, keywords)
            except FileNotFoundError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - pydicom raises anything; no other place has another file
                failure = error
                break
        logger.warning(
            "%s cannot be catalogued (%s)", source.path, type(failure).__name__, extra={"action": "catalogue"}
        )
        return Dataset()


def _study_columns(head: Dataset) -> Mapping[str, Any]:
    alphabetic, ideographic, phonetic = name_groups(text_of(head, "PatientName"))
    return {column: _joined(head, keyword) for keyword, column in _STUDY_TEXTS.items()} | {
        "specific_character_set": _joined(head, "SpecificCharacterSet"),
        "patient_name": text_of(head, "PatientName"),
        "patient_name_alphabetic": alphabetic,
        "patient_name_ideographic": ideographic,
        "patient_name_phonetic": phonetic,
        "referring_physician_name": text_of(head, "ReferringPhysicianName"),
        "referring_physician_name_alphabetic": name_groups(text_of(head, "ReferringPhysicianName"))[0],
    }


def _series_columns(head: Dataset) -> Mapping[str, Any]:
    texts = {column: _joined(head, keyword) for keyword, column in _SERIES_TEXTS.items()}
    return texts | {"series_number": whole_number_of(head, "SeriesNumber")}


def _joined(head: Dataset, keyword: str) -> str:
    return "\\".join(texts_of(head, keyword))
