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
from pynetdicom.transport import AssociationServer, RequestHandler

from handlers.reactor import keep_going
from handlers.refusals import Reason, Refusals
from handlers.request import MalformedRequestError, read_request

_BACKLOG = 256
_REQUEST_RECEIVED, _INVALID_PDU = "Evt6", "Evt19"
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
    refusals : Refusals
        Told of requests that cannot be read.

    Raises
    ------
    OSError
        If the address cannot be had.
    """

    def __init__(
        self, entity: AE, address: tuple[str, int], handlers: list[EventHandlerType], refusals: Refusals
    ) -> None:
        self._refusals = refusals
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
        """Begin an association; called by one thread only."""
        self._begun.append(_Beginning(connection, address, self._server, request, self._refusals).association)

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
        request: bytes,
        refusals: Refusals,
    ) -> None:
        self._request = request
        self._refusals = refusals
        super().__init__(connection, address, server)

    def handle(self) -> None:
        """Begin."""
        self.association = association = self._create_association()
        evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
        keep_going(association.dul, begin=self._begin)
        association.start()

    def _begin(self) -> None:
        """Have the state machine find the request; in the upper layer's own thread, as one may take long to read."""
        provider = self.association.dul
        try:
            pdu = read_request(self._request)
        except MalformedRequestError as error:
            self._refusals.add(Reason.PROTOCOL, f"refused a connection from {self.client_address[0]}: it sent {error}")
            provider.event_queue.put(_INVALID_PDU)
            provider.to_user_queue.put(None)  # ends the wait for a request, as its time limit does
            return
        provider._recv_pdu.put(pdu)  # noqa: SLF001 - where the upper layer's thread puts what it has read
        provider.event_queue.put(_REQUEST_RECEIVED)
