"""How an instance came: its command, its peer; written into the file meta information of its file.

The circumstances have elements of PS3.10 7.1 for most of them, so that one file, written once and fsynced once, holds
all that is known of a receipt; and by which to tell that it is whole.

References
----------
PS3.10 7.1 File Meta Information.
"""

import json
import struct
from dataclasses import dataclass
from functools import lru_cache

import pydicom
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID

from db.files import is_uid

CIRCUMSTANCES_CREATOR_UID = UID("2.25.269105341867354891254817930215874120457")
"""Private Information Creator UID (0002,0100) of the circumstances below."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who sends over one association."""

    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    association_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Seal:
    """What tells a whole file, and where it belongs.

    Attributes
    ----------
    own_name : str
        The name that it was received under, which nobody outside can know.
    spool_name : str
        Its name in the spool; empty where it does not go there.
    size, crc32 : int
        Of the data set.
    """

    own_name: str
    spool_name: str
    size: int
    crc32: int

    def encoded(self) -> bytes:
        """Return the end of the circumstances, always of the same length."""
        own, spool = (f'"{name}"'.ljust(_NAME_SIZE) for name in (self.own_name, self.spool_name))
        numbers = f'"size": {self.size:<20d}, "crc32": {self.crc32:<10d}'
        return f'"own_name": {own}, "spool_name": {spool}, {numbers}}}'.encode()


NOT_SEALED = Seal(own_name="", spool_name="", size=0, crc32=0)
_NAME_SIZE = 40
_SEAL_SIZE = len(NOT_SEALED.encoded())


def sealed(header: bytes, seal: Seal) -> bytes:
    """Return a file header with a seal; one that is empty stays so."""
    return header[:-_SEAL_SIZE] + seal.encoded() if header else header


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """One C-STORE request and how it came; UIDs as the command gives them, whatever they are."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: UID
    caller: Caller

    def file_header(self) -> bytes:
        """Return preamble, prefix and file meta information of a DICOM file that holds the data set; not sealed.

        Written by hand, always explicit VR little endian: by pydicom it takes longer than all else that is done for an
        instance, its waiting for the disk left out.

        Raises
        ------
        ValueError
            If the command's UIDs are unfit for a file.
        """
        for uid in (self.sop_class_uid, self.sop_instance_uid):
            if not is_uid(uid):
                raise ValueError("not a UID")
        meta = b"".join(
            (
                _long_element(0x0001, b"OB", b"\0\1"),
                _element(0x0002, b"UI", _uid(self.sop_class_uid)),
                _element(0x0003, b"UI", _uid(self.sop_instance_uid)),
                _rest_of_meta(self.transfer_syntax_uid, self.caller),
            )
        )
        return b"\0" * 128 + b"DICM" + _element(0x0000, b"UL", struct.pack("<L", len(meta))) + meta

    def file_header_or_nothing(self) -> bytes:
        """Return a file header, or nothing where the command's own UIDs are unfit for one."""
        try:
            return self.file_header()
        except ValueError:
            return b""


@lru_cache(maxsize=512)
def _rest_of_meta(transfer_syntax_uid: UID, caller: Caller) -> bytes:
    """Return what the headers of one association have in common."""
    known = json.dumps({"peer_address": caller.peer_address, "association_id": caller.association_id})
    circumstances = _text(f"{known[:-1]}, ") + NOT_SEALED.encoded()
    calling, called = _text(caller.calling_ae_title), _text(caller.called_ae_title)
    return b"".join(
        (
            _element(0x0010, b"UI", _uid(transfer_syntax_uid)),
            _element(0x0012, b"UI", _uid(PYDICOM_IMPLEMENTATION_UID)),
            _element(0x0013, b"SH", _text(f"PYDICOM {pydicom.__version__}")),
            _element(0x0016, b"AE", calling),
            _element(0x0017, b"AE", calling),
            _element(0x0018, b"AE", called),
            _element(0x0100, b"UI", _uid(CIRCUMSTANCES_CREATOR_UID)),
            _long_element(0x0102, b"OB", circumstances),
        )
    )


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value


def _long_element(number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sHL", 2, number, vr, 0, len(value)) + value


def _uid(value: str) -> bytes:
    encoded = value.encode()
    return encoded + b"\0" * (len(encoded) % 2)


def _text(value: str) -> bytes:
    encoded = value.encode("ascii", "replace")
    return encoded + b" " * (len(encoded) % 2)
