"""Small synthetic radiographs: files as scanners write them, and findings on one in memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from inference.coding import Code
from inference.findings import Findings, Heatmap, Measurement, Purpose, Region, Site
from inference.radiograph import Radiograph, load
from tests.factories import ANATOMY, LEFT, LUNG, PERCENT, RIGHT, algorithm, ellipsoid

AREA = Code("42798000", "SCT", "Area")
MM2 = Code("mm2", "UCUM", "mm2")
PROBABILITY = Code("LUNGPROB", "99OPNODE", "Probability of lung")
ONE = Code("1", "UCUM", "no units")


def xray_dataset(pixels: NDArray[np.uint16] | None = None, changes: Mapping[str, Any] | None = None) -> Dataset:
    """Return a DX image with its pixels, of 12 bits; `changes` are values by keyword, None removes one."""
    stored = chest_pixels() if pixels is None else pixels
    dataset = Dataset()
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Phantom^Chest",
        "PatientID": "PH-1",
        "PatientBirthDate": "19700101",
        "PatientSex": "O",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.11",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.12",
        "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.13",
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "StudyDate": "20261120",
        "StudyTime": "101112",
        "StudyID": "17",
        "AccessionNumber": "ACC17",
        "ReferringPhysicianName": "Refer^Red",
        "Modality": "DX",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "PatientOrientation": ["L", "F"],
        "PresentationIntentType": "FOR PRESENTATION",
        "PixelSpacing": [0.8, 0.8],
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
    }
    values.update(changes or {})
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = stored.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def write_xray(path: Path, pixels: NDArray[np.uint16] | None = None, changes: Mapping[str, Any] | None = None) -> Path:
    """Write a DX image as an Explicit VR Little Endian file."""
    dataset = xray_dataset(pixels, changes)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


def chest_pixels(shape: tuple[int, int] = (320, 288)) -> NDArray[np.uint16]:
    """Return two dark ellipses on a bright body: 12 bits, the right lung's a little darker."""
    right, left = lungs(shape)
    pixels = np.full(shape, 3000, dtype=np.uint16)
    pixels[:, : shape[1] // 20] = pixels[:, -(shape[1] // 20) :] = 100
    pixels[right[0]], pixels[left[0]] = 800, 900
    return pixels


def lungs(shape: tuple[int, int] = (320, 288)) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return right and left lung on an upright image, each of shape (1, rows, columns)."""
    right = ellipsoid((1, *shape), (0.0, 0.5, 0.28), (1.0, 0.36, 0.16))
    left = ellipsoid((1, *shape), (0.0, 0.52, 0.73), (1.0, 0.33, 0.15))
    return right, left


def xray(folder: Path, changes: Mapping[str, Any] | None = None, shape: tuple[int, int] = (320, 288)) -> Radiograph:
    """Return the chest of ellipses, written and loaded."""
    return load(write_xray(folder / "xray.dcm", chest_pixels(shape), changes))


def xray_findings(source: Radiograph) -> Findings:
    """Return both lungs on an upright radiograph, with a coarse map of them."""
    shape = source.pixel_array.shape[1:]
    right, left = lungs((shape[0], shape[1]))
    area = source.pixel_area_mm2

    def region(label: str, mask: NDArray[np.bool_], side: Code) -> Region:
        pixels = int(mask.sum())
        size = () if area is None else (Measurement(concept=AREA, value=pixels * area, unit=MM2),)
        share = Measurement(concept=Code("LUNGSHARE", "99OPNODE", "Share of lungs"), value=50.0, unit=PERCENT)
        return Region(
            label=label,
            purpose=Purpose.LUNGS,
            property_category=ANATOMY,
            property_type=LUNG,
            mask=mask,
            site=Site(location=LUNG, laterality=side),
            measurements=(*size, share),
        )

    geometry = source.geometry
    return Findings(
        algorithm=algorithm(name="lung-fields"),
        source_instances=source.sop_instance_uids,
        measurements=(Measurement(concept=Code("IMGSHARE", "99OPNODE", "Share of image"), value=31.5, unit=PERCENT),),
        regions=(region("right lung", right, RIGHT), region("left lung", left, LEFT)),
        heatmaps=(
            Heatmap(
                label="lung probability",
                quantity=PROBABILITY,
                unit=ONE,
                values=(right | left).astype(np.float32),
                grid=geometry,
            ),
        ),
    )
