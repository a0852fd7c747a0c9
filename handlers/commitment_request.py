"""N-ACTION: a peer asks us to keep what it sent.

The request is answered with success only after it is on stable storage: from then on it is worked on whatever happens.

References
----------
PS3.4 J.3.2 Storage Commitment Push Model, operations; PS3.7 10.1.4 N-ACTION statuses.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.events import Event

from db.faults import explain
from db.files import is_uid

logger = logging.getLogger(__name__)

PUSH_MODEL, PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
_REQUEST = 1
"""The only Action Type ID (PS3.4 J.3.2)."""
_MOST_OBJECTS = 50_000


class RequestStatus(IntEnum):
    """Status of our answer to a request (PS3.7 10.1.4)."""

    SUCCESS = 0x0000
    """It is recorded and will be reported on."""
    PROCESSING_FAILURE = 0x0110
    """It could not be recorded; the peer may ask again."""
    NO_SUCH_SOP_INSTANCE = 0x0112
    INVALID_ARGUMENT = 0x0115
    """It has no transaction, or names no objects by their UIDs."""
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    """We commit ourselves to nobody, or not to this peer."""
    NO_SUCH_ACTION = 0x0123


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitmentRequest:
    """What a peer asks us to keep."""

    transaction_uid: str
    calling_ae_title: str
    association: Association
    objects: Sequence[tuple[str, str]]
    """SOP Class UID and SOP Instance UID."""

    @classmethod
    def from_event(cls, event: Event) -> "CommitmentRequest":
        """Read a request.

        Raises
        ------
        ValueError
            If it lacks what it must have.
        """
        information: Any = event.action_information
        objects = [
            (str(item.get("ReferencedSOPClassUID", "")), str(item.get("ReferencedSOPInstanceUID", "")))
            for item in information.get("ReferencedSOPSequence") or ()
        ]
        transaction_uid = str(information.get("TransactionUID", ""))
        uids = [transaction_uid, *(uid for names in objects for uid in names)]
        if not 1 <= len(objects) <= _MOST_OBJECTS or not all(is_uid(uid) for uid in uids):
            raise ValueError("no transaction, or no objects")
        return cls(
            transaction_uid=transaction_uid,
            calling_ae_title=str(event.assoc.requestor.ae_title).strip(),
            association=event.assoc,
            objects=objects,
        )


class RequestHandler:
    """Answers requests.

    Parameters
    ----------
    may : callable
        Says whether a peer may ask, by its AE title and address.
    on_request : callable
        Records a request durably; returns False where that cannot be done now.
    """

    def __init__(self, may: Callable[[str, str], bool], on_request: Callable[[CommitmentRequest], bool]) -> None:
        self._may = may
        self._on_request = on_request

    def __call__(self, event: Event) -> tuple[int, Dataset | None]:
        """Return the status for a request; never raises."""
        try:
            return self._answer(event), None
        except Exception as error:  # the DIMSE edge: the peer must get a status, whatever failed
            if (why := explain(error)) is None:
                logger.exception("a storage commitment request could not be recorded", extra={"action": "commit"})
            else:
                logger.error("a storage commitment request was not recorded: %s", why, extra={"action": "commit"})  # noqa: TRY400 - the reason says it all
            return RequestStatus.PROCESSING_FAILURE, None

    def _answer(self, event: Event) -> RequestStatus:
        request: Any = event.request
        requestor = event.assoc.requestor
        if not self._may(str(requestor.ae_title).strip(), str(requestor.address)):
            return RequestStatus.SOP_CLASS_NOT_SUPPORTED
        if str(request.RequestedSOPInstanceUID) != PUSH_MODEL_INSTANCE:
            return RequestStatus.NO_SUCH_SOP_INSTANCE
        if request.ActionTypeID != _REQUEST:
            return RequestStatus.NO_SUCH_ACTION
        try:
            asked = CommitmentRequest.from_event(event)
        except (AttributeError, ValueError, TypeError):
            logger.warning("a storage commitment request cannot be read", extra={"action": "commit"})
            return RequestStatus.INVALID_ARGUMENT
        return RequestStatus.SUCCESS if self._on_request(asked) else RequestStatus.PROCESSING_FAILURE


REFUSES_ALL = RequestHandler(lambda _ae_title, _address: False, lambda _request: False)
"""Of a node that commits itself to nobody."""
