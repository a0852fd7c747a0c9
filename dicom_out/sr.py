"""Findings as a Comprehensive 3D SR: a TID 1500 measurement report that viewers can draw.

On CT each region has two groups with one Tracking UID: a volumetric one (TID 1411), which holds all its measurements
and refers to its segment, and a planar one (TID 1410), an outline on its largest slice with its headline number, as
viewers draw and list nothing else. On a radiograph the planar one is all there is, with every number; its segment has
the same Tracking UID. What has no outline of its own, the whole series or a region that marks nothing, is framed: OHIF
3.13 shows no image at all where one tracked finding of a report lacks coordinates.

References
----------
PS3.16 TID 1500, TID 1501, TID 1410, TID 1411, TID 300, TID 4019. IHE AI Results, Evidence Creator.
"""

from collections.abc import Mapping, Sequence

from highdicom import sr as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dictionary

from dicom_out import codes
from dicom_out.coded import concept
from dicom_out.context import Predecessor, ResultKind, Run
from dicom_out.equipment import device_observer
from dicom_out.marks import Mark
from dicom_out.product import MANUFACTURER
from dicom_out.seg import SegmentReference
from dicom_out.sr_groups import Parts, groups
from dicom_out.study import stamp
from inference.findings import Findings


def report(
    findings: Findings,
    marks: Sequence[Mark],
    segments: Mapping[str, SegmentReference],
    references: Sequence[Dataset],
    run: Run,
) -> Dataset:
    """Write all findings of a run.

    Parameters
    ----------
    findings : Findings
        Measurements, categories, regions and warnings.
    marks : sequence of Mark
        Of the regions, in their order.
    segments : mapping of str to SegmentReference
        By the label of the region; regions that mark nothing have none.
    references : sequence of Dataset
        `study.references`, one for each plane of the masks.
    run : Run
        What the object belongs to.

    Returns
    -------
    Dataset
        COMPLETE and UNVERIFIED.
    """
    parts = Parts(findings=findings, marks=marks, segments=segments, references=references, run=run)
    content = hd.MeasurementReport(
        observation_context=hd.ObservationContext(
            observer_device_context=hd.ObserverContext(
                observer_type=dictionary.DCM.Device, observer_identifying_attributes=device_observer(run)
            )
        ),
        procedure_reported=_procedures(run),
        imaging_measurements=groups(parts),
        title=dictionary.DCM.ImagingMeasurementReport,
    )
    dataset = hd.Comprehensive3DSR(
        evidence=[*references, *{id(s.dataset): s.dataset for s in segments.values()}.values()],
        content=content,
        series_instance_uid=run.series_uid(ResultKind.SR, 1),
        series_number=1,
        sop_instance_uid=run.instance_uid(ResultKind.SR, 1),
        instance_number=1,
        manufacturer=MANUFACTURER,
        previous_versions=[_predecessor(p, run) for p in run.context.predecessors] or None,
        is_complete=True,
        is_final=True,
        is_verified=False,
    )
    stamp(dataset, run, ResultKind.SR, 1, run.context.series_description(f"report: {run.algorithm.name}"))
    return dataset


def _predecessor(predecessor: Predecessor, run: Run) -> Dataset:
    """Return what highdicom reads of a report that this one replaces (PS3.3 C.17.2)."""
    reference = Dataset()
    reference.SOPClassUID = predecessor.sop_class_uid
    reference.SOPInstanceUID = predecessor.sop_instance_uid
    reference.StudyInstanceUID = run.study_instance_uid
    reference.SeriesInstanceUID = predecessor.series_instance_uid
    return reference


def _procedures(run: Run) -> list[hd.CodedConcept]:
    """Return the imaging procedures that the source names, else that of its modality; never the algorithm."""
    named = [
        hd.CodedConcept(str(item.CodeValue), str(item.CodingSchemeDesignator), str(item.CodeMeaning))
        for item in run.demographics.get("ProcedureCodeSequence") or ()
        if item.get("CodeValue") and item.get("CodingSchemeDesignator") and item.get("CodeMeaning")
    ]
    return named or [concept(codes.XR_CHEST if run.is_projection else codes.CT_CHEST)]
