"""Associations that we ask for: to whom, why there is none, and how to end one from outside.

References
----------
PS3.8 7.1 A-ASSOCIATE, 9.3.4 A-ASSOCIATE-RJ.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import DimseServiceType
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.pdu_primitives import P_DATA, MaximumLengthNotification, SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

MAX_CONTEXTS = 128
_MAX_PDU = 131072
_MOST_WAITING = 32
"""Messages of at most `_MAX_PDU` bytes that wait for the line."""
_DATA_TRANSFER = "Sta6"
"""The association is established (PS3.8 9.2.1)."""
_LINE_PAUSE_S = 0.001
_NO_REASON = "it gives no reason; its log may"
_REJECTIONS = {
    (1, 1): _NO_REASON,
    (1, 2): "it does not speak DICOM's application context",
    (1, 3): "it does not know us; add AE title {peer.our_ae_title} to its list of peers",
    (1, 7): "it does not answer to AE title {peer.ae_title}; correct ae_title of the destination",
    (2, 1): _NO_REASON,
    (2, 2): "it does not speak this version of the protocol",
    (3, 1): "it is busy for the moment",
    (3, 2): "it has as many associations as it allows; it is free again later, or allows more",
}
"""By source and diagnostic of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """Whom to call, and who we say we are."""

    host: str
    port: int
    ae_title: str
    our_ae_title: str
    timeout_s: float = 30.0
    context: Callable[[], ssl.SSLContext] | None = None
    """Makes what it is called with over TLS; raises `OSError` if it cannot. None calls without."""
    certificate_name: str = ""
    """What its certificate must be for."""

    def __str__(self) -> str:
        return f"{self.ae_title} at {self.host}:{self.port}"


class NoAssociationError(Exception):
    """The peer gave us no association; the message says why and what to do."""


class Lines:
    """The connections that are open or being opened, so that all can be cut at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Association] = set()
        self._cut = False

    def cut(self) -> None:
        """Hang up every line, and each that is opened from now on; whoever waits at one is woken."""
        with self._lock:
            self._cut = True
            lines = list(self._open)
        for association in lines:
            _hang_up(association)

    def opened(self, event: Event) -> None:
        """Take note of a line, as soon as it is dialled and again when it is connected."""
        with self._lock:
            self._open.add(event.assoc)
            cut = self._cut
        if cut:
            _hang_up(event.assoc)

    def closed(self, association: Association) -> None:
        """Forget a line."""
        with self._lock:
            self._open.discard(association)


@contextmanager
def associate(
    peer: Peer,
    contexts: Sequence[PresentationContext],
    *,
    lines: Lines | None = None,
    handlers: Sequence[EventHandlerType] = (),
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Iterator[Association]:
    """Hold an association with a peer, and release it at the end.

    Parameters
    ----------
    peer : Peer
        Whom to call.
    contexts : sequence of PresentationContext
        What to propose; the first 128 are.
    lines : Lines or None
        Through which the connection can be cut.
    handlers : sequence
        pynetdicom's event handlers.
    roles : sequence
        Role selections to propose.

    Yields
    ------
    Association
        Established, unless the peer accepted none of the contexts: then it has ended, and says so.

    Raises
    ------
    NoAssociationError
        If there is none.
    """
    lines = lines or Lines()
    call = _Call(peer)
    try:
        tls = (peer.context(), peer.certificate_name) if peer.context else None
    except OSError as error:
        raise NoAssociationError(str(error)) from error
    entity = AE(ae_title=peer.our_ae_title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = peer.timeout_s
    entity.maximum_pdu_size = _MAX_PDU
    bindings: list[EventHandlerType] = [
        (evt.EVT_REQUESTED, lines.opened),
        (evt.EVT_CONN_OPEN, call.connected),
        (evt.EVT_CONN_OPEN, lines.opened),
        (evt.EVT_ABORTED, _wake),
        *handlers,
    ]
    try:
        association = entity.associate(
            peer.host,
            peer.port,
            contexts=list(contexts[:MAX_CONTEXTS]),
            ae_title=peer.ae_title,
            evt_handlers=bindings,
            ext_neg=list(roles),
            tls_args=tls,
        )
    except OSError as error:  # a name that cannot be resolved
        raise NoAssociationError(f"{peer.host}: {error.strerror}; correct host of the destination") from error
    try:
        # pynetdicom aborts an association of which no context was accepted; that is an answer, not a fault of the line.
        if not association.is_established and not (association.rejected_contexts and not association.accepted_contexts):
            raise NoAssociationError(call.failure(association))
        _give_answers_back(association)
        pace(association)
        yield association
    except KeyboardInterrupt:
        _hang_up(association)  # a peer that hangs would hold whoever wants to end, until the limit
        raise
    finally:
        if association.is_established:
            association.release()
        lines.closed(association)


class _Call:
    """What is known of one attempt to associate."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._connected = False

    def connected(self, event: Event) -> None:
        """Prepare the connection.

        Nagle's algorithm halves the rate of small messages (RFC 896). pynetdicom takes the limit of time off the
        socket after connecting: a peer that stops reading would block its thread for ever.
        """
        self._connected = True
        connection = event.assoc.dul.socket
        if connection is not None and connection.socket is not None:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.socket.settimeout(self._peer.timeout_s)

    def failure(self, association: Association) -> str:
        """Return why there is no association, and what to do."""
        if association.is_rejected:
            answer = association.acceptor.primitive
            source, diagnostic = (answer.result_source or 0, answer.diagnostic or 0) if answer else (0, 0)
            reason = _REJECTIONS.get((source, diagnostic), _NO_REASON).format(peer=self._peer)
            return f"{self._peer} rejected the association: {reason}"
        if self._connected:
            return (
                f"{self._peer} took the connection but gave no association within {self._peer.timeout_s:g} s, or hung "
                "up; is it a DICOM peer, and well?"
            )
        if self._peer.context is not None:
            return (
                f"{self._peer} cannot be reached by TLS; is it up, is that its port for TLS, does it take our "
                f"certificate, and is its own for {self._peer.certificate_name} and of the ca in [dicom.tls]?"
            )
        return f"{self._peer} cannot be reached; is it up, and are host and port of the destination right?"


def _give_answers_back(association: Association) -> None:
    """Put answers that pynetdicom's reactor takes off the queue back there, for who waits for them.

    The reactor pauses while a request is under way. Where a busy machine lets it run late, it looks for a message once
    more, finds the answer and drops it: the request would then wait its whole limit, and fail.
    """
    serve = association._serve_request  # noqa: SLF001 - there is no other way to see a message before it is dropped

    def serve_request(message: DimseServiceType, context_id: int) -> None:
        if message.is_valid_response:
            association.dimse.msg_queue.put((context_id, message))
        else:
            serve(message, context_id)

    setattr(association, "_serve_request", serve_request)  # noqa: B010 - mypy lets no method be assigned


def pace(association: Association) -> None:
    """Have a sender wait for the line: pynetdicom takes an object of any size into memory, faster than it leaves.

    A peer that sets no limit would be sent all of an object in one message.
    """
    peer = association.requestor if association.is_acceptor else association.acceptor
    for item in peer.user_information:
        if isinstance(item, MaximumLengthNotification):
            item.maximum_length_received = min(item.maximum_length_received or _MAX_PDU, _MAX_PDU)
    provider = association.dul
    send = provider.send_pdu

    def is_open() -> bool:
        return bool(provider.state_machine.current_state == _DATA_TRANSFER)

    def send_pdu(primitive: Any) -> None:  # noqa: ANN401 - pynetdicom's type of it is private
        empties_it = threading.current_thread() is provider
        while provider.to_provider_queue.qsize() >= _MOST_WAITING and is_open() and not empties_it:
            time.sleep(_LINE_PAUSE_S)
        if is_open() or not isinstance(primitive, P_DATA):  # nobody would ever take data of a dead line off the queue
            send(primitive)

    setattr(provider, "send_pdu", send_pdu)  # noqa: B010 - mypy lets no method be assigned


def _wake(event: Event) -> None:
    """Wake whoever waits for an answer on an association that has ended.

    pynetdicom does it once; where its reactor takes that message itself, the wait would last its whole limit.
    """
    event.assoc.dimse.msg_queue.put((None, None))


def _hang_up(association: Association) -> None:
    """End the connection under an association: whatever reads, writes or connects there fails at once."""
    connection = association.dul.socket
    raw = connection.socket if connection is not None else None
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.shutdown(socket.SHUT_RDWR)
