"""Pixel data -> Hounsfield units, several slices at a time; or the stored values of one image.

Threads decode: SimpleITK's GDCM reader releases the interpreter's lock, which python-gdcm holds, and worker processes
may have no children. It reads every compressed transfer syntax, HTJ2K too, and refuses damaged streams on which
python-gdcm ends the process. Native and deflated pixel data are read by pydicom, which is strict about their length.

References
----------
PS3.3 C.11.1 (Modality LUT), C.8.2.1 (CT Image); PS3.5 8 (encoding of pixel data), A.4 (encapsulation).
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.findings import Refusal

_RESEND = "Send the series again, uncompressed if need be."
_SPARE_SLICES = 8
_NOT_STORED = (
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "PixelPaddingValue",
    "NumberOfFrames",  # of an image that was found to have one, however it says so
)


class UndecodableError(Exception):
    """Pixel data are damaged, or cannot be turned into Hounsfield units."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def decode(paths: Sequence[Path], headers: Sequence[Dataset], *, threads: int | None = None) -> NDArray[np.generic]:
    """Decode slices of one size.

    Parameters
    ----------
    paths : sequence of Path
        Files, in the order that the first axis shall have.
    headers : sequence of Dataset
        Of the same files, with Rows, Columns and file meta information.
    threads : int, optional
        How many slices are decoded at once; by default one a processor.

    Returns
    -------
    ndarray of int16 or float32, shape (slices, rows, columns)
        In Hounsfield units; int16 where every slope is 1 and every intercept a whole number.

    Raises
    ------
    UndecodableError
        If a slice cannot be decoded; names the instance.
    OSError, MemoryError
        Of this machine, not of the data.
    """
    rescales = [_rescale(header) for header in headers]
    whole = all(slope == 1 and intercept.is_integer() for slope, intercept in rescales)
    shape = (len(paths), int(headers[0].Rows), int(headers[0].Columns))
    volume = np.empty(shape, dtype=np.int16 if whole else np.float32)

    def fill(index: int) -> None:
        hounsfield = _hounsfield(paths[index], headers[index], rescales[index], shape[1:])
        if whole:
            np.clip(hounsfield, -32768, 32767, out=volume[index], casting="unsafe")
        else:
            volume[index] = hounsfield

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for _ in pool.map(fill, range(len(paths))):
            pass  # raises what `fill` raised, and starts no further slice
    return volume


def decode_stored(path: Path, header: Dataset) -> NDArray[np.int32]:
    """Decode one image to its stored values: without Modality LUT, in the sense of its Photometric Interpretation.

    Parameters
    ----------
    path : Path
        Of a file with one frame of one sample a pixel.
    header : Dataset
        Of the same file.

    Returns
    -------
    ndarray of int32, shape (rows, columns)

    Raises
    ------
    UndecodableError
        If the pixel data cannot be decoded, or are not what the header says.
    OSError, MemoryError
        Of this machine, not of the data.
    """
    try:
        shape = (int(header.Rows), int(header.Columns))
    except (AttributeError, TypeError, ValueError):
        shape = (0, 0)
    if min(shape) < 1:
        raise _undecodable(header, "have no size: Rows or Columns is absent, zero or no number")
    compressed = header.file_meta.TransferSyntaxUID.is_encapsulated
    stored = _decoded(path, header, shape, _stored if compressed else lambda p: _plain(p).pixel_array)
    return stored.astype(np.int32)


def _plain(path: Path) -> Dataset:
    """Return a copy without rescale that is not MONOCHROME1: the reader of compressed images applies both."""
    dataset = pydicom.dcmread(path)
    for keyword in _NOT_STORED:
        if keyword in dataset:
            del dataset[keyword]
    dataset.PhotometricInterpretation = "MONOCHROME2"
    return dataset


def _stored(path: Path) -> NDArray[Any]:
    dataset = _plain(path)
    with tempfile.TemporaryDirectory(prefix="opacity-node-") as folder:
        copy = Path(folder) / "image.dcm"
        dataset.save_as(copy)
        return _compressed(copy)


def _rescale(header: Dataset) -> tuple[float, float]:
    """Return slope and intercept; both are Type 1 in CT, and no value can stand in for them."""
    try:
        slope, intercept = float(header.RescaleSlope), float(header.RescaleIntercept)
    except (AttributeError, TypeError, ValueError):
        slope = intercept = np.nan
    if np.isfinite([slope, intercept]).all() and slope != 0:
        return slope, intercept
    raise UndecodableError(
        Refusal(
            code="no-rescale",
            reason=f"Rescale Slope or Rescale Intercept of {_name(header)} is absent, zero or no number.",
            remedy="Send CT images whose pixel values can be turned into Hounsfield units.",
        )
    )


def _hounsfield(path: Path, header: Dataset, rescale: tuple[float, float], shape: tuple[int, ...]) -> NDArray[Any]:
    compressed = header.file_meta.TransferSyntaxUID.is_encapsulated
    return _decoded(path, header, shape, _compressed if compressed else lambda p: _native(p, *rescale))


def _decoded(path: Path, header: Dataset, shape: tuple[int, ...], read: Callable[[Path], NDArray[Any]]) -> NDArray[Any]:
    try:
        values = read(path)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # decoders raise anything for damaged bytes
        _blame_machine(path, shape)
        raise _undecodable(header, "cannot be decoded: they are damaged, cut off or absent") from error
    if values.shape != shape:
        raise _undecodable(
            header, f"hold {_size(values.shape)} values where the header says {_size(shape)} (rows x columns)"
        )
    return values


def _compressed(path: Path) -> NDArray[Any]:
    """Read Hounsfield units: the reader applies slope and intercept, in the same arithmetic as pydicom."""
    import SimpleITK as sitk  # noqa: N813 - the name its documentation uses; imported late, as it is heavy

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    frames: NDArray[Any] = sitk.GetArrayFromImage(reader.Execute())
    return frames[0] if len(frames) == 1 else frames


def _native(path: Path, slope: float, intercept: float) -> NDArray[Any]:
    stored = pydicom.dcmread(path).pixel_array
    if slope == 1 and intercept.is_integer():
        return stored.astype(np.int32) + int(intercept)
    return stored.astype(np.float64) * slope + intercept


def _blame_machine(path: Path, shape: tuple[int, ...]) -> None:
    """Raise if the disk or want of memory is the reason, which decoders tell as if the data were damaged."""
    path.read_bytes()
    np.zeros((_SPARE_SLICES, *shape))


def _undecodable(header: Dataset, what: str) -> UndecodableError:
    syntax = header.file_meta.get("TransferSyntaxUID")
    name = syntax.name if syntax else "no transfer syntax"
    return UndecodableError(
        Refusal(code="undecodable-pixel-data", reason=f"Pixel data of {_name(header)} {what} ({name}).", remedy=_RESEND)
    )


def _name(header: Dataset) -> str:
    """Name an instance so that a person finds it: by number where it has one, and by UID."""
    try:
        number = f" {int(header.InstanceNumber)}"
    except (AttributeError, TypeError, ValueError):
        number = ""
    return f"instance{number} ({header.get('SOPInstanceUID', 'without UID')})"


def _size(shape: Sequence[int]) -> str:
    return " x ".join(str(n) for n in shape)
