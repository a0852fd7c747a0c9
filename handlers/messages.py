"""Messages out of fragments: C-STORE requests go to storage as they arrive, every other message goes on as it came.

It knows no socket and no thread: bytes of P-DATA-TF PDUs in, answers and what is not for us out.

References
----------
PS3.7 9.3.1 C-STORE protocol; PS3.8 Annex E (how a message is cut into fragments).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydicom.uid import UID

from handlers.command_set import C_STORE_RQ, COMMAND_FIELDS, Command, MalformedCommandError, read_command
from handlers.upper_layer import AbortReason, Fragment, PDUType, ProtocolError, as_pdu, fragments

LONGEST_COMMAND = 65536
"""Bytes; a real one has a few hundred."""
LONGEST_OTHER_DATA_SET = 32_000_000
"""Bytes of what is not stored but held in memory: a query, a report on a hundred thousand instances."""


class Reception(Protocol):
    """Takes one data set."""

    def write(self, chunk: memoryview) -> None:
        """Take the next bytes."""

    def finish(self) -> int:
        """Return the status for the whole."""

    def abandon(self) -> None:
        """Remove what came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An encoded command set to send in a presentation context."""

    context_id: int
    command_set: bytes


@dataclass(frozen=True, slots=True)
class Other:
    """A P-DATA-TF that carries a part of a message which is not ours."""

    pdu: bytes


class Messages:
    """The messages of one association.

    Parameters
    ----------
    contexts : Mapping
        Transfer syntax agreed on, by presentation context ID.
    begin : callable
        Takes a C-STORE request and the transfer syntax of its data set; returns what takes the data set.
    """

    def __init__(self, contexts: Mapping[int, UID], begin: Callable[[Command, UID], Reception]) -> None:
        self._contexts = contexts
        self._begin = begin
        self._context_id = 0
        self._command = bytearray()
        self._items: list[bytes] = []
        self._request: Command | None = None
        self._reception: Reception | None = None
        self._in_data_set = False
        self._others_size = 0

    @property
    def between(self) -> bool:
        """Whether no message is under way."""
        return not (self._in_data_set or self._items)

    def take(self, body: memoryview) -> Iterator[Answer | Other]:
        """Take a P-DATA-TF.

        Raises
        ------
        ProtocolError
            If it does not go on with the message under way, or begin a new one.
        """
        for fragment in fragments(body):
            if fragment.context_id not in self._contexts:
                raise ProtocolError(
                    "a presentation context that was not accepted", AbortReason.INVALID_PDU_PARAMETER_VALUE
                )
            if not self.between and fragment.context_id != self._context_id:
                raise ProtocolError("another presentation context in mid-message", AbortReason.UNEXPECTED_PDU_PARAMETER)
            self._context_id = fragment.context_id
            if fragment.of_command is self._in_data_set:
                raise ProtocolError("command and data set out of turn", AbortReason.UNEXPECTED_PDU_PARAMETER)
            yield from self._take_data(fragment) if self._in_data_set else self._take_command(fragment)

    def abandon(self) -> None:
        """Drop the message under way; nothing of it was answered."""
        if self._reception is not None:
            self._reception.abandon()
        self._next()

    def _take_command(self, fragment: Fragment) -> Iterator[Answer | Other]:
        self._command += fragment.data
        self._items.append(bytes(fragment.item))
        if len(self._command) > LONGEST_COMMAND or len(self._items) > LONGEST_COMMAND:
            raise ProtocolError("a command set without end", AbortReason.INVALID_PDU_PARAMETER_VALUE)
        if not fragment.last:
            return
        try:
            command = read_command(self._command)
            if command.field == C_STORE_RQ:
                _ = command.message_id
        except MalformedCommandError as error:
            raise ProtocolError(str(error), AbortReason.INVALID_PDU_PARAMETER_VALUE) from error
        if command.field == C_STORE_RQ:
            yield from self._begin_storing(command)
        elif command.field in COMMAND_FIELDS:
            yield from self._pass_on(command)
        else:
            raise ProtocolError("an unknown message", AbortReason.INVALID_PDU_PARAMETER_VALUE)

    def _begin_storing(self, command: Command) -> Iterator[Answer]:
        self._request = command
        self._items, self._in_data_set = [], command.has_data_set
        self._reception = self._begin(command, self._contexts[self._context_id])
        if not command.has_data_set:
            yield self._answer()

    def _pass_on(self, command: Command) -> Iterator[Other]:
        items = b"".join(self._items)
        if command.has_data_set:
            self._items, self._in_data_set = [], True
        else:
            self._next()
        yield Other(as_pdu(PDUType.P_DATA_TF, items))

    def _take_data(self, fragment: Fragment) -> Iterator[Answer | Other]:
        if self._reception is not None:
            self._reception.write(fragment.data)
            if fragment.last:
                yield self._answer()
            return
        self._others_size += len(fragment.item)
        if self._others_size > LONGEST_OTHER_DATA_SET:
            raise ProtocolError("a data set too long for its message", AbortReason.INVALID_PDU_PARAMETER_VALUE)
        if fragment.last:
            self._next()
        yield Other(as_pdu(PDUType.P_DATA_TF, bytes(fragment.item)))

    def _answer(self) -> Answer:
        request, reception = self._request, self._reception
        if request is None or reception is None:
            raise RuntimeError("no C-STORE request is under way")
        answer = Answer(self._context_id, request.store_response(reception.finish()))
        self._next()
        return answer

    def _next(self) -> None:
        self._command, self._items, self._others_size = bytearray(), [], 0
        self._request, self._reception, self._in_data_set = None, None, False
