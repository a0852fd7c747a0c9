"""The upper layer's PDUs, as far as an established association needs them.

References
----------
PS3.8 9.3 DICOM Upper Layer Protocol Data Units; 9.3.5 P-DATA-TF; 9.3.8 A-ABORT; Annex E (message control header).
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

MAX_PDU = 131072
"""The longest P-DATA-TF that we announce to take, without its header (PS3.8 D.1)."""
HEADER_SIZE = 6
_HEADER = struct.Struct(">BxL")
_ITEM_HEADER = struct.Struct(">LBB")
ITEM_HEADER_SIZE = _ITEM_HEADER.size
"""Length, presentation context and message control header of a presentation data value."""
_LENGTH_SIZE = 4
_OF_COMMAND, _LAST = 0x01, 0x02


class PDUType(IntEnum):
    """The first byte of a PDU."""

    A_ASSOCIATE_RQ = 0x01
    A_ASSOCIATE_AC = 0x02
    A_ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    A_RELEASE_RQ = 0x05
    A_RELEASE_RP = 0x06
    A_ABORT = 0x07


class AbortReason(IntEnum):
    """Why the provider aborts (PS3.8 9.3.8)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNEXPECTED_PDU_PARAMETER = 5
    INVALID_PDU_PARAMETER_VALUE = 6


class ProtocolError(Exception):
    """What the peer sends may not come, or not now: the association is to be aborted for `reason`."""

    def __init__(self, message: str, reason: AbortReason) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Fragment:
    """A presentation data value: a part of one message's command set or data set.

    Attributes
    ----------
    item : memoryview
        All of it, as it came.
    data : memoryview
        What it carries.
    """

    context_id: int
    of_command: bool
    last: bool
    item: memoryview
    data: memoryview


def read_header(header: bytes | bytearray | memoryview) -> tuple[int, int]:
    """Return type and length of the PDU that six bytes begin."""
    pdu_type, length = _HEADER.unpack(header)
    return pdu_type, length


def goes_on(length: int, item_header: memoryview) -> bool:
    """Say whether a P-DATA-TF is one presentation data value that is not the last of its command or data set.

    Parameters
    ----------
    length : int
        Of its body.
    item_header : memoryview
        The beginning of that, as far as it was read.
    """
    if len(item_header) < ITEM_HEADER_SIZE:
        return False
    item_length, _, control = _ITEM_HEADER.unpack(item_header)
    return item_length + _LENGTH_SIZE == length and not control & _LAST


def fragments(body: memoryview) -> Iterator[Fragment]:
    """Yield the presentation data values of a P-DATA-TF.

    Raises
    ------
    ProtocolError
        If it has none, or they do not fill it.
    """
    if not body:
        raise _misfit("a P-DATA-TF is empty")
    at = 0
    while at < len(body):
        if len(body) - at < _ITEM_HEADER.size:
            raise _misfit("a presentation data value is cut off")
        length, context_id, control = _ITEM_HEADER.unpack_from(body, at)
        end = at + _LENGTH_SIZE + length
        if end < at + _ITEM_HEADER.size or end > len(body):
            raise _misfit("a presentation data value does not fit its P-DATA-TF")
        yield Fragment(
            context_id=context_id,
            of_command=bool(control & _OF_COMMAND),
            last=bool(control & _LAST),
            item=body[at:end],
            data=body[at + _ITEM_HEADER.size : end],
        )
        at = end


def as_pdu(pdu_type: PDUType, body: bytes) -> bytes:
    """Return a PDU."""
    return _HEADER.pack(pdu_type, len(body)) + body


def command_fragments(command_set: bytes, *, longest: int) -> Iterable[bytes]:
    """Return message control header and data of each fragment that carries a command set.

    Parameters
    ----------
    command_set : bytes
        Encoded.
    longest : int
        The longest P-DATA-TF that the peer takes, without its header; 0 sets no limit.
    """
    room = longest - _ITEM_HEADER.size if longest > _ITEM_HEADER.size else len(command_set)
    for at in range(0, len(command_set), room):
        last = at + room >= len(command_set)
        yield bytes([_OF_COMMAND | (_LAST if last else 0)]) + command_set[at : at + room]


def data_pdu(context_id: int, controlled: bytes) -> bytes:
    """Return a P-DATA-TF of one presentation data value, given from its message control header on."""
    return as_pdu(PDUType.P_DATA_TF, struct.pack(">LB", 1 + len(controlled), context_id) + controlled)


def _misfit(message: str) -> ProtocolError:
    return ProtocolError(message, AbortReason.INVALID_PDU_PARAMETER_VALUE)
