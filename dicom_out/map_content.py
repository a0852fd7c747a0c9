"""What every map says of its values, whatever object it is written as: quantity, unit, window, place in the body.

References
----------
PS3.3 C.7.6.16-12b Real World Value Mapping, C.10.8 Content Identification; PS3.16 CID 7180.
"""

import re

from pydicom.dataset import Dataset

from dicom_out import codes
from dicom_out.coded import code_item
from dicom_out.product import RESEARCH_NOTICE
from inference.findings import Heatmap

WORD_STEPS = 32768
"""Of the value range of a heatmap, where it is stored in 16 bits."""
_CODE_STRING = 16
_SHORT_STRING = 16
_LONG_STRING = 64


def content_label(heatmap: Heatmap) -> str:
    """Return Content Label (0070,0080), in the characters of CS (PS3.5 6.2)."""
    return re.sub("[^A-Z0-9_ ]", "_", heatmap.label.upper())[:_CODE_STRING].strip() or "MAP"


def content_description(heatmap: Heatmap, warning: str | None = None) -> str:
    """Return Content Description (0070,0081): what a person must know before looking at the map."""
    return (warning or f"{RESEARCH_NOTICE.split(' - ')[0]}: {heatmap.label}")[:_LONG_STRING]


def real_world_values(heatmap: Heatmap, *, in_words: bool = False) -> Dataset:
    """Return an item of Real World Value Mapping Sequence (0040,9096): stored values to those of the heatmap.

    Parameters
    ----------
    heatmap : Heatmap
        Quantity, unit and range.
    in_words : bool
        Whether values are stored as `WORD_STEPS` steps of the range, else as they are.
    """
    low, high = heatmap.value_range
    item = Dataset()
    item.LUTLabel = content_label(heatmap)[:_SHORT_STRING]
    item.LUTExplanation = heatmap.quantity.meaning[:_LONG_STRING]
    item.MeasurementUnitsCodeSequence = [code_item(heatmap.unit)]
    if in_words:
        item.RealWorldValueIntercept, item.RealWorldValueSlope = float(low), (high - low) / WORD_STEPS
        item.add_new("RealWorldValueFirstValueMapped", "US", 0)
        item.add_new("RealWorldValueLastValueMapped", "US", WORD_STEPS)
    else:
        item.RealWorldValueIntercept, item.RealWorldValueSlope = 0.0, 1.0
        item.DoubleFloatRealWorldValueFirstValueMapped = float(low)
        item.DoubleFloatRealWorldValueLastValueMapped = float(high)
    quantity = Dataset()
    quantity.ValueType = "CODE"
    quantity.ConceptNameCodeSequence = [code_item(codes.QUANTITY)]
    quantity.ConceptCodeSequence = [code_item(heatmap.quantity)]
    item.QuantityDefinitionSequence = [quantity]
    return item


def source_image(reference: Dataset) -> Dataset:
    """Return an item of Source Image Sequence (0008,2112)."""
    item = Dataset()
    item.ReferencedSOPClassUID = reference.SOPClassUID
    item.ReferencedSOPInstanceUID = reference.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [code_item(codes.SOURCE_IMAGE)]
    return item


def set_lossiness(dataset: Dataset, source: Dataset) -> None:
    """Say whether the source was compressed with loss, as what is derived from it must (PS3.3 C.7.6.1.1.5)."""
    if source.get("LossyImageCompression") != "01":
        dataset.LossyImageCompression = "00"
        return
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in source:
            dataset[keyword] = source[keyword]
