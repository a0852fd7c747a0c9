"""An A-ASSOCIATE-RQ read: items that nobody knows are left out, as the standard wants and pynetdicom does not.

References
----------
PS3.8 9.3.2 A-ASSOCIATE-RQ PDU structure, 9.3.1 (items of unrecognized types are ignored and skipped); PS3.7 D.3.3.
"""

import contextlib
import struct
import threading
from collections.abc import Container, Iterator

from pynetdicom.pdu import A_ASSOCIATE_RQ

_PDU_HEADER = struct.Struct(">BBL")
_ITEM_HEADER = struct.Struct(">BxH")
_FIXED_FIELDS = 68
"""Bytes of a request before its first item."""
_ITEMS = frozenset({0x10, 0x20, 0x50})
_USER_INFORMATION = 0x50
_ROLE_SELECTION = 0x54
_OF_USER_INFORMATION = frozenset(range(0x51, 0x59))


_LARGE = 32_768
_one_large_at_a_time = threading.Lock()
"""The largest take pynetdicom a second to read, in which many at once would leave no time for anybody else."""


class MalformedRequestError(ValueError):
    """What came as an A-ASSOCIATE-RQ is none; the message says what it is."""


def read_request(request: bytes) -> A_ASSOCIATE_RQ:
    """Return an A-ASSOCIATE-RQ decoded, with its primitive at hand.

    Raises
    ------
    MalformedRequestError
        If it cannot be read.
    """
    with _one_large_at_a_time if len(request) > _LARGE else contextlib.nullcontext():
        return _read(known_items_only(request))


def _read(request: bytes) -> A_ASSOCIATE_RQ:
    pdu = A_ASSOCIATE_RQ()
    try:
        pdu.decode(request)
        primitive = pdu.to_primitive()
    except Exception as error:  # pynetdicom raises anything for hostile bytes
        raise MalformedRequestError("an A-ASSOCIATE-RQ that cannot be read") from error
    proposed = primitive.presentation_context_definition_list
    if not all(context.abstract_syntax and context.transfer_syntax for context in proposed):
        raise MalformedRequestError("a presentation context without an abstract syntax or a transfer syntax")
    # The state machine wants it too, and once is long enough.
    setattr(pdu, "to_primitive", lambda: primitive)  # noqa: B010 - mypy lets no method be assigned
    return pdu


def known_items_only(request: bytes) -> bytes:
    """Return an A-ASSOCIATE-RQ without items that this edition of the standard does not name.

    Raises
    ------
    MalformedRequestError
        If it is shorter than its fixed fields, lacks an item that every one has, or its items do not fill it.
    """
    kind, reserved, _ = _PDU_HEADER.unpack_from(request)
    start = _PDU_HEADER.size + _FIXED_FIELDS
    if len(request) < start:
        raise MalformedRequestError("an A-ASSOCIATE-RQ that ends before its first item")
    known = list(_known(request[start:], _ITEMS))
    if not {item[0] for item in known} >= _ITEMS:
        raise MalformedRequestError(
            "an A-ASSOCIATE-RQ that lacks application context, presentation context or user information"
        )
    items = b"".join(known)
    return _PDU_HEADER.pack(kind, reserved, _FIXED_FIELDS + len(items)) + request[_PDU_HEADER.size : start] + items


def _known(body: bytes, kinds: Container[int]) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        if len(body) - at < _ITEM_HEADER.size:
            raise MalformedRequestError("an A-ASSOCIATE-RQ with an item that is cut off")
        kind, length = _ITEM_HEADER.unpack_from(body, at)
        end = at + _ITEM_HEADER.size + length
        if end > len(body):
            raise MalformedRequestError("an A-ASSOCIATE-RQ with an item that is cut off")
        if kind == _USER_INFORMATION and kind in kinds:
            inner = b"".join(_known(body[at + _ITEM_HEADER.size : end], _OF_USER_INFORMATION))
            yield _ITEM_HEADER.pack(kind, len(inner)) + inner
        elif kind in kinds and not _asks_for_no_role(kind, body[at:end]):
            yield body[at:end]
        at = end


def _asks_for_no_role(kind: int, item: bytes) -> bool:
    """Say whether an item selects neither role (PS3.7 D.3.3.4): it says nothing, and pynetdicom cannot answer it."""
    return kind == _ROLE_SELECTION and item[-2:] == bytes(2)
