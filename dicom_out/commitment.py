"""Storage commitment SCU: ask a peer to confirm that it keeps what it took.

References
----------
PS3.4 J Storage Commitment Service Class; PS3.7 10.1.4 N-ACTION.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.presentation import build_context

from dicom_out.association import Lines, NoAssociationError, Peer, associate

_PUSH_MODEL = UID("1.2.840.10008.1.20.1")
_PUSH_MODEL_INSTANCE = UID("1.2.840.10008.1.20.1.1")
_REQUEST = 1
"""The only Action Type ID (PS3.4 J.3.2)."""
_LOOK_S = 0.1


class NotSupportedError(Exception):
    """The peer offers no storage commitment."""


class NotAcceptedError(Exception):
    """The peer did not accept the request; it may later."""


def request_commitment(
    instances: Sequence[tuple[str, str]],
    peer: Peer,
    *,
    transaction_uid: str,
    on_report: Callable[[Event], Any],
    reported: threading.Event,
    wait_s: float,
    lines: Lines | None = None,
) -> None:
    """Ask a peer to commit itself, and hold the association a little for its report.

    Parameters
    ----------
    instances : sequence of (str, str)
        SOP Class UID and SOP Instance UID.
    peer : Peer
        Stored them.
    transaction_uid : str
        New, and already known to whoever takes the report.
    on_report : callable
        Handles N-EVENT-REPORT.
    reported : threading.Event
        Set when the report was recorded, on whichever association it came.
    wait_s : float
        How long to hold the association.
    lines : Lines or None
        Through which the connection can be cut.

    Raises
    ------
    NoAssociationError
        If the peer gives none, or ends it without an answer.
    NotSupportedError
        If it rejects the presentation context.
    NotAcceptedError
        If it answers with a failure status.
    """
    context = build_context(_PUSH_MODEL)
    report = _ReportHere(on_report)
    handlers: list[EventHandlerType] = [(evt.EVT_N_EVENT_REPORT, report.handle), (evt.EVT_PDU_SENT, report.sent)]
    with associate(peer, [context], lines=lines, handlers=handlers) as association:
        if not association.accepted_contexts:
            raise NotSupportedError(f"{peer.ae_title} offers no storage commitment")
        try:
            answer, _ = association.send_n_action(
                _information(instances, transaction_uid),
                _REQUEST,
                _PUSH_MODEL,
                _PUSH_MODEL_INSTANCE,
            )
        except RuntimeError as error:
            raise NoAssociationError(f"{peer} ended the association") from error
        if "Status" not in answer:
            raise NoAssociationError(f"{peer} did not answer the request for storage commitment")
        if answer.Status != 0x0000:
            raise NotAcceptedError(f"{peer} answered the request for storage commitment with 0x{answer.Status:04X}")
        for _ in range(int(wait_s / _LOOK_S)):
            if report.answered.wait(_LOOK_S) or not association.is_established:
                break
            if reported.is_set() and not report.came:
                break


class _ReportHere:
    """A report that comes on the association of its request, which must not be released before it is answered."""

    def __init__(self, on_report: Callable[[Event], Any]) -> None:
        self._on_report = on_report
        self._handled = False
        self.came = False
        self.answered = threading.Event()

    def handle(self, event: Event) -> Any:  # noqa: ANN401 - the handler's own answer
        """Have the report handled."""
        self.came = True
        try:
            return self._on_report(event)
        finally:
            self._handled = True

    def sent(self, _event: Event) -> None:
        """Take note of the answer; nothing else is sent meanwhile."""
        if self._handled:
            self.answered.set()


def _information(instances: Sequence[tuple[str, str]], transaction_uid: str) -> Dataset:
    information = Dataset()
    information.TransactionUID = UID(transaction_uid)
    information.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in instances:
        item = Dataset()
        item.ReferencedSOPClassUID = UID(sop_class_uid)
        item.ReferencedSOPInstanceUID = UID(sop_instance_uid)
        information.ReferencedSOPSequence.append(item)
    return information
