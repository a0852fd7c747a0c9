"""Who an instance says it is: the UIDs of an encoded data set, read without decoding the rest.

References
----------
PS3.5 7 Data Set encoding, A.5 Deflated Explicit VR Little Endian; PS3.3 C.12.1 SOP Common.
"""

import zlib
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from db.files import is_uid

SCAN_LIMIT = 1_000_000
_LAST_TAG = Tag("SeriesInstanceUID")
_KEYWORDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


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


def scan(data_set: memoryview, transfer_syntax_uid: UID) -> Identity:
    """Read the identity of an encoded data set.

    Parameters
    ----------
    data_set : memoryview
        As received, without file meta information.
    transfer_syntax_uid : UID
        As negotiated; private ones are read as explicit VR little endian.

    Raises
    ------
    UnreadableDataSetError
        If it cannot be parsed.
    WrongIdentityError
        If a UID is absent or malformed.
    """
    head, whole = _head(data_set, transfer_syntax_uid)
    data_set_head, past_series = _read(head, transfer_syntax_uid)
    found = {keyword: str(data_set_head.get(keyword) or "") for keyword in _KEYWORDS}
    # Bytes that are no data set parse as elements that nobody knows; a cut one just ends.
    if whole and not any(found.values()):
        raise UnreadableDataSetError("this is no data set in the transfer syntax agreed")
    if whole and not past_series and not all(is_uid(value) for value in found.values()):
        raise UnreadableDataSetError("the data set is cut off")
    # Beyond the limit a data set is taken on the command's word: such headers exist, and refusing would lose them.
    if whole or found["SeriesInstanceUID"]:
        for keyword, value in found.items():
            if not value:
                raise WrongIdentityError(f"{keyword} is absent")
            if not is_uid(value):
                raise WrongIdentityError(f"{keyword} is not a UID")
    return Identity(*found.values())


def _head(data_set: memoryview, transfer_syntax_uid: UID) -> tuple[bytes, bool]:
    """Return the start of the data set, inflated, and whether that is all of it."""
    if transfer_syntax_uid.is_transfer_syntax and transfer_syntax_uid.is_deflated:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            head = inflater.decompress(bytes(data_set[:SCAN_LIMIT]), SCAN_LIMIT)
        except zlib.error as error:
            raise UnreadableDataSetError("the deflated stream is damaged") from error
        if not inflater.eof and len(data_set) <= SCAN_LIMIT and len(head) < SCAN_LIMIT:
            raise UnreadableDataSetError("the deflated stream is cut off")
        return head, inflater.eof
    return bytes(data_set[:SCAN_LIMIT]), len(data_set) <= SCAN_LIMIT


def _read(head: bytes, transfer_syntax_uid: UID) -> tuple[Dataset, bool]:
    """Return the elements up to Series Instance UID, and whether there are more."""
    known = transfer_syntax_uid.is_transfer_syntax and not transfer_syntax_uid.is_private
    implicit = known and transfer_syntax_uid.is_implicit_VR
    little_endian = not known or transfer_syntax_uid.is_little_endian

    past_series = False

    def is_past_series(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        nonlocal past_series
        past_series = int(tag) > int(_LAST_TAG)
        return past_series

    try:
        data_set = read_dataset(
            BytesIO(head),
            is_implicit_VR=implicit,
            is_little_endian=little_endian,
            stop_when=is_past_series,
            specific_tags=[Tag(keyword) for keyword in _KEYWORDS],
        )
    except Exception as error:  # pydicom raises anything for hostile bytes
        raise UnreadableDataSetError(f"{type(error).__name__} while parsing") from error
    return data_set, past_series
