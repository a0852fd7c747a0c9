import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
)

from handlers import identity
from handlers.identity import Identity, UnreadableDataSetError, WrongIdentityError, scan

UIDS = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
    "SOPInstanceUID": "1.2.3",
    "StudyInstanceUID": "1.2",
    "SeriesInstanceUID": "1.2.1",
}
EXPECTED = Identity("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2", "1.2.1")
SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGLosslessSV1,
    UID("1.3.6.1.4.1.99999.1"),
]


def encoded(syntax=ExplicitVRLittleEndian, **changes) -> memoryview:
    dataset = Dataset()
    for keyword, value in (UIDS | {"PatientName": "Yamada^Tarou", "Rows": 512} | changes).items():
        if value is not None:
            setattr(dataset, keyword, value)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax == ImplicitVRLittleEndian
    buffer.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(buffer, dataset)
    data = buffer.getvalue()
    if syntax == DeflatedExplicitVRLittleEndian:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = deflater.compress(data) + deflater.flush()
    return memoryview(data)


def scan_of(data, syntax):
    return scan(lambda size: bytes(data[:size]), syntax)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=str)
def test_the_identity_is_read_in_every_transfer_syntax(syntax):
    assert scan_of(encoded(syntax), syntax) == EXPECTED


@pytest.mark.parametrize("keyword", UIDS)
def test_an_absent_uid_is_named(keyword):
    with pytest.raises(WrongIdentityError, match=f"{keyword} is absent"):
        scan_of(encoded(**{keyword: None}), ExplicitVRLittleEndian)


@pytest.mark.parametrize("value", ["1.2.3/../../x", "abc", "1..2", "1" * 65])
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")
def test_a_hostile_uid_is_named(value):
    with pytest.raises(WrongIdentityError, match="StudyInstanceUID is not a UID"):
        scan_of(encoded(StudyInstanceUID=value), ExplicitVRLittleEndian)


def test_an_empty_patient_is_legal():
    assert scan_of(encoded(PatientName="", PatientID=""), ExplicitVRLittleEndian) == EXPECTED


def test_a_damaged_deflated_stream_is_unreadable():
    with pytest.raises(UnreadableDataSetError):
        scan_of(memoryview(b"\xff" * 100), DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)), b"\0" * 100], ids=repr)
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian], ids=str)
def test_bytes_that_are_no_data_set_are_unreadable(data, syntax):
    with pytest.raises(UnreadableDataSetError):
        scan_of(memoryview(data), syntax)


@pytest.mark.parametrize("kept", [10, 33, 60, 90])
def test_a_data_set_that_ends_before_its_uids_is_unreadable(kept):
    with pytest.raises(UnreadableDataSetError, match="cut off"):
        scan_of(encoded()[:kept], ExplicitVRLittleEndian)


@pytest.mark.parametrize("kept", [0, 1, 60])
def test_a_deflated_stream_that_is_cut_off_is_unreadable(kept):
    with pytest.raises(UnreadableDataSetError, match="cut off"):
        scan_of(encoded(DeflatedExplicitVRLittleEndian)[:kept], DeflatedExplicitVRLittleEndian)


def test_a_header_beyond_the_limit_is_taken_on_the_commands_word(monkeypatch):
    monkeypatch.setattr(identity, "SCAN_LIMIT", 400)
    long = encoded(PatientComments="x" * 1000)
    found = scan_of(long, ExplicitVRLittleEndian)
    assert found.sop_instance_uid == "1.2.3"
    assert found.series_instance_uid == ""


@given(st.binary(max_size=400), st.sampled_from(SYNTAXES))
def test_no_bytes_make_the_scan_raise_anything_else(data, syntax):
    with contextlib.suppress(UnreadableDataSetError, WrongIdentityError):
        scan_of(memoryview(data), syntax)


def test_the_scan_does_not_read_pixels():
    data = bytes(encoded()) + b"garbage that is no element"
    assert scan_of(memoryview(data), ExplicitVRLittleEndian) == EXPECTED


@pytest.mark.parametrize(("history", "reads"), [(10, 1), (16_384, 2), (40_000, 2)])
def test_of_a_data_set_that_names_itself_early_little_is_read_and_of_any_other_enough(history, reads):
    data = bytes(encoded(AdditionalPatientHistory="x" * history)) + b"\0" * 300_000
    asked = []

    def read(size):
        asked.append(size)
        return data[:size]

    assert scan(read, ExplicitVRLittleEndian) == EXPECTED
    assert asked == [identity._GLANCE, identity.SCAN_LIMIT + 1][:reads]


def test_bytes_that_are_no_data_set_are_unreadable_however_many_they_are():
    with pytest.raises(UnreadableDataSetError):
        scan_of(memoryview(bytes(range(256)) * 200), ExplicitVRLittleEndian)


@pytest.mark.parametrize("size", [100, 20_000, 1_100_000])
@pytest.mark.parametrize("keyword", UIDS)
def test_an_empty_uid_is_absent_however_long_the_data_set(keyword, size):
    data = bytes(encoded(**{keyword: ""})) + b"\0" * size
    with pytest.raises(WrongIdentityError, match=f"{keyword} is absent"):
        scan_of(memoryview(data), ExplicitVRLittleEndian)


def with_study(vr, value):
    """Return a data set in explicit VR whose Study Instance UID has this VR and these bytes."""
    tag, data = b"\x20\0\x0d\0", bytes(encoded())
    at = data.index(tag + b"UI\4\0")
    length = bytes(2) + len(value).to_bytes(4, "little") if vr == b"OB" else len(value).to_bytes(2, "little")
    return data[:at] + tag + vr + length + value + data[at + 12 :]


@pytest.mark.parametrize(("vr", "value"), [(b"OB", b"1.2.3\0"), (b"FD", b"1.2.3.45")])
def test_a_uid_of_another_kind_is_no_uid_here_as_it_is_none_when_it_is_indexed(vr, value):
    with pytest.raises((WrongIdentityError, UnreadableDataSetError)):
        scan_of(with_study(vr, value), ExplicitVRLittleEndian)


@pytest.mark.parametrize("value", [b" 1.2.30", b"1.2.3 ", b"1.2.3\n"])
def test_space_round_a_uid_is_no_part_of_it(value):
    found = scan_of(with_study(b"UI", value), ExplicitVRLittleEndian)
    assert found.study_instance_uid == value.strip(b" \n\0").decode()
