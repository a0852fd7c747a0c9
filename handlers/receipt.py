"""How an instance came: its command, its peer; written into the file meta information of its file.

The circumstances have elements of PS3.10 7.1 for most of them, so that one file, written once and fsynced once, holds
all that is known of a receipt.

References
----------
PS3.10 7.1 File Meta Information.
"""

import json
from dataclasses import dataclass

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

CIRCUMSTANCES_CREATOR_UID = UID("2.25.269105341867354891254817930215874120457")
"""Private Information Creator UID (0002,0100) of the circumstances below."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who sends over one association."""

    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    association_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """One C-STORE request and how it came; UIDs as the command gives them, whatever they are."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: UID
    caller: Caller

    def file_header(self) -> bytes:
        """Return preamble, prefix and file meta information of a DICOM file that holds the data set.

        Raises
        ------
        AttributeError, ValueError
            If the command's UIDs are unfit for a file.
        """
        caller = self.caller
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(self.sop_class_uid)
        meta.MediaStorageSOPInstanceUID = UID(self.sop_instance_uid)
        meta.TransferSyntaxUID = self.transfer_syntax_uid
        meta.SourceApplicationEntityTitle = caller.calling_ae_title
        meta.SendingApplicationEntityTitle = caller.calling_ae_title
        meta.ReceivingApplicationEntityTitle = caller.called_ae_title
        meta.PrivateInformationCreatorUID = CIRCUMSTANCES_CREATOR_UID
        circumstances = json.dumps(
            {"peer_address": caller.peer_address, "association_id": caller.association_id}
        ).encode()
        meta.PrivateInformation = circumstances + b" " * (len(circumstances) % 2)
        buffer = DicomBytesIO()
        buffer.write(b"\0" * 128 + b"DICM")
        write_file_meta_info(buffer, meta, enforce_standard=True)
        return buffer.getvalue()

    def file_header_or_nothing(self) -> bytes:
        """Return a file header, or nothing where the command's own UIDs are unfit for one."""
        try:
            return self.file_header()
        except (AttributeError, ValueError, TypeError):  # the last is what pydicom makes of an error of encoding
            return b""
