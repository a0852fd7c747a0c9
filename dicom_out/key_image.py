"""A picture of the findings that every viewer shows: four views, outlines, the headline numbers.

References
----------
PS3.3 A.8.1 Secondary Capture Image IOD, C.8.6 Secondary Capture.
"""

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_out import codes
from dicom_out.coded import code_item
from dicom_out.context import ResultKind, Run
from dicom_out.equipment import model_name
from dicom_out.marks import Mark
from dicom_out.picture import SIZE, picture
from dicom_out.product import MANUFACTURER, RESEARCH_NOTICE
from dicom_out.study import stamp
from dicom_out.views import axial_slices
from inference.findings import Findings
from inference.series import Series

_THUMBNAIL_TITLE = 20


def key_image(findings: Findings, marks: tuple[Mark, ...], series: Series, run: Run) -> Dataset:
    """Write the key image: an RGB Secondary Capture of `SIZE` x `SIZE` pixels.

    Parameters
    ----------
    findings : Findings
        Numbers and warnings.
    marks : tuple of Mark
        Regions, in the colours of the SEG.
    series : Series
        The images behind them.
    run : Run
        What the object belongs to.
    """
    slices = axial_slices(marks, len(series.headers))
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = f"{RESEARCH_NOTICE}. Outlines of findings on CT images."
    dataset.PatientOrientation = None
    dataset.SourceImageSequence = [_source(series.headers[i]) for i in slices]
    dataset.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    dataset.SecondaryCaptureDeviceManufacturerModelName = model_name(run.algorithm)
    # NO means that the picture does not identify the patient (PS3.3 C.7.6.1): it names neither patient nor study.
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    _set_pixels(dataset, picture(findings, marks, series, run))
    description = run.context.series_description("key image", limit=_THUMBNAIL_TITLE)
    stamp(dataset, run, ResultKind.KEY_IMAGE, 1, description)
    dataset.DateOfSecondaryCapture = dataset.ContentDate
    dataset.TimeOfSecondaryCapture = dataset.ContentTime
    return dataset


def _source(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [code_item(codes.SOURCE_IMAGE)]
    return item


def _set_pixels(dataset: Dataset, rgb: bytes) -> None:
    dataset.Rows = dataset.Columns = SIZE
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = rgb
    dataset["PixelData"].VR = "OB"
