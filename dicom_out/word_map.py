"""The heatmap of a radiograph without Pixel Spacing, in 16 bits: viewers go black over a Parametric Map there.

Every viewer shows it as a grey image of its own; Real World Value Mapping says what the greys are.

References
----------
PS3.3 A.8.4 Multi-frame Grayscale Word Secondary Capture Image IOD.
"""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import MultiFrameGrayscaleWordSecondaryCaptureImageStorage

from dicom_out.context import ResultKind, Run
from dicom_out.map_content import WORD_STEPS, real_world_values, set_lossiness, source_image
from dicom_out.product import RESEARCH_NOTICE
from dicom_out.resampling import resampled
from dicom_out.study import stamp
from inference.findings import Heatmap
from inference.radiograph import Radiograph


def word_map(heatmap: Heatmap, radiograph: Radiograph, image: Dataset, run: Run, index: int) -> Dataset:
    """Write a heatmap on the pixels of a radiograph.

    Parameters
    ----------
    heatmap : Heatmap
        On any grid along the rows and columns of the radiograph.
    radiograph : Radiograph
        The image.
    image : Dataset
        `study.references` of it.
    run : Run
        What the object belongs to.
    index : int
        Of the heatmap, from 1.
    """
    (values,) = resampled(heatmap, radiograph.geometry, radiograph.pixel_array.shape)
    dataset = Dataset()
    dataset.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = f"{RESEARCH_NOTICE}. {heatmap.quantity.meaning}."
    dataset.PatientOrientation = list(image.PatientOrientation)
    dataset.SourceImageSequence = [source_image(image)]
    dataset.BurnedInAnnotation = "NO"
    set_lossiness(dataset, run.source)
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth = str(WORD_STEPS // 2), str(WORD_STEPS)
    dataset.RealWorldValueMappingSequence = [real_world_values(heatmap, in_words=True)]
    _set_pixels(dataset, values, heatmap.value_range)
    stamp(dataset, run, ResultKind.MAP, index, run.context.series_description(f"{heatmap.label}: {run.algorithm.name}"))
    return dataset


def _set_pixels(dataset: Dataset, values: NDArray[np.float32], value_range: tuple[float, float]) -> None:
    low, high = value_range
    words = np.round((values - low) / (high - low) * WORD_STEPS).clip(0, WORD_STEPS).astype("<u2")
    dataset.NumberOfFrames = 1
    dataset.Rows, dataset.Columns = words.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.PixelData = words.tobytes()
    dataset["PixelData"].VR = "OW"
