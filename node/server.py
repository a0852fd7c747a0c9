"""The Storage SCP: what it accepts, whom it answers, and which handler sees what.

References
----------
PS3.8 9 (upper layer), PS3.4 A (verification), PS3.4 B (storage), PS3.4 J (storage commitment).
"""

import logging
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from typing import Any

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, evt
from pynetdicom.events import Event

from handlers.access import Access, Policy
from handlers.association import Associations
from handlers.callers import AllowedCaller, certificate_name
from handlers.commitment import CommitmentHandler
from handlers.commitment_request import REFUSES_ALL, RequestHandler
from handlers.connections import Door
from handlers.echo import handle_echo
from handlers.entrance import Entrance
from handlers.fast_path import FastPath
from handlers.lobby import ARTIM_S, Lobby
from handlers.negotiation import answer_asynchronous_operations, answer_extended
from handlers.refusals import Reason, Refusals
from handlers.store import StoreHandler
from handlers.upper_layer import MAX_PDU
from node.retrieval import QueryRetrieveScp
from node.sections import Dicom
from node.tls import Credentials

logger = logging.getLogger(__name__)

_VERIFICATION = "1.2.840.10008.1.1"
_STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"


class Server:
    """Listens for associations.

    Parameters
    ----------
    settings : Dicom
        Address, AE titles and limits.
    store : StoreHandler
        Takes what C-STORE brings.
    associations : Associations
        Told of every association.
    commitment : CommitmentHandler
        Answers reports on storage commitment.
    refusals : Refusals
        Told of whoever is not let in.
    requests : RequestHandler
        Answers requests for storage commitment.
    query_retrieve : QueryRetrieveScp or None
        Lets peers find and retrieve.

    Raises
    ------
    node.tls.UnusableFilesError
        If there is a port for TLS, and its files cannot be used.
    """

    def __init__(
        self,
        settings: Dicom,
        *,
        store: StoreHandler,
        associations: Associations,
        commitment: CommitmentHandler,
        refusals: Refusals,
        requests: RequestHandler = REFUSES_ALL,
        query_retrieve: QueryRetrieveScp | None = None,
    ) -> None:
        self._settings = settings
        self._refusals = refusals
        self._access = Access(policy_of(settings), refusals)
        self._credentials = Credentials(settings.tls) if settings.tls_port else None
        self._bindings: Sequence[tuple[evt.EventType, Callable[[Event], Any]]] = [
            (evt.EVT_CONN_OPEN, lambda event: FastPath(event.assoc, store).take_over()),
            (evt.EVT_ASYNC_OPS, answer_asynchronous_operations),
            (evt.EVT_SOP_EXTENDED, answer_extended),
            (evt.EVT_REQUESTED, self._access.requested),
            (evt.EVT_ACCEPTED, associations.accepted),
            (evt.EVT_C_ECHO, handle_echo),
            (evt.EVT_N_EVENT_REPORT, commitment),
            (evt.EVT_N_ACTION, requests),
            (evt.EVT_RELEASED, associations.ended),
            (evt.EVT_ABORTED, associations.ended),
            (evt.EVT_CONN_CLOSE, associations.ended),
            (evt.EVT_REJECTED, self._count_rejected),
            *(query_retrieve.bindings if query_retrieve else ()),
        ]
        self._entity = entity_of(settings)
        self._entrances: list[Entrance] = []
        self._lobby = Lobby(
            may_connect=self._access.may_connect,
            has_room=self._has_room,
            refusals=refusals,
            timeout_s=settings.network_timeout_s,
        )

    def start(self) -> None:
        """Listen, from then on for any storage SOP class, private and future ones too, in any transfer syntax.

        What we cannot read we still keep. pynetdicom has one such switch for a whole process.

        Raises
        ------
        OSError
            If the address cannot be had.
        """
        _config.UNRESTRICTED_STORAGE_SERVICE = True
        _config.LOG_HANDLER_LEVEL = "none"  # its handlers write what nobody reads, and fail at hostile messages
        doors = []
        for port, credentials in ((self._settings.port, None), (self._settings.tls_port, self._credentials)):
            if port:
                doors.append(self._open(port, credentials))
        self._lobby.start(doors)

    def use(self, settings: Dicom) -> None:
        """Let in by other settings from now on, and take certificates anew; ports and limits stay."""
        self._access.use(policy_of(settings))
        if self._credentials is not None:
            self._credentials.look(settings.tls)

    def look_at_certificates(self) -> None:
        """Take certificates whose files have changed."""
        if self._credentials is not None:
            self._credentials.look()

    def stop(self, *, grace_s: float) -> None:
        """Accept no more associations, give the open ones time to end, then abort them."""
        self._lobby.stop()
        for entrance in self._entrances:
            entrance.close()
        deadline = time.monotonic() + grace_s
        while self._entity.active_associations and time.monotonic() < deadline:
            time.sleep(0.05)
        self._entity.shutdown()

    def _open(self, port: int, credentials: Credentials | None) -> Door:
        host, name = self._settings.host, self._settings.ae_title
        entrance = Entrance(self._entity, (host, port), list(self._bindings), self._refusals)
        self._entrances.append(entrance)
        secured = " with TLS" if credentials else ""
        logger.info("listening as %s on %s:%d%s", name, host, port, secured, extra={"action": "listen"})
        return Door(
            listening=entrance.listening,
            context=credentials.context if credentials else None,
            enter=entrance.enter,
        )

    def _has_room(self) -> bool:
        return sum(entrance.open for entrance in self._entrances) < self._settings.maximum_associations

    def _count_rejected(self, event: Event) -> None:
        """Count what pynetdicom rejects itself; what we reject, we have counted."""
        request: Any = event.assoc.requestor
        self._refusals.add(
            Reason.OTHER,
            f"rejected an association of {request.primitive.calling_ae_title!r} at {request.address}: it asks for what "
            "this node does not offer",
        )


def entity_of(settings: Dicom) -> AE:
    """Return the application entity: its limits, and what it offers everyone beside storage."""
    entity = AE(ae_title=settings.ae_title)
    entity.maximum_pdu_size = MAX_PDU
    entity.maximum_associations = settings.maximum_associations
    entity.network_timeout = settings.network_timeout_s
    entity.dimse_timeout = settings.network_timeout_s
    entity.acse_timeout = ARTIM_S
    entity.add_supported_context(_VERIFICATION, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    # The peer that reports takes the SCP's role (PS3.4 J.3.3), although it calls us.
    entity.add_supported_context(_STORAGE_COMMITMENT, scu_role=False, scp_role=True)
    return entity


def policy_of(settings: Dicom) -> Policy:
    """Return who may have an association by these settings."""
    return Policy(
        our_ae_title=settings.ae_title,
        callers=tuple(AllowedCaller.of(text) for text in settings.calling_ae_titles),
        networks=tuple(ip_network(text) for text in settings.calling_networks),
        certificates={certificate_name(name): frozenset(titles) for name, titles in settings.certificates.items()},
        users=settings.users,
        requires_user=settings.require_user_identity,
    )
