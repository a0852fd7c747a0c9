"""Who an instance says it is: the UIDs of an encoded data set, read without decoding the rest.

References
----------
PS3.5 7 Data Set encoding, A.5 Deflated Explicit VR Little Endian; PS3.3 C.12.1 SOP Common.
"""

import contextlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from db.files import is_uid

SCAN_LIMIT = 1_000_000
_GLANCE = 16_384
"""Nearly all data sets name themselves within so many bytes."""
_TAGS: dict[str, BaseTag | int] = {
    keyword: Tag(keyword) for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
}
_LAST = int(_TAGS["SeriesInstanceUID"])


class UnreadableDataSetError(Exception):
    """The bytes are no data set in the transfer syntax that was agreed."""


class WrongIdentityError(Exception):
    """A UID is absent, malformed, or not the one of the command."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The UIDs of an instance; an empty string where the scan ended before it."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


def scan(read: Callable[[int], bytes], transfer_syntax_uid: UID) -> Identity:
    """Read the identity of an encoded data set.

    Parameters
    ----------
    read : callable
        Returns that many bytes of the data set from its beginning, without file meta information, or all there are.
    transfer_syntax_uid : UID
        As negotiated; private ones are read as explicit VR little endian.

    Raises
    ------
    UnreadableDataSetError
        If it cannot be parsed.
    WrongIdentityError
        If a UID is absent or malformed.
    """
    found, past_series, whole = _found(read, transfer_syntax_uid)
    # Bytes that are no data set parse as elements that nobody knows; a cut one just ends.
    if whole and not any(found.values()):
        raise UnreadableDataSetError("this is no data set in the transfer syntax agreed")
    if whole and not past_series and not all(is_uid(value) for value in found.values()):
        raise UnreadableDataSetError("the data set is cut off")
    # Beyond the limit a data set is taken on the command's word: such headers exist, and refusing would lose them.
    if whole or past_series or found["SeriesInstanceUID"]:
        for keyword, value in found.items():
            if not value:
                raise WrongIdentityError(f"{keyword} is absent")
            if not is_uid(value):
                raise WrongIdentityError(f"{keyword} is not a UID")
    return Identity(*found.values())


def _found(read: Callable[[int], bytes], transfer_syntax_uid: UID) -> tuple[dict[str, str], bool, bool]:
    """Return the UIDs by keyword, whether elements follow the last of them, and whether that was read of all."""
    glance = read(_GLANCE)
    if not _is_deflated(transfer_syntax_uid) and len(glance) == _GLANCE:
        with contextlib.suppress(UnreadableDataSetError):  # it may be cut within an element
            found, past_series = _parsed(glance, transfer_syntax_uid)
            if past_series and all(found.values()):
                return found, True, False
    # One byte more than is scanned tells whether that is all.
    data_set = read(SCAN_LIMIT + 1)
    head, whole = _head(memoryview(data_set), transfer_syntax_uid)
    return *_parsed(head, transfer_syntax_uid), whole


def _is_deflated(transfer_syntax_uid: UID) -> bool:
    return transfer_syntax_uid.is_transfer_syntax and transfer_syntax_uid.is_deflated


def _head(data_set: memoryview, transfer_syntax_uid: UID) -> tuple[bytes, bool]:
    """Return the start of the data set, inflated, and whether that is all of it."""
    if _is_deflated(transfer_syntax_uid):
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            head = inflater.decompress(bytes(data_set[:SCAN_LIMIT]), SCAN_LIMIT)
        except zlib.error as error:
            raise UnreadableDataSetError("the deflated stream is damaged") from error
        if not inflater.eof and len(data_set) <= SCAN_LIMIT and len(head) < SCAN_LIMIT:
            raise UnreadableDataSetError("the deflated stream is cut off")
        return head, inflater.eof
    return bytes(data_set[:SCAN_LIMIT]), len(data_set) <= SCAN_LIMIT


def _parsed(head: bytes, transfer_syntax_uid: UID) -> tuple[dict[str, str], bool]:
    """Return the UIDs by keyword, empty where absent, and whether elements follow the last of them."""
    known = transfer_syntax_uid.is_transfer_syntax and not transfer_syntax_uid.is_private
    implicit = known and transfer_syntax_uid.is_implicit_VR
    little_endian = not known or transfer_syntax_uid.is_little_endian

    past_series = False

    def is_past_series(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        nonlocal past_series
        past_series = int(tag) > _LAST
        return past_series

    try:
        data_set = read_dataset(
            BytesIO(head),
            is_implicit_VR=implicit,
            is_little_endian=little_endian,
            stop_when=is_past_series,
            specific_tags=[*_TAGS.values()],
        )
        return {keyword: _value(data_set, keyword) for keyword in _TAGS}, past_series
    except Exception as error:  # pydicom raises anything for hostile bytes
        raise UnreadableDataSetError(f"{type(error).__name__} while parsing") from error


def _value(data_set: Dataset, keyword: str) -> str:
    """Return a value as pydicom reads it; only what is plainly a UID is read without pydicom, which takes longer."""
    element = data_set.get_item(_TAGS[keyword])
    if isinstance(element, RawDataElement) and element.VR in {None, "UI"} and element.value:
        value = element.value.decode("ascii", "replace").rstrip("\0")
        if is_uid(value):
            return value
    return str(data_set.get(keyword) or "")
