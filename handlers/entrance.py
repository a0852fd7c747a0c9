"""A connection and its A-ASSOCIATE-RQ -> an association of pynetdicom's.

References
----------
PS3.8 9.2 upper layer state machine: the events that pynetdicom's reactor would have met itself.
"""

import socket
from typing import Any, cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.transport import AssociationServer, RequestHandler

from handlers.connections import UnreadableRequestError
from handlers.reactor import keep_going
from handlers.request_items import MalformedRequestError, known_items_only

_BACKLOG = 256
_REQUEST_RECEIVED = "Evt6"
"""PS3.8 table 9-10."""


class Entrance:
    """A port's listening socket, and what makes associations of its connections.

    Parameters
    ----------
    entity : AE
        Ours.
    address : tuple
        Where to listen.
    handlers : sequence
        pynetdicom's event handlers.

    Raises
    ------
    OSError
        If the address cannot be had.
    """

    def __init__(self, entity: AE, address: tuple[str, int], handlers: list[EventHandlerType]) -> None:
        self._server = entity.make_server(address, evt_handlers=handlers, server_class=_Server)
        self._begun: list[Association] = []

    @property
    def listening(self) -> socket.socket:
        """Return the socket that connections come to."""
        return cast("socket.socket", self._server.socket)

    @property
    def open(self) -> int:
        """How many associations of this port have not ended."""
        self._begun = [association for association in self._begun if association.is_alive()]
        return len(self._begun)

    def enter(self, connection: socket.socket, address: tuple[str, int], request: bytes) -> None:
        """Begin an association; called by one thread only.

        Raises
        ------
        UnreadableRequestError
            If there can be none.
        """
        self._begun.append(_Beginning(connection, address, self._server, _decoded(request)).association)

    def close(self) -> None:
        """Listen no more."""
        self._server.server_close()


class _Server(AssociationServer):
    """Holds what associations ask their server for; it accepts nothing itself."""

    request_queue_size = _BACKLOG


class _Beginning(RequestHandler):
    """Makes an association that has received its request."""

    def __init__(
        self,
        connection: socket.socket,
        address: tuple[str, int],
        server: Any,  # noqa: ANN401 - pynetdicom's own types of it contradict each other
        request: A_ASSOCIATE_RQ,
    ) -> None:
        self._request = request
        super().__init__(connection, address, server)

    def handle(self) -> None:
        """Begin."""
        self.association = association = self._create_association()
        evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
        provider = association.dul
        keep_going(provider)
        provider.event_queue.put(_REQUEST_RECEIVED)
        provider._recv_pdu.put(self._request)  # noqa: SLF001 - where the upper layer's thread puts what it has read
        association.start()


def _decoded(request: bytes) -> A_ASSOCIATE_RQ:
    pdu = A_ASSOCIATE_RQ()
    try:
        pdu.decode(known_items_only(request))
        # Once more than it is needed: the upper layer's thread does it too, and would end of what this raises.
        proposed = pdu.to_primitive().presentation_context_definition_list
    except MalformedRequestError as error:
        raise UnreadableRequestError(str(error)) from error
    except Exception as error:  # pynetdicom raises anything for hostile bytes
        raise UnreadableRequestError("an A-ASSOCIATE-RQ that cannot be read") from error
    if not all(context.abstract_syntax and context.transfer_syntax for context in proposed):
        raise UnreadableRequestError("a presentation context without an abstract syntax or a transfer syntax")
    return pdu
