"""What every result takes from its source: patient, study, character set, and references to the images.

The bytes of text values are copied as they came, undecoded, together with Specific Character Set (0008,0005): names
in any script survive, those with a wrongly declared character set too.

References
----------
PS3.3 C.7.1.1 Patient, C.7.2.1 General Study, C.7.2.2 Patient Study, C.7.1.3 and C.7.2.3 Clinical Trial; PS3.5 6.1.
"""

from copy import deepcopy

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage

from dicom_out.context import ResultKind, Run
from dicom_out.equipment import set_equipment
from dicom_out.uids import derived_uid
from inference.radiograph import Radiograph
from inference.selected import Selected
from inference.series import Series

_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
)
_TYPE_3 = (
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "StudyInstanceUID",
    "StudyDescription",
    "ProcedureCodeSequence",
    "IssuerOfAccessionNumberSequence",
    "ReferencedStudySequence",
    "ReferringPhysicianIdentificationSequence",
    "ConsultingPhysicianName",
    "PhysiciansOfRecord",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "PatientBirthTime",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientComments",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
    "PatientSpeciesDescription",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "ServiceEpisodeID",
    "ServiceEpisodeDescription",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
)
_REFERENCE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "Rows",
    "Columns",
)
_DOCUMENTS = frozenset({ResultKind.SR, ResultKind.NOTICE})
_EMPTY = {keyword: DataElement(tag_for_keyword(keyword) or 0, dictionary_VR(keyword), None) for keyword in _TYPE_2}


def references(source: Selected) -> tuple[Dataset, ...]:
    """Return headers that name the source images and say where they lie, and nothing about the patient.

    highdicom insists on attributes that real sources lack, and copies names through a decoder; given these headers
    it does neither, and `inherit` fills in the rest.

    Returns
    -------
    tuple of Dataset
        In the order of the first axis of the source.
    """
    if isinstance(source, Radiograph):
        return (_projection_reference(source),)
    return tuple(_reference(header, source) for header in source.headers)


def bare_reference(header: Dataset) -> Dataset:
    """Return a header that names an image, as far as it says where it lies, and nothing about the patient."""
    reference = Dataset({header[keyword].tag: header[keyword] for keyword in _REFERENCE if keyword in header})
    for keyword in _TYPE_2:
        reference.add(_EMPTY[keyword])
    return reference


def _reference(header: Dataset, series: Series) -> Dataset:
    reference = bare_reference(header)
    reference.setdefault("SOPClassUID", CTImageStorage)
    reference.setdefault("Modality", "CT")
    if not reference.get("FrameOfReferenceUID"):
        # Type 1 in CT, yet missing in the wild; slices are still tied to their images by Source Image Sequence.
        reference.FrameOfReferenceUID = derived_uid("frame of reference", str(header.SeriesInstanceUID))
    if not reference.get("SliceThickness"):
        reference.SliceThickness = f"{series.geometry.spacing_mm[0]:.6g}"
    return reference


def _projection_reference(radiograph: Radiograph) -> Dataset:
    """Give a radiograph the plane that it has not: without, viewers show no mask on it, and one PACS ends.

    The frame of reference is synthetic, not anatomical, and its own for every image.
    """
    header, geometry = radiograph.header, radiograph.geometry
    reference = bare_reference(header)
    reference.setdefault("SOPClassUID", SecondaryCaptureImageStorage)
    reference.setdefault("Modality", "CR")
    reference.FrameOfReferenceUID = derived_uid("frame of reference", str(header.SOPInstanceUID))
    reference.ImagePositionPatient = [f"{value:g}" for value in geometry.origin_mm]
    reference.ImageOrientationPatient = [f"{v:g}" for v in (*geometry.row_direction, *geometry.column_direction)]
    slice_mm, *pixel_spacing_mm = geometry.spacing_mm
    reference.PixelSpacing = [f"{value:.8g}" for value in pixel_spacing_mm]
    reference.SliceThickness = f"{slice_mm:g}"
    reference.PatientOrientation = list(header.get("PatientOrientation") or ()) or ["L", "F"]
    return reference


def inherit(dataset: Dataset, source: Dataset) -> None:
    """Copy patient, study and character set from a source image; Type 2 attributes it lacks become empty."""
    for keyword in (*_TYPE_2, *_TYPE_3):
        tag = BaseTag(tag_for_keyword(keyword) or 0)
        if tag in source:
            dataset[tag] = _copy(source, tag)
        elif keyword in _TYPE_2:
            setattr(dataset, keyword, None)
        elif tag in dataset:
            del dataset[tag]
    # Said to be in its final encoding, the data set is written without decoding the copied bytes once more.
    dataset.set_original_encoding(
        is_implicit_vr=False,
        is_little_endian=True,
        character_encoding=convert_encodings(dataset.get("SpecificCharacterSet") or default_encoding),
    )


def _copy(source: Dataset, tag: BaseTag) -> DataElement | RawDataElement:
    raw = source.get_item(tag)
    vr = dictionary_VR(tag)
    if isinstance(raw, RawDataElement) and vr != "SQ" and keyword_for_tag(tag) != "SpecificCharacterSet":
        value = raw.value if isinstance(raw.value, bytes) else b""
        return RawDataElement(tag, vr, len(value), value, 0, False, True)
    element = deepcopy(source[tag])
    if vr == "SQ":
        for item in element.value:
            list(item.iterall())  # decodes: the bytes of a sequence depend on the transfer syntax it came in
    return element


def stamp(dataset: Dataset, run: Run, kind: ResultKind, index: int, series_description: str) -> None:
    """Set everything that all results share: patient, study, series, equipment, identity and dates.

    Parameters
    ----------
    dataset : Dataset
        Changed in place.
    run : Run
        What the object belongs to.
    kind, index : ResultKind, int
        Which object of the run; from 1.
    series_description : str
        Series Description (0008,103E) as it shall read.
    """
    inherit(dataset, run.demographics)
    set_equipment(dataset, run)
    dataset.SOPInstanceUID = run.instance_uid(kind, index)
    dataset.SeriesInstanceUID = run.series_uid(kind, index)
    dataset.SeriesNumber = run.series_number(kind, index)
    dataset.SeriesDescription = series_description
    dataset.InstanceNumber = 1
    if kind not in _DOCUMENTS:
        dataset.BodyPartExamined = "CHEST"  # not the source's words: free text there, and paired organs ask for a side
    created = run.local_time()
    for event in ("InstanceCreation", "Series", "Content"):
        setattr(dataset, f"{event}Date", created.strftime("%Y%m%d"))
        setattr(dataset, f"{event}Time", created.strftime("%H%M%S"))
