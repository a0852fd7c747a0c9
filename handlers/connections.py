"""A connection before its association: what came of its A-ASSOCIATE-RQ, and what is wrong with what came.

References
----------
PS3.8 9.2.3 state Sta2, 9.3.1 PDU structure, 9.3.4 A-ASSOCIATE-RJ, 9.3.8 A-ABORT.
"""

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from handlers.upper_layer import HEADER_SIZE, PDUType, as_pdu, read_header

MAX_REQUEST = 262_144
"""Bytes of an A-ASSOCIATE-RQ: 128 presentation contexts of 30 transfer syntaxes each take 160,000."""
ABORT = as_pdu(PDUType.A_ABORT, bytes([0, 0, 0, 0]))
"""Source: the service user; a reason is given by the provider only (PS3.8 9.3.8), and AA-1 is the user's."""
LIMIT_EXCEEDED = as_pdu(PDUType.A_ASSOCIATE_RJ, bytes([0, 2, 3, 2]))
"""Rejected transient, by the presentation related provider: local limit exceeded (PS3.8 table 9-21)."""
_TLS_RECORD = 0x16
_CALLED_AE_TITLE, _CALLING_AE_TITLE = slice(10, 26), slice(26, 42)

Address = tuple[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """A port that takes connections.

    Attributes
    ----------
    listening : socket
        Bound and listening.
    context : callable or None
        Returns what to greet the next connection with; None for a port without TLS.
    enter : callable
        Given a connection, the address of its peer and its A-ASSOCIATE-RQ, begins an association.
    """

    listening: socket.socket
    context: Callable[[], ssl.SSLContext] | None
    enter: Callable[[socket.socket, Address, bytes], None]


class Stage(Enum):
    """How far a connection is."""

    HANDSHAKE = auto()
    REQUEST = auto()
    CLOSING = auto()
    """Answered; we wait for the peer to close, so that our answer is not lost with a reset (Sta13)."""


@dataclass(eq=False, slots=True)
class Connection:
    """A connection that has asked for no association yet."""

    socket: socket.socket
    address: Address
    door: Door
    deadline: float
    stage: Stage
    request: bytearray = field(default_factory=bytearray)
    read_away: int = 0

    @property
    def wanted(self) -> int:
        """How many bytes of the request are still to come, as far as it is known."""
        if len(self.request) < HEADER_SIZE:
            return HEADER_SIZE - len(self.request)
        return HEADER_SIZE + read_header(self.request[:HEADER_SIZE])[1] - len(self.request)

    @property
    def is_abort(self) -> bool:
        """Whether its first PDU is the end of it (AA-2)."""
        return self.request[0] == PDUType.A_ABORT

    def misfit(self) -> str | None:
        """Return why the header of its first PDU is not that of an A-ASSOCIATE-RQ, None if it is."""
        pdu_type, length = read_header(self.request[:HEADER_SIZE])
        if pdu_type == PDUType.A_ASSOCIATE_RQ:
            return None if 0 < length <= MAX_REQUEST else f"an A-ASSOCIATE-RQ of {length} bytes"
        if pdu_type == _TLS_RECORD and self.door.context is None:
            return "a TLS greeting to the port without TLS; let it call dicom.tls_port"
        return "no A-ASSOCIATE-RQ; is it a DICOM peer?"

    def names(self) -> str:
        """Return who asks, once its request is whole."""
        calling, called = (
            self.request[part].decode("ascii", "replace").strip() for part in (_CALLING_AE_TITLE, _CALLED_AE_TITLE)
        )
        return f"{calling!r} at {self.address[0]}, which called us {called!r}"
