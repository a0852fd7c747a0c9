"""The Storage SCP: what it accepts, whom it answers, and which handler sees what.

References
----------
PS3.8 9 (upper layer), PS3.4 A (verification), PS3.4 B (storage), PS3.4 J (storage commitment).
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt
from pynetdicom.events import Event
from pynetdicom.transport import ThreadedAssociationServer

from handlers.association import Associations
from handlers.commitment import CommitmentHandler, refuse_request
from handlers.echo import handle_echo
from handlers.store import StoreHandler
from node.sections import Dicom

logger = logging.getLogger(__name__)

MAX_PDU = 131072
_ARTIM_S = 5
_WHY_REJECTED = {
    (1, 3): "its AE title is not in dicom.calling_ae_titles; add it there if it may send",
    (1, 7): "that is not dicom.ae_title; the peer must call us by it",
    (3, 2): "as many associations are open as dicom.maximum_associations allows; it may try again, or raise it",
}
"""By source and diagnostic of an A-ASSOCIATE-RJ (PS3.8 table 9-21)."""
_VERIFICATION = "1.2.840.10008.1.1"
_STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"


class Server:
    """Listens for associations.

    Parameters
    ----------
    settings : Dicom
        Address, AE titles and limits.
    store : StoreHandler
        Answers C-STORE.
    associations : Associations
        Told of every association.
    commitment : CommitmentHandler
        Answers reports on storage commitment.
    """

    def __init__(
        self,
        settings: Dicom,
        *,
        store: StoreHandler,
        associations: Associations,
        commitment: CommitmentHandler,
    ) -> None:
        self._settings = settings
        self._bindings: Sequence[tuple[evt.EventType, Callable[[Event], Any]]] = [
            (evt.EVT_ACCEPTED, associations.accepted),
            (evt.EVT_C_ECHO, handle_echo),
            (evt.EVT_C_STORE, store),
            (evt.EVT_N_EVENT_REPORT, commitment),
            (evt.EVT_N_ACTION, refuse_request),
            (evt.EVT_RELEASED, associations.ended),
            (evt.EVT_ABORTED, associations.ended),
            (evt.EVT_CONN_CLOSE, associations.ended),
            (evt.EVT_REJECTED, self._log_rejected),
        ]
        self._entity = self._make_entity()
        self._listener: ThreadedAssociationServer | None = None

    def _make_entity(self) -> AE:
        settings = self._settings
        entity = AE(ae_title=settings.ae_title)
        entity.maximum_pdu_size = MAX_PDU
        entity.maximum_associations = settings.maximum_associations
        entity.network_timeout = settings.network_timeout_s
        entity.dimse_timeout = settings.network_timeout_s
        entity.acse_timeout = _ARTIM_S
        entity.add_supported_context(_VERIFICATION, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        # The peer that reports takes the SCP's role (PS3.4 J.3.3), although it calls us.
        entity.add_supported_context(_STORAGE_COMMITMENT, scu_role=False, scp_role=True)
        entity.require_calling_aet = list(settings.calling_ae_titles)
        return entity

    def start(self) -> None:
        """Listen, from then on for any storage SOP class, private and future ones too, in any transfer syntax.

        What we cannot read we still keep. pynetdicom has one such switch for a whole process.

        Raises
        ------
        OSError
            If the address cannot be had.
        """
        settings = self._settings
        _config.UNRESTRICTED_STORAGE_SERVICE = True
        self._listener = self._entity.start_server(
            (settings.host, settings.port), block=False, evt_handlers=list(self._bindings)
        )
        logger.info(
            "listening as %s on %s:%d", settings.ae_title, settings.host, settings.port, extra={"action": "listen"}
        )

    def stop(self, *, grace_s: float) -> None:
        """Accept no more associations, give the open ones time to end, then abort them."""
        if self._listener is not None:
            self._listener.shutdown()
        deadline = time.monotonic() + grace_s
        while self._entity.active_associations and time.monotonic() < deadline:
            time.sleep(0.05)
        self._entity.shutdown()

    def _log_rejected(self, event: Event) -> None:
        request: Any = event.assoc.requestor
        answer: Any = event.assoc.acceptor.primitive
        logger.warning(
            "rejected an association of %r at %s, which called us %r: %s",
            request.primitive.calling_ae_title,
            request.address,
            request.primitive.called_ae_title,
            _WHY_REJECTED.get((answer.result_source, answer.diagnostic), "it asks for what this node does not offer"),
            extra={"action": "association"},
        )
