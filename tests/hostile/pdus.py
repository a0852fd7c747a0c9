"""PDUs made by hand, right or wrong, and what comes back for them.

References
----------
PS3.8 9.3 DICOM Upper Layer Protocol Data Units, PS3.7 6.3 command sets.
"""

import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.processes import LOOPBACK

CT, EXPLICIT, IMPLICIT = b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2"
VERIFICATION = b"1.2.840.10008.1.1"
APPLICATION = b"1.2.840.10008.3.1.1.1"
RQ, AC, RJ, DATA, RELEASE, RELEASED, ABORT = range(1, 8)
ANSWER_S = 4.0
ECHO_RQ, STORE_RQ, RESPONSE = 0x0030, 0x0001, 0x8000


@dataclass(frozen=True)
class Pdu:
    """A PDU that came."""

    kind: int
    body: bytes

    @property
    def abort(self) -> tuple[int, int]:
        """Source and reason of an A-ABORT."""
        assert self.kind == ABORT, self
        return self.body[2], self.body[3]

    @property
    def rejection(self) -> tuple[int, int, int]:
        """Result, source and reason of an A-ASSOCIATE-RJ."""
        assert self.kind == RJ, self
        return self.body[1], self.body[2], self.body[3]


def pdu(kind: int, body: bytes = b"", *, length: int | None = None) -> bytes:
    return struct.pack(">BBI", kind, 0, len(body) if length is None else length) + body


def item(kind: int, body: bytes, *, length: int | None = None) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body) if length is None else length) + body


def context(identifier: int, abstract: bytes, *transfer: bytes) -> bytes:
    syntaxes = b"".join(item(0x40, one) for one in transfer)
    return item(0x20, bytes([identifier, 0, 0, 0]) + item(0x30, abstract) + syntaxes)


USER_INFORMATION = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4")


def request_body(
    *,
    contexts: Sequence[bytes] = (context(1, CT, EXPLICIT), context(3, VERIFICATION, IMPLICIT)),
    user_information: bytes | None = USER_INFORMATION,
    application: bytes = APPLICATION,
    version: int = 1,
    calling: bytes = b"HOSTILE",
) -> bytes:
    items = [item(0x10, application), *contexts]
    if user_information is not None:
        items.append(item(0x50, user_information))
    titles = b"OPACITY_NODE".ljust(16) + calling.ljust(16)
    return struct.pack(">HH", version, 0) + titles + bytes(32) + b"".join(items)


def request(**changes: object) -> bytes:
    return pdu(RQ, request_body(**changes))  # type: ignore[arg-type]


def value(identifier: int, control: int, data: bytes, *, length: int | None = None) -> bytes:
    """A presentation data value item."""
    return struct.pack(">IBB", len(data) + 2 if length is None else length, identifier, control) + data


def element(group: int, number: int, data: bytes, *, length: int | None = None) -> bytes:
    return struct.pack("<HHI", group, number, len(data) if length is None else length) + data


def uid(text: bytes) -> bytes:
    return text + b"\0" * (len(text) % 2)


def command(elements: Sequence[bytes], *, length: int | None = None) -> bytes:
    body = b"".join(elements)
    return element(0, 0, struct.pack("<I", len(body) if length is None else length)) + body


def echo_command(message_id: int = 1) -> bytes:
    return command(
        [
            element(0, 0x0002, uid(VERIFICATION)),
            element(0, 0x0100, struct.pack("<H", ECHO_RQ)),
            element(0, 0x0110, struct.pack("<H", message_id)),
            element(0, 0x0800, struct.pack("<H", 0x0101)),
        ]
    )


def store_elements(instance: bytes, message_id: int = 1) -> list[bytes]:
    return [
        element(0, 0x0002, uid(CT)),
        element(0, 0x0100, struct.pack("<H", STORE_RQ)),
        element(0, 0x0110, struct.pack("<H", message_id)),
        element(0, 0x0700, struct.pack("<H", 0)),
        element(0, 0x0800, struct.pack("<H", 0)),
        element(0, 0x1000, uid(instance)),
    ]


class Line:
    """A connection to a port, or an association over it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), timeout=ANSWER_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Send, also to a peer that has hung up already."""
        try:
            self.socket.sendall(b"".join(parts))
        except OSError:
            return

    def receive(self, limit_s: float = ANSWER_S) -> Pdu | None:
        """Return the PDU that comes; None where the connection was closed; fail where neither happens in time."""
        deadline = time.monotonic() + limit_s
        header = self._read(6, deadline)
        if len(header) < 6:
            return None
        kind, length = struct.unpack(">BxI", header)
        return Pdu(kind, self._read(length, deadline))

    def associate(self, **changes: object) -> Pdu | None:
        """Ask for an association and return the answer."""
        self.send(request(**changes))
        return self.receive()

    def says_nothing(self, for_s: float) -> bool:
        """Say whether nothing comes, and the connection stays."""
        self.socket.settimeout(for_s)
        try:
            self.socket.recv(1)
        except TimeoutError:
            return True
        return False

    def _read(self, wanted: int, deadline: float) -> bytes:
        read = b""
        while len(read) < wanted:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                more = self.socket.recv(wanted - len(read))
            except ConnectionError:
                return b""
            if not more:
                return read
            read += more
        return read


def associated(port: int, **changes: object) -> Line:
    """Return an association."""
    line = Line(port)
    answer = line.associate(**changes)
    assert answer is not None
    assert answer.kind == AC
    return line


def echoes(port: int) -> bool:
    """Say whether a whole echo, from connection to release, goes well."""
    with associated(port) as line:
        line.send(pdu(DATA, value(3, 3, echo_command())))
        answer = line.receive()
        line.send(pdu(RELEASE, bytes(4)))
        ended = line.receive()
    return answer is not None and answer.kind == DATA and ended is not None and ended.kind == RELEASED
