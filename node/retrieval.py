"""Query/Retrieve put together: who may, on which database, and how objects go out.

References
----------
PS3.4 C Query/Retrieve Service Class; PS3.7 D.3.3.4 SCP/SCU Role Selection.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.presentation import PresentationContext, build_context

from dicom_out.association import NoAssociationError, Peer, pace
from dicom_out.sender import Originator, Sender, SendState, connect
from handlers.callers import is_named
from handlers.identifier import SOP_CLASSES
from handlers.query import QueryHandler, Reading
from handlers.retrieve import RetrieveHandler
from handlers.sub_operations import Move, Sent, Store, UnknownDestinationError, UnreachableError, Ways
from node.config import Config
from node.outbox import peer_of
from node.sections import Destination

logger = logging.getLogger(__name__)

_SENT = {SendState.SENT: Sent.COMPLETED, SendState.WARNED: Sent.WARNED}


class QueryRetrieveScp:
    """The Query/Retrieve SCP.

    Parameters
    ----------
    config : callable
        Returns the configuration in use.
    reading : callable
        Returns the database.
    root : Path
        The storage folder.
    """

    def __init__(self, config: Callable[[], Config], reading: Reading, *, root: Path) -> None:
        self._config = config
        self._query = QueryHandler(reading, root=root, ae_title=config().dicom.ae_title)
        ways = Ways(to_destination=self._to_destination, knows=self._knows, back=self._back)
        self._retrieve = RetrieveHandler(reading, root=root, ways=ways)

    @property
    def bindings(self) -> list[EventHandlerType]:
        """What sees which event."""
        return [
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_C_FIND, self._query),
        ]

    @property
    def contexts(self) -> list[PresentationContext]:
        """What is offered to who may."""
        syntaxes: list[str | UID] = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
        return [build_context(sop_class, syntaxes) for sop_class in SOP_CLASSES]

    def _requested(self, event: Event) -> None:
        """Offer it to this peer, if it may."""
        request, acceptor = event.assoc.requestor.primitive, event.assoc.acceptor
        if request and self._may(str(request.calling_ae_title).strip(), str(event.assoc.requestor.address)):
            acceptor.supported_contexts = [*acceptor.supported_contexts, *self.contexts]

    def _accepted(self, event: Event) -> None:
        if any(str(context.abstract_syntax) in SOP_CLASSES for context in event.assoc.accepted_contexts):
            pace(event.assoc)
            self._retrieve.accepted(event)

    def _may(self, ae_title: str, address: str) -> bool:
        return is_named(self._config().query_retrieve.calling_ae_titles, ae_title, address)

    def _destination(self, ae_title: str) -> Destination | None:
        return next((d for d in self._config().destinations if d.ae_title == ae_title.strip()), None)

    def _knows(self, ae_title: str) -> bool:
        return self._destination(ae_title) is not None

    @contextmanager
    def _to_destination(self, move: Move, paths: Sequence[Path]) -> Iterator[Store]:
        destination, config = self._destination(move.destination), self._config()
        if destination is None:
            raise UnknownDestinationError("no destination has this AE title")
        originator = Originator(ae_title=move.originator, message_id=move.message_id)
        try:
            with connect(paths, peer_of(config, destination), originator=originator) as sender:
                yield _told(sender, destination.ae_title)
        except NoAssociationError as error:
            raise UnreachableError(str(error)) from error

    def _back(self, association: Association, message_id: int) -> Store:
        """Send on contexts of which the peer took the SCP's role; without negotiation it has the other one."""
        roles = association.requestor.role_selection
        contexts = [
            context
            for context in association.accepted_contexts
            if context.abstract_syntax in roles and roles[context.abstract_syntax].scp_role
        ]
        requestor = association.requestor
        peer = Peer(
            host=str(requestor.address),
            port=requestor.port or 0,
            ae_title=str(requestor.ae_title),
            our_ae_title=self._config().dicom.ae_title,
            timeout_s=self._config().outbox.timeout_s,
        )
        sender = Sender(association, peer, contexts=contexts, originator=Originator(message_id=message_id))
        return _told(sender, peer.ae_title)


def _told(sender: Sender, ae_title: str) -> Store:
    """Return what sends a file, and logs why one did not go; once for all that did not for the same reason."""
    reasons: set[str] = set()

    def store(path: Path) -> Sent:
        outcome = sender.store(path)
        sent = _SENT.get(outcome.state, Sent.FAILED)
        why = outcome.message or f"status 0x{outcome.status or 0:04X}"
        if sent is Sent.FAILED and why not in reasons:
            reasons.add(why)
            logger.warning("%s did not get an object, or several: %s", ae_title, why, extra={"action": "retrieve"})
        return sent

    return store
