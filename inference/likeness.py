"""Whether two files of one SOP Instance UID show the same image: equal decoded pixels, equal geometry.

A PACS sends an image again after it corrected a name or changed the transfer syntax; that is no other image. One
whose pixels or place differ is, and so is one that calls the same pixels a negative.

References
----------
PS3.3 C.7.6.2 Image Plane, C.7.6.3 Image Pixel (with Photometric Interpretation), C.11.1 Modality LUT.
"""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset

_GEOMETRY = (
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "SliceThickness",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "PresentationLUTShape",
)
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_ABOUT_THE_PATIENT = frozenset({0x0002, 0x0008, 0x0010})
"""Groups that a PACS corrects: identification and patient."""


def same_image(first: Path, second: Path) -> bool:
    """Say whether two DICOM files show the same image.

    Objects without pixels are the same if they differ in nothing but identification and patient.

    Raises
    ------
    Exception
        Whatever a decoder raises for pixel data that cannot be decoded.
    """
    one, other = pydicom.dcmread(first), pydicom.dcmread(second)
    if any(one.get(keyword) != other.get(keyword) for keyword in _GEOMETRY) or _is_inverse(one) != _is_inverse(other):
        return False
    has_pixels = [any(keyword in dataset for keyword in _PIXELS) for dataset in (one, other)]
    if not any(has_pixels):
        return _rest(one) == _rest(other)
    return all(has_pixels) and (_equal_bytes(one, other) or np.array_equal(one.pixel_array, other.pixel_array))


def _is_inverse(dataset: Dataset) -> bool:
    """Say whether equal pixels mean the negative of the picture."""
    return str(dataset.get("PhotometricInterpretation")).upper() == "MONOCHROME1"


def _equal_bytes(one: FileDataset, other: FileDataset) -> bool:
    """Say whether pixels are equal as they are written; then nothing need be decoded, nor be decodable."""
    syntaxes = {dataset.file_meta.get("TransferSyntaxUID") for dataset in (one, other)}
    return len(syntaxes) == 1 and all(one.get(keyword) == other.get(keyword) for keyword in _PIXELS)


def _rest(dataset: Dataset) -> Dataset:
    return Dataset({element.tag: element for element in dataset if element.tag.group not in _ABOUT_THE_PATIENT})
