"""N-EVENT-REPORT: a peer reports which of the objects we sent it keeps.

The report comes on the association of the request, or on a new one in which the peer takes the SCP's role. It is
answered with success only after it is on stable storage: a peer reports once.

References
----------
PS3.4 J.3.3 Storage Commitment Push Model, notifications; PS3.3 C.14 (Failure Reason).
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from pynetdicom.events import Event

from db.faults import explain

logger = logging.getLogger(__name__)

_PROCESSING_FAILURE = 0x0110


class ReportStatus(IntEnum):
    """Status of our answer to a report (PS3.7 10.1.1)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    """It could not be recorded; we ask again later."""
    NO_SUCH_EVENT_TYPE = 0x0113
    INVALID_ARGUMENT = 0x0115
    """It cannot be read, or its transaction is none of ours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitmentReport:
    """What a peer keeps of what one transaction asked about."""

    transaction_uid: str
    committed: frozenset[str] = frozenset()
    """SOP Instance UIDs."""
    failed: Mapping[str, int] = field(default_factory=dict)
    """Failure Reason (0008,1197) by SOP Instance UID."""

    @classmethod
    def from_information(cls, information: Any) -> "CommitmentReport":  # noqa: ANN401 - a pydicom data set
        """Read the Event Information of a report; raises `AttributeError` if it lacks what it must have."""
        return cls(
            transaction_uid=str(information.TransactionUID),
            committed=frozenset(
                str(item.ReferencedSOPInstanceUID) for item in information.get("ReferencedSOPSequence") or ()
            ),
            failed={
                str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason") or _PROCESSING_FAILURE)
                for item in information.get("FailedSOPSequence") or ()
            },
        )


class CommitmentHandler:
    """Answers reports.

    Parameters
    ----------
    on_report : callable
        Records a report durably; returns whether its transaction is one of ours, None where it could not be recorded.
    """

    def __init__(self, on_report: Callable[[CommitmentReport], bool | None]) -> None:
        self._on_report = on_report

    def __call__(self, event: Event) -> tuple[int, None]:
        """Return the status for a report, without a data set; never raises."""
        try:
            return self._answer(event), None
        except Exception as error:  # the DIMSE edge: the peer must get a status, whatever failed
            if (why := explain(error)) is None:
                logger.exception("a storage commitment report could not be recorded", extra={"action": "commit"})
            else:
                logger.error("a storage commitment report was not recorded: %s", why, extra={"action": "commit"})  # noqa: TRY400 - the reason says it all
            return ReportStatus.PROCESSING_FAILURE, None

    def _answer(self, event: Event) -> ReportStatus:
        request: Any = event.request
        if request.EventTypeID not in {1, 2}:
            return ReportStatus.NO_SUCH_EVENT_TYPE
        try:
            report = CommitmentReport.from_information(event.event_information)
        except (AttributeError, ValueError, TypeError):
            logger.warning("a storage commitment report cannot be read", extra={"action": "commit"})
            return ReportStatus.INVALID_ARGUMENT
        known = self._on_report(report)
        if known is None:
            return ReportStatus.PROCESSING_FAILURE
        return ReportStatus.SUCCESS if known else ReportStatus.INVALID_ARGUMENT
