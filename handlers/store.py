"""C-STORE: the bytes as they came, onto stable storage, and only then success.

The data set is neither decoded nor changed. Its circumstances travel in the file meta information of the spool file
(PS3.10 7.1 has elements for most of them), so that one file, written once and fsynced once, holds all that is known
of a receipt.

References
----------
PS3.4 B Storage Service Class; PS3.10 7.1 File Meta Information.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom.events import Event

from db.faults import Trouble
from db.files import Storage, is_uid, new_spool_name, write_durably
from handlers.association import Associations
from handlers.identity import Identity, UnreadableDataSetError, WrongIdentityError, scan
from handlers.quarantine import Quarantine
from handlers.space import DiskSpace
from handlers.status import StoreStatus

logger = logging.getLogger(__name__)

_OVER_AFTER_S = 5.0
CIRCUMSTANCES_CREATOR_UID = UID("2.25.269105341867354891254817930215874120457")
"""Private Information Creator UID (0002,0100) of the circumstances below."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """One C-STORE request and how it came."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: UID
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    association_id: str
    data_set: memoryview

    @classmethod
    def from_event(cls, event: Event) -> "Receipt":
        """Take a pynetdicom C-STORE event apart."""
        request: Any = event.request
        requestor = event.assoc.requestor
        return cls(
            sop_class_uid=str(request.AffectedSOPClassUID or ""),
            sop_instance_uid=str(request.AffectedSOPInstanceUID or ""),
            transfer_syntax_uid=UID(event.context.transfer_syntax),
            calling_ae_title=str(requestor.ae_title).strip(),
            called_ae_title=str(requestor.primitive.called_ae_title if requestor.primitive else "").strip(),
            peer_address=str(requestor.address),
            association_id=event.assoc.name,
            data_set=request.DataSet.getbuffer() if request.DataSet else memoryview(b""),
        )

    def file_header(self) -> bytes:
        """Return preamble, prefix and file meta information of a DICOM file that holds the data set."""
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(self.sop_class_uid)
        meta.MediaStorageSOPInstanceUID = UID(self.sop_instance_uid)
        meta.TransferSyntaxUID = self.transfer_syntax_uid
        meta.SourceApplicationEntityTitle = self.calling_ae_title
        meta.SendingApplicationEntityTitle = self.calling_ae_title
        meta.ReceivingApplicationEntityTitle = self.called_ae_title
        meta.PrivateInformationCreatorUID = CIRCUMSTANCES_CREATOR_UID
        circumstances = json.dumps({"peer_address": self.peer_address, "association_id": self.association_id}).encode()
        meta.PrivateInformation = circumstances + b" " * (len(circumstances) % 2)
        buffer = DicomBytesIO()
        buffer.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(buffer, meta, enforce_standard=True)
        return buffer.getvalue()


_REFUSALS = {
    UnreadableDataSetError: (StoreStatus.CANNOT_UNDERSTAND, "Send the instance again as it was made, whole."),
    WrongIdentityError: (
        StoreStatus.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
        "Correct it where the instance was made or changed, and send it again.",
    ),
}


class StoreHandler:
    """Answers C-STORE requests.

    Parameters
    ----------
    storage : Storage
        Whose spool takes what is accepted.
    quarantine : Quarantine
        Takes what is refused.
    space : DiskSpace
        Says whether there is room.
    associations : Associations
        Told of every instance.
    on_spooled : callable
        Called after an instance is on stable storage; must return at once.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        quarantine: Quarantine,
        space: DiskSpace,
        associations: Associations,
        on_spooled: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage = storage
        self._quarantine = quarantine
        self._space = space
        self._trouble = Trouble(
            "what is received cannot be kept and is answered with 0xA700", logger, over_after_s=_OVER_AFTER_S
        )
        self._associations = associations
        self._on_spooled = on_spooled

    def __call__(self, event: Event) -> int:
        """Return the status for a C-STORE request; never raises."""
        try:
            return self._store(Receipt.from_event(event))
        except Exception as error:  # the DIMSE edge: the peer must get a status, whatever failed
            if not self._trouble.met(error):
                logger.exception("C-STORE failed", extra={"action": "store", "association": event.assoc.name})
            self._associations.refused(event.assoc.name)
            return StoreStatus.OUT_OF_RESOURCES

    def _store(self, receipt: Receipt) -> int:
        if not self._space.take(len(receipt.data_set)):
            self._associations.refused(receipt.association_id)
            return StoreStatus.OUT_OF_RESOURCES
        try:
            identity = _checked_identity(receipt)
        except (UnreadableDataSetError, WrongIdentityError) as error:
            return self._refuse(receipt, error)
        write_durably(self._storage.spool / new_spool_name(), (receipt.file_header(), receipt.data_set))
        self._trouble.end()
        self._associations.received(receipt.association_id, identity.study_instance_uid)
        self._on_spooled()
        return StoreStatus.SUCCESS

    def _refuse(self, receipt: Receipt, error: UnreadableDataSetError | WrongIdentityError) -> int:
        status, remedy = _REFUSALS[type(error)]
        self._associations.refused(receipt.association_id)
        kept: Path | None = self._quarantine.keep(
            (_header_or_nothing(receipt), receipt.data_set), size=len(receipt.data_set), reason=f"{error}. {remedy}"
        )
        logger.warning(
            "refused an instance from %s with 0x%04X: %s; %s",
            receipt.calling_ae_title,
            status,
            error,
            f"kept as quarantine/{kept.name}" if kept else "not kept, the quarantine is full",
            extra={"action": "store", "association": receipt.association_id},
        )
        return status


def _checked_identity(receipt: Receipt) -> Identity:
    identity = scan(receipt.data_set, receipt.transfer_syntax_uid)
    if identity.sop_class_uid and identity.sop_class_uid != receipt.sop_class_uid:
        raise WrongIdentityError("SOPClassUID is not the one of the C-STORE request")
    if identity.sop_instance_uid and identity.sop_instance_uid != receipt.sop_instance_uid:
        raise WrongIdentityError("SOPInstanceUID is not the one of the C-STORE request")
    # Where the scan ended before the data set's own UIDs, these are all that there is to name it by.
    for keyword, value in (("SOPClassUID", receipt.sop_class_uid), ("SOPInstanceUID", receipt.sop_instance_uid)):
        if not is_uid(value):
            raise WrongIdentityError(f"{keyword} of the C-STORE request is not a UID")
    return identity


def _header_or_nothing(receipt: Receipt) -> bytes:
    """Return a file header, or nothing where the command's own UIDs are unfit for one."""
    try:
        return receipt.file_header()
    except (AttributeError, ValueError):
        return b""
