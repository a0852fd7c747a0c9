"""Regions as Segmentation objects: BINARY, without empty frames, in the frame of reference of the source.

References
----------
PS3.3 A.51 Segmentation IOD, C.8.20 Segmentation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_out.coded import code_item, concept
from dicom_out.colours import cielab
from dicom_out.context import ResultKind, Run
from dicom_out.equipment import model_name, segmentation_algorithm, serial_number
from dicom_out.marks import Mark
from dicom_out.product import MANUFACTURER, RESEARCH_NOTICE
from dicom_out.study import stamp
from inference.findings import Region

MAX_FRAMES = 400
"""Weasis disables a SEG with more frames."""

_LONG_STRING = 64


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SegmentReference:
    """Where the segment of a region is: an object and the number in it, for the report."""

    dataset: Dataset
    segment_number: int


def segmentations(
    marks: Sequence[Mark], references: Sequence[Dataset], run: Run
) -> tuple[tuple[Dataset, ...], dict[str, SegmentReference]]:
    """Write all regions that mark anything.

    Parameters
    ----------
    marks : sequence of Mark
        Masks on the grid of the source.
    references : sequence of Dataset
        `study.references`, one for each plane of the masks.
    run : Run
        What the objects belong to.

    Returns
    -------
    tuple of Dataset
        One for each purpose; one for each region where those of a purpose exceed `MAX_FRAMES`.
    dict of str to SegmentReference
        By the label of the region.
    """
    datasets, where = [], {}
    for index, group in enumerate(_groups(marks), start=1):
        dataset = _segmentation(group, references, run, index)
        datasets.append(dataset)
        for number, mark in enumerate(group, start=1):
            where[mark.region.label] = SegmentReference(dataset=dataset, segment_number=number)
    return tuple(datasets), where


def _groups(marks: Sequence[Mark]) -> list[list[Mark]]:
    drawn = sorted((mark for mark in marks if not mark.is_empty), key=lambda mark: mark.region.purpose)
    groups = []
    for _, same in groupby(drawn, key=lambda mark: mark.region.purpose):
        group = list(same)
        frames = sum(int(np.count_nonzero(mark.areas)) for mark in group)
        groups.extend([group] if frames <= MAX_FRAMES else [[mark] for mark in group])
    return groups


def _segmentation(group: list[Mark], references: Sequence[Dataset], run: Run, index: int) -> Dataset:
    planes = np.flatnonzero(np.any([mark.areas > 0 for mark in group], axis=0)).tolist()
    masks = [_planes(mark.region.mask, planes) for mark in group]
    dataset = Segmentation(
        source_images=[references[plane] for plane in planes],
        pixel_array=_pixels(masks),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(number, mark, run) for number, mark in enumerate(group, start=1)],
        series_instance_uid=run.series_uid(ResultKind.SEG, index),
        series_number=1,
        sop_instance_uid=run.instance_uid(ResultKind.SEG, index),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=model_name(run.algorithm),
        software_versions=run.algorithm.version[:_LONG_STRING],  # until `stamp` names all
        device_serial_number=serial_number(run),
        content_label=group[0].region.purpose.upper(),
        content_description=_content_description(group, run),
    )
    dataset["PixelData"].VR = "OB"  # highdicom leaves the choice to the writer
    _own_dimensions(dataset, str(run.instance_uid(ResultKind.SEG, index, "dimension organization")))
    title = group[0].region.label if len(group) == 1 else group[0].region.purpose.value
    stamp(dataset, run, ResultKind.SEG, index, run.context.series_description(f"{title}: {run.algorithm.name}"))
    return dataset


def _planes(mask: NDArray[np.bool_], planes: list[int]) -> NDArray[np.bool_]:
    """Return the planes of a mask, without a copy where none is left out."""
    if planes[-1] - planes[0] + 1 == len(planes):
        return mask[planes[0] : planes[-1] + 1]
    return mask[planes]


def _pixels(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Return masks as segment numbers where none overlap, which highdicom reads several times faster, else stacked."""
    numbers = masks[0].astype(np.uint8)
    for number, mask in enumerate(masks[1:], start=2):
        if np.any(numbers[mask]):
            return np.stack(masks, axis=-1).view(np.uint8)
        numbers[mask] = number
    return numbers


def _description(number: int, mark: Mark, run: Run) -> SegmentDescription:
    region = mark.region
    description = SegmentDescription(
        segment_number=number,
        segment_label=region.label[:_LONG_STRING],
        segmented_property_category=concept(region.property_category),
        segmented_property_type=concept(region.property_type),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=segmentation_algorithm(run.algorithm),
        tracking_uid=mark.tracking_uid,
        tracking_id=region.label,
        display_color=cielab(mark.rgb),
    )
    _set_site(description, region)
    return description


def _set_site(description: Dataset, region: Region) -> None:
    """Say where the segment is: by its own type if that is the site, else by Anatomic Region Sequence."""
    if region.site is None:
        return
    laterality = [code_item(region.site.laterality)] if region.site.laterality else []
    if region.site.location == region.property_type:
        if laterality:
            description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = laterality
        return
    anatomy = code_item(region.site.location)
    if laterality:
        anatomy.AnatomicRegionModifierSequence = laterality
    description.AnatomicRegionSequence = [anatomy]


def _content_description(group: list[Mark], run: Run) -> str:
    frame = "; frame not anatomical" if run.is_projection else ""
    labels = ", ".join(mark.region.label for mark in group)
    return f"{RESEARCH_NOTICE.split(' - ')[0]}{frame}: {labels}"[:_LONG_STRING]


def _own_dimensions(dataset: Dataset, dimension_organization_uid: str) -> None:
    """Replace the random UID of highdicom, so that a second run writes the same bytes."""
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimension_organization_uid
