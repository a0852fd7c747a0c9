"""The groups of measurements of a report: about everything, about each region, and what viewers draw.

References
----------
PS3.16 TID 1501, TID 1411, TID 1410, TID 300, TID 4019.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import highdicom
import numpy as np
from highdicom import sr as hd
from highdicom.sr import (
    GraphicTypeValues,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    RelationshipTypeValues,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_out import codes
from dicom_out.box_marks import box_tracking_uid, line, rectangle
from dicom_out.coded import concept
from dicom_out.context import Run
from dicom_out.equipment import algorithm_identification
from dicom_out.marks import Mark, outline
from dicom_out.plain import plain
from dicom_out.product import RESEARCH_NOTICE
from dicom_out.seg import SegmentReference
from dicom_out.uids import tracking_uid
from inference.findings import Category, Findings, Measurement, Purpose, Site

_REPLACES = "Images came after an earlier report of this study; this one replaces it."
_FRAME_MARGIN_PIXELS = 10
_FOOT_SHARE = 50


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Parts:
    """What the groups of one report are made from."""

    findings: Findings
    marks: Sequence[Mark]
    segments: Mapping[str, SegmentReference]
    references: Sequence[Dataset]
    run: Run

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID (0020,000E) of the source."""
        return str(self.references[0].SeriesInstanceUID)

    @property
    def whole(self) -> hd.TrackingIdentifier:
        """What is said about everything: the series, or one image of a study that may have more."""
        label = "whole image" if self.run.is_projection else "whole series"
        image = (str(self.references[0].SOPInstanceUID),) if self.run.is_projection else ()
        uid = tracking_uid(self.run.study_instance_uid, label, *image)
        return hd.TrackingIdentifier(uid=highdicom.UID(uid), identifier=label)


class _About(TypedDict):
    """What all groups of a region say of it, as highdicom's constructors name it."""

    tracking_identifier: hd.TrackingIdentifier
    finding_type: hd.CodedConcept
    finding_sites: list[hd.FindingSite] | None
    algorithm_id: hd.AlgorithmIdentification


Group = (
    MeasurementsAndQualitativeEvaluations
    | PlanarROIMeasurementsAndQualitativeEvaluations
    | VolumetricROIMeasurementsAndQualitativeEvaluations
)


def groups(parts: Parts) -> list[Group]:
    """Return all groups of a report, in the order in which they are to be listed."""
    volumes = [] if parts.run.is_projection else _region_groups(parts)
    return [*_series_groups(parts), *volumes, *_box_groups(parts), *_outline_groups(parts)]


def _series_groups(parts: Parts) -> list[MeasurementsAndQualitativeEvaluations]:
    """Return TID 1501 about everything; categories with a confidence have a group each, to hold it."""
    findings = parts.findings
    unrated = [category for category in findings.categories if category.confidence is None]
    group = _series_group(parts, unrated, [_measurement(m) for m in findings.measurements])
    replaces = (_REPLACES,) if parts.run.context.predecessors else ()
    notes = (f"{RESEARCH_NOTICE}. Not reviewed by a person.", *replaces, *findings.warnings)
    for note in notes:
        group[0].ContentSequence.append(
            hd.TextContentItem(
                name=concept(codes.COMMENT), value=plain(note), relationship_type=RelationshipTypeValues.CONTAINS
            )
        )
    return [group, *(_category_group(parts, c) for c in findings.categories if c.confidence is not None)]


def _category_group(parts: Parts, category: Category) -> MeasurementsAndQualitativeEvaluations:
    return _series_group(parts, [category], [_certainty(category.confidence or 0.0)])


def _certainty(share: float) -> hd.Measurement:
    return hd.Measurement(name=concept(codes.CERTAINTY_OF_FINDING), value=100.0 * share, unit=concept(codes.PERCENT))


def _series_group(
    parts: Parts, categories: Sequence[Category], measurements: Sequence[hd.Measurement]
) -> MeasurementsAndQualitativeEvaluations:
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=parts.whole,
        finding_sites=[hd.FindingSite(anatomic_location=concept(codes.LUNG))],
        algorithm_id=algorithm_identification(parts.findings.algorithm),
        measurements=measurements,
        qualitative_evaluations=[
            hd.QualitativeEvaluation(name=concept(c.concept), value=concept(c.value)) for c in categories
        ],
    )


def _region_groups(parts: Parts) -> list[Group]:
    """Return a group a region with all its numbers: TID 1411, or TID 1501 where it marks nothing to refer to."""
    found: list[Group] = []
    for mark in parts.marks:
        about = _about(mark, parts)
        numbers = [_measurement(measurement) for measurement in mark.region.measurements]
        segment = parts.segments.get(mark.region.label)
        if segment is None:
            found.append(MeasurementsAndQualitativeEvaluations(measurements=numbers, **about))
            continue
        reference = hd.ReferencedSegment(
            sop_class_uid=segment.dataset.SOPClassUID,
            sop_instance_uid=segment.dataset.SOPInstanceUID,
            segment_number=segment.segment_number,
            source_series=hd.SourceSeriesForSegmentation(highdicom.UID(parts.series_instance_uid)),
        )
        found.append(
            VolumetricROIMeasurementsAndQualitativeEvaluations(
                referenced_segment=reference, measurements=numbers, **about
            )
        )
    return found


def _box_groups(parts: Parts) -> list[PlanarROIMeasurementsAndQualitativeEvaluations]:
    """Return TID 1410 for every box: its edges, what is in it, and how certain that is."""
    return [
        PlanarROIMeasurementsAndQualitativeEvaluations(
            referenced_region=_polyline(parts, 0, line(box)),
            tracking_identifier=hd.TrackingIdentifier(
                uid=highdicom.UID(box_tracking_uid(box, parts.run)), identifier=box.label
            ),
            finding_type=concept(box.finding),
            finding_sites=[_site(box.site)] if box.site else None,
            algorithm_id=algorithm_identification(parts.findings.algorithm),
            measurements=[_certainty(box.certainty)],
        )
        for box in parts.findings.boxes or ()
    ]


def _outline_groups(parts: Parts) -> list[PlanarROIMeasurementsAndQualitativeEvaluations]:
    """Return TID 1410 for every tracked finding: its outline on its largest slice, or the frame; opacities first."""
    headline = slice(None) if parts.run.is_projection else slice(1)  # where no other group of the region tells the rest
    ordered = sorted(parts.marks, key=lambda mark: mark.region.purpose != Purpose.OPACITY)
    found = [
        PlanarROIMeasurementsAndQualitativeEvaluations(
            referenced_region=_frame(parts) if mark.is_empty else _outline(mark, parts),
            measurements=[_measurement(measurement) for measurement in mark.region.measurements[headline]],
            **_about(mark, parts),
        )
        for mark in ordered
    ]
    findings = parts.findings
    whole = PlanarROIMeasurementsAndQualitativeEvaluations(
        referenced_region=_foot(parts) if parts.run.is_projection else _frame(parts),
        tracking_identifier=parts.whole,
        finding_sites=[hd.FindingSite(anatomic_location=concept(codes.LUNG))],
        algorithm_id=algorithm_identification(findings.algorithm),
        measurements=[_measurement(measurement) for measurement in findings.measurements[: findings.headlines]],
    )
    return [*found, whole]


def _outline(mark: Mark, parts: Parts) -> hd.ImageRegion:
    """Return the outer line of the largest part of a region on its largest slice."""
    return _polyline(parts, mark.largest_slice, outline(mark.region.mask[mark.largest_slice]))


def _foot(parts: Parts) -> hd.ImageRegion:
    """Return a strip along the foot of an image, for what is said about all of it: its label lies on no lung's."""
    rows, columns = int(parts.references[0].Rows), int(parts.references[0].Columns)
    return _polyline(parts, 0, rectangle(0, rows - max(1, rows // _FOOT_SHARE), columns, rows))


def _frame(parts: Parts) -> hd.ImageRegion:
    """Return a rectangle around all regions on the slice that shows most of them, or around the middle image."""
    rows, columns = int(parts.references[0].Rows), int(parts.references[0].Columns)
    drawn = [mark for mark in parts.marks if not mark.is_empty]
    if not drawn:
        return _polyline(parts, len(parts.references) // 2, rectangle(0, 0, columns, rows))
    plane = int(np.sum([mark.areas for mark in drawn], axis=0).argmax())
    marked = np.any([mark.region.mask[plane] for mark in drawn], axis=0)
    across, down = np.flatnonzero(marked.any(axis=0)), np.flatnonzero(marked.any(axis=1))
    margin = _FRAME_MARGIN_PIXELS
    return _polyline(
        parts,
        plane,
        rectangle(
            max(0, int(across[0]) - margin),
            max(0, int(down[0]) - margin),
            min(columns, int(across[-1]) + 1 + margin),
            min(rows, int(down[-1]) + 1 + margin),
        ),
    )


def _polyline(parts: Parts, plane: int, line: NDArray[np.float64]) -> hd.ImageRegion:
    image = parts.references[plane]
    return hd.ImageRegion(
        graphic_type=GraphicTypeValues.POLYLINE,
        graphic_data=line,
        source_image=hd.SourceImageForRegion(
            referenced_sop_class_uid=image.SOPClassUID, referenced_sop_instance_uid=image.SOPInstanceUID
        ),
    )


def _about(mark: Mark, parts: Parts) -> _About:
    region = mark.region
    return {
        "tracking_identifier": hd.TrackingIdentifier(uid=highdicom.UID(mark.tracking_uid), identifier=region.label),
        "finding_type": concept(region.property_type),
        "finding_sites": [_site(region.site)] if region.site else None,
        "algorithm_id": algorithm_identification(parts.findings.algorithm),
    }


def _measurement(measurement: Measurement) -> hd.Measurement:
    """Return TID 300; a person reads six digits in Numeric Value, a program all in Floating Point Value."""
    value = float(measurement.value)
    number = hd.Measurement(
        name=concept(measurement.concept),
        value=value,
        unit=concept(measurement.unit),
        finding_sites=[_site(measurement.site)] if measurement.site else None,
    )
    number[0].MeasuredValueSequence[0].NumericValue = f"{value:.6g}"
    return number


def _site(site: Site) -> hd.FindingSite:
    laterality = concept(site.laterality) if site.laterality else None
    return hd.FindingSite(anatomic_location=concept(site.location), laterality=laterality)
