"""Storage commitment SCP, its second half: report to a peer what we keep of what it asked about.

References
----------
PS3.4 J.3.3 Storage Commitment Push Model, notifications; PS3.7 10.1.1 N-EVENT-REPORT, D.3.3.4 role selection.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import build_role
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from dicom_out.association import Lines, NoAssociationError, Peer, associate
from dicom_out.commitment import NotAcceptedError, NotSupportedError

_PUSH_MODEL = UID("1.2.840.10008.1.20.1")
_PUSH_MODEL_INSTANCE = UID("1.2.840.10008.1.20.1.1")
_ALL_KEPT, _SOME_FAILED = 1, 2
"""Event Type IDs (PS3.4 J.3.3)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What we keep of what one transaction asked about.

    Attributes
    ----------
    objects : sequence of (str, str, int or None)
        SOP Class UID, SOP Instance UID, and the Failure Reason (0008,1197) of what is not kept.
    """

    transaction_uid: str
    objects: Sequence[tuple[str, str, int | None]]

    @property
    def event_type(self) -> int:
        """Whether anything failed."""
        return _SOME_FAILED if any(reason is not None for *_, reason in self.objects) else _ALL_KEPT

    def information(self) -> Dataset:
        """Return the Event Information."""
        information = Dataset()
        information.TransactionUID = UID(self.transaction_uid)
        kept = [_item(one, uid, reason) for one, uid, reason in self.objects if reason is None]
        failed = [_item(one, uid, reason) for one, uid, reason in self.objects if reason is not None]
        if kept:
            information.ReferencedSOPSequence = kept
        if failed:
            information.FailedSOPSequence = failed
        return information


def report_commitment(report: Report, peer: Peer, *, lines: Lines | None = None) -> None:
    """Report on an association of our own, in which we take the SCP's role.

    Raises
    ------
    NoAssociationError
        If the peer gives none, or ends it without an answer.
    NotSupportedError
        If it rejects the presentation context.
    NotAcceptedError
        If it answers with a failure status.
    """
    role = build_role(_PUSH_MODEL, scu_role=False, scp_role=True)
    with associate(peer, [build_context(_PUSH_MODEL)], lines=lines, roles=[role]) as association:
        if not association.accepted_contexts:
            raise NotSupportedError(f"{peer.ae_title} takes no reports on storage commitment")
        report_on(association, report, str(peer))


def report_on(association: Association, report: Report, who: str) -> None:
    """Report on an association that is open; raises as `report_commitment` does."""
    try:
        answer, _ = association.send_n_event_report(
            report.information(), report.event_type, _PUSH_MODEL, _PUSH_MODEL_INSTANCE
        )
    except (RuntimeError, ValueError) as error:
        raise NoAssociationError(f"{who} ended the association") from error
    if "Status" not in answer:
        raise NoAssociationError(f"{who} did not answer the report on storage commitment")
    if answer.Status != 0x0000:
        raise NotAcceptedError(f"{who} answered the report on storage commitment with 0x{answer.Status:04X}")


def _item(sop_class_uid: str, sop_instance_uid: str, reason: int | None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = UID(sop_class_uid)
    item.ReferencedSOPInstanceUID = UID(sop_instance_uid)
    if reason is not None:
        item.FailureReason = reason
    return item
