"""The socket of an association, read by the upper layer's thread; and how the other thread is held meanwhile.

Reads block, but never for long: an association may have to end, or have something to send, while its peer is silent.
The kernel counts that time where it can: Python's own timeouts ask it twice for every read, and wake for every segment.

References
----------
PS3.8 9.1.5 (ARTIM), 9.2 (state machine).
"""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

from pynetdicom.pdu_primitives import A_ABORT, A_P_ABORT

from handlers.upper_layer import HEADER_SIZE, ITEM_HEADER_SIZE, MAX_PDU, AbortReason, ProtocolError

_LOOK_EVERY_S = 0.05
"""How long a read blocks before it looks whether the association is to end, or something is to be sent."""


class ConnectionClosedError(Exception):
    """The peer hung up."""


class GivenUpError(Exception):
    """The association is to end, and what is being read is of no more use."""


class Wire:
    """Reads from an association's socket.

    Parameters
    ----------
    assoc : pynetdicom.association.Association
        Its upper layer's thread alone calls the methods.
    """

    def __init__(self, assoc: Any) -> None:  # noqa: ANN401 - its insides are used, which have no types
        self._assoc = assoc
        self._dul = assoc.dul
        self._buffer = memoryview(b"")
        self._next = memoryview(bytearray(HEADER_SIZE + ITEM_HEADER_SIZE))
        self._ahead = 0
        self._flags = 0

    @property
    def has_more(self) -> bool:
        """Whether something of the next PDU was read already."""
        return self._ahead > 0

    def header(self, *, may_wait: bool = False, with_item: bool = False) -> bytes:
        """Read the header of a PDU.

        Parameters
        ----------
        may_wait : bool
            Whether to return nothing if nothing came for a moment.
        with_item : bool
            Whether a P-DATA-TF has to come, of which `item_header` is read too.

        Raises
        ------
        ConnectionClosedError, GivenUpError
            If the rest will not come.
        ProtocolError
            If the peer has said nothing for too long.
        """
        if self._ahead < HEADER_SIZE:
            wanted = len(self._next) if with_item else HEADER_SIZE
            self._ahead = self._fill(self._next[:wanted], self._ahead, HEADER_SIZE, may_wait=may_wait)
        return bytes(self._next[: min(self._ahead, HEADER_SIZE)])

    def item_header(self) -> memoryview:
        """Return what was read behind the header: how the first presentation data value begins, or less."""
        return self._next[HEADER_SIZE : self._ahead]

    def body(self, length: int, *, longest: int, goes_on: bool = False) -> memoryview:
        """Read the so many bytes of a PDU behind its header; they are there until the next is read.

        Parameters
        ----------
        length, longest : int
            Of the body, and how long it may be.
        goes_on : bool
            Whether another PDU has to follow before anything is answered; its header is read with this one's body. To
            ask the kernel half as often is what several associations gain by that.

        Raises
        ------
        ConnectionClosedError, GivenUpError
            As `header` does.
        ProtocolError
            Also if they are too many.
        """
        if length > longest:
            raise ProtocolError("a PDU longer than was agreed", AbortReason.INVALID_PDU_PARAMETER_VALUE)
        if length + len(self._next) > len(self._buffer):
            self._buffer = memoryview(bytearray(max(length, min(longest, MAX_PDU)) + len(self._next)))
        known = self._next[HEADER_SIZE : min(self._ahead, HEADER_SIZE + length)]
        beyond = bytes(self._next[HEADER_SIZE + length : self._ahead])
        self._buffer[: len(known)] = known
        if len(known) < length:
            wanted = length + (len(self._next) if goes_on else 0)
            filled = self._fill(self._buffer[:wanted], len(known), length)
            beyond = bytes(self._buffer[length:filled])
        self._next[: len(beyond)] = beyond
        self._ahead = len(beyond)
        return self._buffer[:length]

    def _fill(self, view: memoryview, filled: int, needed: int, *, may_wait: bool = False) -> int:
        """Read until a buffer has what is needed, and more of it that comes at once; return how much it has."""
        connection = self.connection()
        heard_at = time.monotonic()
        while filled < needed:
            try:
                count = connection.recv_into(view[filled:], 0, self._flags)
            except (TimeoutError, BlockingIOError):  # Python's clock; the kernel's
                if may_wait and not filled:
                    return 0
                self._look_up(heard_at)
                continue
            except OSError as error:
                raise ConnectionClosedError from error
            if not count:
                raise ConnectionClosedError
            heard_at, filled = time.monotonic(), filled + count
            if filled < needed:
                self._look_up(heard_at)
        return filled

    def connection(self) -> socket.socket:
        """Return the socket, whose reads block for a moment; `ConnectionClosedError` if there is none any more."""
        connection: socket.socket | None = self._dul.socket.socket
        if connection is None:
            raise ConnectionClosedError
        if isinstance(connection, ssl.SSLSocket):  # it deals with records, and knows no flags
            self._let_wait(connection, _LOOK_EVERY_S)
        elif not self._flags:
            self._let_kernel_wait(connection)
        return connection

    def give_back(self) -> None:
        """Let the socket be as pynetdicom has it, which may raise `ConnectionClosedError`."""
        connection = self._dul.socket.socket
        if connection is None:
            raise ConnectionClosedError
        self._let_wait(connection, self._assoc.network_timeout)
        self._flags = 0

    def send(self, data: bytes) -> None:
        """Send all of it; a peer that takes nothing for `network_timeout_s` has hung up."""
        if isinstance(self.connection(), ssl.SSLSocket):
            self._let_wait(self.connection(), self._assoc.network_timeout)
        self._dul.socket.send(data)

    def _let_kernel_wait(self, connection: socket.socket) -> None:
        self._let_wait(connection, None)
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(_LOOK_EVERY_S))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(self._assoc.network_timeout or 0.0))
        except OSError as error:
            raise ConnectionClosedError from error
        self._flags = socket.MSG_WAITALL

    def _let_wait(self, connection: socket.socket, timeout_s: float | None) -> None:
        try:
            if connection.gettimeout() != timeout_s:
                connection.settimeout(timeout_s)
        except OSError as error:  # the association's other thread closes it when the node stops
            raise ConnectionClosedError from error

    def drain(self) -> None:
        """Pass over what still comes while the connection is about to be closed."""
        try:
            if self.connection().recv(MAX_PDU):
                return
        except (TimeoutError, BlockingIOError):
            return
        except OSError as error:
            raise ConnectionClosedError from error
        raise ConnectionClosedError

    def is_to_abort(self) -> bool:
        """Say whether an abort waits to be sent."""
        return any(isinstance(one, A_ABORT | A_P_ABORT) for one in list(self._dul.to_provider_queue.queue))

    def _look_up(self, heard_at: float) -> None:
        """See whether it is worth while to wait for the rest of a PDU.

        Raises
        ------
        GivenUpError
            If the association is about to end.
        ProtocolError
            If the peer has said nothing for too long.
        """
        if self.is_to_abort() or self._dul._kill_thread or self._dul.artim_timer.expired:  # noqa: SLF001 - see handlers.fast_path
            raise GivenUpError
        timeout = self._assoc.network_timeout
        if timeout is not None and time.monotonic() - heard_at > timeout:
            raise ProtocolError("nothing came for network_timeout_s in mid-message", AbortReason.NOT_SPECIFIED)


class Checkpoint(threading.Event):
    """pynetdicom's checkpoint of its serving thread, which in addition stays while the fast path is busy."""

    def __init__(self) -> None:
        super().__init__()
        self._free = threading.Event()
        self._free.set()
        self.set()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold whoever comes to it."""
        self._free.clear()
        try:
            yield
        finally:
            self._free.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set and nobody holds it."""
        self._free.wait(timeout)
        return super().wait(timeout)


def _timeval(seconds: float) -> bytes:
    """Return a C ``struct timeval``; 0 waits for ever."""
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
