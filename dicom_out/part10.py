"""Result objects as DICOM files, and the one transfer syntax that makes large maps small.

No codec takes float pixels. Deflated they shrink as far as they are empty, which most of a map is: such objects are
written and read as streams, so that neither the map nor its file is ever in memory as a whole.

References
----------
PS3.10 7.1 DICOM File Meta Information; PS3.5 A.5 Deflated Explicit VR Little Endian.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_out.uids import derived_uid

IMPLEMENTATION_CLASS_UID = derived_uid("implementation class")
IMPLEMENTATION_VERSION_NAME = "OPACITY_NODE_0"
_FILE_META_OFFSET = 128 + 4 + 12
"""Preamble, prefix and the File Meta Information Group Length element itself."""
_OTHER_WAYS = {
    str(ImplicitVRLittleEndian): str(ExplicitVRLittleEndian),
    str(ExplicitVRLittleEndian): str(ImplicitVRLittleEndian),
}
_LEVEL = 1
"""Of zlib: higher ones take several times as long for a few per cent."""
_CHUNK = 1 << 20
_LONGEST = 2**32 - 2
"""Bytes of a value with a length (PS3.5 7.1.1)."""


def encode(dataset: Dataset) -> bytes:
    """Return the DICOM file of an object, Explicit VR Little Endian."""
    dataset.file_meta = _file_meta(dataset, ExplicitVRLittleEndian)
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def fits(size: int) -> bool:
    """Say whether an element can hold so many bytes."""
    return size <= _LONGEST


def deflated(dataset: Dataset, frames: Iterable[NDArray[np.float32]], size: int) -> Iterator[bytes]:
    """Yield the DICOM file of a map, Deflated Explicit VR Little Endian.

    Parameters
    ----------
    dataset : Dataset
        All but Float Pixel Data (7FE0,0008), which is the last element.
    frames : iterable of ndarray of float32
        Float Pixel Data, contiguous.
    size : int
        Of all frames, in bytes.

    Raises
    ------
    ValueError
        If it is more than an element can hold, or the frames are not of that size.
    """
    if not fits(size):
        raise ValueError(f"A map of {size} bytes is more than an object can hold.")
    buffer = _explicit()
    buffer.write(bytes(128) + b"DICM")
    write_file_meta_info(buffer, _file_meta(dataset, DeflatedExplicitVRLittleEndian), enforce_standard=True)
    yield buffer.getvalue()
    compressor, length = zlib.compressobj(_LEVEL, wbits=-zlib.MAX_WBITS), 0
    for chunk in _plain(dataset, frames, size):
        if packed := compressor.compress(chunk):
            length += len(packed)
            yield packed
    packed = compressor.flush()
    yield packed + b"\0" * ((length + len(packed)) % 2)


def is_deflated(transfer_syntax_uid: str) -> bool:
    """Say whether `inflate` can do anything about a file."""
    return transfer_syntax_uid == DeflatedExplicitVRLittleEndian


def other_way(transfer_syntax_uid: str) -> str | None:
    """Return the transfer syntax that `recode` can turn a file of this one into, if any."""
    return _OTHER_WAYS.get(transfer_syntax_uid)


def recode(path: Path, target: BinaryIO) -> None:
    """Write a file of one of both uncompressed little endian transfer syntaxes in the other; it is in memory meanwhile.

    Parameters
    ----------
    path : Path
        Implicit or Explicit VR Little Endian.
    target : file
        Takes the file.

    Raises
    ------
    ValueError
        If it cannot be encoded so.
    OSError
        If the one cannot be read, or the other not written.

    References
    ----------
    PS3.5 6.2.2 (unknown private elements become UN), A.1, A.2.
    """
    dataset = dcmread(path)
    syntax = UID(_OTHER_WAYS[str(dataset.file_meta.TransferSyntaxUID)])
    dataset.file_meta.TransferSyntaxUID = syntax
    try:
        dcmwrite(target, dataset, implicit_vr=syntax.is_implicit_VR, little_endian=True)
    except OSError:
        raise
    except Exception as error:  # pydicom raises anything for what others wrote
        raise ValueError(f"it cannot be written as {syntax.name}: {type(error).__name__}") from error


def inflate(path: Path, target: BinaryIO) -> None:
    """Write a deflated DICOM file as Explicit VR Little Endian.

    Parameters
    ----------
    path : Path
        Deflated.
    target : file
        Takes the file.

    Raises
    ------
    OSError
        If the one cannot be read, or the other not written.
    zlib.error
        If the stream is damaged or cut off.
    """
    meta = read_file_meta_info(path)
    start = _FILE_META_OFFSET + int(meta.FileMetaInformationGroupLength)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = _explicit()
    buffer.write(bytes(128) + b"DICM")
    write_file_meta_info(buffer, meta, enforce_standard=True)
    target.write(buffer.getvalue())
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    with path.open("rb") as file:
        file.seek(start)
        # Behind the end of the stream there may be a byte that makes its length even.
        while not inflater.eof and (packed := inflater.unconsumed_tail or file.read(_CHUNK)):
            target.write(inflater.decompress(packed, _CHUNK))
    target.write(inflater.flush())
    if not inflater.eof:
        raise zlib.error("the stream is cut off")


def _plain(dataset: Dataset, frames: Iterable[NDArray[np.float32]], size: int) -> Iterator[bytes | memoryview]:
    """Yield the data set with its frames, Explicit VR Little Endian."""
    buffer = _explicit()
    write_dataset(buffer, dataset)
    yield buffer.getvalue() + struct.pack("<HH2sHL", 0x7FE0, 0x0008, b"OF", 0, size)
    written = 0
    for frame in frames:
        values = frame.astype("<f4", copy=False).data.cast("B")
        written += len(values)
        yield values
    if written != size:
        raise ValueError(f"The frames of the map have {written} bytes, not {size}.")


def _file_meta(dataset: Dataset, transfer_syntax_uid: UID) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax_uid
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta


def _explicit() -> DicomBytesIO:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    return buffer
