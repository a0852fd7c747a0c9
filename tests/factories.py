"""Small synthetic data: a CT stack in memory as `inference.series.load` returns it, and findings on it."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from inference.coding import Code
from inference.findings import Algorithm, Category, Findings, Measurement, Purpose, Region, Site
from inference.geometry import Geometry
from inference.series import Series

LUNG = Code("39607008", "SCT", "Lung")
RIGHT, LEFT = Code("24028007", "SCT", "Right"), Code("7771000", "SCT", "Left")
ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
OPACITY = Code("112001", "DCM", "Opacity")
VOLUME = Code("118565006", "SCT", "Volume")
MILLILITRE = Code("ml", "UCUM", "Milliliter")
PERCENT = Code("%", "UCUM", "Percent")
OPACITY_PERCENTAGE = Code("99001", "99OPACITY", "Opacity percentage")
SEVERITY, MODERATE = Code("246112005", "SCT", "Severity"), Code("6736007", "SCT", "Moderate")

STUDY, SERIES, FRAME = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2", "1.2.826.0.1.3680043.8.498.3"


def ct_header(
    index: int,
    *,
    shape: tuple[int, int, int] = (24, 96, 128),
    spacing_mm: tuple[float, float, float] = (7.5, 3.0, 2.5),
    changes: Mapping[str, Any] | None = None,
    implicit_vr: bool = False,
) -> Dataset:
    """Return one header as it is after reading from a file: still undecoded."""
    dataset = Dataset()
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Phantom^Chest",
        "PatientID": "PH-1",
        "PatientBirthDate": "19700101",
        "PatientSex": "O",
        "StudyInstanceUID": STUDY,
        "StudyDate": "20261120",
        "StudyTime": "101112",
        "StudyID": "17",
        "StudyDescription": "CT CHEST",
        "AccessionNumber": "ACC17",
        "ReferringPhysicianName": "Refer^Red",
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"{SERIES}.{index + 1}",
        "SeriesInstanceUID": SERIES,
        "FrameOfReferenceUID": FRAME,
        "Modality": "CT",
        "InstanceNumber": shape[0] - index,
        "Rows": shape[1],
        "Columns": shape[2],
        "PixelSpacing": list(spacing_mm[1:]),
        "SliceThickness": spacing_mm[0],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-160, -144.125, round(-50.3 + index * spacing_mm[0], 3)],
    }
    values.update(changes or {})
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit_vr else ExplicitVRLittleEndian
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)


def ct_series(
    *,
    shape: tuple[int, int, int] = (24, 96, 128),
    spacing_mm: tuple[float, float, float] = (7.5, 3.0, 2.5),
    changes: Mapping[str, Any] | None = None,
    implicit_vr: bool = False,
) -> Series:
    """Return a chest of ellipses; `changes` are header values by keyword, None removes one."""
    headers = tuple(
        ct_header(index, shape=shape, spacing_mm=spacing_mm, changes=changes, implicit_vr=implicit_vr)
        for index in range(shape[0])
    )
    volume = np.full(shape, -1000, dtype=np.int16)
    volume[ellipsoid(shape, (0.5, 0.5, 0.5), (9.0, 0.42, 0.45))] = 40
    right, left, opacity = masks(shape)
    volume[right | left] = -850
    volume[opacity] = -400
    volume += np.random.default_rng(1).normal(0, 15, shape).astype(np.int16)
    return Series(
        headers=headers,
        pixel_array=volume,
        geometry=Geometry(
            origin_mm=(-160.0, -144.125, -50.3),
            row_direction=(1.0, 0.0, 0.0),
            column_direction=(0.0, 1.0, 0.0),
            slice_direction=(0.0, 0.0, 1.0),
            spacing_mm=spacing_mm,
        ),
    )


def masks(shape: tuple[int, int, int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return right lung, left lung, and an opacity in two unequal parts."""
    right = ellipsoid(shape, (0.5, 0.5, 0.28), (0.42, 0.3, 0.13))
    left = ellipsoid(shape, (0.5, 0.5, 0.72), (0.42, 0.3, 0.12))
    large = ellipsoid(shape, (0.35, 0.62, 0.27), (0.12, 0.1, 0.07))
    small = ellipsoid(shape, (0.35, 0.6, 0.73), (0.1, 0.06, 0.04))
    return right, left, (large & right) | (small & left)


def ellipsoid(
    shape: tuple[int, int, int], center: tuple[float, float, float], radius: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Return an ellipsoid; centre and radii are fractions of the shape."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    terms = [((axis / n - c) / r) ** 2 for axis, n, c, r in zip(axes, shape, center, radius, strict=True)]
    inside: NDArray[np.bool_] = sum(terms[1:], start=terms[0]) < 1
    return inside


def algorithm(**changes: Any) -> Algorithm:
    """Return an algorithm with weights and parameters."""
    values: dict[str, Any] = {
        "name": "lung-opacity-ct",
        "version": "1.2.0",
        "weights_sha256": "ab" * 32,
        "parameters": {"threshold_hu": "-600", "closing_mm": "5"},
    }
    return Algorithm(**{**values, **changes})


def findings(
    series: Series,
    masks_of: Sequence[NDArray[np.bool_]] | None = None,
    **changes: Any,
) -> Findings:
    """Return two lungs, an opacity, numbers, a category and a warning."""
    right, left, opacity = masks_of or masks(series.pixel_array.shape)
    values: dict[str, Any] = {
        "algorithm": algorithm(),
        "source_instances": series.sop_instance_uids,
        "measurements": (
            Measurement(concept=OPACITY_PERCENTAGE, value=100.0 * opacity.sum() / (right | left).sum(), unit=PERCENT),
            volume_of(right | left, series),
        ),
        "categories": (Category(concept=SEVERITY, value=MODERATE),),
        "regions": (
            lung_region("right lung", RIGHT, right, series),
            lung_region("left lung", LEFT, left, series),
            opacity_region("opacity", opacity, series),
        ),
        "warnings": ("Slices are 7.5 mm apart; the method was validated at ≤ 3 mm.", "A second warning."),
    }
    return Findings(**{**values, **changes})


def lung_region(label: str, laterality: Code, mask: NDArray[np.bool_], series: Series) -> Region:
    """Return a lung with its volume."""
    return Region(
        label=label,
        purpose=Purpose.LUNGS,
        property_category=ANATOMY,
        property_type=LUNG,
        mask=mask,
        site=Site(location=LUNG, laterality=laterality),
        measurements=(volume_of(mask, series),),
    )


def opacity_region(label: str, mask: NDArray[np.bool_], series: Series) -> Region:
    """Return an opacity with a percentage and a volume."""
    return Region(
        label=label,
        purpose=Purpose.OPACITY,
        property_category=ABNORMAL,
        property_type=OPACITY,
        mask=mask,
        site=Site(location=LUNG),
        measurements=(
            Measurement(concept=OPACITY_PERCENTAGE, value=100.0 * mask.mean(), unit=PERCENT),
            volume_of(mask, series),
        ),
    )


def volume_of(mask: NDArray[np.bool_], series: Series) -> Measurement:
    """Return the volume of a mask."""
    return Measurement(concept=VOLUME, value=float(mask.sum() * series.geometry.voxel_volume_ml), unit=MILLILITRE)
