"""Study -> stacks: instances of a series that belong to one volume or were made alike; an X-ray image stands alone.

A series is a transfer unit, not a volume: scanners put scouts, several acquisitions and reformats into one, and two
views of a chest. Pure.

References
----------
PS3.3 C.8.2.1.1.1 (Image Type of CT), C.7.6.2.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)

from inference.geometry import MIN_PLANE_COSINE, plane_normal, slice_positions
from node.header import InstanceHeader

XRAY_MODALITIES = frozenset({"CR", "DX"})
_XRAY_CLASSES = frozenset(
    {
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        DigitalXRayImageStorageForProcessing,
    }
)


class Plane(Enum):
    """Which way slices are cut."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"
    OBLIQUE = "oblique"
    NONE = "no plane"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """Instances that were made alike, ordered by position, or by instance number where they have none.

    Attributes
    ----------
    number_in_series : int or None
        What tells an X-ray image from the others of its series; None where it has none beside it.
    rejected_beside : int
        How many images made like these are not among them, because a key object of the study takes them out.
    """

    instances: tuple[InstanceHeader, ...]
    plane: Plane
    number_in_series: int | None = None
    rejected_beside: int = 0

    @property
    def first(self) -> InstanceHeader:
        """The instance whose attributes stand for all."""
        return self.instances[0]

    @property
    def label(self) -> str:
        """How a person would name the stack."""
        first = self.first
        series = f"series {first.series_number}" if first.series_number is not None else "series without number"
        parts = [series, first.series_description, *(_xray_traits(self) if self.is_xray else _slice_traits(self))]
        return " · ".join(part for part in parts if part)

    @property
    def is_xray(self) -> bool:
        """Whether it is one X-ray image, or says so."""
        return _is_xray(self.first)

    @property
    def coverage_mm(self) -> float:
        """Distance between the first and the last slice along the normal."""
        positions = _positions(self.instances)
        return float(np.ptp(positions)) if positions is not None else 0.0

    @property
    def is_original(self) -> bool:
        """Whether the images were reconstructed from raw data rather than from other images."""
        return self.first.image_type[:1] == ("ORIGINAL",)


def split(instances: Iterable[InstanceHeader]) -> list[Stack]:
    """Split the instances of a study into stacks, in the order of series and stack.

    Those that a key object among them takes out make stacks of their own.
    """
    every = list(instances)
    rejected = {uid for instance in every for uid in instance.rejected_instance_uids}
    groups: dict[tuple[tuple[object, ...], bool], list[InstanceHeader]] = defaultdict(list)
    for instance in every:
        groups[_likeness(instance), instance.sop_instance_uid in rejected].append(instance)
    stacks = [
        Stack(
            instances=_ordered(part),
            plane=_plane(part[0]),
            rejected_beside=0 if is_rejected else len(groups.get((likeness, True), ())),
        )
        for (likeness, is_rejected), group in groups.items()
        for part in _split_acquisitions(group)
    ]
    return sorted(
        _numbered(stacks),
        key=lambda s: (
            s.first.series_number or 0,
            s.first.series_instance_uid,
            s.number_in_series or 0,
            s.label,
            -len(s.instances),
            s.first.sop_instance_uid,
        ),
    )


def _slice_traits(stack: Stack) -> list[str]:
    first = stack.first
    return [
        f"{first.slice_thickness:g} mm" if first.slice_thickness else "",
        first.convolution_kernel,
        stack.plane.value if stack.plane is not Plane.NONE else first.modality,
    ]


def _xray_traits(stack: Stack) -> list[str]:
    first = stack.first
    view = first.view_position or first.modality
    return [
        view if view.upper() != first.series_description.upper() else "",
        first.presentation_intent_type.lower() if first.presentation_intent_type.upper() == "FOR PROCESSING" else "",
        f"image {stack.number_in_series}" if stack.number_in_series is not None else "",
    ]


def _is_xray(instance: InstanceHeader) -> bool:
    """Say whether an instance belongs to X-ray; many archives keep them as Secondary Capture."""
    return instance.modality in XRAY_MODALITIES or instance.sop_class_uid in _XRAY_CLASSES


def _numbered(stacks: Iterable[Stack]) -> list[Stack]:
    """Give each X-ray image of a series that has several its number: as it is numbered, else from 1."""
    by_series: dict[str, list[Stack]] = defaultdict(list)
    numbered: list[Stack] = []
    for stack in stacks:
        (by_series[stack.first.series_instance_uid] if stack.is_xray else numbered).append(stack)
    for images in by_series.values():
        ordered = sorted(images, key=lambda s: (s.first.instance_number or 0, s.first.sop_instance_uid))
        stated = [image.first.instance_number for image in ordered]
        numbers = stated if None not in stated and len(set(stated)) == len(stated) else range(1, len(stated) + 1)
        numbered += ordered if len(ordered) == 1 else map(_with_number, ordered, numbers)
    return numbered


def _with_number(stack: Stack, number: int | None) -> Stack:
    return replace(stack, number_in_series=number)


def _likeness(instance: InstanceHeader) -> tuple[object, ...]:
    orientation = instance.image_orientation_patient
    return (
        instance.series_instance_uid,
        instance.sop_instance_uid if _is_xray(instance) else "",
        instance.sop_class_uid,
        instance.image_type[:3],
        tuple(round(v, 3) for v in orientation) if orientation else None,
        instance.pixel_spacing,
        instance.rows,
        instance.columns,
        instance.slice_thickness,
        instance.convolution_kernel,
        instance.frame_of_reference_uid,
    )


def _split_acquisitions(group: list[InstanceHeader]) -> list[list[InstanceHeader]]:
    """Split by AcquisitionNumber where two acquisitions cover the same place.

    Some scanners count every rotation, so that the number alone says nothing: rotations side by side are one volume.
    """
    acquisitions: dict[int | None, list[InstanceHeader]] = defaultdict(list)
    for instance in group:
        acquisitions[instance.acquisition_number].append(instance)
    spans = []
    for members in acquisitions.values():
        positions = _positions(members)
        if positions is None:
            return [group]
        spans.append((float(positions.min()), float(positions.max())))
    spans.sort()
    overlapping = any(nxt[0] <= span[1] for span, nxt in itertools.pairwise(spans))
    return list(acquisitions.values()) if overlapping else [group]


def _positions(instances: Sequence[InstanceHeader]) -> np.ndarray[tuple[int], np.dtype[np.float64]] | None:
    orientation = instances[0].image_orientation_patient
    points = [i.image_position_patient for i in instances if i.image_position_patient]
    if orientation is None or len(points) != len(instances):
        return None
    return slice_positions(points, orientation)


def _ordered(instances: list[InstanceHeader]) -> tuple[InstanceHeader, ...]:
    positions = _positions(instances)
    if positions is None:
        return tuple(sorted(instances, key=lambda i: (i.instance_number or 0, i.sop_instance_uid)))
    order = sorted(range(len(instances)), key=lambda n: (positions[n], instances[n].sop_instance_uid))
    return tuple(instances[n] for n in order)


def _plane(instance: InstanceHeader) -> Plane:
    if instance.image_orientation_patient is None:
        return Plane.NONE
    normal = np.abs(plane_normal(instance.image_orientation_patient))
    if normal.max() < MIN_PLANE_COSINE or not np.isfinite(normal).all():
        return Plane.OBLIQUE
    return (Plane.SAGITTAL, Plane.CORONAL, Plane.AXIAL)[int(normal.argmax())]
