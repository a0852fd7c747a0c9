"""Findings -> DICOM objects: all of a result, cross-referenced, in the order in which they are sent.

Pure: the same findings, images and context give objects whose bytes are the same.
"""

from dataclasses import dataclass
from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_out.context import ResultContext, ResultKind, Run
from dicom_out.key_image import key_image
from dicom_out.marks import marks
from dicom_out.seg import segmentations
from dicom_out.sr import report
from dicom_out.study import references
from dicom_out.uids import derived_uid
from inference.findings import Findings
from inference.radiograph import Radiograph
from inference.selected import Selected

__all__ = ["ResultContext", "ResultKind", "ResultObject", "build", "encode"]

IMPLEMENTATION_CLASS_UID = derived_uid("implementation class")
IMPLEMENTATION_VERSION_NAME = "OPACITY_NODE_0"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ResultObject:
    """One object of a result.

    Attributes
    ----------
    kind : ResultKind
        What it is.
    index : int
        From 1 within its kind.
    dataset : Dataset
        Complete, for `encode`.
    """

    kind: ResultKind
    index: int
    dataset: Dataset


def build(
    findings: Findings, source: Selected, context: ResultContext, *, demographics: Dataset | None = None
) -> tuple[ResultObject, ...]:
    """Write all objects of a result.

    Parameters
    ----------
    findings : Findings
        Of one run on the source; every mask lies on its grid.
    source : Series or Radiograph
        What the pipeline saw.
    context : ResultContext
        The job.
    demographics : Dataset or None
        Header of the source instance whose patient and study attributes are right; None takes the first.

    Returns
    -------
    tuple of ResultObject
        Segmentations, report, key image: an object comes after those it refers to, the picture last.

    Raises
    ------
    ValueError
        If findings and source do not belong together, or two regions have one label.
    """
    _check(findings, source)
    first = source.headers[0]
    run = Run(
        source=first,
        demographics=demographics or first,
        context=context,
        algorithm=findings.algorithm,
        is_projection=isinstance(source, Radiograph),
    )
    images = references(source)
    drawn = marks(findings.regions, run.study_instance_uid)
    segs, segments = segmentations(drawn, images, run)
    objects = [ResultObject(kind=ResultKind.SEG, index=i, dataset=seg) for i, seg in enumerate(segs, start=1)]
    document = report(findings, drawn, segments, images, run)
    objects.append(ResultObject(kind=ResultKind.SR, index=1, dataset=document))
    objects.append(ResultObject(kind=ResultKind.KEY_IMAGE, index=1, dataset=key_image(findings, drawn, source, run)))
    return tuple(objects)


def encode(dataset: Dataset) -> bytes:
    """Return the DICOM file of an object, Explicit VR Little Endian.

    References
    ----------
    PS3.10 7.1.
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _check(findings: Findings, source: Selected) -> None:
    if findings.source_instances != source.sop_instance_uids:
        raise ValueError("The source instances of the findings are not those of the images.")
    labels = [region.label for region in findings.regions]
    if len(set(labels)) != len(labels):
        raise ValueError(f"Two regions have one label: {labels}.")
    for region in findings.regions:
        if region.mask.shape != source.pixel_array.shape or region.mask.dtype != bool:
            raise ValueError(f"The mask of {region.label!r} is not of bool on the grid of the images.")
