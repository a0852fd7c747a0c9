"""The identifier of a query or retrieval: what a peer asks for.

References
----------
PS3.4 C.4.1.1.3 C-FIND identifier, C.4.2.1.4 C-MOVE identifier, C.6 SOP classes; PS3.5 6.2 value representations.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from db.repository.available import Wanted
from db.repository.matching import is_universal
from db.repository.query_keys import Level

PATIENT_ROOT, STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.1", "1.2.840.10008.5.1.4.1.2.2"
FIND, MOVE, GET = ".1", ".2", ".3"
"""What follows a root in the UIDs of its SOP classes."""
SOP_CLASSES = tuple(root + service for root in (PATIENT_ROOT, STUDY_ROOT) for service in (FIND, MOVE, GET))
_UNIQUE_KEYS = {
    Level.PATIENT: "PatientID",
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.IMAGE: "SOPInstanceUID",
}
_NO_KEYS = frozenset({"SpecificCharacterSet", "QueryRetrieveLevel", "QueryRetrieveView", "TimezoneOffsetFromUTC"})


class InvalidIdentifierError(Exception):
    """The identifier says what the SOP class does not allow, or cannot be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identifier:
    """What a peer asks for.

    Attributes
    ----------
    level : Level
        Of what it wants.
    keys : mapping
        Values that are to be matched, by keyword; none for those that match everything.
    asked : tuple of BaseTag
        Of all keys.
    character_set : tuple of str
        That the peer writes in, and therefore reads.
    """

    level: Level
    keys: Mapping[str, tuple[str, ...]]
    asked: tuple[BaseTag, ...]
    character_set: tuple[str, ...]

    @classmethod
    def read(cls, dataset: Dataset, sop_class_uid: str) -> "Identifier":
        """Read the identifier of a request.

        Raises
        ------
        InvalidIdentifierError
            If it cannot be used.
        """
        try:
            level = _level(str(dataset.get("QueryRetrieveLevel", "")), sop_class_uid)
            keys = {e.keyword or str(e.tag): tuple(_values(e)) for e in dataset if _is_key(e)}
            character_set = tuple(_texts(dataset.get("SpecificCharacterSet")))
        except InvalidIdentifierError:
            raise
        except Exception as error:  # pydicom raises anything for hostile bytes
            raise InvalidIdentifierError(f"a key cannot be read ({type(error).__name__})") from error
        asked = tuple(element.tag for element in dataset if _is_key(element))
        return cls(level=level, keys=keys, asked=asked, character_set=character_set)

    def wanted(self) -> Wanted:
        """Return what to retrieve.

        A unique key of a level above may be left out, although only relational retrieval lets it (C.4.2.2.1): it adds
        nothing to a UID. Of a series the study must be given.

        Raises
        ------
        InvalidIdentifierError
            If there is no unique key for the level, or a wild card in one.
        """
        given = {level: self.keys.get(keyword, ()) for level, keyword in _UNIQUE_KEYS.items() if level <= self.level}
        needed = [self.level, Level.STUDY] if self.level is Level.SERIES else [self.level]
        for level in needed:
            if not given[level]:
                raise InvalidIdentifierError(f"{_UNIQUE_KEYS[level]} is not given")
        if any("*" in value or "?" in value for values in given.values() for value in values):
            raise InvalidIdentifierError("what is retrieved is named by unique keys without wild cards")
        return Wanted(
            patient_ids=given[Level.PATIENT],
            study_instance_uids=given.get(Level.STUDY, ()),
            series_instance_uids=given.get(Level.SERIES, ()),
            sop_instance_uids=given.get(Level.IMAGE, ()),
        )


def _level(value: str, sop_class_uid: str) -> Level:
    first = Level.PATIENT if sop_class_uid.startswith(f"{PATIENT_ROOT}.") else Level.STUDY
    levels = {level.name: level for level in Level if level >= first}
    if value.strip() not in levels:
        raise InvalidIdentifierError(f"QueryRetrieveLevel is not one of {', '.join(levels)}")
    return levels[value.strip()]


def _is_key(element: DataElement) -> bool:
    return element.tag.element != 0 and element.keyword not in _NO_KEYS


def _values(element: DataElement) -> Iterator[str]:
    """Yield the values that are to be matched; those of sequences never are."""
    if element.VR == "SQ":
        return
    values = list(_texts(element.value))
    if not any(is_universal(value) for value in values):
        yield from values


def _texts(value: object) -> Iterator[str]:
    if value is None:
        return
    for one in value if isinstance(value, MultiValue) else [value]:
        if text := str(one).strip():
            yield text
