"""The synthetic chest as DICOM: axial series, coronal reformats, localizer, and whole studies on disk.

References
----------
PS3.3 A.3 CT Image IOD, C.8.2.1 CT Image Module, C.7.6.2 Image Plane Module.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from phantom.ct import ChestPhantom, make_chest
from phantom.dose_report import make_dose_report

_INTERCEPT = -1024
_AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a series' headers say beside geometry and pixels; fields are DICOM keywords.

    Attributes
    ----------
    uid_entropy : str
        Every UID left None, and every SOP Instance UID, derives from it and from the series: equal entropy gives equal
        UIDs, other entropy another study.
    """

    uid_entropy: str = "phantom"
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    frame_of_reference_uid: str | None = None
    patient_name: str = "Phantom^Chest"
    patient_id: str = "PHANTOM-1"
    patient_birth_date: str = "19500101"
    patient_sex: str = "O"
    study_date: str = "20250102"
    study_time: str = "101500"
    study_id: str = "1"
    study_description: str = "CT CHEST (synthetic)"
    accession_number: str = "A0001"
    series_number: int = 2
    series_description: str = "Chest 4.0 soft"
    acquisition_number: int = 1
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")
    convolution_kernel: str = "STANDARD"
    specific_character_set: str = "ISO_IR 192"

    @property
    def study(self) -> str:
        """Study Instance UID, given or derived."""
        return self.study_instance_uid or generate_uid(entropy_srcs=[self.uid_entropy, "study"])

    @property
    def series(self) -> str:
        """Series Instance UID, given or derived from entropy, number and description."""
        return self.series_instance_uid or generate_uid(entropy_srcs=[self.study, *self._series_key])

    @property
    def frame_of_reference(self) -> str:
        """Frame of Reference UID, given or derived: one for the whole study."""
        return self.frame_of_reference_uid or generate_uid(entropy_srcs=[self.study, "frame of reference"])

    @property
    def _series_key(self) -> tuple[str, ...]:
        return "series", self.uid_entropy, str(self.series_number), self.series_description


@dataclass(frozen=True, slots=True)
class _Plane:
    """One image and where it lies: position and orientation as in (0020,0032) and (0020,0037), in mm."""

    hounsfield: NDArray[np.int16]
    position: tuple[float, float, float]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, float]
    thickness_mm: float


def to_datasets(phantom: ChestPhantom, header: Header | None = None, **changes: Any) -> list[Dataset]:  # noqa: ANN401
    """Make the axial series of a phantom.

    Parameters
    ----------
    phantom : ChestPhantom
        From `phantom.ct.make_chest`.
    header : Header, optional
        What the headers say.
    **changes
        Fields of `Header` that differ, such as ``convolution_kernel="LUNG"``.

    Returns
    -------
    list of Dataset
        CT Image Storage, explicit VR little endian, from feet to head, Instance Number from 1.
    """
    step, rows_mm, columns_mm = phantom.spacing_mm
    x, y, z = phantom.origin_mm
    planes = [
        _Plane(image, (x, y, z + index * step), _AXIAL, (rows_mm, columns_mm), step)
        for index, image in enumerate(phantom.hounsfield)
    ]
    return _series(planes, replace(header or Header(), **changes))


def coronal_reformat(
    phantom: ChestPhantom,
    header: Header | None = None,
    *,
    every: int = 4,
    **changes: Any,  # noqa: ANN401
) -> list[Dataset]:
    """Make a series of coronal reformats, one for every `every` rows, from anterior to posterior."""
    step, rows_mm, columns_mm = phantom.spacing_mm
    x, y, z = phantom.origin_mm
    top = z + (len(phantom.hounsfield) - 1) * step
    planes = [
        _Plane(
            phantom.hounsfield[::-1, row], (x, y + row * rows_mm, top), _CORONAL, (step, columns_mm), every * rows_mm
        )
        for row in range(0, phantom.hounsfield.shape[1], every)
    ]
    own: dict[str, Any] = {
        "series_number": 601,
        "series_description": "Coronal MPR",
        "image_type": ("DERIVED", "SECONDARY", "REFORMATTED"),
    }
    return _series(planes, replace(header or Header(), **(own | changes)))


def localizer(phantom: ChestPhantom, header: Header | None = None, **changes: Any) -> Dataset:  # noqa: ANN401
    """Make a frontal localizer: the mean along the rows."""
    step, rows_mm, columns_mm = phantom.spacing_mm
    x, _, z = phantom.origin_mm
    projection = np.rint(phantom.hounsfield[::-1].mean(axis=1)).astype(np.int16)
    top = z + (len(phantom.hounsfield) - 1) * step
    depth_mm = phantom.hounsfield.shape[1] * rows_mm
    plane = _Plane(projection, (x, 0.0, top), _CORONAL, (step, columns_mm), depth_mm)
    own: dict[str, Any] = {
        "series_number": 1,
        "series_description": "Scout",
        "image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER"),
    }
    return _series([plane], replace(header or Header(), **(own | changes)))[0]


def dose_report(header: Header | None = None, **changes: Any) -> Dataset:  # noqa: ANN401
    """Make the X-Ray Radiation Dose SR of the study, as the scanner sends it along."""
    own: dict[str, Any] = {"series_number": 999, "series_description": "Dose Report"}
    described = replace(header or Header(), **(own | changes))
    report = make_dose_report(described.study)
    identify(report, described, "SR", 1, sop_class_uid=str(report.SOPClassUID))
    for keyword in ("AcquisitionNumber", "AcquisitionDate", "AcquisitionTime"):
        delattr(report, keyword)
    return report


def full_study(header: Header | None = None, *, seed: int = 7, opacity: bool = True) -> list[Dataset]:
    """Make a study as scanners send it: scout, 1 mm lung kernel, 5 mm soft kernel, coronal reformats, dose report.

    The grid in the slice is coarse (128 x 128), so that tests stay quick.
    """
    header = header or Header()
    grid: dict[str, Any] = {"rows": 128, "columns": 128, "opacity": opacity, "seed": seed}
    thin = make_chest(slices=288, spacing_mm=(1.0, 2.8, 2.8), **grid)
    thick = make_chest(slices=58, spacing_mm=(5.0, 2.8, 2.8), **grid)
    lung = {"series_number": 2, "series_description": "Chest 1.0 lung", "convolution_kernel": "LUNG"}
    soft = {"series_number": 3, "series_description": "Chest 5.0 soft", "convolution_kernel": "STANDARD"}
    return [
        localizer(thick, header),
        *to_datasets(thin, header, **lung),
        *to_datasets(thick, header, **soft),
        *coronal_reformat(thick, header),
        dose_report(header),
    ]


def write(folder: Path, datasets: Iterable[Dataset]) -> list[Path]:
    """Write data sets as Part 10 files named by SOP Instance UID; return their paths in the same order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for dataset in datasets:
        path = folder / f"{dataset.SOPInstanceUID}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_study(
    folder: Path,
    phantom: ChestPhantom | None = None,
    header: Header | None = None,
    **changes: Any,  # noqa: ANN401
) -> list[Path]:
    """Write the axial series of a phantom (default: `make_chest()`) into a folder, see `to_datasets`."""
    return write(folder, to_datasets(phantom or make_chest(), header, **changes))


def _series(planes: Sequence[_Plane], header: Header) -> list[Dataset]:
    return [_image(plane, header, number) for number, plane in enumerate(planes, start=1)]


def _image(plane: _Plane, header: Header, instance_number: int) -> Dataset:
    dataset = Dataset()
    identify(dataset, header, "CT", instance_number, sop_class_uid=CTImageStorage)
    dataset.ImageType = list(header.image_type)
    dataset.FrameOfReferenceUID = header.frame_of_reference
    dataset.PositionReferenceIndicator = ""
    dataset.PatientPosition = "HFS"
    dataset.BodyPartExamined = "CHEST"
    dataset.KVP = "120"
    dataset.ConvolutionKernel = header.convolution_kernel
    dataset.SliceThickness = f"{plane.thickness_mm:g}"
    dataset.ImagePositionPatient = [f"{v:.6g}" for v in plane.position]
    dataset.ImageOrientationPatient = [f"{v:g}" for v in plane.orientation]
    dataset.PixelSpacing = [f"{v:g}" for v in plane.pixel_spacing]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = plane.hounsfield.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 1
    dataset.RescaleIntercept, dataset.RescaleSlope = str(_INTERCEPT), "1"
    dataset.RescaleType = "US" if "LOCALIZER" in header.image_type else "HU"
    dataset.WindowCenter, dataset.WindowWidth = "-600", "1500"
    dataset.add_new("PixelData", "OW", (plane.hounsfield - np.int16(_INTERCEPT)).astype("<i2").tobytes())
    return dataset


def identify(dataset: Dataset, header: Header, modality: str, instance_number: int, *, sop_class_uid: str) -> None:
    """Patient, study, series, equipment and instance: what every object of the study has."""
    sop_instance_uid = generate_uid(entropy_srcs=[header.series, header.uid_entropy, str(instance_number)])
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    dataset.file_meta.MediaStorageSOPInstanceUID = sop_instance_uid
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = header.specific_character_set
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, sop_instance_uid
    dataset.PatientName, dataset.PatientID = header.patient_name, header.patient_id
    dataset.PatientBirthDate, dataset.PatientSex = header.patient_birth_date, header.patient_sex
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = header.study, header.series
    dataset.StudyID, dataset.AccessionNumber = header.study_id, header.accession_number
    dataset.StudyDescription, dataset.SeriesDescription = header.study_description, header.series_description
    dataset.ReferringPhysicianName = ""
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = header.study_date
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = header.study_time
    dataset.Modality = modality
    dataset.Manufacturer, dataset.ManufacturerModelName = "opacity-node", "chest phantom"
    dataset.DeviceSerialNumber, dataset.SoftwareVersions = "0", "1"
    dataset.SeriesNumber, dataset.AcquisitionNumber = header.series_number, header.acquisition_number
    dataset.InstanceNumber = instance_number
