"""The file meta information of a received instance is what a well-known library writes of the same values."""

import json

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from handlers.receipt import CIRCUMSTANCES_CREATOR_UID, Caller, Receipt, Seal, sealed

NAME = "01795289657474102011-f880bb22.dcm"
OWN_NAME = f"{2**128 - 1:x}.part"
UNSEALED = {"own_name": "", "spool_name": "", "size": 0, "crc32": 0}


def receipt(**changes):
    values = {
        "sop_class_uid": str(CTImageStorage),
        "sop_instance_uid": "1.2.3",
        "transfer_syntax_uid": UID(ExplicitVRLittleEndian),
        "caller": Caller(
            calling_ae_title="SCANNER", called_ae_title="NODE1", peer_address="::1", association_id="association-1"
        ),
    }
    return Receipt(**(values | changes))


@pytest.mark.parametrize("changes", [{}, {"sop_instance_uid": "1.22.3"}, {"transfer_syntax_uid": UID("1.2.3.44")}])
@pytest.mark.parametrize("seal", [None, Seal(own_name=OWN_NAME, spool_name=NAME, size=4 * 10**9, crc32=2**32 - 1)])
def test_it_is_byte_for_byte_what_pydicom_writes(changes, seal):
    one = receipt(**changes)
    header = sealed(one.file_header(), seal) if seal else one.file_header()
    information = header[header.index(b"{") :]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = one.sop_class_uid
    meta.MediaStorageSOPInstanceUID = one.sop_instance_uid
    meta.TransferSyntaxUID = one.transfer_syntax_uid
    meta.SourceApplicationEntityTitle = meta.SendingApplicationEntityTitle = "SCANNER"
    meta.ReceivingApplicationEntityTitle = "NODE1"
    meta.PrivateInformationCreatorUID = CIRCUMSTANCES_CREATOR_UID
    meta.PrivateInformation = information
    buffer = DicomBytesIO()
    buffer.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(buffer, meta, enforce_standard=True)
    assert header == buffer.getvalue()
    assert json.loads(information) == {
        "peer_address": "::1",
        "association_id": "association-1",
        **({"own_name": OWN_NAME, "spool_name": NAME, "size": 4 * 10**9, "crc32": 2**32 - 1} if seal else UNSEALED),
    }


def test_what_has_no_header_gets_none_from_a_seal():
    assert sealed(b"", Seal(own_name=OWN_NAME, spool_name=NAME, size=1, crc32=1)) == b""


@pytest.mark.parametrize("uid", ["", "1.2/../3", "1." * 40, "né"])
def test_a_uid_that_is_none_makes_no_header(uid):
    with pytest.raises(ValueError, match="UID"):
        receipt(sop_instance_uid=uid).file_header()
    assert receipt(sop_instance_uid=uid).file_header_or_nothing() == b""


def test_an_ae_title_that_is_not_ascii_does_not_break_the_file(tmp_path):
    caller = Caller(calling_ae_title="RÖNTGEN", called_ae_title="", peer_address="::1", association_id="a")
    (tmp_path / "x").write_bytes(receipt(caller=caller).file_header())
    assert dcmread(tmp_path / "x").file_meta.SendingApplicationEntityTitle == "R?NTGEN"
