"""Command sets, as far as C-STORE needs them.

References
----------
PS3.7 6.3 (structure and encoding: always implicit VR little endian), 9.3.1 C-STORE, E.1 (data dictionary).
"""

import struct
from dataclasses import dataclass

C_STORE_RQ = 0x0001
_C_STORE_RSP = 0x8001
_REQUESTS = frozenset((C_STORE_RQ, 0x0010, 0x0020, 0x0021, 0x0030, *range(0x0100, 0x0160, 0x0010)))
_C_CANCEL_RQ = 0x0FFF
COMMAND_FIELDS = _REQUESTS | {request | 0x8000 for request in _REQUESTS} | {_C_CANCEL_RQ}
"""Every message there is: C-STORE, C-GET, C-FIND, C-MOVE, C-ECHO, the N- services, their responses, C-CANCEL."""
_NO_DATA_SET = 0x0101
_ELEMENT = struct.Struct("<HHL")
_SHORT = struct.Struct("<H")
_SOP_CLASS_UID, _FIELD, _MESSAGE_ID = 0x0002, 0x0100, 0x0110
_MESSAGE_ID_RESPONDED_TO, _DATA_SET_TYPE, _STATUS, _SOP_INSTANCE_UID = 0x0120, 0x0800, 0x0900, 0x1000


class MalformedCommandError(Exception):
    """These bytes are no command set, or lack what every one of its kind must have."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command set, its values undecoded, by element number within group 0000."""

    values: dict[int, bytes]

    @property
    def field(self) -> int:
        """Which message it begins (PS3.7 E.1)."""
        return self._short(_FIELD)

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows."""
        return self._short(_DATA_SET_TYPE) != _NO_DATA_SET

    @property
    def message_id(self) -> int:
        """What the answer names it by."""
        return self._short(_MESSAGE_ID)

    @property
    def sop_class_uid(self) -> str:
        """Affected SOP Class UID as it is given; empty if absent."""
        return self._text(_SOP_CLASS_UID)

    @property
    def sop_instance_uid(self) -> str:
        """Affected SOP Instance UID as it is given; empty if absent."""
        return self._text(_SOP_INSTANCE_UID)

    def store_response(self, status: int) -> bytes:
        """Return the encoded command set that answers a C-STORE request; its UIDs are given back as they came."""
        answer = {
            _SOP_CLASS_UID: self.values.get(_SOP_CLASS_UID),
            _FIELD: _SHORT.pack(_C_STORE_RSP),
            _MESSAGE_ID_RESPONDED_TO: _SHORT.pack(self.message_id),
            _DATA_SET_TYPE: _SHORT.pack(_NO_DATA_SET),
            _STATUS: _SHORT.pack(status),
            _SOP_INSTANCE_UID: self.values.get(_SOP_INSTANCE_UID),
        }
        body = b"".join(_element(number, value) for number, value in answer.items() if value)
        return _element(0x0000, struct.pack("<L", len(body))) + body

    def _short(self, number: int) -> int:
        value = self.values.get(number, b"")
        if len(value) != _SHORT.size:
            raise MalformedCommandError(f"element (0000,{number:04X}) is absent or no unsigned short")
        return int(_SHORT.unpack(value)[0])

    def _text(self, number: int) -> str:
        return self.values.get(number, b"").decode("ascii", "replace").rstrip("\0 ")


def read_command(encoded: bytes | bytearray) -> Command:
    """Take a command set apart.

    Raises
    ------
    MalformedCommandError
        If it cannot be, or lacks Command Field or Command Data Set Type.
    """
    values: dict[int, bytes] = {}
    at = 0
    while at < len(encoded):
        if len(encoded) - at < _ELEMENT.size:
            raise MalformedCommandError("an element of a command set is cut off")
        group, number, length = _ELEMENT.unpack_from(encoded, at)
        at += _ELEMENT.size
        if group != 0 or length > len(encoded) - at:
            raise MalformedCommandError("a command set has an element of another group, or one that is cut off")
        values[number] = bytes(encoded[at : at + length])
        at += length
    command = Command(values)
    _ = command.field, command.has_data_set
    return command


def _element(number: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return _ELEMENT.pack(0, number, len(value)) + value
