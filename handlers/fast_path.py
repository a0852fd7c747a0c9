"""The fast path: an association's C-STORE data go from its socket into the spool file, with nothing in between.

pynetdicom has two threads for an association: the upper layer's (``assoc.dul``) alone reads and writes the socket, the
other one serves messages. Both look once a millisecond whether there is something to do. Here the upper layer's thread
reads the socket itself, blocking, for as long as C-STORE requests come, stores them and answers them; the other thread
is held meanwhile. Whatever else comes (another message, release, abort) is handed to pynetdicom as the PDU it came in,
at a message's boundary, and the thread goes back to pynetdicom's loop. So the socket never changes hands, and nobody
else can be writing while an answer goes out.

What it relies on inside pynetdicom (3.0.4; `tests/unit/handlers/test_pynetdicom.py` fails when any of it changes):

- ``DULServiceProvider.run_reactor`` calls ``_read_pdu_data`` in its own thread when the socket has something to read,
  after it has sent what ``to_provider_queue`` holds; then it gives the state machine what ``event_queue`` holds.
- ``_read_pdu_data`` is expected to put an event, and the decoded PDU into ``_recv_pdu``.
- ``_process_recv_primitive`` puts the event of what is first in ``to_provider_queue``; the event's action removes it.
- An A-P-ABORT in ``to_provider_queue`` is sent as an A-ABORT of the provider with its reason (action AA-1), and one in
  ``to_user_queue`` ends the association (``Association._run_reactor``).
- ``Association._run_reactor`` waits for ``_reactor_checkpoint`` in every round, and does nothing there that the upper
  layer's thread would not cause, but look at the idle timer.
- ``Association.abort`` does nothing once ``_sent_abort`` is set.
- ``DIMSEServiceProvider.send_msg`` is the only place where fragments of a message are put into ``to_provider_queue``.

References
----------
PS3.8 9.2 (state machine: Sta6 data transfer, Sta13 awaiting close), 9.3.5 P-DATA-TF, 9.3.8 A-ABORT; PS3.7 9.3.1.
"""

import contextlib
import logging
import socket
import threading
from typing import Any

from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_P_ABORT, P_DATA

from handlers.command_set import Command
from handlers.messages import Answer, Messages
from handlers.receipt import Caller, Receipt
from handlers.store import Reception, StoreHandler
from handlers.upper_layer import (
    MAX_PDU,
    AbortReason,
    PDUType,
    ProtocolError,
    command_fragments,
    data_pdu,
    goes_on,
    read_header,
)
from handlers.wire import Checkpoint, ConnectionClosedError, GivenUpError, Wire

logger = logging.getLogger(__name__)

LONGEST_OTHER_PDU = 1_000_000
"""Bytes of an A-ASSOCIATE-RQ; one of 128 contexts with every transfer syntax has a fifth of it."""
_RELEASE_OR_ABORT = 4
"""Bytes of a PDU that releases or aborts, without its header (PS3.8 9.3.6, 9.3.8)."""
_ESTABLISHED, _AWAITING_CLOSE = "Sta6", "Sta13"
_CLOSED, _INVALID_PDU = "Evt17", "Evt19"


class FastPath:
    """Reads all that comes over one association.

    Parameters
    ----------
    assoc : pynetdicom.association.Association
        An acceptor, before its threads are started.
    store : StoreHandler
        Takes what is to be stored.
    """

    def __init__(self, assoc: Any, store: StoreHandler) -> None:  # noqa: ANN401 - its insides are used, which have no types
        self._assoc = assoc
        self._dul = assoc.dul
        self._store = store
        self._messages: Messages | None = None
        self._caller = Caller(calling_ae_title="", called_ae_title="", peer_address="", association_id="")
        self._wire = Wire(assoc)
        self._sending = threading.Lock()
        self._checkpoint = Checkpoint()
        self._send_message = assoc.dimse.send_msg

    def take_over(self) -> None:
        """Put itself between the socket and pynetdicom."""
        self._dul._read_pdu_data = self.read  # noqa: SLF001 - see the module
        self._assoc._reactor_checkpoint = self._checkpoint  # noqa: SLF001 - see the module
        self._assoc.dimse.send_msg = self._send_whole
        self._assoc.bind(evt.EVT_CONN_CLOSE, self._connection_closed)
        with contextlib.suppress(OSError):  # of a peer that has hung up already
            self._dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self) -> None:
        """Read what has come; called by the upper layer's thread when there is something."""
        state = self._dul.state_machine.current_state
        try:
            if state == _AWAITING_CLOSE:
                self._wire.drain()
            elif state != _ESTABLISHED:
                self._read_for_pynetdicom()
            elif self._assoc.is_established:
                self._receive()
        except Exception as error:  # whatever it is, what was half received must not stay; what is not known goes on
            if self._messages is not None:
                self._messages.abandon()
            if not isinstance(error, ConnectionClosedError | GivenUpError | ProtocolError):
                raise
            self._end(error, state)
        finally:
            with contextlib.suppress(ConnectionClosedError):
                self._wire.give_back()

    def _end(self, error: Exception, state: str) -> None:
        if isinstance(error, ConnectionClosedError):
            self._dul.event_queue.put(_CLOSED)
        elif isinstance(error, ProtocolError):
            self._abort(error, state)

    def _receive(self) -> None:
        """Receive until there is something else to do."""
        messages = self._established()
        with self._checkpoint.held():
            try:
                while self._receive_pdu(messages):
                    # What was read already would not bring the thread back.
                    if self._is_wanted_elsewhere() and not self._wire.has_more:
                        return
            finally:
                self._send_abort()
                self._dul._idle_timer.restart()  # noqa: SLF001 - before the other thread looks at it again

    def _is_wanted_elsewhere(self) -> bool:
        """Say whether pynetdicom's loop has something to do."""
        return not (self._dul.event_queue.empty() and self._dul.to_provider_queue.empty())

    def _send_abort(self) -> None:
        """Send an abort that waits, before the other thread closes the connection, which it does at once."""
        if self._wire.is_to_abort() and self._dul.event_queue.empty():
            while self._dul._process_recv_primitive():  # noqa: SLF001 - see the module
                self._dul.state_machine.do_action(self._dul.event_queue.get(block=False))

    def _established(self) -> Messages:
        """Return the association's messages; what they need is known once it is established."""
        if self._messages is None:
            requestor = self._assoc.requestor
            self._caller = Caller(
                calling_ae_title=str(requestor.ae_title).strip(),
                called_ae_title=str(requestor.primitive.called_ae_title).strip(),
                peer_address=str(requestor.address),
                association_id=self._assoc.name,
            )
            contexts = {cx.context_id: UID(cx.transfer_syntax[0]) for cx in self._assoc.accepted_contexts}
            self._messages = Messages(contexts, self._begin)
        return self._messages

    def _begin(self, request: Command, transfer_syntax_uid: UID) -> Reception:
        receipt = Receipt(
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            caller=self._caller,
        )
        return self._store.begin(receipt)

    def _receive_pdu(self, messages: Messages) -> bool:
        """Receive one PDU; return False where none came between two messages, or it was the last."""
        header = self._wire.header(may_wait=messages.between, with_item=not messages.between)
        if not header:
            return False
        pdu_type, length = read_header(header)
        if pdu_type == PDUType.P_DATA_TF:
            more = (
                not messages.between and goes_on(length, self._wire.item_header()) and not self._is_wanted_elsewhere()
            )
            body = self._wire.body(length, longest=MAX_PDU, goes_on=more)
            for outcome in messages.take(body):
                if isinstance(outcome, Answer):
                    self._send(outcome)
                else:
                    self._hand_over(outcome.pdu)
        elif pdu_type in {PDUType.A_RELEASE_RQ, PDUType.A_ABORT}:
            # Neither waits for the end of a message (PS3.8 9.2, AR-2 and AA-3).
            messages.abandon()
            self._hand_over(header + self._wire.body(length, longest=_RELEASE_OR_ABORT))
            return False  # whatever else came
        elif pdu_type in set(PDUType):
            raise ProtocolError("a PDU that may not come now", AbortReason.UNEXPECTED_PDU)
        else:
            raise ProtocolError("an unknown PDU", AbortReason.UNRECOGNIZED_PDU)
        return True

    def _read_for_pynetdicom(self) -> None:
        """Read one PDU of an association that is not established yet, or no more."""
        header = self._wire.header()
        pdu_type, length = read_header(header)
        if pdu_type not in set(PDUType):
            raise ProtocolError("an unknown PDU", AbortReason.UNRECOGNIZED_PDU)
        self._hand_over(header + self._wire.body(length, longest=LONGEST_OTHER_PDU))

    def _hand_over(self, pdu: bytes) -> None:
        """Give pynetdicom a PDU as if it had read it."""
        try:
            decoded, event = self._dul._decode_pdu(bytearray(pdu))  # noqa: SLF001 - see the module
        except Exception as error:  # pynetdicom raises anything for hostile bytes
            raise ProtocolError("a PDU that cannot be read", AbortReason.INVALID_PDU_PARAMETER_VALUE) from error
        self._dul.event_queue.put(event)
        self._dul._recv_pdu.put(decoded)  # noqa: SLF001 - see the module

    def _send(self, answer: Answer) -> None:
        """Answer at once, or behind what others have still to send."""
        pieces = list(command_fragments(answer.command_set, longest=self._assoc.requestor.maximum_length or 0))
        with self._sending:
            if self._dul.to_provider_queue.empty():
                self._wire.send(b"".join(data_pdu(answer.context_id, piece) for piece in pieces))
                return
            for piece in pieces:
                primitive = P_DATA()
                primitive.presentation_data_value_list.append((answer.context_id, piece))
                self._dul.send_pdu(primitive)

    def _send_whole(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - pynetdicom's signature
        """Queue a message of pynetdicom's so that no answer of ours comes between its fragments."""
        with self._sending:
            self._send_message(*arguments, **options)

    def _abort(self, error: ProtocolError, state: str) -> None:
        """Abort as the state machine has it (PS3.8 9.2: AA-8 in Sta6, with the reason; else what Evt19 leads to)."""
        logger.warning(
            "aborted an association of %s: it sent %s",
            self._caller.calling_ae_title or self._assoc.requestor.address,
            error,
            extra={"action": "association", "association": self._assoc.name},
        )
        if state != _ESTABLISHED:
            self._dul.event_queue.put(_INVALID_PDU)
            return
        if self._assoc._sent_abort:  # noqa: SLF001 - the state machine breaks of a second one
            return
        self._assoc._sent_abort = True  # noqa: SLF001 - see above
        primitive = A_P_ABORT()
        primitive.provider_reason = error.reason
        self._dul.to_user_queue.put(primitive)
        self._dul.send_pdu(primitive)

    def _connection_closed(self, _event: Event) -> None:
        if self._messages is not None:
            self._messages.abandon()
