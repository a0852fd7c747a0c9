"""Uncompressed files turned into the other uncompressed transfer syntax: every value stays."""

import io

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLosslessSV1

from dicom_out import part10
from dicom_out.part10 import other_way, recode
from phantom.ct import make_chest
from phantom.dicom import to_datasets

BOTH = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)


@pytest.fixture
def written(tmp_path):
    """Write one slice, with a private element and values whose representation depends on others."""

    def write(syntax):
        (slice_,) = to_datasets(make_chest(slices=1, rows=8, columns=8, spacing_mm=(5.0, 40.0, 40.0)))
        slice_.private_block(0x0029, "OPACITY TEST", create=True).add_new(1, "LO", "private")
        slice_.SmallestImagePixelValue = 0
        slice_.preamble, slice_.file_meta.TransferSyntaxUID = bytes(128), syntax
        pydicom.dcmwrite(tmp_path / "x.dcm", slice_, implicit_vr=syntax.is_implicit_VR, little_endian=True)
        return tmp_path / "x.dcm"

    return write


@pytest.mark.parametrize("syntax", BOTH, ids=lambda syntax: syntax.name)
def test_every_value_stays(written, syntax):
    path, changed = written(syntax), io.BytesIO()
    recode(path, changed)
    before, after = pydicom.dcmread(path), pydicom.dcmread(io.BytesIO(changed.getvalue()))
    assert after.file_meta.TransferSyntaxUID == next(other for other in BOTH if other != syntax)
    assert after.PixelData == before.PixelData
    assert {e.tag: str(e.value) for e in after if not e.tag.is_private} == {
        e.tag: str(e.value) for e in before if not e.tag.is_private
    }
    assert after.private_block(0x0029, "OPACITY TEST")[1].value in {"private", b"private "}


def test_what_is_compressed_has_no_other_way():
    assert other_way(JPEGLosslessSV1) is None


def test_what_cannot_be_encoded_is_a_value_error(written, monkeypatch):
    path = written(ImplicitVRLittleEndian)

    def fail(*_arguments, **_options):
        raise AttributeError("as pydicom does of an ambiguous value")

    monkeypatch.setattr(part10, "dcmwrite", fail)
    with pytest.raises(ValueError, match="Explicit VR Little Endian: AttributeError"):
        recode(path, io.BytesIO())
