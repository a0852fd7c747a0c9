"""A picture of the findings that every viewer shows: where they lie, outlined, and the headline numbers.

References
----------
PS3.3 A.8.1 Secondary Capture Image IOD, C.8.6 Secondary Capture, C.7.6.1 General Image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_out import codes
from dicom_out.coded import code_item
from dicom_out.context import ResultKind, Run
from dicom_out.ct_picture import ct_picture
from dicom_out.equipment import model_name
from dicom_out.marks import Mark
from dicom_out.product import MANUFACTURER, RESEARCH_NOTICE
from dicom_out.study import references, stamp
from dicom_out.views import shown_slices
from dicom_out.xray_picture import xray_picture
from inference.findings import Findings
from inference.radiograph import Radiograph
from inference.selected import Selected
from inference.series import Series

SIZE = 1024
"""Rows and columns, whatever the size of the source: less could not be read at half of it."""

_THUMBNAIL_TITLE = 20


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Shown:
    """A picture, and which images of the source it shows."""

    picture: Image.Image
    indices: tuple[int, ...]
    description: str
    patient_orientation: list[str] | None = None


def key_image(findings: Findings, marks: Sequence[Mark], source: Selected, run: Run) -> Dataset:
    """Write the key image: an RGB Secondary Capture of `SIZE` x `SIZE` pixels.

    Parameters
    ----------
    findings : Findings
        Numbers and warnings.
    marks : sequence of Mark
        Regions, in the colours of the SEG.
    source : Series or Radiograph
        The images behind them.
    run : Run
        What the object belongs to.
    """
    if isinstance(source, Radiograph):
        shown = _shown_of_xray(findings, marks, source, run)
    else:
        shown = _shown_of_ct(findings, marks, source, run)
    images = references(source)
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = f"{RESEARCH_NOTICE}. Outlines of findings on {shown.description}."
    dataset.PatientOrientation = shown.patient_orientation
    dataset.SourceImageSequence = [_source(images[index]) for index in shown.indices]
    _set_history(dataset, [source.headers[index] for index in shown.indices], run)
    dataset.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    dataset.SecondaryCaptureDeviceManufacturerModelName = model_name(run.algorithm)
    _set_pixels(dataset, shown.picture)
    description = run.context.series_description("key image", limit=_THUMBNAIL_TITLE)
    stamp(dataset, run, ResultKind.KEY_IMAGE, 1, description)
    dataset.DateOfSecondaryCapture = dataset.ContentDate
    dataset.TimeOfSecondaryCapture = dataset.ContentTime
    return dataset


def _shown_of_ct(findings: Findings, marks: Sequence[Mark], series: Series, run: Run) -> _Shown:
    picture = ct_picture(findings, marks, series, run, size=SIZE)
    return _Shown(picture=picture, indices=shown_slices(marks, series), description="CT images")


def _shown_of_xray(findings: Findings, marks: Sequence[Mark], radiograph: Radiograph, run: Run) -> _Shown:
    return _Shown(
        picture=xray_picture(findings, marks, radiograph, run, size=SIZE),
        indices=(0,),
        description="an X-ray image",
        patient_orientation=["L", "F"] if radiograph.upright.is_stated else None,
    )


def _set_history(dataset: Dataset, headers: Sequence[Dataset], run: Run) -> None:
    """Say of the picture what is to be said of the images in it: text in them, and what compression took from them."""
    burned_in = {str(header.get("BurnedInAnnotation") or "") for header in headers}
    if "YES" in burned_in:
        dataset.BurnedInAnnotation = "YES"
    elif burned_in == {"NO"} or not run.is_projection:
        # We write neither patient nor study into it, and scanners none into CT; a film may have them in its corner.
        dataset.BurnedInAnnotation = "NO"
    is_lossy = any(str(header.get("LossyImageCompression") or "") == "01" for header in headers)
    dataset.LossyImageCompression = "01" if is_lossy else "00"


def _source(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [code_item(codes.SOURCE_IMAGE)]
    return item


def _set_pixels(dataset: Dataset, picture: Image.Image) -> None:
    dataset.Columns, dataset.Rows = picture.size
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = picture.tobytes()
    dataset["PixelData"].VR = "OB"
