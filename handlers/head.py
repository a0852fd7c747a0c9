"""The head of a stored file: its attributes up to what is large, whatever its transfer syntax.

References
----------
PS3.5 7 Data Set encoding, A.5 Deflated Explicit VR Little Endian; PS3.3 C.7.6.16 Multi-frame Functional Groups.
"""

import zlib
from collections.abc import Collection
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_file_meta_info, read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

_FILE_META_OFFSET = 128 + 4 + 12
"""Preamble, prefix and the File Meta Information Group Length element itself (PS3.10 7.1)."""
_FUNCTIONAL_GROUPS = 0x5200
_INFLATED_LIMIT = 4 << 20
_CHUNK = 1 << 16


def read_head(path: Path, keywords: Collection[str] = ()) -> Dataset:
    """Read the attributes of a file before functional groups, waveforms and pixels.

    Parameters
    ----------
    path : Path
        A DICOM file with file meta information.
    keywords : collection of str
        Of the attributes that are wanted; all by default.

    Raises
    ------
    Exception
        Whatever pydicom raises for a file that is no DICOM file; OSError if it cannot be read.
    """
    wanted: list[BaseTag | int] | None = [Tag(keyword) for keyword in keywords] or None
    meta = read_file_meta_info(path)
    with path.open("rb") as file:
        if meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
            return read_partial(file, stop_when=_is_large, specific_tags=wanted)
        file.seek(_FILE_META_OFFSET + int(meta.FileMetaInformationGroupLength))
        inflater, head = zlib.decompressobj(-zlib.MAX_WBITS), b""
        while len(head) < _INFLATED_LIMIT and (packed := inflater.unconsumed_tail or file.read(_CHUNK)):
            head += inflater.decompress(packed, _INFLATED_LIMIT - len(head))
    return read_dataset(
        BytesIO(head), is_implicit_VR=False, is_little_endian=True, stop_when=_is_large, specific_tags=wanted
    )


def _is_large(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) >> 16 >= _FUNCTIONAL_GROUPS
