"""A match -> the identifier of an answer: the keys that were asked for, in a character set that the peer reads.

References
----------
PS3.4 C.2.2.1 Attribute types, C.4.1.1.3.2 response identifier, C.3.4 Unique, Required and Optional keys;
PS3.3 C.12.1.1.2 Specific Character Set.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydicom.charset import convert_encodings, python_encoding
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from db.repository.finding import Found
from db.repository.query_keys import COMPUTED, FROM_HEADER, MATCHED, RETURNED, Level
from handlers.identifier import Identifier

FROM_FILE: Mapping[Level, frozenset[str]] = {
    Level.PATIENT: frozenset({"PatientBirthTime", "OtherPatientIDsSequence", "EthnicGroup", "PatientComments"}),
    Level.STUDY: frozenset(
        {
            "IssuerOfAccessionNumberSequence",
            "NameOfPhysiciansReadingStudy",
            "AdmittingDiagnosesDescription",
            "PatientAge",
            "PatientSize",
            "PatientWeight",
            "Occupation",
            "AdditionalPatientHistory",
            "ProcedureCodeSequence",
            "InstitutionName",
        }
    ),
    Level.SERIES: frozenset(
        {
            "Manufacturer",
            "ManufacturerModelName",
            "StationName",
            "InstitutionalDepartmentName",
            "PerformingPhysicianName",
            "OperatorsName",
            "Laterality",
            "PatientPosition",
            "FrameOfReferenceUID",
            "PerformedProcedureStepStartDate",
            "PerformedProcedureStepStartTime",
            "PerformedProcedureStepID",
            "PerformedProcedureStepDescription",
            "RequestAttributesSequence",
        }
    ),
    Level.IMAGE: frozenset(),
}
"""Optional keys that are answered from a file, by the level that they are of; of an object, all that its head has."""
_OURS = ("RetrieveAETitle", "InstanceAvailability")
_UTF_8 = "ISO_IR 192"


def is_known(keyword: str, level: Level) -> bool:
    """Say whether a key of that level, or one above, is answered."""
    if keyword in RETURNED[level] or keyword in _OURS or COMPUTED.get(keyword, Level.IMAGE + 1) <= level:
        return True
    if level is Level.IMAGE:
        return bool(keyword)
    return any(keyword in FROM_FILE[above] for above in Level if above <= level)


def is_matched(keyword: str, level: Level) -> bool:
    """Say whether a key of that level, or one above, is matched."""
    return any(keyword in MATCHED[above] for above in Level if above <= level)


def is_fully_supported(identifier: Identifier) -> bool:
    """Say whether every key is answered, and matched where it has a value."""
    level = identifier.level
    return all(
        is_known(keyword, level) and (not values or is_matched(keyword, level) or keyword in _OURS)
        for keyword, values in identifier.keys.items()
    )


def answer(found: Found, identifier: Identifier, *, ae_title: str, head: Callable[[], Dataset]) -> Dataset:
    """Return the identifier of an answer.

    Parameters
    ----------
    found : Found
        The match.
    identifier : Identifier
        What was asked for.
    ae_title : str
        Where it can be retrieved from.
    head : callable
        Reads the head of a file of the match; called only where a key needs it.
    """
    values = {**found.values, **found.computed, "RetrieveAETitle": ae_title, "InstanceAvailability": "ONLINE"}
    reply = Dataset()
    for tag in identifier.asked:
        keyword = keyword_for_tag(tag)
        if not is_known(keyword, identifier.level):
            continue
        if keyword in values and not (keyword in FROM_HEADER and values[keyword] is None):
            _put(reply, tag, values[keyword])
        elif tag in (read := head()):
            reply[tag] = read[tag]
        else:
            _put(reply, tag, None)
    reply.QueryRetrieveLevel = identifier.level.name
    reply.RetrieveAETitle = ae_title
    if character_set := _character_set(reply, identifier.character_set, found.specific_character_set):
        reply.SpecificCharacterSet = list(character_set)
    return reply


def _put(reply: Dataset, tag: BaseTag, value: Any) -> None:  # noqa: ANN401 - a DICOM value has no common type
    vr = dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
    if value is None:
        value = [] if vr == "SQ" else ""
    reply.add_new(tag, vr.split(" ")[0], value if not isinstance(value, int) or vr == "US" else str(value))


def _character_set(reply: Dataset, of_peer: tuple[str, ...], of_instance: str) -> tuple[str, ...]:
    """Choose what can carry an answer: nothing, what the peer wrote in, what the instance is written in, or UTF-8."""
    texts = "".join(text for text in _texts(reply) if not text.isascii())
    if not texts:
        return ()
    for candidate in (of_peer, tuple(of_instance.split("\\"))):
        if _carries(candidate, texts):
            return candidate
    return (_UTF_8,)


def _carries(character_set: tuple[str, ...], text: str) -> bool:
    if not any(character_set) or not all(term in python_encoding for term in character_set):
        return False
    codecs = convert_encodings(list(character_set))
    return all(any(_fits(character, codec) for codec in codecs) for character in set(text))


def _fits(character: str, codec: str) -> bool:
    try:
        character.encode(codec)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _texts(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _texts(item)
        elif element.value:
            yield str(element.value)
