"""Where connections wait until they ask for an association: accepted, greeted by TLS, and read up to the end of that.

One thread watches all of them, so that hundreds of idle or slow ones cost a legitimate sender nothing; only a whole
A-ASSOCIATE-RQ makes an association, with its threads. Waiting connections are bounded apart from associations, and end
after the time of ARTIM; where there are too many, the oldest of the address that has most goes first.

References
----------
PS3.8 9.1.5 ARTIM timer, 9.2.3 state Sta2 and actions AA-1 and AA-2.
"""

import contextlib
import logging
import selectors
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from handlers.connections import (
    ABORT,
    LIMIT_EXCEEDED,
    MAX_REQUEST,
    Address,
    Connection,
    Door,
    Stage,
)
from handlers.refusals import Reason, Refusals
from handlers.upper_layer import HEADER_SIZE

logger = logging.getLogger(__name__)

ARTIM_S = 5.0
_MOST_WAITING = 256
_ACCEPTED_AT_ONCE = 64
_PAUSE_WITHOUT_FILES_S = 0.1
_SPEAKS_PLAIN = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "BAD_RECORD_TYPE"})


class Lobby:
    """Where connections wait until they ask for an association.

    Parameters
    ----------
    may_connect : callable
        Given the addresses of a peer and of ours that it called, says whether anything may come.
    has_room : callable
        Says whether one more association may be open.
    refusals : Refusals
        Told of whoever is not let in.
    timeout_s : float
        How long the socket of an association may say nothing in the middle of a PDU.
    artim_s : float
        How long a connection may take until its A-ASSOCIATE-RQ is complete.
    most_waiting : int
        Connections without an association.
    """

    def __init__(
        self,
        *,
        may_connect: Callable[[str, str], bool],
        has_room: Callable[[], bool],
        refusals: Refusals,
        timeout_s: float,
        artim_s: float = ARTIM_S,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self._may_connect = may_connect
        self._has_room = has_room
        self._refusals = refusals
        self._timeout_s = timeout_s
        self._artim_s = artim_s
        self._most_waiting = most_waiting
        self._selector = selectors.DefaultSelector()
        self._waiting: dict[Connection, None] = {}
        """In the order of their deadlines."""
        self._stopping = threading.Event()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="lobby", daemon=True)

    def start(self, doors: Sequence[Door]) -> None:
        """Accept connections at every door."""
        for door in doors:
            door.listening.setblocking(False)
            self._selector.register(door.listening, selectors.EVENT_READ, door)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more, and end what waits; the listening sockets stay open."""
        self._stopping.set()
        self._wake.send(b"\0")
        if self._thread.is_alive():
            self._thread.join()
        for connection in list(self._waiting):
            self._end(connection)
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(self._until_next_deadline()):
                if isinstance(key.data, Door):
                    self._accept(key.data)
                elif key.data in self._waiting:  # not ended meanwhile to make room
                    self._go_on(key.data)
            self._end_the_late()

    def _until_next_deadline(self) -> float | None:
        earliest = next(iter(self._waiting), None)
        return None if earliest is None else max(0.0, earliest.deadline - time.monotonic())

    def _accept(self, door: Door) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                accepted, address = door.listening.accept()
            except BlockingIOError:
                return
            except OSError as error:  # the peer is gone again, or there are no files left
                logger.debug("a connection could not be accepted: %s", error)
                self._stopping.wait(_PAUSE_WITHOUT_FILES_S)
                return
            # A socket of both families gives addresses of version 4 in the form of version 6 (RFC 4291 2.5.5.2).
            self._greet(door, accepted, (address[0].removeprefix("::ffff:"), address[1]))

    def _greet(self, door: Door, accepted: socket.socket, address: Address) -> None:
        stage = Stage.REQUEST
        try:
            if not self._may_connect(address[0], accepted.getsockname()[0]):
                accepted.close()
                self._refusals.add(
                    Reason.ADDRESS,
                    f"refused a connection from {address[0]}: no network of dicom.calling_networks holds it; "
                    "add one there if it may send",
                )
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if door.context is not None:
                stage = Stage.HANDSHAKE
                accepted = door.context().wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        except OSError:
            accepted.close()
            return
        if len(self._waiting) >= self._most_waiting:
            self._make_room()
        connection = Connection(accepted, address, door, time.monotonic() + self._artim_s, stage)
        self._wait_for(connection)

    def _make_room(self) -> None:
        """End the oldest connection of the address that has most of them: a flood drives out itself."""
        ((most, _),) = Counter(connection.address[0] for connection in self._waiting).most_common(1)
        self._end(next(connection for connection in self._waiting if connection.address[0] == most))
        self._refusals.add(
            Reason.CONNECTIONS,
            f"ended a connection from {most}: {self._most_waiting} wait without having asked for an association, "
            "most of them from there; see what opens them",
        )

    def _go_on(self, connection: Connection) -> None:
        """Do what can be done without waiting."""
        events = selectors.EVENT_READ
        try:
            _STEPS[connection.stage](self, connection)
            return
        except ssl.SSLWantWriteError:
            events |= selectors.EVENT_WRITE
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except ssl.SSLEOFError:  # it only looked whether somebody listens
            self._end(connection)
            return
        except ssl.SSLError as error:
            self._refuse_tls(connection, error)
            return
        except OSError:
            self._end(connection)
            return
        self._selector.modify(connection.socket, events, connection)

    def _shake_hands(self, connection: Connection) -> None:
        greeted = connection.socket
        if isinstance(greeted, ssl.SSLSocket):
            greeted.do_handshake()
        connection.stage = Stage.REQUEST
        self._read_request(connection)  # what came with the end of the handshake wakes nobody

    def _read_request(self, connection: Connection) -> None:
        while wanted := connection.wanted:
            received = connection.socket.recv(wanted)
            if not received:
                self._end(connection)
                return
            connection.request += received
            if len(connection.request) == HEADER_SIZE and (what := connection.misfit()) is not None:
                self._end(connection) if connection.is_abort else self._refuse(connection, what)
                return
        self._hand_over(connection)

    def _hand_over(self, connection: Connection) -> None:
        if not self._has_room():
            self._refusals.add(
                Reason.ASSOCIATIONS,
                f"rejected an association of {connection.names()}: as many associations are open as "
                "dicom.maximum_associations allows; it may try again, or raise it",
            )
            self._answer(connection, LIMIT_EXCEEDED)
            return
        self._forget(connection)
        try:
            connection.socket.settimeout(self._timeout_s)
            connection.door.enter(connection.socket, connection.address, bytes(connection.request))
        except (OSError, RuntimeError) as error:  # a peer that is gone; no more threads
            logger.warning("no association with %s: %s", connection.address[0], error, extra={"action": "association"})
            connection.socket.close()

    def _refuse(self, connection: Connection, what: str) -> None:
        self._refusals.add(Reason.PROTOCOL, f"refused a connection from {connection.address[0]}: it sent {what}")
        self._answer(connection, ABORT)  # AA-1

    def _answer(self, connection: Connection, pdu: bytes) -> None:
        """Say a last word; then wait for the peer to close, ARTIM anew."""
        with contextlib.suppress(BlockingIOError, ssl.SSLError):
            connection.socket.send(pdu)
        self._close_after(connection)

    def _refuse_tls(self, connection: Connection, error: ssl.SSLError) -> None:
        if error.reason in _SPEAKS_PLAIN:
            why = "it speaks no TLS on the port that is for TLS"
        else:
            why = f"the TLS handshake failed: {(error.reason or 'no reason').replace('_', ' ').lower()}"
            if isinstance(error, ssl.SSLCertVerificationError):
                why += f" ({error.verify_message})"
        self._refusals.add(Reason.TLS, f"refused a connection from {connection.address[0]}: {why}")
        self._close_after(connection)

    def _close_after(self, connection: Connection) -> None:
        connection.stage = Stage.CLOSING
        connection.deadline = time.monotonic() + self._artim_s
        self._waiting.pop(connection)
        self._waiting[connection] = None
        try:
            connection.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(connection)
            return
        self._selector.modify(connection.socket, selectors.EVENT_READ, connection)

    def _read_away(self, connection: Connection) -> None:
        received = len(connection.socket.recv(MAX_REQUEST))
        connection.read_away += received
        if not received or connection.read_away > MAX_REQUEST:
            self._end(connection)

    def _end_the_late(self) -> None:
        now = time.monotonic()
        while (earliest := next(iter(self._waiting), None)) is not None and earliest.deadline <= now:
            self._end(earliest)
            if earliest.stage is not Stage.CLOSING:
                self._refusals.add(
                    Reason.SILENT,
                    f"ended a connection from {earliest.address[0]}: it did not ask for an association within "
                    f"{self._artim_s:g} s",
                )

    def _wait_for(self, connection: Connection) -> None:
        self._waiting[connection] = None
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _end(self, connection: Connection) -> None:
        self._forget(connection)
        connection.socket.close()

    def _forget(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection.socket)


_STEPS: dict[Stage, Callable[[Lobby, Connection], None]] = {
    Stage.HANDSHAKE: Lobby._shake_hands,  # noqa: SLF001 - a table of this module's own
    Stage.REQUEST: Lobby._read_request,  # noqa: SLF001 - see above
    Stage.CLOSING: Lobby._read_away,  # noqa: SLF001 - see above
}
