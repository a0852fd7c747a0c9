"""Whatever changes what a person sees of an X-ray image makes another selection of it, as the pipeline sees it too."""

from copy import deepcopy

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from inference import radiograph
from inference.card import XRayInput
from node.header import InstanceHeader
from node.selection import selection_hash
from phantom.cxr import make_radiograph
from phantom.cxr_dicom import to_dataset
from phantom.dicom import write


def table(values) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), 0, 16])
    item.add_new("LUTData", "US", [int(v) for v in values])
    return item


def modality_table(values) -> Dataset:
    item = table(values)
    item.ModalityLUTType = "US"
    return item


RAMP = np.arange(4096)
LUTS = {"RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None, "WindowCenter": None, "WindowWidth": None}


@pytest.fixture(scope="module")
def image():
    return to_dataset(make_radiograph(rows=96, columns=80, spacing_mm=4.0))


def seen(folder, image, changes):
    """Return an image as the pipeline gets it, and the hash of its selection."""
    dataset = deepcopy(image)
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    folder.mkdir()
    (path,) = write(folder, [dataset])
    header = InstanceHeader.from_dataset(pydicom.dcmread(path, stop_before_pixels=True))
    digest = selection_hash([header], {header.sop_instance_uid: "a"}, XRayInput().header_keywords)
    return radiograph.load(path), digest


def differ(one, other):
    return (
        not np.array_equal(one.pixel_array, other.pixel_array)
        or one.geometry != other.geometry
        or one.upright != other.upright
        or one.is_spacing_known != other.is_spacing_known
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"WindowWidth": 500},
        {"WindowCenter": 1900},
        {"WindowCenter": None, "WindowWidth": None},
        {"VOILUTFunction": "SIGMOID"},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"RescaleSlope": "0.5"},
        {"RescaleIntercept": "-300"},
        {"VOILUTSequence": [table(RAMP**2 // 256)]},
        LUTS | {"ModalityLUTSequence": [modality_table(RAMP**2 // 256)]},
        {"PixelPaddingValue": 1000, "PixelPaddingRangeLimit": 1300},
        {"PatientOrientation": ["R", "F"]},
        {"PixelSpacing": [1, 1]},
        {"PixelSpacing": None, "ImagerPixelSpacing": [3, 3]},
        {"PixelSpacing": None, "ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [2, 2]},
        {"PixelSpacing": None, "ImagerPixelSpacing": None, "PixelAspectRatio": [2, 1]},
    ],
    ids=",".join,
)
def test_what_changes_the_image_that_is_read_changes_the_selection(image, changes, tmp_path):
    before, was = seen(tmp_path / "before", image, {})
    after, now = seen(tmp_path / "after", image, changes)
    assert differ(before, after)
    assert was != now


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientName": "Right^Name"},
        {"AccessionNumber": "A9"},
        {"BodyPartExamined": "THORAX"},
        {"WindowWidth": "2048.0"},
    ],
    ids=",".join,
)
def test_what_a_pacs_corrects_changes_neither(image, changes, tmp_path):
    before, was = seen(tmp_path / "before", image, {})
    after, now = seen(tmp_path / "after", image, changes)
    assert not differ(before, after)
    assert was == now
